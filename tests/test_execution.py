"""Sweeps that really train, in processes that really die."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from simulation import facts
from sweep_driver import tiny_sweep

from tunekit.errors import StorageError
from tunekit.execution import Execution, SweepInterrupted, run_sweep
from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import SlotMessage
from tunekit.journal import FILE_NAME, SweepRecord, read_events, replay
from tunekit.reports import write as tables
from tunekit.sweep import Source, Sweep, parse_sweep
from tunekit.training import TrialRun, device
from tunekit.training.messages import Started

HERE = Path(__file__).parent


def _command(folder: Path, backbone: Path, *options: str) -> list[str]:
    return [sys.executable, str(HERE / "sweep_driver.py"), str(folder), str(backbone), *options]


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def _start(folder: Path, backbone: Path, *options: str) -> subprocess.Popen[bytes]:
    log = folder.with_suffix(".log").open("ab")
    return subprocess.Popen(_command(folder, backbone, *options), env=_environment(), stdout=log, stderr=log)


def _finish(folder: Path, backbone: Path, *options: str) -> SweepRecord:
    process = _start(folder, backbone, *options)
    code = process.wait(timeout=240)
    assert code == 0, folder.with_suffix(".log").read_text()[-3000:]
    return replay(folder)


def _num_events(folder: Path) -> int:
    path = folder / FILE_NAME
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait_for(condition: object, process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    """Poll until `condition()` holds or the process ends by itself."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:  # type: ignore[operator]
        assert time.monotonic() < end, "the awaited moment never came"
        time.sleep(0.01)


def _timeless(record: SweepRecord) -> list[tuple[Any, ...]]:
    """The facts of a record without what a clock or a memory meter says."""
    result: list[tuple[Any, ...]] = []
    for trial_id, arm, number, seed, phase, state, decisions, outcome, tests in facts(record):
        scores = (outcome.value, outcome.best_epoch, dict(outcome.metrics), outcome.num_updates) if outcome else None
        result.append((trial_id, arm, number, seed, phase, state, decisions, scores, tests))
    return result


@pytest.mark.parametrize("num_kills", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["two_kills", "twenty_kills"])
def test_a_sweep_killed_at_random_moments_ends_as_an_undisturbed_one(
    num_kills: int, backbone: Path, tmp_path: Path
) -> None:
    # Packed, the order of reports would depend on the kills, and the searcher learns from it.
    options = ("--trials", "14" if num_kills > 2 else "6", "--pack", "1")
    undisturbed = _finish(tmp_path / "undisturbed", backbone, *options)
    draw = random.Random(7)
    kills = 0
    while kills < num_kills:
        before = _num_events(tmp_path / "killed")
        process = _start(tmp_path / "killed", backbone, *options)
        wanted = before + draw.randint(1, 7)
        _wait_for(lambda wanted=wanted: _num_events(tmp_path / "killed") >= wanted, process)
        time.sleep(draw.random() * 0.08)
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
    assert kills == num_kills
    killed = _finish(tmp_path / "killed", backbone, *options)
    assert _timeless(killed) == _timeless(undisturbed)
    finished = [e["trial_id"] for e in read_events(tmp_path / "killed" / FILE_NAME) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(killed.trials)


@pytest.mark.slow
def test_a_packed_sweep_whose_process_is_killed_ends_every_trial_once_as_alone(backbone: Path, tmp_path: Path) -> None:
    options = ("--trials", "6", "--prompt-method", "fakes:PackedPTuningV2", "--searcher", "random")
    options = (*options, "--scheduler", "none")
    alone = _finish(tmp_path / "alone", backbone, *options, "--pack", "1")
    draw = random.Random(3)
    for _ in range(4):
        before = _num_events(tmp_path / "killed")
        process = _start(tmp_path / "killed", backbone, *options, "--pack", "8")
        wanted = before + draw.randint(4, 14)
        _wait_for(lambda wanted=wanted: _num_events(tmp_path / "killed") >= wanted, process)
        process.kill()
        process.wait()
    killed = _finish(tmp_path / "killed", backbone, *options, "--pack", "8")
    _require_alike(killed, alone)
    finished = [e["trial_id"] for e in read_events(tmp_path / "killed" / FILE_NAME) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(killed.trials)


def test_a_second_process_on_one_sweep_is_refused_by_name(backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "busy"
    first = _start(folder, backbone, "--epochs", "400")
    _wait_for(lambda: _num_events(folder) >= 3, first)
    command = _command(folder, backbone, "--epochs", "400")
    second = subprocess.run(command, env=_environment(), capture_output=True, text=True)
    first.kill()
    first.wait()
    assert second.returncode != 0
    assert f"process {first.pid}" in second.stderr and "is being run by" in second.stderr


def test_weights_of_trials_that_finalising_will_not_need_are_deleted(backbone: Path, tmp_path: Path) -> None:
    record = _finish(tmp_path / "tidy", backbone)
    kept = {path.parent.name for path in (tmp_path / "tidy" / "trials").glob("*/best.pt")}
    tested = {trial.trial_id for trial in record.trials.values() if trial.test_scores is not None}
    assert tested <= kept
    assert not list((tmp_path / "tidy" / "trials").glob("*/last.pt"))
    assert len(kept) < len(record.trials)


def test_a_diverging_trial_fails_with_its_reason_and_the_sweep_goes_on(backbone: Path, tmp_path: Path) -> None:
    record = _finish(tmp_path / "diverging", backbone, "--method", "fakes:Diverging")
    states = [trial.state for trial in record.arm("finetune").trials]
    assert set(states) == {"FAILED"}
    reasons = {trial.outcome.reason for trial in record.arm("finetune").trials if trial.outcome}
    assert all(reason and "nan" in reason.lower() for reason in reasons)
    assert any(trial.test_scores for trial in record.arm("ptuning_v2").trials)


@pytest.mark.parametrize("end", ["SystemExit", "quiet SystemExit", "GeneratorExit", "CancelledError"])
def test_a_trial_that_ends_its_process_is_tried_again_by_name_and_then_fails(
    end: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", end)
    said: list[str] = []
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, method="fakes:Ends", retries=2)
    finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True), notify=said.append)
    record = replay(tmp_path / "run")
    (trial,) = record.arm("finetune").trials
    assert finish.num_failed == 1 and trial.state == "FAILED" and trial.num_interruptions == 2
    assert trial.reason is not None and end.split()[-1] in trial.reason and trial.reason.endswith("3 times")
    assert [f"({number} of 2)" in text and trial.trial_id in text for number, text in enumerate(said, 1)] == [True] * 2
    assert {other.state for other in record.arm("ptuning_v2").trials} == {"COMPLETE"}


@pytest.mark.parametrize("end", ["exit", pytest.param("segfault", marks=pytest.mark.slow)])
def test_a_trial_that_crashes_the_driver_does_not_block_the_sweep(
    end: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", end)
    options = ("--trials", "1", "--epochs", "1", "--method", "fakes:Ends", "--retries", "1")
    codes = [_start(tmp_path / "run", backbone, *options).wait(timeout=240) for _ in range(2)]
    assert 0 not in codes
    record = _finish(tmp_path / "run", backbone, *options)
    (trial,) = record.arm("finetune").trials
    assert trial.state == "FAILED" and trial.reason is not None
    assert (
        "ended without a word 2 times in epoch 1: a crash, too little memory, no progress, or kill -9" in trial.reason
    )
    assert {other.state for other in record.arm("ptuning_v2").trials} == {"COMPLETE"}
    monkeypatch.setenv("TUNEKIT_TEST_END", "none")
    run_sweep(_sweep_of(record), tmp_path / "run", Execution(in_process=True), retry_failed=True)
    assert replay(tmp_path / "run").trials[trial.trial_id].state == "COMPLETE"


def _sweep_of(record: SweepRecord) -> Sweep:
    return parse_sweep(record.definition, Source("journal"))


def test_a_trial_that_takes_the_gpu_from_its_process_ends_it_and_does_not_block_the_sweep(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", "device")
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, method="fakes:Ends", retries=1)
    for _ in range(2):
        with monkeypatch.context() as process:
            process.setattr(device, "_is_silent", device._is_silent)
            with pytest.raises(SweepInterrupted, match=r"device-side assert triggered; .* Start the sweep again"):
                run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
        record = replay(tmp_path / "run")
        assert record.arm("finetune").trials[0].state == "RUNNING"
        assert "cpu answers this process no more" in str(record.stop_reason)
    finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    record = replay(tmp_path / "run")
    assert finish.num_failed == 1 and record.arm("finetune").trials[0].state == "FAILED"
    assert {other.state for other in record.arm("ptuning_v2").trials} == {"COMPLETE"}


@pytest.mark.ray
@pytest.mark.slow
def test_on_ray_a_worker_whose_gpu_is_gone_is_replaced_and_its_trial_fails_by_name(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", "device")
    options = ("--ray", "--workers", "1", "--trials", "1", "--epochs", "1", "--method", "fakes:Ends", "--retries", "1")
    driver = _start(tmp_path / "run", backbone, *options)
    try:
        assert driver.wait(timeout=200) == 0
    finally:
        driver.kill()
    record = replay(tmp_path / "run")
    (trial,) = record.arm("finetune").trials
    assert trial.state == "FAILED" and trial.num_interruptions == 1
    assert str(trial.reason).startswith("its worker ended itself: cpu answers this process no more: AcceleratorError")
    assert str(trial.reason).endswith("CUDA error: device-side assert triggered in epoch 1, 2 times")
    assert {other.state for other in record.arm("ptuning_v2").trials} == {"COMPLETE"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError("disk full"), RuntimeError("a bug")])
def test_a_driver_stopped_again_and_again_fails_no_trial(
    error: BaseException, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, retries=1)
    exchange = Dispatcher.exchange

    def stopped(self: Dispatcher, messages: Sequence[SlotMessage]) -> object:
        replies = exchange(self, messages)
        if any(isinstance(message.content, Started) for message in messages):
            raise error
        return replies

    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "exchange", stopped)
        for _ in range(4):
            with pytest.raises(type(error)):
                run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    trials = replay(tmp_path / "run").trials.values()
    assert finish.num_failed == 0 and {trial.state for trial in trials} == {"COMPLETE"}
    assert max(trial.num_interruptions for trial in trials) == 4


def test_a_trial_whose_test_crashes_the_driver_is_a_problem_until_it_is_asked_for_again(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, retries=1, pack="off")

    def crash(self: TrialRun) -> None:
        raise Crashed

    with monkeypatch.context() as patch:
        patch.setattr(TrialRun, "testing", crash)
        for _ in range(2 * 4):  # of each arm its trial of the search, and the one on another seed
            with contextlib.suppress(Crashed):
                finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
        finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    assert finish.num_failed == 0 and len(finish.problems) == 4
    assert all("ended without a word 2 times in its test" in problem for problem in finish.problems)
    assert run_sweep(sweep, tmp_path / "run", Execution(in_process=True), retry_failed=True).problems == ()
    assert all(trial.test_scores for trial in replay(tmp_path / "run").trials.values())


class Crashed(BaseException):
    """Stands for a crash of the process: nothing after it runs."""


@pytest.mark.parametrize("end", ["surrogate", "no message", "long message"])
def test_a_failure_whose_message_is_no_plain_text_fails_its_trial_alone(
    end: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_END", end)
    sweep = tiny_sweep(backbone, num_trials=1, epochs=1, method="fakes:Ends")
    finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    (trial,) = replay(tmp_path / "run").arm("finetune").trials
    assert finish.num_failed == 1 and trial.reason is not None and len(trial.reason) < 5000
    trial.reason.encode()
    words = {"surrogate": r"caf\udce9 \ud800", "no message": "_Unspeakable", "long message": "more characters"}
    assert words[end] in trial.reason
    assert tables(replay(tmp_path / "run"), tmp_path / "report")


@pytest.mark.slow
@pytest.mark.ray
def test_on_ray_a_killed_worker_and_a_killed_driver_lose_no_finished_trial(backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    options = ("--ray", "--epochs", "12", "--trials", "5")
    driver = _start(folder, backbone, *options)
    _wait_for(lambda: _worker_pid(folder) is not None, driver)
    worker = _worker_pid(folder)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    _wait_for(lambda: _has(folder, "interrupted") or _has(folder, "tested"), driver)
    assert _has(folder, "interrupted")
    finished_before = {e["trial_id"] for e in read_events(folder / FILE_NAME) if e["event"] == "finished"}
    driver.kill()
    driver.wait()
    record = _finish(folder, backbone, *options)
    finished = [e["trial_id"] for e in read_events(folder / FILE_NAME) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(record.trials)
    assert finished_before <= set(finished)
    assert sum(trial.phase == "search" for trial in record.trials.values()) == 10
    assert all(trial.state in ("COMPLETE", "PRUNED") for trial in record.trials.values())
    assert any(trial.num_interruptions for trial in record.trials.values())


@pytest.mark.ray
def test_on_ray_a_killed_worker_interrupts_all_that_it_packed_and_each_ends_once(
    backbone: Path, tmp_path: Path
) -> None:
    folder, method = tmp_path / "run", "fakes:PackedPTuningV2"
    options = ("--ray", "--epochs", "12", "--trials", "4", "--method", method, "--prompt-method", method)
    driver = _start(folder, backbone, *options, "--searcher", "random", "--scheduler", "none")
    _wait_for(lambda: _most_together(folder) > 1 and _worker_pid(folder) is not None, driver)
    worker = _worker_pid(folder)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    assert driver.wait(timeout=240) == 0
    assert "with other trials; it is tried again" in folder.with_suffix(".log").read_text()
    record = replay(folder)
    finished = [e["trial_id"] for e in read_events(folder / FILE_NAME) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(record.trials)
    assert {trial.state for trial in record.trials.values()} == {"COMPLETE"}
    assert any(trial.num_interruptions for trial in record.trials.values())


def _most_together(folder: Path) -> int:
    """Trials that the worker runs that was the last to start one; 0 before."""
    if not _has(folder, "started"):
        return 0
    events = list(read_events(folder / FILE_NAME))
    last = [e["worker"] for e in events if e["event"] == "started"][-1]
    started = {e["trial_id"] for e in events if e["event"] == "started" and e["worker"] == last}
    return len(started - {e["trial_id"] for e in events if e["event"] == "finished"})


@pytest.mark.slow
@pytest.mark.ray
def test_on_ray_workers_that_can_never_start_end_the_sweep_with_the_reason(backbone: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')\n")
    code = (
        "import os, sys, torch\n"  # the driver has the true one
        "from pathlib import Path\n"
        "from sweep_driver import tiny_sweep\n"
        "from tunekit.execution import Execution, run_sweep\n"
        "os.environ['PYTHONPATH'] = os.pathsep.join([sys.argv[3], os.environ['PYTHONPATH']])\n"
        "run_sweep(tiny_sweep(Path(sys.argv[2])), Path(sys.argv[1]), Execution(workers=2))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sweep"), str(backbone), str(broken.parent)]
    ended = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=240)
    said = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1 and "SweepInterrupted: no worker can start" in said and "libcudart.so.12" in said


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_on_ray_twenty_kills_of_drivers_and_packed_slots_at_random_end_with_the_trials_that_run_alone(
    backbone: Path, tmp_path: Path
) -> None:
    options = ("--epochs", "30", "--trials", "12", "--searcher", "random", "--scheduler", "none")
    undisturbed = _finish(tmp_path / "undisturbed", backbone, *options, "--pack", "1")
    folder, draw, kills = tmp_path / "killed", random.Random(11), Counter[str]()
    driver = _start(folder, backbone, "--ray", *options)
    most = 0
    while sum(kills.values()) < 20:
        wanted = _num_events(folder) + draw.randint(4, 16)
        _wait_for(lambda wanted=wanted: _num_events(folder) >= wanted and _slots(folder), driver)
        time.sleep(draw.random() * 0.2)
        assert driver.poll() is None, "the sweep was over too soon: more trials are needed for twenty kills"
        most = max(most, _most_together(folder))
        if kills["slot"] < 10 and (draw.random() < 0.5 or kills["driver"] == 10) and (slots := _slots(folder)):
            os.kill(draw.choice(slots), signal.SIGKILL)
            kills["slot"] += 1
        elif kills["driver"] < 10:
            driver.kill()
            driver.wait()
            kills["driver"] += 1
            driver = _start(folder, backbone, "--ray", *options)
    assert driver.wait(timeout=400) == 0, folder.with_suffix(".log").read_text()[-3000:]
    killed = replay(folder)
    _require_alike(killed, undisturbed)
    finished = [e["trial_id"] for e in read_events(folder / FILE_NAME) if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(killed.trials)
    assert kills == {"slot": 10, "driver": 10} and any(trial.num_interruptions for trial in killed.trials.values())
    assert most > 1, "trials were packed"


def _require_alike(found: SweepRecord, expected: SweepRecord) -> None:
    """The same trials with the same ends, in whatever order they ran; losses of packed ones differ by rounding."""
    ours, theirs = ({str(row[0]): row for row in _timeless(record)} for record in (found, expected))
    assert ours.keys() == theirs.keys()
    for name, row in ours.items():
        other = theirs[name]
        assert (row[1], row[3:6], row[8]) == (other[1], other[3:6], other[8])
        assert (row[7] is None) == (other[7] is None)
        if row[7] is not None:
            value, epoch, metrics, num_updates = row[7]
            assert (value, epoch, num_updates) == (other[7][0], other[7][1], other[7][3])
            assert metrics == pytest.approx(other[7][2], rel=1e-4)


def _slots(folder: Path) -> list[int]:
    """Processes of Ray that have a trial in hand now."""
    if not (folder / FILE_NAME).exists():
        return []
    trials = replay(folder).trials
    started = {e["trial_id"]: e["worker"] for e in read_events(folder / FILE_NAME) if e["event"] == "started"}
    pids = [int(w.rpartition(":")[2].partition("@")[0]) for t, w in started.items() if trials[t].state == "RUNNING"]
    return [pid for pid in pids if _is_rays(pid)]


def _is_rays(pid: int) -> bool:
    try:
        return b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _has(folder: Path, kind: str) -> bool:
    path = folder / FILE_NAME
    return path.exists() and any(event["event"] == kind for event in read_events(path))


def _worker_pid(folder: Path) -> int | None:
    """A worker that has reported an epoch of a trial not yet finished."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    for trial in replay(path).trials.values():
        if trial.state == "RUNNING" and len(trial.reports) >= 2:
            started = [e for e in read_events(path) if e["event"] == "started" and e["trial_id"] == trial.trial_id]
            return int(started[-1]["worker"].rpartition(":")[2].partition("@")[0])
    return None
