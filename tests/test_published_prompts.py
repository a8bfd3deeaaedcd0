"""What the tagging methods ask, held against the published code's own way of writing it: every task, every family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from spelling import spelling
from tiny_models import backbone_of, setting_of, task_of

from tunekit.methods import Feature
from tunekit.methods.generate_tags import GenerateTags, GenerateTagsConfig
from tunekit.methods.icl import InContextLearning, InContextLearningConfig
from tunekit.methods.parts.shared_sentence import SharedFeature
from tunekit.methods.topro import ToPro, ToProConfig
from tunekit.methods.topro_zero_shot import ToProZeroShot, ToProZeroShotConfig
from tunekit.tasks import TokenExample
from tunekit.tasks.tagging import PANX_LABELS, UDPOS_LABELS

SENTENCE = ("Ann", "sees", "the", "old", "Paris", ".")
TEXT = " ".join(SENTENCE)
LABELS = {"panx": PANX_LABELS, "udpos": UDPOS_LABELS}
EXAMPLES = {
    "panx": TokenExample(SENTENCE, ("B-PER", "O", "O", "O", "B-LOC", "O")),
    "udpos": TokenExample(SENTENCE, ("PROPN", "VERB", "DET", "ADJ", "PROPN", "PUNCT")),
}
every_task = pytest.mark.parametrize("task", LABELS)

# The published words, in the order of the code's own lists of labels.
ENTITIES = ["location", "organisation", "person", "place", "body", "name", "other"]
ENTITY_LABELS = ["B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"]
POS_LABELS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
)  # fmt: skip
ENCODERS = (
    "modification", "position", "verbal", "auxiliar", "link", "determine", "mode", "thing", "number", "functional",
    "reference", "name", "punct", "condition", "symbol", "verb", "other",
)  # fmt: skip
POS_WORDS = {
    ("bloom", "published"): "adjective position adverb auxiliary coordin determin inter noun numeral particle pronoun "
    "name pun subordin symbol verb other",
    ("mt5", "published"): "modifica position condition auxili coord determin inter no number parti prono name punct "
    "depend symbol verb other",
    ("bloom", "earlier"): "modification position verbal auxili link determine mode thing number functional reference "
    "name punct condition symbol verb other",
    ("mt5", "earlier"): "modifica position verbal auxili link determin mode thing number functional reference name "
    "punct condition symbol verb other",
}
LISTED = {
    "bloom": "POS tag set: adjective position condition auxiliary coord determiner interjection noun number particle "
    "pronoun name punctuation subordination symbol verb other\n",
    "mt5": "POS tag set: modifica position adverb auxiliary coordination determiner interjection noun numeral parti "
    "pronoun name punct depend symbol verb other\n",
}


def language_model_prompt(task: str, architecture: str, template: str, word: str) -> str:
    """The prompt as the published code's functions put it together."""
    if task == "panx" and template == "earlier":
        return TEXT + " The named entity of " + word + " is a kind of: "
    if task == "panx":
        types = "Named entity type: location organisation person place body name other\n"
        asked = "Sentence: " + TEXT + "\n" + "Named entity type of the word " + word + " in the sentence is"
        return types * (template == "published") + asked
    if template == "earlier":
        return TEXT + " The pos tag of " + word + " is a kind of "
    asked = "Sentence: " + TEXT + "\n" + " The pos tag of the word " + word + " in the sentence is a kind of"
    return LISTED[architecture] * (template == "published") + asked


def encoder_parts(task: str, word: str, mask: str) -> tuple[list[str], list[str]]:
    """The two lists of texts that the published code tokenizes one by one."""
    name = "named entity" if task == "panx" else "pos tag"
    return [TEXT], [f"The {name} of ", word, " is a kind of: ", mask, " ."]


def make(method: Any, config: Any, architecture: str, task: str, *further: str) -> Any:
    backbone = backbone_of(architecture)
    backbone.tokenizer = spelling(architecture, [TEXT, *ENTITIES, *ENCODERS], *further)
    length = 64 if backbone.family == "encoder" else 1000
    return method(config, setting_of(backbone, task_of("token", LABELS[task]), max_length=length))


def asked(method: Any, task: str) -> list[tuple[int, ...]]:
    """The tokens of the question about each word."""
    found: list[tuple[int, ...]] = []
    for row in method.encode(EXAMPLES[task]):
        found += whole(row)
    return found


def whole(row: Feature) -> list[tuple[int, ...]]:
    if not isinstance(row, SharedFeature):
        return [row.input_ids]
    return [row.input_ids + row.questions[ask].input_ids for ask in row.asks]


# ToPro


@every_task
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "mt5"])
def test_topro_asks_token_by_token_as_the_published_code_does(architecture: str, task: str) -> None:
    method = make(ToPro, ToProConfig(), architecture, task)
    tokenizer = method.backbone.tokenizer
    mask = tokenizer.mask_token or ""  # the published code takes mT5's missing mask for an empty string
    for word, question in zip(SENTENCE, asked(method, task), strict=True):
        parts = encoder_parts(task, word, mask)
        first, second = ([i for part in side if part for i in ids_of(tokenizer, part)] for side in parts)
        assert question == tuple(joined(architecture, tokenizer, first, second)), tokenizer.decode(question)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def joined(architecture: str, tokenizer: Any, first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Two texts with the special tokens that the slow tokenizers of transformers put around them."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if architecture == "mt5":
        return [*first, end, *second, end]
    between = [end, end] if architecture == "xlm-roberta" else [end]
    return [begin, *first, *between, *second, end]


@every_task
def test_mt5_s_prompt_ends_with_an_empty_mask_or_at_the_mask(task: str) -> None:
    ends = {
        end: make(ToPro, ToProConfig(prompt_end=end), "mt5", task).backbone.tokenizer.decode(
            asked(make(ToPro, ToProConfig(prompt_end=end), "mt5", task), task)[0]
        )
        for end in ("published", "mask")
    }
    assert ends["published"].endswith("is a kind of: .</s>")
    assert ends["mask"].endswith("is a kind of:</s>")


@every_task
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_topro_s_label_words_are_the_published_ones(architecture: str, task: str) -> None:
    words = make(ToPro, ToProConfig(), architecture, task).verbalizer.words
    labels, expected = (ENTITY_LABELS, ENTITIES) if task == "panx" else (POS_LABELS, ENCODERS)
    assert words == dict(zip(labels, expected, strict=True))


@every_task
def test_mt5_writes_the_tags_themselves(task: str) -> None:
    method = make(ToPro, ToProConfig(), "mt5", task)
    tokenizer = method.backbone.tokenizer
    assert [tokenizer.decode(s) for s in method.strings] == [f"{label}</s>" for label in LABELS[task]]


def test_a_label_word_is_the_entry_that_is_spelled_like_it_where_there_is_one() -> None:
    inside = ("place", "name")
    published = make(ToPro, ToProConfig(), "xlm-roberta", "panx", *inside)
    written = make(ToPro, ToProConfig(label_lookup="in_text"), "xlm-roberta", "panx", *inside)
    tokens = [m.backbone.tokenizer.convert_ids_to_tokens(list(m.verbalizer.token_ids)) for m in (published, written)]
    words = [published.verbalizer.words[label] for label in LABELS["panx"]]
    assert tokens[0] == [word if word in inside else f"▁{word}" for word in words]
    assert tokens[1] == [f"▁{word}" for word in words]


# Language models


@every_task
@pytest.mark.parametrize("architecture", ["bloom", "mt5"])
@pytest.mark.parametrize("template", ["published", "no_tag_set", "earlier"])
def test_language_models_are_asked_with_the_published_prompts(architecture: str, task: str, template: str) -> None:
    words = "earlier" if template == "earlier" else "published"
    config = ToProZeroShotConfig(template=template, verbalizer=words, score="mean")  # these tokenizers spell words
    method = make(ToProZeroShot, config, architecture, task)
    decoded = [method.backbone.tokenizer.decode(ids) for ids in asked(method, task)]
    prompts = [language_model_prompt(task, architecture, template, word) for word in SENTENCE]
    if architecture == "mt5":  # sentencepiece drops white space at the end
        assert [text.removesuffix("</s>") for text in decoded] == [prompt.rstrip() for prompt in prompts]
    else:  # a byte-level tokenizer is given every word after a space, the first too
        assert [text.removeprefix(" ") for text in decoded] == prompts


@every_task
@pytest.mark.parametrize("architecture", ["bloom", "mt5"])
@pytest.mark.parametrize("name", ["published", "earlier"])
def test_language_models_have_the_published_words_each_as_a_new_word(architecture: str, task: str, name: str) -> None:
    method = make(ToProZeroShot, ToProZeroShotConfig(verbalizer=name, score="mean"), architecture, task)
    tokenizer = method.backbone.tokenizer
    spelled = [tokenizer.decode(string, skip_special_tokens=True) for string in method.strings]
    labels, words = (ENTITY_LABELS, ENTITIES) if task == "panx" else (POS_LABELS, POS_WORDS[architecture, name].split())
    by_label = dict(zip(labels, words, strict=True))
    space = " " if architecture == "bloom" else ""  # where "▁" says the same
    assert spelled == [space + by_label[label] for label in LABELS[task]]


@every_task
@pytest.mark.parametrize("architecture", ["bloom", "mt5"])
def test_in_context_learning_has_the_label_words_of_the_questions(architecture: str, task: str) -> None:
    config = InContextLearningConfig(num_demonstrations=0, score="mean")
    shown = make(InContextLearning, config, architecture, task)
    asked_for = make(ToProZeroShot, ToProZeroShotConfig(score="mean"), architecture, task)
    end = (shown.backbone.tokenizer.eos_token_id,) if architecture == "mt5" else ()
    assert [(*string, *end) for string in shown.strings] == list(asked_for.strings)


# Tags as text


@every_task
def test_the_generating_baseline_reads_and_writes_what_was_published(task: str) -> None:
    method = make(GenerateTags, GenerateTagsConfig(target_length=600), "mt5", task)
    (row,) = method.encode(EXAMPLES[task])
    target = ""
    for word, label in zip(SENTENCE, EXAMPLES[task].labels, strict=True):
        target += label + ": " + word + " $$ "
    decode = method.backbone.tokenizer.decode
    assert decode(row.input_ids) == {"panx": "tag: ", "udpos": "POS tagging: "}[task] + TEXT + "</s>"
    assert decode(row.target) == target[:-4] + "</s>"
