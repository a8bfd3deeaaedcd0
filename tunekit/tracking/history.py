"""What a tracker is told: each trial as the journal tells it, with the times of its events.

A tracker (:mod:`tunekit.tracking.trackers`) keeps one history of its own. What it has been told of a trial is forgotten
here, so that a sweep of many trials does not fill the driver's memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tunekit.journal import Event
from tunekit.schema import JsonObject, Values
from tunekit.sweep import Sweep, from_resolved

OBJECTIVE = "objective"
"""The name of the figure that the search maximises."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a trial reported after one epoch."""

    number: int
    time: float
    """Seconds since 1970, as all times here: when the driver took the report."""
    values: Mapping[str, float]
    """`OBJECTIVE`, ``train/loss`` and ``dev/<language>/<metric>``."""


@dataclass(frozen=True, slots=True)
class End:
    """How a trial ended."""

    time: float
    state: str
    value: float | None
    best_epoch: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Test:
    """What a finalised trial scored."""

    time: float
    epoch: int
    """The epoch, best on dev, whose parameters were scored."""
    scores: Mapping[str, float]
    """``test/<language>/<metric>``."""


@dataclass(slots=True)
class TrialHistory:
    """One trial, and what the tracker has of it."""

    trial_id: str
    arm: str
    number: int
    point_id: str
    seed: int
    draw: int | None
    params: Values
    """What the search chose, without the seed; forgotten at the end."""
    phase: str
    method: str
    created_at: float
    epochs: list[Epoch] = field(default_factory=list)
    """Those that the tracker has not taken yet."""
    end: End | None = None
    test: Test | None = None
    num_taken: int = 0
    """Epochs that the tracker has taken."""
    has_end: bool = False
    """Whether the tracker has taken the end."""
    has_test: bool = False
    is_new: bool = True
    """Whether nothing of it was brought up to date yet by this process: what the tracker holds is not known."""
    handle: str | int | None = None
    """What the tracker remembers of it."""

    @property
    def label(self) -> str:
        """Its name under its arm: the point's number, so that names sort as points were drawn, and the trial's name."""
        return f"{self.number:04d}-{self.trial_id}"

    @property
    def state(self) -> str:
        """RUNNING, or how it ended."""
        return "RUNNING" if self.end is None else self.end.state

    @property
    def num_epochs(self) -> int:
        """All epochs that it reported."""
        return self.num_taken + len(self.epochs)

    @property
    def is_behind(self) -> bool:
        """Whether it has something that a tracker should show; of a trial without an epoch nothing is shown."""
        news = bool(self.epochs) or (self.end is not None and not self.has_end)
        return news or (self.test is not None and not self.has_test)

    def taken(self, handle: str | int | None) -> None:
        """The tracker holds all of it, and remembers `handle`."""
        self.num_taken, self.epochs = self.num_epochs, []
        self.has_end, self.has_test = self.end is not None, self.test is not None
        self.is_new, self.handle = False, handle
        if self.end is not None:
            self.params = {}  # a tracker has asked for them when it began


@dataclass
class SweepHistory:
    """A sweep, event by event."""

    trials: dict[str, TrialHistory] = field(default_factory=dict)
    num_events: int = 0
    """Events that were applied."""
    sweep_id: str = ""
    """12 hex digits that tell two sweeps of one name apart: of when, where and by which process it was launched."""
    launched_at: float = 0.0
    last_event_at: float = 0.0
    versions: Values = field(default_factory=dict)
    """Of the driver's software, at the last launch."""
    _sweep: Sweep | None = None
    _behind: dict[str, TrialHistory] = field(default_factory=dict)

    @property
    def sweep(self) -> Sweep:
        """The sweep as it was last amended."""
        assert self._sweep is not None, "a journal begins with `launched`"
        return self._sweep

    @property
    def is_over(self) -> bool:
        """Whether no trial is left unfinished; the search may still have gone on."""
        return all(trial.end is not None for trial in self.trials.values())

    def apply(self, event: Event) -> None:
        """Take the next event."""
        self.num_events += 1
        self.last_event_at = seconds(event["time"])
        if "trial_id" not in event:
            self._advance(event)
        elif event["event"] == "created":
            self.trials[event["trial_id"]] = _created(event)
        elif event["event"] in _ACTIONS:
            trial = self.trials[event["trial_id"]]
            _ACTIONS[event["event"]](trial, event)
            self._behind[trial.trial_id] = trial

    def behind(self, *, unfinished: bool = True) -> Iterator[TrialHistory]:
        """Trials of which there is something to tell, in the order of their news; each is named once.

        Args:
            unfinished: those too that run; else each comes when it has ended.
        """
        while self._behind:
            trial = self._behind.pop(next(iter(self._behind)))
            if trial.is_behind and (unfinished or trial.end is not None):
                yield trial

    def _advance(self, event: Event) -> None:
        if event["event"] == "launched":
            made = "/".join(str(event.get(key)) for key in ("time", "host", "pid"))
            self.sweep_id = hashlib.sha256(made.encode()).hexdigest()[:12]
            self.launched_at = seconds(event["time"])
        self.versions = event.get("versions", self.versions)
        if "definition" in event:
            self._sweep = from_resolved(event["sweep"], event["definition"], "journal: sweep")


def seconds(time: str) -> float:
    """A time of the journal as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def _created(event: Event) -> TrialHistory:
    config: JsonObject = event["config"]
    return TrialHistory(
        trial_id=event["trial_id"],
        arm=event["arm"],
        number=event["number"],
        point_id=event["point_id"],
        seed=event["seed"],
        draw=(config.get("task") or {}).get("draw_seed"),
        params={key: value for key, value in event["params"].items() if key != "seed"},
        phase=event["phase"],
        method=str(config.get("method")),
        created_at=seconds(event["time"]),
    )


def _report(trial: TrialHistory, event: Event) -> None:
    report = event["report"]
    values = {OBJECTIVE: float(report["value"]), **report["metrics"]}
    trial.epochs.append(Epoch(int(report["epoch"]), seconds(event["time"]), values))


def _finish(trial: TrialHistory, event: Event) -> None:
    outcome = event["outcome"]
    found = (outcome.get(key) for key in ("value", "best_epoch", "reason"))
    trial.end = End(seconds(event["time"]), outcome["state"], *found)


def _reopen(trial: TrialHistory, event: Event) -> None:
    trial.end, trial.has_end = None, False


def _test(trial: TrialHistory, event: Event) -> None:
    epoch = trial.end.best_epoch if trial.end is not None else None
    trial.test = Test(seconds(event["time"]), epoch or trial.num_epochs, event["scores"])


_ACTIONS: Mapping[str, Callable[[TrialHistory, Event], None]] = {
    "reported": _report,
    "finished": _finish,
    "reopened": _reopen,
    "tested": _test,
}
"""What events of a trial do; others have nothing for a tracker."""
