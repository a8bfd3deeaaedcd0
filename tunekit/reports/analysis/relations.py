"""How a gain goes with what is known of the languages: correlations over the target languages, with intervals.

Pearson's r and Spearman's rho, each with its 95 % interval by Fisher's transformation: tanh(atanh r ± z s), where s is
1 / sqrt(n - 3) for r (Fisher 1921) and sqrt((1 + rho² / 2) / (n - 3)) for rho (Bonett and Wright 2000, *Sample size
requirements for estimating Pearson, Kendall and Spearman correlations*). Both take the languages for independent draws.
They are not: languages of one family resemble each other. So r is computed a second time over the means of the genera
(as old as Germanic or Slavic), each of which then counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, correlation, fmean

from tunekit.languages import resource_class, script, separates_words
from tunekit.reports.analysis.gains import Pair
from tunekit.reports.language_facts import Fact, LanguageFacts
from tunekit.reports.results import ArmResult
from tunekit.typology import distance, family, genus, no_distances
from tunekit.wording import plural

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""Values that are nearer to each other are equal: a correlation of rounding errors would look like any other."""
WIDE = 100.0
"""A column of the user's whose largest value is more than so many times its smallest one is taken as its log10: else
the largest languages alone would make Pearson's r."""
LEAST_LANGUAGES = 5
"""Nothing is computed for fewer languages (or genera): three points fit any story."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A correlation and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What an arm gains over another, against one property of the languages."""

    comparison: str
    """Task and source language, such as ``udpos from en``."""
    feature: str
    """A key: lower case, one word."""
    title: str
    """What x is, unit included."""
    arm: str
    other: str
    points: tuple[tuple[str, float, float], ...]
    """Language, x, and the gain as a fraction: the target languages of which x is known."""
    unknown: tuple[str, ...] = ()
    """Target languages of which x is not known."""
    r: Estimate | None = None
    """Pearson's; None if nothing is computed."""
    rho: Estimate | None = None
    """Spearman's."""
    genera: int = 0
    """How many genera the languages are of."""
    r_genera: Estimate | None = None
    """Pearson's over the means of genera; None for fewer than `LEAST_LANGUAGES` of them."""
    reason: str = ""
    """Why nothing is computed; empty if it is."""
    is_clear_of_all: bool = False
    """Whether r's interval leaves out 0 also at the level that is corrected (Bonferroni) for all of a comparison's."""

    @property
    def n(self) -> int:
        """Languages."""
        return len(self.points)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A property of languages that is a number."""

    key: str
    title: str
    of: Callable[[str], float | None]


def features(pair: Pair) -> Iterator[Feature]:
    """Those of a language that may explain a gain. What is a yes or no is 1 or 0."""
    source = pair.arm.source
    yield Feature(key="tokens_per_word", title="tokens a word", of=lambda language: tokens_per_word(pair.arm, language))
    if not no_distances():
        title = f"syntactic distance from {source} (0 to 1)"
        yield Feature(key="distance", title=title, of=lambda language: distance(language, source))
    yield Feature(
        key="same_script", title=f"in the script of {source} (0 or 1)", of=lambda x: _is_same(x, source, script)
    )
    yield Feature(
        key="same_family", title=f"of the family of {source} (0 or 1)", of=lambda x: _is_same(x, source, family)
    )
    yield Feature(key="resource_class", title="resource class (0 to 5)", of=resource_class)


def given(fact: Fact, languages: Collection[str]) -> Feature:
    """A column of the user's: its log10 where it is above 0 in all of `languages` and spans more than `WIDE`."""
    values = [value for language, value in fact.values.items() if language in languages]
    if values and min(values) > 0 and max(values) > WIDE * min(values):
        logs = {language: math.log10(value) for language, value in fact.values.items() if value > 0}
        return Feature(key=fact.key, title=f"log10 of {fact.title}", of=logs.get)
    return Feature(key=fact.key, title=fact.title, of=fact.values.get)


def relate(comparison: str, pairs: Sequence[Pair], facts: LanguageFacts | None = None) -> tuple[Relation, ...]:
    """The gain of each pair against each feature, over the target languages that both arms have scores in.

    Args:
        comparison: what it is called.
        pairs: its arms, two by two.
        facts: what the user told of languages.
    """
    targets = {language for pair in pairs for language in pair.targets}
    told = [given(fact, targets) for fact in (facts.facts if facts else ())]
    found = [_relation(comparison, pair, feature) for pair in pairs for feature in (*features(pair), *told)]
    num = sum(relation.r is not None for relation in found)
    return tuple(replace(relation, is_clear_of_all=_is_clear(relation, num)) for relation in found)


def _relation(comparison: str, pair: Pair, feature: Feature) -> Relation:
    gains = {language: gain.mean for language in pair.targets if (gain := pair.gain([language])) is not None}
    known = {language: x for language in gains if (x := feature.of(language)) is not None}
    points = tuple((language, float(x), gains[language]) for language, x in known.items())
    relation = Relation(
        comparison=comparison,
        feature=feature.key,
        title=feature.title,
        arm=pair.arm.name,
        other=pair.other.name,
        points=points,
        unknown=tuple(language for language in gains if language not in known),
        reason=_why_not(points),
    )
    if relation.reason:
        return relation
    xs, ys = [point[1] for point in points], [point[2] for point in points]
    means = _by_genus(points)
    return replace(
        relation,
        r=pearson(xs, ys),
        rho=spearman(xs, ys),
        genera=len(means),
        r_genera=pearson(*zip(*means, strict=True)) if len(means) >= LEAST_LANGUAGES and not _is_flat(means) else None,
    )


def _why_not(points: Sequence[tuple[str, float, float]]) -> str:
    if len(points) < LEAST_LANGUAGES:
        return f"{plural(len(points), 'language')}, fewer than {LEAST_LANGUAGES}"
    values = [point[1:] for point in points]
    if _is_flat(values):
        return "alike in all languages" if len({x for x, _ in values}) == 1 else "the same gain in all languages"
    return ""


def _is_flat(points: Sequence[tuple[float, float]]) -> bool:
    """Whether x or y is the same everywhere, but for the rounding of differences."""
    return any(max(values) - min(values) < ROUNDING for values in zip(*points, strict=True))


def _by_genus(points: Sequence[tuple[str, float, float]]) -> list[tuple[float, float]]:
    """The mean x and gain of each genus; a language of unknown genus stands for itself."""
    found: dict[str, list[tuple[float, float]]] = {}
    for language, x, y in points:
        found.setdefault(genus(language) or f"? {language}", []).append((x, y))
    return [(fmean(x for x, _ in each), fmean(y for _, y in each)) for each in found.values()]


def pearson(x: Sequence[float], y: Sequence[float], *, confidence: float = CONFIDENCE) -> Estimate:
    """Pearson's r and its interval; needs more than three points, and both `x` and `y` must vary."""
    r = _r(x, y)
    return _with_interval(r, 1 / math.sqrt(len(x) - 3), confidence)


def spearman(x: Sequence[float], y: Sequence[float], *, confidence: float = CONFIDENCE) -> Estimate:
    """Spearman's rho, equal values sharing their mean rank, and its interval; as `pearson`."""
    rho = _r(_ranks(x), _ranks(y))
    return _with_interval(rho, math.sqrt((1 + rho**2 / 2) / (len(x) - 3)), confidence)


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 1 for the smallest; equal values share the mean of theirs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return [float(rank) for rank in means[places]]


def _r(x: Sequence[float], y: Sequence[float]) -> float:
    return max(-1.0, min(1.0, correlation(x, y)))


def _with_interval(value: float, error: float, confidence: float) -> Estimate:
    if abs(value) == 1.0:
        return Estimate(value=value, low=value, high=value)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    middle = math.atanh(value)
    return Estimate(value=value, low=math.tanh(middle - half), high=math.tanh(middle + half))


def _is_clear(relation: Relation, num: int) -> bool:
    if relation.r is None:
        return False
    x, y = [point[1] for point in relation.points], [point[2] for point in relation.points]
    strict = pearson(x, y, confidence=1 - (1 - CONFIDENCE) / num)
    return strict.low > 0 or strict.high < 0


def tokens_per_word(arm: ArmResult, language: str) -> float | None:
    """Tokens a word of the test texts as an arm's backbone writes them; None where that is unknown or says nothing."""
    found = arm.best.granularity(language) if arm.best else None
    if found is None or not (found.are_words_given or separates_words(language)):
        return None
    return found.per_word or None


def _is_same(language: str, source: str, of: Callable[[str], str | None]) -> float | None:
    found, own = of(language), of(source)
    return None if found is None or own is None else float(found == own)
