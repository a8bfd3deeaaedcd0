"""The pods of a Ray cluster on Kubernetes: one head, which runs the driver, and workers, which run trials."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunekit.cluster.render.sizing import GIB, OBJECT_STORE_BYTES, Machines
from tunekit.cluster.render.words import is_object_store
from tunekit.errors import ConfigError, quoted, require
from tunekit.schema import JsonObject
from tunekit.version import __version__

IMAGE = f"tunekit:{__version__}"
"""What clusters/Dockerfile makes, unless another name is given."""
SHARED = "/shared"
"""Where the claim is mounted in every pod, and where relative paths of the sweep file start."""
SWEEP_FOLDER = "/etc/tunekit"
"""Where the sweep file is in the head's pod."""
HEAD_CPUS, HEAD_GIB = 2, 8
"""Of the head: the driver, Ray's own services and the autoscaler, which tunekit's trials do not use."""
LEAVE_S = 120
"""How long a worker's pod may take to leave when its machine is taken away."""
LABELS = {"app.kubernetes.io/part-of": "tunekit"}
"""Of every pod, beside those that KubeRay gives."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"[1-9][0-9]*([KMGTPE]i?)?")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(^|_)KEY($|_)|API_?KEY", re.IGNORECASE)
"""Names of variables whose values are nobody else's business."""
_PINNED = re.compile(r"\S+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What the options say of the pods."""

    image: str = IMAGE
    namespace: str = "default"
    root: str = f"{SHARED}/runs"
    """Of the sweeps: a folder on the claim, or a bucket."""
    claim: str | None = None
    """A PersistentVolumeClaim that many pods can write."""
    claim_size: str | None = None
    """Make the claim, so large; None: it is there already."""
    storage_class: str | None = None
    """Of a claim that is made."""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Variable: ``SECRET/KEY``, a key of a Kubernetes secret."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes on which workers run."""
    service_account: str | None = None

    def __post_init__(self) -> None:
        tail = self.image.rpartition("/")[2]
        require(bool(_PINNED.fullmatch(tail)), "--image", self.image, "an image with a version, such as name:1.2")
        for option, name in (("namespace", self.namespace), ("storage", self.claim)):
            fits = name is None or _NAME.fullmatch(name) is not None
            require(fits, f"--{option}", name, "a Kubernetes name: lower-case letters, digits, - and .")
        fits = self.claim_size is None or _SIZE.fullmatch(self.claim_size) is not None
        require(fits, "--storage-size", self.claim_size, "a size as Kubernetes writes it, such as 200Gi")
        self._check_root()
        self._check_variables()

    def _check_root(self) -> None:
        if is_object_store(self.root):
            idle = "--storage-size" if self.claim_size and self.claim is None else None
        else:
            inside = self.root == SHARED or self.root.startswith(f"{SHARED}/")
            right = f"a folder under {SHARED}, where the shared storage is, or a bucket such as s3://BUCKET/runs"
            require(inside and ".." not in self.root.split("/"), "--root", self.root, right)
            idle = None
        if self.storage_class and not self.claim_size:
            idle = "--storage-class"
        if idle:
            raise ConfigError(f"{idle} has no effect, because no claim is made; give --storage and --storage-size")

    def _check_variables(self) -> None:
        for option, names in (("--env", self.env), ("--secret", self.secrets)):
            for name in names:
                require(bool(_VARIABLE.fullmatch(name)), option, name, "the name of an environment variable")
        for name in self.env:
            if _SECRET.search(name):
                raise ConfigError(
                    f"--env {name}=...: its name says that it is a secret, which must not stand in a manifest; "
                    f"put it into a Kubernetes secret and give --secret {name}=SECRET/KEY"
                )
        for name, place in self.secrets.items():
            if not re.fullmatch(rf"{_NAME.pattern}/[\w.-]+", place):
                raise ConfigError(f"--secret {name}={quoted(place)}: expected --secret {name}=SECRET/KEY")
        if both := sorted(self.env.keys() & self.secrets.keys()):
            raise ConfigError(f"--env and --secret both give {both[0]}; leave one of them out")

    @property
    def mounted_claim(self) -> str | None:
        """The claim that pods mount; None if the root is a bucket and no claim is named."""
        return self.claim or (None if is_object_store(self.root) else "tunekit")


def head_pod(pods: Pods, config_map: str, files: Sequence[str]) -> JsonObject:
    """The template of the head's pod, with the sweep file in it.

    Args:
        pods: what the options say.
        config_map: the name of the ConfigMap with the sweep file.
        files: its keys, each the name of a file in `SWEEP_FOLDER`.
    """
    items = [{"key": name, "path": name} for name in files]
    volume = {"name": "sweep", "configMap": {"name": config_map, "items": items}}
    mount = {"name": "sweep", "mountPath": SWEEP_FOLDER, "readOnly": True}
    resources = {"cpu": str(HEAD_CPUS), "memory": f"{HEAD_GIB}Gi"}
    pod = _pod(pods, "ray-head", resources)
    pod["containers"][0]["volumeMounts"].append(mount)
    pod["volumes"].append(volume)
    stays = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {"metadata": {"labels": LABELS, "annotations": stays}, "spec": pod}


def worker_pod(pods: Pods, machines: Machines) -> JsonObject:
    """The template of a worker's pod."""
    resources = {"cpu": str(machines.cpus), "memory": f"{machines.memory_bytes // GIB}Gi"}
    if machines.gpus:
        resources["nvidia.com/gpu"] = str(machines.gpus)
    pod = _pod(pods, "ray-worker", resources)
    pod["terminationGracePeriodSeconds"] = LEAVE_S
    if pods.selector:
        pod["nodeSelector"] = dict(pods.selector)
    if machines.gpus:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {"metadata": {"labels": LABELS}, "spec": pod}


def start_params(**extra: str) -> dict[str, str]:
    """Options of ``ray start``."""
    return {"object-store-memory": str(OBJECT_STORE_BYTES), **extra}


def _pod(pods: Pods, name: str, resources: Mapping[str, str]) -> JsonObject:
    claim = pods.mounted_claim
    container: JsonObject = {
        "name": name,
        "image": pods.image,
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "env": _environment(pods),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "shared", "mountPath": SHARED}] if claim else [],
    }
    spec: JsonObject = {
        # The image's own user and group: 1000 is `ray`, 100 is `users`, which may then write on the claim.
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 100},
        "containers": [container],
        "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": claim}}] if claim else [],
    }
    if pods.service_account:
        spec["serviceAccountName"] = pods.service_account
    return spec


def _environment(pods: Pods) -> list[JsonObject]:
    caches = {"HF_HOME": f"{SHARED}/cache/huggingface", "TUNEKIT_CACHE": f"{SHARED}/cache/tunekit"}
    plain = {**(caches if pods.mounted_claim else {}), **pods.env}
    found: list[JsonObject] = [{"name": name, "value": value} for name, value in plain.items()]
    for name, place in pods.secrets.items():
        secret, _, key = place.partition("/")
        found = [known for known in found if known["name"] != name]
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return found
