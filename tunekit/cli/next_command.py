"""What to type next: commands as the user would write them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tunekit.storage import AnyPath, SweepFolder

USUAL_ROOT = Path("runs")
"""Where sweeps are unless ``--root`` says otherwise."""
SHARED_ROOT = "/shared/runs"
"""The same on a cluster: the folder that cluster.yaml mounts on every node."""
SUBMITTED = "TUNEKIT_SUBMITTED"
"""Set where a driver is the job of a `tunekit submit`."""


def resume_command(folder: SweepFolder, *options: str) -> str:
    """What to type to go on with a sweep."""
    found = root_option(folder)
    return " ".join(["tunekit", "resume", shlex.quote(folder.name), *([found] if found else []), *options])


def root_option(folder: SweepFolder) -> str:
    """The option that commands need beside the sweep's name to find `folder`; nothing for the usual root."""
    path = folder.path
    if isinstance(path, Path) and path.name in ("", ".."):
        path = path.resolve()
    return "" if path.parent == USUAL_ROOT else f"--root {shlex.quote(str(path.parent))}"


def how_to_go_on(folder: SweepFolder) -> str:
    """What is kept of a sweep that was cut short, and the command that goes on with it."""
    if not folder.exists:
        return "Nothing was started; the same command starts it."
    if os.environ.get(SUBMITTED):  # what was shipped is there for this job alone
        return f"Nothing finished is lost. Go on with the `tunekit submit` that started {folder.name}."
    return f"Nothing finished is lost. Go on with: {resume_command(folder)}"


def how_to_begin(root: AnyPath) -> str:
    """What to say where there are no sweeps."""
    return f"no sweeps under {root}; start one with: tunekit sweep FILE"
