"""Where the files of a sweep may lie: a folder, or a prefix in a bucket of an object store.

A folder is a :class:`pathlib.Path`. What is written as a URL (``s3://bucket/runs``) is a :class:`upath.UPath`, which
has the same names for parts of a path; fsspec and the store's own package stand behind it and are loaded only then.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.errors import ConfigError, nearest
from tunekit.storage import objects

if TYPE_CHECKING:
    from upath import UPath

    AnyPath = Path | UPath
else:
    AnyPath = object

STORES = {"s3": "s3", "gs": "gs", "memory": None}
"""How a URL of an object store begins, and the extra of tunekit that brings its package."""
TIMEOUTS = {"connect_timeout": 10, "read_timeout": 60}
"""Seconds, for a store that speaks S3; its package would wait for a minute to be connected."""

_BAD_URL = re.compile(r"(s3a?|gs|gcs|memory|file|https?|az|abfs):/", re.IGNORECASE)
_FOLDER_OF_A_ROOT = re.compile(r"[^\w.-]+")


def place(text: str | AnyPath) -> AnyPath:
    """The place that a person wrote: a folder, or ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX``.

    Nothing is read there; see :func:`require_place`.

    Raises:
        ConfigError: another kind of URL, the store's package is not installed, or ``~NAME`` is nobody's.
    """
    if not isinstance(text, str):
        return text
    scheme, is_url, rest = text.partition("://")
    if not is_url:
        if _BAD_URL.match(text):
            raise ConfigError(f"{text!r} is neither a folder nor a URL; right would be s3://BUCKET/PREFIX")
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise ConfigError(f"{text!r}: nobody of that name has a home folder here; write the whole path") from None
    if scheme not in STORES:
        raise ConfigError(f"{text!r}: unknown kind of storage {scheme!r}; {nearest(scheme, STORES)}; a folder has none")
    if not rest.strip("/"):
        raise ConfigError(f"{text!r} names no bucket; right would be {scheme}://BUCKET/PREFIX")
    return _in_a_store(scheme, rest.strip("/"))


def _in_a_store(scheme: str, key: str) -> UPath:
    text = f"{scheme}://{key}"
    try:
        from upath import UPath

        found: UPath = (
            UPath(text, protocol="s3", use_listings_cache=False, config_kwargs=TIMEOUTS)
            if scheme == "s3"
            else UPath(text, protocol=scheme, use_listings_cache=False)
        )
        found.fs  # noqa: B018  loads the store's package
    except ImportError as error:
        cure = f"install it with: pip install 'tunekit[{STORES[scheme]}]'"
        raise ConfigError(f"{text}: a package is missing ({error}); {cure}") from error
    return found


def folder_of_this_machine(text: str | Path) -> Path:
    """The folder that a person wrote, where a bucket will not do.

    Raises:
        ConfigError: it is a URL.
    """
    found = place(text)
    if not isinstance(found, Path):
        raise ConfigError(f"{text}: here a folder of this machine is needed, not an object store")
    return found


def require_place(root: AnyPath) -> None:
    """A root that is not there yet holds no sweeps; another thing than a folder or a bucket is a mistake.

    Raises:
        ConfigError: `root` is a file, its bucket does not exist, or it does not let us in.
    """
    if not isinstance(root, Path):
        objects.require_bucket(root)
    elif root.exists() and not root.is_dir():
        raise ConfigError(f"--root {root} is a file; name a folder")


def absolute(folder: AnyPath) -> AnyPath:
    """`folder` as another process with another working folder finds it."""
    return folder.absolute() if isinstance(folder, Path) else folder


def own_folder(folder: AnyPath, cache: Path) -> Path:
    """Where this machine keeps files that cannot grow in an object store, such as logs: `folder` itself if it can.

    Args:
        folder: a sweep's.
        cache: of this machine.
    """
    if isinstance(folder, Path):
        return folder
    text = str(folder)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]  # two roots may differ in a sign that no file name has
    return cache / "sweeps" / f"{_FOLDER_OF_A_ROOT.sub('-', text)}-{digest}"
