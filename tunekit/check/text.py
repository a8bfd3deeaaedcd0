"""How many tokens the texts of a task have, and which tokenizer counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.errors import ConfigError
from tunekit.tasks import Example, PairExample
from tunekit.trial import BackboneConfig, Locations

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tunekit.methods import Method

SAMPLE = 100
"""Examples of a split that are really tokenized."""


@dataclass(frozen=True)
class Text:
    """A split in one language as a method sees it."""

    num_examples: int
    num_rows: int
    num_tokens: int
    truncated_share: float
    """Of the pairs, cut to fit."""


def tokenizer_of(config: BackboneConfig, locations: Locations) -> PreTrainedTokenizerBase | None:
    """The backbone's tokenizer if it is on this machine, else None. No network is used.

    Raises:
        ConfigError: a local folder lacks its tokenizer or its weights, or the tokenizer is a slow one.
    """
    from tunekit.backbone.identity import weight_files
    from tunekit.backbone.sources import source_of
    from tunekit.backbone.tokenizers import local_tokenizer

    source = source_of(config, locations)
    found = local_tokenizer(config, locations)
    if isinstance(source, Path) and not weight_files(source):
        raise ConfigError(f"backbone {config.name!r}: {str(source)!r} holds no weights, such as model.safetensors")
    return found


def measure(examples: Sequence[Example], method: Method, language: str) -> Text:
    """Rows and tokens of `examples`, worked out from an evenly spaced sample.

    Args:
        examples: the whole split.
        method: encodes the sample if its backbone has a tokenizer; else tokens are estimated from words.
        language: what the examples are written in.

    Raises:
        ConfigError: the texts cannot be made into rows.
    """
    step = max(1, len(examples) // SAMPLE)
    sample = examples[::step][:SAMPLE]
    if method.backbone.tokenizer is None:
        from tunekit.methods.token_estimates import estimate_tokens

        known = {example: method.estimate_rows(example) for example in set(sample)}
        lengths = [known[example] for example in sample]
        truncated = sum(isinstance(e, PairExample) and estimate_tokens(e) > method.max_length for e in sample)
    else:
        encoded = method.encode_all(sample, language=language)
        lengths = [[row.length for row in rows] for rows in encoded]
        truncated = sum(row.truncated for rows in encoded for row in rows)
    scale = len(examples) / len(sample)
    return Text(
        num_examples=len(examples),
        num_rows=round(sum(map(len, lengths)) * scale),
        num_tokens=round(sum(map(sum, lengths)) * scale),
        truncated_share=truncated / len(sample),
    )
