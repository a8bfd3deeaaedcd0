"""A sweep with a person in front of it: check it, run it, show it, report it."""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.cli.exits import DONE, UNFINISHED, complain
from tunekit.cli.interruption import advise
from tunekit.cli.next_command import how_to_go_on, resume_command
from tunekit.errors import ConfigError, StorageError
from tunekit.storage import AnyPath, SweepFolder, require_place, upload
from tunekit.wording import plural

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.check import SweepCheck
    from tunekit.execution import Execution, Finish
    from tunekit.sweep import Sweep


def preflight(
    sweep: Sweep, log: Path | None = None, *, may_lack_data: bool = False, root: AnyPath | None = None
) -> SweepCheck:
    """Refuse what cannot run, before any worker starts; what libraries print meanwhile goes to `log`.

    Args:
        sweep: what to check.
        log: a file.
        may_lack_data: check the rest where data are not on this machine.
        root: the folder of sweeps, whose free space is looked at.

    Raises:
        ConfigError: the sweep cannot run.
    """
    from tunekit.check import check
    from tunekit.cli.console import quiet_for, waiting

    message = f"{sweep.name}: checking data, backbones and every corner of each space"
    is_over = False
    with quiet_for(lambda: log if is_over else None) as console, waiting(console, message, is_logged=log is not None):
        checked = check(sweep, may_lack_data=may_lack_data, root=root)
        is_over = True
    return checked


def run(sweep: Sweep, folder: SweepFolder, execution: Execution, *, retry_failed: bool = False) -> int:
    """Check and run `sweep` in `folder`, with progress and a table at the end; the exit code.

    Args:
        sweep: what to search.
        folder: made if it does not exist.
        execution: where trials run.
        retry_failed: try failed trials again.

    Raises:
        ConfigError: the sweep cannot run, or `folder` holds another one.
        StorageError: `folder` cannot be written.
    """
    require_place(folder.path.parent)
    advise(lambda: how_to_go_on(folder))
    try:
        finish, reason = _run_and_report(sweep, folder, execution, retry_failed=retry_failed)
    except KeyboardInterrupt:
        finish, reason = None, "interrupted"
    if finish is None:
        complain(f"{reason}\n{how_to_go_on(folder)}")
        return UNFINISHED
    for problem in finish.problems:
        complain(problem)
    if finish.num_failed:
        again = resume_command(folder, "--retry-failed")
        complain(f"{plural(finish.num_failed, 'trial')} failed; the report says why. Try them again with: {again}")
    return UNFINISHED if finish.problems or finish.num_failed else DONE


def _run_and_report(
    sweep: Sweep, folder: SweepFolder, execution: Execution, *, retry_failed: bool
) -> tuple[Finish | None, str]:
    """How the sweep ended; None and the reason if it was cut short."""
    from tunekit.cli.console import quiet

    checked = preflight(sweep, folder.driver_log, root=folder.path.parent)
    with quiet(folder.driver_log) as console:
        console.print(banner(checked, folder, execution), markup=False, soft_wrap=True)
        finish, reason = _follow(console, sweep, folder, execution, retry_failed=retry_failed)
        if finish is not None:
            conclude(console, folder)
    with suppress(StorageError):  # the log is for people; nothing depends on it
        upload(folder.driver_log, folder.kept_driver_log)
    return finish, reason


def _follow(
    console: Console, sweep: Sweep, folder: SweepFolder, execution: Execution, *, retry_failed: bool
) -> tuple[Finish | None, str]:
    """Run the sweep and show it."""
    from tunekit.cli.display import Progress
    from tunekit.execution import SweepInterrupted, run_sweep

    try:
        with Progress(console) as progress:
            finish = run_sweep(
                sweep,
                folder.path,
                execution,
                retry_failed=retry_failed,
                watch=progress.watch,
                notify=progress.say,
            )
            return finish, ""
    except ConfigError:
        raise
    except KeyboardInterrupt:
        return None, "interrupted"
    except (SweepInterrupted, StorageError) as error:
        return None, str(error)
    except Exception as error:
        traceback.print_exc()
        return None, f"{type(error).__name__}: {error} (the traceback is in {folder.driver_log})"


def banner(checked: SweepCheck, folder: SweepFolder, execution: Execution) -> str:
    """What is about to run, where, who else shows it, and what the check found worth knowing."""
    from tunekit.tracking import places

    sweep = checked.sweep
    where = "in this process" if execution.in_process else f"on Ray at {execution.address or 'this machine'}"
    arms = ", ".join(arm.name for arm in sweep.arms)
    notes = "".join(f"\nworth knowing: {note}" for note in (*checked.notes, *_room(checked, folder, execution)))
    plan = f"{sweep.name}: {arms}; {sweep.points_in_words()}, {where}"
    shown = "".join(f"\nto look at it elsewhere: {place}" for place in places(sweep, folder))
    return f"{plan}\nwhat libraries print is in {folder.driver_log}{shown}{notes}"


def _room(checked: SweepCheck, folder: SweepFolder, execution: Execution) -> tuple[str, ...]:
    """A sentence if the disk has no room for the trials that are about to run at once."""
    from tunekit.check.limits import lacks_room
    from tunekit.execution.room_on_disk import too_little
    from tunekit.storage import bytes_at_work

    if lacks_room(checked.sweep, checked.arms, checked.free_bytes):  # which is said already
        return ()
    largest = max((arm.num_trainable.high for arm in checked.arms), default=0.0)
    found = too_little(folder.path, bytes_at_work(largest) * (execution.workers or 1))
    return () if found is None else (found,)


def conclude(console: Console, folder: SweepFolder) -> None:
    """Write the report of the sweep in `folder` and print its tables."""
    from tunekit.journal import replay
    from tunekit.reports import summary, write

    record = replay(folder.path)
    files = write(record, folder.report, folder)
    console.print()
    console.print(summary(record))
    console.print(str(files), soft_wrap=True, markup=False)
