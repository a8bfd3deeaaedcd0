"""Words on the command line. Heavy imports stand inside the commands that need them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunekit import __version__
from tunekit.config import ConfigError, StorageError, TunekitError

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.execution import Execution
    from tunekit.sweep import Sweep

DONE, UNFINISHED, BAD_INPUT = 0, 1, 2

app = typer.Typer(
    name="tunekit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Search hyperparameters of cross-lingual prompt learning, on a laptop or a Ray cluster.

Write one sweep file, start one command, kill it whenever you like, start it again: nothing finished is run twice,
and the search goes on as if nothing had happened.

[bold]A first tour[/bold]

  tunekit check search_spaces/quickstart.yaml    what would run, and what it would cost
  tunekit sweep search_spaces/quickstart.yaml    run it (again: go on with it)
  tunekit report quickstart                      the tables, once more

Exit codes: 0 done, 1 some trials failed or the run was cut short (resumable), 2 bad input.""",
)

Root = Annotated[Path, typer.Option("--root", help="Folder that holds sweeps, one folder each.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Trials at once. Default: as many as fit.")]
Address = Annotated[
    str | None, typer.Option("--address", help="A running Ray cluster: host:port, or auto. Default: a Ray of its own.")
]
InProcess = Annotated[bool, typer.Option("--in-process", help="Run trials one by one in this process, without Ray.")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Points an arm, instead of search.num_trials.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name under --root, or its folder.")]


def main() -> None:
    """Run the command line; errors meant for the user become one line and an exit code."""
    code = DONE
    try:
        code = app(standalone_mode=False) or DONE
    except typer.Abort:
        code = UNFINISHED
    except ConfigError as error:
        _complain(str(error))
        code = BAD_INPUT
    except TunekitError as error:
        _complain(str(error))
        code = UNFINISHED
    except KeyboardInterrupt:
        _complain("interrupted")
        code = UNFINISHED
    except BrokenPipeError:
        sys.stderr.close()
    except Exception as error:
        shown = getattr(error, "show", None)
        if shown is None:
            raise
        shown()
        code = BAD_INPUT
    sys.exit(code)


def _complain(message: str) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(message, err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunekit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of tunekit itself."""


@app.command()
def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The sweep file (search_spaces/README.md has every key).")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the sweep. Default: the file's.")] = None,
    root: Root = Path("runs"),
    overrides: Set = None,
    trials: Trials = None,
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and say what would run, then stop.")] = False,
) -> int:
    """Launch a sweep; if it exists, go on with it.

    Everything is checked before the first worker starts. Kill it at any moment: the same command goes on, runs nothing
    finished again, and decides what it would have decided.

    Examples:

      tunekit sweep my.yaml --set search.num_trials=8 --set fixed.epochs=3

      tunekit sweep my.yaml --address auto --root /shared/runs
    """
    from tunekit.execution import Execution
    from tunekit.sweep import load_sweep

    changes = [*(overrides or []), *([f"search.num_trials={trials}"] if trials else [])]
    loaded = load_sweep(file, overrides=changes, name=name)
    _preflight(loaded, show=dry_run)
    if dry_run:
        return DONE
    execution = Execution(in_process=in_process, address=address, workers=workers)
    return _run(loaded, root / loaded.name, execution)


@app.command()
def resume(
    name: NameArgument,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Extend to this many points an arm.")] = None,
    root: Root = Path("runs"),
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
) -> int:
    """Go on with an interrupted sweep, or extend a finished one.

    The sweep is run as it was last run (in this process, on Ray, on a cluster) unless an option says otherwise.
    """
    from tunekit.execution import Execution, stored_sweep

    folder = _folder(name, root)
    stored, last = stored_sweep(folder, num_trials=trials)
    _preflight(stored, show=False)
    execution = last
    if in_process or address or workers:
        execution = Execution(in_process=in_process, address=address, workers=workers)
    return _run(stored, folder, execution)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One sweep in detail. Default: all.")] = None,
    root: Root = Path("runs"),
) -> int:
    """Show how far sweeps are: finished, running, pruned and failed trials, the best so far."""
    from rich.console import Console

    from tunekit.journal import FILE_NAME, replay
    from tunekit.reports import status_table

    if name is not None:
        folders = [_folder(name, root)]
    else:
        folders = sorted(path.parent for path in root.glob(f"*/{FILE_NAME}"))
        if not folders:
            typer.echo(f"no sweeps under {root}; start one with: tunekit sweep FILE")
            return DONE
    Console(highlight=False).print(status_table([(folder.name, replay(folder)) for folder in folders]))
    return DONE


@app.command()
def report(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to. Default: report/ in the sweep's.")
    ] = None,
    root: Root = Path("runs"),
) -> int:
    """Write report.md, results.csv and each arm's best config; print the transfer table."""
    from rich.console import Console

    from tunekit.journal import replay
    from tunekit.reports import summary, write

    folder = _folder(name, root)
    record = replay(folder)
    files = write(record, out or folder / "report")
    console = Console(highlight=False)
    console.print(summary(record))
    console.print(_written(files), soft_wrap=True)
    return DONE


@app.command()
def best(
    name: NameArgument,
    arm: Annotated[str | None, typer.Option("--arm", help="Which arm. Needed where the sweep has several.")] = None,
    root: Root = Path("runs"),
) -> int:
    """Print the best configuration as a YAML file that `tunekit trial` runs."""
    from tunekit.journal import replay
    from tunekit.reports import best_config_yaml

    typer.echo(best_config_yaml(replay(_folder(name, root)), arm), nl=False)
    return DONE


@app.command()
def trial(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="One configuration, as `tunekit best` prints it.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the trial. Default: runs/trials/<trial_id>.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Also score the test sets, once.")] = False,
) -> int:
    """Run one configuration in this process, without Ray. Killed and started again, it goes on."""
    from tunekit.solo import load_trial, run_solo

    configuration, locations = load_trial(config)
    return run_solo(configuration, locations, out or Path("runs") / "trials" / configuration.trial_id, test=test)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|tasks|searchers|schedulers|sweeps", help="What to list.")],
    root: Root = Path("runs"),
) -> int:
    """List what there is to choose from, or the sweeps under --root."""
    from tunekit.listing import listing

    for line in listing(what, root):
        typer.echo(line)
    return DONE


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file.")],
    overrides: Set = None,
) -> int:
    """Check everything a sweep needs and print what would run: arms, space, trials, parameters, updates, cost."""
    from tunekit.sweep import load_sweep

    _preflight(load_sweep(file, overrides=overrides or []), show=True)
    return DONE


@app.command()
def dashboard(
    name: NameArgument,
    root: Root = Path("runs"),
    port: Annotated[int, typer.Option("--port", help="Port on this machine.")] = 8080,
    export: Annotated[
        Path | None, typer.Option("--export", help="Only write the Optuna storage (SQLite) here.")
    ] = None,
) -> int:
    """Open the sweep's studies in optuna-dashboard, from a copy of the journal as it is now."""
    from tunekit.execution import stored_sweep
    from tunekit.journal import replay
    from tunekit.search.export import export_studies

    folder = _folder(name, root)
    path = export or folder / "optuna.db"
    stored, _ = stored_sweep(folder)
    for study in export_studies(stored, replay(folder), path):
        typer.echo(f"{study}  in sqlite:///{path}")
    if export is None:
        from optuna_dashboard import run_server

        typer.echo(f"optuna-dashboard on http://127.0.0.1:{port} (Ctrl-C stops it)")
        run_server(f"sqlite:///{path}", host="127.0.0.1", port=port)
    return DONE


def _folder(name: str, root: Path) -> Path:
    """The folder of a sweep given by name or path."""
    from tunekit.config import nearest
    from tunekit.journal import FILE_NAME

    for folder in (root / name, Path(name)):
        if (folder / FILE_NAME).is_file():
            return folder
    known = [path.parent.name for path in root.glob(f"*/{FILE_NAME}")]
    hint = nearest(name, known) if known else f"there are none under {root}"
    raise ConfigError(f"no sweep {name!r}; {hint}")


def _preflight(loaded: Sweep, *, show: bool) -> None:
    """Refuse what cannot run before any worker starts."""
    from rich.console import Console

    from tunekit.check import check as check_sweep
    from tunekit.check import render

    checked = check_sweep(loaded)
    if show:
        Console(highlight=False).print(render(checked))


def _run(loaded: Sweep, folder: Path, execution: Execution) -> int:
    from tunekit.display import Progress, quiet
    from tunekit.execution import SweepInterrupted, run_sweep

    reason: str | None = None
    with _interruptible(), quiet(folder / "logs" / "driver.log") as console:
        console.print(_banner(loaded, folder, execution))
        try:
            with Progress(console) as progress:
                finish = run_sweep(loaded, folder, execution, watch=progress.watch)
        except KeyboardInterrupt:
            reason = "interrupted"
        except (SweepInterrupted, StorageError) as error:
            reason = str(error)
        if reason is None:
            _conclude(console, folder)
    if reason is not None:
        _complain(f"{reason}\nNothing finished is lost. Go on with: {_resume_command(folder)}")
        return UNFINISHED
    for problem in finish.problems:
        _complain(problem)
    if finish.num_failed:
        _complain(f"{finish.num_failed} trials failed; the report says why")
    return UNFINISHED if finish.problems or finish.num_failed else DONE


def _banner(loaded: Sweep, folder: Path, execution: Execution) -> str:
    where = "in this process" if execution.in_process else f"on Ray at {execution.address or 'this machine'}"
    arms = ", ".join(arm.name for arm in loaded.arms)
    return f"{loaded.name}: {arms}; {loaded.search.num_trials} points an arm, {where}\n{folder}/logs/driver.log has the rest"


def _conclude(console: Console, folder: Path) -> None:
    from tunekit.journal import replay
    from tunekit.reports import summary, write

    record = replay(folder)
    files = write(record, folder / "report")
    console.print()
    console.print(summary(record))
    console.print(_written(files), soft_wrap=True)


def _written(files: Any) -> str:
    return "written: " + "  ".join(str(path) for path in files)


def _resume_command(folder: Path) -> str:
    root = "" if folder.parent == Path("runs") else f" --root {folder.parent}"
    return f"tunekit resume {folder.name}{root}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite kill (SIGTERM, a closed terminal) ends a sweep as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for known, handler in handlers.items():
            signal.signal(known, handler)
