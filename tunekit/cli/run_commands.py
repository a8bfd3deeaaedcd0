"""The commands that run something: check, sweep, resume and trial. Their docstrings are their help pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunekit.cli.arguments import (
    Address,
    FileArgument,
    InProcess,
    NameArgument,
    NewName,
    NumTrials,
    Overrides,
    RunRoot,
    Workers,
    at_least_one,
)
from tunekit.cli.exits import DONE
from tunekit.cli.next_command import USUAL_ROOT
from tunekit.errors import ConfigError
from tunekit.storage import AnyPath, SweepFolder, TrialFolder, folder_of_this_machine, sweep_folder

if TYPE_CHECKING:
    from tunekit.execution import Execution
    from tunekit.sweep import Sweep


def check(
    file: FileArgument,
    overrides: Overrides = None,
    data: Annotated[
        bool, typer.Option("--data", metavar="", help="Show what was read of each split and language.")
    ] = False,
) -> int:
    """Check everything that a sweep needs; print what it read, would run and cost.

    Reads the sweep file and the data, and builds each method at every corner of its space, without any training.
    If the data are not on this machine, it says so and goes on with their documented sizes.
    Prints the first example, labels, lengths and repeats of the data; arms, spaces, number of trials, trained
    parameters and their share of the backbone, updates, and hours.
    """
    return _show_check(_read(file, overrides or []), in_full=data)


def sweep(
    file: FileArgument,
    name: NewName = None,
    overrides: Overrides = None,
    trials: NumTrials = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Check and say what would run, then stop.")
    ] = False,
    root: RunRoot = USUAL_ROOT,
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
) -> int:
    """Start a sweep; if it exists already, go on with it.

    Everything is checked before the first trial starts. Stop it at any moment: the same command goes on, runs no
    finished trial again, and decides as it would have decided without the stop.

      tunekit sweep my.yaml --set fixed.epochs=3 --trials 8
      tunekit sweep my.yaml --address auto --root /shared/runs
    """
    from tunekit.cli.sweep_run import run

    execution = execution_of(None, in_process=in_process, address=address, workers=workers)
    changes = list(overrides or [])
    if trials is not None:
        changes.append(f"search.num_trials={at_least_one('--trials', trials)}")
    loaded = _read(file, changes, name)
    if dry_run:
        return _show_check(loaded, root=root)
    return run(loaded, SweepFolder(root / loaded.name), execution)


def resume(
    name: NameArgument,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="Extend the search to N points per arm.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", metavar="", help="Try failed trials again, each under its own name.")
    ] = False,
    root: RunRoot = USUAL_ROOT,
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
) -> int:
    """Go on with an interrupted sweep, or extend a finished one.

    It runs where it last ran (in one process, on Ray, on a cluster, with as many workers) unless an option says
    otherwise. No finished trial runs again; failed ones do with --retry-failed, and the journal keeps why they failed
    before.

      tunekit resume quickstart --trials 8
      tunekit resume quickstart --retry-failed
    """
    from tunekit.cli.sweep_run import run
    from tunekit.execution import stored_sweep

    folder = sweep_folder(name, root)
    stored, last = stored_sweep(folder.path, num_trials=at_least_one("--trials", trials))
    execution = execution_of(last, in_process=in_process, address=address, workers=workers)
    return run(stored, folder, execution, retry_failed=retry_failed)


def trial(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="One configuration, as `tunekit best` prints it.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=folder_of_this_machine,
            help="Folder of the trial. Default: runs/trials/TRIAL_ID.",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", metavar="", help="Also score the test sets, once.")] = False,
) -> int:
    """Run one configuration in this process, without Ray.

    If it is stopped, the same command goes on from its last epoch.
    """
    from tunekit.cli.single_trial import load_trial, run_alone

    configuration, locations = load_trial(config)
    folder = TrialFolder(out) if out is not None else SweepFolder(USUAL_ROOT).trial(configuration.trial_id)
    return run_alone(configuration, locations, folder, test=test)


def _read(file: Path, changes: list[str], name: str | None = None) -> Sweep:
    from tunekit.cli.console import console, waiting
    from tunekit.sweep import load_sweep

    with waiting(console(), f"reading {file}"):
        return load_sweep(file, overrides=changes, name=name)


def _show_check(loaded: Sweep, *, root: AnyPath = USUAL_ROOT, in_full: bool = False) -> int:
    from tunekit.check import render
    from tunekit.cli.console import console
    from tunekit.cli.sweep_run import preflight

    console().print(render(preflight(loaded, may_lack_data=True, root=root), in_full=in_full))
    return DONE


def execution_of(last: Execution | None, *, in_process: bool, address: str | None, workers: int | None) -> Execution:
    """Where to run: what the options say, and for the rest where the sweep `last` ran.

    Raises:
        ConfigError: two options contradict each other.
    """
    from tunekit.execution import Execution

    if in_process and (address is not None or workers is not None):
        idle = "--address" if address is not None else "--workers"
        raise ConfigError(f"{idle} has no effect with --in-process, which runs one trial at a time without Ray")
    if in_process:
        return Execution(in_process=True)
    workers = at_least_one("--workers", workers)
    if last is None or address is not None:
        remembered = None if last is None else last.workers
        return Execution(address=None if address == "local" else address, workers=workers or remembered)
    return last if workers is None else Execution(address=last.address, workers=workers)
