"""Where a trial stands after an epoch, as a file of tensors.

``last.pt`` holds all that is needed to go on, ``previous.pt`` what it was an epoch before, ``best.pt`` the trained
parameters of the best epoch on dev. Written so that a kill at any moment leaves the old file or the new one, and with a
checksum, since torch looks at none when it reads.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, TypedDict

import torch
from torch import Tensor

from tunekit.errors import ConfigError, TunekitError
from tunekit.patience import say
from tunekit.schema import build, to_json
from tunekit.storage import AnyPath, TornFile, TrialFolder, exists, read_sealed, remove, rename, write_sealed
from tunekit.training.random_state import RandomState
from tunekit.trial import EpochReport


class CheckpointMissing(TunekitError):
    """The parameters of the best epoch are gone or torn, so nothing can be scored; train the trial again."""


class LearnerState(TypedDict):
    """What the next epoch depends on beside the trained parameters."""

    optimizer: dict[str, object]
    """Moments and step counts, as the optimiser's ``state_dict`` gives them."""
    random: RandomState


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a trial stands after an epoch."""

    trial_id: str
    fingerprints: Mapping[str, str]
    """Of what the trial reads; see `TrialFacts.fingerprints`."""
    epoch: int
    history: tuple[EpochReport, ...]
    """Of all epochs up to this one."""
    peak_memory_bytes: int
    parameters: dict[str, Tensor] | None = None
    """The trained ones; None in ``last.pt`` of a finished trial whose best epoch came earlier."""
    state: LearnerState | None = None
    """None where nothing goes on from here."""


def save(path: AnyPath, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    content |= {"fingerprints": dict(checkpoint.fingerprints), "history": to_json(checkpoint.history)}

    def write(file: IO[bytes]) -> None:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # what torch makes of a write that the file refused
            raise OSError("the file could not be written whole; the disk is full or gone") from error

    write_sealed(path, write)


def save_last(files: TrialFolder, checkpoint: Checkpoint) -> None:
    """Write ``last.pt``; what it was before becomes ``previous.pt``, so that a whole one is there at any moment.

    Raises:
        StorageError: the file cannot be written; the one before is kept.
    """
    if exists(files.last):
        rename(files.last, files.previous)
    save(files.last, checkpoint)


def load_last(files: TrialFolder) -> Checkpoint | None:
    """The newest checkpoint that is whole, which is ``last.pt`` from now on; None if there is none.

    A torn one is deleted: it must never take the place of a whole one.

    Raises:
        StorageError: a file is there and cannot be read, renamed or deleted.
    """
    is_torn = False
    for path in (files.last, files.previous):
        stored = load(path)
        if stored is None:
            is_torn = is_torn or exists(path)
            remove(path)
            continue
        if path == files.previous:
            rename(path, files.last)
        if is_torn:
            say(f"trial {stored.trial_id} goes on from the checkpoint before, of epoch {stored.epoch}", str(path))
        return stored
    if is_torn:
        say(f"no checkpoint in {files.path} is whole: the trial begins again", str(files.path))
    return None


def load(path: AnyPath) -> Checkpoint | None:
    """What `save` wrote, on the CPU; None if there is no such file or it is torn, which the user is told.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    try:
        content = read_sealed(path, partial(torch.load, map_location="cpu", weights_only=True))
        if content is None:
            return None
        history = tuple(build(EpochReport, report, str(path)) for report in content["history"])
        return Checkpoint(**{**content, "history": history})
    except TornFile as torn:
        say(f"{torn}; it is ignored", str(path))
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError, ConfigError) as error:
        # Its bytes are those that were written, but by a tunekit that keeps other things in it.
        say(f"{path} cannot be used and is ignored ({str(error).partition(chr(10))[0]})", str(path))
    return None
