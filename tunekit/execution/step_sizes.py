"""How many tokens a trial computes at once, after processes that ran out of memory.

A process that a system ends for want of memory cannot make its steps smaller itself, as it does where torch tells it
(:mod:`tunekit.training.memory`). So the driver does: trials of the shape of those that it ran get half as many tokens
at once, and their gradients are added up. `tunekit.trial.SMALLER_STEPS` says what that changes.
"""

from __future__ import annotations

from collections.abc import Callable

from tunekit.journal import TrialRecord
from tunekit.schema import canonical_json
from tunekit.trial import SMALLER_STEPS

MOST_ON_CPU = 1024
"""On a CPU a step through a frozen backbone has no more tokens than this, whatever a job says."""
SUSPECT_AFTER = 2
"""A trial that has ended the driver's own process so often is taken for one that wants too much memory."""
LOST = "its worker died"
LOST_MEMORY = "its worker was ended because its node ran out of memory"
LOST_DEVICE = "its worker ended itself"
"""And why, after a colon: its GPU takes no work any more."""

_MEMORY = ("running low on memory", "out of memory issue", "OutOfMemoryError", "NODE_OUT_OF_MEMORY")
"""What Ray says where its memory monitor ended a process. Of one that was killed by another hand it says that the
kernel might have done so for want of memory, which is no reason to think so."""


def why_lost(text: str) -> str:
    """Why a slot died, in words, from what Ray says of it."""
    if LOST_DEVICE in text:
        return text[text.index(LOST_DEVICE) :].partition("\n")[0]
    return LOST_MEMORY if any(words in text for words in _MEMORY) else LOST


class StepSizes:
    """The tokens that trials of each shape compute at once.

    Args:
        most: what the sweep says (``resources.tokens_per_step``).
        notify: called with a sentence that the user should read now.
    """

    def __init__(self, most: int, *, notify: Callable[[str], None]) -> None:
        self._most, self._notify = most, notify
        self._sizes: dict[str, int] = {}

    def of(self, trial: TrialRecord) -> int:
        """For a trial that is handed out now."""
        found = self._sizes.get(_shape(trial), self._most)
        return self._half(trial, found) if trial.num_deaths >= SUSPECT_AFTER else found

    def lost(self, trial: TrialRecord, reason: str) -> None:
        """The process that ran `trial` died; where it was for want of memory, trials of this shape get less."""
        if reason != LOST_MEMORY:
            return
        shape = _shape(trial)
        before = self._sizes.get(shape, self._most)
        after = self._sizes[shape] = self._half(trial, before)
        if after < before:
            self._notify(f"trials of {trial.arm} compute at most {after} tokens at once from now on: {SMALLER_STEPS}")

    def _half(self, trial: TrialRecord, size: int) -> int:
        """Half of what a step really has, but room for the longest row."""
        is_on_cpu = trial.facts is not None and trial.facts.device.startswith("cpu")
        return min(size, max((min(size, MOST_ON_CPU) if is_on_cpu else size) // 2, _max_length(trial)))


def _max_length(trial: TrialRecord) -> int:
    return int(trial.config["training"]["max_length"])


def _shape(trial: TrialRecord) -> str:
    """What decides how much memory a token takes."""
    return canonical_json([trial.config["method"], trial.config["backbone"], _max_length(trial)])
