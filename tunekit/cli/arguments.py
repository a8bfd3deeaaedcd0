"""Arguments and options that several commands share, as typer reads them from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WHERE = "Where it runs"

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The sweep file (search_spaces/README.md has every key).")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name under --root, or its folder.")]
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="Folder that holds sweeps, one folder each.")]
RunRoot = Annotated[
    Path,
    typer.Option(
        "--root",
        metavar="DIR",
        rich_help_panel=WHERE,
        help="Folder that holds sweeps, one folder each; on a cluster, one that all nodes share.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", rich_help_panel=WHERE, help="Trials at once. Default: as many as fit."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        rich_help_panel=WHERE,
        help="A running Ray cluster: auto, or host:port. Default (or local): a Ray on this machine, for this run.",
    ),
]
InProcess = Annotated[
    bool,
    typer.Option(
        "--in-process", metavar="", rich_help_panel=WHERE, help="One trial after the other here, without Ray."
    ),
]
Trials = Annotated[
    int | None, typer.Option("--trials", metavar="N", help="Points an arm, in place of the file's search.num_trials.")
]
MoreTrials = Annotated[int | None, typer.Option("--trials", metavar="N", help="Extend the search to N points an arm.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file, dotted: search.seed=1. Repeatable."),
]
