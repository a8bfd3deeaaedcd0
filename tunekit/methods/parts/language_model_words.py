"""The templates and label words of ToPro's study of language models, as its published code has them.

Ma, Nie et al. 2024, arXiv:2401.16589. The code has two versions. The last one asks after a line that lists the tag set,
and has other words for parts of speech; for these it can also ask without that line. Its prompts for bloomz serve
causal models here, those for mt0 encoder-decoders. A text ends where the answer begins, in a space where the code's
does, which the answer's own space then follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunekit.methods.parts.label_words import ENTITIES, PARTS_OF_SPEECH, PUBLISHED, template_for

__all__ = ["EARLIER", "NO_TAG_SET", "TOPRO", "templates_for", "words_by_name"]

EARLIER = "earlier"
"""Names the code's earlier version."""
NO_TAG_SET = "no_tag_set"
"""Names the last version without its line that lists the tags."""
TOPRO = "topro"
"""Names what encoders are asked with, as one running text."""
LABELS = "labels"
"""Names the labels themselves."""

_TAGS_OF_BLOOMZ = (
    "POS tag set: adjective position condition auxiliary coord determiner interjection noun number particle pronoun "
    "name punctuation subordination symbol verb other\n"
)
_TAGS_OF_MT0 = (
    "POS tag set: modifica position adverb auxiliary coordination determiner interjection noun numeral parti pronoun "
    "name punct depend symbol verb other\n"
)
_PART_OF_SPEECH = (
    "Sentence: {sentence}\n The pos tag of the word {word} in the sentence is a kind of {mask}"  # the space is theirs
)
_ENTITY = "Sentence: {sentence}\nNamed entity type of the word {word} in the sentence is {mask}"
_ENTITY_TYPES = "Named entity type: location organisation person place body name other\n"

_BLOOMZ = {
    "ADJ": "adjective", "ADP": "position", "ADV": "adverb", "AUX": "auxiliary", "CCONJ": "coordin", "DET": "determin",
    "INTJ": "inter", "NOUN": "noun", "NUM": "numeral", "PART": "particle", "PRON": "pronoun", "PROPN": "name",
    "PUNCT": "pun", "SCONJ": "subordin", "SYM": "symbol", "VERB": "verb", "X": "other",
}  # fmt: skip
_MT0 = {
    "ADJ": "modifica", "ADP": "position", "ADV": "condition", "AUX": "auxili", "CCONJ": "coord", "DET": "determin",
    "INTJ": "inter", "NOUN": "no", "NUM": "number", "PART": "parti", "PRON": "prono", "PROPN": "name",
    "PUNCT": "punct", "SCONJ": "depend", "SYM": "symbol", "VERB": "verb", "X": "other",
}  # fmt: skip
_EARLIER_BLOOMZ = {**PARTS_OF_SPEECH, "AUX": "auxili"}
_EARLIER_MT0 = {**_EARLIER_BLOOMZ, "ADJ": "modifica", "DET": "determin"}


def templates_for(labels: Sequence[str], *, is_causal: bool) -> Mapping[str, str]:
    """By name the templates for tags such as `labels`; where the code has none, all of them are ToPro's.

    Args:
        labels: those of the task.
        is_causal: the model is; else it is an encoder-decoder.
    """
    running = template_for(labels).replace(" | ", " ").partition("{mask}")[0] + "{mask}"
    if ENTITIES.keys() >= set(labels):
        published, without = _ENTITY_TYPES + _ENTITY, _ENTITY
        earlier = "{sentence} The named entity of {word} is a kind of:  {mask}"
    elif PARTS_OF_SPEECH.keys() >= set(labels):
        published, without = (_TAGS_OF_BLOOMZ if is_causal else _TAGS_OF_MT0) + _PART_OF_SPEECH, _PART_OF_SPEECH
        earlier = "{sentence} The pos tag of {word} is a kind of  {mask}"
    else:
        published = without = earlier = running
    return {PUBLISHED: published, NO_TAG_SET: without, EARLIER: earlier, TOPRO: running}


def words_by_name(labels: Sequence[str], *, is_causal: bool) -> Mapping[str, Mapping[str, str]]:
    """By name the words for tags such as `labels`; arguments as in `templates_for`."""
    itself = {label: label for label in labels}
    if ENTITIES.keys() >= set(labels):
        return {PUBLISHED: ENTITIES, EARLIER: ENTITIES, TOPRO: ENTITIES, LABELS: itself}
    if PARTS_OF_SPEECH.keys() >= set(labels):
        published, earlier = (_BLOOMZ, _EARLIER_BLOOMZ) if is_causal else (_MT0, _EARLIER_MT0)
        return {PUBLISHED: published, EARLIER: earlier, TOPRO: PARTS_OF_SPEECH, LABELS: itself}
    return dict.fromkeys((PUBLISHED, EARLIER, TOPRO, LABELS), itself)
