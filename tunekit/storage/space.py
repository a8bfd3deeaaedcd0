"""How much room a file system has."""

from __future__ import annotations

import shutil
from pathlib import Path

from tunekit.storage.places import AnyPath


def free_bytes(folder: AnyPath) -> int | None:
    """Bytes that are free where `folder` is or would be made; None if that cannot be told."""
    if not isinstance(folder, Path):
        return None
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
