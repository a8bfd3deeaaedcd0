"""All probes at once, each in a process of its own: one that hangs or crashes costs its own line and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tunekit.doctor.findings import LEVELS, Finding, Patient, wrong
from tunekit.redaction import without_secrets
from tunekit.wording import duration, one_line, visible

MARK = '{"name": '
"""How a line with a finding begins; libraries print other lines."""
GRACE_S = 5.0
"""How long a process that was killed may take to go."""


@dataclass(frozen=True)
class Probe:
    """A part of the examination."""

    name: str
    title: str
    limit_s: float


PROBES = (
    Probe("libraries", "Python and libraries", 30),
    Probe("devices", "torch and its devices", 60),
    Probe("machine", "This machine", 20),
    Probe("root", "The folder of the sweeps", 30),
    Probe("hub", "Hub and caches", 20),
    Probe("cluster", "Ray", 150),
)


def examine(patient: Patient, probes: Sequence[Probe] = PROBES) -> dict[str, list[Finding]]:
    """What each probe found, by its title; a probe that fails or takes too long is a finding too."""
    running = [(probe, _start(probe, patient)) for probe in probes]
    with ThreadPoolExecutor(len(running)) as pool:
        try:
            answers = [pool.submit(answer, probe, process) for probe, process in running]
            return {probe.title: found.result() for probe, found in zip(probes, answers, strict=True)}
        finally:  # before the pool waits for its threads: after a Ctrl-C nobody wants the answers
            for _, process in running:
                _end(process)


def _start(probe: Probe, patient: Patient) -> subprocess.Popen[bytes]:
    code = [sys.executable, "-m", "tunekit.doctor.child", probe.name, json.dumps(asdict(patient))]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return start(code, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


def start(command: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A process, in a group of its own so that it ends with all that it started."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def answer(probe: Probe, process: subprocess.Popen[bytes]) -> list[Finding]:
    """What `process` finds for `probe` within its limit, and why it found no more if it did not end well."""
    cure = "look at what it needs, then try again"
    try:
        out, err = process.communicate(timeout=probe.limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        out = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, _ = process.communicate(timeout=GRACE_S)
        said = f"no answer within {duration(probe.limit_s)}"
        return [*findings(out), wrong(probe.name, said, "something hangs: a disk, a driver or the network; repair it")]
    if process.returncode == 0:
        return findings(out)
    lines = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    reason = _shown(lines[-1]) if lines else "no reason given"
    if process.returncode < 0:
        reason = f"ended by {_name(-process.returncode)} ({reason})"
    return [*findings(out), wrong(probe.name, f"could not be looked at: {reason}", cure)]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def findings(out: bytes) -> list[Finding]:
    """The findings among the lines that a probe printed, without secrets."""
    found = []
    for line in out.decode("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError, TypeError):
            if line.startswith(MARK):
                finding = Finding(**json.loads(line))
                found += [finding] if finding.level in LEVELS else []
    return [replace(one, name=visible(one.name), found=_shown(one.found), cure=_shown(one.cure)) for one in found]


def _shown(text: str) -> str:
    return one_line(without_secrets(text), limit=600)
