"""Which backbone it is, whatever its folder is called: a digest of the files that decide a result."""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path

from tunekit.backbone.sources import commit_of, loading_errors, source_of, until_read
from tunekit.storage import file_digest
from tunekit.trial import BackboneConfig, Locations

SAFE_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
OTHER_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
"""Read only where there are none of the others."""
CONFIGURATION = ("config.json", "adapter_config.json", "adapter_model.bin")
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)


def fingerprint(config: BackboneConfig, locations: Locations) -> str:
    """What a backbone consists of, in a few characters: equal if and only if the model and its tokenizer are equal.

    Weights are not loaded. A file's digest is kept by its path, size and times, so asking again is cheap.

    Returns:
        The first 16 hex digits of a SHA-256 over names and contents of a folder's configuration, weights and tokenizer
        files; of a hub id ``commit:<hash>``, the commit that its revision resolves to.

    Raises:
        ConfigError: there is no such folder or hub id, or a file of it cannot be read.
    """
    source = source_of(config, locations)
    with loading_errors(config, source):
        if isinstance(source, Path):
            return _digest(source)
        return until_read(lambda: f"commit:{commit_of(source, config.revision)}", config, source)


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, with the index of several; empty where the folder holds none."""
    return _matching(folder, SAFE_WEIGHTS) or _matching(folder, OTHER_WEIGHTS)


def _digest(folder: Path) -> str:
    files = [*_matching(folder, CONFIGURATION + TOKENIZER), *weight_files(folder)]
    lines = [f"{path.name} {file_digest(path)}\n" for path in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return list(chain.from_iterable(folder.glob(pattern) for pattern in patterns))
