"""Whether arms of several sweeps were scored on the same tests; what was not is refused with both sides and a cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunekit.errors import ConfigError
from tunekit.reports.best import SAMPLE_KEYS
from tunekit.reports.results import ArmResult
from tunekit.reports.significance.reading import ArmCounts
from tunekit.wording import names


@dataclass(frozen=True, kw_only=True)
class Read:
    """What one arm was scored on."""

    sweep: str
    """The label of its sweep."""
    arm: ArmResult
    """With all its target languages."""
    counts: ArmCounts
    """With the names of the examples that it was asked, where its predictions are kept."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The source, then the targets."""
        return (self.arm.source, *self.arm.targets)

    def fingerprint(self, language: str) -> str | None:
        """Of the test split of a language, as the reported trials read it; None if they did not say."""
        key = f"test/{language}"
        reported = self.arm.best.trials if self.arm.best is not None else ()
        found = dict.fromkeys(trial.facts.fingerprints.get(key) for trial in reported if trial.facts is not None)
        if not found and self.arm.facts is not None:
            found = {self.arm.facts.fingerprints.get(key): None}
        return " and ".join(filter(None, found)) or None

    @property
    def sample(self) -> str:
        """Which part of each test split is asked."""
        if self.arm.task.max_test_examples is None:
            return "whole test splits"
        return ", ".join(f"{key} {getattr(self.arm.task, key)}" for key in SAMPLE_KEYS)

    @property
    def who(self) -> str:
        """For messages."""
        return f"sweep {self.sweep!r}, arm {self.arm.name.removeprefix(f'{self.sweep}/')}"


def require_same_tests(rows: Sequence[Read]) -> None:
    """Refuse arms of one table that were not scored alike.

    Raises:
        ConfigError: by another metric, on other test files, on another sample of them, or on other examples; it names
            sweeps, arms, languages and what each of them read, and which of the sweeps can be compared.
    """
    task = rows[0].arm.task.name
    _require_one(rows, {row.who: row.arm.metric for row in rows}, f"{task}: these arms have different metrics")
    languages = list(dict.fromkeys(language for row in rows for language in row.languages))
    for what, of in (("test data", Read.fingerprint), ("test examples", _name)):
        found = {language: _by_row(rows, language, of) for language in languages}
        apart = [language for language, values in found.items() if len(set(values.values())) > 1]
        if apart:
            also = f" (and also in {names(apart[1:])})" if apart[1:] else ""
            _require_one(rows, found[apart[0]], f"{task}: these arms read different {what} in {apart[0]}{also}")
    if not all(_are_named(rows, language) for language in languages):
        _require_one(rows, {row.who: row.sample for row in rows}, f"{task}: these arms read different samples of test")


def _name(row: Read, language: str) -> str | None:
    return row.counts.names.get(language)


def _by_row(rows: Sequence[Read], language: str, of: object) -> dict[str, str]:
    """What is known of the arms that were scored in a language."""
    assert callable(of)
    return {row.who: value for row in rows if language in row.languages and (value := of(row, language)) is not None}


def _are_named(rows: Sequence[Read], language: str) -> bool:
    """Whether of all arms in a language the very examples are known."""
    return all(_name(row, language) is not None for row in rows if language in row.languages)


def _require_one(rows: Sequence[Read], values: Mapping[str, str], what: str) -> None:
    if len(set(values.values())) < 2:
        return
    sides: dict[str, list[str]] = {}
    for who, value in values.items():
        sides.setdefault(value, []).append(who)
    found = "; ".join(f"{names(arms)}: {value}" for value, arms in sides.items())
    raise ConfigError(f"{what}, so their scores cannot stand in one table. {found}. {_cure(rows, values)}")


def _cure(rows: Sequence[Read], values: Mapping[str, str]) -> str:
    """Which of the sweeps may be compared."""
    by_sweep: dict[str, set[str]] = {}
    for row in rows:
        if row.who in values:
            by_sweep.setdefault(row.sweep, set()).add(values[row.who])
    alike: dict[str, list[str]] = {}
    for sweep, found in by_sweep.items():
        if len(found) == 1:
            alike.setdefault(next(iter(found)), []).append(sweep)
    most = max(alike.values(), key=len, default=[])
    if len(most) > 1:
        return f"Compare only those that agree: tunekit compare {' '.join(most)}"
    return "Compare only sweeps that agree in it, or run one of them again on the data of the other"


def unknown_tests(rows: Sequence[Read]) -> Iterator[str]:
    """Sentences of Markdown on what cannot be known: arms whose journal does not say which test data it read."""
    silent: dict[str, list[str]] = {}
    for row in rows:
        lacking = [each for each in row.languages if row.fingerprint(each) is None and _name(row, each) is None]
        if lacking and row.arm.best is not None:
            silent.setdefault(names(lacking), []).append(row.arm.name)
    for languages, arms in silent.items():
        yield (
            f"**Not known to be the same tests**: the journal of {names(arms)} does not say which test data it read in"
            f" {languages}."
        )
