"""Tiny backbones made here: a BERT-like and a causal XGLM-like model, pretrained on the toy world's unlabelled text.

A backbone is a folder in the Hugging Face format, language-model head included, built once a machine (half a minute on
one core) and cached under a name that holds a hash of its recipe and of the code that carries it out.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tunekit.errors import StorageError
from tunekit.schema import canonical_json
from tunekit.toy import documents, pretraining
from tunekit.toy import world as toy_world
from tunekit.toy.pretraining import Progress, Recipe, build
from tunekit.trial import Locations

__all__ = ["BERT", "XGLM", "Progress", "Recipe", "bert_folder", "build", "cache_dir", "folder", "xglm_folder"]

BERT = Recipe(architecture="bert")
"""The recipe of ``toy-bert``."""
XGLM = Recipe(architecture="xglm")
"""The recipe of ``toy-xglm``."""
MANIFEST = "complete.json"
"""Holds the SHA-256 of every other file of the folder, so that a torn one is recognised."""


def bert_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-bert``, which reads in both directions; pretrained first if it is not cached yet."""
    return folder(BERT, locations, progress)


def xglm_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-xglm``, which reads from left to right; pretrained first if it is not cached yet."""
    return folder(XGLM, locations, progress)


def folder(recipe: Recipe, locations: Locations, progress: Progress | None = None) -> Path:
    """The cached folder of `recipe`'s backbone, built if it is missing or torn.

    Processes may race: one builds and the others wait for it. A folder appears whole or not at all.

    Raises:
        StorageError: the cache cannot be written.
    """
    root = cache_dir(locations)
    target = root / f"toy-{recipe.architecture}-{_digest(recipe)}"
    if _is_whole(target):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f".{target.name}.lock"):
            if not _is_whole(target):
                _build_anew(target, recipe, progress)
    except OSError as error:
        right = "set TUNEKIT_CACHE (or cache_dir) to a folder that can be written"
        raise StorageError(f"cannot keep the toy backbone in {str(root)!r}: {error}; {right}") from error
    return target


def cache_dir(locations: Locations) -> Path:
    """Where toy backbones are kept: ``locations.cache_dir``, else ``$TUNEKIT_CACHE``, else ``~/.cache/tunekit``."""
    chosen = locations.cache_dir or os.environ.get("TUNEKIT_CACHE") or "~/.cache/tunekit"
    return Path(chosen).expanduser()


def _digest(recipe: Recipe) -> str:
    code = "".join(inspect.getsource(module) for module in (toy_world, documents, pretraining))
    return hashlib.sha256((canonical_json(recipe) + code).encode()).hexdigest()[:12]


def _build_anew(target: Path, recipe: Recipe, progress: Progress | None) -> None:
    """Build beside `target`, then put the whole folder in its place at once."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        draft = scratch / "draft"
        build(recipe, draft, progress)
        (draft / MANIFEST).write_text(json.dumps(_checksums(draft)), encoding="utf-8")
        # Without locks (some network file systems) another process may have come first: then its folder stays.
        if not _is_whole(target):
            if target.exists():
                target.rename(scratch / "torn")
            draft.rename(target)
    except OSError:
        if not _is_whole(target):
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _checksums(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.iterdir() if path.name != MANIFEST)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_whole(place: Path) -> bool:
    try:
        return bool(json.loads((place / MANIFEST).read_bytes()) == _checksums(place))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that falls with the process; where the system has none, go on without."""
    with path.open("w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
