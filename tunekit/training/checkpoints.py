"""What a trial leaves in its folder, written so that a kill at any moment leaves the old file or the new one.

======================  =================================================================================
``last.pt``             after every epoch: all that is needed to go on; deleted when the trial has finished
``best.pt``             trained parameters at the best epoch on dev
``outcome.json``        once finished: the outcome, the reports of all epochs and the configuration
``test.json``           once scored on test
======================  =================================================================================
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from tunekit.errors import ConfigError, StorageError, TunekitError
from tunekit.schema import to_json

LAST, BEST, OUTCOME, TEST = "last.pt", "best.pt", "outcome.json", "test.json"

logger = logging.getLogger(__name__)


class CheckpointMissing(TunekitError):
    """The parameters of the best epoch are gone or torn, so nothing can be scored; train the trial again."""


@contextlib.contextmanager
def storage(action: str) -> Iterator[None]:
    """Turn the operating system's errors inside into a StorageError that says what was being done."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action}: {error}. Free or repair the disk, then run the same command.") from error


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values with ``torch.save``, atomically.

    Raises:
        StorageError: the file cannot be written.
    """

    def write(temporary: Path) -> None:
        try:
            with _synced(temporary) as file:
                torch.save(content, file)
        except RuntimeError as error:  # what torch makes of a write that the file refused
            raise OSError("the file could not be written whole; the disk is full or gone") from error

    _replace(path, write)


def link(source: Path, target: Path) -> None:
    """Give the file `source` the second name `target`, atomically; copy it where the file system has no links.

    Raises:
        StorageError: neither can be done.
    """

    def write(temporary: Path) -> None:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            with source.open("rb") as original, _synced(temporary) as file:
                shutil.copyfileobj(original, file)

    _replace(target, write)


def load_tensors(path: Path) -> dict[str, Any] | None:
    """What `save_tensors` wrote, on the CPU; None if there is no such file or it is torn (with a warning)."""
    if not path.exists():
        return None
    try:
        with storage(f"read {path}"), path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        logger.warning("%s is torn and is ignored (%s)", path, str(error).partition("\n")[0])
        return None
    return content if isinstance(content, dict) else None


def save_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    text = json.dumps(to_json(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)

    def write(temporary: Path) -> None:
        with _synced(temporary) as file:
            file.write(f"{text}\n".encode())

    _replace(path, write)


def load_json(path: Path) -> dict[str, Any] | None:
    """What `save_json` wrote; None if there is no such file or it is torn (with a warning)."""
    if not path.exists():
        return None
    try:
        with storage(f"read {path}"):
            content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        logger.warning("%s is torn and is ignored (%s)", path, error)
        return None
    return content if isinstance(content, dict) else None


def remove(*paths: Path) -> None:
    """Delete files; those that are not there are no error."""
    with storage(f"delete in {paths[0].parent}"):
        for path in paths:
            path.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Delete all that a trial left in `folder`, so that it starts from the beginning."""
    remove(*(folder / name for name in (OUTCOME, LAST, BEST, TEST)))


def prepare(folder: Path) -> None:
    """Make `folder`, and clear away what a killed process was still writing there."""
    with storage(f"write to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                (folder / name).unlink(missing_ok=True)


def require_owner(path: Path, content: dict[str, Any], trial_id: str) -> None:
    """Refuse a file that another trial left.

    Raises:
        ConfigError: `content` carries another trial's name.
    """
    owner = content.get("trial_id")
    if owner != trial_id:
        raise ConfigError(f"{path} belongs to trial {owner}, not to {trial_id}; give each trial a folder of its own")


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())  # or a machine that dies now could keep the name and lose the bytes


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage(f"write {path}"):
        try:
            write(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_rng(device: torch.device) -> dict[str, Any]:
    """The states of the global generators that a trial may draw from, as tensors and plain values."""
    name, keys, *rest = np.random.get_state(legacy=True)
    state = {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: dict[str, Any], device: torch.device) -> None:
    """Set the global generators back to what `capture_rng` gave."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
