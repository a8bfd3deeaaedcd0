"""Python and the libraries that decide results, against the versions that tunekit is tested with."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from tunekit import storage
from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.errors import StorageError
from tunekit.storage.source_code import package_digest
from tunekit.version import __version__

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "datasets", "peft", "ray", "optuna", "numpy")
"""Libraries without which no sweep runs, and whose versions can change what comes out."""
PACKAGE = Path(__file__).parents[1]
CONSTRAINTS = PACKAGE.parent / "constraints.txt"
OLDEST_PYTHON = (3, 11)


def libraries(patient: Patient) -> Iterator[Finding]:
    """Python, tunekit, and each library."""
    yield python(sys.version_info[:3], sys.prefix)
    yield ok("tunekit", f"{__version__} (code {package_digest()[:12]}) at {PACKAGE}")
    installed = {name: installed_version(name) for name in NEEDED}
    yield from compared(installed, pinned(CONSTRAINTS))


def python(version: tuple[int, ...], prefix: str) -> Finding:
    """The Python that runs."""
    said = f"{'.'.join(map(str, version))} at {prefix}, on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        return wrong("python", said, f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or later")
    return ok("python", said)


def installed_version(library: str) -> str | None:
    """The version of an installed library; None if it is not installed. The library is not imported."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "unknown" if importlib.util.find_spec(library) else None


def pinned(file: Path) -> dict[str, str]:
    """Versions by library that a file of constraints names; none where there is no such file."""
    try:
        text = storage.read_text(file)
    except StorageError:
        return {}
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def compared(installed: Mapping[str, str | None], tested: Mapping[str, str]) -> Iterator[Finding]:
    """A line for all libraries that are as tested, and one for each that is not.

    Args:
        installed: versions by library, None for one that is not installed.
        tested: versions by library; those that are not in it are not compared.
    """
    as_tested: list[str] = []
    others: list[str] = []
    for name, version in installed.items():
        right = tested.get(name)
        if version is None:
            yield wrong(name, "not installed", f"pip install '{name}{f'=={right}' if right else ''}'")
        elif right is not None and version.partition("+")[0] != right:
            said = f"{version}; tunekit is tested with {right}"
            yield warning(name, said, f"pip install '{name}=={right}', or keep it and use the same on every machine")
        else:
            (others if right is None else as_tested).append(f"{name} {version}")
    if as_tested:
        yield ok("as tested", ", ".join(as_tested))
    if others:
        yield ok("libraries", ", ".join(others))
