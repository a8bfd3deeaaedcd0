"""A task of the user's own files: ``kind: token | pair``, ``files`` and, where the defaults do not fit, ``columns``.

| suffix | kind token | kind pair |
|---|---|---|
| .conllu | FORM and UPOS | - |
| .conll .bio .iob .iob2 .txt .tsv | first and last column, between tabs or spaces | between tabs (.txt, .tsv) |
| .csv | the same between commas, with an empty row after each sentence | two texts and a label |
| .jsonl .ndjson | ``words`` and ``labels``, lists | ``sentence1``, ``sentence2``, ``label`` |

The label inventory is what train in the source language shows, sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.registry import TASKS
from tunekit.tasks.examples import Kind
from tunekit.tasks.readers.files import ROLES, conll, conllu, csv_pairs, csv_tokens, tsv_pairs
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.sources import Files, by_mapping, by_pattern
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

Reader = Callable[[Path, Sequence[str]], Parsed]
READERS: dict[Kind, dict[str, Reader]] = {
    "token": {
        "columns": conll,
        "conllu": conllu,
        "csv": csv_tokens,
        "jsonl": lambda path, columns: jsonl(path, "token", columns),
    },
    "pair": {
        "columns": tsv_pairs,
        "csv": csv_pairs,
        "jsonl": lambda path, columns: jsonl(path, "pair", columns),
    },
}
"""``(path, columns) -> Parsed`` by format."""


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
    readers, formats = READERS[kind], FORMATS[kind]
    for path in (path for by_language in paths.values() for path in by_language.values()):
        if path.suffix.lower() not in formats:
            raise DataError(f"{path}: no reader of kind {kind} for {path.suffix!r}; {nearest(path.suffix, formats)}")

    def parse(path: Path, language: str) -> Parsed:
        return readers[formats[path.suffix.lower()]](path, config.columns)

    return Task.of(config, Files(paths, parse, formats), kind=kind, metric=config.metric)


def _check_keys(config: TaskConfig, kind: Kind) -> None:
    if config.draw == "files":
        raise ConfigError(
            f"task {config.name!r}: draw is 'files', which only xnli and pawsx read; 'sampled' draws here"
        )
    if config.metric is not None and config.metric not in METRICS[kind]:
        raise ConfigError(f"task: metric is {config.metric!r} for kind {kind}; {nearest(config.metric, METRICS[kind])}")
    roles = ROLES[kind]
    if config.columns and len(config.columns) != len(roles):
        raise ConfigError(f"task: columns is {list(config.columns)!r}, must name {len(roles)}: {', '.join(roles)}")
