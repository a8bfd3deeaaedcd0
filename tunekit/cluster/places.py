"""Which files of this machine a sweep names, and where they are on a cluster once they have been shipped.

A path that begins with ``~`` or a variable is the cluster's own affair. A path that is not on this machine is taken to
be on the cluster. Whatever else is named is shipped: of a folder in XTREME's layout the tasks and languages of the
sweep, of a backbone one set of weights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunekit.schema import JsonObject, Values, canonical_json, to_json
from tunekit.sweep import Arm, Sweep
from tunekit.sweep.paths import with_paths

HERE = "$PWD"
"""The folder of the shipped files, on every node: Ray makes it the current folder of the job and of its workers."""
FOLDER = "files"
"""Where data and backbones are in there."""
OTHER_WEIGHTS = re.compile(
    r"pytorch_model.*|tf_model\..*|flax_model\..*|model\.onnx.*|rust_model\..*|.*\.(h5|msgpack|ot)"
)
"""The same weights again, where a folder holds them as safetensors."""
_PLACES = re.compile(r"\{(?:split|language)\}")
_OF_A_LANGUAGE = re.compile(r"(?:train|dev|test)-(?P<split>.+)\.tsv|(?P<text>[^-]+)\.(?:txt|tsv)")


@dataclass(frozen=True, kw_only=True)
class Item:
    """Files that are shipped together."""

    what: str
    """``data``, ``backbone``, ``code``, ... as it is shown."""
    source: str
    """Where they are on this machine."""
    files: Mapping[str, Path]
    """What is shipped, by its name in the package."""

    @property
    def num_bytes(self) -> int:
        """Of all files, not packed."""
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A sweep's definition as the cluster reads it, and what it takes."""

    definition: JsonObject
    items: tuple[Item, ...]
    left: tuple[str, ...]
    """Of each path that is not shipped: the path and why."""


def place(sweep: Sweep, *, with_data: bool = True) -> Placed:
    """What a cluster needs beside code to run `sweep`.

    Args:
        sweep: as it was read on this machine.
        with_data: ship data and backbones; else every path is taken to be right on the cluster.
    """
    placing = _Placing(sweep, with_data=with_data)
    definition = with_paths(sweep.definition, placing.change)
    if sweep.definition.get("references"):
        definition["references"] = [placing.reference(path) for path in sweep.definition["references"]]
    return Placed(definition=definition, items=tuple(placing.items.values()), left=tuple(dict.fromkeys(placing.left)))


class _Placing:
    def __init__(self, sweep: Sweep, *, with_data: bool) -> None:
        self._sweep, self._with_data = sweep, with_data
        self.items: dict[str, Item] = {}
        self.left: list[str] = []

    def change(self, key: str, path: str) -> str:
        """The path on the cluster; what it leads to is noted."""
        reason = self._reason_to_leave(key, path)
        if reason is not None:
            self.left.append(f"{path}: {reason}")
            return path
        if path not in self.items:
            start = _fixed_part(path) if key == "files" else Path(path)
            prefix = f"{FOLDER}/{len(self.items)}/{'' if key == 'files' else start.name}"
            files = {os.path.normpath(f"{prefix}/{f.relative_to(start)}"): f for f in self._files(key, path, start)}
            what = "backbone" if key == "backbone" else "data"
            self.items[path] = Item(what=what, source=path, files=files)
        number = list(self.items).index(path)
        name = str(Path(path).relative_to(_fixed_part(path))) if key == "files" else Path(path).name
        return f"{HERE}/{FOLDER}/{number}/{name}"

    def reference(self, path: str) -> str:
        """A file of published figures, beside the sweep file; only the driver reads it."""
        if path.startswith(("~", "$")):
            self.left.append(f"{path}: is filled in on the cluster")
            return path
        if path not in self.items:
            name = f"{FOLDER}/{len(self.items)}/{Path(path).name}"
            self.items[path] = Item(what="published figures", source=path, files={name: Path(path)})
        return next(iter(self.items[path].files))

    def _reason_to_leave(self, key: str, path: str) -> str | None:
        if path.startswith("~") or "$" in path:
            return "is filled in on the cluster"
        if key == "cache_dir":
            return "is made on the cluster"
        if not self._with_data:
            return "--no-data: must be on the cluster"
        found = _matching(path) if key == "files" else [Path(path)]
        if not any(p.exists() for p in found):
            return "is not on this machine, so it must be on the cluster"
        return None

    def _files(self, key: str, path: str, start: Path) -> Iterable[Path]:
        """Those that the sweep reads of what is at `path`."""
        if start.is_file():
            return [start]
        if key == "files":
            return [p for p in _matching(path) if p.is_file()]
        if key == "backbone":
            return _backbone_files(start)
        arms = [arm for arm in self._sweep.arms if path in (to_json(arm.locations).get(key),)]
        names = _languages(arms)
        roots = _task_folders(start, arms) if key == "data_dir" else [start]
        return [p for root in roots for p in _files_under(root) if _is_wanted(p.relative_to(start), key, names)]


def _languages(arms: Sequence[Arm]) -> frozenset[str]:
    return frozenset(name for arm in arms for name in (arm.task.source_language, *arm.task.target_languages))


def _task_folders(data_dir: Path, arms: Sequence[Arm]) -> list[Path]:
    """The folders of the tasks in one in XTREME's layout; all of another one."""
    names = {arm.task.name for arm in arms}
    if "pawsx" in canonical_json([[arm.fixed, to_json(arm.space)] for arm in arms]):  # its parallel text
        names.add("pawsx")
    return [data_dir / name for name in sorted(names) if (data_dir / name).is_dir()] or [data_dir]


def _is_wanted(path: Path, key: str, languages: frozenset[str]) -> bool:
    """Whether a file may be read; one that is clearly of a language that the sweep does not have is not."""
    if key == "fewshot_dir":
        return len(path.parts) < 2 or path.parts[0] in languages
    found = _OF_A_LANGUAGE.fullmatch(path.name)
    if found is None or (key == "data_dir" and found["split"] is None):
        return True
    return (found["split"] or found["text"]) in languages


def _backbone_files(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    is_safe = any(path.suffix == ".safetensors" for path in found)
    return [path for path in sorted(found) if not (is_safe and OTHER_WEIGHTS.fullmatch(path.name))]


def _files_under(folder: Path) -> Iterator[Path]:
    """Every file of a folder, hidden ones and Python's caches left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def _fixed_part(pattern: str) -> Path:
    """The folder that a pattern of `files` does not vary; of a path, its folder."""
    return Path(_PLACES.split(pattern)[0] + "x").parent


def _matching(pattern: str) -> list[Path]:
    """What a pattern with ``{split}`` and ``{language}`` finds, or the one file of a path without."""
    if not _PLACES.search(pattern):
        return [Path(pattern)]
    start = _fixed_part(pattern)
    rest = _PLACES.sub("*", str(Path(pattern).relative_to(start)))
    return sorted(start.glob(rest)) if start.is_dir() else []


def code_files(folder: Path) -> list[Path]:
    """The files of a package, or a module's own."""
    return [folder] if folder.is_file() else list(_files_under(folder))


def definition_text(definition: Values) -> bytes:
    """A definition as the sweep file that is shipped."""
    import yaml

    return yaml.safe_dump(to_json(definition), sort_keys=False, allow_unicode=True).encode()
