"""What a process holds between trials: no finished trial, and few kernels."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fakes
import pytest
from tiny_trials import OPTIONS, TOKENS, trial

from tunekit.backbone import keep_few_kernels, kernels
from tunekit.training import WorkerCache, run_trial
from tunekit.training.learner import Learner
from tunekit.training.messages import Reported
from tunekit.training.pack import Pack
from tunekit.trial import EpochReport, Locations, TrialConfig


@pytest.fixture
def learners(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Learner]]]:
    """Every learner that is made, weakly; no cycle is broken up for them meanwhile."""
    made: list[weakref.ref[Learner]] = []
    before = Learner.__init__

    def remembered(self: Learner, *args: object, **settings: object) -> None:
        made.append(weakref.ref(self))
        before(self, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "__init__", remembered)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


def ended(config: TrialConfig, locations: Locations, folder: Path, cache: WorkerCache, *, prunes: bool = False) -> str:
    """How a trial ends that is run to its end, or pruned after an epoch."""

    def on_epoch(report: EpochReport) -> bool:
        return not prunes

    return run_trial(
        config, folder=folder, locations=locations, cache=cache, tokens_per_step=TOKENS, test=True, on_epoch=on_epoch
    ).state


@pytest.mark.parametrize("method", OPTIONS)
def test_a_complete_trial_leaves_no_learner(
    method: str, learners: list[weakref.ref[Learner]], locations: Locations, tmp_path: Path
) -> None:
    assert ended(trial(method), locations, tmp_path, WorkerCache()) == "COMPLETE"
    assert learners and all(learner() is None for learner in learners)


def test_a_pruned_trial_leaves_no_learner(
    learners: list[weakref.ref[Learner]], locations: Locations, tmp_path: Path
) -> None:
    assert ended(trial(), locations, tmp_path, WorkerCache(), prunes=True) == "PRUNED"
    assert learners and all(learner() is None for learner in learners)


def test_a_failed_trial_leaves_no_learner(
    learners: list[weakref.ref[Learner]], locations: Locations, tmp_path: Path
) -> None:
    failing = trial(f"{fakes.__name__}:Diverging")
    assert ended(failing, locations, tmp_path, WorkerCache()) == "FAILED"
    assert learners and all(learner() is None for learner in learners)


def test_trials_of_one_cache_leave_one_learner_at_most_while_they_run(
    learners: list[weakref.ref[Learner]], locations: Locations, tmp_path: Path
) -> None:
    cache, alive = WorkerCache(), []
    for seed in range(6):
        ended(trial(seed=seed), locations, tmp_path / str(seed), cache)
        alive.append(sum(learner() is not None for learner in learners))
    assert len(learners) == 6
    assert alive == [0] * 6


def test_members_that_have_left_a_pack_leave_no_learner_though_others_go_on(
    learners: list[weakref.ref[Learner]], locations: Locations, tmp_path: Path
) -> None:
    cache = WorkerCache()
    pack = Pack(cache)
    short = trial()
    short = replace(short, training=replace(short.training, epochs=1))
    for name, config in (("short", short), ("long", trial(seed=2))):
        pack.add(config, folder=tmp_path / name, locations=locations, tokens_per_step=TOKENS, test=False, pack=2)
    while len(pack) == 2:
        for message in pack.advance():
            if isinstance(message, Reported):
                pack.answer(message.trial_id, True)
    pack.advance()
    assert [learner() is None for learner in learners] == [True, False]
    pack.close()


# Kernels


def test_a_process_that_runs_trials_keeps_few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kernels.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    WorkerCache()
    assert os.environ[kernels.VARIABLES[0]] == str(kernels.CAPACITY)


@pytest.mark.parametrize("name", kernels.VARIABLES)
def test_a_number_of_kernels_that_the_user_names_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in kernels.VARIABLES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "7")
    keep_few_kernels()
    assert {each: os.environ.get(each) for each in kernels.VARIABLES} == {
        each: "7" if each == name else None for each in kernels.VARIABLES
    }


@pytest.mark.parametrize("prunes", [False, True])
def test_memory_is_handed_back_once_a_trial_has_let_go_of_it(
    prunes: bool,
    learners: list[weakref.ref[Learner]],
    locations: Locations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    count = lambda: held.append(sum(learner() is not None for learner in learners))  # noqa: E731
    monkeypatch.setattr("tunekit.training.trial_loop.give_back", count)
    ended(trial("ptuning_v2"), locations, tmp_path, WorkerCache(), prunes=prunes)
    assert held == [0]
