"""Cloze questions: templates, verbalizers, and how both are written in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tiny_models import TAGS, backbone_of, examples_of, language_model_of, setting_of, task_of, tokenizer_of

from tunekit.errors import ConfigError
from tunekit.methods.parts.cloze import ClozeMethod, Template, Verbalizer, Writer, label_strings
from tunekit.tasks import PairExample

WORDS = {"N": "cat", "V": "sees", "X": "here"}
PAIR = "{premise} . {hypothesis} ? {mask}"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a cloze method must be told."""

    template: str | None = None
    verbalizer: dict[str, str] | None = None
    multi_token: str = "refuse"


class PairCloze(ClozeMethod):
    """The plainest cloze method, for pairs."""

    Config: ClassVar[type] = Config
    kinds: ClassVar[frozenset[str]] = frozenset({"pair"})

    def default_template(self) -> str:
        return PAIR

    def default_words(self) -> dict[str, str]:
        return WORDS


class SoftCloze(PairCloze):
    """One whose template has two soft-prompt positions."""

    soft_prompt_length = 2

    def default_template(self) -> str:
        return "{premise} {prompt} {hypothesis} {mask}"


def method(cls: type[ClozeMethod] = PairCloze, architecture: str = "xlm-roberta", **options: Any) -> Any:
    max_length = options.pop("max_length", 40)
    return cls(
        Config(**options),
        setting_of(options.pop("backbone", None) or backbone_of(architecture), task_of("pair"), max_length=max_length),
    ).eval()


def written(template: str, architecture: str = "xlm-roberta", **texts: str) -> list[str]:
    """The pieces of a row."""
    tokenizer = tokenizer_of(architecture)
    writer = Writer(Template(template), tokenizer, has_segments=True, prompt_length=2)
    fillings = {slot: writer.texts([text], slot)[0] for slot, text in texts.items()}
    return list(tokenizer.convert_ids_to_tokens(list(writer.write(fillings).input_ids)))


# Templates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{sentence} {word}", r"has no \{mask\}, the place where the answer is read"),
        ("{sentense} {mask}", r"unknown slot \{sentense\} at character 1; did you mean 'sentence'"),
        ("{word} | {mask} {wrod}", r"unknown slot \{wrod\} at character 17; did you mean 'word'"),
        ("{mask} {mask}", r"\{mask\} stands there twice"),
        ("{word {mask}", r"'\{' at character 1 has no counterpart"),
        ("word} {mask}", r"'\}' at character 5 has no counterpart"),
        ("a | b | {mask}", "a second '|' at character 7"),
        ("| {mask}", "nothing stands on one side of '|'"),
    ],
)
def test_a_template_that_cannot_be_asked_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Template(text)


def test_a_template_lacking_a_text_of_its_task_or_showing_a_foreign_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lacks \{hypothesis\}, the second text of a pair"):
        method(template="{premise} {mask}")
    with pytest.raises(
        ConfigError, match=r"\{word\}, the word that is asked about, has no place here; use \{premise\}"
    ):
        method(template="{premise} {hypothesis} {word} {mask}")
    with pytest.raises(ConfigError, match=r"\{prompt\}, the run of soft-prompt positions, has no place here"):
        method(template="{premise} {hypothesis} {prompt} {mask}")


def test_a_text_pair_takes_the_tokenizers_own_form() -> None:
    texts = {"premise": "the cat", "hypothesis": "a dog"}
    assert written("{premise} | {hypothesis} {mask}", **texts) == [
        *("<s>", "▁the", "▁cat", "</s>", "</s>", "▁a", "▁dog", "<mask>", "</s>"),
    ]
    assert written("{premise} {hypothesis} {mask}", "bert", **texts) == [
        "<s>",
        "the",
        "cat",
        "a",
        "dog",
        "<mask>",
        "</s>",
    ]


def test_a_literal_goes_on_directly_only_where_no_white_space_stands() -> None:
    assert written("{premise} ly {mask}", premise="red")[1:-2] == ["▁red", "▁", "ly"]
    assert written("{premise}ly {mask}", premise="red")[1:-2] == ["▁red", "ly"]
    assert written("{premise} red{mask}", premise="red") == ["<s>", "▁red", "▁red", "<mask>", "</s>"]


def test_segments_tell_the_two_texts_apart_where_the_tokenizer_does() -> None:
    tokenizer = tokenizer_of("bert")
    fillings = {"premise": (5, 6), "hypothesis": (7,)}
    row = Writer(Template("{premise} | {hypothesis} {mask}"), tokenizer, has_segments=True).write(fillings)
    assert row.token_type_ids == (0, 0, 0, 0, 1, 1, 1)
    assert row.input_ids[row.mask] == tokenizer.mask_token_id
    plain = Writer(Template("{premise} | {hypothesis} {mask}"), tokenizer, has_segments=False).write(fillings)
    assert plain.token_type_ids is None


def test_the_columns_of_mask_and_soft_prompt_are_where_they_stand() -> None:
    writer = Writer(
        Template("{premise} {prompt} {mask} here"), tokenizer_of("bert"), has_segments=True, prompt_length=3
    )
    row = writer.write({"premise": (5, 6)})
    assert (row.prompt, row.mask, len(row.input_ids)) == ((3, 4, 5), 6, 9)
    assert writer.overhead == 7


def test_for_a_decoder_the_text_ends_before_the_mask() -> None:
    tokenizer = tokenizer_of("bloom")
    writer = Writer(Template("{premise} likes {mask} now"), tokenizer, has_segments=False, mask="end")
    row = writer.write({"premise": writer.texts(["the cat"], "premise")[0]})
    assert tokenizer.decode(list(row.input_ids)) == "the cat likes"
    assert row.mask == len(row.input_ids) - 1


# Verbalizers


def test_a_label_word_is_the_vocabulary_entry_it_has_inside_of_a_text() -> None:
    for architecture, written_as in (("xlm-roberta", "▁cat"), ("bert", "cat"), ("bloom", "Ġcat")):
        tokenizer = tokenizer_of(architecture)
        found = Verbalizer(WORDS, TAGS, tokenizer)
        assert tokenizer.convert_ids_to_tokens(found.token_ids[0]) == written_as


def test_white_space_of_its_own_does_not_count_as_a_piece() -> None:
    tokenizer = tokenizer_of("xlm-roberta")
    assert tokenizer.tokenize("猫") == ["▁", "猫"]
    found = Verbalizer({"N": "猫", "V": "犬"}, ("V", "N"), tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(found.token_ids)) == ["犬", "猫"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"N": "cat", "V": "sees"}, "no word for X; each of the task's 3 needs one"),
        ({**WORDS, "Y": "red"}, "'Y' is not a label of the task"),
        ({**WORDS, "X": " cat"}, "N and X are both 'cat'"),
        ({**WORDS, "X": " "}, "the word for X is empty"),
        ({**WORDS, "X": "unhappily"}, r"'unhappily' for X \(▁un happi ly.*multi_token: mean"),
        ({**WORDS, "X": "reds"}, r"'reds' for X \(▁red s, near it 'red'\)"),
        ({**WORDS, "V": "cats", "X": "dogs"}, "'cats' for V .*; 'dogs' for X"),
        ({**WORDS, "X": "ж"}, r"'ж' for X \(<unk>\); .*`verbalizer: \{label: word\}`$"),
    ],
)
def test_a_verbalizer_that_cannot_tell_the_labels_apart_is_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Verbalizer(words, TAGS, tokenizer_of("xlm-roberta"))


def test_without_a_tokenizer_only_the_labels_are_checked() -> None:
    assert Verbalizer({**WORDS, "X": "unhappily"}, TAGS, None).token_ids == ()
    with pytest.raises(ConfigError, match="no word for X"):
        Verbalizer({"N": "cat", "V": "sees"}, TAGS, None)


def test_a_word_of_several_pieces_scores_the_mean_of_them_if_asked() -> None:
    tokenizer = tokenizer_of("xlm-roberta")
    found = Verbalizer({**WORDS, "X": "unhappily"}, TAGS, tokenizer, "mean")
    assert tokenizer.convert_ids_to_tokens(list(found.token_ids)) == ["▁cat", "▁sees", "▁un", "happi", "ly"]
    logits = found.logits(torch.tensor([[1.0, 2.0, 3.0, 4.0, 8.0]]))
    torch.testing.assert_close(logits, torch.tensor([[1.0, 2.0, 5.0]]))


def test_label_strings_may_have_any_number_of_pieces_and_end() -> None:
    tokenizer = tokenizer_of("xglm")
    strings = label_strings({**WORDS, "X": "unhappily"}, TAGS, tokenizer)
    assert [tokenizer.convert_ids_to_tokens(list(s)) for s in strings] == [
        ["▁cat", "</s>"],
        ["▁sees", "</s>"],
        ["▁un", "happi", "ly", "</s>"],
    ]


# The method


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_the_scores_are_the_language_models_own_at_the_mask(architecture: str) -> None:
    asked, whole = method(architecture=architecture), language_model_of(architecture)
    batch = asked.collate([row for rows in asked.encode_all(examples_of("pair")) for row in rows])
    inputs = batch.inputs
    types = {} if inputs.token_type_ids is None else {"token_type_ids": inputs.token_type_ids}
    with torch.no_grad():
        logits = whole(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, **types).logits
        is_mask = inputs.input_ids == asked.backbone.tokenizer.mask_token_id
        assert is_mask.sum(1).tolist() == [1] * 8
        expected = logits[is_mask][:, list(asked.verbalizer.token_ids)]
        torch.testing.assert_close(asked.logits(batch), expected, atol=1e-5, rtol=0)


def test_backbone_and_vocabulary_head_are_trained_together() -> None:
    asked = method()
    batch = asked.collate(asked.encode(examples_of("pair")[0]))
    asked.train().loss(batch).backward()
    assert all(p.requires_grad and p.grad is not None for p in asked.backbone.vocabulary_head.parameters())


def test_the_longer_text_of_a_pair_is_cut_and_the_mask_never_is() -> None:
    asked = method(max_length=12)
    ((row,),) = asked.encode_all([PairExample("the cat sees a red house now here", "a dog", "N")])
    assert (row.length, row.truncated) == (12, True)
    assert row.input_ids[row.reads[0][0]] == asked.backbone.tokenizer.mask_token_id
    ((row,),) = asked.encode_all([PairExample("the cat", "a dog", "N")])
    assert not row.truncated


def test_a_template_that_leaves_no_room_for_text_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"max_length is 8, must be at least 15: the template .* takes 11 tokens itself"
    ):
        method(template="{premise} the old red house {hypothesis} now here {mask} .", max_length=8)


def test_soft_prompt_positions_are_kept_free_and_counted() -> None:
    asked = method(SoftCloze)
    (row,) = asked.encode(PairExample("the cat", "a dog", "N"))
    assert (row.prompt, row.length) == ((3, 4), 9)


def test_a_backbone_without_a_vocabulary_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="'xlm-roberta' comes without the vocabulary head"):
        PairCloze(
            Config(),
            setting_of(backbone_of("xlm-roberta", has_head=False), task_of("pair"), max_length=40, word_piece="first"),
        )
