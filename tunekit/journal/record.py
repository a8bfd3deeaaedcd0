"""A whole sweep as its journal tells it, advanced event by event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from tunekit.journal import schema_1
from tunekit.journal.events import Event
from tunekit.journal.points import ArmRecord
from tunekit.journal.trial_record import TrialRecord
from tunekit.schema import JsonObject, build
from tunekit.segmentation import Granularity
from tunekit.sweep import Sweep, crossed, from_resolved
from tunekit.trial import EpochReport, Outcome, Replicate, TrialFacts

T = TypeVar("T")


@dataclass
class SweepRecord:
    """A whole sweep as its journal tells it."""

    definition: JsonObject = field(default_factory=dict)
    """The sweep file's content, paths absolute."""
    resolved: JsonObject = field(default_factory=dict)
    """The Sweep as JSON, all defaults filled in."""
    schema: int = 0
    """Of the journal's lines; 0 before the first one."""
    execution: JsonObject = field(default_factory=dict)
    """Where it was last run, and how wide."""
    launches: list[dict[str, str]] = field(default_factory=list)
    """Versions of the driver's software, at each launch."""
    launched_at: str = ""
    last_event_at: str = ""
    stop_reason: str | None = None
    """Why the last driver ended before the sweep was done; None while none has said so."""
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    """By trial_id, in the order of creation."""
    arms: dict[str, ArmRecord] = field(default_factory=dict)
    """By name; one that has no trial yet may be missing, see :meth:`arm`."""
    taken: dict[str, TrialRecord] = field(default_factory=dict)
    """By trial_id: those that were handed to a worker, and how that ended is not known yet."""
    replicates: dict[str, dict[Replicate, TrialRecord]] = field(default_factory=dict)
    """Trials by point_id, then by seed and draw, those of other arms with the same configuration included."""
    _last: dict[tuple[str, str], object] = field(default_factory=dict, repr=False, compare=False)
    """By arm and place: the part of a trial that was last seen there."""

    @cached_property
    def sweep(self) -> Sweep:
        """The sweep that was launched, as it was last amended.

        Raises:
            ConfigError: the journal's first line does not hold a sweep.
        """
        return from_resolved(self.resolved, self.definition, "journal: sweep")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the search."""
        return tuple(self.resolved.get("seeds", (10,)))

    def _asked(self, trial: TrialRecord) -> tuple[Replicate, ...]:
        """What each point of the trial's arm runs on in the search."""
        return crossed(self.seeds, tuple(self.resolved.get("draws") or ()) or (trial.draw,))

    @property
    def _gpu(self) -> float:
        """GPUs that a trial takes at the moment."""
        return float((self.resolved.get("resources") or {}).get("gpu") or 0)

    @property
    def _has_races(self) -> bool:
        """Whether trials of finalising wait for their test until a race is over."""
        return bool((self.resolved.get("finalise") or {}).get("race"))

    @property
    def versions(self) -> dict[str, str]:
        """Of the driver's software, at the last launch."""
        return self.launches[-1] if self.launches else {}

    @property
    def num_launches(self) -> int:
        """How often a driver took the sweep up."""
        return len(self.launches)

    def arm(self, name: str) -> ArmRecord:
        """The trials of one arm, and what they add up to."""
        return self.arms.setdefault(name, ArmRecord(name))

    def apply(self, event: Event) -> None:
        """Advance the record by one event; mutates it.

        Raises:
            KeyError, TypeError, ValueError: the event does not fit.
        """
        if not self.schema and event["event"] != "launched":
            raise ValueError("it stands before the sweep was launched")
        self.last_event_at = event["time"]
        if event["event"] in _OF_SWEEPS:
            self._advance(event)
        elif event["event"] == "created":
            self._create(event)
        else:
            trial = self.trials[event["trial_id"]]
            _OF_TRIALS[event["event"]](self, trial, event)

    def _advance(self, event: Event) -> None:
        if event["event"] == "stopped":
            self.stop_reason = str(event["reason"])
            return
        self.stop_reason = None
        if "definition" in event:
            self.definition = dict(event["definition"])
            self.resolved = dict(event["sweep"])
            self.__dict__.pop("sweep", None)
        if event["event"] == "launched":
            if self.schema:
                raise ValueError("the sweep was launched before")
            self.launched_at, self.schema = event["time"], int(event["schema"])
        if event["event"] == "resumed":
            self._count_deaths()
        if event["event"] != "amended":
            self.launches.append(dict(event["versions"]))
            self.execution = dict(event.get("execution") or {})

    def _count_deaths(self) -> None:
        """Trials that ran in the driver's own process when it died; how a worker on Ray ended would have been told."""
        for trial in self.taken.values() if self.execution.get("in_process") else ():
            if len(self.taken) > 1:
                trial.num_shared_deaths += 1
            else:
                trial.num_deaths += 1
        self.taken.clear()

    def _create(self, event: Event) -> None:
        trial = TrialRecord(**{key: event[key] for key in _CREATED}, created_at=event["time"])
        alike = {key: self._shared((trial.arm, key), trial.config[key]) for key in _ALIKE if key in trial.config}
        trial.config = {**trial.config, **alike}
        if trial.trial_id in self.trials:
            raise ValueError(f"trial {trial.trial_id} was created before")
        arm = self.arm(trial.arm)
        if trial.number > len(arm.points):
            raise ValueError(f"point {trial.number} of {trial.arm} comes before point {len(arm.points)}")
        self.trials[trial.trial_id] = trial
        self.replicates.setdefault(trial.point_id, {})[trial.replicate] = trial
        arm.add(trial, event["sampler"], self._asked(trial))

    def _shared(self, place: tuple[str, str], value: T) -> T:
        """`value`, as the same object that the trial before had in its place if that was equal.

        Trials of an arm have most of what they hold in common; 100,000 copies of it would fill the driver's memory.
        """
        last = self._last.get(place)
        if type(last) is type(value) and last == value:
            return last
        self._last[place] = value
        return value

    def _take(self, trial: TrialRecord, event: Event) -> None:
        self._require_order(trial.test_scores is None and trial.state in ("RUNNING", "COMPLETE"), trial)
        self.taken[trial.trial_id] = trial

    def _start(self, trial: TrialRecord, event: Event) -> None:
        self._require_order(trial.test_scores is None and trial.state in ("RUNNING", "COMPLETE"), trial)
        trial.num_attempts += trial.state == "RUNNING"
        self.taken[trial.trial_id] = trial
        if event["facts"] is not None:
            found = self._shared((trial.arm, "facts"), build(TrialFacts, event["facts"], "journal"))
            before = trial.facts
            if before is not None and trial.reports and _where(before) != _where(found):
                trial.earlier_facts.append(before)
            trial.facts = found

    def _report(self, trial: TrialRecord, event: Event) -> None:
        report = EpochReport(**event["report"])
        self._require_order(trial.state == "RUNNING" and report.epoch > max(trial.reports, default=0), trial)
        trial.num_deaths = trial.num_shared_deaths = 0
        self.arm(trial.arm).report(trial, report, gpu=self._gpu)
        if event["decision"] is not None:
            trial.decisions[report.epoch] = event["decision"]

    def _decide(self, trial: TrialRecord, event: Event) -> None:
        """Only journals of schema 1 hold decisions apart from reports."""
        trial.decisions[event["epoch"]] = event["decision"]

    def _interrupt(self, trial: TrialRecord, event: Event) -> None:
        trial.num_interruptions += 1
        self.taken.pop(trial.trial_id, None)

    def _finish(self, trial: TrialRecord, event: Event) -> None:
        self._require_order(trial.state == "RUNNING", trial)
        trial.outcome = Outcome(**event["outcome"])
        trial.num_deaths = trial.num_shared_deaths = 0
        if trial.phase == "search" or trial.outcome.state != "COMPLETE" or self._has_races:
            # else its worker goes on to test it
            self.taken.pop(trial.trial_id, None)
        if event.get("facts") is not None:  # in journals of schema 1, what others say when they start
            trial.facts = build(TrialFacts, event["facts"], "journal")
        self.arm(trial.arm).change(trial, trial.outcome.state, self._asked(trial))

    def _reopen(self, trial: TrialRecord, event: Event) -> None:
        self._require_order(trial.state == "FAILED", trial)
        trial.earlier_failures.append(event["reason"])
        trial.outcome = None
        self.arm(trial.arm).change(trial, "RUNNING", self._asked(trial))

    def _test(self, trial: TrialRecord, event: Event) -> None:
        self._require_order(trial.state == "COMPLETE" and trial.test_scores is None, trial)
        self.taken.pop(trial.trial_id, None)
        trial.num_deaths = trial.num_shared_deaths = 0
        self.arm(trial.arm).test(float(event.get("duration_s") or 0.0), gpu=self._gpu)
        trial.test_scores = dict(event["scores"])
        trial.baselines = dict(event["baselines"])
        trial.num_test_examples = dict(event["num_examples"])
        trial.num_test_labels = dict(event.get("num_labels") or {})
        trial.unseen_test_labels = {name: dict(found) for name, found in (event.get("unseen_labels") or {}).items()}
        found = event.get("granularity") or {}
        trial.granularity = {name: build(Granularity, values, "journal") for name, values in found.items()}

    def _require_order(self, holds: bool, trial: TrialRecord) -> None:
        """Refuse what no driver does to a trial as it stands; journals of schema 1 were not held to it."""
        if not holds and self.schema > schema_1.SCHEMA:
            tested = ", tested" if trial.test_scores is not None else ""
            raise ValueError(
                f"trial {trial.trial_id} is {trial.state}{tested}, its last epoch {max(trial.reports, default=0)}"
            )


def _where(facts: TrialFacts) -> object:
    """What an attempt ran on."""
    return facts.device, facts.versions


_OF_SWEEPS = ("launched", "amended", "resumed", "stopped")
_CREATED = ("trial_id", "arm", "number", "point_id", "seed", "params", "config", "phase")
_ALIKE = ("task", "backbone")
"""Parts of a configuration that the trials of an arm have in common, but for the draw of the data."""
_OF_TRIALS: Mapping[str, Callable[[SweepRecord, TrialRecord, Event], None]] = {
    "taken": SweepRecord._take,
    "started": SweepRecord._start,
    "reported": SweepRecord._report,
    "decided": SweepRecord._decide,
    "interrupted": SweepRecord._interrupt,
    "finished": SweepRecord._finish,
    "reopened": SweepRecord._reopen,
    "tested": SweepRecord._test,
}
