"""Trials that sleep, for `scale.py`: their dev scores come from a table, and everything around them is real.

:class:`SleepingSlot` goes through Ray like any slot; :class:`VirtualSlots` are as many as wanted in this process, in
virtual time. Neither loads torch.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunekit.execution.driver import Messages
from tunekit.execution.mailbox import num_at_once
from tunekit.execution.protocol import Ask, Job, Reply, SlotMessage
from tunekit.execution.ray_slots import Slot
from tunekit.journal import SCHEMA, Journal
from tunekit.sweep import Source, Sweep, parse_sweep, resolved
from tunekit.training.messages import Finished, Reported, Started, Tested, TrialMessage
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialConfig, TrialFacts
from tunekit.version import __version__

EPOCH_S = "TUNEKIT_SIMULATED_EPOCH_S"
"""Environment variable: seconds that an epoch of a simulated trial takes."""
MAX_EPOCHS = 32
LANGUAGES = ("en", "de", "fr", "zh", "ru", "ar", "hi", "tr", "fi", "ja", "sw")
NUM_CURVES = 64


def _make_curves() -> list[list[float]]:
    """Dev scores by epoch for learning rates from 1e-6 to 1: best near 1e-3, rising with the epoch."""
    noise = random.Random(0)
    peaks = [0.9 * math.exp(-((6 * row / NUM_CURVES - 3) ** 2) / 4) for row in range(NUM_CURVES)]
    return [
        [peak * (1 - math.exp(-epoch)) + noise.uniform(0, 0.02) for epoch in range(1, MAX_EPOCHS + 1)] for peak in peaks
    ]


CURVES = _make_curves()
"""The table: a curve for each of `NUM_CURVES` learning rates."""
FACTS = TrialFacts(
    fingerprints={name: "0123456789abcdef" for name in ("backbone", "train/en", *(f"test/{x}" for x in LANGUAGES))},
    num_trainable_parameters=300_000,
    num_backbone_parameters=278_000_000,
    num_train_examples=20_000,
    num_train_rows=20_050,
    num_updates_per_epoch=1_254,
    majority={"dev/en/accuracy": 0.17},
    device="simulated",
    versions={"torch": "none"},
)
"""As long as those of a real trial: the journal's size is one of the figures."""


def sweep_of(num_trials: int, *, searcher: str, scheduler: str, epochs: int) -> Sweep:
    """Two arms of real methods that share `num_trials` trials; their data are never read."""
    rate = {"low": 1e-6, "high": 1.0, "log": True}
    arms = {
        "finetune": {"method": "finetune", "space": {"learning_rate": rate, "batch_size": [8, 16, 32]}},
        "ptuning_v2": {
            "method": "ptuning_v2",
            "space": {"learning_rate": rate, "prompt_length": {"low": 4, "high": 64}},
        },
    }
    content: dict[str, Any] = {
        "name": "scale",
        "task": {"name": "udpos", "target_languages": list(LANGUAGES[1:])},
        "backbone": "xlm-roberta-base",
        "arms": arms,
        "fixed": {"epochs": epochs},
        "search": {"searcher": searcher, "num_trials": num_trials // len(arms), "seed": 0},
        "scheduler": {"name": scheduler},
        "resources": {"pack": "off"},
        "finalise": {"top": 1, "seeds": [10]},
    }
    return parse_sweep(content, Source("scale.yaml"))


def open_journal(folder: Path, sweep: Sweep) -> Journal:
    """The journal of a new sweep, or of one that goes on."""
    journal = Journal(folder)
    if not journal.num_events:
        described = {"sweep": resolved(sweep), "definition": dict(sweep.definition)}
        journal.append("launched", **described, versions={}, schema=SCHEMA)
        journal.flush()
    return journal


def score(config: TrialConfig, epoch: int) -> float:
    """What the table holds for a trial's learning rate."""
    row = round(NUM_CURVES * (math.log10(config.training.learning_rate) + 6) / 6)
    return CURVES[min(max(row, 0), NUM_CURVES - 1)][min(epoch, MAX_EPOCHS) - 1]


def messages(config: TrialConfig, *, test: bool, epoch_s: float) -> Iterator[tuple[float, TrialMessage]]:
    """What a trial says until its end, each with the seconds that it takes before it says so.

    Only trials that the search has finished are scored on test, so that they have nothing left to train.
    """
    name, epochs = config.trial_id, range(1, config.training.epochs + 1)
    best = max(epochs, key=lambda epoch: score(config, epoch))
    yield 0.0, Started(trial_id=name, facts=FACTS)
    if test:
        scores = {f"test/{language}/accuracy": 0.5 for language in LANGUAGES}
        found = FinalScores(epoch=best, scores=scores, majority={}, num_examples={})
        yield 0.0, Tested(trial_id=name, scores=found, is_last=True)
        return
    for epoch in epochs:
        yield epoch_s, Reported(trial_id=name, report=_report(config, epoch, epoch_s))
    report, seconds = _report(config, best, epoch_s), epoch_s * len(epochs)
    outcome = Outcome(state="COMPLETE", value=report.value, best_epoch=best, metrics=report.metrics, duration_s=seconds)
    yield 0.0, Finished(trial_id=name, outcome=outcome, is_last=True)


def _report(config: TrialConfig, epoch: int, epoch_s: float) -> EpochReport:
    value = score(config, epoch)
    metrics = {"train/loss": 1.0 / epoch, "dev/en/accuracy": value, "dev/en/macro_f1": value / 2}
    return EpochReport(epoch=epoch, value=value, metrics=metrics, duration_s=epoch_s)


# -- through Ray -------------------------------------------------------------------------------------------------------


class SleepingTrials:
    """Runs one trial at a time, as a `tunekit.execution.slot.Trials` that sleeps instead of training."""

    warm: Sequence[str] = ()

    def __init__(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s
        self._trial: Iterator[tuple[float, TrialMessage]] | None = None

    def __len__(self) -> int:
        return self._trial is not None

    @property
    def room(self) -> int:
        """One while nothing runs."""
        return 1 - len(self)

    def add(self, config: TrialConfig, *, test: bool, **others: object) -> None:
        """Take a trial."""
        self._trial = messages(config, test=test, epoch_s=self._epoch_s)

    def advance(self) -> Sequence[TrialMessage]:
        """Sleep until the trial has something to say."""
        assert self._trial is not None
        seconds, message = next(self._trial)
        time.sleep(seconds)
        if message.is_last:
            self._trial = None
        return [message]

    def answer(self, trial_id: str, goes_on: bool) -> None:
        """The trial is over where the driver says so."""
        if not goes_on:
            self._trial = None

    def close(self) -> None:
        """Let the trial go."""
        self._trial = None


class SleepingSlot(Slot):
    """A slot whose trials sleep."""

    def make_trials(self, num_threads: int) -> SleepingTrials:
        """Without torch."""
        return SleepingTrials(float(os.environ[EPOCH_S]))


# -- in virtual time ---------------------------------------------------------------------------------------------------


class VirtualSlots:
    """Pool, cluster and line of `tunekit.execution.driver.Driver`: slots in this process, whose time is a number.

    The clock stands still while slots work and the driver waits, and goes on by the processor time that the driver
    takes: a message that comes while the driver works waits for it, as it would in reality.

    Args:
        num_slots: at once.
        epoch_s: seconds of an epoch.
        exchange_s: seconds that an exchange takes beside the driver's processor time: the disk and the mailbox.

    Attributes:
        now: seconds since the start.
        driver_s: processor seconds of the driver.
        num_exchanges: how often messages were fetched.
        num_messages: how many came.
    """

    is_fixed = True

    def __init__(self, num_slots: int, *, epoch_s: float, exchange_s: float) -> None:
        self.now = self.driver_s = 0.0
        self.num_exchanges = self.num_messages = 0
        self._num_slots, self._epoch_s, self._exchange_s = num_slots, epoch_s, exchange_s
        self._num_started = 0
        self._alive: set[str] = set()
        self._trials: dict[str, Iterator[tuple[float, TrialMessage]]] = {}
        self._coming: list[tuple[float, int, str, str]] = []
        self._arrived: deque[tuple[str, str]] = deque()
        self._num_sent = 0
        self._left_at = time.thread_time()

    def room(self) -> int:
        """See `Cluster`."""
        return self._num_slots

    def offer(self) -> str:
        """See `Cluster`."""
        return f"{self._num_slots} simulated slots"

    def leaving(self) -> dict[str, str]:
        """See `Cluster`: no node will be ended."""
        return {}

    def check(self, view: object) -> None:
        """See `Cluster`: simulated slots always fit."""

    def want(self, number: int) -> None:
        """See `Pool`: a slot starts at once."""
        while len(self._alive) < number:
            self._num_started += 1
            slot = f"slot-{self._num_started}"
            self._alive.add(slot)
            self._send(slot, 0.0, json.dumps({"view": {"version": __version__}}))

    def take_lost(self) -> Messages:
        """See `Pool`: none dies."""
        return []

    def end(self, slot: str) -> None:
        """See `Pool`: none hangs."""
        raise AssertionError(f"{slot} is said to hang, in virtual time")

    def exchange(self, replies: Messages, timeout_s: float) -> Messages:
        """Let slots obey, and give what they say next; see `Driver.run`."""
        taken = time.thread_time() - self._left_at
        self.driver_s += taken
        self.now += taken + self._exchange_s
        for slot, text in replies:
            self._obey(slot, text)
        found = self._next_messages(timeout_s)
        self.num_exchanges += 1
        self.num_messages += len(found)
        self._left_at = time.thread_time()
        return found

    def _next_messages(self, timeout_s: float) -> Messages:
        """Those that came while the driver worked; where there are none, the next ones, or time passes."""
        first = self.now if self._arrived else self._coming[0][0] if self._coming else math.inf
        if first > self.now + timeout_s:
            self.now += timeout_s
            return []
        self.now = max(self.now, first)
        while self._coming and self._coming[0][0] <= self.now:
            _, _, slot, text = heapq.heappop(self._coming)
            self._arrived.append((slot, text))
        return [self._arrived.popleft() for _ in range(num_at_once(len(self._arrived)))]

    def _obey(self, slot: str, text: str) -> None:
        reply = Reply.from_text(text) if text else Reply(kind="wait")
        if reply.kind == "leave":
            self._alive.discard(slot)
        elif reply.kind == "go_on":
            self._proceed(slot)
        elif reply.job is not None:
            self._begin(slot, reply.job)
        else:  # welcome, or its trial was stopped
            self._trials.pop(slot, None)
            self._say(slot, 0.0, Ask())

    def _begin(self, slot: str, job: Job) -> None:
        self._trials[slot] = messages(job.config, test=job.test, epoch_s=self._epoch_s)
        self._proceed(slot)

    def _proceed(self, slot: str) -> None:
        """Say all up to the next thing that is answered."""
        after = 0.0
        for seconds, message in self._trials[slot]:
            after += seconds
            self._say(slot, after, message)
            if isinstance(message, Reported):
                return
        self._say(slot, after, Ask())

    def _say(self, slot: str, after: float, content: Ask | TrialMessage) -> None:
        self._send(slot, after, SlotMessage(slot=slot, worker=f"host:{slot}", content=content).to_text())

    def _send(self, slot: str, after: float, text: str) -> None:
        self._num_sent += 1  # what one slot sends at one moment comes in its order
        heapq.heappush(self._coming, (self.now + after, self._num_sent, slot, text))
