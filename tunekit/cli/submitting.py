"""A sweep sent to a cluster with a person in front of it: check it, show what goes along, start it, bring it home."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunekit.cli.exits import DONE
from tunekit.cli.next_command import SHARED_ROOT, root_option
from tunekit.errors import ConfigError, StorageError
from tunekit.storage import SweepFolder, place
from tunekit.wording import in_bytes, plural, visible

if TYPE_CHECKING:
    from tunekit.cluster.jobs import Job, Jobs, Submission
    from tunekit.cluster.launching import Commands
    from tunekit.cluster.remembered import Way
    from tunekit.cluster.shipping import Shipment
    from tunekit.sweep import Sweep


@dataclass(frozen=True)
class Wish:
    """What a person wants to have run."""

    file: Path
    name: str | None
    changes: tuple[str, ...]
    trials: int | None
    with_data: bool

    @property
    def overrides(self) -> list[str]:
        """Of the file's keys."""
        return [*self.changes, *([] if self.trials is None else [f"search.num_trials={self.trials}"])]

    def command(self, verb: str, *options: str) -> str:
        """What to type to have it again."""
        words = ["tunekit", verb, str(self.file), *options, *([] if self.name is None else ["--name", self.name])]
        words += [word for change in self.changes for word in ("--set", change)]
        words += [] if self.trials is None else ["--trials", str(self.trials)]
        return shlex.join([*words, *([] if self.with_data else ["--no-data"])])


def checked(wish: Wish) -> tuple[Sweep, Shipment]:
    """The sweep, checked as far as that can be done here, and what it takes along.

    Raises:
        ConfigError: it cannot run.
    """
    from tunekit.cli.sweep_run import preflight
    from tunekit.cluster.shipping import shipment_of
    from tunekit.registry import announcing
    from tunekit.sweep import load_sweep

    modules: list[str] = []
    with announcing(modules.append):
        sweep = load_sweep(wish.file, overrides=wish.overrides, name=wish.name, folders_must_exist=False)
        here, notes = _checkable(sweep)
        worth = notes if here is None else (*preflight(here, may_lack_data=True).notes, *notes)
    for note in worth:
        typer.echo(visible(f"worth knowing: {note}"))
    return sweep, shipment_of(sweep, modules, with_data=wish.with_data)


def _checkable(sweep: Sweep) -> tuple[Sweep | None, tuple[str, ...]]:
    from tunekit.check import checkable

    return checkable(sweep)


def launch_sweep(wish: Wish, cluster: Path, *, root: str, workers: int | None, dry_run: bool) -> int:
    """Bring up the cluster of a file and start a sweep there."""
    from tunekit.cluster.jobs import Submission
    from tunekit.cluster.launching import Commands, brought_up
    from tunekit.cluster.remembered import Way
    from tunekit.cluster.shipping import packed

    commands = Commands(file=cluster)
    sweep, shipment = checked(wish)
    submission = Submission(name=sweep.name, root=root, workers=workers)
    way = Way(cluster=cluster, source="--cluster")
    with packed(shipment) as package:
        _say(plan(submission, shipment, package))
        if dry_run:
            _say(_steps(commands))
            return DONE
        with brought_up(commands, _say) as jobs:
            _start(jobs, submission, package, way, wish)
    _say(f"end the cluster and its costs: {shlex.join(commands.down)}")
    return DONE


def submit_sweep(wish: Wish, way: Way, *, root: str, workers: int | None, dry_run: bool) -> int:
    """Start a sweep on a cluster that runs."""
    from tunekit.cluster.jobs import Submission
    from tunekit.cluster.launching import reached
    from tunekit.cluster.shipping import packed

    sweep, shipment = checked(wish)
    submission = Submission(name=sweep.name, root=root, workers=workers)
    with packed(shipment) as package:
        _say(plan(submission, shipment, package))
        if dry_run:
            _say(f"would be submitted to {way.in_words}; nothing was done")
            return DONE
        with reached(way) as jobs:
            _start(jobs, submission, package, way, wish)
    return DONE


def _start(jobs: Jobs, submission: Submission, package: Path, way: Way, wish: Wish) -> Job:
    from tunekit.cluster.jobs import submit
    from tunekit.cluster.remembered import Remembered, remember

    job = submit(jobs, submission, package)
    name, option = submission.name, ["--cluster", str(way.cluster)] if way.cluster else ["--address", str(way.address)]
    options = [*option, "--root", submission.root]
    options += [] if submission.workers is None else ["--workers", str(submission.workers)]
    again = wish.command("submit", *options)
    place = None if way.cluster is None else str(way.cluster.absolute())
    remember(name, Remembered(address=way.address, cluster=place, root=submission.root, command=again))
    _say(f"{name} is {job.status} on {way.in_words}, as job {job.id}\n{how_to_go_on_with(name)}")
    return job


def how_to_go_on_with(name: str) -> str:
    """The commands for a sweep that runs."""
    quoted = shlex.quote(name)
    return (
        f"follow it: tunekit logs {quoted} --follow\nstop it: tunekit stop {quoted}\nfetch it: tunekit fetch {quoted}"
    )


def how_to_go_on(name: str) -> str:
    """The command that goes on with a sweep that was stopped."""
    from tunekit.cluster.remembered import remembered

    last = remembered(name)
    if last is None or not last.command:
        return "Go on with the `tunekit submit` that started it."
    return f"Go on with: {last.command}"


def plan(submission: Submission, shipment: Shipment, package: Path) -> str:
    """What is about to run, and what goes along."""
    from tunekit.cluster.shipping import MOST_BYTES, row

    lines = [f"{submission.name}: runs on the cluster's head, with --root {submission.root}"]
    lines += [f"entry point: {submission.entrypoint}", "shipped:", *(f"  {row(item)}" for item in shipment.items)]
    packed_bytes = in_bytes(package.stat().st_size)
    lines += [f"  together {in_bytes(shipment.num_bytes)}, packed {packed_bytes} (at most {in_bytes(MOST_BYTES)})"]
    lines += [f"not shipped: {sentence}" for sentence in shipment.left]
    if shipment.needed:
        lines += [f"must be installed on the cluster: {', '.join(shipment.needed)}"]
    return "\n".join(lines)


def _steps(commands: Commands) -> str:
    ways = [shlex.join(commands.dashboard("PORT")), shlex.join(commands.up)]
    return (
        f"would be done:\n  {ways[0]}   (a tunnel to the dashboard; if the cluster has no head, first the next line)\n"
        f"  {ways[1]}\n  then the entry point is submitted through the tunnel\nnothing was done"
    )


def fetch_sweep(
    name: str,
    target: SweepFolder,
    *,
    address: str | None,
    cluster: Path | None,
    root: str | None,
    checkpoints: bool,
    dry_run: bool,
) -> int:
    """Bring a sweep's folder to `target`."""
    from tunekit.cluster import fetching
    from tunekit.cluster.launching import reached
    from tunekit.cluster.remembered import remembered, way_to

    last = remembered(name)
    root = root or (last.root if last is not None else SHARED_ROOT)
    source = _seen(name, root) if address is None and cluster is None else None
    if source is not None:
        if dry_run:
            return _said(f"would be copied from {source.path} to {target.path}; nothing was done")
        found = fetching.copy(source, target, checkpoints=checkpoints)
        return _fetched(f"{source.path}", target, found.num_files, found.num_bytes)
    way = way_to(name, address=address, cluster=cluster)
    if dry_run:
        command = fetching.sending_command(name, root, checkpoints=checkpoints)
        return _said(f"on {way.in_words} would run: {command}\nto be written to {target.path}; nothing was done")
    with reached(way) as jobs:
        found = fetching.fetch(jobs, name, root, target, checkpoints=checkpoints)
    return _fetched(f"{root} on {way.in_words}", target, found.num_files, found.num_bytes)


def _seen(name: str, root: str) -> SweepFolder | None:
    """The sweep, if it can be read from this machine; a bucket may let in nobody but the nodes of its cluster."""
    if root.startswith("~"):
        return None  # a home folder of the cluster; what lies in the one here may be another sweep of that name
    try:
        source = SweepFolder(place(root) / name)
        return source if source.exists else None
    except (ConfigError, StorageError):
        return None


def _fetched(source: str, target: SweepFolder, num_files: int, num_bytes: int) -> int:

    options = root_option(target)
    report = " ".join(["tunekit", "report", shlex.quote(target.name), *([options] if options else [])])
    fetched = f"fetched {plural(num_files, 'file')}, {in_bytes(num_bytes)}, from {source}"
    return _said(f"{fetched}\nto {target.path}. Its tables: {report}")


def _said(text: str) -> int:
    _say(text)
    return DONE


def _say(text: str) -> None:
    typer.echo(visible(text))
