"""Where memory does not suffice: what torch says, and what becomes of it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from functools import cache

import torch

from tunekit.errors import TrialFailed


@contextlib.contextmanager
def failing_without_memory(device: torch.device, tokens_per_step: int) -> Iterator[None]:
    """Make of a lack of memory the failure of a trial.

    Raises:
        TrialFailed: memory did not suffice.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise without_memory(device, tokens_per_step, error) from error


def without_memory(device: torch.device, tokens_per_step: int, error: RuntimeError) -> TrialFailed:
    """The failure of a trial whose memory did not suffice. It keeps no frames of the pass, which hold that memory."""
    reason = str(error).partition("\n")[0]
    advice = f"lower tokens_per_step (now {tokens_per_step}): the result stays the same but for rounding"
    return TrialFailed(f"out of memory on {device}; {advice}. {reason}")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory does not suffice; its allocator on the CPU has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def give_back() -> None:
    """Hand memory that was freed back to the system, as far as the C library can.

    glibc keeps what trials have freed in pieces that the next trial, of other shapes, fits into badly.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    with contextlib.suppress(OSError, AttributeError):  # another C library
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return found
    return None
