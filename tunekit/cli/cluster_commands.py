"""The commands for a sweep on a cluster elsewhere: launch, submit, logs, stop and fetch.

Their docstrings are their help pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunekit.cli.arguments import WHERE, FileArgument, NewName, NumTrials, Overrides, at_least_one
from tunekit.cli.exits import DONE, UNFINISHED
from tunekit.cli.next_command import SHARED_ROOT, USUAL_ROOT
from tunekit.errors import ConfigError
from tunekit.storage import SweepFolder
from tunekit.wording import visible

SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")]
Dashboard = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        rich_help_panel=WHERE,
        help="The cluster's dashboard: http://HEAD:8265. Default: $RAY_API_SERVER_ADDRESS, $RAY_ADDRESS, or where the "
        "sweep was last submitted from here.",
    ),
]
ClusterFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        metavar="FILE",
        rich_help_panel=WHERE,
        help="In place of --address: the file of a cluster that `ray up` started; it is reached through ssh.",
    ),
]
SharedRoot = Annotated[
    str,
    typer.Option(
        "--root",
        metavar="DIR",
        rich_help_panel=WHERE,
        help="Folder on the cluster that holds the sweeps: an absolute path that all nodes share, or s3://BUCKET/...",
    ),
]
JobWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", rich_help_panel=WHERE, help="How many trials run at once. Default: as many as fit."
    ),
]
NoData = Annotated[
    bool,
    typer.Option("--no-data", metavar="", help="Ship no data and no backbone: every path is right on the cluster."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", metavar="", help="Say exactly what would be done and shipped, then stop.")
]


def launch(
    file: FileArgument,
    cluster: Annotated[
        Path, typer.Option("--cluster", metavar="FILE", rich_help_panel=WHERE, help="The cluster file of `ray up`.")
    ] = Path("cluster.yaml"),
    name: NewName = None,
    overrides: Overrides = None,
    trials: NumTrials = None,
    root: SharedRoot = SHARED_ROOT,
    workers: JobWorkers = None,
    no_data: NoData = False,
    dry_run: DryRun = False,
) -> int:
    """Bring a cluster up and start a sweep on it.

    Runs `ray up` unless the cluster answers already, ships the sweep as `tunekit submit` does, through an ssh tunnel,
    and says how to follow, stop and fetch it. Nothing has to stay open here: the sweep runs on the cluster's head.

      tunekit launch my.yaml --cluster cluster.yaml --dry-run
      tunekit launch my.yaml --cluster cluster.yaml
    """
    from tunekit.cli.submitting import Wish, launch_sweep

    wish = Wish(file, name, tuple(overrides or ()), at_least_one("--trials", trials), with_data=not no_data)
    return launch_sweep(wish, cluster, root=root, workers=at_least_one("--workers", workers), dry_run=dry_run)


def submit(
    file: FileArgument,
    address: Dashboard = None,
    cluster: ClusterFile = None,
    name: NewName = None,
    overrides: Overrides = None,
    trials: NumTrials = None,
    root: SharedRoot = SHARED_ROOT,
    workers: JobWorkers = None,
    no_data: NoData = False,
    dry_run: DryRun = False,
) -> int:
    """Start a sweep on a cluster that runs, or go on with it.

    Checks the sweep here, ships its file, tunekit, code of your own and the data and backbones that are on this
    machine (100 MiB at most, packed), and starts it as a Ray job. A sweep that was stopped, killed or extended goes on
    where it was: submit it again. One that runs is refused.

      tunekit submit my.yaml --address http://10.0.0.12:8265
      tunekit submit my.yaml --trials 40
    """
    from tunekit.cli.submitting import Wish, submit_sweep
    from tunekit.cluster.remembered import way_to

    wish = Wish(file, name, tuple(overrides or ()), at_least_one("--trials", trials), with_data=not no_data)
    way = way_to(None, address=address, cluster=cluster)
    return submit_sweep(wish, way, root=root, workers=at_least_one("--workers", workers), dry_run=dry_run)


def logs(
    name: SweepName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar="", help="Go on until the sweep ends; ctrl-C ends only the view.")
    ] = False,
    address: Dashboard = None,
    cluster: ClusterFile = None,
) -> int:
    """Print what a submitted sweep says.

    With --follow, the exit code is 1 if the sweep ended otherwise than well.

      tunekit logs my --follow
    """
    from tunekit.cluster.jobs import latest_job
    from tunekit.cluster.launching import reached
    from tunekit.cluster.remembered import way_to

    way = way_to(name, address=address, cluster=cluster)
    typer.echo(f"{name} on {way.in_words}", err=True)
    with reached(way) as jobs:
        job = latest_job(jobs, name)
        if not follow:
            typer.echo(visible(jobs.log(job.id)), nl=False)
            return DONE
        for piece in jobs.follow(job.id):
            typer.echo(visible(piece), nl=False)
        job = jobs.job(job.id)
    typer.echo(f"job {job.id}: {job.status}", err=True)
    return DONE if job.status == "SUCCEEDED" else UNFINISHED


def stop(name: SweepName, address: Dashboard = None, cluster: ClusterFile = None, dry_run: DryRun = False) -> int:
    """Stop a submitted sweep in good order.

    Its driver is told to end, as by ctrl-C, and is waited for. Nothing finished is lost; the same `tunekit submit`
    goes on. The cluster stays up.
    """
    from tunekit.cli.submitting import how_to_go_on
    from tunekit.cluster import jobs as rules
    from tunekit.cluster.launching import reached
    from tunekit.cluster.remembered import way_to

    way = way_to(name, address=address, cluster=cluster)
    with reached(way) as jobs:
        if dry_run:
            job = rules.latest_job(jobs, name)
            action = "has ended; nothing would be done" if job.has_ended else "would be sent SIGTERM and waited for"
            typer.echo(f"job {job.id} on {way.in_words} is {job.status}: it {action}")
            return DONE
        job, has_run = rules.stop(jobs, name)
    was = "stopped" if has_run else f"had ended before ({job.status})"
    typer.echo(f"{name} on {way.in_words}: {was}, job {job.id}. Nothing finished is lost.\n{how_to_go_on(name)}")
    return DONE


def fetch(
    name: SweepName,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Folder to bring it to. Default: runs/NAME.")
    ] = None,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", metavar="", help="Bring checkpoints too; `tunekit export` needs the best ones."),
    ] = False,
    address: Dashboard = None,
    cluster: ClusterFile = None,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="DIR",
            rich_help_panel=WHERE,
            help="Where the sweeps are. Default: where this one was submitted to, or /shared/runs.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Bring a sweep's folder home, also while it runs.

    A root that this machine sees is copied; else the folder comes through the cluster, with no need of ssh, and is
    checked by its digest. Afterwards `tunekit status`, `report` and `best` work here. Fetch again to bring it up to
    date.

      tunekit fetch my
      tunekit fetch my --to elsewhere/my --checkpoints
    """
    from tunekit.cli.submitting import fetch_sweep

    target = SweepFolder(to or USUAL_ROOT / name)
    if cluster is not None and address is not None:
        raise ConfigError("--address and --cluster name one cluster each; give one of them")
    return fetch_sweep(
        name, target, address=address, cluster=cluster, root=root, checkpoints=checkpoints, dry_run=dry_run
    )
