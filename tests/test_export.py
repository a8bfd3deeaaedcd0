"""Exported adapters: transformers and peft alone, following the exported README, predict what tunekit predicts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_models import TAGS, examples_of, folder_of, task_of

from tunekit import methods
from tunekit.backbone import load
from tunekit.errors import ConfigError
from tunekit.export import FinishedTrial, export
from tunekit.tasks import Example, PairExample, Task
from tunekit.training import checkpoints, run_trial
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "ptuning_v2": {"prompt_length": 5, "initial_std": 0.5},
    "prompt_tuning": {"prompt_length": 5},
}
FILES = {"adapter_config.json", "adapter_model.safetensors", "head.safetensors", "README.md"}


def load_token(config: TaskConfig, locations: Locations) -> Task:
    return Task(config, kind="token", read=lambda split, language: examples_of("token"), labels=TAGS)


def load_pair(config: TaskConfig, locations: Locations) -> Task:
    return Task(config, kind="pair", read=lambda split, language: examples_of("pair"), labels=TAGS)


def trained(
    method: str, architecture: str, folder: Path, *, kind: str = "token", backbone: Any = None, **options: Any
) -> FinishedTrial:
    """A short trial on a tiny backbone that really moves the parameters."""
    config = TrialConfig(
        task=TaskConfig(name=f"test_export:load_{kind}"),
        backbone=BackboneConfig(name=architecture, **(backbone or {})),
        method=method,
        options={**OPTIONS.get(method, {}), **options},
        training=TrainingConfig(learning_rate=3e-2, epochs=1, updates_per_epoch=30, batch_size=4, max_length=40),
        seed=2,
    )
    locations = Locations(backbone_path=str(folder_of(architecture, folder / "base")), device="cpu")
    assert run_trial(config, folder=folder / "trial", locations=locations).state == "COMPLETE"
    return FinishedTrial(config=config, locations=locations, folder=folder / "trial")


def predicted(trial: FinishedTrial, examples: Sequence[Example]) -> list[list[str]]:
    """What tunekit predicts with the trial's checkpoint."""
    config, task = trial.config, task_of(trial.config.task.name.rpartition("_")[2])
    method = methods.build(config, backbone=load(config.backbone, trial.locations), task=task).eval()
    stored = checkpoints.load(trial.folder / "best.pt")
    assert stored is not None and stored.parameters is not None
    method.load_state_dict(stored.parameters, strict=False)
    answers = []
    for example in examples:
        rows = method.encode(example)
        labels = method.decode(example, list(zip(rows, method.predict(method.collate(rows)), strict=True)))
        answers.append([labels] if isinstance(labels, str) else labels)
    return answers


def followed(out: Path, examples: Sequence[Example], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the code in the exported README predicts."""
    code = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code
    assert "tunekit" not in code[1]
    monkeypatch.chdir(out)
    world: dict[str, Any] = {}
    exec(code[1], world)
    pairs = [(e.text_a, e.text_b) if isinstance(e, PairExample) else (e.words,) for e in examples]
    answers = [world["label"](*pair) for pair in pairs]
    return [[answer] if isinstance(answer, str) else answer for answer in answers]


CELLS = [
    cell
    for cell in itertools.product(OPTIONS, ("bert", "xlm-roberta", "xglm", "bloom", "mt5"), ("token", "pair"))
    if not (cell[0] != "lora" and (cell[1] == "mt5" or cell[1:] == ("bert", "pair")))
]
"""All that can be exported."""


@pytest.mark.parametrize(("method", "architecture", "kind"), CELLS)
def test_plain_peft_predicts_the_same(
    method: str, architecture: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, examples = trained(method, architecture, tmp_path, kind=kind), examples_of(kind)
    files = export(trial, tmp_path / "out")
    assert {path.name for path in files} == FILES == {path.name for path in (tmp_path / "out").iterdir()}
    found = followed(tmp_path / "out", examples, monkeypatch)
    assert found == predicted(trial, examples)
    assert len({label for labels in found for label in labels}) > 1, "a test that any adapter would pass"


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("ptuning_v2", {"projection": True, "projection_size": 7}),
        ("lora", {"targets": "linear", "rank_stabilised": True}),
        ("lora", {"targets": "attention"}),
        ("ptuning_v2", {"backbone": {"word_piece": "mean"}}),
        ("prompt_tuning", {"backbone": {"word_piece": "last"}}),
        ("lora", {"backbone": {"word_piece": "first", "dtype": "bf16"}}),
    ],
)
def test_options_of_method_and_backbone_are_in_what_is_exported(
    method: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, examples = trained(method, "xlm-roberta", tmp_path, **changes), examples_of("token")
    export(trial, tmp_path / "out")
    assert followed(tmp_path / "out", examples, monkeypatch) == predicted(trial, examples)


def test_the_adapter_names_the_backbone_that_it_is_for(tmp_path: Path) -> None:
    trial = trained("lora", "bert", tmp_path)
    export(trial, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == trial.locations.backbone_path
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 16.0)
    page = (tmp_path / "out" / "README.md").read_text()
    assert trial.config.trial_id in page
    assert "Labels: N, V, X." in page


@pytest.mark.parametrize(
    ("method", "architecture", "kind", "message"),
    [
        ("finetune", "bert", "token", "peft has nothing like 'finetune'; it can load .*lora"),
        ("bitfit", "bert", "token", "peft has nothing like 'bitfit'"),
        ("ptuning_v2", "mt5", "token", "elsewhere than ptuning_v2 in an encoder-decoder such as 'mt5'; export lora"),
        ("prompt_tuning", "bert", "pair", "peft drops token_type_ids .* 'bert' tells the texts of a pair by them"),
    ],
)
def test_what_plain_peft_would_do_otherwise_is_refused(
    method: str, architecture: str, kind: str, message: str, tmp_path: Path
) -> None:
    trial = trained(method, architecture, tmp_path, kind=kind)
    with pytest.raises(ConfigError, match=message):
        export(trial, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_gone_are_told_with_the_way_to_get_them_back(tmp_path: Path) -> None:
    trial = trained("lora", "bert", tmp_path)
    (trial.folder / "best.pt").unlink()
    with pytest.raises(
        ConfigError, match=r"best.pt is gone or torn: .*tunekit best NAME --arm ARM > best.yaml, tunekit trial"
    ):
        export(trial, tmp_path / "out")


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    trial = trained("lora", "bert", tmp_path)
    path = trial.folder / "best.pt"
    stored = checkpoints.load(path)
    assert stored is not None and stored.parameters is not None
    stored.parameters.pop("head.linear.bias")
    checkpoints.save(path, stored)
    with pytest.raises(ConfigError, match="does not hold the parameters of this configuration"):
        export(trial, tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    trial = trained("lora", "bert", tmp_path)
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match=r"--out .* is a file; name a folder"):
        export(trial, tmp_path / "out")
