"""How often workers load tasks and backbones over a whole sweep: the files of two papers, two slots, no training."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
from simulation import curve_value, launch

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import Ask, Job, SlotMessage
from tunekit.journal import Journal
from tunekit.search import Search
from tunekit.storage import remove_folder
from tunekit.sweep import Sweep, load_sweep
from tunekit.training import caches
from tunekit.training.messages import Finished, Reported, Started, TrialMessage
from tunekit.training.messages import Tested as Scored  # pytest takes what begins with Test for tests
from tunekit.training.warm_keys import backbone_key, task_key
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialFacts

PAPERS = Path(__file__).resolve().parents[1] / "search_spaces" / "papers"


class CountingSlot:
    """A slot that keeps what a worker's cache keeps, and counts what it has to load.

    Few-shot tasks are so small that a cache keeps all of them; backbones go after `caches.MAX_BACKBONES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_loads = {"task": 0, "backbone": 0}
        self._tasks: set[str] = set()
        self._backbones: OrderedDict[str, None] = OrderedDict()

    @property
    def ask(self) -> SlotMessage:
        return self.say(Ask(warm=(*self._tasks, *self._backbones)))

    def say(self, content: Ask | TrialMessage) -> SlotMessage:
        return SlotMessage(slot=self.name, worker=self.name, content=content)

    def load(self, job: Job) -> None:
        task, backbone = task_key(job.config.task, job.locations), backbone_key(job.config.backbone, job.locations)
        self.num_loads["task"] += task not in self._tasks
        self._tasks.add(task)
        self.num_loads["backbone"] += backbone not in self._backbones
        self._backbones[backbone] = None
        self._backbones.move_to_end(backbone)
        while len(self._backbones) > caches.MAX_BACKBONES:
            self._backbones.popitem(last=False)


def _run(sweep: Sweep, folder: Path, num_slots: int) -> tuple[list[CountingSlot], list[int]]:
    """Run the sweep with slots that take turns; also gives how far apart arms were in points, at each draw."""
    slots = [CountingSlot(f"slot{number}") for number in range(num_slots)]
    leads = []
    with Journal(folder, durable=False) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        dispatcher = Dispatcher(search, folder)
        open_slots = list(slots)
        while open_slots:
            slot = open_slots.pop(0)
            replies = dict(dispatcher.exchange([slot.ask]))
            reply = replies[slot.name]
            if reply.job is None:
                assert reply.kind == "leave"
                continue
            counts = [len(search.record.arm(arm.name).points) for arm in sweep.arms]
            leads.append(max(counts) - min(counts))
            slot.load(reply.job)
            _train(dispatcher, search, slot, reply.job)
            open_slots.append(slot)
        assert search.is_done
    return slots, leads


def _train(dispatcher: Dispatcher, search: Search, slot: CountingSlot, job: Job) -> None:
    trial = search.record.trials[job.config.trial_id]
    said: dict[str, str] = {"trial_id": trial.trial_id}
    dispatcher.exchange([slot.say(Started(facts=TrialFacts(), **said))])
    if trial.state == "RUNNING":
        for epoch in range(1, min(trial.num_epochs, 5) + 1):
            value = curve_value(trial, epoch)
            report = EpochReport(epoch=epoch, value=value, metrics={"dev/en/accuracy": value}, duration_s=1.0)
            ((_, reply),) = dispatcher.exchange([slot.say(Reported(report=report, **said))])
            if reply.kind == "stop":
                return
        best = max(report.value for report in trial.reports.values())
        outcome = Outcome(state="COMPLETE", value=best, best_epoch=1)
        dispatcher.exchange([slot.say(Finished(outcome=outcome, is_last=not job.test, **said))])
    if job.test:
        scores = FinalScores(epoch=1, scores={"test/en/accuracy": 0.5}, majority={}, num_examples={})
        dispatcher.exchange([slot.say(Scored(scores=scores, is_last=True, **said))])


@pytest.mark.parametrize(
    ("file", "least_tasks", "least_backbones"),
    [("mpt_xnli.yaml", 9, 1), ("topro_udpos.yaml", 1, 3)],
)
def test_two_slots_load_at_most_twice_as_often_as_the_least_possible(
    file: str, least_tasks: int, least_backbones: int, tmp_path: Path
) -> None:
    sweep = load_sweep(PAPERS / file)
    slots, leads = _run(sweep, tmp_path, 2)
    loads = {kind: sum(slot.num_loads[kind] for slot in slots) for kind in ("task", "backbone")}
    assert loads["task"] <= 2 * least_tasks, loads
    assert loads["backbone"] <= 2 * least_backbones, loads
    assert max(leads) <= 4, "arms stay evenly served"
    remove_folder(tmp_path)
