"""What a slot and the driver say to each other. Alike in this process and on Ray; on the way it is plain JSON.

A slot is a warm worker. It says what it has loaded and asks for a trial, runs it, and sends each of the trial's
messages, and between them a beat now and then while it computes; then it asks again. While it runs trials that may be
packed it also asks, for others to pack with them, and does not wait: the answer then comes at once. Each message of a
trial names it. An ask, the report of an epoch and the last word of a slot that must leave are answered, and the slot
obeys; for no other message does it wait.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunekit.errors import ConfigError, TunekitError
from tunekit.schema import build, canonical_json
from tunekit.training.messages import TrialMessage, message_from_json
from tunekit.trial import Locations, TrialConfig


class SweepInterrupted(TunekitError):
    """The sweep cannot go on now; what is finished is kept and the same command goes on."""


class DriverLost(SweepInterrupted):
    """The driver's own process cannot go on because of a trial that ran in it: the next launch counts that as a death
    of it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a slot needs to know to run a trial."""

    config: TrialConfig
    locations: Locations
    folder: str
    """The trial's own, on storage that the driver and every slot see."""
    test: bool
    """Also score test, once the trial is COMPLETE."""
    tokens_per_step: int
    """Padded tokens computed at once."""
    pack: int | Literal["auto", "off"] = "off"
    """Trials that the slot may run together with it (``resources.pack``)."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The slot has room for a trial: it has nothing to do, or could pack another one with those that it runs."""

    warm: tuple[str, ...] = ()
    """Keys of the tasks and backbones that it has loaded (:mod:`tunekit.training.warm_keys`)."""
    num_running: int = 0
    """Trials that it runs; while there are any it cannot wait, and is answered at once."""
    room: int = 1
    """Further trials that it could run now."""


@dataclass(frozen=True, kw_only=True)
class Fatal:
    """The whole sweep cannot go on (a full disk, data gone)."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The slot has something for the user. One that waits (for room on the disk, for the hub) says so with each try."""

    text: str
    topic: str
    """Sentences of one topic say the same of different files."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """The slot has computed something since it last said anything (:mod:`tunekit.execution.watchdog`)."""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """The slot's process was told from outside to end: its trials are to be given back, and count as no failure."""

    reason: str
    is_over: bool = False
    """It runs nothing any longer, whatever it had; before, its trials may still come to the end of their epochs."""


SlotContent = Ask | Fatal | Notice | Beat | Leaving | TrialMessage
_FORMS: Mapping[str, type[Ask | Fatal | Notice | Beat | Leaving]] = {
    "ask": Ask,
    "fatal": Fatal,
    "notice": Notice,
    "beat": Beat,
    "leaving": Leaving,
}


@dataclass(frozen=True, kw_only=True)
class SlotMessage:
    """What a slot tells the driver."""

    slot: str
    worker: str
    """The slot's process, for the journal."""
    content: SlotContent

    def to_text(self) -> str:
        """The message as JSON."""
        kind = next((name for name, form in _FORMS.items() if isinstance(self.content, form)), "trial")
        return canonical_json({"slot": self.slot, "worker": self.worker, kind: self.content})

    @classmethod
    def from_text(cls, text: str) -> SlotMessage:
        """What :meth:`to_text` wrote.

        Raises:
            ConfigError: it is no such message.
        """
        values = json.loads(text)
        return cls(slot=str(values["slot"]), worker=str(values["worker"]), content=_content(values))


def _content(values: Mapping[str, Mapping[str, object]]) -> SlotContent:
    for name, form in _FORMS.items():
        if name in values:
            return build(form, values[name], f"message {name}")
    if "trial" in values:
        return message_from_json(values["trial"])
    raise ConfigError(f"message: expected one of {', '.join(_FORMS)} and trial, got {sorted(values)}")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the driver answers.

    To a report, ``go_on``: with the trial, or ``stop``: the trial is over for this slot. To an ask, ``job``: run this
    trial, ``wait``: nothing for this slot now, ask again, or ``leave``: this slot is not needed any longer.
    """

    kind: Literal["go_on", "stop", "job", "wait", "leave"]
    job: Job | None = None

    def to_text(self) -> str:
        """The reply as JSON."""
        return canonical_json(self)

    @classmethod
    def from_text(cls, text: str) -> Reply:
        """What :meth:`to_text` wrote.

        Raises:
            ConfigError: it is no such reply.
        """
        return build(cls, json.loads(text), "reply")


def worker_name(node: str | None = None) -> str:
    """This process for the journal: host, process number, and the cluster's node, since several may share a host."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    return name if node is None else f"{name}@{node[:8]}"
