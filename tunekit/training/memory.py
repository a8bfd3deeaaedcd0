"""Where memory does not suffice: what torch says, and what becomes of it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch

from tunekit.errors import TrialFailed
from tunekit.patience import say
from tunekit.trial import SMALLER_STEPS

WORDS = (
    "can't allocate memory",  # torch's allocator on a CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How RuntimeErrors say it."""


@contextlib.contextmanager
def failing_without_memory(device: torch.device, tokens_per_step: int) -> Iterator[None]:
    """Make of a lack of memory the failure of a trial.

    Raises:
        TrialFailed: memory did not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise without_memory(device, tokens_per_step, error) from error


def without_memory(device: torch.device, tokens_per_step: int, error: Exception) -> TrialFailed:
    """The failure of a trial whose memory did not suffice. It keeps no frames of the pass, which hold that memory."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    advice = f"lower tokens_per_step (now {tokens_per_step}): {SMALLER_STEPS}"
    return TrialFailed(f"out of memory on {device}; {advice}. {reason}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory did not suffice; only torch's allocator on a GPU has an exception of its own for that."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)


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


@dataclass
class StepLimits:
    """How many padded tokens are computed at once for trials of one shape; None until memory did not suffice.

    What smaller steps change is said in `tunekit.trial.SMALLER_STEPS`; predictions stay the same but for rounding.
    """

    name: str
    """Method and backbone, for messages."""
    device: str
    step: int | None = None
    """Of an update."""
    evaluation: int | None = None
    """Of predictions."""

    def lower_step(self, max_tokens: int) -> None:
        """Memory did not suffice for more than so many."""
        self.step = min(self.step or max_tokens, max_tokens)
        self._say("trained", max_tokens, f"and gradients are added up: {SMALLER_STEPS}")

    def lower_evaluation(self, max_tokens: int) -> None:
        """Memory did not suffice for more than so many."""
        self.evaluation = min(self.evaluation or max_tokens, max_tokens)
        self._say("predicted", max_tokens, "with the same predictions but for rounding")

    def _say(self, what: str, max_tokens: int, effect: str) -> None:
        say(
            f"out of memory on {self.device}: of {self.name}, at most {max_tokens} tokens are {what} at once from now "
            f"on, {effect}",
            f"memory of {self.name} on {self.device}, {what}",
        )
