"""`tunekit watch`: a running sweep, seen from any terminal. Its docstring is its help page."""

from __future__ import annotations

from typing import Annotated

import typer

from tunekit.cli.arguments import NameArgument, Root
from tunekit.cli.exits import DONE
from tunekit.cli.next_command import USUAL_ROOT, root_option
from tunekit.errors import ConfigError
from tunekit.storage import sweep_folder


def watch(
    name: NameArgument,
    root: Root = USUAL_ROOT,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", help="Seconds between two looks.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", metavar="", help="Print what is seen now, and end. So does a pipe or a file.")
    ] = False,
) -> int:
    """Watch a sweep while it runs: trials, curves, workers, time left.

    It shows how far each arm is, the trials that run with the curves of their dev scores, what each worker does and
    when it was last heard of, the best points so far, failures, and the time left.

    It only reads the journal. So it can be left at any time (q or Ctrl-C) and joined again, several times at once, and
    also from another machine that reaches the folder or the bucket; the sweep notices nothing. If the sweep's driver is
    gone, it says so, with the command to go on. It ends by itself when the sweep is finished.

      tunekit watch quickstart
      tunekit watch mine --root s3://bucket/runs
    """
    from tunekit.cli.console import console, waiting
    from tunekit.cli.watch_page import drawn
    from tunekit.cli.watch_screen import follow, page_of
    from tunekit.cli.watcher import Watcher

    if not every > 0:
        raise ConfigError(f"--every is {every:g}, must be more than 0 seconds")
    folder = sweep_folder(name, root)
    watcher, screen = Watcher(folder), console()
    with waiting(screen, f"reading the journal of {folder.name}"):
        look = watcher.look()
    is_live = screen.is_terminal and not screen.is_dumb_terminal and not once and not look.is_finished
    if is_live:
        look = follow(watcher, look, screen, every_s=every)
    screen.print(drawn(look, page_of(screen, height=None)))
    if is_live and not look.is_finished:
        again = " ".join(filter(None, ["tunekit watch", folder.name, root_option(folder)]))
        screen.print(f"\nYou left; the sweep is as it was. Join again with: {again}", markup=False, soft_wrap=True)
    return DONE
