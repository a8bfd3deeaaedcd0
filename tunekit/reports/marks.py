"""Which arms cannot be told from the best of a column, as marks on cells and notes that say how that was tested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunekit.reports.best import ZERO_SHOT
from tunekit.reports.results import Comparison, SweepResult
from tunekit.reports.significance import Difference, Differences, Uncompared, differences
from tunekit.wording import count, names

LIKE_BEST, UNTESTED = "†", "?"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Marks of the cells of one table, and what explains them."""

    marks: Mapping[tuple[str, str], str]
    """By arm and key of the column."""
    notes: tuple[str, ...]
    """Plain text."""

    def of(self, arm: str, key: str) -> tuple[str, ...]:
        """The marks of a cell."""
        found = self.marks.get((arm, key))
        return () if found is None else (found,)


NO_MARKS = Marks(marks={}, notes=())


def marks(result: SweepResult, comparison: Comparison, best: Mapping[str, Sequence[str]]) -> Marks:
    """Marks for a table of the main metric.

    Args:
        result: the sweep.
        comparison: the table's.
        best: for each column that has a best, all arms with a score in it, the best first.
    """
    found = differences(result)
    tested: list[Difference] = []
    marked: dict[tuple[str, str], str] = {}
    for key, (first, *others) in best.items():
        for other in others:
            each = _between(comparison, found, (first, other), key)
            if each is None:
                marked[other, key] = UNTESTED
            else:
                tested.append(each)
                if not each.is_significant:
                    marked[other, key] = LIKE_BEST
    if not tested:  # a mark in each cell would say no more than one sentence
        apart = (reason for each in uncompared(found, comparison) for reason in each.reason.split("; "))
        reasons = "; ".join(dict.fromkeys(apart))  # each arm's once, whatever the number of pairs
        note = f"Which arms differ was not tested: {reasons}." if marked and reasons else ""
        return Marks(marks={}, notes=(note,) if note else ())
    return Marks(marks=marked, notes=tuple(_notes(found, tested, set(marked.values()))))


def _between(comparison: Comparison, found: Differences, pair: tuple[str, str], key: str) -> Difference | None:
    """The difference of two arms that a column shows."""
    each = found.of(*pair, None if key == ZERO_SHOT else key)
    targets = next(arm.targets for arm in comparison.arms if arm.name == pair[0])
    if each is not None and key == ZERO_SHOT and set(each.languages) != set(targets):
        return None  # it is about another mean than the one that is shown
    return each


def uncompared(found: Differences, comparison: Comparison) -> list[Uncompared]:
    """What could not be compared of a comparison."""
    return [each for each in found.uncompared if (each.task, each.source) == (comparison.task, comparison.source)]


def _notes(found: Differences, tested: Sequence[Difference], shown: set[str]) -> Iterator[str]:
    how = how_tested(found, tested)
    if LIKE_BEST in shown:
        yield f"{LIKE_BEST}: cannot be told from the best of its column ({how})."
    else:
        yield f"In each column all arms that were compared are worse than the best ({how})."
    if not all(each.covers_trials for each in tested):
        yield (
            "Where there is one seed and one draw, seeds and draws are not covered: it is about the models that were"
            " trained, and not about the arms."
        )
    if UNTESTED in shown:
        yield f"{UNTESTED}: was not compared with the best of its column; the table of differences says why."


def how_tested(found: Differences, tested: Iterable[Difference]) -> str:
    """The test, what it covers, n and the correction, in a clause."""
    tested = list(tested)
    examples = _range(each.num_examples for each in tested)
    seeds = _range(each.num_seeds for each in tested)
    draws = _range(each.num_draws for each in tested)
    covers = names(dict.fromkeys(each.covers for each in tested))
    tests = _range(each.num_tests for each in tested)
    return (
        f"paired bootstrap over test examples with {count(found.num_resamples)} resamples, variance over seeds and"
        f" draws where there are several, Student's t, two-sided at 5 %; it covers {covers}; n = {examples} examples a"
        f" language, {seeds} {'seed' if seeds == '1' else 'seeds'} and {draws} {'draw' if draws == '1' else 'draws'};"
        f" corrected by Holm for {tests} {'test' if tests == '1' else 'tests'} in each column"
    )


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return count(found[0]) if len(found) == 1 else f"{count(found[0])} to {count(found[-1])}"
