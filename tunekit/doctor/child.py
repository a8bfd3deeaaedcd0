"""One probe in a process of its own: findings as lines of JSON, each as soon as it is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from tunekit.doctor.cluster import cluster
from tunekit.doctor.devices import devices
from tunekit.doctor.findings import Finding, Patient
from tunekit.doctor.hub import hub
from tunekit.doctor.libraries import libraries
from tunekit.doctor.machine import machine
from tunekit.doctor.root import root

PROBES: Mapping[str, Callable[[Patient], Iterator[Finding]]] = {
    "libraries": libraries,
    "devices": devices,
    "machine": machine,
    "root": root,
    "hub": hub,
    "cluster": cluster,
}


def main(probe: str, patient: str) -> None:
    """Run a probe.

    Args:
        probe: its name.
        patient: a `Patient` as JSON.
    """
    for finding in PROBES[probe](Patient(**json.loads(patient))):
        print(json.dumps(asdict(finding)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
