"""Trials of the tiny world: three epochs of a method on `fakes:load_words` and a random BERT."""

from __future__ import annotations

from dataclasses import replace

from tunekit.training import TrialRun
from tunekit.trial import BackboneConfig, EpochReport, TaskConfig, TrainingConfig, TrialConfig

OPTIONS = {
    "finetune": {},
    "ptuning_v2": {"prompt_length": 4},
    "prompt_tuning": {"prompt_length": 4},
    "lora": {"rank": 2},
    "bitfit": {},
}
TRAINING = TrainingConfig(learning_rate=1e-2, epochs=3, batch_size=8, max_length=16)
TOKENS = 64
"""Padded tokens a step: few enough that updates are cut into several."""


def trial(method: str = "ptuning_v2", *, seed: int = 1, training: TrainingConfig = TRAINING) -> TrialConfig:
    return TrialConfig(
        task=TaskConfig(name="fakes:load_words", target_languages=("xx",)),
        backbone=BackboneConfig(name="tiny"),
        method=method,
        options=OPTIONS.get(method, {}),
        training=training,
        seed=seed,
    )


def train(run: TrialRun, *, epochs: int | None = None) -> TrialRun:
    while not run.is_done and (epochs is None or len(run.history) < epochs):
        run.step()
    return run


def curve(history: tuple[EpochReport, ...]) -> list[EpochReport]:
    return [replace(report, duration_s=0.0) for report in history]
