"""Memory that does not suffice: the same gradients in smaller steps, and the same again for trials of that shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trials import curve, train, trial

from tunekit import patience
from tunekit.training import TrialRun, WorkerCache, predictor
from tunekit.training.memory import is_out_of_memory
from tunekit.trial import Locations


def torch_says() -> Exception:
    """What torch's allocator on a CPU raises."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**18, dtype=torch.uint8)
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        torch_says(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["cpu", "python", "cuda", "cublas"],
)
def test_want_of_memory_is_known_whoever_tells_of_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(OSError("out of memory"))


def run(
    method: str, folder: Path, locations: Locations, cache: WorkerCache, *, tokens_per_step: int, seed: int = 1
) -> TrialRun:
    config = trial(method, seed=seed)
    return train(
        TrialRun(config, folder=folder, locations=locations, cache=cache, tokens_per_step=tokens_per_step), epochs=2
    )


def test_a_cpu_without_memory_computes_smaller_steps_as_if_they_had_been_asked_for_and_remembers_them(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cache = WorkerCache()
    with patience.listening(lambda text, topic: said.append(text)):
        narrow = run("fakes:Narrow", tmp_path / "narrow", locations, cache, tokens_per_step=128)
    asked = run("finetune", tmp_path / "asked", locations, WorkerCache(), tokens_per_step=32)
    assert curve(narrow.history) == curve(asked.history), "to the bit: nothing was drawn for what had no room"
    assert len(said) == 1 and said[0].startswith("out of memory on cpu: of fakes:Narrow on tiny, at most 32 tokens")

    asked_for: list[object] = []
    empty = torch.empty

    def noted(*size: Any, **kind: Any) -> torch.Tensor:
        asked_for.append(size)
        return empty(*size, **kind)

    monkeypatch.setattr(torch, "empty", noted)
    run("fakes:Narrow", tmp_path / "next", locations, cache, tokens_per_step=128, seed=2)
    assert (10**18,) not in asked_for, "the next trial of this shape does not run into it again"


@pytest.mark.parametrize(("method", "is_same"), [("ptuning_v2", True), ("finetune", False)])
def test_smaller_steps_change_the_rounding_of_a_frozen_backbone_and_the_dropout_of_a_trained_one(
    method: str, is_same: bool, locations: Locations, tmp_path: Path
) -> None:
    config, losses = trial(method), []
    if is_same:
        rates = dict.fromkeys(("backbone_dropout", "head_dropout", "prefix_dropout"), 0.1)
        config = replace(config, options={**config.options, **rates})
    for tokens in (128, 32):
        folder, cache = tmp_path / str(tokens), WorkerCache()
        done = train(
            TrialRun(config, folder=folder, locations=locations, cache=cache, tokens_per_step=tokens), epochs=1
        )
        losses.append(done.history[0].metrics["train/loss"])
    assert (losses[0] == pytest.approx(losses[1], rel=1e-5)) == is_same
    assert losses[0] == pytest.approx(losses[1], rel=0.1), "the same experiment"


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_predictions_without_memory_are_made_in_smaller_steps_and_this_is_remembered(
    error: Exception, locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = WorkerCache()
    free = run("ptuning_v2", tmp_path / "free", locations, cache, tokens_per_step=64)
    step: Callable[..., Any] = predictor._predict_step
    sizes: list[int] = []

    def narrow(learners: Any, chosen: Any) -> None:
        sizes.append(len(chosen))
        if len(chosen) > 4:
            raise error
        step(learners, chosen)

    monkeypatch.setattr(predictor, "_predict_step", narrow)
    found = run("ptuning_v2", tmp_path / "narrow", locations, cache, tokens_per_step=64)
    assert [r.value for r in found.history] == [r.value for r in free.history]
    first = len(sizes)
    run("ptuning_v2", tmp_path / "next", locations, cache, tokens_per_step=64, seed=2)
    assert max(sizes[first:]) <= 4
