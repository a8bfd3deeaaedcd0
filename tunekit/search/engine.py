"""The driver's mind: hands out trials, takes their reports, decides, and writes every step into the journal first.

Launching and resuming are one path: replay the journal, then go on. :class:`Search` knows nothing of where trials
run; :mod:`tunekit.execution` calls :meth:`~Search.next_trial`, :meth:`~Search.report` and :meth:`~Search.finish` in
a loop, in this process or for Ray's workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tunekit.journal import Journal, TrialRecord
from tunekit.journal.points import Point, missing_seed, points_of, search_seeds, top_points
from tunekit.schema import to_json
from tunekit.search.schedulers import Curve, Decision, decide
from tunekit.search.study import ArmStudy
from tunekit.sweep import Arm, Sweep, trial_config
from tunekit.trial import EpochReport, Outcome


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One piece of work for a worker."""

    trial: TrialRecord
    arm: Arm
    test: bool
    """Also score the test sets; if the trial is COMPLETE already, only that."""


class Search:
    """What to try next, and whether to go on, for every arm of one sweep."""

    def __init__(
        self, sweep: Sweep, journal: Journal, *, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """Rebuild the state from `journal` (which may be new); the searchers are then as if nothing had happened.

        Args:
            sweep: what to search.
            journal: open, and held by this process.
            on_event: called after each new event, for a display.
        """
        self.sweep = sweep
        self.record = journal.record
        self._journal = journal
        self._on_event = on_event or (lambda event: None)
        self._studies = {arm.name: ArmStudy(sweep, arm) for arm in sweep.arms}
        self._num_points = {arm.name: sweep.num_points(arm) for arm in sweep.arms}
        self._held: set[str] = set()
        self._given_up: set[str] = set()
        self._told: set[tuple[str, int]] = set()
        self._first: dict[tuple[str, int], str] = {}
        seen: dict[str, TrialRecord] = {}
        for event in journal.events:
            self._follow(event, seen)

    # -- the journal first, then its effect ---------------------------------------------------------------------

    def _write(self, kind: str, **content: Any) -> None:
        event = self._journal.append(kind, **content)
        self._on_event(event)

    def _follow(self, event: Mapping[str, Any], seen: dict[str, TrialRecord]) -> None:
        """Replay one event's effect on the searchers, in the order in which it happened."""
        kind = event["event"]
        if kind == "created":
            trial = self.record.trials[event["trial_id"]]
            seen[trial.trial_id] = trial
            if self._first.setdefault((trial.arm, trial.number), trial.trial_id) == trial.trial_id:
                self._studies[trial.arm].restore(event["params"], event["sampler"])
        elif kind == "reported":
            trial = self.record.trials[event["trial_id"]]
            self._tell_report(trial, trial.reports[event["report"]["epoch"]])
        elif kind == "finished":
            trial = self.record.trials[event["trial_id"]]
            members = [t for t in seen.values() if t.arm == trial.arm and t.number == trial.number]
            self._tell_point(trial, members, state=event["outcome"]["state"])

    def _tell_report(self, trial: TrialRecord, report: EpochReport) -> None:
        """The searcher sees the curve of a point's first search trial."""
        key = (trial.arm, trial.number)
        if self._first.get(key) == trial.trial_id and key not in self._told:
            self._studies[trial.arm].report(trial.number, report)

    def _tell_point(self, trial: TrialRecord, members: Iterable[TrialRecord], *, state: str) -> None:
        key = (trial.arm, trial.number)
        if trial.phase != "search" or key in self._told:
            return
        searched = [t for t in members if t.phase == "search"]
        if state == "COMPLETE" and len(searched) < len(search_seeds(searched[0], self.sweep.seeds)):
            return
        values = [t.outcome.value for t in searched if t.outcome is not None and t.outcome.value is not None]
        self._told.add(key)
        self._studies[trial.arm].tell(trial.number, state, fmean(values) if values else None)

    # -- handing out ---------------------------------------------------------------------------------------------

    def next_trial(self) -> Assignment | None:
        """The next piece of work, or None: all is done (:attr:`is_done`), or only running trials can bring more."""
        for trial in self.record.trials.values():
            if trial.state == "RUNNING" and trial.trial_id not in self._held:
                return self._hold(trial, test=trial.phase == "finalise")
        return self._next_replicate() or self._next_point() or self._next_final()

    def _hold(self, trial: TrialRecord, *, test: bool) -> Assignment:
        self._held.add(trial.trial_id)
        return Assignment(trial=trial, arm=self.sweep.arm(trial.arm), test=test)

    @property
    def num_held(self) -> int:
        """Trials handed out and not yet given back."""
        return len(self._held)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to hand out and nothing is out."""
        if self._held or any(trial.state == "RUNNING" for trial in self.record.trials.values()):
            return False
        return not self._search_is_open() and not any(self._final_work())

    def _search_is_open(self) -> bool:
        running = any(t.state == "RUNNING" and t.phase == "search" for t in self.record.trials.values())
        return (
            running
            or any(missing_seed(p, self.sweep.seeds) is not None for _, p in self._points())
            or any(map(self._has_room, self.sweep.arms))
        )

    def _points(self) -> Iterable[tuple[Arm, Point]]:
        for arm in self.sweep.arms:
            for point in points_of(self.record.arm(arm.name)):
                yield arm, point

    def points(self, arm: Arm) -> list[Point]:
        """The points of `arm`, in the order in which they were drawn."""
        return points_of(self.record.arm(arm.name))

    def _next_replicate(self) -> Assignment | None:
        for arm, point in self._points():
            seed = missing_seed(point, self.sweep.seeds)
            if seed is not None:
                return self._create(arm, point.number, dict(point.params), seed=seed, phase="search")
        return None

    def _next_point(self) -> Assignment | None:
        """A new point for the arm that has drawn the fewest, so that an unfinished sweep compares arms fairly."""
        open_arms = [arm for arm in self.sweep.arms if self._has_room(arm)]
        if not open_arms:
            return None
        arm = min(open_arms, key=lambda arm: len(self.points(arm)))
        number = len(self.points(arm))
        params, remembered = self._studies[arm.name].ask(number)
        seed = int(params.get("seed", self.sweep.seeds[0]))
        config = trial_config(self.sweep, arm, _without_seed(params), seed)
        if config.trial_id in self.record.trials:
            seed = self._unused_seed(config.point_id)
        return self._create(arm, number, params, seed=seed, phase="search", sampler=remembered)

    def _unused_seed(self, point_id: str) -> int:
        """A seed for a point drawn again: one that only finalising will want, else the next number."""
        taken = {trial.seed for trial in self.record.trials.values() if trial.point_id == point_id}
        taken |= set(self.sweep.seeds)  # the first draw runs on these, now or later
        return next((seed for seed in self.sweep.finalise.seeds if seed not in taken), max(taken) + 1)

    def _has_room(self, arm: Arm) -> bool:
        """Whether the arm may draw another point within num_trials and its share of the budget."""
        trials = [trial for trial in self.record.arm(arm.name) if trial.phase == "search"]
        if len(points_of(trials)) >= self._num_points[arm.name]:
            return False
        spent_s = sum(trial.duration_s for trial in trials)
        return self.sweep.budget.allows(num_trials=len(trials), duration_s=spent_s, num_arms=len(self.sweep.arms))

    def _create(
        self,
        arm: Arm,
        number: int,
        params: dict[str, Any],
        *,
        seed: int,
        phase: str,
        sampler: Mapping[str, Any] | None = None,
    ) -> Assignment:
        config = trial_config(self.sweep, arm, _without_seed(params), seed)
        self._write(
            "created",
            trial_id=config.trial_id,
            arm=arm.name,
            number=number,
            point_id=config.point_id,
            seed=seed,
            params=params if "seed" not in params else {**params, "seed": seed},
            config=to_json(config),
            phase=phase,
            sampler=sampler or {},
        )
        self._first.setdefault((arm.name, number), config.trial_id)
        return self._hold(self.record.trials[config.trial_id], test=phase == "finalise")

    # -- finalising ----------------------------------------------------------------------------------------------

    def _final_work(self) -> Iterable[tuple[Arm, Point, int]]:
        """What finalising still lacks: (arm, point, seed) without a failed or tested trial."""
        for arm in self.sweep.arms:
            for point in self.frozen_top(arm):
                for seed in self.sweep.finalise.seeds:
                    trial = self._trial_of(arm, point, seed)
                    if trial is None or (trial.state == "COMPLETE" and trial.test_scores is None):
                        if trial is not None and trial.trial_id in self._given_up:
                            continue
                        yield arm, point, seed

    def frozen_top(self, arm: Arm) -> list[Point]:
        """The points to finalise, as the search left them: seeds run while finalising do not reorder them."""
        return top_points(self.record.arm(arm.name), self.sweep.finalise.top)

    def _trial_of(self, arm: Arm, point: Point, seed: int) -> TrialRecord | None:
        return self.record.trials.get(trial_config(self.sweep, arm, point.params, seed).trial_id)

    def _next_final(self) -> Assignment | None:
        if self._search_is_open():
            return None
        for arm, point, seed in self._final_work():
            trial = self._trial_of(arm, point, seed)
            if trial is None:
                return self._create(arm, point.number, dict(point.params), seed=seed, phase="finalise")
            if trial.trial_id not in self._held:
                return self._hold(trial, test=True)
        return None

    # -- taking back ---------------------------------------------------------------------------------------------

    def started(self, trial: TrialRecord, worker: str) -> None:
        """A worker took the trial up."""
        self._write("started", trial_id=trial.trial_id, attempt=trial.num_attempts + 1, worker=worker)

    def report(self, trial: TrialRecord, report: EpochReport) -> Decision:
        """Take one epoch's report and decide; a report that the journal already holds gets the decision it got."""
        if report.epoch not in trial.reports:
            self._write("reported", trial_id=trial.trial_id, report=report)
            self._tell_report(trial, report)
        if report.epoch not in trial.decisions:
            self._write(
                "decided", trial_id=trial.trial_id, epoch=report.epoch, decision=self._decide(trial, report.epoch)
            )
        return Decision(**trial.decisions[report.epoch])

    def _decide(self, trial: TrialRecord, epoch: int) -> Decision:
        if trial.phase == "finalise" or trial.state != "RUNNING":
            return Decision(stop=False)
        others = [
            t for t in self.record.arm(trial.arm) if t.phase == "search" and t.trial_id != trial.trial_id and t.reports
        ]
        return decide(
            self.sweep.scheduler,
            epoch=epoch,
            num_epochs=int(trial.config["training"]["epochs"]),
            trial=_curve(trial),
            others=[_curve(other) for other in others],
        )

    def finish(self, trial: TrialRecord, outcome: Outcome) -> None:
        """Take a finished trial; one that the journal already holds as finished is left as it is."""
        if trial.state == "RUNNING":
            self._write("finished", trial_id=trial.trial_id, outcome=outcome)
            members = [t for t in self.record.arm(trial.arm) if t.number == trial.number]
            self._tell_point(trial, members, state=outcome.state)

    def stop(self, trial: TrialRecord, decision: Decision) -> None:
        """Finish a trial that :meth:`report` decided to stop, as PRUNED with what it had reached."""
        best = max(trial.reports.values(), key=lambda report: (report.value, -report.epoch))
        against = f"{best.value:.4f} < {decision.cutoff:.4f}" if decision.cutoff is not None else "stopped"
        outcome = Outcome(
            state="PRUNED",
            value=best.value,
            best_epoch=best.epoch,
            metrics=dict(best.metrics),
            duration_s=trial.duration_s,
            reason=f"{against} at epoch {decision.rung}, against {decision.num_compared} trials",
        )
        self.finish(trial, outcome)

    def tested(
        self,
        trial: TrialRecord,
        *,
        scores: Mapping[str, float],
        baselines: Mapping[str, float],
        num_examples: Mapping[str, int],
    ) -> None:
        """Take a trial's test scores; they are written once and never replaced.

        Args:
            trial: COMPLETE, and chosen for finalising.
            scores: ``test/<language>/<metric>``.
            baselines: ``majority/<language>/<metric>``.
            num_examples: test sentences or pairs by language.
        """
        if trial.test_scores is None:
            content = {"scores": dict(scores), "baselines": dict(baselines), "num_examples": dict(num_examples)}
            self._write("tested", trial_id=trial.trial_id, **content)

    def interrupted(self, trial: TrialRecord, reason: str) -> None:
        """The trial's worker died; it is handed out again and goes on from its checkpoint."""
        self._write("interrupted", trial_id=trial.trial_id, reason=reason)

    def give_up(self, trial: TrialRecord) -> None:
        """The trial cannot be tested now; not asked for again by this process, but by the next one."""
        self._given_up.add(trial.trial_id)

    def release(self, trial: TrialRecord) -> None:
        """The worker has given the trial back, whatever became of it."""
        self._held.discard(trial.trial_id)

    def disposable(self, arm: Arm) -> list[TrialRecord]:
        """Finished trials of `arm` whose weights finalising will not need."""
        keep = {trial.trial_id for point in self.frozen_top(arm) for trial in point.trials}
        return [
            t
            for t in self.record.arm(arm.name)
            if t.state != "RUNNING" and t.trial_id not in keep and t.phase == "search"
        ]


def _curve(trial: TrialRecord) -> Curve:
    return Curve(number=trial.number, values={epoch: report.value for epoch, report in trial.reports.items()})


def _without_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != "seed"}
