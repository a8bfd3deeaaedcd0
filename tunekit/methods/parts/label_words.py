"""ToPro's templates and label words (Ma, Nie et al. 2024, arXiv:2401.16589), and what stands in for other tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from tunekit.errors import ConfigError, nearest

__all__ = ["ENTITIES", "PARTS_OF_SPEECH", "PUBLISHED", "chosen_template", "chosen_words", "template_for", "words_for"]

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

W = TypeVar("W", str, str | int)
"""A label word, or where a method takes it the number of a vocabulary entry."""
PUBLISHED = "published"
"""Names what the published code has in its last version."""


def template_for(labels: Sequence[str]) -> str:
    """The paper's template for tags such as `labels`, or one that asks for the tag."""
    return next((template for template, words in KNOWN if words.keys() >= set(labels)), OTHER)


def words_for(labels: Sequence[str]) -> Mapping[str, str]:
    """The paper's word for each label, or the label itself."""
    known = next((words for _, words in KNOWN if words.keys() >= set(labels)), {})
    return {label: known.get(label, label) for label in labels}


def chosen_words(
    given: Mapping[str, W] | str | None, labels: Sequence[str], known: Mapping[str, Mapping[str, str]]
) -> Mapping[str, W] | Mapping[str, str]:
    """The words that a config's `verbalizer` means.

    Args:
        given: words, or the name of words; None is `PUBLISHED`.
        labels: those of the task.
        known: words by name; each serves tasks whose labels are all among its own, others get the labels themselves.

    Raises:
        ConfigError: there are no words of this name.
    """
    if isinstance(given, Mapping):
        return given
    name = PUBLISHED if given is None else given
    if name not in known:
        raise ConfigError(
            f"verbalizer {name!r} is no known set of words; {nearest(name, known)}, or {{label: word}} with a word "
            "for every label"
        )
    return {label: known[name][label] if known[name].keys() >= set(labels) else label for label in labels}


def chosen_template(given: str | None, known: Mapping[str, str]) -> str:
    """The template that a config's `template` means: a text with slots, or the name of a known one.

    Raises:
        ConfigError: the text has no slots, and there is no template of this name.
    """
    name = PUBLISHED if given is None else given
    if "{" in name or "}" in name:
        return name
    if name not in known:
        raise ConfigError(
            f"template {name!r} has no {{mask}}, and is no known template's name; {nearest(name, known)}, or a text "
            "with slots"
        )
    return known[name]
