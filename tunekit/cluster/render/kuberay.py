"""A manifest for KubeRay: the sweep as a RayJob on a Ray cluster of its own, with workers that come and go.

The fields are those of KubeRay's RayJob (``ray.io/v1``). What a person would ask of it: token authentication, no
service beyond the Kubernetes cluster, pinned images, secrets only by reference, and a cluster that goes when the sweep
is over. The journal is on shared storage, so that whatever dies, the same manifest goes on with it.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from tunekit import storage
from tunekit.cluster.render.pods import LABELS, SHARED, SWEEP_FOLDER, Pods, head_pod, start_params, worker_pod
from tunekit.cluster.render.sizing import GIB, Asked, Machines, machines_for
from tunekit.cluster.render.words import (
    RAY_VERSION,
    WIDTH,
    comment,
    is_object_store,
    listing,
    sweep_words,
    variables_in,
)
from tunekit.errors import ConfigError, quoted
from tunekit.schema import JsonObject, Values
from tunekit.sweep import Sweep, content_as_written, paths_in
from tunekit.trial import path_here
from tunekit.version import __version__
from tunekit.wording import plural

MIN_KUBERAY = "1.5.1"
"""The first that gives a RayJob's cluster a token."""
NUM_DIGITS = 6
"""That tell names apart of which the letters that are allowed are the same."""
MAX_NAME = 47
"""Characters of a RayJob's name; the cluster's name is made of it and must fit into a label."""
MAX_MAP_BYTES = 900_000
"""Of a ConfigMap, which may hold 1 MiB with everything around it."""
IDLE_S = 600
"""Without work, before a worker goes."""
KEEP_S = 600
"""The cluster stays so long after the sweep, so that results can be copied from the head."""
ATTEMPTS = 3
"""How often a sweep whose head died goes on with a new cluster."""


def render_kuberay(file: Path, sweep: Sweep, asked: Asked, pods: Pods, *, overrides: Sequence[str] = ()) -> str:
    """The manifest that runs `sweep`: a ConfigMap with its file, a claim if one is to be made, and a RayJob.

    Args:
        file: the sweep file.
        sweep: what was read from it.
        asked: how many trials at once, on what pods.
        pods: what the pods are made of.
        overrides: ``KEY=VALUE`` that `sweep` was read with.

    Raises:
        ConfigError: no trial fits on such a pod, or the sweep reads what no pod can have.
    """
    content = content_as_written(file, overrides=overrides)
    _require_variables(content, pods)
    made = _Manifest(
        name=_kubernetes_name(sweep.name),
        sweep=sweep,
        machines=machines_for(sweep, asked),
        pods=pods,
        content=content,
        texts=_texts(file, sweep, content, is_changed=bool(overrides)),
    )
    documents = [made.config_map(), *([made.claim()] if pods.claim_size else []), made.ray_job()]
    return "\n".join([*made.preface(), *made.needs(), "---", "---\n".join(map(_dump, documents))])


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    """One manifest: its documents, and what stands above them."""

    name: str
    """Of the RayJob and of the ConfigMap."""
    sweep: Sweep
    machines: Machines
    pods: Pods
    content: Values
    """Of the sweep file, its paths as they are written."""
    texts: Mapping[str, str]
    """The files in the ConfigMap by their names, the sweep file first."""

    def config_map(self) -> JsonObject:
        metadata = self._metadata(self.name)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(self.texts)}

    def claim(self) -> JsonObject:
        size = {"requests": {"storage": self.pods.claim_size}}
        spec: JsonObject = {"accessModes": ["ReadWriteMany"], "resources": size}
        if self.pods.storage_class:
            spec["storageClassName"] = self.pods.storage_class
        metadata = self._metadata(self.pods.mounted_claim)
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}

    def ray_job(self) -> JsonObject:
        file = f"{SWEEP_FOLDER}/{next(iter(self.texts))}"
        words = [*sweep_words(file, self.sweep, self.pods.root, self.machines.workers), "--address", "auto"]
        start = ["env", "-C", SHARED] if self.pods.mounted_claim else []
        spec: JsonObject = {
            "entrypoint": shlex.join([*start, *words]),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEEP_S,
            "backoffLimit": ATTEMPTS,
            "rayClusterSpec": self._cluster(),
        }
        metadata = {**self._metadata(self.name), "labels": LABELS}
        return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}

    def _cluster(self) -> JsonObject:
        head = {
            "serviceType": "ClusterIP",
            "rayStartParams": start_params(**{"num-cpus": "0"}),
            "template": head_pod(self.pods, self.name, list(self.texts)),
        }
        workers = {
            "groupName": "trials",
            "replicas": 0,
            "minReplicas": 0,
            "maxReplicas": self.machines.count,
            "rayStartParams": start_params(),
            "template": worker_pod(self.pods, self.machines),
        }
        return {
            "rayVersion": RAY_VERSION,
            "authOptions": {"mode": "token"},
            "enableInTreeAutoscaling": True,
            "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": IDLE_S, "upscalingMode": "Default"},
            "headGroupSpec": head,
            "workerGroupSpecs": [workers],
        }

    def _metadata(self, name: str | None) -> JsonObject:
        return {"name": name, "namespace": self.pods.namespace}

    def preface(self) -> list[str]:
        """Comments: what it is, how it is used, what was computed and what was guessed."""
        machines = self.machines
        size = f"{machines.cpus} CPU, {machines.gpus} GPU, {machines.memory_bytes // GIB} GiB"
        workers, trials = plural(machines.count, "worker"), plural(machines.trials, "trial")
        return [
            comment(
                f"The sweep {quoted(self.sweep.name)} as a RayJob, for KubeRay {MIN_KUBERAY} or newer. "
                f"Its Ray {RAY_VERSION} cluster starts with it and goes after it."
            ),
            *(f"#   {command}   # {does}" for command, does in self._commands().items()),
            comment("Every pod has the token that KubeRay makes, and no port is open outside the Kubernetes cluster."),
            *listing("Guessed, because nobody said (give the option in brackets):", machines.guesses),
            *listing("Computed:", [f"at most {workers} of {size}, with {trials} at once on each"]),
        ]

    def _commands(self) -> dict[str, str]:
        """What to type, and what it does."""
        pods = self.pods
        kubectl = "kubectl" if pods.namespace == "default" else f"kubectl -n {pods.namespace}"
        found = {
            f"{kubectl} apply -f FILE": "start it, or go on after a stop",
            f"{kubectl} get rayjob {self.name}": "how it is",
            f"{kubectl} logs -f job/{self.name}": "what it says",
            f"{kubectl} delete rayjob {self.name}": "stop it; nothing finished is lost",
        }
        if not is_object_store(pods.root):
            label = "ray.io/node-type=head,app.kubernetes.io/part-of=tunekit"
            head = f"$({kubectl} get pod -l {label} -o name | cut -d/ -f2)"
            copy = f"{kubectl} cp {head}:{pods.root}/{self.sweep.name} runs/{self.sweep.name}"
            found[copy] = f"fetch it, at most {KEEP_S // 60} minutes after its end"
        return found

    def needs(self) -> list[str]:
        """Comments: what must be there before the manifest is applied."""
        pods, claim = self.pods, self.pods.mounted_claim
        found = [
            f"the image {pods.image}, which every node can pull, with tunekit {__version__} and Ray {RAY_VERSION}; "
            f"made by: docker build -f clusters/Dockerfile -t {pods.image} ."
        ]
        if claim and pods.claim_size:
            found.append(f"a storage class that makes volumes which many nodes can write, for the claim {claim}")
        elif claim:
            found.append(
                f"the claim {claim}, a volume that many nodes can write (ReadWriteMany); or give --storage-size"
            )
        if is_object_store(pods.root):
            found.append(f"leave for the pods to write {pods.root}: --service-account, or --secret for the keys")
        start = SHARED if claim else "the working folder of the image"
        found += [f"in the pods: {path} (a relative path starts at {start})" for path in paths_in(self.content)]
        keys = [place.partition("/") for place in pods.secrets.values()]
        found += [f"the secret {secret} with the key {key}" for secret, _, key in keys]
        return listing("It needs:", found)


# -- the sweep file ----------------------------------------------------------------------------------------------------


def _texts(file: Path, sweep: Sweep, content: Values, *, is_changed: bool) -> dict[str, str]:
    """The sweep file as the pods read it, then its files of published figures, by their names in one folder."""
    figures = _figures(sweep)
    text = storage.read_text(file)
    if is_changed or figures:
        text = yaml.safe_dump({**content, **({"references": list(figures)} if figures else {})}, sort_keys=False)
    found = {_key(file.name): text, **figures}
    size = sum(len(part.encode()) for part in found.values())
    if size > MAX_MAP_BYTES:
        raise ConfigError(
            f"{file}: {size} bytes with its references, but a ConfigMap holds {MAX_MAP_BYTES}; shorten it"
        )
    return found


def _figures(sweep: Sweep) -> dict[str, str]:
    places = sweep.definition.get("references") or []
    return {
        _key(f"references-{number}-{PurePosixPath(place).name}"): storage.read_text(Path(path_here(place)))
        for number, place in enumerate(places)
    }


def _key(name: str) -> str:
    """A file's name as the key of a ConfigMap."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)


def _kubernetes_name(name: str) -> str:
    """A sweep's name as the name of a RayJob."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    whole = f"tunekit-{plain}"
    if plain == name and len(whole) <= MAX_NAME:
        return whole
    mark = hashlib.sha256(name.encode()).hexdigest()[:NUM_DIGITS]  # other names may become the same letters
    return f"{whole[: MAX_NAME - NUM_DIGITS - 1].strip('-')}-{mark}"


def _require_variables(content: Values, pods: Pods) -> None:
    for name in variables_in(content):
        if name not in pods.env and name not in pods.secrets and name != "HOME":
            raise ConfigError(
                f"the sweep file reads ${name}, which the pods do not have; say where that is: "
                f"--env {name}={SHARED}/..."
            )


# -- text --------------------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(document: JsonObject) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
