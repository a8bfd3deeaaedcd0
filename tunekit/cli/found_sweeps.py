"""The sweeps under a root, each read by itself, so that a damaged one hides no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.errors import TunekitError
from tunekit.storage import AnyPath, SweepFolder, holder_of, require_place, sweep_folders
from tunekit.wording import one_line

if TYPE_CHECKING:
    from tunekit.journal import SweepRecord


LOOKS_AT_ONCE = 32
"""Sweeps of a bucket that are looked at at the same time: to tell a driver that died takes some seconds for each."""


@dataclass(frozen=True)
class FoundSweep:
    """A sweep's folder and what its journal says."""

    folder: SweepFolder
    record: SweepRecord | None
    """None for a journal that cannot be read."""
    problem: str
    """Why it cannot be read, on one line; empty where it can."""
    is_running: bool


def found_sweeps(root: AnyPath) -> list[FoundSweep]:
    """The sweeps under `root`, by name.

    Raises:
        ConfigError: `root` is no folder, or a bucket that cannot be read.
    """
    require_place(root)
    folders = sweep_folders(root)
    if isinstance(root, Path) or len(folders) < 2:
        return [_read(folder) for folder in folders]
    with ThreadPoolExecutor(max_workers=LOOKS_AT_ONCE) as pool:
        return list(pool.map(_read, folders))


def one_sweep(folder: SweepFolder) -> FoundSweep:
    """The sweep in `folder`.

    Raises:
        ConfigError, StorageError: its journal cannot be read.
    """
    from tunekit.journal import replay

    return FoundSweep(folder, replay(folder.path), "", holder_of(folder.lock) is not None)


def _read(folder: SweepFolder) -> FoundSweep:
    from tunekit.journal import replay
    from tunekit.reports import require_whole

    try:
        is_running = holder_of(folder.lock) is not None
        record = replay(folder.path)
        require_whole(record)
    except Exception as error:  # whatever is wrong with one, the others are to be seen
        reason = str(error) if isinstance(error, TunekitError) else f"{type(error).__name__}: {error}"
        return FoundSweep(folder, None, one_line(reason), False)
    return FoundSweep(folder, record, "", is_running)
