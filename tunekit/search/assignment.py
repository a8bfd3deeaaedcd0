"""What the search hands to a worker."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.journal import TrialRecord
from tunekit.sweep import Arm


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a worker does next: one trial."""

    trial: TrialRecord
    arm: Arm
    test: bool
    """Also score the test sets; if the trial is COMPLETE already, only that."""
