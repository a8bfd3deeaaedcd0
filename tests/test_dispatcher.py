"""Slots and the dispatcher, without processes: slots that simulate their trials talk to the real search and journal."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulation import facts, run, simulated_sweep
from work import SCORES, Work

from tunekit.errors import ConfigError, DataChanged
from tunekit.execution import driver as driver_module
from tunekit.execution.driver import Driver, Messages
from tunekit.execution.notices import Notices
from tunekit.execution.protocol import (
    Ask,
    Beat,
    Fatal,
    Job,
    Leaving,
    Notice,
    Reply,
    SlotContent,
    SlotMessage,
    SweepInterrupted,
)
from tunekit.storage import SweepFolder
from tunekit.sweep import Sweep
from tunekit.training.messages import Finished, Started, TrialMessage, Untested
from tunekit.training.messages import Tested as Scored  # pytest takes what begins with Test for tests
from tunekit.training.warm_keys import backbone_key, task_key
from tunekit.trial import Locations, Outcome, TrialFacts


@pytest.fixture
def short() -> Sweep:
    """Two arms of two points, never stopped early; one point of each is tested."""
    return simulated_sweep(
        fixed={"epochs": 2},
        search={"searcher": "random", "num_trials": 2, "seed": 1},
        scheduler={"name": "none"},
        finalise={"top": 1, "seeds": [10]},
        resources={"retries": 1},
    )


def begin(job: Job) -> Started:
    return Started(trial_id=job.config.trial_id, facts=TrialFacts())


# -- the protocol ------------------------------------------------------------------------------------------------------


def test_every_message_and_reply_is_the_same_after_a_journey_as_text(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    job = work.job("a")
    outcome = Outcome(state="FAILED", value=None, reason="no\x80\udce9 such file")
    contents: list[SlotContent] = [Ask(), Ask(warm=("task:1", "backbone:2")), Fatal(reason="disk full")]
    contents += [Beat(), Leaving(reason="SIGTERM"), Leaving(reason="SIGTERM", is_over=True)]
    contents += [*work.messages(job), Finished(trial_id="x", outcome=outcome), Scored(trial_id="x", scores=SCORES)]
    contents += [Untested(trial_id="x", reason="gone", is_last=True), Notice(text="cannot write x", topic="disk full")]
    for content in contents:
        message = SlotMessage(slot="a", worker="host:1", content=content)
        assert SlotMessage.from_text(message.to_text()) == message
    for reply in (Reply(kind="job", job=job), Reply(kind="leave")):
        assert Reply.from_text(reply.to_text()) == reply
    with pytest.raises(ConfigError, match="expected one of ask, fatal, notice, beat, leaving and trial"):
        SlotMessage.from_text('{"slot": "a", "worker": "b", "letter": {}}')


def test_the_dispatcher_and_the_driver_need_neither_torch_nor_ray() -> None:
    code = (
        "import sys\n"
        "sys.modules['ray'] = sys.modules['torch'] = None\n"
        "import tunekit.execution.driver, tunekit.execution.mailbox\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_slots_that_wait_say_is_shown_once_and_needs_no_reply(
    short: Sweep, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(short, tmp_path)
    for slot in "abc":
        assert work.tell(slot, Notice(text=f"cannot write {slot}", topic="disk full")) is None
    assert caplog.messages == ["cannot write a"]


# -- one slot and several ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_slots", [1, 4])
def test_slots_run_the_whole_sweep_and_then_leave(num_slots: int, tmp_path: Path) -> None:
    work = Work(simulated_sweep(), tmp_path)
    running: dict[str, Iterator[TrialMessage]] = {}
    asking, left = [f"slot-{number}" for number in range(num_slots)], []
    replies: Messages = []
    messages: list[SlotMessage] = []
    for _ in range(5000):
        messages = [SlotMessage(slot=slot, worker="w", content=Ask()) for slot in asking]
        asking = []
        for slot, trial in list(running.items()):
            content = next(trial, None)
            if content is None:
                del running[slot]
                asking.append(slot)
            else:
                messages.append(SlotMessage(slot=slot, worker="w", content=content))
        for slot, reply in work.dispatcher.exchange(messages):
            if reply.job is not None:
                running[slot] = work.messages(reply.job)
            elif reply.kind == "stop":
                del running[slot]
                asking.append(slot)
            elif reply.kind == "leave":
                left.append(slot)
        if len(left) == num_slots:
            break
    assert not replies and work.dispatcher.is_done and len(set(left)) == num_slots
    states = Counter(trial.state for trial in work.search.record.trials.values())
    assert states["RUNNING"] == 0 and states["PRUNED"] > 0
    if num_slots == 1:
        plain = run(simulated_sweep(), tmp_path / "plain")
        assert [row[:7] for row in facts(work.search.record)] == [row[:7] for row in facts(plain)]


def test_what_a_reply_says_is_on_the_disk_before_it_leaves(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    job = work.job("a")
    assert work.events()[-1] == "created"
    for message in work.messages(job):
        work.tell("a", message)
        assert work.events()[-1] == message.kind
    with pytest.raises(SweepInterrupted, match="disk full"):
        other = work.job("b")
        slots = [SlotMessage(slot="b", worker="w", content=begin(other))]
        work.dispatcher.exchange([*slots, SlotMessage(slot="c", worker="w", content=Fatal(reason="disk full"))])
    assert work.events()[-1] == "started", "what other slots said before is kept"


def test_only_asks_and_reports_are_answered(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    replies = [(message.kind, work.tell("a", message)) for message in work.messages(work.job("a"))]
    assert [(kind, reply and reply.kind) for kind, reply in replies] == [
        ("started", None),
        ("reported", "go_on"),
        ("reported", "go_on"),
        ("finished", None),
    ]


def test_a_slot_without_work_waits_and_is_given_the_next_that_comes(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    jobs = {slot: work.job(slot) for slot in "abcd"}
    assert work.tell("e", Ask()) is None
    for slot in "abc":
        work.complete(slot, jobs[slot])
    finished = [*work.messages(jobs["d"])]
    for message in finished[:-1]:
        assert "e" not in dict(work.dispatcher.exchange([SlotMessage(slot="d", worker="w", content=message)]))
    late = work.dispatcher.exchange([SlotMessage(slot="d", worker="w", content=finished[-1])])
    assert [(slot, reply.kind) for slot, reply in late] == [("e", "job")], "the search is over: finalising begins"


def test_an_idle_slot_leaves_after_a_while_and_no_other_is_wanted_meanwhile(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path, idle_s=10)
    assert work.dispatcher.num_wanted_slots() == 4
    for slot in "abcd":
        work.job(slot)
    assert work.dispatcher.num_wanted_slots() == 4
    assert work.tell("e", Ask()) is None
    work.now = 9.0
    assert work.dispatcher.exchange([]) == [] and work.dispatcher.num_wanted_slots() == 4
    work.now = 10.0
    assert [(slot, reply.kind) for slot, reply in work.dispatcher.exchange([])] == [("e", "leave")]


def test_a_slot_is_given_trials_of_the_arm_that_it_is_warm_for(tmp_path: Path) -> None:
    arm = {"method": "finetune", "space": {"learning_rate": {"low": 1e-5, "high": 1e-3}}}
    arms = {name: {**arm, "backbone": name} for name in ("toy-bert", "toy-xglm")}
    work = Work(simulated_sweep(arms=arms, search={"searcher": "random", "num_trials": 9}), tmp_path)
    warm = {
        found.name: (task_key(found.task, found.locations), backbone_key(found.backbone, found.locations))
        for found in work.search.sweep.arms
    }
    for _ in range(8):
        for name in ("toy-xglm", "toy-bert"):
            job = work.job(name, *warm[name])
            assert job.config.backbone.name == name
            work.complete(name, job)


# -- deaths ------------------------------------------------------------------------------------------------------------


def test_the_trial_of_a_dead_slot_goes_to_any_other_and_fails_after_its_retries(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    job = work.job("a")
    work.tell("a", begin(job))
    work.dispatcher.lost("a", "its worker died")
    assert work.job("b") == job and work.events()[-1] == "interrupted"
    work.dispatcher.lost("b", "its worker died")
    assert work.job("c") != job
    trial = work.search.record.trials[job.config.trial_id]
    assert trial.state == "FAILED" and trial.outcome is not None
    assert trial.outcome.reason == "its worker died in epoch 1, 2 times" and trial.num_interruptions == 1


def test_a_trial_that_was_only_to_be_tested_is_a_problem_and_not_failed(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    for _ in range(4):
        work.complete("a", work.job("a"))
    job = work.job("b")
    for slot in "bc":
        work.dispatcher.lost(slot, "its worker died")
        if slot == "b":
            assert work.job("c") == job and job.test
    assert work.search.record.trials[job.config.trial_id].state == "COMPLETE"
    (problem,) = work.dispatcher.problems
    assert job.config.trial_id in problem and "could not be tested: its worker died in its test, 2 times" in problem
    work.complete("d", work.job("d"))
    assert work.dispatcher.is_done


def test_a_slot_that_was_thought_dead_is_told_to_stop_and_changes_nothing(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    job = work.job("a")
    work.dispatcher.lost("a", "its worker died")
    assert work.job("b") == job
    before = work.events()
    started, report, *_, finished = work.messages(job)
    assert work.tell("a", started) is None and work.tell("a", finished) is None
    reply = work.tell("a", report)
    assert reply is not None and reply.kind == "stop" and work.events() == before


def test_data_that_changed_stop_the_sweep_with_the_searchs_own_words(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    names = {slot: work.job(slot).config.trial_id for slot in "abcd"}
    same_arm = [slot for slot in names if work.search.record.trials[names[slot]].arm == "finetune"]
    told = {
        slot: Started(trial_id=names[slot], facts=TrialFacts(fingerprints={"train/en": digit * 16}))
        for slot, digit in zip(same_arm, "01", strict=True)
    }
    first, second = same_arm
    work.tell(first, told[first])
    with pytest.raises(DataChanged, match="train of 'udpos' in 'en'"):
        work.tell(second, told[second])


def test_weights_that_nothing_will_ask_for_are_deleted_once_that_is_on_the_disk(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    jobs = []
    for _ in range(4):
        jobs.append(work.job("a"))
        folder = SweepFolder(tmp_path).trial(jobs[-1].config.trial_id)
        assert str(folder.path) == jobs[-1].folder
        folder.path.mkdir(parents=True)
        folder.best.touch()
        work.complete("a", jobs[-1])
    kept = [job.config.trial_id for job in jobs if SweepFolder(tmp_path).trial(job.config.trial_id).best.exists()]
    best = {arm.name: work.search.record.arm(arm.name).top(1)[0].first.trial_id for arm in work.search.sweep.arms}
    assert set(kept) == set(best.values())


# -- the driver's loop -------------------------------------------------------------------------------------------------


class FakePool:
    """Slots that a test lets die."""

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self.lost: list[tuple[str, str]] = []
        self.ended: list[str] = []

    def want(self, number: int) -> None:
        self.wanted.append(number)

    def take_lost(self) -> Sequence[tuple[str, str]]:
        lost, self.lost = self.lost, []
        return lost

    def end(self, slot: str) -> None:
        self.ended.append(slot)


class FakeCluster:
    """Room for as many as a test says."""

    def __init__(self, room: int, *, is_fixed: bool) -> None:
        self._room, self.is_fixed = room, is_fixed
        self.drained: dict[str, str] = {}

    def leaving(self) -> dict[str, str]:
        return self.drained

    def room(self) -> int:
        return self._room

    def offer(self) -> str:
        return "each takes 1 CPU"

    def check(self, view: object) -> None:
        if view != {"fits": True}:
            raise ConfigError("node x does not see the folder")


GREETING = '{"view":{"fits":true}}'


def make_driver(work: Work, cluster: FakeCluster, num_workers: int | None) -> tuple[Driver, FakePool, list[str]]:
    pool, said = FakePool(), list[str]()
    made = Driver(work.dispatcher, pool=pool, cluster=cluster, num_workers=num_workers, notify=said.append)
    return made, pool, said


@pytest.mark.parametrize(
    ("room", "is_fixed", "num_workers", "wanted"),
    [
        (2, True, None, 2),  # a Ray of our own never has more slots than fit
        (2, True, 8, 2),
        (3, True, 2, 2),
        (1, False, 3, 3),  # an autoscaler sees the demand
        (1, False, 8, 4),  # no more than the sweep can use
        (0, False, None, 4),
    ],
)
def test_slots_are_asked_for_up_to_the_workers_or_what_the_sweep_can_use(
    short: Sweep, tmp_path: Path, room: int, is_fixed: bool, num_workers: int | None, wanted: int
) -> None:
    class Over(Exception):
        pass

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        raise Over

    made, pool, said = make_driver(Work(short, tmp_path), FakeCluster(room, is_fixed=is_fixed), num_workers)
    with pytest.raises(Over):
        made.run(exchange)
    assert pool.wanted == [wanted]
    is_short = num_workers is not None and room < num_workers
    assert len(said) == is_short and all(f"room for {room} of {num_workers} workers" in words for words in said)


def test_slots_that_can_never_start_end_the_sweep_with_the_reason(short: Sweep, tmp_path: Path) -> None:
    made, pool, _ = make_driver(Work(short, tmp_path), FakeCluster(1, is_fixed=True), 1)

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        pool.lost.append((f"slot-{len(pool.wanted)}", "ModuleNotFoundError: No module named 'tunekit'"))
        return []

    with pytest.raises(SweepInterrupted, match="no worker can start; 3 in a row ended with: ModuleNotFoundError"):
        made.run(exchange)
    assert len(pool.wanted) == 3


def test_slots_that_cannot_start_end_nobodys_trials_and_are_tried_again_later(
    short: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(driver_module.time, "monotonic", lambda: now)
    made, pool, said = make_driver(Work(short, tmp_path), FakeCluster(4, is_fixed=True), 4)
    rounds = 0

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        nonlocal now, rounds
        rounds, now = rounds + 1, now + 1.0
        if rounds == 1:
            return [("a", GREETING)]
        if rounds == 2:
            pool.lost += [(f"new-{number}", "libcudart.so.12: cannot open") for number in range(8)]
        if rounds == 20:
            pool.lost.append(("later", "libcudart.so.12: cannot open"))
        if rounds == 60:
            raise SweepInterrupted("enough")
        return []

    with pytest.raises(SweepInterrupted, match="enough"):
        made.run(exchange)
    assert set(pool.wanted[2:11]) == {1} and set(pool.wanted[13:19]) == {4} == set(pool.wanted[42:])
    assert set(pool.wanted[21:38]) == {1}, "twice as long"
    told = [words for words in said if "could not start" in words]
    assert [words.partition(":")[0].partition("tried in ")[2] for words in told] == ["10 s", "20 s"]


def test_a_slot_that_waits_for_its_disk_before_it_greets_is_heard(short: Sweep, tmp_path: Path) -> None:
    work, said = Work(short, tmp_path), list[str]()
    work.dispatcher._notices = Notices(said.append)
    made, _, _ = make_driver(work, FakeCluster(1, is_fixed=True), 1)
    notice = SlotMessage(slot="a", worker="w", content=Notice(text="cannot read x", topic="share fails"))
    given = iter([[("a", notice.to_text())], [("a", GREETING)]])

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        received = next(given, None)
        if received is None:
            assert ("a", "") in replies, "its greeting is answered"
            raise SweepInterrupted("enough")
        return received

    with pytest.raises(SweepInterrupted, match="enough"):
        made.run(exchange)
    assert any("cannot read x" in text for text in said)


def test_a_slot_on_a_node_that_cannot_serve_ends_the_sweep_before_it_gets_a_trial(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    made, _, _ = make_driver(work, FakeCluster(1, is_fixed=False), 1)
    with pytest.raises(ConfigError, match="does not see"):
        made.run(lambda replies, timeout_s: [("a", '{"view":{"fits":false}}')])
    assert not work.search.record.trials


def test_a_dead_slots_trial_goes_to_the_slot_that_takes_its_place(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    made, pool, _ = make_driver(work, FakeCluster(1, is_fixed=True), 1)
    ask = {slot: SlotMessage(slot=slot, worker=slot, content=Ask()).to_text() for slot in "ab"}
    given: list[Any] = []

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        given.extend(replies)
        if len(pool.wanted) == 1:
            return [("a", GREETING)]
        if len(pool.wanted) == 2:
            return [("a", ask["a"])]
        if len(pool.wanted) == 3:
            pool.lost.append(("a", "killed"))
            return [("b", GREETING)]
        if len(pool.wanted) == 4:
            return [("b", ask["b"])]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(exchange)
    assert [slot for slot, _ in given] == ["a", "a", "b", "b"]
    assert given[1][1] == given[3][1] and "interrupted" in work.events()


def test_a_user_who_waits_is_told_what_for(short: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "NOTICE_S", -1.0)
    made, _, said = make_driver(Work(short, tmp_path), FakeCluster(0, is_fixed=False), None)

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        if said:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        made.run(exchange)
    assert said == ["waiting for a worker to start (each takes 1 CPU)"]


def test_a_jobs_places_are_those_of_its_arm(short: Sweep, tmp_path: Path) -> None:
    job = Work(short, tmp_path).job("a")
    assert isinstance(job.locations, Locations) and job.tokens_per_step == short.resources.tokens_per_step


@pytest.mark.parametrize(
    ("room", "is_fixed", "num_workers", "shares"),
    [(2, True, None, 2), (2, True, 8, 2), (3, True, 2, 2), (1, False, 3, 3), (1, False, 8, 8), (0, True, 1, 1)],
)
def test_trials_are_shared_out_among_all_slots_that_there_may_be(
    short: Sweep, tmp_path: Path, room: int, is_fixed: bool, num_workers: int | None, shares: int
) -> None:
    work = Work(short, tmp_path)
    made, _, _ = make_driver(work, FakeCluster(room, is_fixed=is_fixed), num_workers)

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(exchange)
    assert work.dispatcher.num_slots == shares
