"""What a trial promises: the same result whatever interrupts it, and nothing lost or scored twice."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import save_backbone
from tiny_trials import OPTIONS, TOKENS, TRAINING, curve, train, trial

from tunekit import storage
from tunekit.backbone import load as load_backbone
from tunekit.errors import ConfigError, DataChanged, StorageError, TrialFailed
from tunekit.training import CheckpointMissing, TrialRun, WorkerCache, checkpoints, run_trial
from tunekit.trial import BackboneConfig, EpochReport, Locations, Outcome, TaskConfig


@pytest.fixture(scope="module")
def locations(tmp_path_factory: pytest.TempPathFactory) -> Locations:
    return Locations(backbone_path=str(save_backbone(tmp_path_factory.mktemp("backbone"))), device="cpu")


@pytest.fixture(scope="module")
def shared_cache() -> WorkerCache:
    return WorkerCache()


def assert_same_files(left: Path, right: Path) -> None:
    """Both folders hold the same best parameters, bit for bit, and the same curve."""
    one, two = (checkpoints.load(folder / "best.pt") for folder in (left, right))
    assert one is not None and two is not None
    assert one.parameters is not None and two.parameters is not None
    assert one.epoch == two.epoch
    assert one.parameters.keys() == two.parameters.keys()
    for name, tensor in one.parameters.items():
        assert torch.equal(tensor, two.parameters[name]), name


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, locations: Locations
) -> dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]]:
    """Each method trained in one go on a worker of its own: folder, curve, parameters after the last epoch."""
    found = {}
    for method in OPTIONS:
        folder = tmp_path_factory.mktemp(method)
        run = train(
            TrialRun(trial(method), folder=folder, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)
        )
        assert run._learner is not None
        found[method] = (folder, curve(run.history), {k: v.clone() for k, v in run._learner.parameters().items()})
    return found


@pytest.mark.parametrize("method", OPTIONS)
@pytest.mark.parametrize("epochs_before", [1, 2])
def test_a_trial_that_goes_on_on_another_worker_is_bit_identical(
    method: str,
    epochs_before: int,
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    tmp_path: Path,
) -> None:
    folder, reports, parameters = undisturbed[method]
    train(
        TrialRun(trial(method), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS),
        epochs=epochs_before,
    )
    run = TrialRun(trial(method), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)
    assert len(run.history) == epochs_before
    train(run)
    assert run._learner is not None
    assert curve(run.history) == reports
    for name, tensor in run._learner.parameters().items():
        assert torch.equal(tensor, parameters[name]), name
    assert_same_files(folder, tmp_path)


@pytest.mark.parametrize("method", OPTIONS)
def test_a_worker_that_ran_other_methods_gives_the_same_bits(
    method: str,
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
) -> None:
    for other in OPTIONS:
        run_trial(
            trial(other, seed=7),
            folder=tmp_path / other,
            locations=locations,
            cache=shared_cache,
            tokens_per_step=TOKENS,
        )
    run_trial(trial(method), folder=tmp_path / "again", locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert_same_files(undisturbed[method][0], tmp_path / "again")


def test_a_continued_trial_may_have_shared_its_worker_with_others_in_between(
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    tmp_path: Path,
) -> None:
    cache = WorkerCache()
    train(
        TrialRun(trial("finetune"), folder=tmp_path / "a", locations=locations, cache=cache, tokens_per_step=TOKENS),
        epochs=1,
    )
    run_trial(trial("ptuning_v2"), folder=tmp_path / "b", locations=locations, cache=cache, tokens_per_step=TOKENS)
    run_trial(trial("finetune"), folder=tmp_path / "a", locations=locations, cache=cache, tokens_per_step=TOKENS)
    assert_same_files(undisturbed["finetune"][0], tmp_path / "a")
    assert_same_files(undisturbed["ptuning_v2"][0], tmp_path / "b")


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 10))
def test_a_kill_around_any_write_leaves_a_trial_that_ends_the_same(
    number: int,
    when: str,
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rename, num_writes = os.replace, 0

    def deadly(source: Path, target: Path) -> None:
        nonlocal num_writes
        num_writes += 1
        if num_writes == number and when == "before":
            raise Killed
        rename(source, target)
        if num_writes == number:
            raise Killed

    config = trial("ptuning_v2")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", deadly)
        try:
            run_trial(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
        except Killed:
            pass
        else:
            assert num_writes < number
    reports: list[EpochReport] = []
    outcome = run_trial(
        config,
        folder=tmp_path,
        locations=locations,
        cache=shared_cache,
        tokens_per_step=TOKENS,
        on_epoch=reports.append,
    )
    folder, expected, _ = undisturbed["ptuning_v2"]
    assert outcome.state == "COMPLETE"
    assert (
        curve(
            TrialRun(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS).history
        )
        == expected
    )
    assert_same_files(folder, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["best.pt", "outcome.json"]


def test_a_process_killed_outright_costs_at_most_its_epoch(
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
) -> None:
    child = os.fork()
    if child == 0:
        try:
            run = train(
                TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS),
                epochs=2,
            )
            assert run._learner is not None
            run._learner._labelled_update = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign,assignment,return-value]
            run.step()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert len(run.history) == 2
    train(run)
    assert_same_files(undisturbed["ptuning_v2"][0], tmp_path)


@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_a_torn_checkpoint_is_ignored_with_a_warning_and_training_starts_again(
    kept: int,
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train(TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=1)
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:kept])
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert run.history == ()
    assert "torn" in caplog.text and str(last) in caplog.text
    train(run)
    assert_same_files(undisturbed["ptuning_v2"][0], tmp_path)


def _checkpoint_cases() -> Any:
    """`benchmarks/torn_checkpoints.py`, which tries more of the same on a larger trial."""
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "torn_checkpoints.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_files_cut_or_changed_at_random_places_leave_a_trial_that_ends_the_same(
    locations: Locations, tmp_path: Path
) -> None:
    torn = _checkpoint_cases()
    bench = torn.Bench(trial(), locations, tmp_path)
    cases = list(torn.checkpoint_cases(seed=1, n=20))
    assert {name for case in cases for name in case.files} >= {"last.pt", "best.pt", "outcome.json", "test.json"}
    assert {str(case): faults for case in cases if (faults := bench.faults(case))} == {}


@pytest.mark.parametrize("damage", ["cut near its end", "one bit", "grown", "of another kind", "empty"])
def test_where_the_last_checkpoint_is_torn_the_one_before_is_used(
    damage: str,
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train(TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=2)
    last = tmp_path / "last.pt"
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    contents = {"cut near its end": whole[:-700], "one bit": flipped, "grown": whole + b"x", "empty": b""}
    last.write_bytes(contents.get(damage, b"PK\x03\x04 no checkpoint" * 1000))
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert len(run.history) == 1 and f"{last} is torn" in caplog.text
    assert "goes on from the checkpoint before, of epoch 1" in caplog.text
    train(run)
    assert curve(run.history) == undisturbed["ptuning_v2"][1]
    assert_same_files(undisturbed["ptuning_v2"][0], tmp_path)


def test_a_torn_checkpoint_never_takes_the_place_of_a_whole_one(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    train(TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=2)
    (tmp_path / "last.pt").write_bytes(b"torn")
    for _ in range(2):
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
        stored = checkpoints.load(tmp_path / "last.pt")
        assert stored is not None and stored.epoch == 1


def test_a_finished_trial_leaves_no_checkpoint_to_go_on(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    run_trial(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert sorted(os.listdir(tmp_path)) == ["best.pt", "outcome.json"]


def test_a_checkpoint_of_a_tunekit_that_keeps_other_things_is_ignored_with_a_warning(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage.write_sealed(tmp_path / "last.pt", lambda file: torch.save({"history": [], "flavour": 1}, file))
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert run.history == () and "cannot be used and is ignored" in caplog.text


def test_a_folder_of_another_trial_is_refused(locations: Locations, shared_cache: WorkerCache, tmp_path: Path) -> None:
    train(TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=1)
    with pytest.raises(ConfigError, match=f"belongs to trial {trial().trial_id}, not to {trial(seed=2).trial_id}"):
        TrialRun(trial(seed=2), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)


def test_a_trial_does_not_go_on_over_changed_data(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS), epochs=1
    )
    monkeypatch.setitem(__import__("fakes").SIZES, "train", 45)
    with pytest.raises(DataChanged, match="trained on other data: train/en in "):
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)


def test_numbers_drawn_by_others_between_epochs_change_nothing(
    undisturbed: dict[str, tuple[Path, list[EpochReport], dict[str, torch.Tensor]]],
    locations: Locations,
    shared_cache: WorkerCache,
    tmp_path: Path,
) -> None:
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    while not run.is_done:
        torch.rand(3), np.random.rand(3), random.random()
        run.step()
    assert curve(run.history) == undisturbed["ptuning_v2"][1]


def test_a_pass_that_spans_epochs_goes_on_bit_identically(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(training=replace(TRAINING, updates_per_epoch=4, epochs=4))
    whole = train(
        TrialRun(config, folder=tmp_path / "whole", locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    )
    for epoch in range(1, 5):
        run = TrialRun(config, folder=tmp_path / "cut", locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
        train(run, epochs=epoch)
    assert curve(run.history) == curve(whole.history)
    assert run.outcome().num_updates == 16


def test_how_an_update_is_cut_into_steps_changes_rounding_only(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    def one_epoch(tokens: int) -> tuple[EpochReport, dict[str, torch.Tensor]]:
        training = replace(TRAINING, epochs=1, updates_per_epoch=4)
        config = trial("prompt_tuning", training=training)
        folder = tmp_path / str(tokens)
        run = TrialRun(config, folder=folder, locations=locations, cache=shared_cache, tokens_per_step=tokens)
        assert run._learner is not None
        method = run._learner.method.eval()  # a mask of dropout is drawn for each step, so it would differ
        method.train = lambda mode=True: method  # type: ignore[method-assign]
        return run.step(), {name: tensor.clone() for name, tensor in run._learner.parameters().items()}

    (small, left), (large, right) = one_epoch(16), one_epoch(10_000)
    assert small.metrics["train/loss"] == pytest.approx(large.metrics["train/loss"], rel=1e-5)
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=1e-3, atol=1e-5)


def test_of_equal_dev_scores_the_earlier_epoch_is_kept(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(training=replace(TRAINING, learning_rate=1e-12))
    outcome = run_trial(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert outcome.best_epoch == 1


def test_the_outcome_says_what_was_done_and_on_what(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    outcome = run_trial(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    facts = run.facts
    assert outcome.value == max(outcome.metrics["dev/en/accuracy"], 0.0)
    assert outcome.num_updates == 18 == 3 * facts.num_updates_per_epoch
    assert 0 < facts.num_trainable_parameters < facts.num_backbone_parameters
    assert outcome.peak_memory_bytes > 10**6
    assert facts.num_train_examples == 44
    assert 0 < facts.majority["dev/en/accuracy"] < 0.6
    stored = json.loads((tmp_path / "outcome.json").read_text())
    assert stored["trial_id"] == trial().trial_id
    assert stored["outcome"]["value"] == outcome.value
    assert [report["epoch"] for report in stored["history"]] == [1, 2, 3]


def test_a_finished_trial_is_read_and_not_trained_again(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    first = run_trial(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    reports: list[EpochReport] = []
    second = run_trial(
        trial(),
        folder=tmp_path,
        locations=locations,
        cache=shared_cache,
        tokens_per_step=TOKENS,
        on_epoch=reports.append,
    )
    assert reports == []
    assert second == first
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert run.is_done and run.finished == first and len(run.history) == 3
    with pytest.raises(RuntimeError, match="nothing left"):
        run.step()


def test_a_pruned_trial_keeps_its_curve_and_no_checkpoint_to_go_on(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    outcome = run_trial(
        trial(),
        folder=tmp_path,
        locations=locations,
        cache=shared_cache,
        tokens_per_step=TOKENS,
        on_epoch=lambda report: report.epoch < 2,
    )
    assert outcome.state == "PRUNED" and outcome.reason == "stopped after epoch 2"
    assert not (tmp_path / "last.pt").exists()
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert run.is_done and len(run.history) == 2 and run.outcome() == outcome


def test_a_loss_that_is_no_number_fails_the_trial_and_says_where(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    training = replace(TRAINING, updates_per_epoch=3)
    config = trial("fakes:Diverging", training=training)
    outcome = run_trial(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=1000)
    assert (outcome.state, outcome.value) == ("FAILED", None)
    assert outcome.reason is not None
    assert "loss became nan at update 2 of epoch 2 (learning rate 0.00556)" in outcome.reason


def test_want_of_memory_fails_the_trial_with_advice(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    run = TrialRun(
        trial("fakes:Greedy"), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS
    )
    with pytest.raises(TrialFailed, match=r"out of memory on cpu; lower tokens_per_step \(now 64\)"):
        run.step()


def test_a_dev_score_that_is_no_number_fails_the_trial(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrialRun(trial(), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)
    assert run._learner is not None
    monkeypatch.setattr(run._learner.task, "score", lambda *_: {"accuracy": float("nan")})
    with pytest.raises(TrialFailed, match="dev/en/accuracy is nan at epoch 1"):
        run.step()


def test_a_full_disk_is_a_storage_error_and_leaves_the_old_checkpoint(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    run = train(
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=1
    )
    with _small_files(1000), pytest.raises(StorageError, match=r"cannot write .*last.pt"):
        run.step()
    assert sorted(os.listdir(tmp_path)) == ["best.pt", "previous.pt"]
    again = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    assert len(again.history) == 1


class _small_files:
    """Inside, no file can grow beyond `size` bytes: what a full disk does."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


def test_test_is_scored_once_at_the_best_epoch_in_every_language(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS))
    outcome = run.outcome()
    final = run.test()
    assert final.epoch == outcome.best_epoch
    names = ("accuracy", "macro_f1", "seqeval_f1")
    assert set(final.scores) == {f"test/{lang}/{name}" for lang in ("en", "xx") for name in names}
    assert set(final.majority) == {key.replace("test/", "majority/") for key in final.scores}
    assert final.num_examples == {"en": 16, "xx": 16}
    again = TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    monkeypatch.setattr(TrialRun, "_require_learner", lambda self: pytest.fail("scored twice"))
    assert again.test() == final


def test_a_finished_trial_is_scored_alike_by_a_fresh_process(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    run = train(
        TrialRun(trial("finetune"), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    )
    run.outcome()
    here = run.test()
    (tmp_path / "test.json").unlink()
    assert (
        TrialRun(
            trial("finetune"), folder=tmp_path, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS
        ).test()
        == here
    )


def test_test_is_refused_before_all_epochs(locations: Locations, shared_cache: WorkerCache, tmp_path: Path) -> None:
    run = train(
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS), epochs=1
    )
    with pytest.raises(RuntimeError, match="after all epochs"):
        run.test()


def test_lost_best_parameters_are_named_and_trained_again(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    first = run_trial(
        trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS, test=True
    )
    (tmp_path / "best.pt").unlink()
    (tmp_path / "test.json").unlink()
    with pytest.raises(CheckpointMissing, match=r"best.pt is gone"):
        TrialRun(trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS).test()
    second = run_trial(
        trial(), folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS, test=True
    )
    assert second.metrics == first.metrics
    assert second.metrics.keys() >= {"dev/en/accuracy", "test/xx/accuracy", "majority/xx/accuracy"}


def test_selection_on_target_dev_takes_the_mean_of_the_targets(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    task = TaskConfig(name="fakes:load_words", target_languages=("xx", "yy"))
    config = replace(trial(), task=task, selection="target_dev")
    outcome = run_trial(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    scores = [outcome.metrics[f"dev/{language}/accuracy"] for language in ("xx", "yy")]
    assert outcome.value == sum(scores) / 2
    assert "dev/en/accuracy" in outcome.metrics


def test_selection_on_target_dev_needs_targets(locations: Locations, shared_cache: WorkerCache, tmp_path: Path) -> None:
    config = replace(trial(), task=TaskConfig(name="fakes:load_words"), selection="target_dev")
    with pytest.raises(ConfigError, match="selection is 'target_dev', must be source_dev"):
        TrialRun(config, folder=tmp_path, locations=locations, cache=shared_cache, tokens_per_step=TOKENS)


def test_a_worker_reads_tokenizes_and_loads_once(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.methods.parts.head import HeadMethod

    loaded, encoded = [], []
    encode_all = HeadMethod.encode_all

    def counted(self: HeadMethod, examples: object, *, language: str) -> object:
        encoded.append(len(examples))  # type: ignore[arg-type]
        return encode_all(self, examples, language=language)  # type: ignore[arg-type]

    def load(config: BackboneConfig, where: Locations) -> object:
        loaded.append(config.name)
        return load_backbone(config, where)

    monkeypatch.setattr(HeadMethod, "encode_all", counted)
    cache = WorkerCache(load_backbone=load)  # type: ignore[arg-type]
    for number, method in enumerate([*OPTIONS, *OPTIONS]):
        run_trial(
            trial(method, seed=number),
            folder=tmp_path / str(number),
            locations=locations,
            cache=cache,
            tokens_per_step=TOKENS,
        )
    assert loaded == ["tiny"]
    assert encoded == [44, 20]


def test_a_frozen_backbone_is_left_bit_for_bit_as_it_was_loaded(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    fresh = load_backbone(BackboneConfig(name="tiny"), locations).state_dict()
    run_trial(trial("finetune"), folder=tmp_path / "a", locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    run = train(
        TrialRun(
            trial("ptuning_v2"), folder=tmp_path / "b", locations=locations, cache=shared_cache, tokens_per_step=TOKENS
        )
    )
    assert run._learner is not None
    for name, tensor in run._learner.method.backbone.state_dict().items():
        assert torch.equal(tensor, fresh[name]), name


def test_a_trial_whose_backbone_went_to_another_says_so(
    locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    first = TrialRun(
        trial("ptuning_v2"), folder=tmp_path / "a", locations=locations, cache=shared_cache, tokens_per_step=TOKENS
    )
    TrialRun(trial("finetune"), folder=tmp_path / "b", locations=locations, cache=shared_cache, tokens_per_step=TOKENS)
    with pytest.raises(RuntimeError, match="finish one before the next"):
        first.step()


@pytest.mark.parametrize(("device", "message"), [("gpu", "is not one that torch knows"), ("cuda:99", "is not there")])
def test_a_device_that_is_not_there_is_named(
    device: str, message: str, locations: Locations, shared_cache: WorkerCache, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        TrialRun(
            trial(),
            folder=tmp_path,
            locations=replace(locations, device=device),
            cache=shared_cache,
            tokens_per_step=TOKENS,
        )


@pytest.mark.parametrize("method", ["finetune", "ptuning_v2"])
def test_bf16_trials_of_both_kinds_share_a_worker_and_go_on_bit_identically(
    method: str, locations: Locations, tmp_path: Path
) -> None:
    config = replace(trial(method), backbone=BackboneConfig(name="tiny", dtype="bf16"))
    other = replace(trial("ptuning_v2" if method == "finetune" else "finetune"), backbone=config.backbone)
    whole = run_trial(
        config, folder=tmp_path / "whole", locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS
    )
    cache = WorkerCache()
    train(TrialRun(config, folder=tmp_path / "cut", locations=locations, cache=cache, tokens_per_step=TOKENS), epochs=1)
    run_trial(other, folder=tmp_path / "other", locations=locations, cache=cache, tokens_per_step=TOKENS)
    cut = run_trial(config, folder=tmp_path / "cut", locations=locations, cache=cache, tokens_per_step=TOKENS)
    assert isinstance(whole, Outcome) and cut.metrics == whole.metrics
    assert_same_files(tmp_path / "whole", tmp_path / "cut")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
