"""The commands that look at what was run: status, report, best, export, dashboard and list.

Their docstrings are their help pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunekit.cli.arguments import Arm, NameArgument, Root
from tunekit.cli.exits import DONE, UNFINISHED
from tunekit.cli.found_sweeps import found_sweeps, one_sweep
from tunekit.cli.next_command import USUAL_ROOT, how_to_begin, root_option
from tunekit.storage import AnyPath, folder_of_this_machine, place, sweep_folder
from tunekit.wording import visible


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One sweep in detail. Default: one line for each sweep.")
    ] = None,
    root: Root = USUAL_ROOT,
) -> int:
    """Show how far sweeps are, and what to do next.

    Counts finished, running, pruned and failed trials, with the best dev score so far. It only reads, so it is safe at
    any time. A sweep whose journal is damaged is shown with the reason, and the exit code is 1 then.
    """
    from tunekit.cli.console import console
    from tunekit.reports import status_table

    found = [one_sweep(sweep_folder(name, root))] if name is not None else found_sweeps(root)
    if not found:
        typer.echo(how_to_begin(root))
        return DONE
    names = [visible(sweep.folder.name) for sweep in found]
    running = [name for name, sweep in zip(names, found, strict=True) if sweep.is_running]
    records = [(name, sweep.record or sweep.problem) for name, sweep in zip(names, found, strict=True)]
    console().print(status_table(records, running=running, options=root_option(found[0].folder)))
    return UNFINISHED if any(sweep.problem for sweep in found) else DONE


def report(
    name: NameArgument,
    out: Annotated[
        AnyPath | None,
        typer.Option(
            "--out", metavar="DIR", parser=place, help="Folder to write to. Default: report/ in the sweep's folder."
        ),
    ] = None,
    languages: Annotated[
        Path | None,
        typer.Option(
            "--languages",
            metavar="FILE.csv",
            help="Figures of languages to set the gains against: a column language, and a column for each figure.",
        ),
    ] = None,
    root: Root = USUAL_ROOT,
) -> int:
    """Write a sweep's report and print its tables.

    Writes report.md (scores and how sure they are, budgets, failures, how to repeat it), the same with figures for a
    browser (report.html), the tables for LaTeX (tables.tex) and as CSV (tables/), every score, trial and epoch as CSV
    and Parquet (results, trials, curves), and the best configuration of each arm. Works at any time, also for an
    unfinished sweep.

    With --languages, each column of your file is one more property of the languages that gains are set against, such as
    how much of each the backbone has read:

      language,corpus_gib
      de,12.5
      sw,0.4
    """
    from tunekit.cli.console import console
    from tunekit.journal import replay
    from tunekit.reports import summary, write

    folder = sweep_folder(name, root)
    record = replay(folder.path)
    files = write(record, out or folder.report, folder, languages=languages)
    page = console()
    page.print(summary(record))
    page.print(str(files), soft_wrap=True, markup=False)
    return DONE


def best(name: NameArgument, arm: Arm = None, root: Root = USUAL_ROOT) -> int:
    """Print the best configuration, as a YAML file that `tunekit trial` runs.

    Its first lines say which point it is, how it was chosen and what it scored.

      tunekit best quickstart --arm ptuning_v2 > best.yaml
      tunekit trial best.yaml
    """
    from tunekit.journal import replay
    from tunekit.reports import best_config_yaml

    typer.echo(best_config_yaml(replay(sweep_folder(name, root).path), arm), nl=False)
    return DONE


def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The sweep's name under --root, its folder, or the folder of a trial.")
    ],
    arm: Arm = None,
    out: Annotated[
        AnyPath | None,
        typer.Option(
            "--out", metavar="DIR", parser=place, help="Folder to write to. Default: export/ in NAME's folder."
        ),
    ] = None,
    root: Root = USUAL_ROOT,
) -> int:
    """Write the best trained adapter so that plain peft loads it.

    Writes peft's adapter (for lora, ptuning_v2 or prompt_tuning), the head beside it, and a README with the code that
    loads and uses both without tunekit. For a sweep, this is the configuration that `tunekit best` prints.

      tunekit export quickstart --arm ptuning_v2
    """
    from tunekit.cli.console import written
    from tunekit.cli.exported_trial import trial_to_export
    from tunekit.export import export as write_adapter

    trial, usual = trial_to_export(name, arm, root)
    typer.echo(written(write_adapter(trial, out or usual)))
    return DONE


def dashboard(
    name: NameArgument,
    root: Root = USUAL_ROOT,
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="Port on this machine.")] = 8080,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE",
            parser=folder_of_this_machine,
            help="Write the Optuna storage (SQLite) there and start no server.",
        ),
    ] = None,
) -> int:
    """Open a sweep's searches in optuna-dashboard.

    Shows a copy of the journal as it is now, with one study for each arm; start it again to see more. With --export,
    load a study in Python by [bold]optuna.load_study(study_name="NAME/ARM", storage="sqlite:///FILE")[/].
    """
    from tunekit.cli.dashboard_server import serve
    from tunekit.journal import replay
    from tunekit.search.export import export_studies

    folder = sweep_folder(name, root)
    path = export or folder.optuna
    record = replay(folder.path)
    for study in export_studies(record.sweep, record, path):
        typer.echo(f"{study}  in sqlite:///{path}")
    if export is None:
        serve(path, port, typer.echo)
    return DONE


def list_(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="methods, tasks, searchers, schedulers, or sweeps (under --root).")
    ],
    root: Root = USUAL_ROOT,
) -> int:
    """List methods, tasks, searchers, schedulers, or sweeps.

    A sweep whose journal is damaged is listed with the reason, and the exit code is 1 then.
    """
    from tunekit.cli.listing import listing

    lines, code = listing(what, root)
    for line in lines:
        typer.echo(visible(line))
    return code
