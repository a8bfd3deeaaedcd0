"""PCT: its loss against numbers worked out from logits, its published prompts, and which language a row gets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from multilingual_tasks import batch_of, make, rows_of, task_in, tokens
from tiny_models import backbone_of, examples_of

from tunekit.errors import ConfigError
from tunekit.methods.parts.cue_words import CUE_WORDS, PARAPHRASE, PUBLISHED
from tunekit.methods.pct import XLM_R_WORDS
from tunekit.tasks import PairExample
from tunekit.tasks.classification import PAWSX_LANGUAGES, XNLI_LANGUAGES

CUES = {"en": ["red", "old"], "de": ["now", "here"], "zh": ["猫", "犬"]}
PAIR = PairExample("the cat", "a dog", "N")
OURS = "{premise}. {question}: {hypothesis}? {answer}: {mask}"
PUBLISHED_QUESTIONS = {
    "en": "question:HYPOTHESIS? Answer:<mask>",
    "zh": "问题:HYPOTHESIS? 答案:<mask>",
    "fr": "question:HYPOTHESIS? réponse:<mask>",
    "es": "pregunta:HYPOTHESIS? Respuesta:<mask>",
    "de": "frage:HYPOTHESIS? Antwort:<mask>",
    "el": "ερώτηση:HYPOTHESIS? Απάντηση:<mask>",
    "bg": "въпрос: HYPOTHESIS? Отговор:<mask>",
    "ru": "вопрос:HYPOTHESIS? Ответ:<mask>",
    "tr": "soru:HYPOTHESIS? Cevap:<mask>",
    "vi": "câu hỏi:HYPOTHESIS? Trả lời:<mask>",
    "th": "คำถาม:HYPOTHESIS? คำตอบ:<mask>",
    "hi": "प्रश्न:HYPOTHESIS? उत्तर:<mask>",
    "sw": "swali: HYPOTHESIS? Jibu: <mask>",
    "ur": "<mask>:سوال: HYPOTHESIS؟ جواب",
    "ar": "<mask>:سؤال:HYPOTHESIS؟ الجواب",
}
"""Second text by language; the first is the premise."""
PUBLISHED_PARAPHRASES = {
    "en": "Question:HYPOTHESIS paraphrase or not? Answer:<mask>",
    "zh": "问题：HYPOTHESIS 是否转述? 答案：<mask>",
    "fr": "Question:HYPOTHESIS paraphrase ou pas? Réponse:<mask>",
    "es": "Pregunta: HYPOTHESIS ¿parafrasear o no? Respuesta: <mask>",
    "de": "Frage:HYPOTHESIS paraphrasieren oder nicht? Antwort:<mask>",
    "ja": "質問：HYPOTHESIS言い換えるかどうか?回答：<mask>",
    "ko": "질문:HYPOTHESIS 의역 여부는? 답:<mask>",
}
"""The same for PAWS-X."""


def pct(**options: Any) -> Any:
    given = {"cue_words": CUES, "template_languages": ["de", "zh"], "max_length": 60, **options}
    return make("pct", backbone_of("xlm-roberta"), **given).eval()


def shown(method: Any, ids: Any) -> str:
    return " ".join(method.backbone.tokenizer.convert_ids_to_tokens(list(ids)))


def whole_scores(method: Any, batch: Any) -> torch.Tensor:
    """The score of every entry of the vocabulary at the mask [N, V], by the model's own head."""
    states = method.states(batch)
    return method.backbone.vocabulary_logits(states, torch.arange(method.backbone.vocabulary.embeddings.shape[0]))


@pytest.mark.parametrize(("divergence", "share"), [("sum", 1.0), ("half", 0.5)])
def test_the_loss_is_two_cross_entropies_and_both_divergences_over_the_whole_vocabulary(
    divergence: str, share: float
) -> None:
    method = pct(template_languages=["de"], consistency=0.7, divergence=divergence)
    batch = batch_of(method, count=3)
    first, second = (whole_scores(method, rows).log_softmax(-1) for rows in (batch, method.asked_again(batch)))
    gold = [method.verbalizer.token_ids[label] for label in batch.label_ids.tolist()]
    expected = 0.0
    for p, q, entry in zip(first.double(), second.double(), gold, strict=True):
        forward = (p.exp() * (p - q)).sum().item()
        backward = (q.exp() * (q - p)).sum().item()
        assert forward != pytest.approx(backward)
        expected += -p[entry].item() - q[entry].item() + 0.7 * share * (forward + backward)
    assert method.loss(batch).item() == pytest.approx(expected, abs=1e-3)


def test_over_label_words_the_loss_is_the_same_formula_over_their_scores_alone() -> None:
    method = pct(template_languages=["de"], consistency=0.7, divergence="half", distribution="label_words")
    batch = batch_of(method, count=3)
    first, second = (
        [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in method.logits(rows).tolist()]
        for rows in (batch, method.asked_again(batch))
    )
    expected = 0.0
    for p, q, label in zip(first, second, batch.label_ids.tolist(), strict=True):
        forward = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        backward = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        expected += -math.log(p[label]) - math.log(q[label]) + 0.7 * (forward + backward) / 2
    assert method.loss(batch).item() == pytest.approx(expected, abs=1e-4)


def test_the_published_loss_and_ours_differ() -> None:
    batches = [pct(template_languages=["de"], distribution=name) for name in ("vocabulary", "label_words")]
    found = [method.loss(batch_of(method, count=3)).item() for method in batches]
    assert abs(found[0] - found[1]) > 0.1


@pytest.mark.parametrize("language", PUBLISHED)
def test_the_published_prompt_of_each_language_is_written_sign_for_sign(language: str) -> None:
    method = make("pct", backbone_of("xlm-roberta"), verbalizer={"N": "cat", "V": "dog", "X": "house"})
    template = method.writers[language].template.text
    assert template.replace("{hypothesis}", "HYPOTHESIS").replace("{mask}", "<mask>") == (
        f"{{premise}} | {PUBLISHED_QUESTIONS[language]}"
    )


def paraphrases(**options: Any) -> Any:
    """PCT on a task with the labels of PAWS-X."""
    given = {"verbalizer": {"0": "cat", "1": "dog"}, **options}
    return make("pct", backbone_of("xlm-roberta"), task=task_in("de", "ja", labels=("0", "1")), **given)


@pytest.mark.parametrize("language", PARAPHRASE)
def test_the_published_prompt_of_paws_x_is_written_sign_for_sign(language: str) -> None:
    method = paraphrases()
    template = method.writers[language].template.text
    assert template.replace("{hypothesis}", "HYPOTHESIS").replace("{mask}", "<mask>") == (
        f"{{premise}} | {PUBLISHED_PARAPHRASES[language]}"
    )
    assert set(method.drawn_languages) == set(PAWSX_LANGUAGES) - {"en"}


def test_a_template_or_cue_words_of_ones_own_come_before_the_published_ones_of_paws_x() -> None:
    texts = {name: writer.template.text for name, writer in paraphrases(template=OURS).writers.items()}
    assert texts["en"] == "{premise}. question: {hypothesis}? Answer: {mask}" and "it" not in texts
    cues = {
        name: writer.template.text for name, writer in paraphrases(cue_words={"de": ["now", "here"]}).writers.items()
    }
    assert cues["de"] == "{premise} | now:{hypothesis}? here:{mask}" and cues["en"] == PARAPHRASE["en"]
    more = paraphrases(cue_words={"eu": ["now", "here"]})
    assert "eu" in more.drawn_languages and set(more.writers) == {*PARAPHRASE, "eu"}


def test_premise_and_question_are_two_texts_and_no_full_stop_is_added() -> None:
    method = pct()
    (row,) = rows_of(method, [PairExample("the cat.", "a dog.", "N")])
    expected = "<s> ▁the ▁cat <unk> </s> </s> ▁red <unk> a ▁dog <unk> <unk> ▁old <unk> <mask> </s>"
    assert tokens(method, row) == expected, "the hypothesis keeps its full stop, and the question mark follows"


def test_the_same_pair_stands_in_the_other_template() -> None:
    method = pct(template_languages=["de"])
    (again,) = method.asked_again(method.collate(rows_of(method, [PAIR]))).inputs.input_ids.tolist()
    assert shown(method, again) == "<s> ▁the ▁cat </s> </s> ▁now <unk> a ▁dog <unk> ▁here <unk> <mask> </s>"


def test_our_own_template_is_an_option() -> None:
    method = pct(template=OURS)
    (row,) = rows_of(method, [PAIR])
    assert tokens(method, row) == "<s> ▁the ▁cat <unk> ▁red <unk> ▁a ▁dog <unk> ▁old <unk> <mask> </s>"


def test_a_row_keeps_its_language_and_another_seed_gives_others() -> None:
    pairs = [PairExample(f"the cat {number}", "a dog", "N") for number in range(40)]
    drawn = []
    for seed in (1, 1, 2):
        method = pct(seed=seed)
        batch = method.collate(rows_of(method, pairs))
        first, again = (method.asked_again(batch).inputs.input_ids.tolist() for _ in range(2))
        assert first == again, "seen again, the same"
        drawn.append(method._drawn(pairs))
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) == {0, 1}


def test_drawn_each_time_the_language_comes_from_torchs_generator() -> None:
    method = pct(template_language="each_time")
    batch = method.collate(rows_of(method, [PAIR] * 40))
    seen = set()
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        ids = method.asked_again(batch).inputs.input_ids
        assert len({tuple(row) for row in ids.tolist()}) == 2
        seen.add(tuple(ids.flatten().tolist()))
    assert len(seen) == 2, "one seed draws the same, another something else"


def test_all_published_languages_but_the_source_are_drawn_unless_some_are_named() -> None:
    backbone = backbone_of("xlm-roberta")
    for task in (task_in(), task_in("de", "zh")):
        assert set(make("pct", backbone, task=task).drawn_languages) == set(XNLI_LANGUAGES) - {"en"}
    assert make("pct", backbone, template_languages=["zh"]).drawn_languages == ("zh",)
    assert "eu" in make("pct", backbone, cue_words={"eu": ["a", "the"]}).drawn_languages


def test_text_of_a_target_language_is_asked_in_the_sources_template_or_in_its_own() -> None:
    source, own = pct(), pct(inference_template="own")
    assert "▁red" in tokens(source, rows_of(source, [PAIR], "de")[0])
    assert "▁now" in tokens(own, rows_of(own, [PAIR], "de")[0])
    assert "▁red" in tokens(own, rows_of(own, [PAIR])[0])
    assert own.encoding_key() != source.encoding_key()


def test_without_divergence_two_cross_entropies_remain() -> None:
    method = pct(template_languages=["de"], consistency=0.0)
    batch = batch_of(method)
    gold = torch.tensor(method.verbalizer.token_ids)[batch.label_ids]
    parts = [
        torch.nn.functional.cross_entropy(whole_scores(method, rows), gold, reduction="sum")
        for rows in (batch, method.asked_again(batch))
    ]
    torch.testing.assert_close(method.loss(batch), parts[0] + parts[1])


def test_every_language_of_xnli_and_paws_x_has_cue_words_of_its_own() -> None:
    assert set(CUE_WORDS) == {*XNLI_LANGUAGES, *PAWSX_LANGUAGES}
    assert set(PUBLISHED) == set(XNLI_LANGUAGES) == set(PUBLISHED_QUESTIONS)
    assert set(PARAPHRASE) == set(PAWSX_LANGUAGES) == set(PUBLISHED_PARAPHRASES)
    assert all(question and answer and question != answer for question, answer in CUE_WORDS.values())


def test_a_cut_pair_fits_its_row_in_every_template_and_keeps_its_question() -> None:
    method = pct(max_length=18, inference_template="own")
    long = [PairExample("the cat " * 20, "a dog sees", "N")]
    for language, answer in ((None, "▁old"), ("de", "▁here"), ("zh", "犬")):
        (row,) = rows_of(method, long, language)
        assert row.length == 18 and row.truncated
        assert answer in tokens(method, row) and "<mask>" in tokens(method, row)
    with pytest.raises(ConfigError, match="max_length is 13, must be at least"):
        pct(max_length=13)


def test_label_words_may_be_numbers_of_the_vocabulary() -> None:
    by_word = pct()
    numbers = dict(zip(("N", "V", "X"), by_word.verbalizer.token_ids, strict=True))
    by_number = pct(verbalizer=numbers)
    with torch.no_grad():
        assert torch.equal(by_number.logits(batch_of(by_number)), by_word.logits(batch_of(by_word)))
        assert by_number.loss(batch_of(by_number)).item() == by_word.loss(batch_of(by_word)).item()
    mixed = pct(verbalizer={**numbers, "X": "house"}, verbalizers={"de": {"N": 10, "V": 11, "X": 12}})
    assert mixed.verbalizer.token_ids == by_word.verbalizer.token_ids
    assert mixed.entries(1) == (10, 11, 12)


def test_the_published_numbers_are_the_default_on_xlm_rs_vocabulary_only() -> None:
    labels = ("contradiction", "entailment", "neutral")

    class LikeXLMR:
        """As many entries as XLM-R's, with its mask."""

        def __init__(self, inner: Any, size: int) -> None:
            self._inner, self._size = inner, size
            self.mask_token_id = 250_001

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def __call__(self, *texts: Any, **settings: Any) -> Any:
            return self._inner(*texts, **settings)

        def get_vocab(self) -> dict[str, int]:
            return {str(number): number for number in range(self._size)}

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [str(number) for number in ids]

    task, backbone = task_in("de", labels=labels), backbone_of("xlm-roberta")
    backbone.tokenizer = LikeXLMR(backbone.tokenizer, 250_002)
    method = make("pct", backbone, task=task, verbalizer=None)
    assert method.verbalizer.words == XLM_R_WORDS[0]
    assert method.verbalizer.token_ids == (157, 63736, 11354), "in the order of the labels"
    two = make("pct", backbone, task=task_in("de", labels=("0", "1")), verbalizer=None)
    assert two.verbalizer.token_ids == (157, 63736), "PAWS-X"
    backbone.tokenizer = LikeXLMR(backbone.tokenizer, 250_003)
    own = make("pct", backbone, task=task, verbalizer=dict(zip(labels, (11, 12, 13), strict=True)))
    assert own.default_words()["neutral"] == "maybe"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template_languages": ["eu"]}, "no words for 'question' and 'answer' are known in 'eu'; give cue_words"),
        ({"template": "{premise} {hypothesis} {mask}"}, r"has neither \{question\} nor \{answer\}"),
        ({"cue_words": {"de": ["now"]}}, r"cue_words: de is \['now'\], must be two words"),
        ({"consistency": -1.0}, "consistency is -1.0, must be 0 or more"),
        ({"multi_token": "mean"}, "multi_token is 'mean', must be 'refuse' with distribution: vocabulary"),
        ({"verbalizer": {"N": 63736, "V": 11354, "X": 157}}, "63736 for N is no entry of the backbone's vocabulary"),
        ({"verbalizer": {"N": -1, "V": 11, "X": 12}}, "-1 for N is no entry of the backbone's vocabulary"),
        ({"verbalizer": {"N": 11, "V": 11, "X": 12}}, "N and V are both"),
        ({"verbalizer": {"N": True, "V": 11, "X": 12}}, "verbalizer: N: expected text, got True"),
        ({"verbalizer": {"N": 1.5, "V": 11, "X": 12}}, "verbalizer: N: expected text or a whole number, got 1.5"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pct(**options)


def test_a_step_moves_backbone_and_vocabulary_head() -> None:
    method = make("pct", backbone_of("bert"), cue_words=CUES).train()
    method.loss(batch_of(method)).backward()
    assert all(p.grad is not None for p in method.parameters())


def test_one_seed_gives_one_loss_whatever_else_was_drawn_before() -> None:
    """So a trial that goes on after an interruption asks each row in the language that it had."""
    found = []
    for _ in range(2):
        method = make("pct", backbone_of("bert"), seed=3)
        torch.rand(len(found) * 7)
        found.append(method.eval().loss(method.collate(rows_of(method, examples_of("pair")))).item())
    assert found[0] == found[1]


def test_pairs_that_differ_in_their_label_may_get_different_languages() -> None:
    method = make("pct", backbone_of("bert"))
    pairs = [replace(PAIR, label=label) for label in ("N", "V", "X")] * 2
    drawn = method._drawn(pairs)
    assert drawn[:3] == drawn[3:]
