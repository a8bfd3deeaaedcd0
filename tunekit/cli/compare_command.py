"""`tunekit compare`: arms of several sweeps side by side. Its docstring is its help page."""

from __future__ import annotations

from typing import Annotated

import typer

from tunekit.cli.arguments import Root
from tunekit.cli.exits import DONE
from tunekit.cli.next_command import USUAL_ROOT
from tunekit.storage import AnyPath, place, sweep_folder


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="The sweeps' names under --root, or their folders.")
    ],
    out: Annotated[
        AnyPath | None,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=place,
            help="Folder for compare.md and compare.csv. Default: none is written.",
        ),
    ] = None,
    root: Root = USUAL_ROOT,
) -> int:
    """Compare the arms of several sweeps, on the same tests.

    Prints one table for each task and source language that two sweeps or more have. All arms of a table were scored on
    the same tests: sweeps that read other test data or examples, or that selected by another rule, are refused, and it
    says which. What else differs (budgets, seeds, versions, backbones, training data) is said below the tables. The
    zero-shot mean is over the target languages that all arms have. An unfinished sweep is shown as it stands. Where
    predictions are kept, differences between sweeps have intervals and corrected p-values.

      tunekit compare mine yours --out comparison
    """
    from tunekit.cli.console import console, written
    from tunekit.journal import replay
    from tunekit.reports import compared, comparison_page, write_comparison

    folders = [sweep_folder(name, root) for name in names]
    found = compared([(replay(folder.path), folder) for folder in folders])
    page = console()
    page.print(comparison_page(found))
    if out is not None:
        page.print(written(write_comparison(found, out)), soft_wrap=True, markup=False)
    return DONE
