"""PCT: its loss against numbers worked out by hand, and its templates by language."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from multilingual_tasks import batch_of, make, rows_of, task_in, tokens
from tiny_models import backbone_of

from tunekit.errors import ConfigError
from tunekit.methods.parts.cue_words import CUE_WORDS
from tunekit.tasks import PairExample
from tunekit.tasks.classification import PAWSX_LANGUAGES, XNLI_LANGUAGES

CUES = {"en": ["red", "old"], "de": ["now", "here"], "zh": ["猫", "犬"]}
PAIR = PairExample("the cat", "a dog", "N")


def pct(**options: Any) -> Any:
    return make("pct", backbone_of("xlm-roberta"), **{"cue_words": CUES, **options}).eval()


def test_the_loss_is_two_cross_entropies_and_the_mean_of_both_divergences() -> None:
    method = pct(template_languages=["de"], consistency=0.7)
    batch = batch_of(method, count=3)
    first, second = (
        [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in method.logits(rows).tolist()]
        for rows in (batch, method.asked_again(batch))
    )
    expected = 0.0
    for p, q, label in zip(first, second, batch.label_ids.tolist(), strict=True):
        forward = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        backward = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        assert forward != pytest.approx(backward)
        expected += -math.log(p[label]) - math.log(q[label]) + 0.7 * (forward + backward) / 2
    assert method.loss(batch).item() == pytest.approx(expected, abs=1e-4)


def test_the_same_pair_stands_in_the_other_template() -> None:
    method = pct(template_languages=["de"])
    (row,) = rows_of(method, [PAIR])
    assert tokens(method, row) == "<s> ▁the ▁cat <unk> ▁red <unk> ▁a ▁dog <unk> ▁old <unk> <mask> </s>"
    (again,) = method.asked_again(method.collate([row])).inputs.input_ids.tolist()
    shown = " ".join(method.backbone.tokenizer.convert_ids_to_tokens(again))
    assert shown == "<s> ▁the ▁cat <unk> ▁now <unk> ▁a ▁dog <unk> ▁here <unk> <mask> </s>"


def test_each_row_gets_a_language_drawn_by_torchs_generator() -> None:
    method = pct()
    assert method.drawn_languages == ("de", "zh")
    batch = method.collate(rows_of(method, [PAIR] * 40))
    seen = set()
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        ids = method.asked_again(batch).inputs.input_ids
        assert len({tuple(row) for row in ids.tolist()}) == 2
        seen.add(tuple(ids.flatten().tolist()))
    assert len(seen) == 2, "one seed draws the same, another something else"


def test_text_of_a_target_language_is_asked_in_its_own_template_or_in_the_sources() -> None:
    own, source = pct(), pct(inference_template="source")
    assert "▁now" in tokens(own, rows_of(own, [PAIR], "de")[0])
    assert "▁red" in tokens(own, rows_of(own, [PAIR])[0])
    assert "▁red" in tokens(source, rows_of(source, [PAIR], "de")[0])
    assert own.encoding_key() != source.encoding_key()


def test_without_divergence_two_cross_entropies_remain() -> None:
    method = pct(template_languages=["de"], consistency=0.0)
    batch = batch_of(method)
    parts = [
        torch.nn.functional.cross_entropy(method.logits(rows), batch.label_ids, reduction="sum")
        for rows in (batch, method.asked_again(batch))
    ]
    torch.testing.assert_close(method.loss(batch), parts[0] + parts[1])


def test_every_language_of_xnli_and_paws_x_has_cue_words_of_its_own() -> None:
    assert set(CUE_WORDS) == {*XNLI_LANGUAGES, *PAWSX_LANGUAGES}
    assert all(question and answer and question != answer for question, answer in CUE_WORDS.values())


def test_a_task_without_targets_draws_every_known_template() -> None:
    method = make("pct", backbone_of("xlm-roberta"), task=task_in())
    assert set(method.drawn_languages) == set(CUE_WORDS) - {"en"}


def test_a_cut_pair_fits_its_row_in_every_template() -> None:
    method = pct(max_length=16)
    long = [PairExample("the cat " * 20, "a dog sees", "N")]
    for language in (None, "de", "zh"):
        (row,) = rows_of(method, long, language)
        assert row.length == 16
        assert row.truncated
    with pytest.raises(ConfigError, match="max_length is 11, must be at least"):
        pct(max_length=11)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template_languages": ["eu"]}, "no words for 'question' and 'answer' are known in 'eu'; give cue_words"),
        ({"template": "{premise} {hypothesis} {mask}"}, r"has neither \{question\} nor \{answer\}"),
        ({"cue_words": {"de": ["now"]}}, r"cue_words: de is \['now'\], must be two words"),
        ({"consistency": -1.0}, "consistency is -1.0, must be 0 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pct(**options)


def test_a_step_moves_backbone_and_vocabulary_head() -> None:
    method = make("pct", backbone_of("bert"), cue_words=CUES).train()
    method.loss(batch_of(method)).backward()
    assert all(p.grad is not None for p in method.parameters())
