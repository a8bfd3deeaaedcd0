"""Where the examples of a task come from: files by split and language."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks.examples import SPLITS, Example, Languages, Reader, Split
from tunekit.tasks.fingerprints import of_file
from tunekit.tasks.readers.parsed import Parsed, ReadingNotes

Paths = Mapping[Split, Mapping[str, Path]]


class DataAbsent(DataError):
    """Nothing of the data is on this machine: there is no such folder, or the hub cannot be reached."""


class Source(Protocol):
    """What a :class:`tunekit.tasks.Task` reads from."""

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """Every example of a split in a language, in file order."""

    def languages(self, split: Split) -> Sequence[str] | None:
        """Languages that have the split, or None if only reading tells; nothing is read."""

    def place(self, split: Split, language: str) -> str:
        """Where the examples come from, for a message: a file, or a data set and its split."""

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """Where a word (or pair) stands, for a message."""

    def fingerprint(self, split: Split, language: str) -> str | None:
        """The fingerprint of a split in a language, or None where only its examples, once read, have one."""

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """What was left out and decided; reads the split if it was not read before."""


@dataclass(frozen=True)
class Files:
    """One file for each split and language."""

    paths: Paths
    parse: Callable[[Path, str], Parsed]
    """``(path, language) -> Parsed``."""
    formats: Mapping[str, str] = field(default_factory=dict)
    """Format by suffix, where the suffix decides how a file is read."""
    _notes: dict[Path, ReadingNotes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """Every example of the file, in its order.

        Raises:
            DataError: the file is missing, holds nothing, or has a broken line.
        """
        path = self.paths[split][language]
        parsed = self.parse(path, language)
        self._notes[path] = parsed.reading(str(path))
        if not parsed.examples:
            raise DataError(f"{path}: the file holds no examples")
        return parsed.examples

    def languages(self, split: Split) -> Sequence[str]:
        """Languages that have a file for the split."""
        return tuple(self.paths.get(split, ()))

    def place(self, split: Split, language: str) -> str:
        """The file's path."""
        return str(self.paths[split][language])

    def fingerprint(self, split: Split, language: str) -> str:
        """Of the file's bytes (and of its format, where its suffix decides that); nothing is parsed.

        Raises:
            DataError: the file is missing or cannot be read.
        """
        path = self.paths[split][language]
        return of_file(path, self.formats.get(path.suffix.lower()))

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """``path:line``. Reads the file again: lines are wanted only when something is wrong."""
        path = self.paths[split][language]
        return f"{path}:{self.parse(path, language).lines[index][word]}"

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """What was left out of the file and decided about it; only the notes are kept."""
        path = self.paths[split][language]
        if path not in self._notes:
            self.read(split, language)
        return self._notes[path]


@dataclass(frozen=True)
class Drawn:
    """Train and dev from one source (a fixed few-shot draw), test from another."""

    draw: Source
    whole: Source

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """From the draw, or for test from the whole."""
        return self._of(split).read(split, language)

    def languages(self, split: Split) -> Sequence[str] | None:
        """Of the draw, or for test of the whole."""
        return self._of(split).languages(split)

    def place(self, split: Split, language: str) -> str:
        """As the source of the split says."""
        return self._of(split).place(split, language)

    def fingerprint(self, split: Split, language: str) -> str | None:
        """As the source of the split says."""
        return self._of(split).fingerprint(split, language)

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """As the source of the split says."""
        return self._of(split).locate(split, language, index, word)

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """As the source of the split says."""
        return self._of(split).reading(split, language)

    def _of(self, split: Split) -> Source:
        return self.whole if split == "test" else self.draw


@dataclass(frozen=True)
class Given:
    """Examples that a function gives."""

    name: str
    """Of the task, for messages."""
    function: Reader
    known: Languages | None = None
    """Which languages have a split; None takes any language."""
    mark: str | None = None
    """The fingerprint, where the examples need not tell it."""

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """What the function gives."""
        return self.function(split, language)

    def languages(self, split: Split) -> Sequence[str] | None:
        """Languages that have the split, if that is known."""
        return None if self.known is None else self.known(split)

    def place(self, split: Split, language: str) -> str:
        """The task, the split and the language."""
        return f"{self.name}: {split} of {language!r}"

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """The number of the example and that of the word."""
        return f"{self.place(split, language)}, example {index}, word {word}"

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """Nothing is left out of what a function gives."""
        return ReadingNotes(self.place(split, language))

    def fingerprint(self, split: Split, language: str) -> str | None:
        """None: the examples are digested, unless `mark` is given."""
        return self.mark


def in_folder(folder: Path) -> Paths:
    """The files ``<split>-<language>.tsv`` of a folder.

    Raises:
        DataAbsent: there is no such folder.
        DataError: there is no such file in it.
    """
    if not folder.is_dir():
        raise DataAbsent(f"data_dir: no folder {str(folder)!r}; it should hold <split>-<language>.tsv files")
    found = _by_split(
        (file, re.fullmatch(r"(?P<split>train|dev|test)-(?P<language>.+)\.tsv", file.name)) for file in folder.iterdir()
    )
    if not found:
        raise DataError(f"data_dir: no <split>-<language>.tsv (such as train-en.tsv) in {str(folder)!r}")
    return found


def in_fewshot_folder(folder: Path, shots: int) -> Paths:
    """The files ``<language>/<split>-<shots>.jsonl`` of a folder of fixed draws.

    Raises:
        DataAbsent: there is no such folder.
        DataError: there is no draw of this size in it (those that exist are named).
    """
    if not folder.is_dir():
        raise DataAbsent(
            f"fewshot_dir: no folder {str(folder)!r}; it should hold <language>/<split>-<shots>.jsonl files"
        )
    name = re.compile(r"(?P<split>train|dev)-(?P<shots>\d+)\.jsonl")
    matches = [(file, name.fullmatch(file.name)) for file in sorted(folder.glob("*/*.jsonl"))]
    sizes = sorted({int(match["shots"]) for _, match in matches if match})
    if shots not in sizes:
        have = ", ".join(map(str, sizes)) or "none"
        raise DataError(f"shots is {shots}, but {str(folder)!r} has no draw of that size (sizes there: {have})")
    found: dict[Split, dict[str, Path]] = {}
    for file, match in matches:
        if match and int(match["shots"]) == shots:
            found.setdefault(cast(Split, match["split"]), {})[file.parent.name] = file
    return found


def by_pattern(pattern: str) -> Paths:
    """The files that a pattern with ``{split}`` (train, dev, test) and ``{language}`` finds.

    Raises:
        ConfigError: a placeholder is missing or unknown.
        DataError: no file matches.
    """
    places = ("{split}", "{language}")
    for name in re.findall(r"\{[^{}]*\}", pattern):
        if name not in places:
            raise ConfigError(f"files: unknown placeholder {name!r} in {pattern!r}; {nearest(name, places)}")
    for name in places:
        if name not in pattern:
            raise ConfigError(
                f"files: {pattern!r} has no {name}; the pattern should look like 'data/{{language}}-{{split}}.conll'"
            )
    parts = re.split(r"(\{split\}|\{language\})", str(Path(pattern).expanduser()))
    wanted, seen = "", set()
    for part in parts:
        if part not in places:
            wanted += re.escape(part)
        elif part in seen:
            wanted += f"(?P={part[1:-1]})"
        else:
            seen.add(part)
            wanted += f"(?P<{part[1:-1]}>" + ("train|dev|test)" if part == "{split}" else r"[^/\\]+)")
    files = glob.glob("".join("*" if part in places else glob.escape(part) for part in parts))
    found = _by_split((Path(file), re.fullmatch(wanted, file)) for file in files)
    if not found:
        raise DataError(f"files: nothing matches {pattern!r} (looked from {str(Path.cwd())!r})")
    return found


def by_mapping(files: Mapping[str, object]) -> Paths:
    """The files of ``{split: {language: path}}``.

    Raises:
        ConfigError: an unknown split, or a value that is not a path.
    """
    found: dict[Split, dict[str, Path]] = {}
    for split, paths in files.items():
        if split not in SPLITS:
            raise ConfigError(f"files: unknown split {split!r}; {nearest(str(split), SPLITS)}")
        if not isinstance(paths, Mapping):
            raise ConfigError(
                f"files: {split} is {paths!r}, must be languages and their paths, such as {{en: en.conll}}"
            )
        for language, path in paths.items():
            if not isinstance(language, str):
                raise ConfigError(
                    f"files: {split} names the language {language!r}; YAML reads no, off, yes and on as true or false: "
                    "put the word in quotes"
                )
            if not isinstance(path, str):
                raise ConfigError(f"files: {split}: {language} is {path!r}, must be a path")
            found.setdefault(split, {})[language] = Path(path).expanduser()
    return found


def _by_split(matches: Iterable[tuple[Path, re.Match[str] | None]]) -> Paths:
    found: dict[Split, dict[str, Path]] = {}
    for file, match in sorted(matches, key=lambda item: item[0]):
        if match:
            found.setdefault(cast(Split, match["split"]), {})[match["language"]] = file
    return found
