"""Versions of all that decides a trial's result."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from tunekit.storage.source_code import files_digest, package_digest
from tunekit.version import __version__


@cache
def versions(method: str) -> dict[str, str]:
    """Of the libraries that decide a result, of tunekit's own code, and of the module of a method outside it."""
    found = {name: _version(name) for name in ("torch", "transformers", "tokenizers", "peft", "seqeval")}
    found |= {"tunekit": __version__, "tunekit_code": package_digest()}
    if not method.startswith("tunekit."):
        file = getattr(sys.modules.get(method), "__file__", None)
        found["method_code"] = files_digest(Path(file)) if file else ""
    return {"python": platform.python_version(), **found}


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # a machine that only trains may lack some
        return "not installed"
