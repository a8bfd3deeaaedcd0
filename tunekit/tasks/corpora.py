"""Readers of parallel text: one language of a corpus each, as pairs of texts.

A reader takes the task's configuration, the places of this machine and a language; `CORPORA` in the registry names
them. Two languages of a corpus belong together row by row, or by a number of each row where rows have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks.examples import Example, PairExample
from tunekit.tasks.readers import pawsx as paws_x
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.readers.pairs import tsv_pairs
from tunekit.tasks.readers.rows import rows_of
from tunekit.tasks.readers.sources import DataAbsent
from tunekit.trial import Locations, TaskConfig

Texts = tuple[str, str]


@dataclass(frozen=True)
class CorpusRows:
    """One language of a corpus: its pairs of texts, and what tells whether two languages are aligned."""

    place: str
    """Where they come from, for messages."""
    texts: Sequence[Texts]
    labels: Sequence[str] = ()
    """Label of each row, the same in every language; empty where rows have none."""
    ids: Sequence[int] = ()
    """Number of each row, alike in every language; empty where rows are aligned by their order."""
    num_lines: int | None = None
    """Lines of text in the file, where languages are aligned by line."""
    lines_per_pair: int = 1


CorpusReader = Callable[[TaskConfig, Locations, str], CorpusRows]
"""``(config, locations, language) -> rows``."""


def fewshot(config: TaskConfig, locations: Locations, language: str) -> CorpusRows:
    """The few-shot train rows, which `fewshot_dir` holds in every language: ``<language>/train-<shots>.jsonl``.

    Raises:
        ConfigError: no shots or no fewshot_dir.
        DataError: the file is missing, empty or torn.
    """
    if locations.fewshot_dir is None or config.shots is None:
        raise ConfigError(
            "the parallel corpus 'fewshot' is the task's translated few-shot rows: it needs shots and fewshot_dir"
        )
    path = Path(locations.fewshot_dir).expanduser() / language / f"train-{config.shots}.jsonl"
    return _labelled(path, jsonl(path, "pair", ("sentence1", "sentence2", "gold")).examples)


def files(config: TaskConfig, locations: Locations, language: str) -> CorpusRows:
    """The text of `parallel_dir`: both columns of ``<language>.tsv``, or every two lines of ``<language>.txt``.

    Raises:
        ConfigError: no parallel_dir.
        DataAbsent: there is no such folder.
        DataError: the file is missing, or a line is empty or torn.
    """
    if locations.parallel_dir is None:
        raise ConfigError(
            "the parallel corpus 'files' needs parallel_dir, the folder of <language>.txt files aligned by line"
        )
    folder = Path(locations.parallel_dir).expanduser()
    if not folder.is_dir():
        raise DataAbsent(
            f"parallel_dir: no folder {str(folder)!r}; it should hold <language>.txt or <language>.tsv files"
        )
    columns, path = folder / f"{language}.tsv", folder / f"{language}.txt"
    if columns.is_file() and path.is_file():
        raise DataError(f"parallel_dir: both {columns.name} and {path.name} in {str(folder)!r}; keep the one to read")
    if columns.is_file():
        return _two_columns(columns)
    if not path.is_file():
        have = {file.stem for file in folder.glob("*.t[xs][tv]")}  # .txt and .tsv
        raise DataError(f"parallel_dir: no {language}.txt in {str(folder)!r}; {nearest(language, have)}")
    lines = _lines(path)
    if len(lines) < 2:
        raise DataError(f"{path}: two lines make a pair, and there are {len(lines)}")
    pairs = list(zip(lines[::2], lines[1::2], strict=False))  # ParallelText refuses an odd number of lines
    return CorpusRows(str(path), pairs, num_lines=len(lines), lines_per_pair=2)


def pawsx(config: TaskConfig, locations: Locations, language: str) -> CorpusRows:
    """PAWS-X's train pairs: from `data_dir`, aligned by row, else from the Hugging Face hub, with their numbers.

    Raises:
        ConfigError: PAWS-X does not have the language.
        DataError: the file or the data set is missing or torn.
    """
    require_text("pawsx", language, paws_x.LANGUAGES)
    if locations.data_dir is not None:
        path = Path(locations.data_dir).expanduser() / "pawsx" / f"train-{language}.tsv"
        return _with_translation(path, tsv_pairs(path, width=3).examples)
    found = paws_x.identified_pairs("train", language)
    texts = [(example.text_a, example.text_b) for example in found.values()]
    labels = [example.label for example in found.values()]
    return CorpusRows(paws_x.HUB.place("train", language), texts, labels, list(found))


def require_text(corpus: str, language: str, languages: Sequence[str]) -> None:
    """Raise a ConfigError where a corpus does not have a language."""
    if language not in languages:
        raise ConfigError(f"the parallel corpus {corpus!r} has no text in {language!r}; {nearest(language, languages)}")


def _lines(path: Path) -> list[str]:
    """Every line of a text; empty ones at its end are none."""
    rows = rows_of(path)
    while rows and not rows[-1].strip():
        rows.pop()
    for number, row in enumerate(rows, 1):
        if not row.strip():
            raise DataError(
                f"{path}:{number}: an empty line; parallel text is aligned line by line, so each needs text"
            )
    return rows


def _two_columns(path: Path) -> CorpusRows:
    texts = []
    for number, row in enumerate(_lines(path), 1):
        cells = row.split("\t")
        if len(cells) != 2 or not all(cell.strip() for cell in cells):
            raise DataError(f"{path}:{number}: expected two texts separated by a tab, got {row[:60]!r}")
        texts.append((cells[0], cells[1]))
    return CorpusRows(str(path), texts, num_lines=len(texts))


def _with_translation(path: Path, examples: Sequence[Example]) -> CorpusRows:
    """PAWS-X's rows that are translated, numbered by their place in the file."""
    whole = _labelled(path, examples)
    ids = [row for row, texts in enumerate(whole.texts, 1) if paws_x.is_translated(*texts)]
    kept = [row - 1 for row in ids]
    texts, labels = [whole.texts[row] for row in kept], [whole.labels[row] for row in kept]
    return CorpusRows(whole.place, texts, labels, ids, num_lines=len(whole.texts))


def _labelled(path: Path, examples: Sequence[Example]) -> CorpusRows:
    if not examples:
        raise DataError(f"{path}: the file holds no examples")
    pairs = [cast(PairExample, example) for example in examples]
    texts, labels = [(pair.text_a, pair.text_b) for pair in pairs], [pair.label for pair in pairs]
    return CorpusRows(str(path), texts, labels, num_lines=len(texts))
