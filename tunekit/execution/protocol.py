"""One trial on a worker, as a stream of messages to the driver. Alike in this process and on Ray."""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunekit.errors import TrialFailed, TunekitError
from tunekit.journal import TrialRecord
from tunekit.schema import build
from tunekit.search import Assignment, Search
from tunekit.training import CheckpointMissing, FinalScores, TrialRun, Worker, checkpoints
from tunekit.trial import EpochReport, Locations, Outcome, TrialConfig, TrialFacts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to know of an assignment; plain JSON on the wire."""

    config: TrialConfig
    locations: Locations
    folder: str
    """The trial's own, on storage that the driver and every worker see."""
    test: bool
    """Also score test, once the trial is COMPLETE."""

    @classmethod
    def of(cls, assignment: Assignment, sweep_folder: Path) -> Job:
        """The job of an assignment in the sweep's folder."""
        return cls(
            config=build(TrialConfig, assignment.trial.config, "journal"),
            locations=assignment.arm.locations,
            folder=str(trial_folder(sweep_folder, assignment.trial.trial_id)),
            test=assignment.test,
        )


def trial_folder(sweep_folder: Path, trial_id: str) -> Path:
    """Where a trial keeps its checkpoints and its outcome."""
    return sweep_folder / "trials" / trial_id


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a worker tells the driver.

    ``started``: the trial is open; ``reported``: an epoch (also one that an earlier attempt trained); ``finished``: the
    outcome; ``tested``: scores; ``untested``: test could not be scored; ``fatal``: the whole sweep cannot go on (a full
    disk, data gone).
    """

    kind: Literal["started", "reported", "finished", "tested", "untested", "fatal"]
    worker: str
    is_last: bool = False
    report: EpochReport | None = None
    outcome: Outcome | None = None
    facts: TrialFacts | None = None
    scores: FinalScores | None = None
    reason: str | None = None


def worker_name(node: str | None = None) -> str:
    """This process for the journal: host, process number, and the cluster's node, since several may share a host."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    return name if node is None else f"{name}@{node[:8]}"


def perform(job: Job, worker: Worker, *, name: str | None = None) -> Iterator[Message]:
    """Run a job, message by message; what an earlier attempt did is told again, not done again.

    The driver may stop listening after any ``reported`` message: that prunes the trial.

    Args:
        job: what to run.
        worker: caches of this process.
        name: of this process, for the journal; `worker_name` if not given.
    """
    name = name or worker_name()
    try:
        yield from _perform(job, worker, name)
    except TunekitError as error:
        yield Message(kind="fatal", worker=name, is_last=True, reason=str(error))


def _perform(job: Job, worker: Worker, name: str) -> Iterator[Message]:
    run: TrialRun | None = None
    try:
        run = _open(job, worker)
        yield Message(kind="started", worker=name, facts=run.facts)
        for report in run.history:
            yield Message(kind="reported", worker=name, report=report)
        while not run.is_done:
            yield Message(kind="reported", worker=name, report=run.step())
        outcome = run.outcome()
    except Exception as error:
        if _is_fatal(error):
            raise
        outcome = _failed(run, error)
    wants_test = job.test and outcome.state == "COMPLETE"
    yield Message(kind="finished", worker=name, is_last=not wants_test, outcome=outcome)
    if wants_test and run is not None:
        yield _test(job, run, worker, name)


def _open(job: Job, worker: Worker) -> TrialRun:
    return TrialRun(job.config, folder=Path(job.folder), locations=job.locations, worker=worker)


def _is_fatal(error: Exception) -> bool:
    """Whether every other trial would meet the same: bad input or storage, not this trial's own failure."""
    return isinstance(error, TunekitError) and not isinstance(error, TrialFailed)


def _failed(run: TrialRun | None, error: Exception) -> Outcome:
    expected = isinstance(error, TunekitError)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    if not expected:
        logger.error("trial failed\n%s", "".join(traceback.format_exception(error)))
    return (
        run.outcome("FAILED", reason=reason) if run is not None else Outcome(state="FAILED", value=None, reason=reason)
    )


def _test(job: Job, run: TrialRun, worker: Worker, name: str) -> Message:
    """Score test once. Where the best weights were deleted or lost, the trial is trained again, to the same bits."""
    try:
        try:
            scores = run.test()
        except CheckpointMissing as missing:
            logger.warning("%s; training it again", missing)
            checkpoints.forget(Path(job.folder))
            run = _open(job, worker)
            while not run.is_done:
                run.step()
            run.outcome()
            scores = run.test()
    except Exception as error:
        if _is_fatal(error):
            raise
        logger.error("test failed\n%s", "".join(traceback.format_exception(error)))
        return Message(kind="untested", worker=name, is_last=True, reason=f"{type(error).__name__}: {error}")
    return Message(kind="tested", worker=name, is_last=True, scores=scores)


class Courier:
    """Carries messages of one sweep's workers into the :class:`Search`; lives in the driver."""

    def __init__(self, search: Search, folder: Path) -> None:
        self.search = search
        self.folder = folder
        self.problems: list[str] = []
        """What could not be tested, for the end of the run."""

    def deliver(self, assignment: Assignment, message: Message) -> bool:
        """Take one message; False: the trial must not go on (stopped early, or this was its last word).

        Raises:
            SweepInterrupted: the message was ``fatal``.
            StorageError: the journal cannot be written.
        """
        goes_on = self._deliver(assignment, message)
        self.search.flush()
        return goes_on

    def _deliver(self, assignment: Assignment, message: Message) -> bool:
        search, trial = self.search, assignment.trial
        match message.kind:
            case "started":
                search.started(trial, message.worker, message.facts or TrialFacts())
            case "reported":
                assert message.report is not None
                decision = search.report(trial, message.report)
                if decision.stop:
                    search.stop(trial, decision)
                    self._let_go(assignment)
                    return False
                return True
            case "finished":
                assert message.outcome is not None
                search.finish(trial, message.outcome)
            case "tested":
                assert message.scores is not None
                found = message.scores
                search.tested(trial, found)
            case "untested":
                self._untested(trial, message.reason)
            case "fatal":
                raise SweepInterrupted(message.reason or "a worker stopped")
        if message.is_last:
            self._let_go(assignment)
        return not message.is_last

    def lost(self, assignment: Assignment, reason: str) -> None:
        """The worker died more often than `retries` allows: the trial is FAILED."""
        trial = assignment.trial
        if trial.state == "RUNNING":
            self.search.finish(trial, Outcome(state="FAILED", value=None, reason=reason, duration_s=trial.duration_s))
        else:
            self._untested(trial, reason)
        self._let_go(assignment)

    def _untested(self, trial: TrialRecord, reason: str | None) -> None:
        self.problems.append(f"trial {trial.trial_id} of {trial.arm} could not be tested: {reason}")
        self.search.give_up(trial)

    def _let_go(self, assignment: Assignment) -> None:
        """Give the trial back and delete weights that nothing will ask for."""
        self.search.release(assignment.trial)
        if assignment.trial.state in ("PRUNED", "FAILED"):
            checkpoints.remove(trial_folder(self.folder, assignment.trial.trial_id) / checkpoints.LAST)
        for trial in self.search.take_disposable():
            checkpoints.remove(trial_folder(self.folder, trial.trial_id) / checkpoints.BEST)


class SweepInterrupted(TunekitError):
    """The sweep cannot go on now; what is finished is kept and the same command goes on."""
