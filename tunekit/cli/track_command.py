"""The command that tells trackers of a sweep afterwards. Its docstring is its help page."""

from __future__ import annotations

from typing import Annotated

import typer

from tunekit.cli.arguments import NameArgument, Root
from tunekit.cli.exits import DONE
from tunekit.cli.next_command import USUAL_ROOT
from tunekit.errors import ConfigError, nearest, quoted
from tunekit.storage import sweep_folder


def track(
    name: NameArgument,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="TRACKER", help="tensorboard, mlflow or wandb. Default: as the file. Repeatable."),
    ] = None,
    root: Root = USUAL_ROOT,
) -> int:
    """Send a sweep to TensorBoard, MLflow or Weights & Biases.

    A sweep does so itself while it runs (`tracking` in its file). This sends what they lack, each step once: after a
    server was down, from another machine, or to a tracker that the file does not name. Where MLflow and W&B are, and
    their keys, is read from their own variables, unless the file says it.

      tunekit track quickstart
      tunekit track quickstart --to mlflow --to wandb
    """
    from tunekit.sweep import TRACKERS
    from tunekit.tracking import send

    for tracker in to or ():
        if tracker not in TRACKERS:
            raise ConfigError(f"--to {quoted(tracker)} is no tracker; {nearest(tracker, TRACKERS)}")
    send(sweep_folder(name, root), to or (), typer.echo)
    return DONE
