"""Sweeps that really train several trials in one process, and processes that die with all of them."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from sweep_driver import tiny_sweep

from tunekit.execution import Execution, run_sweep
from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import Reply, SlotMessage
from tunekit.journal import FILE_NAME, SweepRecord, read_events, replay
from tunekit.sweep import Sweep
from tunekit.training import Pack

HERE = Execution(in_process=True)


class Crashed(BaseException):
    """Stands for a crash of the process: nothing after it runs."""


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many members there were each time that a pack advanced."""
    found: list[int] = []
    advance = Pack.advance

    def counted(self: Pack) -> object:
        found.append(len(self))
        return advance(self)

    monkeypatch.setattr(Pack, "advance", counted)
    return found


def _sweep(
    backbone: Path,
    pack: object,
    *,
    num_trials: int = 6,
    scheduler: str = "none",
    prompt_method: str = "PackedPTuningV2",
) -> Sweep:
    return tiny_sweep(
        backbone,
        num_trials=num_trials,
        epochs=3,
        method="finetune",
        prompt_method=f"fakes:{prompt_method}",
        searcher="random",
        scheduler=scheduler,
        pack=pack,
    )


def _scores(record: SweepRecord) -> dict[str, object]:
    """How each trial ended, by its name: its curve, its test scores, and nothing that a clock says.

    Company changes losses by rounding.
    """
    return {
        name: (trial.state, [_figures(report.metrics) for report in trial.reports.values()], trial.test_scores)
        for name, trial in record.trials.items()
    }


def _figures(metrics: Mapping[str, float]) -> dict[str, object]:
    return {key: pytest.approx(figure, rel=1e-4) if key == "train/loss" else figure for key, figure in metrics.items()}


@pytest.fixture(scope="module")
def solo(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Every trial of `_sweep` on its own."""
    folder = tmp_path_factory.mktemp("solo") / "run"
    run_sweep(_sweep(backbone, "off"), folder, HERE)
    return _scores(replay(folder))


@pytest.mark.parametrize("pack", [3, "auto"])
def test_trials_have_the_same_scores_whatever_the_size_of_the_pack(
    pack: object, backbone: Path, tmp_path: Path, sizes: list[int], solo: dict[str, object]
) -> None:
    run_sweep(_sweep(backbone, pack), tmp_path / "run", HERE)
    assert _scores(replay(tmp_path / "run")) == solo
    assert max(sizes) == (6 if pack in (8, "auto") else pack)


def test_a_packed_sweep_comes_out_in_the_same_order_each_time(backbone: Path, tmp_path: Path) -> None:
    logs = []
    for name in "ab":
        run_sweep(_sweep(backbone, 3, scheduler="asha"), tmp_path / name, HERE)
        logs.append([(e["event"], e.get("trial_id")) for e in read_events(tmp_path / name / FILE_NAME)])
    assert logs[0] == logs[1]


def test_a_pack_is_refilled_when_members_are_pruned(backbone: Path, tmp_path: Path, sizes: list[int]) -> None:
    run_sweep(_sweep(backbone, 3, num_trials=12, scheduler="asha"), tmp_path / "run", HERE)
    trials = replay(tmp_path / "run").arm("ptuning_v2").trials
    states = Counter(trial.state for trial in trials)
    assert states["PRUNED"] >= 1 and states["RUNNING"] == 0 and max(sizes) == 3


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_packed_sweep_killed_at_random_moments_ends_as_an_undisturbed_one(
    seed: int, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solo: dict[str, object]
) -> None:
    draw, exchange, num_kills = random.Random(seed), Dispatcher.exchange, 0
    left = 0

    def killed(self: Dispatcher, messages: Sequence[SlotMessage]) -> list[tuple[str, Reply]]:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crashed
        return exchange(self, messages)

    monkeypatch.setattr(Dispatcher, "exchange", killed)
    monkeypatch.setattr("tunekit.execution.launch._say_why", lambda *_, **__: None)
    finish = None
    while finish is None:
        left = draw.randint(5, 30) if num_kills < 20 else 0
        num_kills += 1
        with contextlib.suppress(Crashed):
            finish = run_sweep(_sweep(backbone, 8), tmp_path / "run", HERE)
    assert num_kills >= 5 and finish.num_failed == 0 and not finish.problems
    assert _scores(replay(tmp_path / "run")) == solo
    finished = Counter(e["trial_id"] for e in read_events(tmp_path / "run" / FILE_NAME) if e["event"] == "finished")
    assert set(finished.values()) == {1} and finished.keys() == solo.keys()


def test_a_member_that_ends_its_process_fails_and_its_company_does_not(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(_sweep(backbone, "off", prompt_method="EndsPacked"), tmp_path / "solo", HERE)
    trials = replay(tmp_path / "solo").arm("ptuning_v2").trials
    monkeypatch.setenv("TUNEKIT_TEST_CULPRIT", repr(trials[2].params["learning_rate"]))
    said: list[str] = []
    finish = run_sweep(_sweep(backbone, 8, prompt_method="EndsPacked"), tmp_path / "run", HERE, notify=said.append)
    record = replay(tmp_path / "run")
    failed = [name for name, trial in record.trials.items() if trial.state == "FAILED"]
    assert failed == [trials[2].trial_id] and finish.num_failed == 1
    assert record.trials[failed[0]].num_interruptions == 2 + 3
    others = [trial for name, trial in record.trials.items() if name not in failed]
    assert max(trial.num_interruptions for trial in others) == 2
    assert sum("with other trials" in text for text in said) == 12 and sum("alone" in text for text in said) == 6
