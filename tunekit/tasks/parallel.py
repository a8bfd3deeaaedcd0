"""Parallel text: pairs of texts that say the same in the source language and in another, without labels.

| corpus | pairs | where |
|---|---|---|
| ``fewshot`` | the few-shot train rows and their translations | ``<fewshot_dir>/<language>/train-<shots>.jsonl`` |
| ``files`` | two consecutive lines of ``<language>.txt``, or the two columns of ``<language>.tsv`` | ``parallel_dir`` |
| ``pawsx`` | PAWS-X's train pairs and their translations, matched by id | `data_dir`, else the Hugging Face hub |
| ``toy`` | pairs of the toy world that no split holds | generated |

Files are aligned by line: unequal counts, or labels that differ, are an error and never cut to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks import sampling
from tunekit.tasks.examples import PairExample
from tunekit.tasks.fingerprints import of_rows
from tunekit.tasks.readers.files import rows_of, tsv_pairs
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.trial import Locations, TaskConfig

NUM_TOY_PAIRS = 600
"""Parallel pairs of the toy world."""
PARALLEL = "parallel"
"""Begins a key of fingerprints, and in the seed of a sample stands for the split: train is sampled at other rows."""

Texts = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ParallelPair:
    """One pair of texts (premise and hypothesis, say) in two languages."""

    source: Texts
    target: Texts


@dataclass(frozen=True)
class _Rows:
    """One language of a corpus: its pairs in order, and what tells whether two languages are aligned."""

    place: str
    texts: Sequence[Texts]
    marks: Sequence[str] = ()
    """A row's label, the same in every language; empty where rows have none."""


class ParallelText:
    """Every corpus of parallel text that a task can be aligned on; each is read when it is first asked for.

    Args:
        config: `source_language`, `shots` and `sample_seed` are used.
        locations: `fewshot_dir`, `parallel_dir` and `data_dir` are used.
    """

    def __init__(self, config: TaskConfig, locations: Locations) -> None:
        self._config, self._locations = config, locations
        self._readers: dict[str, Callable[[str], Sequence[ParallelPair]]] = {
            "fewshot": self._by_line(self._fewshot),
            "files": self._by_line(self._files),
            "pawsx": self._pawsx,
            "toy": self._by_line(_toy),
        }
        self._fingerprints: dict[tuple[str, str], str] = {}
        self._read: dict[tuple[str, str], tuple[ParallelPair, ...]] = {}

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """Pairs of a corpus in the source language and in `language`.

        Args:
            corpus: ``fewshot``, ``files``, ``pawsx`` or ``toy``.
            language: another than the source language.
            size: pairs, a sample drawn by the task's `sample_seed`; a smaller one is part of a larger one, and equally
                long corpora give the same rows in every language. None takes all.

        Raises:
            ConfigError: no such corpus, or it does not have the language, or a key that it needs is not set.
            DataError: a file is missing, empty or not aligned, or holds fewer than `size` pairs.
        """
        if corpus not in self._readers:
            raise ConfigError(f"unknown parallel corpus {corpus!r}; {nearest(corpus, self._readers)}")
        key = (corpus, language)
        if key not in self._read:
            self._read[key] = tuple(self._readers[corpus](language))
        found = self._read[key]
        if size is None:
            return found
        if size > len(found):
            raise DataError(
                f"the parallel corpus {corpus!r} has {len(found)} pairs in {language!r}, {size} are wanted; "
                f"take at most {len(found)}"
            )
        return sampling.by_size(found, size, seed=self._config.sample_seed, split=PARALLEL)

    def fingerprint(self, corpus: str, language: str) -> str:
        """16 hex digits of all pairs of a corpus in the source language and in `language`, before any sampling.

        Raises:
            ConfigError: as `pairs` does.
            DataError: as `pairs` does.
        """
        key = (corpus, language)
        if key not in self._fingerprints:
            pairs = self.pairs(corpus, language)
            self._fingerprints[key] = of_rows([pair.source, pair.target] for pair in pairs)
        return self._fingerprints[key]

    def where(self, corpus: str, language: str) -> str:
        """The corpus and the language, for messages."""
        return f"the parallel corpus {corpus!r} in {language!r}"

    def _by_line(self, rows: Callable[[str], _Rows]) -> Callable[[str], Sequence[ParallelPair]]:
        return lambda language: _aligned(rows(self._config.source_language), rows(language))

    def _fewshot(self, language: str) -> _Rows:
        shots = self._config.shots
        if self._locations.fewshot_dir is None or shots is None:
            raise ConfigError(
                "the parallel corpus 'fewshot' is the task's translated few-shot rows: it needs shots and fewshot_dir"
            )
        path = Path(self._locations.fewshot_dir).expanduser() / language / f"train-{shots}.jsonl"
        return _labelled(path, jsonl(path, "pair", ("sentence1", "sentence2", "gold")).examples)

    def _files(self, language: str) -> _Rows:
        if self._locations.parallel_dir is None:
            raise ConfigError(
                "the parallel corpus 'files' needs parallel_dir, the folder of <language>.txt files aligned by line"
            )
        folder = Path(self._locations.parallel_dir).expanduser()
        if (folder / f"{language}.tsv").is_file():
            return _two_columns(folder / f"{language}.tsv")
        path = folder / f"{language}.txt"
        if not path.is_file():
            have = {file.stem for file in folder.glob("*.t[xs][tv]")}  # .txt and .tsv
            raise DataError(f"parallel_dir: no {language}.txt in {str(folder)!r}; {nearest(language, have)}")
        lines = _lines(path)
        if len(lines) < 2:
            raise DataError(f"{path}: two lines make a pair, and there are {len(lines)}")
        return _Rows(str(path), list(zip(lines[::2], lines[1::2], strict=False)))

    def _pawsx(self, language: str) -> Sequence[ParallelPair]:
        from tunekit.tasks.classification import PAWSX_LANGUAGES

        source = self._config.source_language
        for name in (source, language):
            if name not in PAWSX_LANGUAGES:
                raise ConfigError(
                    f"the parallel corpus 'pawsx' has no text in {name!r}; {nearest(name, PAWSX_LANGUAGES)}"
                )
        if self._locations.data_dir is None:
            return _matched(_hub_rows(source), _hub_rows(language), language)
        folder = Path(self._locations.data_dir).expanduser() / "pawsx"
        paths = [folder / f"train-{name}.tsv" for name in (source, language)]
        rows = [_labelled(path, tsv_pairs(path, width=3).examples) for path in paths]
        return _aligned(rows[0], rows[1])


def _aligned(source: _Rows, target: _Rows) -> list[ParallelPair]:
    """Row by row."""
    if len(source.texts) != len(target.texts):
        raise DataError(
            f"{target.place}: {len(target.texts)} pairs, but {source.place} has {len(source.texts)}; "
            "parallel text is aligned row by row, so both need as many"
        )
    for number, (mine, theirs) in enumerate(zip(source.marks, target.marks, strict=True), 1):
        if mine != theirs:
            raise DataError(
                f"{target.place}: pair {number} is labelled {theirs!r}, but {mine!r} in {source.place}; "
                "the rows are not translations of each other"
            )
    return [ParallelPair(a, b) for a, b in zip(source.texts, target.texts, strict=True)]


def _lines(path: Path) -> list[str]:
    """Every line of a text; the line feed at its end begins no new one."""
    rows = rows_of(path)
    if rows and not rows[-1].strip():
        rows = rows[:-1]
    for number, row in enumerate(rows, 1):
        if not row.strip():
            raise DataError(
                f"{path}:{number}: an empty line; parallel text is aligned line by line, so each needs text"
            )
    return rows


def _two_columns(path: Path) -> _Rows:
    texts = []
    for number, row in enumerate(_lines(path), 1):
        cells = row.split("\t")
        if len(cells) != 2 or not all(cell.strip() for cell in cells):
            raise DataError(f"{path}:{number}: expected two texts by a tab, got {row[:60]!r}")
        texts.append((cells[0], cells[1]))
    return _Rows(str(path), texts)


def _labelled(path: Path, examples: Sequence[Any]) -> _Rows:
    if not examples:
        raise DataError(f"{path}: the file holds no examples")
    return _Rows(str(path), [(e.text_a, e.text_b) for e in examples], [e.label for e in examples])


def _toy(language: str) -> _Rows:
    from tunekit.toy import world as toy_world

    if language not in toy_world.LANGUAGES:
        raise ConfigError(
            f"the parallel corpus 'toy' has no text in {language!r}; {nearest(language, toy_world.LANGUAGES)}"
        )
    meanings = islice(toy_world.pairs("text"), NUM_TOY_PAIRS)
    texts = [(toy_world.text(a, language), toy_world.text(b, language)) for a, b, _ in meanings]
    return _Rows(f"toy world: text of {language!r}", texts)


def _hub_rows(language: str) -> Mapping[int, PairExample]:
    """PAWS-X's train pairs by id, without those that were never translated."""
    from tunekit.tasks.classification import PAWSX_HUB
    from tunekit.tasks.readers.hub import identified_pairs

    return identified_pairs(PAWSX_HUB, "train", language)


def _matched(source: Mapping[int, PairExample], target: Mapping[int, PairExample], language: str) -> list[ParallelPair]:
    """The pairs that both languages have, by id, in the order of the source."""
    found = []
    for identity, mine in source.items():
        theirs = target.get(identity)
        if theirs is None:
            continue
        if mine.label != theirs.label:
            raise DataError(
                f"pawsx: train pair {identity} is labelled {theirs.label!r} in {language!r} and {mine.label!r} in the "
                "source; the rows are not translations of each other"
            )
        found.append(ParallelPair((mine.text_a, mine.text_b), (theirs.text_a, theirs.text_b)))
    if not found:
        raise DataError(f"pawsx: train in {language!r} shares no id with the source")
    return found
