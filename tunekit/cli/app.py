"""Words on the command line. Heavy imports stand inside the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunekit import __version__
from tunekit.cli.arguments import (
    Address,
    FileArgument,
    InProcess,
    MoreTrials,
    NameArgument,
    Overrides,
    Root,
    RunRoot,
    Trials,
    Workers,
)
from tunekit.cli.foreground import BAD_INPUT, DONE, UNFINISHED, complain
from tunekit.cli.pages import FrontPage, Page
from tunekit.cli.places import sweep_folder, sweep_folders
from tunekit.errors import ConfigError, TunekitError

if TYPE_CHECKING:
    from tunekit.execution import Execution
    from tunekit.sweep import Sweep

app = typer.Typer(
    name="tunekit",
    cls=FrontPage,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some trials failed or the run was cut short (it says how to resume), 2 bad input.",
    help="""Search hyperparameters of cross-lingual prompt learning, on a laptop or a Ray cluster.

Write one sweep file, start one command, kill it whenever you like, start it again: nothing finished is run twice,
and the search goes on as if nothing had happened.

  [bold]tunekit check search_spaces/quickstart.yaml[/]   what it runs, what it costs
  [bold]tunekit sweep search_spaces/quickstart.yaml[/]   run it; again: go on with it
  [bold]tunekit report quickstart[/]                     its tables, once more""",
)

RUN, LOOK, CHOOSE = "Run", "Look", "Choose"


def main() -> None:
    """Run the command line; errors meant for the user become a line or two and an exit code."""
    code = DONE
    try:
        code = app(standalone_mode=False) or DONE
    except typer.Abort:
        code = 130
    except Exception as error:
        code = _explained(error)
    if code == 130:  # what typer makes of Ctrl-C
        complain("interrupted")
        code = UNFINISHED
    sys.exit(code)


def _explained(error: Exception) -> int:
    """Tell the user what is wrong and give the exit code; an error of our own making goes on its way."""
    if isinstance(error, TunekitError):
        complain(str(error))
        return BAD_INPUT if isinstance(error, ConfigError) else UNFINISHED
    if hasattr(error, "format_message"):  # a wrong word on the command line
        context = getattr(error, "ctx", None)
        complain(error.format_message() + (f"\nSee: {context.command_path} --help" if context else ""))
        return BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        complain(f"{error.filename}: {error.strerror or error}")
        return UNFINISHED
    raise error


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunekit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(cls=Page, rich_help_panel=RUN)
def check(file: FileArgument, overrides: Overrides = None) -> int:
    """Check everything a sweep needs; print what would run and what it would cost.

    Reads the sweep file and the data and builds each method at every corner of its space, without training anything.
    Where the data are not on this machine it says so and goes on with their documented sizes.
    Prints arms, spaces, number of trials, trained parameters and their share of the backbone, updates, and hours.
    """
    return _show_check(_read(file, overrides or []))


@app.command(cls=Page, rich_help_panel=RUN)
def sweep(
    file: FileArgument,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the sweep. Default: the file's.")
    ] = None,
    overrides: Overrides = None,
    trials: Trials = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Check and say what would run, then stop.")
    ] = False,
    root: RunRoot = Path("runs"),
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
) -> int:
    """Launch a sweep; if it exists, go on with it.

    Everything is checked before the first worker starts. Kill it at any moment: the same command goes on, runs nothing
    finished again, and decides what it would have decided.

      tunekit sweep my.yaml --set fixed.epochs=3 --trials 8
      tunekit sweep my.yaml --address auto --root /shared/runs
    """
    from tunekit.cli.foreground import run

    execution = _execution(None, in_process=in_process, address=address, workers=workers)
    changes = list(overrides or [])
    if trials is not None:
        changes.append(f"search.num_trials={_at_least_one('--trials', trials)}")
    loaded = _read(file, changes, name)
    if dry_run:
        return _show_check(loaded)
    return run(loaded, root / loaded.name, execution)


@app.command(cls=Page, rich_help_panel=RUN)
def resume(
    name: NameArgument,
    trials: MoreTrials = None,
    root: RunRoot = Path("runs"),
    workers: Workers = None,
    address: Address = None,
    in_process: InProcess = False,
) -> int:
    """Go on with an interrupted sweep, or extend a finished one.

    It runs where it last ran (in one process, on Ray, on a cluster, with as many workers) unless an option says
    otherwise. Nothing finished is run again.
    """
    from tunekit.cli.foreground import run
    from tunekit.execution import stored_sweep

    folder = sweep_folder(name, root)
    stored, last = stored_sweep(folder, num_trials=_at_least_one("--trials", trials))
    return run(stored, folder, _execution(last, in_process=in_process, address=address, workers=workers))


@app.command(cls=Page, rich_help_panel=RUN)
def trial(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="One configuration, as `tunekit best` prints it.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the trial. Default: runs/trials/TRIAL_ID."),
    ] = None,
    test: Annotated[bool, typer.Option("--test", metavar="", help="Also score the test sets, once.")] = False,
) -> int:
    """Run one configuration in this process, without Ray.

    Killed and started again, it goes on from its last epoch.
    """
    from tunekit.cli.solo import load_trial, run_solo

    configuration, locations = load_trial(config)
    return run_solo(configuration, locations, out or Path("runs") / "trials" / configuration.trial_id, test=test)


@app.command(cls=Page, rich_help_panel=LOOK)
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One sweep in detail. Default: a line for each.")
    ] = None,
    root: Root = Path("runs"),
) -> int:
    """Show how far sweeps are, and what to do next.

    Counts finished, running, pruned and failed trials, with the best dev score so far. Reads only; safe at any time.
    """
    from tunekit.cli.display import console
    from tunekit.cli.foreground import where
    from tunekit.journal import is_being_run, replay
    from tunekit.reports import status_table

    folders = [sweep_folder(name, root)] if name is not None else sweep_folders(root)
    if not folders:
        typer.echo(f"no sweeps under {root}; start one with: tunekit sweep FILE")
        return DONE
    running = [folder.name for folder in folders if is_being_run(folder)]
    records = [(folder.name, replay(folder)) for folder in folders]
    console().print(status_table(records, running=running, options=where(folders[0])))
    return DONE


@app.command(cls=Page, rich_help_panel=LOOK)
def report(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to. Default: report/ in the sweep's.")
    ] = None,
    root: Root = Path("runs"),
) -> int:
    """Write a sweep's report and print its tables.

    Writes report.md (transfer table, selection rule, budgets, failures), results.csv (a row an arm, language, seed and
    metric) and each arm's best configuration. Works at any time, of an unfinished sweep too.
    """
    from tunekit.cli.display import console
    from tunekit.cli.foreground import written
    from tunekit.journal import replay
    from tunekit.reports import summary, write

    folder = sweep_folder(name, root)
    record = replay(folder)
    files = write(record, out or folder / "report")
    page = console()
    page.print(summary(record))
    page.print(written(files), soft_wrap=True, markup=False)
    return DONE


@app.command(cls=Page, rich_help_panel=LOOK)
def best(
    name: NameArgument,
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="ARM", help="Which arm. Needed where the sweep has several.")
    ] = None,
    root: Root = Path("runs"),
) -> int:
    """Print the best configuration, as a YAML file that `tunekit trial` runs.

    Its first lines say which point it is, how it was chosen and what it scored.

      tunekit best quickstart --arm ptuning_v2 > best.yaml
      tunekit trial best.yaml
    """
    from tunekit.journal import replay
    from tunekit.reports import best_config_yaml

    typer.echo(best_config_yaml(replay(sweep_folder(name, root)), arm), nl=False)
    return DONE


@app.command(cls=Page, rich_help_panel=LOOK)
def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The sweep's name under --root, its folder, or the folder of a trial.")
    ],
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="ARM", help="Which arm. Needed where the sweep has several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to. Default: export/ in NAME's folder.")
    ] = None,
    root: Root = Path("runs"),
) -> int:
    """Write the best trained adapter so that plain peft loads it.

    Writes peft's adapter (of lora, ptuning_v2 or prompt_tuning), the head beside it, and a README with the code that
    loads and uses both without tunekit. Of a sweep it is the configuration that `tunekit best` prints.

      tunekit export quickstart --arm ptuning_v2
    """
    from tunekit.cli.foreground import written
    from tunekit.cli.places import trial_to_export
    from tunekit.export import export as write_adapter

    trial, default = trial_to_export(name, arm, root)
    typer.echo(written(write_adapter(trial, out or default)))
    return DONE


@app.command(cls=Page, rich_help_panel=LOOK)
def dashboard(
    name: NameArgument,
    root: Root = Path("runs"),
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="Port on this machine.")] = 8080,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write the Optuna storage (SQLite) there, start no server."),
    ] = None,
) -> int:
    """Open a sweep's searches in optuna-dashboard.

    Shows a copy of the journal as it is now, one study an arm; start it again to see more. With --export, load a study
    in Python by [bold]optuna.load_study(study_name="NAME/ARM", storage="sqlite:///FILE")[/].
    """
    from tunekit.execution import stored_sweep
    from tunekit.journal import replay
    from tunekit.search.export import export_studies

    folder = sweep_folder(name, root)
    path = export or folder / "optuna.db"
    stored, _ = stored_sweep(folder)
    for study in export_studies(stored, replay(folder), path):
        typer.echo(f"{study}  in sqlite:///{path}")
    if export is None:
        from optuna_dashboard import run_server

        typer.echo(f"optuna-dashboard on http://127.0.0.1:{port} (Ctrl-C stops it)")
        run_server(f"sqlite:///{path}", host="127.0.0.1", port=port)
    return DONE


@app.command("list", cls=Page, rich_help_panel=CHOOSE)
def list_(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="methods, tasks, searchers, schedulers, or sweeps (under --root).")
    ],
    root: Root = Path("runs"),
) -> int:
    """List methods, tasks, searchers, schedulers, or sweeps."""
    from tunekit.cli.listing import listing

    for line in listing(what, root):
        typer.echo(line)
    return DONE


def _read(file: Path, changes: list[str], name: str | None = None) -> Sweep:
    from tunekit.cli.display import console, patience
    from tunekit.sweep import load_sweep

    with patience(console(), f"reading {file}"):
        return load_sweep(file, overrides=changes, name=name)


def _show_check(loaded: Sweep) -> int:
    from tunekit.check import render
    from tunekit.cli.display import console
    from tunekit.cli.foreground import preflight

    console().print(render(preflight(loaded, may_lack_data=True)))
    return DONE


def _execution(last: Execution | None, *, in_process: bool, address: str | None, workers: int | None) -> Execution:
    """Where to run: what the options say, and for the rest where the sweep `last` ran."""
    from tunekit.execution import Execution

    if in_process and (address is not None or workers is not None):
        idle = "--address" if address is not None else "--workers"
        raise ConfigError(f"{idle} has no effect with --in-process, which runs one trial at a time without Ray")
    if in_process:
        return Execution(in_process=True)
    workers = _at_least_one("--workers", workers)
    if last is None or address is not None:
        remembered = None if last is None else last.workers
        return Execution(address=None if address == "local" else address, workers=workers or remembered)
    return last if workers is None else Execution(address=last.address, workers=workers)


def _at_least_one(option: str, number: int | None) -> int | None:
    if number is not None and number < 1:
        raise ConfigError(f"{option} is {number}, must be at least 1")
    return number
