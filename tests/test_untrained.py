"""Methods with nothing to train: evaluated once, searched and finalised like any other."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import cells
from rich.console import Console
from tiny_models import config_of, folder_of, tokenizer_of
from transformers import AutoModelForCausalLM

from tunekit import reports
from tunekit.check import check, render
from tunekit.cli.single_trial import load_trial
from tunekit.errors import ConfigError
from tunekit.execution import Execution, run_sweep
from tunekit.journal import replay
from tunekit.schema import to_json
from tunekit.sweep import Source, Sweep, parse_sweep, trial_config
from tunekit.toy.world import TAGS
from tunekit.training import TrialRun, WorkerCache, run_trial
from tunekit.training.joint import train_epoch
from tunekit.training.learner import Learner
from tunekit.trial import Locations, TrainingConfig, TrialConfig

SIZES = {"max_train_examples": 20, "max_dev_examples": 6, "max_test_examples": 4}
LANGUAGES = {"source_language": "alo", "target_languages": ["bera"]}
SPELLED = ("the", "cat", "dog", "sees", "likes", "red", "old", "house", "now", "here", "unhappily", "a cat")
WORDS = dict(zip(TAGS, SPELLED, strict=True))
TEMPLATES = ["{sentence} {word} {mask}", "now {sentence} the {word} likes {mask}"]


@pytest.fixture(scope="module", params=["xglm", "bloom", "mt5"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random language model in the hub's format."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param != "xglm":
        return folder_of(request.param, folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = config_of("xglm", max_position_embeddings=1024)
        AutoModelForCausalLM.from_config(shape).save_pretrained(folder)
    tokenizer_of("xglm").save_pretrained(folder)
    return folder


ASKED: dict[str, Any] = {
    "method": "topro_zero_shot",
    "space": {"template": TEMPLATES, "score": ["sum", "mean"]},
    "fixed": {"verbalizer": WORDS},
}
SHOWN: dict[str, Any] = {
    "method": "icl",
    "space": {
        "num_demonstrations": {"low": 0, "high": 2},
        "choice": ["random", "balanced"],
        "template": ["{sentence} now {mask}", "a {sentence} here {mask}"],
    },
    "fixed": {"verbalizer": WORDS},
}


def sweep_of(model: Path, **changes: Any) -> Sweep:
    content: dict[str, Any] = {
        "name": "untrained",
        "task": {"name": "toy_tagging", **LANGUAGES, **SIZES},
        "backbone": {"name": "tiny", "path": str(model)},
        "arms": {"asked": ASKED, "shown": SHOWN},
        "fixed": {"max_length": 300},
        "search": {"searcher": "tpe", "num_trials": 2, "seed": 1},
        "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2},
        "seeds": [10],
        "finalise": {"top": 1, "seeds": [10, 42]},
    }
    return parse_sweep({**content, **changes}, Source("untrained.yaml"))


def trial_of(sweep: Sweep, arm: str, **params: Any) -> tuple[TrialConfig, Locations]:
    found = sweep.arm(arm)
    values = {dimension.name: dimension.corners()[0] for dimension in found.space}
    return trial_config(sweep, found, {**values, **params}, 10), found.locations


def test_a_sweep_over_templates_and_demonstrations_is_searched_and_finalised(model: Path, tmp_path: Path) -> None:
    sweep = sweep_of(model)
    finish = run_sweep(sweep, tmp_path / "sweep", Execution(in_process=True))
    assert not finish.problems and finish.num_failed == 0
    record = replay(tmp_path / "sweep")
    for arm in ("asked", "shown"):
        trials = record.arm(arm).trials
        assert {trial.state for trial in trials} == {"COMPLETE"}
        assert sum(trial.phase == "search" for trial in trials) == 2
        assert sum(trial.test_scores is not None for trial in trials) == 2
        for trial in trials:
            assert trial.outcome is not None
            assert trial.outcome.best_epoch == 1 and list(trial.reports) == [1]
            assert trial.facts is not None
            assert trial.outcome.num_updates == trial.facts.num_trainable_parameters == 0
            assert trial.facts.num_backbone_parameters > 0
            assert "train/loss" not in trial.outcome.metrics
            assert trial.facts.num_train_rows == 0
    final = [trial for trial in record.arm("asked").trials if trial.test_scores is not None]
    assert final[0].test_scores == final[1].test_scores  # no seed has an effect
    assert set(final[0].test_scores or {}) >= {"test/alo/accuracy", "test/bera/accuracy"}
    text = "".join(path.read_text() for path in reports.write(record, tmp_path / "report") if path.suffix == ".md")
    assert {
        tuple(cells(text, arm, header=["trainable"])[key] for key in ("updates", "trainable", "of backbone"))
        for arm in ("asked", "shown")
    } == {("0", "0", "0 %")}


def test_a_trial_goes_on_after_its_only_epoch_and_is_tested_once(model: Path, tmp_path: Path) -> None:
    config, places = trial_of(sweep_of(model), "shown", num_demonstrations=1)
    undisturbed = run_trial(config, folder=tmp_path / "one", locations=places, test=True)
    first = TrialRun(config, folder=tmp_path / "two", locations=places, cache=WorkerCache(), tokens_per_step=8192)
    report = first.step()
    again = TrialRun(config, folder=tmp_path / "two", locations=places, cache=WorkerCache(), tokens_per_step=8192)
    assert again.is_done and again.history == (report,)
    outcome = again.outcome()
    assert outcome.value == undisturbed.value
    scores = again.test().scores
    assert scores == {key: value for key, value in undisturbed.metrics.items() if key.startswith("test/")}
    assert json.loads((tmp_path / "two" / "test.json").read_text())["test"]["epoch"] == 1


def test_the_seed_draws_the_demonstrations(model: Path) -> None:
    cache, sweep = WorkerCache(), sweep_of(model)
    config, places = trial_of(sweep, "shown", num_demonstrations=2)
    shown = []
    for seed in (10, 11, 10):
        learner = Learner(dataclasses.replace(config, seed=seed), locations=places, cache=cache, tokens_per_step=8192)
        shown.append(learner.method.demonstrations)
    assert shown[0] == shown[2] != shown[1]


def test_nothing_of_train_is_tokenized_for_updates(model: Path) -> None:
    config, places = trial_of(sweep_of(model), "asked")
    learner = Learner(config, locations=places, cache=WorkerCache(), tokens_per_step=8192)
    assert learner.train_rows.rows == () and learner.num_updates == 0 and learner.trained == {}
    assert learner.facts().num_train_examples == SIZES["max_train_examples"]
    with pytest.raises(RuntimeError, match="topro_zero_shot has nothing to train"):
        train_epoch(learner, 1)


# What has no effect is refused


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [("space", "learning_rate", [1e-3, 1e-4]), ("fixed", "epochs", 3), ("fixed", "batch_size", 8)],
)
def test_a_training_parameter_of_an_arm_that_trains_nothing_is_refused(
    tmp_path: Path, block: str, key: str, value: object
) -> None:
    with pytest.raises(ConfigError, match=f"'{key}' has no effect, since icl trains nothing.*max_length") as error:
        sweep_of(tmp_path, arms={"shown": {"method": "icl", block: {key: value}}})
    assert f"arms.shown.{block}.{key}" in str(error.value)


def test_training_parameters_that_arms_share_are_for_those_that_train(tmp_path: Path) -> None:
    fixed, arms = {"max_length": 300, "epochs": 7, "learning_rate": 1e-3}, {"asked": ASKED}
    sweep = sweep_of(tmp_path, arms={**arms, "tuned": {"method": "finetune"}}, fixed=fixed)
    idle = trial_config(sweep, sweep.arm("asked"), {}, 10).training
    assert idle == TrainingConfig(epochs=1, max_length=300)
    assert trial_config(sweep, sweep.arm("tuned"), {}, 10).training.epochs == 7
    with pytest.raises(ConfigError, match="no arm has a parameter 'epochs'"):
        sweep_of(tmp_path, arms=arms, fixed=fixed)


def test_a_single_trial_needs_no_epochs_and_refuses_what_only_training_uses(tmp_path: Path) -> None:
    folder = folder_of("bloom", tmp_path / "model")
    config, places = trial_of(sweep_of(folder), "shown")
    content: dict[str, Any] = {**to_json(config), "locations": to_json(places)}
    path = tmp_path / "trial.yaml"

    def read(training: dict[str, Any]) -> TrialConfig:
        path.write_text(yaml.safe_dump({**content, "training": training}))
        return load_trial(path)[0]

    assert read({"max_length": 300}) == config == read(content["training"])
    for training, message in (
        ({"max_length": 300, "learning_rate": 0.01}, "learning_rate is 0.01, but icl trains nothing"),
        ({"epochs": 2}, "epochs is 2, but icl trains nothing, so it must be 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            Learner(read(training), locations=places, cache=WorkerCache(), tokens_per_step=8192)


def test_check_says_that_nothing_is_trained_and_what_evaluation_costs(tmp_path: Path) -> None:
    found = check(sweep_of(folder_of("bloom", tmp_path / "model")), flops_per_s=1e9)
    for arm in found.arms:
        assert arm.num_trainable.high == arm.trainable_share.high == arm.num_updates.high == 0
        assert arm.trial_flops.low > 0
        assert arm.trial_hours.high * 3600 * 1e9 == pytest.approx(arm.trial_flops.high)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(found))
    assert "trainable parameters: 0" in console.export_text()
