"""How long the texts of a task are in pieces, and which tokenizer counts them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.config import BACKBONES, BackboneConfig, ConfigError, Locations, lookup
from tunekit.tasks import Example, PairExample

if TYPE_CHECKING:
    from tunekit.methods import Method

SAMPLE = 100
"""Examples of a split that are really tokenized."""
PIECES_A_WORD = 1.4
"""Without a tokenizer. XLM-R's needs 1.2 in English and up to 2 elsewhere."""
CHARACTERS_A_PIECE = 4
"""Without a tokenizer and without spaces between words."""
SPECIAL_PIECES = 3
"""Around a text or between two, without a tokenizer."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


@dataclass(frozen=True)
class Text:
    """A split in one language as a method sees it."""

    num_examples: int
    num_rows: int
    num_pieces: int
    truncated_share: float
    """Of the pairs, cut to fit."""


def tokenizer_of(config: BackboneConfig, locations: Locations) -> Any | None:
    """The backbone's tokenizer if it is on this machine, else None. No network is used.

    Raises:
        ConfigError: a local folder lacks its tokenizer or its weights, or the tokenizer is a slow one.
    """
    from transformers import AutoTokenizer

    folder = locations.backbone_path
    if folder is None and config.name in BACKBONES:
        folder = str(lookup("backbone", config.name)(locations))
    try:
        found = AutoTokenizer.from_pretrained(folder or config.name, revision=config.revision, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        if folder is None:
            return None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"backbone {config.name!r}: cannot load a tokenizer from {folder!r}: {reason}") from error
    if folder is not None and not any(any(Path(folder).glob(pattern)) for pattern in _WEIGHTS):
        raise ConfigError(f"backbone {config.name!r}: {folder!r} holds no weights, such as model.safetensors")
    if len(found) <= len(found.all_special_ids):  # what transformers makes up where no vocabulary is
        raise ConfigError(
            f"backbone {config.name!r}: {folder or config.name!r} holds no tokenizer, such as tokenizer.json"
        )
    if not found.is_fast:
        raise ConfigError(
            f"backbone {config.name!r}: its tokenizer is a slow one; a fast one, tokenizer.json, is needed"
        )
    return found


def measure(examples: Sequence[Example], method: Method) -> Text:
    """Rows and pieces of `examples`, worked out from an evenly spaced sample.

    Args:
        examples: the whole split.
        method: encodes the sample if its backbone has a tokenizer; else pieces are estimated from words.

    Raises:
        ConfigError: the texts cannot be made into rows.
    """
    step = max(1, len(examples) // SAMPLE)
    sample = examples[::step][:SAMPLE]
    if method.backbone.tokenizer is None:
        lengths = [_estimate(example) for example in sample]
        cut = [length > method.max_length for length in lengths]
        is_pair = isinstance(sample[0], PairExample)
        windows = [1 if is_pair else math.ceil(length / method.max_length) for length in lengths]
        pieces = [min(length, method.max_length) if is_pair else length for length in lengths]
        truncated = sum(cut) if is_pair else 0
    else:
        encoded = method.encode_all(sample)
        windows = [len(rows) for rows in encoded]
        pieces = [sum(row.length for row in rows) for rows in encoded]
        truncated = sum(row.truncated for rows in encoded for row in rows)
    scale = len(examples) / len(sample)
    return Text(
        num_examples=len(examples),
        num_rows=round(sum(windows) * scale),
        num_pieces=round(sum(pieces) * scale),
        truncated_share=truncated / len(sample),
    )


def _estimate(example: Example) -> int:
    if not isinstance(example, PairExample):
        return math.ceil(len(example.words) * PIECES_A_WORD) + SPECIAL_PIECES
    text = f"{example.text_a} {example.text_b}"
    words = max(len(text.split()) * PIECES_A_WORD, len(text) / CHARACTERS_A_PIECE)
    return math.ceil(words) + SPECIAL_PIECES
