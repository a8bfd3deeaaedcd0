"""The options of `tunekit render`, as typer reads them from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunekit.cli.arguments import WHERE

HOW_MUCH = "How much of it"


def _option(name: str, metavar: str, help: str, panel: str | None = WHERE) -> object:
    return typer.Option(name, metavar=metavar, rich_help_panel=panel, help=help)


Out = Annotated[Path | None, _option("--out", "FILE", "File to write. Default: standard output.", None)]
DryRun = Annotated[bool, _option("--dry-run", "", "Print it, and leave the file of --out as it is.", None)]

AtOnce = Annotated[int | None, _option("--workers", "N", "How many trials run at once. Default: 4.", HOW_MUCH)]
Gpus = Annotated[
    int | None, _option("--gpus", "N", "GPUs of a machine. Default: as many as one trial takes.", HOW_MUCH)
]
Cpus = Annotated[int | None, _option("--cpus", "N", "Cores of a machine. Default: what its trials take.", HOW_MUCH)]
Nodes = Annotated[int | None, _option("--nodes", "N", "Nodes of the job. Default: what --workers takes.", HOW_MUCH)]
Time = Annotated[
    str | None,
    _option("--time", "TIME", "Limit of one attempt; then the job queues again. Default: 8:00:00.", HOW_MUCH),
]
Warning = Annotated[
    int, _option("--warning", "SECONDS", "How long before that limit the sweep is told to leave.", HOW_MUCH)
]

Image = Annotated[str | None, _option("--image", "IMAGE", "What clusters/Dockerfile made. Default: tunekit:VERSION.")]
Namespace = Annotated[str, _option("--namespace", "NAME", "Of everything that is made.")]
PodRoot = Annotated[str, _option("--root", "DIR", "Folder of the sweeps, under /shared, or a bucket.")]
Claim = Annotated[
    str | None,
    _option(
        "--storage",
        "CLAIM",
        "The claim of a volume that all pods share, at /shared. Default: tunekit, with a bucket none.",
    ),
]
ClaimSize = Annotated[str | None, _option("--storage-size", "SIZE", "Make the claim, so large, such as 200Gi.")]
StorageClass = Annotated[str | None, _option("--storage-class", "CLASS", "Of a claim that is made.")]
Env = Annotated[list[str] | None, _option("--env", "NAME=VALUE", "A variable of every pod; no secret. Repeatable.")]
Secret = Annotated[
    list[str] | None,
    _option("--secret", "NAME=SECRET/KEY", "A variable that holds a key of a Kubernetes secret. Repeatable."),
]
NodeSelector = Annotated[
    list[str] | None,
    _option(
        "--node-selector", "LABEL=VALUE", "Of the workers' nodes, such as cloud.google.com/gke-spot=true. Repeatable."
    ),
]
ServiceAccount = Annotated[str | None, _option("--service-account", "NAME", "Of every pod.")]

NodeRoot = Annotated[str, _option("--root", "DIR", "Folder of the sweeps, which all nodes share, or a bucket.")]
Partition = Annotated[str | None, _option("--partition", "NAME", "Slurm's partition.")]
Account = Annotated[str | None, _option("--account", "NAME", "Who is charged.")]
Setup = Annotated[
    list[str] | None,
    _option("--setup", "LINE", "Shell that makes tunekit known on a node. Default: this Python. Repeatable."),
]
ShareNodes = Annotated[bool, _option("--share-nodes", "", "Let other jobs run on the nodes too.")]
