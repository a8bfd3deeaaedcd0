"""A small generated world: one grammar of meanings, spoken in five artificial languages.

A meaning (:class:`Clause`) is drawn once and rendered in every language with that language's own words, word order,
endings and script, so texts are parallel by construction. Names, digits and punctuation are the only words that the
languages share. Everything is a pure function of the constants below.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

Part = Literal["train", "dev", "test", "text"]
"""Where a meaning belongs; ``text`` is the unlabelled text that backbones are pretrained on."""

Role = Literal["subject", "object", "place"]
"""What a noun phrase is in its clause."""
ROLES: tuple[Role, ...] = ("subject", "object", "place")

TAGS = ("NOUN", "VERB", "ADJ", "ADV", "DET", "NUM", "ADP", "PRON", "PROPN", "CONJ", "PART", "PUNCT")
"""Every tag of the tagging task."""

RELATIONS = ("entailment", "neutral", "contradiction")
"""Every label of the pair task."""

_NOUNS = tuple(
    """
    dog child house bread river friend stone horse market bird mother fish wheel forest teacher boat fear king knife
    winter love farmer letter walk garden doctor song bridge sleep lamp merchant wolf island apple tower
    """.split()  # noqa: SIM905 (35 quoted words are harder to read)
)
_OPPOSITE_VERBS = (
    ("find", "lose"),
    ("love", "fear"),
    ("buy", "sell"),
    ("open", "close"),
    ("build", "break"),
    ("push", "pull"),
)
_TRANSITIVE = (*(verb for pair in _OPPOSITE_VERBS for verb in pair), "see", "carry", "follow", "paint", "hear")
_INTRANSITIVE = ("sleep", "walk", "laugh", "wait", "fall", "work")
_OPPOSITE_ADJECTIVES = (
    ("big", "small"),
    ("old", "young"),
    ("good", "bad"),
    ("hot", "cold"),
    ("rich", "poor"),
    ("dry", "wet"),
)
_ADJECTIVES = tuple(adjective for pair in _OPPOSITE_ADJECTIVES for adjective in pair)
_ADVERBS = ("today", "often", "slowly", "here", "yesterday", "loudly", "alone", "soon")
_DETERMINERS = ("the", "a", "this", "every", "my")
_NUMERALS = ("two", "three", "four", "seven", "12", "30", "400")
_ADPOSITIONS = ("in", "near", "under", "with", "behind")
_PRONOUNS = ("I", "you", "she", "they")
_CONJUNCTIONS = ("and", "but", "or")
_NAMES = ("Mira", "Tano", "Olek", "Suri", "Beni", "Karo", "Lumi", "Davo")
_SHARED = {*_NAMES, "12", "30", "400", ".", "!"}
_OPPOSITES = {a: b for pair in (*_OPPOSITE_VERBS, *_OPPOSITE_ADJECTIVES) for a, b in (pair, pair[::-1])}
_FUNCTION_WORDS = (*_DETERMINERS, *_ADPOSITIONS, *_PRONOUNS, *_CONJUNCTIONS, "not")
_CONTENT_WORDS = (*_NOUNS, *_TRANSITIVE, *_INTRANSITIVE, *_ADJECTIVES, *_ADVERBS, *_NUMERALS, *_NAMES)
_GLOSSES = tuple(dict.fromkeys((*_FUNCTION_WORDS, *_CONTENT_WORDS)))  # a noun and a verb of one gloss share their stem


@dataclass(frozen=True, slots=True)
class Language:
    """Sounds, endings and word order of one language. `order` places S(ubject), V(erb), O(bject), P(lace), A(dverb)."""

    consonants: str
    vowels: str
    syllables: tuple[str, ...]
    order: str
    adjective_follows: bool
    determiner_follows: bool
    adposition_follows: bool
    negation_follows: bool
    plural: str
    past: str
    accusative: str


LANGUAGES: dict[str, Language] = {
    "alo": Language("ptkmnlsr", "aeiou", ("CV", "CVC"), "SVOPA", False, False, False, False, "s", "ed", ""),
    "bera": Language("bdgvrznl", "aeio", ("CV", "CV", "V"), "ASVOP", True, False, False, False, "ni", "vo", ""),
    "cimu": Language("θκλμπρσφχ", "αειου", ("CV", "CVC"), "SAPOV", False, False, True, True, "κοι", "σα", "ν"),
    "doke": Language("dkhwmtjf", "aeou", ("CV", "CVV", "CVC"), "VSOPA", True, True, False, False, "", "ha", ""),
    "evin": Language("vnqxščžl", "eiyö", ("VC", "CV", "VC"), "PSOVA", False, True, True, False, "yl", "ön", "eš"),
}
"""The source language ``alo`` and four others, by distance: ``bera`` differs little, ``evin`` in nearly everything."""


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """Who or what a clause speaks of: a noun with what specifies it, a name, or a pronoun."""

    head: str
    kind: Literal["noun", "name", "pronoun"] = "noun"
    determiner: str | None = None
    numeral: str | None = None
    adjective: str | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """One meaning, in no language yet. Words are named by English glosses."""

    subject: NounPhrase
    verb: str
    object: NounPhrase | None = None
    adposition: str | None = None
    place: NounPhrase | None = None
    adverb: str | None = None
    is_past: bool = False
    is_negated: bool = False
    conjunction: str | None = None
    second: Clause | None = None
    end: str = "."


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a rendered sentence; `slot` says which part of the meaning it carries, in any language."""

    form: str
    tag: str
    slot: str


def meanings(part: Part, seed: str = "") -> Iterator[Clause]:
    """Clauses of one part of the world, without end, in a fixed order. No clause ever belongs to two parts."""
    rng = random.Random(f"toy world/{part}/{seed}")
    while True:
        clause = _clause(rng)
        if rng.random() < 0.25:
            second = dataclasses.replace(_clause(rng), place=None, adposition=None, adverb=None)
            clause = dataclasses.replace(clause, conjunction=_pick(rng, _CONJUNCTIONS), second=second)
        if part_of(clause) == part:
            yield clause


def pairs(part: Part, seed: str = "") -> Iterator[tuple[Clause, Clause, str]]:
    """Premise, hypothesis and relation without end, in threes that hold each relation once. Parts share no premise."""
    rng = random.Random(f"toy pairs/{part}/{seed}")
    while True:
        for relation in rng.sample(RELATIONS, k=3):
            while True:
                premise = dataclasses.replace(_clause(rng, full=True), is_negated=False, end=".")
                if part_of(premise) == part:
                    break
            yield premise, _hypothesis(rng, premise, relation), relation


def altered(rng: random.Random, clause: Clause) -> Clause:
    """A meaning that differs from `clause` in one noun, verb or adjective, or in being negated."""
    kind = rng.choice(("noun", "noun", "verb", "adjective", "negation"))
    phrases = list(_phrases(clause).items())
    rng.shuffle(phrases)
    for name, phrase in phrases:
        if kind == "adjective" and phrase.adjective:
            return _with(
                clause, name, dataclasses.replace(phrase, adjective=_other(rng, _ADJECTIVES, phrase.adjective))
            )
        if kind == "noun" and phrase.kind == "noun":
            return _with(clause, name, dataclasses.replace(phrase, head=_other(rng, _NOUNS, phrase.head)))
    if kind == "negation":
        return dataclasses.replace(clause, is_negated=not clause.is_negated)
    verbs = _TRANSITIVE if clause.object else _INTRANSITIVE
    return dataclasses.replace(clause, verb=_other(rng, verbs, clause.verb))


def part_of(clause: Clause) -> Part:
    """The part that a meaning belongs to, decided by a hash of the meaning, hence the same for ever."""
    bucket = hashlib.sha256(repr(clause).encode()).digest()[0]
    return "text" if bucket < 128 else "train" if bucket < 192 else "dev" if bucket < 216 else "test"


def render(clause: Clause, language: str) -> tuple[Word, ...]:
    """The clause as a sentence of `language`, its final punctuation included."""
    words = _clause_words(clause, language, "1")
    if clause.second is not None and clause.conjunction is not None:
        conjunction = Word(lexicons()[language][clause.conjunction], "CONJ", "conjunction")
        words = [*words, conjunction, *_clause_words(clause.second, language, "2")]
    return (*words, Word(clause.end, "PUNCT", "end"))


def text(clause: Clause, language: str) -> str:
    """The clause as a line of `language`, words apart by a space."""
    return " ".join(word.form for word in render(clause, language))


@cache
def lexicons() -> dict[str, dict[str, str]]:
    """Language -> gloss -> stem. No stem occurs in two languages, but for names, digits and punctuation."""
    taken: set[str] = set()
    result: dict[str, dict[str, str]] = {}
    for name, language in LANGUAGES.items():
        rng = random.Random(f"toy lexicon/{name}")
        stems: dict[str, str] = {}
        for gloss in _GLOSSES:
            stem = gloss
            while gloss not in _SHARED and (len(stem) < 2 or stem == gloss or stem in taken):
                stem = _coin(rng, language, num_syllables=1 if gloss in _FUNCTION_WORDS else rng.choice((2, 2, 3)))
            taken.add(stem)
            stems[gloss] = stem
        result[name] = stems
    return result


def _coin(rng: random.Random, language: Language, num_syllables: int) -> str:
    sounds = {"C": language.consonants, "V": language.vowels}
    return "".join(
        rng.choice(sounds[letter]) for _ in range(num_syllables) for letter in rng.choice(language.syllables)
    )


def _clause(rng: random.Random, full: bool = False) -> Clause:
    """A fresh meaning; `full` ones have a noun phrase with an adjective at both ends and something to leave out."""
    subject = _noun_phrase(rng, full)
    is_transitive = full or rng.random() < 0.75
    has_place = rng.random() < (0.6 if full else 0.4)
    return Clause(
        subject=subject,
        verb=_pick(rng, _TRANSITIVE if is_transitive else _INTRANSITIVE),
        object=_noun_phrase(rng, full) if is_transitive else None,
        adposition=_pick(rng, _ADPOSITIONS) if has_place else None,
        place=_noun_phrase(rng, False, kind="noun") if has_place else None,
        adverb=_pick(rng, _ADVERBS) if rng.random() < 0.35 else None,
        is_past=rng.random() < 0.4,
        is_negated=rng.random() < 0.2,
        end="!" if rng.random() < 0.1 else ".",
    )


def _noun_phrase(rng: random.Random, full: bool, kind: str | None = None) -> NounPhrase:
    kind = kind or ("noun" if full else rng.choices(("noun", "name", "pronoun"), weights=(6, 2, 2))[0])
    if kind == "name":
        return NounPhrase(_pick(rng, _NAMES), "name")
    if kind == "pronoun":
        return NounPhrase(_pick(rng, _PRONOUNS), "pronoun")
    determiner, numeral = (None, _pick(rng, _NUMERALS)) if rng.random() < 0.25 else (_pick(rng, _DETERMINERS), None)
    adjective = _pick(rng, _ADJECTIVES) if full or rng.random() < 0.3 else None
    return NounPhrase(_pick(rng, _NOUNS), "noun", determiner, numeral, adjective)


def _hypothesis(rng: random.Random, premise: Clause, relation: str) -> Clause:
    """What follows from `premise`, contradicts it, or is left open by it: always with something left out.

    As in natural corpora, words of the hypothesis alone give hints (a negation, a detail more), none of them safe.
    """
    subject, object_ = premise.subject, premise.object or premise.subject
    bare = dataclasses.replace(premise, subject=_bare(subject), object=_bare(object_))
    short = dataclasses.replace(bare, place=None, adposition=None, adverb=None)
    if relation == "entailment":
        return rng.choice((short, short, bare, dataclasses.replace(short, subject=subject)))
    if relation == "neutral":
        if rng.random() < 0.5:
            detail = _noun_phrase(rng, False, kind="noun")
            return dataclasses.replace(short, adposition=_pick(rng, _ADPOSITIONS), place=detail)
        changed = rng.choice(ROLES[:2])
        phrase = _phrases(short)[changed]
        phrase = dataclasses.replace(phrase, head=_other(rng, _NOUNS, phrase.head))
        return _with(dataclasses.replace(short, is_negated=rng.random() < 0.1), changed, phrase)
    if premise.verb in _OPPOSITES and rng.random() < 0.3:
        return dataclasses.replace(short, verb=_OPPOSITES[premise.verb])
    if rng.random() < 0.3:
        opposite = dataclasses.replace(object_, adjective=_OPPOSITES[object_.adjective or ""])
        return dataclasses.replace(short, object=opposite)
    return dataclasses.replace(short, is_negated=True)


def _phrases(clause: Clause) -> dict[Role, NounPhrase]:
    """The noun phrases that a clause has (those of its second clause are left out)."""
    found = zip(ROLES, (clause.subject, clause.object, clause.place), strict=True)
    return {role: phrase for role, phrase in found if phrase is not None}


def _with(clause: Clause, role: Role, phrase: NounPhrase) -> Clause:
    if role == "subject":
        return dataclasses.replace(clause, subject=phrase)
    if role == "object":
        return dataclasses.replace(clause, object=phrase)
    return dataclasses.replace(clause, place=phrase)


def _bare(phrase: NounPhrase) -> NounPhrase:
    return dataclasses.replace(phrase, adjective=None)


def _clause_words(clause: Clause, language: str, prefix: str) -> list[Word]:
    grammar, stems = LANGUAGES[language], lexicons()[language]
    verb = [Word(stems[clause.verb] + (grammar.past if clause.is_past else ""), "VERB", f"{prefix}.verb")]
    if clause.is_negated:
        negation = Word(stems["not"], "PART", f"{prefix}.not")
        verb = [*verb, negation] if grammar.negation_follows else [negation, *verb]
    place: list[Word] = []
    if clause.place is not None and clause.adposition is not None:
        place = _phrase_words(clause.place, language, f"{prefix}.place")
        adposition = Word(stems[clause.adposition], "ADP", f"{prefix}.adposition")
        place = [*place, adposition] if grammar.adposition_follows else [adposition, *place]
    parts = {
        "S": _phrase_words(clause.subject, language, f"{prefix}.subject"),
        "V": verb,
        "O": _phrase_words(clause.object, language, f"{prefix}.object", grammar.accusative) if clause.object else [],
        "P": place,
        "A": [Word(stems[clause.adverb], "ADV", f"{prefix}.adverb")] if clause.adverb else [],
    }
    return [word for letter in grammar.order for word in parts[letter]]


def _phrase_words(phrase: NounPhrase, language: str, slot: str, case: str = "") -> list[Word]:
    grammar, stems = LANGUAGES[language], lexicons()[language]
    if phrase.kind != "noun":
        return [Word(stems[phrase.head], "PROPN" if phrase.kind == "name" else "PRON", f"{slot}.head")]
    ending = (grammar.plural if phrase.numeral else "") + case
    words = [Word(stems[phrase.head] + ending, "NOUN", f"{slot}.head")]
    if phrase.adjective:
        adjective = Word(stems[phrase.adjective], "ADJ", f"{slot}.adjective")
        words = [*words, adjective] if grammar.adjective_follows else [adjective, *words]
    if phrase.determiner or phrase.numeral:
        gloss, tag = (phrase.numeral, "NUM") if phrase.numeral else (phrase.determiner, "DET")
        specifier = Word(stems[gloss or ""], tag, f"{slot}.specifier")
        words = [*words, specifier] if grammar.determiner_follows else [specifier, *words]
    return words


T = TypeVar("T")


def _other(rng: random.Random, options: Sequence[str], old: str) -> str:
    """Another of `options`: the opposite of `old` half the time, where it has one."""
    if old in _OPPOSITES and rng.random() < 0.5:
        return _OPPOSITES[old]
    return _pick(rng, [option for option in options if option != old])


def _pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of `options`, early ones more often (Zipf-like), so that vocabularies have rare words."""
    return rng.choices(options, weights=[1 / (rank + 4) for rank in range(len(options))])[0]
