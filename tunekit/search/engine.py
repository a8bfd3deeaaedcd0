"""The driver's decisions: hands out trials, takes their reports, decides, and writes every step into the journal first.

Launching and resuming are one path: replay the journal, then go on. :class:`Search` knows nothing of where trials
run; :mod:`tunekit.execution` calls :meth:`~Search.next_trial`, :meth:`~Search.report` and :meth:`~Search.finish`, and
:meth:`~Search.flush` before the answer to any of them leaves the driver. Each call costs the same whatever the number
of trials before it.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from tunekit.journal import Event, Journal, Point, SweepProgress, TrialRecord
from tunekit.search.assignment import Assignment
from tunekit.search.finalising import Finalising, Fits, LoadCost
from tunekit.search.fingerprints import Fingerprints
from tunekit.search.keeping import Keeping
from tunekit.search.schedulers import Decision, Rungs, decide
from tunekit.search.study import ArmStudy
from tunekit.sweep import Arm, Sweep, trial_config
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialConfig, TrialFacts

LEAD = 2
"""Points by which an arm may be ahead of the one served least, so that workers keep what they have loaded."""


def _no_cost(arm: Arm) -> float:
    return 0


def _any(trial: TrialRecord) -> bool:
    return True


class Search:
    """What to try next, and whether to go on, for every arm of one sweep."""

    def __init__(self, sweep: Sweep, journal: Journal, *, on_event: Callable[[Event], None] | None = None) -> None:
        """Rebuild the state from `journal` (which may be new); the searchers are then as if nothing had happened.

        Args:
            sweep: what to search.
            journal: open, and held by this process.
            on_event: called for each new event once it is on the disk, for a display.
        """
        self.sweep = sweep
        self.record = journal.record
        self.progress = SweepProgress(journal.record, sweep)
        self._journal = journal
        self._on_event = on_event
        self._unseen: list[Event] = []
        self._studies = {arm.name: ArmStudy(sweep, arm) for arm in sweep.arms}
        self._rungs: defaultdict[tuple[str, int | None], Rungs] = defaultdict(lambda: Rungs(sweep.scheduler))
        # By arm and draw: what is reached on one draw of the data says nothing about a trial on a harder one.
        self._held: set[str] = set()
        self._interrupted: deque[TrialRecord] = deque()
        self._finalising = Finalising(self.progress)
        self._fingerprints = Fingerprints()
        self._keeping = Keeping(sweep, self.record)
        self._rebuild()

    # -- the journal first, then its effect ---------------------------------------------------------------------

    def _write(self, kind: str, **content: object) -> None:
        event = self._journal.append(kind, **content)
        if self._on_event is not None:
            self._unseen.append(event)

    def flush(self) -> None:
        """See all that was decided on the disk.

        Raises:
            StorageError: the disk is full or gone; the sweep can be resumed.
        """
        self._journal.flush()
        unseen, self._unseen = self._unseen, []
        for event in unseen:
            assert self._on_event is not None
            self._on_event(event)

    def _rebuild(self) -> None:
        """Bring searchers and early stopping to where the journal left them."""
        for arm in self.sweep.arms:
            study, found = self._studies[arm.name], self.record.arm(arm.name)
            for point in found.points:
                study.restore(point.first.params, point.sampler)
                for report in point.first.reports.values():
                    study.report(point.number, report)
                self._tell(arm.name, point)
            for trial in found.trials:
                self._restore(trial)
            self._keeping.review(arm)
        for trial in [trial for trial in self._interrupted if _is_stopped(trial)]:
            self.stop(trial, Decision(**trial.decisions[max(trial.decisions)]))  # decided, and then the driver died
        for trial in [trial for trial in self._interrupted if trial.trial_id in self.record.taken]:
            self.pause(trial)  # likewise
        self._interrupted = deque(trial for trial in self._interrupted if trial.state == "RUNNING")

    def _restore(self, trial: TrialRecord) -> None:
        curve: dict[int, float] = {}
        for epoch, report in trial.reports.items() if trial.phase == "search" else ():
            curve[epoch] = report.value
            self._rungs[trial.arm, trial.draw].add(trial.number, epoch, curve)
        if trial.facts is not None:
            self._fingerprints.require_same(self.sweep.arm(trial.arm), trial.facts)
        if trial.state == "RUNNING":
            self._interrupted.append(trial)
        elif trial.phase == "search":
            self._keeping.add(trial)
        else:
            self._keeping.review_final(trial)

    def _tell(self, arm: str, point: Point) -> None:
        """Tell the searcher how a point ended, if it has."""
        end = point.end(self.sweep.replicates(self.sweep.arm(arm)))
        if end is not None:
            self._studies[arm].tell(point.number, *end)

    # -- handing out ---------------------------------------------------------------------------------------------

    def next_trial(self, cost: LoadCost = _no_cost, *, fits: Fits = _any, lead: int = LEAD) -> Assignment | None:
        """The next trial to run, or None: all is done (:attr:`is_done`), or only running trials can bring more.

        Args:
            cost: what the worker that asks would have to load. It prefers arms that cost it least, as long as arms
                stay evenly served. Infinite: no trial of the arm is made for it.
            fits: whether it may run a trial; of one that is yet to be made it is asked about the first of its point,
                and of a new point nothing is known. What does not fit waits for another worker.
            lead: points by which an arm may be ahead of the one served least.
        """
        found = self._next_interrupted(fits) or self._next_replicate(cost, fits)
        return found or self._next_point(cost, lead) or self._next_final(cost, fits)

    def _next_interrupted(self, fits: Fits) -> Assignment | None:
        self._interrupted = deque(t for t in self._interrupted if t.state == "RUNNING" and t.trial_id not in self._held)
        trial = next((trial for trial in self.waiting if fits(trial)), None)
        if trial is None:
            return None
        self._interrupted.remove(trial)
        return self._hold(trial, test=trial.phase == "finalise" and self._may_test(trial))

    def _may_test(self, trial: TrialRecord) -> bool:
        return self.progress.may_test(self.sweep.arm(trial.arm))

    @property
    def waiting(self) -> tuple[TrialRecord, ...]:
        """Trials that were taken up and given back unfinished, in that order: the first to be handed out again.

        Those that the budget has stopped are left out.
        """
        waiting = (t for t in self._interrupted if t.state == "RUNNING" and t.trial_id not in self._held)
        return tuple(filter(self.progress.spending.may_run, waiting))

    def _hold(self, trial: TrialRecord, *, test: bool) -> Assignment:
        self._held.add(trial.trial_id)
        return Assignment(trial=trial, arm=self.sweep.arm(trial.arm), test=test)

    @property
    def num_usable(self) -> int:
        """Trials that could run at this moment, those handed out included."""
        waiting = len(self.waiting)
        for arm in self.sweep.arms:
            if self.progress.spending.search_left_s(arm) > 0:
                waiting += len(self.record.arm(arm.name).wanting) + self.progress.num_open_points(arm)
        if not self.progress.is_search_open:
            waiting += self._finalising.num_free(self._held)
        return len(self._held) + waiting

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to hand out and nothing is out."""
        if self._held or self.waiting or self.progress.is_search_open:
            return False
        return self._finalising.is_done

    def _next_replicate(self, cost: LoadCost, fits: Fits) -> Assignment | None:
        arms = [arm for arm in self.sweep.arms if self._wants_replicate(arm, fits) and cost(arm) < math.inf]
        if not arms:
            return None
        arm = min(arms, key=cost)
        found = self.record.arm(arm.name)
        point = found.points[found.wanting[0]]
        wanted = point.missing(self.sweep.replicates(arm))
        assert wanted is not None
        config = trial_config(self.sweep, arm, point.params, wanted.seed, draw=wanted.draw)
        return self._create(arm, point.number, point.params, config=config, phase="search")

    def _wants_replicate(self, arm: Arm, fits: Fits) -> bool:
        found = self.record.arm(arm.name)
        if not found.wanting or self.progress.spending.search_left_s(arm) <= 0:
            return False
        return fits(found.points[found.wanting[0]].first)

    def _next_point(self, cost: LoadCost, lead: int) -> Assignment | None:
        """A new point for one of the arms that have drawn the fewest, so that an unfinished sweep compares fairly."""
        open_arms = [arm for arm in self.sweep.arms if self.progress.has_room(arm)]
        drawn = {arm.name: len(self.record.arm(arm.name).points) for arm in open_arms}
        if not drawn:
            return None
        least = min(drawn.values())
        arms = [arm for arm in open_arms if drawn[arm.name] <= least + lead and cost(arm) < math.inf]
        if not arms:
            return None
        arm = min(arms, key=lambda arm: (cost(arm), drawn[arm.name]))
        number = drawn[arm.name]
        params, remembered = self._studies[arm.name].ask(number)
        first = self.sweep.replicates(arm)[0]
        seed = int(params.get("seed", first.seed))
        config = trial_config(self.sweep, arm, _without_seed(params), seed, draw=first.draw)
        if config.trial_id in self.record.trials:
            config = replace(config, seed=self._unused_seed(config.point_id))
        return self._create(arm, number, params, config=config, phase="search", sampler=remembered)

    def _unused_seed(self, point_id: str) -> int:
        """A seed for a point drawn again: one that only finalising will want, else the next number."""
        taken = {replicate.seed for replicate in self.record.replicates[point_id]}
        taken |= set(self.sweep.seeds)  # the first draw runs on these, now or later
        return next((seed for seed in self.sweep.finalise.seeds if seed not in taken), max(taken) + 1)

    def _create(
        self,
        arm: Arm,
        number: int,
        params: Mapping[str, object],
        *,
        config: TrialConfig,
        phase: str,
        sampler: Mapping[str, object] | None = None,
    ) -> Assignment:
        trial_id, seed = config.trial_id, config.seed
        self._write(
            "created",
            trial_id=trial_id,
            arm=arm.name,
            number=number,
            point_id=config.point_id,
            seed=seed,
            params=params if "seed" not in params else {**params, "seed": seed},
            config=config,
            phase=phase,
            sampler=sampler or {},
        )
        trial = self.record.trials[trial_id]
        return self._hold(trial, test=phase == "finalise" and self._may_test(trial))

    # -- finalising ----------------------------------------------------------------------------------------------

    def _next_final(self, cost: LoadCost, fits: Fits) -> Assignment | None:
        if self.progress.is_search_open:
            return None
        found = self._finalising.next(cost, self._held, fits)
        if found is None:
            return None
        arm, final = found
        if final.trial is None:
            point = final.point
            seed, draw = final.replicate
            config = trial_config(self.sweep, arm, point.params, seed, draw=draw)
            return self._create(arm, point.number, point.params, config=config, phase="finalise")
        return self._hold(final.trial, test=final.test)

    # -- taking back ---------------------------------------------------------------------------------------------

    def taken(self, trial: TrialRecord, worker: str) -> None:
        """The trial was handed to a worker in the driver's own process, which it may end before it starts."""
        self._write("taken", trial_id=trial.trial_id, worker=worker)

    def started(self, trial: TrialRecord, worker: str, facts: TrialFacts) -> None:
        """A worker took the trial up, to train it or only to test it.

        Args:
            trial: which.
            worker: its name.
            facts: what the trial reads, and how large it is.

        Raises:
            DataChanged: it reads other bytes than the sweep began with.
        """
        self._fingerprints.require_same(self.sweep.arm(trial.arm), facts)
        if trial.state in ("RUNNING", "COMPLETE") and trial.test_scores is None:
            attempt = trial.num_attempts + (trial.state == "RUNNING")
            self._write("started", trial_id=trial.trial_id, attempt=attempt, worker=worker, facts=facts)

    def report(self, trial: TrialRecord, report: EpochReport) -> Decision:
        """Take one epoch's report and decide; a report that the journal already holds gets the decision it got."""
        if report.epoch not in trial.decisions and trial.state == "RUNNING":
            curve = {**{epoch: known.value for epoch, known in trial.reports.items()}, report.epoch: report.value}
            decision = self._decide(trial, report.epoch, curve)
            self._write("reported", trial_id=trial.trial_id, report=report, decision=decision)
            if trial.phase == "search":
                self._rungs[trial.arm, trial.draw].add(trial.number, report.epoch, curve)
            point = self.record.arm(trial.arm).points[trial.number]
            if trial is point.first and trial.state == "RUNNING":
                self._studies[trial.arm].report(trial.number, report)
        return Decision(**trial.decisions.get(report.epoch, {"stop": False}))

    def _decide(self, trial: TrialRecord, epoch: int, curve: Mapping[int, float]) -> Decision:
        if trial.phase == "finalise" or trial.state != "RUNNING":
            return Decision(stop=False)
        return decide(
            self.sweep.scheduler,
            number=trial.number,
            epoch=epoch,
            num_epochs=trial.num_epochs,
            curve=curve,
            others=self._rungs[trial.arm, trial.draw],
        )

    def pause(self, trial: TrialRecord) -> bool:
        """After a report: give the trial back if the budget lets it go no further; whether it does.

        It stays RUNNING, with its checkpoint, and goes on once the budget is raised.
        """
        if trial.state != "RUNNING" or self.progress.spending.may_run(trial):
            return False
        self.interrupted(trial, f"stopped by budget: {self.progress.spending.in_words()}")
        return True

    def finish(self, trial: TrialRecord, outcome: Outcome) -> None:
        """Take a finished trial; one that the journal already holds as finished is left as it is."""
        if trial.state != "RUNNING":
            return
        self._write("finished", trial_id=trial.trial_id, outcome=outcome)
        if trial.phase == "search":
            self._tell(trial.arm, self.record.arm(trial.arm).points[trial.number])
            self._keeping.add(trial)
            self._keeping.review(self.sweep.arm(trial.arm))
            self._finalising.forget()
        else:
            self._keeping.review_final(trial)

    def stop(self, trial: TrialRecord, decision: Decision) -> None:
        """Finish a trial that :meth:`report` decided to stop, as PRUNED with what it had reached."""
        best = max(trial.reports.values(), key=lambda report: report.rank)
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

    def tested(self, trial: TrialRecord, found: FinalScores) -> None:
        """Take the test scores of a COMPLETE trial; they are written once and never replaced."""
        if trial.test_scores is None:
            self._write(
                "tested",
                trial_id=trial.trial_id,
                scores=found.scores,
                baselines=found.majority,
                num_examples=found.num_examples,
                num_labels=found.num_labels,
                unseen_labels=found.unseen_labels,
                granularity=found.granularity,
                duration_s=found.duration_s,
            )
            self._keeping.review_final(trial)

    def interrupted(self, trial: TrialRecord, reason: str) -> None:
        """The trial's worker died. Once the trial is released, it is handed out again and goes on."""
        self._write("interrupted", trial_id=trial.trial_id, reason=reason)

    def give_up(self, trial: TrialRecord, reason: str) -> None:
        """The trial cannot be tested now; not asked for again by this process, but by the next one."""
        if trial.trial_id in self.record.taken:
            self.interrupted(trial, f"could not be tested: {reason}")
        self._finalising.give_up(trial.trial_id)

    def release(self, trial: TrialRecord) -> None:
        """The worker has given the trial back, whatever became of it."""
        self._held.discard(trial.trial_id)
        if trial.state == "RUNNING":
            self._interrupted.append(trial)
        if self.sweep.finalise.race is not None:
            self._finalising.forget()  # it may have been the last of a round

    # -- weights that nothing will ask for -----------------------------------------------------------------------

    def take_disposable(self) -> list[TrialRecord]:
        """Trials whose trained parameters ``storage.keep`` does not keep, each named once; they are over."""
        return self._keeping.take()


def _is_stopped(trial: TrialRecord) -> bool:
    return trial.phase == "search" and bool(trial.decisions) and bool(trial.decisions[max(trial.decisions)]["stop"])


def _without_seed(params: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in params.items() if key != "seed"}
