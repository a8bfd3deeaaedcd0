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

from collections.abc import Iterator

from tunekit.errors import DataError
from tunekit.registry import lookup
from tunekit.tasks.corpora import CorpusReader, CorpusRows
from tunekit.tasks.fingerprints import of_rows
from tunekit.tasks.parallel_pairs import PARALLEL, ParallelPair
from tunekit.tasks.sampling import by_size
from tunekit.trial import Locations, TaskConfig


class ParallelText:
    """Every corpus of parallel text that a task can be aligned on; each is read when it is first asked for.

    Args:
        config: `source_language`, `shots` and `learning_seed` are used.
        locations: `fewshot_dir`, `parallel_dir` and `data_dir` are used.
    """

    def __init__(self, config: TaskConfig, locations: Locations) -> None:
        self._config, self._locations = config, locations.here()
        self._pairs: dict[tuple[str, str], tuple[ParallelPair, ...]] = {}
        self._places: dict[tuple[str, str], str] = {}
        self._fingerprints: dict[tuple[str, str], str] = {}

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """Pairs of a corpus in the source language and in `language`.

        Args:
            corpus: ``fewshot``, ``files``, ``pawsx`` or ``toy``.
            language: another than the source language.
            size: pairs, a sample drawn by the task's `learning_seed`; a smaller one is part of a larger one, and
                equally long corpora give the same rows in every language. None takes all.

        Raises:
            ConfigError: no such corpus, or it does not have the language, or a key that it needs is not set.
            DataError: a file is missing, empty or not aligned, or holds fewer than `size` pairs.
        """
        found = self._read(corpus, language)
        if size is None:
            return found
        if size > len(found):
            raise DataError(
                f"the parallel corpus {corpus!r} has {len(found)} pairs in {language!r}, {size} are wanted; "
                f"take at most {len(found)}"
            )
        return by_size(found, size, seed=self._config.learning_seed, split=PARALLEL)

    def fingerprint(self, corpus: str, language: str) -> str:
        """16 hex digits of all pairs of a corpus in the source language and in `language`, before any sampling.

        Raises:
            ConfigError: as `pairs` does.
            DataError: as `pairs` does.
        """
        key = (corpus, language)
        if key not in self._fingerprints:
            self._fingerprints[key] = of_rows([pair.source, pair.target] for pair in self.pairs(corpus, language))
        return self._fingerprints[key]

    def where(self, corpus: str, language: str) -> str:
        """Where the pairs come from: both files, or both parts of a data set, if they have been read.

        Gives the name of the corpus and the language otherwise.
        """
        return self._places.get((corpus, language), f"the parallel corpus {corpus!r} in {language!r}")

    def _read(self, corpus: str, language: str) -> tuple[ParallelPair, ...]:
        key = (corpus, language)
        if key not in self._pairs:
            reader: CorpusReader = lookup("parallel corpus", corpus)
            target = reader(self._config, self._locations, language)
            source = reader(self._config, self._locations, self._config.source_language)
            self._places[key] = f"{source.place} and {target.place}"
            _require_as_many_lines(source, target)
            self._pairs[key] = tuple(_by_id(source, target) if source.ids else _by_row(source, target))
        return self._pairs[key]


def _require_as_many_lines(source: CorpusRows, target: CorpusRows) -> None:
    """Raise a DataError where texts cannot be translations of each other line by line."""
    if source.num_lines is None or target.num_lines is None:
        return
    counts = f"{_num_lines(target)}, but {_num_lines(source)}"
    if source.num_lines * target.lines_per_pair != target.num_lines * source.lines_per_pair:
        raise DataError(f"{counts}; parallel text is aligned line by line, so both need as many")
    for rows in (source, target):
        if rows.num_lines is not None and rows.num_lines % rows.lines_per_pair:
            raise DataError(f"{rows.place} has {rows.num_lines} lines; two lines make a pair, so one is too many")


def _num_lines(rows: CorpusRows) -> str:
    return f"{rows.place} has {rows.num_lines} line" + "s" * (rows.num_lines != 1)


def _by_row(source: CorpusRows, target: CorpusRows) -> Iterator[ParallelPair]:
    if len(source.texts) != len(target.texts):
        raise DataError(
            f"{target.place}: {len(target.texts)} pairs, but {source.place} has {len(source.texts)}; "
            "parallel text is aligned row by row, so both need as many"
        )
    for number, (mine, theirs) in enumerate(zip(source.labels, target.labels, strict=True), 1):
        _require_one_label(source, target, number, (mine, theirs))
    yield from map(ParallelPair, source.texts, target.texts)


def _by_id(source: CorpusRows, target: CorpusRows) -> Iterator[ParallelPair]:
    """The pairs that both languages have, by number, in the order of the source."""
    rows = {identity: row for row, identity in enumerate(target.ids)}
    if rows.keys().isdisjoint(source.ids):
        raise DataError(f"{target.place}: shares no id with {source.place}")
    for row, identity in enumerate(source.ids):
        if identity in rows:
            other = rows[identity]
            _require_one_label(source, target, identity, (source.labels[row], target.labels[other]))
            yield ParallelPair(source.texts[row], target.texts[other])


def _require_one_label(source: CorpusRows, target: CorpusRows, number: int, labels: tuple[str, str]) -> None:
    mine, theirs = labels
    if mine != theirs:
        raise DataError(
            f"{target.place}: pair {number} is labelled {theirs!r}, but {mine!r} in {source.place}; "
            "the rows are not translations of each other"
        )
