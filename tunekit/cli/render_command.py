"""The commands that write what a cluster's own scheduler takes: render kuberay and render slurm."""

from __future__ import annotations

from pathlib import Path

import typer

from tunekit import storage
from tunekit.cli import render_options as options
from tunekit.cli.arguments import FileArgument, NewName, Overrides
from tunekit.cli.exits import DONE
from tunekit.wording import visible


def kuberay(
    file: FileArgument,
    out: options.Out = None,
    name: NewName = None,
    overrides: Overrides = None,
    dry_run: options.DryRun = False,
    workers: options.AtOnce = None,
    gpus: options.Gpus = None,
    cpus: options.Cpus = None,
    image: options.Image = None,
    namespace: options.Namespace = "default",
    root: options.PodRoot = "/shared/runs",
    claim: options.Claim = None,
    claim_size: options.ClaimSize = None,
    storage_class: options.StorageClass = None,
    env: options.Env = None,
    secret: options.Secret = None,
    selector: options.NodeSelector = None,
    service_account: options.ServiceAccount = None,
) -> int:
    """Write a RayJob manifest: the sweep on Kubernetes.

    KubeRay starts a cluster for it, adds and removes workers with the load, and takes it down at the end. What had to
    be guessed stands in comments. Nothing is asked of any cluster.

      tunekit render kuberay my.yaml --storage-size 200Gi | kubectl apply -f -
    """
    from tunekit.cluster.render import IMAGE, Asked, Pods, pairs, render_kuberay
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
    sweep = load_sweep(file, overrides=overrides or [], name=name, folders_must_exist=False)
    asked = Asked(workers=workers, gpus=gpus, cpus=cpus)
    return _give(render_kuberay(file, sweep, asked, pods, overrides=overrides or []), out, is_dry=dry_run)


def slurm(
    file: FileArgument,
    out: options.Out = None,
    name: NewName = None,
    overrides: Overrides = None,
    dry_run: options.DryRun = False,
    workers: options.AtOnce = None,
    nodes: options.Nodes = None,
    gpus: options.Gpus = None,
    cpus: options.Cpus = None,
    time: options.Time = None,
    warning: options.Warning = 180,
    root: options.NodeRoot = "runs",
    partition: options.Partition = None,
    account: options.Account = None,
    setup: options.Setup = None,
    share_nodes: options.ShareNodes = False,
) -> int:
    """Write a batch script: the sweep on Slurm.

    It starts Ray on every node of the job and the sweep on the first. A job that reaches its time limit or gives way to
    another queues again and goes on. What had to be guessed stands in comments.

      tunekit render slurm my.yaml --nodes 2 --time 12:00:00 --out my.sh && sbatch my.sh
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
    sweep = load_sweep(file, overrides=overrides or [], name=name, folders_must_exist=False)
    asked = Asked(workers=workers, machines=nodes, gpus=gpus, cpus=cpus)
    return _give(render_slurm(file, sweep, asked, job, overrides=overrides or []), out, is_dry=dry_run)


def _give(text: str, out: Path | None, *, is_dry: bool) -> int:
    """Print `text`, or write it to `out` and say so."""
    if out is None or is_dry:
        typer.echo(text, nl=False)
    else:
        storage.write_text(out, text)
    if out is not None:
        typer.echo(f"{'would write' if is_dry else 'written to'} {visible(str(out))}", err=is_dry)
    return DONE
