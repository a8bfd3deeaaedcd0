"""What a process keeps from trial to trial, and what it loads again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from fakes import save_backbone
from tiny_trials import TOKENS, trial

from tunekit.training import WorkerCache, caches, run_trial
from tunekit.training.learner import Learner
from tunekit.training.warm_keys import backbone_key, task_key
from tunekit.trial import BackboneConfig, Locations, TaskConfig

NUM_TASKS = 9
"""The few-shot tasks of a comparison over several shots and draws."""


def learner(cache: WorkerCache, locations: Locations, number: int) -> Learner:
    """A trial on the task number `number`, which differs from the others in its sample."""
    task = TaskConfig(name="fakes:load_words", target_languages=("xx",), max_train_examples=8, sample_seed=number)
    config = dataclasses.replace(trial(), task=task)
    return Learner(config, locations=locations, cache=cache, tokens_per_step=TOKENS)


def test_many_small_tasks_stay_loaded(locations: Locations) -> None:
    cache = WorkerCache()
    for _ in range(5):
        for number in range(NUM_TASKS):
            learner(cache, locations, number)
    assert (cache.num_task_loads, cache.num_backbone_loads) == (NUM_TASKS, 1)


def test_tokens_are_bounded_over_all_tasks_and_what_was_not_used_for_longest_goes_first(
    locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = WorkerCache()
    first = learner(cache, locations, 0)
    first.tokenized("dev", "en")
    size = first.loaded.num_tokens
    monkeypatch.setattr(caches, "MAX_TOKENS", 3 * size)
    for number in (1, 2, 0, 3, 4):
        learner(cache, locations, number).tokenized("dev", "en")
        assert sum(task.num_tokens for task in cache._tasks.values()) <= 3 * size
    before = cache.num_task_loads
    learner(cache, locations, 0)
    assert cache.num_task_loads == before
    learner(cache, locations, 1)
    assert cache.num_task_loads == before + 1


def test_a_task_beyond_the_bound_keeps_the_split_that_is_used(
    locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "MAX_TOKENS", 1)
    made = learner(WorkerCache(), locations, 0)
    for split in ("dev", "test", "dev"):
        found = made.tokenized(split, "en")  # type: ignore[arg-type]
        assert found.num_tokens == made.loaded.num_tokens > 1


def test_two_backbones_stay_loaded(locations: Locations, tmp_path: Path) -> None:
    places = [dataclasses.replace(locations, backbone_path=str(save_backbone(tmp_path / name))) for name in "abc"]
    cache, config = WorkerCache(), BackboneConfig(name="tiny")
    for index in (0, 1, 0, 1, 2, 1, 0):
        cache.backbone(config, places[index], trained=False)
    assert cache.num_backbone_loads == 4
    assert {key for key in cache.warm if key.startswith("backbone:")} == {
        backbone_key(config, places[index]) for index in (0, 1)
    }


def test_a_dispatcher_can_tell_what_is_warm(locations: Locations, tmp_path: Path) -> None:
    cache, config = WorkerCache(), trial()
    assert cache.warm == frozenset()
    run_trial(config, folder=tmp_path, locations=locations, cache=cache)
    assert cache.warm == {task_key(config.task, locations), backbone_key(config.backbone, locations)}


def test_keys_tell_apart_what_is_loaded_apart_and_nothing_else() -> None:
    task, backbone, places = TaskConfig(name="udpos"), BackboneConfig(name="m"), Locations(data_dir="/a")
    changed = dataclasses.replace
    others = [changed(task, shots=4), changed(task, sample_seed=1), changed(task, target_languages=("fr",))]
    assert len({task_key(each, places) for each in (task, *others)}) == 4
    assert task_key(task, places) != task_key(task, changed(places, data_dir="/b"))
    assert task_key(task, places) == task_key(task, changed(places, backbone_path="/m", device="cpu"))
    keys = {backbone_key(each, places) for each in (backbone, changed(backbone, dtype="bf16"))}
    keys |= {backbone_key(backbone, changed(places, **{key: "x"})) for key in ("backbone_path", "device")}
    assert len(keys) == 4
    assert backbone_key(backbone, places) == backbone_key(changed(backbone, word_piece="last"), Locations())


def test_a_replaced_backbone_is_loaded_again(locations: Locations, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(str(locations.backbone_path), folder)
    places, config = dataclasses.replace(locations, backbone_path=str(folder)), BackboneConfig(name="tiny")
    cache = WorkerCache()
    before = cache.backbone(config, places, trained=False)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "new").write_bytes(bytes(content))
    (folder / "new").replace(folder / "model.safetensors")  # written in place, it would change what is loaded from it
    after = cache.backbone(config, places, trained=False)
    assert before.fingerprint != after.fingerprint and before.tokenizer != after.tokenizer
    assert cache.num_backbone_loads == 2
    states = [handle.backbone.state_dict() for handle in (before, after)]
    assert any(not torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_gpu_keeps_several_backbones_only_as_long_as_they_are_small(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, gpu, calls = WorkerCache(), torch.device("cuda", 1), list[torch.device]()
    cache.backbone(BackboneConfig(name="tiny"), locations, trained=False)
    (kept,) = cache._backbones.values()
    monkeypatch.setattr(caches, "give_memory_back", calls.append)
    monkeypatch.setattr(caches, "memory_bytes", lambda device: 2 * kept.num_bytes / caches.KEPT_ON_GPU)
    cache._make_room_on(gpu, kept)
    assert len(cache._backbones) == 1
    monkeypatch.setattr(caches, "memory_bytes", lambda device: 1.9 * kept.num_bytes / caches.KEPT_ON_GPU)
    cache._make_room_on(gpu, kept)
    assert not cache._backbones and calls == [gpu, gpu]
    assert kept.num_bytes >= sum(p.numel() * 4 for p in kept.backbone.parameters())
