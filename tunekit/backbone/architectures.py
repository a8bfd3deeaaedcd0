"""The families of models that are supported, and in what they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedConfig

from tunekit.errors import ConfigError, nearest

Family = Literal["encoder", "causal", "encoder-decoder"]
"""How a model reads a text: in both directions, from left to right, or first in the one way and then in the other."""


@dataclass(frozen=True)
class Architecture:
    """What differs between the supported families of models."""

    family: Family
    has_segments: bool = False
    """The model takes ``token_type_ids``."""
    has_positions: bool = True
    """The model takes ``position_ids``; without them it is unlimited in length."""
    skips_padding_position: bool = False
    """Positions are counted from ``pad_token_id + 1``, as in fairseq."""


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("encoder", has_segments=True),
    "roberta": Architecture("encoder", has_segments=True, skips_padding_position=True),
    "xlm-roberta": Architecture("encoder", has_segments=True, skips_padding_position=True),
    "xglm": Architecture("causal"),
    "bloom": Architecture("causal", has_positions=False),
    "mt5": Architecture("encoder-decoder", has_positions=False),
}
"""By transformers' ``model_type``. Only families whose attention is proved by a test to see a prefix: others take the
argument and ignore it without a word."""


def architecture_of(config: PreTrainedConfig, name: str) -> Architecture:
    """The family of a transformers config.

    Raises:
        ConfigError: a family that cannot take a prompt here, or an encoder configured as a decoder.
    """
    kind = config.model_type
    if kind not in ARCHITECTURES:
        raise ConfigError(
            f"backbone {name!r} is of architecture {kind!r}, which is not supported; {nearest(kind, ARCHITECTURES)}"
        )
    found = ARCHITECTURES[kind]
    if found.family == "encoder" and getattr(config, "is_decoder", False):
        raise ConfigError(f"backbone {name!r} is a {kind} with is_decoder: true; only the encoder form is supported")
    return found
