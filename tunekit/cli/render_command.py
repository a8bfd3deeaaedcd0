"""The commands that write what a cluster's own scheduler takes: render kuberay and render slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunekit import storage
from tunekit.cli.arguments import FileArgument, Overrides
from tunekit.cli.exits import DONE
from tunekit.wording import visible

SIZE = "How much of it"
PLACE = "Where it runs"

Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the sweep. Default: the file's.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="File to write. Default: standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", metavar="", help="Print it, and leave the file of --out as it is.")]
AtOnce = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", rich_help_panel=SIZE, help="How many trials run at once. Default: 4."),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus", metavar="N", rich_help_panel=SIZE, help="GPUs of a machine. Default: as many as one trial takes."
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(
        "--cpus", metavar="N", rich_help_panel=SIZE, help="Cores of a machine. Default: what its trials take."
    ),
]


def kuberay(
    file: FileArgument,
    out: Out = None,
    name: Name = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    workers: AtOnce = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            rich_help_panel=PLACE,
            help="What clusters/Dockerfile made. Default: tunekit:VERSION.",
        ),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", rich_help_panel=PLACE, help="Of everything that is made.")
    ] = "default",
    root: Annotated[
        str,
        typer.Option(
            "--root", metavar="DIR", rich_help_panel=PLACE, help="Folder of the sweeps, under /shared, or a bucket."
        ),
    ] = "/shared/runs",
    claim: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="CLAIM",
            rich_help_panel=PLACE,
            help="The claim of a volume that all pods share, at /shared. Default: tunekit, or none with a bucket.",
        ),
    ] = None,
    claim_size: Annotated[
        str | None,
        typer.Option(
            "--storage-size", metavar="SIZE", rich_help_panel=PLACE, help="Make the claim, so large, such as 200Gi."
        ),
    ] = None,
    storage_class: Annotated[
        str | None,
        typer.Option("--storage-class", metavar="CLASS", rich_help_panel=PLACE, help="Of a claim that is made."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", metavar="NAME=VALUE", rich_help_panel=PLACE, help="A variable of every pod; no secret. Repeatable."
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="NAME=SECRET/KEY",
            rich_help_panel=PLACE,
            help="A variable that holds a key of a Kubernetes secret. Repeatable.",
        ),
    ] = None,
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--node-selector",
            metavar="LABEL=VALUE",
            rich_help_panel=PLACE,
            help="Of the nodes for workers, such as cloud.google.com/gke-spot=true. Repeatable.",
        ),
    ] = None,
    service_account: Annotated[
        str | None,
        typer.Option("--service-account", metavar="NAME", rich_help_panel=PLACE, help="Of every pod."),
    ] = None,
) -> int:
    """Write a RayJob manifest: the sweep on Kubernetes.

    KubeRay starts a cluster for it, adds and removes workers with the load, and takes it down at the end. What had to
    be guessed stands in comments. Nothing is asked of any cluster.

      tunekit render kuberay my.yaml --image registry.example/tunekit:1 | kubectl apply -f -
    """
    from tunekit.cluster.render import Asked, Pods, render_kuberay
    from tunekit.cluster.render.pods import IMAGE
    from tunekit.cluster.render.words import pairs
    from tunekit.sweep import load_sweep

    pods = Pods(
        image=image or IMAGE,
        namespace=namespace,
        root=root,
        claim=claim,
        claim_size=claim_size,
        storage_class=storage_class,
        env=pairs("--env", env or [], "NAME=VALUE"),
        secrets=pairs("--secret", secret or [], "NAME=SECRET/KEY"),
        selector=pairs("--node-selector", selector or [], "LABEL=VALUE"),
        service_account=service_account,
    )
    changes = overrides or []
    sweep = load_sweep(file, overrides=changes, name=name, folders_must_exist=False)
    asked = Asked(workers=workers, gpus=gpus, cpus=cpus)
    return _give(render_kuberay(file, sweep, asked, pods, overrides=changes), out, is_dry=dry_run)


def slurm(
    file: FileArgument,
    out: Out = None,
    name: Name = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    workers: AtOnce = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes", metavar="N", rich_help_panel=SIZE, help="Nodes of the job. Default: what --workers takes."
        ),
    ] = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="TIME",
            rich_help_panel=SIZE,
            help="Limit of one attempt, after which the job queues again. Default: 8:00:00.",
        ),
    ] = None,
    warning: Annotated[
        int,
        typer.Option(
            "--warning",
            metavar="SECONDS",
            rich_help_panel=SIZE,
            help="How long before that limit the sweep is told to leave.",
        ),
    ] = 180,
    root: Annotated[
        str,
        typer.Option(
            "--root",
            metavar="DIR",
            rich_help_panel=PLACE,
            help="Folder of the sweeps, which all nodes share, or a bucket.",
        ),
    ] = "runs",
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="NAME", rich_help_panel=PLACE, help="Slurm's partition.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", rich_help_panel=PLACE, help="Who is charged.")
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            "--setup",
            metavar="LINE",
            rich_help_panel=PLACE,
            help="Shell that makes tunekit known on a node. Default: this Python. Repeatable.",
        ),
    ] = None,
    share_nodes: Annotated[
        bool,
        typer.Option("--share-nodes", metavar="", rich_help_panel=PLACE, help="Let other jobs run on the nodes too."),
    ] = False,
) -> int:
    """Write a batch script: the sweep on Slurm.

    It starts Ray on every node of the job and the sweep on the first. A job that reaches its time limit or gives way to
    another queues again and goes on. What had to be guessed stands in comments.

      tunekit render slurm my.yaml --nodes 2 --gpus 4 --time 12:00:00 --out my.sh && sbatch my.sh
    """
    from tunekit.cluster.render import Asked, BatchJob, render_slurm
    from tunekit.sweep import load_sweep

    job = BatchJob(
        root=root,
        time=time,
        partition=partition,
        account=account,
        warning_s=warning,
        setup=tuple(setup or ()),
        shares_nodes=share_nodes,
    )
    changes = overrides or []
    sweep = load_sweep(file, overrides=changes, name=name)
    asked = Asked(workers=workers, machines=nodes, gpus=gpus, cpus=cpus)
    return _give(render_slurm(file, sweep, asked, job, overrides=changes), out, is_dry=dry_run)


def _give(text: str, out: Path | None, *, is_dry: bool) -> int:
    """Print `text`, or write it to `out` and say so."""
    if out is None or is_dry:
        typer.echo(text, nl=False)
    else:
        storage.write_text(out, text)
    if out is not None:
        typer.echo(f"{'would write' if is_dry else 'written to'} {visible(str(out))}", err=is_dry)
    return DONE
