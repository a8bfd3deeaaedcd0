"""Which code ran: digests of source files, for what no version number tells (a checkout between two versions), and the
commits of git checkouts."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

NUM_DIGITS = 12
"""Hex digits of a digest and of a commit."""
GIT_S = 10.0
"""After so many seconds a commit counts as unknown: reports name it, but no result depends on it."""
PACKAGE = Path(__file__).resolve().parents[1]


@cache
def package_digest() -> str:
    """The digest of all of tunekit's own source files as they are now; read once for a process.

    Empty where the package is not in files that can be read.
    """
    return files_digest(PACKAGE)


def files_digest(place: Path) -> str:
    """The digest of a source file, or of all those in a folder with their names; empty where there are none."""
    try:
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        lines = [f"{file.relative_to(place).as_posix()} {_digest(file)}\n" for file in files]
    except OSError:
        return ""
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:NUM_DIGITS] if lines else ""


def commits() -> dict[str, str]:
    """The commit of tunekit's own checkout, and that of the folder where the command was started if it is another.

    A key is left out where its folder is no checkout of git or git cannot be asked.
    """
    found = {"tunekit_commit": commit_of(PACKAGE), "folder_commit": commit_of(Path.cwd())}
    if found["folder_commit"] == found["tunekit_commit"]:
        del found["folder_commit"]
    return {key: commit for key, commit in found.items() if commit}


def commit_of(folder: Path) -> str:
    """The commit that git has checked out around `folder`, such as ``1f2e3d4c5b6a``, with ``-dirty`` at its end where
    files of it were changed since; empty where git holds no file of `folder`."""
    is_tracked = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD:./")
    if not is_tracked:  # such as an installed package inside the checkout of something else
        return ""
    return _git(folder, "describe", "--always", "--dirty", f"--abbrev={NUM_DIGITS}", "--exclude=*")


def _git(folder: Path, *words: str) -> str:
    """What a command of git prints; empty if it fails."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=GIT_S
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _digest(file: Path) -> str:
    # Line ends are left out: the same code may be checked out with either.
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
