"""One trial on a worker, as a stream of messages to the driver. Alike in this process and on Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunekit import training
from tunekit.errors import TunekitError
from tunekit.journal import TrialRecord
from tunekit.schema import build
from tunekit.search import Assignment, Search
from tunekit.storage import TrialFolder, remove
from tunekit.training import FinalScores, TrialMessage, WorkerCache
from tunekit.training.messages import Finished, Reported, Tested, Untested
from tunekit.trial import EpochReport, Locations, Outcome, TrialConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to know of an assignment; plain JSON on the wire."""

    config: TrialConfig
    locations: Locations
    folder: str
    """The trial's own, on storage that the driver and every worker see."""
    test: bool
    """Also score test, once the trial is COMPLETE."""
    tokens_per_step: int
    """Padded tokens computed at once."""

    @classmethod
    def of(cls, assignment: Assignment, sweep_folder: Path, *, tokens_per_step: int) -> Job:
        """The job of an assignment in the sweep's folder."""
        return cls(
            config=build(TrialConfig, assignment.trial.config, "journal"),
            locations=assignment.arm.locations,
            folder=str(trial_folder(sweep_folder, assignment.trial.trial_id)),
            test=assignment.test,
            tokens_per_step=tokens_per_step,
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
    scores: FinalScores | None = None
    reason: str | None = None


def worker_name(node: str | None = None) -> str:
    """This process for the journal: host, process number, and the cluster's node, since several may share a host."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    return name if node is None else f"{name}@{node[:8]}"


def perform(job: Job, cache: WorkerCache, *, name: str | None = None) -> Iterator[Message]:
    """Run a job, message by message; what an earlier attempt did is told again, not done again.

    The driver may stop listening after any ``reported`` message: that prunes the trial.

    Args:
        job: what to run.
        cache: what this process keeps between trials.
        name: of this process, for the journal; `worker_name` if not given.
    """
    name = name or worker_name()
    try:
        for message in training.perform(
            job.config,
            folder=Path(job.folder),
            locations=job.locations,
            cache=cache,
            tokens_per_step=job.tokens_per_step,
            test=job.test,
        ):
            yield _message(message, name)
    except TunekitError as error:
        yield Message(kind="fatal", worker=name, is_last=True, reason=str(error))


def _message(message: TrialMessage, name: str) -> Message:
    match message:
        case Reported():
            return Message(kind="reported", worker=name, report=message.report)
        case Finished():
            return Message(kind="finished", worker=name, is_last=message.is_last, outcome=message.outcome)
        case Tested():
            return Message(kind="tested", worker=name, is_last=True, scores=message.scores)
        case Untested():
            return Message(kind="untested", worker=name, is_last=True, reason=message.reason)
        case _:
            return Message(kind="started", worker=name)


class Courier:
    """Carries messages of one sweep's workers into the :class:`Search`; lives in the driver."""

    def __init__(self, search: Search, folder: Path) -> None:
        self.search = search
        self.folder = folder
        self.problems: list[str] = []
        """What could not be tested, for the end of the run."""
        self._disposed: set[str] = set()

    def deliver(self, assignment: Assignment, message: Message) -> bool:
        """Take one message; False: the trial must not go on (stopped early, or this was its last word).

        Raises:
            SweepInterrupted: the message was ``fatal``.
            StorageError: the journal cannot be written.
        """
        search, trial = self.search, assignment.trial
        match message.kind:
            case "started":
                if trial.state == "RUNNING":
                    search.started(trial, message.worker)
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
                search.tested(trial, scores=found.scores, baselines=found.majority, num_examples=found.num_examples)
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
            remove(TrialFolder(trial_folder(self.folder, assignment.trial.trial_id)).last)
        for trial in self.search.disposable(assignment.arm):
            if trial.trial_id not in self._disposed:
                remove(TrialFolder(trial_folder(self.folder, trial.trial_id)).best)
                self._disposed.add(trial.trial_id)


class SweepInterrupted(TunekitError):
    """The sweep cannot go on now; what is finished is kept and the same command goes on."""
