"""Soft prompting: where prompt and mask stand, what is computed there, and what is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from multilingual_tasks import TARGETS, WORDS, batch_of, make, rows_of, task_in, tokens
from tiny_models import TAGS, backbone_of, examples_of
from torch import nn

from tunekit.errors import ConfigError
from tunekit.methods import count_parameters
from tunekit.methods.parts.prompt_encoder import PromptEncoder
from tunekit.methods.soft_prompt import without_final_punctuation
from tunekit.registry import lookup
from tunekit.schema import build
from tunekit.tasks import PairExample, TokenExample, load
from tunekit.trial import Locations, TaskConfig

ENCODERS = pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
PAIR = PairExample("the cat", "a dog", "N")


def test_prompt_and_mask_stand_where_the_template_says() -> None:
    method = make("soft_prompt", backbone_of("xlm-roberta"), prompt_length=3)
    (row,) = rows_of(method, [PAIR])
    assert tokens(method, row) == "<s> ▁the ▁cat ▁ <unk> ▁a ▁dog ▁ <unk> <unk> <unk> <unk> <mask> ▁ <unk> </s>"
    assert row.prompt == (9, 10, 11)
    assert row.reads == ((12,),)
    assert batch_of(method).prompt_columns.shape == (8, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat.", "the cat"),
        ("the cat?! ", "the cat"),
        ("the cat ...", "the cat"),
        ("the (cat)", "the (cat"),
        ("...", "..."),
        ("猫。", "猫。"),
        ("the. cat", "the. cat"),
    ],
)
def test_only_ascii_punctuation_at_the_end_of_a_text_is_taken_off(text: str, expected: str) -> None:
    assert without_final_punctuation(text) == expected


@pytest.mark.parametrize("name", ["soft_prompt", "mpt"])
def test_the_published_prompt_is_written_sign_for_sign(name: str) -> None:
    method = make(name, backbone_of("xlm-roberta"))
    assert method.template.text == "{premise} . {hypothesis} ? {prompt} {mask} ."
    assert method.soft_prompt_length == 4
    assert [method.shown(text) for text in ("Is it so?", "So it is.")] == ["Is it so", "So it is"]
    bare, stopped = (
        rows_of(method, [PairExample(f"the cat{end}", f"a dog{end}", "N")])
        for end in (
            "",
            ".",
        )
    )
    assert bare == stopped
    kept = make(name, backbone_of("xlm-roberta"), strip_punctuation=False)
    assert rows_of(kept, [PairExample("the cat.", "a dog.", "N")]) != bare
    assert kept.encoding_key() != method.encoding_key()


def test_the_published_words_and_rate_are_the_defaults() -> None:
    assert lookup("method", "soft_prompt").training_defaults() == {"schedule": "constant"}
    assert lookup("method", "pct").training_defaults() == {"warmup_fraction": 0.1, "final_rate_fraction": 0.1}
    assert lookup("method", "finetune").training_defaults() == {}


@ENCODERS
def test_the_prompt_replaces_the_word_embeddings_of_its_positions_and_nothing_else(architecture: str) -> None:
    backbone = backbone_of(architecture)
    method = make("soft_prompt", backbone, prompt_length=2).eval()
    batch = batch_of(method, count=3)
    inputs: Any = batch.inputs
    body: Any = backbone.model
    embedded = body.embeddings.word_embeddings(inputs.input_ids).clone()
    prompt = method.prompt()
    for row, columns in enumerate(batch.prompt_columns.tolist()):
        for place, column in enumerate(columns):
            embedded[row, column] = prompt[place]
    segments = {} if inputs.token_type_ids is None else {"token_type_ids": inputs.token_type_ids}
    hidden = body(inputs_embeds=embedded, attention_mask=inputs.attention_mask, **segments).last_hidden_state
    at_masks = hidden[batch.read_rows, batch.read_columns]
    everything = backbone.vocabulary_logits(at_masks, torch.arange(len(backbone.tokenizer)))
    (pieces,) = [backbone.tokenizer(f"{' '.join(WORDS.values())}", add_special_tokens=False)["input_ids"]]
    torch.testing.assert_close(method.logits(batch), everything[:, pieces], atol=1e-5, rtol=0)


def test_the_prompt_encoder_is_a_bidirectional_lstm_and_a_perceptron() -> None:
    torch.manual_seed(0)
    made = PromptEncoder("lstm", 4, 6)
    first, second = made.project[0], made.project[2]
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    assert made.lstm is not None
    assert (first.in_features, first.out_features, second.out_features) == (12, 6, 6)
    states = torch.zeros(4, 12)
    for direction, suffix in ((0, ""), (1, "_reverse")):
        cell = nn.LSTMCell(6, 6)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data = getattr(made.lstm, f"{name}_l0{suffix}").data
        hidden = (torch.zeros(6), torch.zeros(6))
        for place in range(4)[:: -1 if direction else 1]:
            hidden = cell(made.tokens[place], hidden)
            states[place, 6 * direction : 6 * direction + 6] = hidden[0]
    expected = (states @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    torch.testing.assert_close(made(), expected)


def test_plain_embeddings_are_the_prompt_themselves() -> None:
    method = make("soft_prompt", backbone_of("bert"), prompt_encoder="embedding", prompt_length=5)
    assert method.prompt() is method.prompt.tokens
    assert count_parameters(method).groups["prompt"] == 5 * 32


@pytest.mark.parametrize("name", ["soft_prompt", "mpt"])
def test_an_option_decides_whether_the_backbone_is_trained(name: str) -> None:
    cls, backbone = lookup("method", name), backbone_of("xlm-roberta")
    assert cls.trains(build(cls.Config, {}, name))
    assert not cls.trains(build(cls.Config, {"freeze_backbone": True}, name))
    make(name, backbone)
    assert all(p.requires_grad for p in backbone.parameters())
    method = make(name, backbone, freeze_backbone=True)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert (
        set(count_parameters(method).groups)
        == {
            "soft_prompt": {"prompt"},
            "mpt": {"prompt", "translators"},
        }[name]
    )


@pytest.mark.parametrize("encoder", ["lstm", "embedding"])
def test_a_gradient_reaches_every_part_of_a_prompt_before_a_frozen_backbone(encoder: str) -> None:
    method = make("soft_prompt", backbone_of("xlm-roberta"), prompt_encoder=encoder, freeze_backbone=True)
    method.loss(batch_of(method)).backward()
    for name, parameter in method.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert moved == name.startswith("prompt."), name


def test_text_of_some_languages_can_have_words_of_its_own() -> None:
    backbone = backbone_of("xlm-roberta")
    german = {"N": "red", "V": "old", "X": "now"}
    method = make("soft_prompt", backbone, verbalizers={"de": german}).eval()
    plain = make("soft_prompt", backbone).eval()
    other = make("soft_prompt", backbone, verbalizer=german).eval()
    with torch.no_grad():
        assert torch.equal(method.logits(batch_of(method)), plain.logits(batch_of(plain)))
        assert torch.equal(method.logits(batch_of(method, "zh")), plain.logits(batch_of(plain)))
        assert torch.equal(method.logits(batch_of(method, "de")), other.logits(batch_of(other)))
        mixed = [row for language in ("de", None, "zh") for row in rows_of(method, examples_of("pair")[:2], language)]
        found = method.logits(method.collate(mixed))
        alone = [method.logits(method.collate([row])) for row in mixed]
    torch.testing.assert_close(found, torch.cat(alone), atol=1e-5, rtol=0)


def test_words_of_a_language_that_the_task_does_not_have_or_that_fail_are_named() -> None:
    with pytest.raises(ConfigError, match="verbalizers: 'fr' is no language of the task"):
        make("soft_prompt", backbone_of("bert"), verbalizers={"fr": WORDS})
    with pytest.raises(ConfigError, match=r"verbalizers: de: .*no word for X"):
        make("soft_prompt", backbone_of("bert"), verbalizers={"de": {"N": "cat", "V": "dog"}})


def test_a_text_in_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'fr' is no language of the task; .*valid: de, en, zh"):
        batch_of(make("soft_prompt", backbone_of("bert")), "fr")


def test_xnli_and_paws_x_have_words_and_other_labels_need_them() -> None:
    from tunekit.backbone import describe
    from tunekit.trial import BackboneConfig

    backbone = describe(BackboneConfig(name="xlm-roberta-base"), Locations())
    xnli, pawsx = (load(TaskConfig(name=name), Locations()) for name in ("xnli", "pawsx"))
    assert make("soft_prompt", backbone, task=xnli, verbalizer=None).verbalizer.words == {
        "contradiction": "wrong",
        "entailment": "right",
        "neutral": "maybe",
    }
    assert make("soft_prompt", backbone, task=pawsx, verbalizer=None).verbalizer.words == {"0": "wrong", "1": "right"}
    with pytest.raises(ConfigError, match=r"no words are known for the labels N, V, X; give each one"):
        make("soft_prompt", backbone, verbalizer=None)


@pytest.mark.parametrize("name", ["soft_prompt", "pct", "mpt"])
def test_two_labels_are_as_good_as_three(name: str) -> None:
    words = {"0": "cat", "1": "dog"}
    method = make(name, backbone_of("bert"), task=task_in(*TARGETS, labels=("0", "1")), verbalizer=words)
    batch = method.collate(rows_of(method, [PairExample("the cat", "a dog", label) for label in ("0", "1")]))
    assert method.logits(batch).shape == (2, 2)
    assert method.loss(batch).isfinite()


def test_a_tagging_task_gets_a_row_a_word_with_the_prompt_before_the_mask() -> None:
    method = make("soft_prompt", backbone_of("xlm-roberta"), task=task_in(kind="token"), prompt_length=2)
    sentence = TokenExample(("the", "cat"), ("X", "N"))
    first, second = rows_of(method, [sentence])
    assert (first.words, second.words) == ((0,), (1,))
    assert tokens(method, second).startswith("<s> ▁the ▁cat </s> </s>")
    ((mask,),) = second.reads
    assert second.prompt == (mask - 2, mask - 1)
    batch = method.collate([first, second])
    assert method.loss(batch).isfinite()
    answer = method.decode(sentence, list(zip([first, second], method.eval().predict(batch), strict=True)))
    assert len(answer) == 2
    assert set(answer) <= set(TAGS)


def test_pcts_templates_ask_about_a_pair_so_it_refuses_tagging() -> None:
    with pytest.raises(ConfigError, match="pct serves pair tasks; 'tiny' is a token task"):
        make("pct", backbone_of("bert"), task=task_in(kind="token"))


@pytest.mark.parametrize("name", ["soft_prompt", "pct", "mpt"])
@pytest.mark.parametrize("architecture", ["xglm", "bloom", "mt5"])
def test_a_backbone_that_fills_no_masks_is_refused(name: str, architecture: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} serves encoder backbones"):
        make(name, backbone_of(architecture))


def test_a_template_without_its_slots_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lacks \{prompt\}"):
        make("soft_prompt", backbone_of("bert"), template="{premise} {hypothesis} {mask}")
    with pytest.raises(ConfigError, match="prompt_length is 0, must be at least 1"):
        make("soft_prompt", backbone_of("bert"), prompt_length=0)
