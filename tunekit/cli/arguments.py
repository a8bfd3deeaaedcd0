"""Arguments and options that several commands share, as typer reads them from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunekit.errors import ConfigError
from tunekit.storage import AnyPath, place

WHERE = "Where it runs"

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The sweep file (search_spaces/README.md explains every key).")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name under --root, or its folder.")]
Root = Annotated[
    AnyPath,
    typer.Option(
        "--root",
        metavar="DIR",
        parser=place,
        help="Folder that holds the sweeps, each in a folder of its own; or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX.",
    ),
]
RunRoot = Annotated[
    AnyPath,
    typer.Option(
        "--root",
        metavar="DIR",
        parser=place,
        rich_help_panel=WHERE,
        help="Folder that holds the sweeps, each in a folder of its own, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX; on "
        "a cluster, one that all nodes reach.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        rich_help_panel=WHERE,
        help="How many trials run at once. Default: as many as fit.",
    ),
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
        "--in-process",
        metavar="",
        rich_help_panel=WHERE,
        help="Run one trial after the other in this process, without Ray.",
    ),
]
Arm = Annotated[str | None, typer.Option("--arm", metavar="ARM", help="Which arm. Needed if the sweep has several.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file, dotted: search.seed=1. Repeatable."),
]

NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the sweep. Default: the file's.")]
NumTrials = Annotated[
    int | None,
    typer.Option("--trials", metavar="N", help="Points per arm, in place of the file's search.num_trials."),
]


def at_least_one(option: str, number: int | None) -> int | None:
    """The number that an option gives.

    Raises:
        ConfigError: it is 0 or less.
    """
    if number is not None and number < 1:
        raise ConfigError(f"{option} is {number}, must be at least 1")
    return number
