"""Tags that a decoder writes as text: what is learnt, how sequences are searched, and windows within two limits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import backbone_of, examples_of, language_model_of, setting_of, tag_of, task_of

from tunekit.errors import ConfigError
from tunekit.methods.generate_tags import GenerateTags, GenerateTagsConfig, WrittenFeature
from tunekit.methods.parts.beams import Beams
from tunekit.schema import build
from tunekit.tasks import TokenExample

WORDS = {"N": "cat", "V": "unhappily", "X": "now here"}
SENTENCE = TokenExample(("the", "red", "dog", "sees"), ("X", "X", "N", "V"))


def make(architecture: str = "mt5", *, max_length: int = 40, **options: Any) -> GenerateTags:
    given_ = {"prefix": "a", "answer": "{mask} {word} now", "verbalizer": WORDS, **options}
    torch.manual_seed(0)
    setting = setting_of(backbone_of(architecture), task_of("token"), max_length=max_length)
    return GenerateTags(build(GenerateTagsConfig, given_, "test"), setting).eval()


def rows_of(method: GenerateTags, *examples: TokenExample) -> list[WrittenFeature]:
    return [row for rows in method.encode_all(examples) for row in rows]  # type: ignore[misc]


def log_likelihood(row: WrittenFeature, written: tuple[int, ...]) -> float:
    """Of a whole written text, by transformers."""
    with torch.no_grad():
        loss = language_model_of("mt5")(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([written])).loss
    return -float(loss) * len(written)


def test_the_loss_is_the_cross_entropy_of_all_that_is_to_be_written() -> None:
    method = make()
    rows = rows_of(method, *examples_of("token"))  # type: ignore[arg-type]
    expected = -sum(log_likelihood(row, row.target) for row in rows)
    torch.testing.assert_close(method.loss(method.collate(rows)).item(), expected, atol=1e-2, rtol=1e-5)


def test_a_text_ends_with_the_end_of_text_and_without_what_parts_words() -> None:
    method = make()
    (row,) = rows_of(method, SENTENCE)
    decode = method.backbone.tokenizer.decode
    assert decode(row.input_ids) == "a the red dog sees</s>"
    assert decode(row.target) == "now here the now now here red now cat dog now unhappily sees</s>"


@pytest.mark.parametrize("num_beams", [1, 2, 3, 81])
def test_decoding_keeps_the_likeliest_sequences_of_labels(num_beams: int) -> None:
    """Held against a search over explicit sequences, each scored anew by the whole model."""
    method = make(num_beams=num_beams)
    (row,) = rows_of(method, SENTENCE)
    kept: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for place in range(len(row.shown)):
        grown = []
        for total, labels in kept:
            before = tuple(
                token
                for label, word in zip(labels, row.shown[:place], strict=True)
                for token in method._written(label, word)
            )
            base = log_likelihood(row, before) if before else 0.0
            scores = torch.tensor([log_likelihood(row, before + string) - base for string in method.strings])
            grown += [
                (total + float(score), (*labels, label)) for label, score in enumerate(scores.double().log_softmax(-1))
            ]
        kept = sorted(grown, reverse=True)[:num_beams]
    assert method.predict(method.collate([row])) == [list(kept[0][1])]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_rows_are_tagged_alike_alone_together_and_a_few_at_a_time(num_beams: int) -> None:
    method = make(num_beams=num_beams)
    rows = rows_of(method, *examples_of("token"))  # type: ignore[arg-type]
    together = method.predict(method.collate(rows))
    assert [method.predict(method.collate([row]))[0] for row in rows] == together
    method.tokens_per_step = 1
    assert method.predict(method.collate(rows)) == together


def test_one_beam_answers_with_the_likeliest_label_at_each_word() -> None:
    method = make(num_beams=1)
    batch = method.collate(rows_of(method, *examples_of("token")))  # type: ignore[arg-type]
    with torch.no_grad():
        likeliest = method.logits(batch).argmax(-1).tolist()
    assert [label for labels in method.predict(batch) for label in labels] == likeliest


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_word_is_answered_once_in_a_row_within_both_limits(data: Any) -> None:
    method = _LIMITED.setdefault("one", make(max_length=14, target_length=30))
    chosen = data.draw(st.lists(st.sampled_from(["cat", "unhappily", "猫", "houses", "the"]), min_size=1, max_size=25))
    example = TokenExample(tuple(chosen), tuple(map(tag_of, chosen)))
    rows = rows_of(method, example)
    assert sorted(word for row in rows for word in row.words) == list(range(len(chosen)))
    assert all(len(row.input_ids) <= 14 and len(row.target) <= 30 for row in rows)


_LIMITED: dict[str, GenerateTags] = {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0, must be at least 1"),
        ({"target_length": 8}, "target_length is 8, must be at least 16"),
        (
            {"target_length": 16, "verbalizer": {**WORDS, "N": "unhappily " * 4}},
            "target_length is 16, must be at least",
        ),
        ({"max_length": 8, "prefix": "the cat sees a red house"}, "max_length is 8, must be at least"),
        ({"answer": "{word} {mask}"}, "in the order mask, word"),
        ({"answer": "{mask}"}, r"lacks \{word\}"),
        ({"verbalizer": None}, "cannot write 'N' for N"),
        ({"verbalizer": {"N": "cat", "V": "sees"}}, "verbalizer: each of N, V, X needs a word"),
    ],
)
def test_an_option_that_cannot_work_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


@pytest.mark.parametrize("architecture", ["bert", "xglm"])
def test_only_an_encoder_decoder_writes(architecture: str) -> None:
    with pytest.raises(ConfigError, match="generate_tags serves encoder-decoder backbones"):
        make(architecture)


# Beams alone


@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_beams_grow_as_an_exhaustive_list_would_that_is_cut_after_each_word(num_beams: int) -> None:
    generator = torch.Generator().manual_seed(num_beams)
    lengths, num_labels = (4, 3, 3, 1), 3
    tables = [
        {labels: torch.randn(num_labels, generator=generator) for n in range(size) for labels in _all(num_labels, n)}
        for size in lengths
    ]
    beams = Beams(len(lengths), num_beams)
    histories: list[list[tuple[int, ...]]] = [[()] for _ in lengths]
    for place in range(max(lengths)):
        left = sum(size > place for size in lengths)
        assert beams.keep(left) == sum(len(each) for each in histories[:left])
        asked = [labels for each in histories[:left] for labels in each]
        scores = torch.stack([tables[row][labels] for row, each in enumerate(histories[:left]) for labels in each])
        parents = beams.grow(scores).tolist()
        last = beams.last_labels()
        grown = [(*asked[parent], label) for parent, label in zip(parents, itertools.chain(*last), strict=True)]
        size = len(grown) // left
        histories[:left] = [grown[row * size : (row + 1) * size] for row in range(left)]
    beams.keep(0)
    for row, (labels, scores) in enumerate(beams.best):
        kept = [(0.0, ())]
        for _ in range(lengths[row]):
            grown_ = [
                (total + float(value), (*labels_, label))
                for total, labels_ in kept
                for label, value in enumerate(tables[row][labels_].log_softmax(-1))
            ]
            kept = sorted(grown_, reverse=True)[:num_beams]
        assert tuple(labels.tolist()) == kept[0][1]
        assert float(scores[range(lengths[row]), labels].sum()) == pytest.approx(kept[0][0], abs=1e-5)


def _all(num_labels: int, size: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(num_labels), repeat=size))
