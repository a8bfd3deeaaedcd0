"""The command line: its commands in the order in which a person needs them, its front page and its exit codes."""

from __future__ import annotations

import atexit
import inspect
import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from tunekit.cli import cluster_commands, look_commands, render_command, run_commands
from tunekit.cli.compare_command import compare
from tunekit.cli.console import flushed
from tunekit.cli.doctor_command import doctor
from tunekit.cli.exits import DONE, UNFINISHED, complain, explain
from tunekit.cli.help_pages import CommandPage, FrontPage, flowing
from tunekit.cli.interruption import interruptible, leave_quietly
from tunekit.cli.own_code import announced
from tunekit.cli.track_command import track
from tunekit.cli.watch_command import watch
from tunekit.version import __version__

app = typer.Typer(
    name="tunekit",
    cls=FrontPage,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some trials failed or the run was cut short (it says how to resume), 2 bad input.",
    help=flowing(
        """Search hyperparameters of cross-lingual prompt learning, on a laptop or a Ray cluster.

        Write a sweep file and start it with one command. Stop it at any moment and start it again: no finished trial
        runs a second time, and the search goes on as if it had never stopped.

          [bold]tunekit check search_spaces/quickstart.yaml[/]   what it runs, what it costs
          [bold]tunekit sweep search_spaces/quickstart.yaml[/]   run it; again: go on with it
          [bold]tunekit report quickstart[/]                     write its tables again"""
    ),
)


def main() -> None:
    """Run the command line; errors meant for the user become a line or two and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows few signs shows the others as `?`
    with interruptible():
        try:
            code = _run()
        except KeyboardInterrupt:
            complain("interrupted")
            code = UNFINISHED
        code = flushed(code)
    atexit.register(leave_quietly)
    sys.exit(code)


def _run() -> int:
    code = DONE
    try:
        with announced() as notice:
            code = app(standalone_mode=False, obj=notice) or DONE
    except typer.Abort:
        code = 130
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):  # nobody reads on, which is no fault
            raise
    except Exception as error:
        code = explain(error)
    if code == 130:  # what typer makes of Ctrl-C
        complain("interrupted")
        code = UNFINISHED
    return code


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
    if context.obj is not None:
        context.obj.is_error = context.invoked_subcommand not in RUNNING


RUNNING = ("check", "sweep", "resume", "trial", "launch", "submit")
"""Commands whose output is for people; what the others print may be read by programs."""


def _add(panel: str | None, *commands: Callable[..., int], group: typer.Typer = app) -> None:
    for command in commands:
        page = flowing(inspect.getdoc(command) or "")
        group.command(command.__name__.rstrip("_"), cls=CommandPage, help=page, rich_help_panel=panel)(command)


render = typer.Typer(
    cls=FrontPage,
    rich_markup_mode="rich",
    help=flowing(
        """Write what a cluster's own scheduler takes: a manifest for Kubernetes, a batch script for Slurm.

        Everything is computed from the sweep file and the options, and nothing is asked of any cluster."""
    ),
)


_add("Run", run_commands.check, run_commands.sweep, run_commands.resume, run_commands.trial)
_add("Look", look_commands.status, watch, look_commands.report, compare, look_commands.best, look_commands.export)
_add("Look", look_commands.dashboard, track, doctor)
_add("Cluster", cluster_commands.launch, cluster_commands.submit, cluster_commands.logs)
_add("Cluster", cluster_commands.stop, cluster_commands.fetch)
_add("Choose", look_commands.list_)
_add(None, render_command.kuberay, render_command.slurm, group=render)
app.add_typer(render, name="render", rich_help_panel="Cluster", no_args_is_help=True)
