"""Slots that hang, must leave, or end with this process: the rules by fakes, then processes that really do so."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from simulation import launch, simulated_sweep
from sweep_driver import tiny_sweep
from test_dispatcher import GREETING, FakeCluster, begin, make_driver
from test_execution import Crashed, _finish, _has, _start, _wait_for, _worker_pid
from work import Work

from tunekit import reports
from tunekit.errors import ConfigError
from tunekit.execution import Execution, run_sweep, watchdog
from tunekit.execution import driver as driver_module
from tunekit.execution.departure import REASON, Departure
from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.driver import Driver, Messages
from tunekit.execution.protocol import Ask, Beat, Leaving, Reply, SlotContent, SlotMessage, SweepInterrupted
from tunekit.execution.watchdog import FACTOR, LEAST_S, UNKNOWN_S, Watchdog
from tunekit.journal import FILE_NAME, Journal, read_events, replay
from tunekit.patience import Wait, listening, overhearing, persist
from tunekit.search import Search
from tunekit.sweep import Sweep
from tunekit.training import Pack, TrialRun, WorkerCache
from tunekit.training.messages import Reported


@pytest.fixture
def short() -> Sweep:
    """Two arms of two points, never stopped early, one retry."""
    return _short()


def _short(**resources: object) -> Sweep:
    return simulated_sweep(
        fixed={"epochs": 2},
        search={"searcher": "random", "num_trials": 2, "seed": 1},
        scheduler={"name": "none"},
        finalise={"top": 1, "seeds": [10]},
        resources={"retries": 1, **resources},
    )


# -- how long is too long ----------------------------------------------------------------------------------------------


class Time:
    """A clock that a test sets, and a watchdog that looks every few seconds."""

    def __init__(self, setting: watchdog.Setting) -> None:
        self.now = 0.0
        self.dog = Watchdog(setting, lambda: self.now)

    def hung_after(self, seconds: float) -> list[str]:
        """Let time pass."""
        end, found = self.now + seconds, []
        while self.now < end:
            self.now = min(end, self.now + watchdog.LOOK_S)
            found = self.dog.look()
        return [slot for slot, _ in found]


def test_a_slot_is_taken_for_hung_after_ten_times_the_longest_silence_of_its_arm() -> None:
    time = Time("auto")
    time.dog.given("a", "one", "arm")
    assert time.hung_after(UNKNOWN_S) == [], "a model may be downloaded"
    time.dog.heard("a")
    time.dog.started("a", "one")
    assert time.hung_after(UNKNOWN_S - 5) == [], "the pace is not known yet"
    time.dog.heard("a")
    longest = UNKNOWN_S - 5
    assert time.hung_after(FACTOR * longest - 5) == []
    assert time.hung_after(10) == ["a"]


def test_a_fast_arm_is_waited_for_ten_minutes_and_others_by_their_own_pace() -> None:
    time = Time("auto")
    for slot, arm in (("a", "fast"), ("b", "slow")):
        time.dog.given(slot, f"trial of {slot}", arm)
        time.dog.started(slot, f"trial of {slot}")
    for slot, silence_s in (("a", 5.0), ("b", 95.0)):
        assert not time.hung_after(silence_s)
        time.dog.heard(slot)
    assert not time.hung_after(LEAST_S - 100)
    assert time.hung_after(105) == ["a"]
    time.dog.over("a", "trial of a")
    assert time.hung_after(390) == [] and time.hung_after(20) == ["b"]


def test_a_slot_without_trials_and_one_of_a_driver_that_did_not_look_are_not_hung() -> None:
    time = Time(60.0)
    time.dog.given("a", "one", "arm")
    time.dog.look()
    time.now += 100_000.0  # the driver was stopped, and what the slot said meanwhile is taken in first
    assert time.dog.look() == []
    assert time.hung_after(60) == ["a"]
    time.dog.over("a", "one")
    assert time.hung_after(100) == []
    off = Time("off")
    off.dog.given("a", "one", "arm")
    assert off.hung_after(10 * UNKNOWN_S) == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("auto", "auto"), (False, "off"), ("off", "off"), (90, 90.0), ("30 min", 1800.0), ("2 h", 7200)],
)
def test_the_time_after_which_a_slot_hangs_is_read_in_seconds_or_with_a_unit(value: object, seconds: object) -> None:
    assert _short(hang_after=value).resources.hang_after == seconds


@pytest.mark.parametrize("value", [0, 59, -1, "never", "10 minutes", True, "30 s", [60]])
def test_a_time_to_hang_that_is_none_is_refused_with_a_right_one(value: object) -> None:
    with pytest.raises(ConfigError, match=r"resources.*(auto|off)"):
        _short(hang_after=value)


# -- a slot that hangs -------------------------------------------------------------------------------------------------


def test_the_trial_of_a_slot_that_hangs_fails_after_its_retries_with_where_it_stood(tmp_path: Path) -> None:
    work = Work(_short(hang_after=720), tmp_path)
    job = work.job("a")
    first, report, *_ = work.messages(job)
    for content in (first, report):
        work.tell("a", content)
    assert _hung_after(work, 700) == []
    work.tell("a", Beat())
    assert _hung_after(work, 700) == [], "it goes on"
    ((slot, reason),) = _hung_after(work, 25)
    work.dispatcher.lost(slot, reason)
    assert work.job("b") == job
    ((slot, reason),) = _hung_after(work, 725)
    work.dispatcher.lost(slot, reason)
    trial = work.search.record.trials[job.config.trial_id]
    assert trial.state == "FAILED" and trial.reason == "no progress for 12 min in epoch 2, 2 times"


def _hung_after(work: Work, seconds: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for _ in range(seconds // 5):
        work.now += 5
        found = work.dispatcher.hung()
    return found


def test_an_ask_for_company_is_no_progress(tmp_path: Path) -> None:
    work = Work(_short(hang_after=60), tmp_path)
    work.tell("a", begin(work.job("a")))
    for _ in range(5):
        assert _hung_after(work, 10) == []
        work.tell("a", Ask(num_running=1))
    assert [slot for slot, _ in _hung_after(work, 15)] == ["a"]


@pytest.mark.parametrize("is_found_dead", [True, False])
def test_a_hung_slots_process_is_ended_before_its_trial_goes_to_another(
    is_found_dead: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "END_S", 60.0 if is_found_dead else -1.0)
    work = Work(_short(hang_after=60), tmp_path)
    made, pool, _ = make_driver(work, FakeCluster(2, is_fixed=True), 2)
    said = _texts("a", Ask()) + _texts("b", Ask())
    given: dict[str, list[str]] = {"a": [], "b": []}

    def turns() -> Iterator[Messages]:
        yield [("a", GREETING)]
        yield [said[0]]
        for _ in range(13):
            work.now += 5
            yield []
        assert pool.ended == ["a"]
        if is_found_dead:
            yield []
            assert work.events()[-1] == "created", "its process may still write"
            pool.lost.append(("a", "ActorDiedError"))
            yield []
        assert work.events()[-1] == "interrupted"
        yield [("b", GREETING)]
        yield [said[1]]
        yield _texts("a", next(work.messages(Reply.from_text(given["a"][-1]).job)))  # type: ignore[arg-type]
        yield _texts("a", Ask())

    _follow(made, turns(), lambda slot, text: given[slot].append(text))
    assert given["a"][1] == given["b"][1], "the same trial"
    assert Reply.from_text(given["a"][-1]).kind == "leave", "it was not dead, but is not believed"
    assert work.events().count("started") == 0


def _follow(made: Driver, script: Iterator[Messages], take: Callable[[str, str], object]) -> None:
    """Let a driver hear what `script` says, turn by turn to its end; `take` gets each reply with its slot."""

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        for slot, text in replies:
            take(slot, text)
        found = next(script, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    with pytest.raises(KeyboardInterrupt):
        made.run(exchange)


def _texts(slot: str, content: SlotContent) -> list[tuple[str, str]]:
    return [(slot, SlotMessage(slot=slot, worker=slot, content=content).to_text())]


def test_what_a_slot_said_before_it_died_is_taken_in_and_what_comes_after_is_no_greeting(
    short: Sweep, tmp_path: Path
) -> None:
    work = Work(short, tmp_path)
    made, pool, _ = make_driver(work, FakeCluster(1, is_fixed=True), 1)
    turn = iter(range(9))

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        match next(turn):
            case 0:
                return [("a", GREETING)]
            case 1:
                return _texts("a", Ask())
            case 2:
                pool.lost.append(("a", "killed"))
                job = Reply.from_text(replies[0][1]).job
                assert job is not None
                return _texts("a", begin(job))
            case 3:
                return _texts("a", Beat())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(exchange)
    assert work.events()[-2:] == ["started", "interrupted"]


# -- a slot that must leave --------------------------------------------------------------------------------------------


def test_a_slot_that_must_leave_gives_its_trial_back_at_the_end_of_the_epoch_and_no_retry_is_counted(
    short: Sweep, tmp_path: Path
) -> None:
    work = Work(short, tmp_path)
    job = work.job("slot-0")
    for number in range(5):
        slot = f"slot-{number}"
        first, report, *_ = work.messages(job)
        work.tell(slot, first)
        assert work.tell(slot, Leaving(reason=REASON)) is None
        reply = work.tell(slot, report)
        assert reply is not None and reply.kind == "stop" and work.events()[-1] == "interrupted"
        assert work.tell(slot, Ask()) == Reply(kind="leave")
        assert work.tell(slot, Leaving(reason=REASON, is_over=True)) == Reply(kind="leave")
        assert work.job(f"slot-{number + 1}") == job, "it goes on elsewhere"
    trial = work.search.record.trials[job.config.trial_id]
    assert trial.state == "RUNNING" and trial.num_interruptions == 5 and max(trial.reports) == 1


@pytest.mark.parametrize("end", ["it says so", "it is killed"])
def test_a_trial_that_did_not_come_to_the_end_of_an_epoch_in_time_is_no_failure_either(
    end: str, short: Sweep, tmp_path: Path
) -> None:
    work = Work(short, tmp_path)
    job = work.job("slot-0")
    for number in range(4):
        slot = f"slot-{number}"
        work.tell(slot, Leaving(reason=REASON))
        assert work.tell(slot, Ask(num_running=1)) == Reply(kind="wait"), "nothing joins it"
        if end == "it says so":
            assert work.tell(slot, Leaving(reason=REASON, is_over=True)) == Reply(kind="leave")
        else:
            work.dispatcher.lost(slot, "its worker died")
        assert work.job(f"slot-{number + 1}") == job
    events = [event for event in read_events(tmp_path / FILE_NAME) if event["event"] == "interrupted"]
    assert [event["reason"] for event in events] == [REASON] * 4


def test_slots_on_a_node_that_will_be_ended_leave_it_also_those_that_wait(short: Sweep, tmp_path: Path) -> None:
    work = Work(short, tmp_path)
    cluster = FakeCluster(1, is_fixed=False)
    made, _, _ = make_driver(work, cluster, 5)
    slots = {"a": "node-1", **dict.fromkeys("bcde", "node-2")}
    answers: dict[str, Reply] = {}

    def turns() -> Iterator[Messages]:
        yield [(slot, f'{{"view":{{"fits":true}},"node":"{node}"}}') for slot, node in slots.items()]
        yield [text for slot in "bcdae" for text in _texts(slot, Ask())]
        assert "e" not in answers, "there is nothing for it"
        cluster.drained = {"node-2": "its node will be ended"}
        made._vacate()
        yield []
        job = answers["b"].job
        assert job is not None and answers["e"].kind == "leave"
        yield [text for content in list(work.messages(job))[:2] for text in _texts("b", content)]
        yield []
        assert answers["b"].kind == "stop" and answers["a"].job is not None

    def take(slot: str, text: str) -> None:
        if text:
            answers[slot] = Reply.from_text(text)

    _follow(made, turns(), take)
    assert work.events()[-1] == "interrupted"


class Told:
    """A line to a dispatcher in this process, over which the process is told to end at a certain report."""

    def __init__(self, dispatcher: Dispatcher, notice: Departure, *, at_report: int) -> None:
        self._dispatcher, self._notice, self._reports_left = dispatcher, notice, at_report

    def post(self, message: SlotMessage) -> None:
        self._dispatcher.exchange([message])

    def ask(self, message: SlotMessage) -> Reply:
        ((_, reply),) = self._dispatcher.exchange([message])
        if isinstance(message.content, Reported):
            self._reports_left -= 1
            if self._reports_left == 0:
                self._notice.give()
                self.post(SlotMessage(slot="s", worker="w", content=Leaving(reason=REASON)))
        return reply


@pytest.mark.parametrize("grace_s", [0.0, 3600.0])
def test_a_process_told_to_end_leaves_after_the_pass_or_the_epoch_and_its_trial_goes_on(
    grace_s: float, backbone: Path, tmp_path: Path
) -> None:
    from tunekit.execution.slot import serve

    sweep = tiny_sweep(backbone, num_trials=1, epochs=3, retries=0, pack="off")
    run_sweep(sweep, tmp_path / "whole", Execution(in_process=True))
    with Journal(tmp_path / "run") as journal:
        launch(sweep, journal)
        notice = Departure(grace_s)
        line = Told(Dispatcher(Search(sweep, journal), tmp_path / "run"), notice, at_report=1)
        for _ in serve("s", Pack(WorkerCache()), line, worker="w", departure=notice):
            pass
        (trial,) = journal.record.trials.values()
        assert max(trial.reports) == (1 if grace_s == 0 else 2)
        assert trial.num_interruptions == 1 and trial.state == "RUNNING"
    assert run_sweep(sweep, tmp_path / "run", Execution(in_process=True)).num_failed == 0
    found, expected = (replay(tmp_path / name).trials for name in ("run", "whole"))
    assert {t: trial.value for t, trial in found.items()} == {t: trial.value for t, trial in expected.items()}


# -- processes ---------------------------------------------------------------------------------------------------------


def test_a_trial_that_crashes_the_driver_while_it_is_opened_does_not_block_the_sweep(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, retries=1, pack="off")

    def crash(self: TrialRun, *_: object, **__: object) -> None:
        raise Crashed

    with monkeypatch.context() as patch:
        patch.setattr(TrialRun, "__init__", crash)
        for _ in range(2 * 2):  # each arm has one trial
            with pytest.raises(Crashed):
                run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
        assert run_sweep(sweep, tmp_path / "run", Execution(in_process=True)).num_failed == 2
    reasons = {trial.reason for trial in replay(tmp_path / "run").trials.values()}
    assert all("ended without a word 2 times while it was opened" in str(reason) for reason in reasons)
    assert run_sweep(sweep, tmp_path / "run", Execution(in_process=True), retry_failed=True).num_failed == 0


def test_what_trying_again_cannot_cure_stops_the_sweep_at_once_with_the_reason_and_takes_no_retry(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, retries=0, pack="off")

    def refuse(self: TrialRun, *_: object, **__: object) -> None:
        raise ConfigError("/data/train.tsv: no such file")

    with monkeypatch.context() as patch:
        patch.setattr(TrialRun, "__init__", refuse)
        for _ in range(3):
            with pytest.raises(SweepInterrupted, match="no such file"):
                run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    record = replay(tmp_path / "run")
    assert [trial.state for trial in record.trials.values()] == ["RUNNING"]
    reports.write(record, tmp_path / "report")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(reports.status_table([("run", record)]))
    for said in (console.export_text(), (tmp_path / "report" / "report.md").read_text()):
        assert "stopped:" in said and "/data/train.tsv: no such file" in said
    assert run_sweep(sweep, tmp_path / "run", Execution(in_process=True)).num_failed == 0
    assert replay(tmp_path / "run").stop_reason is None


@pytest.mark.slow
def test_a_trial_that_hangs_in_this_process_ends_it_in_words_and_is_given_up_at_last(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", "hang")
    options = ("--trials", "1", "--epochs", "1", "--method", "fakes:Ends", "--retries", "1", "--hang", "4")
    codes = [_start(tmp_path / "run", backbone, *options).wait(timeout=240) for _ in range(2)]
    said = (tmp_path / "run.log").read_text()
    assert codes == [1, 1]
    assert "no progress for" in said and "this process hangs and is ended" in said
    assert "fakes.py" in said, "where it stood"
    record = _finish(tmp_path / "run", backbone, *options)
    (trial,) = record.arm("finetune").trials
    assert trial.state == "FAILED" and "2 times in epoch 1" in str(trial.reason)
    assert {other.state for other in record.arm("ptuning_v2").trials} == {"COMPLETE"}


@pytest.mark.slow
@pytest.mark.ray
def test_on_ray_a_worker_that_stands_still_is_ended_and_its_trials_go_on(backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--ray", "--epochs", "12", "--trials", "3", "--hang", "6", "--scheduler", "none")
    driver = _start(folder, backbone, *options)
    _wait_for(lambda: _has(folder, "reported") and _worker_pid(folder) is not None, driver)
    worker = _worker_pid(folder)
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    assert driver.wait(timeout=240) == 0, folder.with_suffix(".log").read_text()[-3000:]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    record, reasons = replay(folder), _reasons(folder)
    assert reasons and all(reason.startswith("no progress for") and "epoch" in reason for reason in reasons)
    assert {trial.state for trial in record.trials.values()} == {"COMPLETE"}


@pytest.mark.slow
@pytest.mark.ray
def test_on_ray_a_worker_that_gets_sigterm_leaves_and_nothing_is_counted(backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--ray", "--epochs", "12", "--trials", "3", "--retries", "0", "--scheduler", "none")
    driver = _start(folder, backbone, *options)
    told: set[int] = set()
    while len(told) < 2:
        _wait_for(lambda: _has(folder, "reported") and _worker_pid(folder) not in told | {None}, driver)
        worker = _worker_pid(folder)
        if worker is None or driver.poll() is not None:
            break
        os.kill(worker, signal.SIGTERM)
        told.add(worker)
        _wait_for(lambda: len(_reasons(folder)) >= len(told), driver)
    assert driver.wait(timeout=240) == 0, folder.with_suffix(".log").read_text()[-3000:]
    assert told and set(_reasons(folder)) == {REASON}
    assert {trial.state for trial in replay(folder).trials.values()} == {"COMPLETE"}


def _reasons(folder: Path) -> list[str]:
    """Why trials were interrupted, in order."""
    return [event["reason"] for event in read_events(folder / FILE_NAME) if event["event"] == "interrupted"]


def test_each_try_of_who_waits_shows_that_it_is_alive_and_is_still_told_to_who_listens() -> None:
    told: list[str] = []
    tries: list[int] = []
    left = iter([OSError("full"), OSError("full"), None])

    def action() -> str:
        error = next(left)
        if error is not None:
            raise error
        return "done"

    def why(error: BaseException) -> Wait:
        return Wait(text="no room", topic="disk full")

    with (
        listening(lambda text, topic: told.append(topic), pause=lambda seconds: None),
        overhearing(lambda: tries.append(1)),
    ):
        assert persist(action, why) == "done"
    assert told == ["disk full", "disk full", "disk full is over"] and len(tries) == 3
    with overhearing(lambda: tries.append(1)), pytest.raises(OSError, match="full"):
        persist(lambda: (_ for _ in ()).throw(OSError("full")), why)
    assert len(tries) == 3, "where nobody listens, nobody waits"
