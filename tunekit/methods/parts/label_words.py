"""ToPro's templates and label words (Ma, Nie et al. 2024, arXiv:2401.16589), and what stands in for other tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["ENTITIES", "PARTS_OF_SPEECH", "template_for", "words_for"]

ENTITIES = {
    "B-LOC": "location", "B-ORG": "organisation", "B-PER": "person", "I-LOC": "place", "I-ORG": "body",
    "I-PER": "name", "O": "other",
}  # fmt: skip
"""The paper's words for entities in BIO."""
PARTS_OF_SPEECH = {
    "ADJ": "modification", "ADP": "position", "ADV": "verbal", "AUX": "auxiliar", "CCONJ": "link", "DET": "determine",
    "INTJ": "mode", "NOUN": "thing", "NUM": "number", "PART": "functional", "PRON": "reference", "PROPN": "name",
    "PUNCT": "punct", "SCONJ": "condition", "SYM": "symbol", "VERB": "verb", "X": "other",
}  # fmt: skip
"""The paper's words for the universal parts of speech."""
KNOWN = (
    ("{sentence} | The named entity of {word} is a kind of: {mask} .", ENTITIES),
    ("{sentence} | The pos tag of {word} is a kind of: {mask} .", PARTS_OF_SPEECH),
)
"""The paper's templates and label words; each serves tasks whose labels are all among its own."""
OTHER = "{sentence} | The tag of {word} is a kind of: {mask} ."
"""The template for all other labels."""


def template_for(labels: Sequence[str]) -> str:
    """The paper's template for tags such as `labels`, or one that asks for the tag."""
    return next((template for template, words in KNOWN if words.keys() >= set(labels)), OTHER)


def words_for(labels: Sequence[str]) -> Mapping[str, str]:
    """The paper's word for each label, or the label itself."""
    known = next((words for _, words in KNOWN if words.keys() >= set(labels)), {})
    return {label: known.get(label, label) for label in labels}
