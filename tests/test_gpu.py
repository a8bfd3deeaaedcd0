"""On a CUDA device: the numbers of the CPU, trials that depend neither on company nor on kills, a clear end of memory.

Run by ``pytest -m gpu`` on a machine with one; Ray is not needed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import save_backbone
from test_methods import SERVED, make, rows_of
from tiny_models import backbone_of, examples_of
from tiny_trials import OPTIONS, TOKENS, TRAINING, curve, train, trial

from tunekit.errors import TrialFailed
from tunekit.training import TrialRun, WorkerCache
from tunekit.trial import Locations, TrialConfig

pytestmark = pytest.mark.gpu

CLOSE = {"fp32": 2e-4, "bf16": 0.1}
"""Relative to the largest logit."""


@pytest.fixture(scope="module")
def locations(tmp_path_factory: pytest.TempPathFactory) -> Locations:
    return Locations(backbone_path=str(save_backbone(tmp_path_factory.mktemp("backbone"))), device="cuda")


def run_of(config: TrialConfig, folder: Path, locations: Locations, cache: WorkerCache | None = None) -> TrialRun:
    return TrialRun(config, folder=folder, locations=locations, cache=cache or WorkerCache(), tokens_per_step=TOKENS)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("name", "architecture", "kind"), SERVED)
def test_a_method_computes_on_the_gpu_what_it_computes_on_the_cpu(
    name: str, architecture: str, kind: str, dtype: str
) -> None:
    found: dict[str, Any] = {}
    for device in ("cpu", "cuda"):
        method = make(name, backbone_of(architecture, dtype=dtype), kind).to(device).eval()
        batch = method.collate(rows_of(method, examples_of(kind))).to(torch.device(device))
        with torch.no_grad():
            found[device] = method.logits(batch).float().cpu()
    scale = found["cpu"].abs().max().clamp(min=1.0)
    assert found["cuda"].isfinite().all()
    assert ((found["cuda"] - found["cpu"]).abs().max() / scale).item() < CLOSE[dtype]


@pytest.mark.parametrize("method", OPTIONS)
def test_a_trial_on_the_gpu_is_the_same_after_a_stop_and_beside_another(
    method: str, tmp_path: Path, locations: Locations
) -> None:
    config = trial(method)
    alone = curve(train(run_of(config, tmp_path / "alone", locations)).history)
    train(run_of(config, tmp_path / "stopped", locations), epochs=1)
    again = run_of(config, tmp_path / "stopped", locations)
    assert len(again.history) == 1
    assert curve(train(again).history) == alone
    if method == "finetune":
        return  # two trials that train one backbone's weights do not take turns in one process
    cache = WorkerCache()
    one, other = (run_of(trial(method, seed=seed), tmp_path / f"seed{seed}", locations, cache) for seed in (1, 2))
    for _ in range(TRAINING.epochs):
        other.step()
        one.step()
    assert curve(one.history) == alone
    assert curve(other.history) != alone


def test_a_trial_learns_on_the_gpu_what_it_learns_on_the_cpu(tmp_path: Path, locations: Locations) -> None:
    curves = {}
    for device in ("cpu", "cuda"):
        run = run_of(trial("finetune"), tmp_path / device, replace(locations, device=device))
        curves[device] = [report.metrics["train/loss"] for report in train(run).history]
    assert curves["cuda"] == pytest.approx(curves["cpu"], rel=0.25), "dropout draws other numbers, the course is one"


def test_a_gpu_without_memory_fails_the_trial_with_a_sentence(
    tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(trial("finetune"), tmp_path, locations)
    assert run._learner is not None
    monkeypatch.setattr(run._learner.method, "loss_of", lambda *_: torch.empty(2**45, device="cuda").sum())
    with pytest.raises(TrialFailed, match="memory"):
        train(run)
