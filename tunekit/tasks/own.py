"""A task of the user's own files: ``kind: token | pair``, ``files`` and, where the defaults do not fit, ``columns``.

| suffix | kind token | kind pair |
|---|---|---|
| .conllu | FORM and UPOS | - |
| .conll .bio .iob .iob2 .txt .tsv | first and last column, between tabs or blanks | between tabs (.txt, .tsv) |
| .csv | the same in quotes between commas; an empty row or a sentence number ends a sentence | two texts and a label |
| .jsonl .ndjson | ``words`` and ``labels``, lists | ``sentence1``, ``sentence2``, ``label`` |

A header row with the usual names is found, and so are comments; ``separator``, ``comment`` and ``header`` say it where
a file is ambiguous. ``separator: comma`` reads any suffix as .csv, ``separator: tab`` a .csv with tabs.

The label inventory is what train in the source language shows, sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.registry import TASKS
from tunekit.tasks.examples import Kind
from tunekit.tasks.readers.conllu import conllu
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.readers.layout import ROLES, Said, refuse_names
from tunekit.tasks.readers.pairs import csv_pairs, tsv_pairs
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.sources import Files, by_mapping, by_pattern
from tunekit.tasks.readers.words import conll, csv_tokens
from tunekit.tasks.task import Task
from tunekit.trial import Locations, TaskConfig

METRICS: dict[Kind, tuple[str, ...]] = {"token": ("accuracy", "f1"), "pair": ("accuracy",)}

FORMATS: dict[Kind, dict[str, str]] = {
    "token": {
        **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".txt", ".tsv"), "columns"),
        **{".conllu": "conllu", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"},
    },
    "pair": {".txt": "columns", ".tsv": "columns", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"},
}
"""Format by suffix."""

Reader = Callable[[Path, Sequence[str], Said], Parsed]
READERS: dict[Kind, dict[str, Reader]] = {
    "token": {
        "columns": lambda path, columns, said: conll(path, columns, said=said),
        "conllu": lambda path, columns, said: conllu(path, columns),
        "csv": lambda path, columns, said: csv_tokens(path, columns, said=said),
        "jsonl": lambda path, columns, said: jsonl(path, "token", columns),
    },
    "pair": {
        "columns": lambda path, columns, said: tsv_pairs(path, columns, said=said),
        "csv": lambda path, columns, said: csv_pairs(path, columns, said=said),
        "jsonl": lambda path, columns, said: jsonl(path, "pair", columns),
    },
}
"""``(path, columns, said) -> Parsed`` by format."""


def load_own(config: TaskConfig, locations: Locations) -> Task:
    """The task of `locations.files`.

    Raises:
        ConfigError: a name that is taken, no files, or columns or a metric that do not fit the kind.
        DataError: no file is there.
    """
    kind, given = config.kind, locations.files
    if kind is None or config.name in TASKS:
        raise ConfigError(
            f"task: kind is {kind!r}, which is only for files of your own, but {config.name!r} is built in"
        )
    if given is None:
        raise ConfigError(f"task {config.name!r}: kind is {kind!r}, so files must say where its files are")
    _check_keys(config, kind)
    paths = by_pattern(given) if isinstance(given, str) else by_mapping(given)
    readers, formats = READERS[kind], _formats(config, kind)
    said = Said(config.separator, config.comment, config.header)
    for path in (path for by_language in paths.values() for path in by_language.values()):
        if path.suffix.lower() not in formats:
            raise DataError(f"{path}: no reader of kind {kind} for {path.suffix!r}; {nearest(path.suffix, formats)}")
        _check_said(config, kind, path, formats[path.suffix.lower()])

    def parse(path: Path, language: str) -> Parsed:
        return readers[formats[path.suffix.lower()]](path, config.columns, said)

    return Task.of(config, Files(paths, parse, formats), kind=kind, metric=config.metric)


def _formats(config: TaskConfig, kind: Kind) -> dict[str, str]:
    if config.separator != "comma":
        return FORMATS[kind]
    return {suffix: "csv" if name == "columns" else name for suffix, name in FORMATS[kind].items()}


def _check_said(config: TaskConfig, kind: Kind, path: Path, name: str) -> None:
    """Refuse what has no effect on a file of this format, and separators that it cannot have."""
    for key in ("separator", "comment", "header"):
        if getattr(config, key) is not None and name in ("conllu", "jsonl"):
            raise ConfigError(f"task: {key} has no effect on {path}, whose format settles it; drop it")
    if config.separator == "space" and (kind == "pair" or name == "csv"):
        raise ConfigError(
            f"task: separator is 'space', but blanks cannot separate "
            f"{'texts' if kind == 'pair' else 'quoted cells'} in {path}; tab or comma is right"
        )


def _check_keys(config: TaskConfig, kind: Kind) -> None:
    if config.draw == "files":
        raise ConfigError(
            f"task {config.name!r}: draw is 'files', which only xnli and pawsx read; 'sampled' draws here"
        )
    if config.metric is not None and config.metric not in METRICS[kind]:
        raise ConfigError(f"task: metric is {config.metric!r} for kind {kind}; {nearest(config.metric, METRICS[kind])}")
    if config.comment is not None and not config.comment.strip():
        raise ConfigError(f"task: comment is {config.comment!r}, must be how comment lines begin, such as '# '")
    if config.header is False:
        refuse_names(config.columns)
    roles = ROLES[kind]
    if config.columns and len(config.columns) != len(roles):
        raise ConfigError(f"task: columns is {list(config.columns)!r}, must name {len(roles)}: {', '.join(roles)}")
    if len(set(config.columns)) < len(config.columns):
        raise ConfigError(f"task: columns is {list(config.columns)!r}, must name {len(roles)} different columns")
