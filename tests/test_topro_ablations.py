"""ToPro without one of its parts: without questions, without label words, without pretraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_methods import optimizer_of, predictions, rows_of, trained
from tiny_models import backbone_of, examples_of, folder_of, language_model_of, setting_of, task_of
from tiny_trials import TOKENS, TRAINING, curve, train

from tunekit.backbone.untrained import draw_weights
from tunekit.errors import ConfigError
from tunekit.methods.finetune import Finetune, FinetuneConfig
from tunekit.methods.topro import ToPro, ToProConfig
from tunekit.tasks import TokenExample
from tunekit.training import TrialRun, WorkerCache
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrialConfig

WORDS = {"N": "cat", "V": "sees", "X": "here"}
SPARE: dict[str, Any] = {"template": "{sentence} | the {word} {mask}", "verbalizer": WORDS, "head_dropout": 0.0}
ENCODERS = pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])


def topro(architecture: str, *, seed: int = 0, word_piece: str = "first_text", **options: Any) -> Any:
    if not options.get("decompose", True):
        options = {"template": None, **options}
    if options.get("read_out") == "head":
        options = {"verbalizer": None, **options}
    torch.manual_seed(seed)
    setting = setting_of(backbone_of(architecture), task_of("token"), max_length=40, word_piece=word_piece)
    return ToPro(ToProConfig(**{**SPARE, **options}), setting).eval()


@ENCODERS
@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize("read_out", ["label_words", "head"])
def test_every_combination_of_parts_overfits_and_moves_all_that_it_trains(
    architecture: str, decompose: bool, read_out: str
) -> None:
    method = topro(architecture, decompose=decompose, read_out=read_out)
    batch = method.collate(rows_of(method, examples_of("token")))
    optimizer = optimizer_of("topro", method)
    method.train()
    for _ in range(80):
        optimizer.zero_grad()
        (method.loss(batch) / batch.num_labels).backward()
        optimizer.step()
    expected = [list(example.labels) for example in examples_of("token")]  # type: ignore[union-attr]
    assert predictions(method, examples_of("token")) == expected
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in trained(method).values())
    assert any(name.startswith("head.") for name in trained(method)) == (read_out == "head")


@ENCODERS
@pytest.mark.parametrize("word_piece", ["first", "last", "mean"])
def test_without_questions_and_label_words_it_is_fine_tuning(architecture: str, word_piece: str) -> None:
    method = topro(architecture, decompose=False, read_out="head", seed=3, word_piece=word_piece)
    torch.manual_seed(3)
    setting = setting_of(backbone_of(architecture), task_of("token"), max_length=40, word_piece=word_piece)
    plain = Finetune(FinetuneConfig(head_dropout=0.0), setting).eval()
    rows = rows_of(plain, examples_of("token"))
    assert rows_of(method, examples_of("token")) == rows
    assert method.estimate_rows(examples_of("token")[0]) == plain.estimate_rows(examples_of("token")[0])
    torch.testing.assert_close(method.logits(method.collate(rows)), plain.logits(plain.collate(rows)))


@ENCODERS
def test_without_questions_the_label_words_are_read_at_each_word(architecture: str) -> None:
    method = topro(architecture, decompose=False)
    (row,) = method.encode(TokenExample(("the", "cat", "sees"), ("X", "N", "V")))
    assert len(row.label_ids) == 3 and method.backbone.tokenizer.mask_token_id not in row.input_ids
    with torch.no_grad():
        whole = language_model_of(architecture)(input_ids=torch.tensor([row.input_ids])).logits[0]
        found = method.logits(method.collate([row]))
    columns = [column for (column,) in row.reads]
    torch.testing.assert_close(found, whole[columns][:, list(method.verbalizer.token_ids)], atol=1e-4, rtol=0)


@ENCODERS
def test_a_head_reads_the_state_at_the_mask(architecture: str) -> None:
    method = topro(architecture, read_out="head")
    rows = method.encode(TokenExample(("the", "cat", "sees"), ("X", "N", "V")))
    assert len(rows) == 3
    batch = method.collate(rows)
    states = method.backbone.encode(batch.inputs)[torch.arange(3), batch.read_columns]
    torch.testing.assert_close(method.logits(batch), method.head(states), atol=1e-5, rtol=0)
    assert batch.inputs.input_ids[torch.arange(3), batch.read_columns].unique().tolist() == [
        method.backbone.tokenizer.mask_token_id
    ]


def test_label_words_that_nothing_reads_need_not_be_vocabulary_entries() -> None:
    with pytest.raises(ConfigError, match="not one vocabulary entry"):
        topro("bert", verbalizer=None)
    topro("bert", verbalizer=None, read_out="head")


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("bert", {"decompose": False, "template": "{sentence} {word} {mask}"}, "template is .* decompose is false"),
        ("bert", {"decompose": False, "position_marker": "*"}, r"position_marker is '\*', .* decompose is false"),
        ("bert", {"decompose": False, "share_sentence": True}, "share_sentence is True, .* decompose is false"),
        ("bert", {"read_out": "head", "verbalizer": WORDS}, "verbalizer is .* read_out is head"),
        ("bert", {"read_out": "head", "multi_token": "mean"}, "multi_token is 'mean', .* read_out is head"),
        ("bert", {"read_out": "head", "label_lookup": "in_text"}, "label_lookup is 'in_text', .* read_out is head"),
        ("bert", {"prompt_end": "mask"}, "prompt_end is 'mask', must be left out on 'bert', an encoder"),
        ("mt5", {"decompose": False}, "decompose is False, must be left out on 'mt5'"),
        ("mt5", {"label_lookup": "in_text"}, "label_lookup is 'in_text', must be left out on 'mt5'"),
        ("bert", {"head_dropout": 1.0}, "head_dropout is 1.0"),
    ],
)
def test_an_option_without_effect_is_refused(architecture: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topro(architecture, **options)


# Without pretraining


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "mt5"])
def test_an_untrained_backbone_is_drawn_by_the_trials_seed(architecture: str) -> None:
    def weights(**options: Any) -> dict[str, torch.Tensor]:
        return dict(topro(architecture, **options).backbone.named_parameters())

    pretrained, one, again, other = (
        weights(),
        weights(untrained=True, seed=5),
        weights(untrained=True, seed=5),
        weights(untrained=True, seed=6),
    )
    matrices = [name for name, weight in one.items() if weight.dim() == 2]
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], pretrained[name]) for name in matrices)
    assert not any(torch.equal(one[name], other[name]) for name in matrices)
    assert all(not one[name].any() for name in one if name.endswith("bias"))


def test_nothing_is_drawn_where_only_shapes_are_wanted() -> None:
    backbone = backbone_of("bert").to("meta")
    before = torch.get_rng_state()
    draw_weights(backbone)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_untrained_trial_goes_on_from_its_checkpoint_and_leaves_the_next_one_its_pretrained_weights(
    tmp_path: Path,
) -> None:
    folder = folder_of("bert", tmp_path / "model")
    places = Locations(backbone_path=str(folder))

    def trial(**options: Any) -> TrialConfig:
        words = {"A": "the", "B": "cat", "C": "sees"}
        return TrialConfig(
            task=TaskConfig(name="fakes:load_words"),
            backbone=BackboneConfig(name="tiny"),
            method="topro",
            options={"template": SPARE["template"], "verbalizer": words, **options},
            training=TRAINING,
            seed=1,
        )

    def run(config: TrialConfig, name: str, cache: WorkerCache, epochs: int | None = None) -> TrialRun:
        made = TrialRun(config, folder=tmp_path / name, locations=places, cache=cache, tokens_per_step=TOKENS)
        return train(made, epochs=epochs)

    shared = WorkerCache()
    whole = run(trial(untrained=True), "whole", shared)
    run(trial(untrained=True), "cut", shared, epochs=1)
    after = run(trial(), "after", shared)
    assert curve(run(trial(untrained=True), "cut", WorkerCache()).history) == curve(whole.history)
    assert curve(run(trial(), "alone", WorkerCache()).history) == curve(after.history) != curve(whole.history)
