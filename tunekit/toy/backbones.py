"""Tiny backbones made here: a BERT-like and a causal XGLM-like model, pretrained on the toy world's unlabelled text.

A backbone is a folder in the Hugging Face format, language-model head included. It is built once on each machine (half
a minute on one core) and cached under a name that holds a hash of its recipe and of the code that carries it out.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tunekit.errors import StorageError
from tunekit.schema import canonical_json
from tunekit.storage import Lock, cache_folder, read_json, remove_folder, storage_errors, write_json
from tunekit.toy import documents, pretraining, world
from tunekit.toy.pretraining import Progress, Recipe, build
from tunekit.trial import Locations

__all__ = ["BERT", "XGLM", "Progress", "Recipe", "bert_folder", "build", "folder", "xglm_folder"]

BERT = Recipe(architecture="bert")
"""The recipe of ``toy-bert``."""
XGLM = Recipe(architecture="xglm")
"""The recipe of ``toy-xglm``."""
MANIFEST = "complete.json"
"""Holds the SHA-256 of every other file of the folder, so that a torn one is recognised."""
RETRY_S = 0.1
"""Seconds between two looks at whether another process has finished building."""


def bert_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-bert``, which reads in both directions; pretrained first if it is not cached yet."""
    return folder(BERT, locations, progress)


def xglm_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-xglm``, which reads from left to right; pretrained first if it is not cached yet."""
    return folder(XGLM, locations, progress)


def folder(recipe: Recipe, locations: Locations, progress: Progress | None = None) -> Path:
    """The cached folder of a recipe's backbone, built if it is missing or torn.

    Where several processes ask for it, one builds and the others wait. A folder appears whole or not at all.

    Args:
        recipe: what to build.
        locations: `cache_dir` is the cache; None is ``$TUNEKIT_CACHE`` or ``~/.cache/tunekit``.
        progress: called after each update of pretraining.

    Raises:
        StorageError: the cache cannot be written.
    """
    root = cache_folder(locations.cache_dir)
    target = root / f"toy-{recipe.architecture}-{_digest(recipe)}"
    if _is_whole(target):
        return target
    cure = "set TUNEKIT_CACHE (or cache_dir) to a folder that can be written"
    with storage_errors(f"keep the toy backbone in {str(root)!r}", cure):
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f".{target.name}.lock"):
            if not _is_whole(target):
                _build_anew(target, recipe, progress)
    return target


def _digest(recipe: Recipe) -> str:
    code = "".join(inspect.getsource(module) for module in (world, documents, pretraining))
    return hashlib.sha256((canonical_json(recipe) + code).encode()).hexdigest()[:12]


def _build_anew(target: Path, recipe: Recipe, progress: Progress | None) -> None:
    """Build beside `target`, then put the whole folder in its place at once."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        draft = scratch / "draft"
        build(recipe, draft, progress)
        write_json(draft / MANIFEST, _checksums(draft))
        # Without locks (some network file systems) another process may have come first: then its folder stays.
        if not _is_whole(target):
            if target.exists():
                target.rename(scratch / "torn")
            draft.rename(target)
    except OSError:
        if not _is_whole(target):
            raise
    finally:
        remove_folder(scratch)


def _checksums(place: Path) -> dict[str, str]:
    # Of the bytes on the disk, every time: after a crash a file may have its size and time but not its content.
    files = sorted(path for path in place.iterdir() if path.name != MANIFEST)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_whole(place: Path) -> bool:
    try:
        return read_json(place / MANIFEST) == _checksums(place)
    except (OSError, StorageError):
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, after whoever else holds it; where the file system has no locks, go on without."""
    lock: Lock | None = None
    with contextlib.suppress(StorageError):
        while lock is None:
            try:
                lock = Lock(path)
            except BlockingIOError:
                time.sleep(RETRY_S)
    try:
        yield
    finally:
        if lock is not None:
            lock.close()
