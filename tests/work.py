"""A sweep in progress, without processes: what a slot says goes to the real dispatcher, search and journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulation import curve_value, launch

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import Ask, Job, Reply, SlotContent, SlotMessage
from tunekit.journal import Journal, read_events
from tunekit.search import Search
from tunekit.storage import SweepFolder
from tunekit.sweep import Sweep
from tunekit.training.messages import Finished, Reported, Started, TrialMessage
from tunekit.training.messages import Tested as Scored  # pytest takes what begins with Test for tests
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialFacts

SCORES = FinalScores(epoch=3, scores={"test/de/f1": 0.5}, majority={"majority/de/f1": 0.1}, num_examples={"de": 9})


class Work:
    """A sweep in progress: search, dispatcher and a clock that a test sets."""

    def __init__(self, sweep: Sweep, folder: Path, *, idle_s: float | None = None) -> None:
        self.folder, self.now = folder, 0.0
        self.journal = Journal(folder)
        launch(sweep, self.journal)
        self.search = Search(sweep, self.journal)
        self.dispatcher = Dispatcher(self.search, folder, idle_s=idle_s, clock=lambda: self.now)

    def tell(self, slot: str, content: SlotContent) -> Reply | None:
        """What `slot` is answered at once, if anything."""
        message = SlotMessage(slot=slot, worker=f"host:{slot}", content=content)
        return dict(self.dispatcher.exchange([message])).get(slot)

    def job(self, slot: str, *warm: str) -> Job:
        """The job that `slot` is given."""
        reply = self.tell(slot, Ask(warm=warm))
        assert reply is not None and reply.job is not None
        return reply.job

    def events(self) -> list[str]:
        """The kinds of the events on the disk."""
        return [str(event["event"]) for event in read_events(SweepFolder(self.folder).journal)]

    def messages(self, job: Job) -> Iterator[TrialMessage]:
        """What a slot says of a trial that is COMPLETE at the end."""
        name, epochs = job.config.trial_id, job.config.training.epochs
        trial = self.search.record.trials[name]
        yield Started(trial_id=name, facts=TrialFacts())
        for epoch in range(1, epochs + 1):
            value = curve_value(trial, epoch)
            report = EpochReport(epoch=epoch, value=value, metrics={"dev/en/accuracy": value}, duration_s=1.0)
            yield Reported(trial_id=name, report=report)
        best = curve_value(trial, epochs)
        outcome = Outcome(state="COMPLETE", value=best, best_epoch=epochs)
        yield Finished(trial_id=name, outcome=outcome, is_last=not job.test)
        if job.test:
            yield Scored(trial_id=name, scores=SCORES, is_last=True)

    def complete(self, slot: str, job: Job) -> None:
        """Run a job on `slot` to its end."""
        for message in self.messages(job):
            if (reply := self.tell(slot, message)) is not None and reply.kind == "stop":
                return
