"""A sweep with a person in front of it: check it, run it, show it, conclude; Ctrl-C ends it in good order."""

from __future__ import annotations

import shlex
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunekit.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.check import SweepCheck
    from tunekit.execution import Execution, Finish
    from tunekit.sweep import Sweep

DONE, UNFINISHED, BAD_INPUT = 0, 1, 2
"""Exit codes."""


def complain(message: str) -> None:
    """Tell the user what went wrong, on standard error."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(message, err=True)


def preflight(sweep: Sweep, log: Path | None = None, *, may_lack_data: bool = False) -> SweepCheck:
    """Refuse what cannot run, before any worker starts; what libraries print meanwhile goes to `log`.

    Args:
        sweep: what to check.
        log: a file.
        may_lack_data: check the rest where data are not on this machine.

    Raises:
        ConfigError: the sweep cannot run.
    """
    from tunekit.check import check
    from tunekit.cli.display import patience, quiet_for

    message = f"{sweep.name}: checking data, backbones and every corner of each space"
    is_over = False
    with quiet_for(lambda: log if is_over else None) as console, patience(console, message, is_logged=log is not None):
        checked = check(sweep, may_lack_data=may_lack_data)
        is_over = True
    return checked


def run(sweep: Sweep, folder: Path, execution: Execution) -> int:
    """Check and run `sweep` in `folder`, with progress and a table at the end; the exit code.

    Raises:
        ConfigError: the sweep cannot run, or `folder` holds another one.
        StorageError: `folder` cannot be written.
    """
    from tunekit.cli.display import quiet

    log = folder / "logs" / "driver.log"
    if folder.parent.exists() and not folder.parent.is_dir():
        raise ConfigError(f"--root {folder.parent} is a file; name a folder")
    with interruptible():
        try:
            checked = preflight(sweep, log)
            with quiet(log) as console:
                console.print(banner(checked, folder, execution), markup=False, soft_wrap=True)
                finish, reason = _follow(console, sweep, folder, execution)
                if finish is not None:
                    conclude(console, folder)
        except KeyboardInterrupt:
            finish, reason = None, "interrupted"
    if finish is None:
        complain(f"{reason}\n{_how_to_go_on(folder)}")
        return UNFINISHED
    for problem in finish.problems:
        complain(problem)
    if finish.num_failed:
        complain(f"{_counted(finish.num_failed, 'trial')} failed; the report says why")
    return UNFINISHED if finish.problems or finish.num_failed else DONE


def _follow(
    console: Console, sweep: Sweep, folder: Path, execution: Execution
) -> tuple[Finish, None] | tuple[None, str]:
    """Run the sweep and show it: how it ended, or why it was cut short."""
    from tunekit.cli.display import Progress
    from tunekit.execution import SweepInterrupted, run_sweep

    try:
        with Progress(console) as progress:
            return run_sweep(sweep, folder, execution, watch=progress.watch), None
    except ConfigError:
        raise
    except KeyboardInterrupt:
        return None, "interrupted"
    except (SweepInterrupted, StorageError) as error:
        return None, str(error)
    except Exception as error:
        traceback.print_exc()
        return None, f"{type(error).__name__}: {error} (the traceback is in {folder / 'logs' / 'driver.log'})"


def banner(checked: SweepCheck, folder: Path, execution: Execution) -> str:
    """What is about to run, where, and what the check found worth knowing."""
    sweep = checked.sweep
    where = "in this process" if execution.in_process else f"on Ray at {execution.address or 'this machine'}"
    arms = ", ".join(arm.name for arm in sweep.arms)
    points = _counted(sweep.search.num_trials, "point")
    notes = "".join(f"\nworth knowing: {note}" for note in checked.notes)
    return f"{sweep.name}: {arms}; {points} an arm, {where}\n{folder}/logs/driver.log has the libraries' words{notes}"


def conclude(console: Console, folder: Path) -> None:
    """Write the report of the sweep in `folder` and print its tables."""
    from tunekit.journal import replay
    from tunekit.reports import summary, write

    record = replay(folder)
    with _writing(folder / "report"):
        files = write(record, folder / "report")
    console.print()
    console.print(summary(record))
    console.print(written(files), soft_wrap=True, markup=False)


def written(files: Iterable[object]) -> str:
    """The line that names the files of a report."""
    return "\n".join(["written:", *(f"  {path}" for path in files)])


def resume_command(folder: Path) -> str:
    """What to type to go on with the sweep in `folder`."""
    name = folder.name if folder.name not in ("", "..") else folder.resolve().name
    return " ".join(["tunekit", "resume", shlex.quote(name), *([where(folder)] if where(folder) else [])])


def where(folder: Path) -> str:
    """The option that commands need beside the sweep's name to find `folder`; nothing for the usual root."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return "" if folder.parent == Path("runs") else f"--root {shlex.quote(str(folder.parent))}"


def _how_to_go_on(folder: Path) -> str:
    from tunekit.journal import FILE_NAME

    journal = folder / FILE_NAME
    if not journal.is_file() or not journal.stat().st_size:
        return "Nothing was started; the same command starts it."
    return f"Nothing finished is lost. Go on with: {resume_command(folder)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make the folder of `path`, and tell of a full or closed disk in tunekit's words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or path}: {error.strerror or error}") from None


@contextmanager
def interruptible() -> Iterator[None]:
    """A polite kill (SIGTERM, a closed terminal) ends what runs inside as Ctrl-C does; nohup is respected."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
