"""What a trial says while it runs. Each message is plain JSON on its way to another process; nothing here needs torch.

========== =====================================================================================================
started    the trial is open; what it reads and how large it is
reported   an epoch is over; also told of each epoch that an earlier attempt has trained
finished   the outcome
tested     the scores on test
untested   test could not be scored, and why
========== =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunekit.errors import ConfigError, nearest
from tunekit.schema import build
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialFacts


@dataclass(frozen=True, kw_only=True)
class Message:
    """What all messages have."""

    trial_id: str
    is_last: bool = False
    """Nothing follows."""


@dataclass(frozen=True, kw_only=True)
class Started(Message):
    """The trial is open."""

    kind: Literal["started"] = "started"
    facts: TrialFacts


@dataclass(frozen=True, kw_only=True)
class Reported(Message):
    """An epoch is over."""

    kind: Literal["reported"] = "reported"
    report: EpochReport
    is_new: bool = True
    """False: an earlier attempt trained it, and its report is told again."""


@dataclass(frozen=True, kw_only=True)
class Finished(Message):
    """The trial has its outcome."""

    kind: Literal["finished"] = "finished"
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Tested(Message):
    """Test was scored, now or by an earlier attempt."""

    kind: Literal["tested"] = "tested"
    scores: FinalScores


@dataclass(frozen=True, kw_only=True)
class Untested(Message):
    """Test could not be scored."""

    kind: Literal["untested"] = "untested"
    reason: str


TrialMessage = Started | Reported | Finished | Tested | Untested

KINDS: dict[str, type[TrialMessage]] = {
    "started": Started,
    "reported": Reported,
    "finished": Finished,
    "tested": Tested,
    "untested": Untested,
}


def message_from_json(content: Mapping[str, object]) -> TrialMessage:
    """The message that ``schema.to_json`` made `content` of.

    Raises:
        ConfigError: it is none.
    """
    kind = str(content.get("kind"))
    if kind not in KINDS:
        raise ConfigError(f"message: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    return build(KINDS[kind], content, f"message {kind}")
