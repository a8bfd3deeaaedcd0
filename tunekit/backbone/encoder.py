"""A backbone at work: hidden states of the text, with trainable states before it.

Shapes: B rows, L pieces of text, P prompt positions, D width, H heads, Dh width of a head.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from tunekit.config import ConfigError, nearest


@dataclass(frozen=True)
class Architecture:
    """What differs between the supported families of models."""

    is_causal: bool
    """Each position sees only what is before it."""
    has_segments: bool
    """The model takes ``token_type_ids``."""
    has_positions: bool = True
    """The model takes ``position_ids``; without them it is unlimited in length."""
    skips_padding_position: bool = False
    """Positions are counted from ``pad_token_id + 1``, as in fairseq."""


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(is_causal=False, has_segments=True),
    "roberta": Architecture(is_causal=False, has_segments=True, skips_padding_position=True),
    "xlm-roberta": Architecture(is_causal=False, has_segments=True, skips_padding_position=True),
    "xglm": Architecture(is_causal=True, has_segments=False),
    "bloom": Architecture(is_causal=True, has_segments=False, has_positions=False),
}
"""By transformers' ``model_type``. Only families whose attention is proved by a test to see a prefix: others, such as
mT5's encoder, take the argument and ignore it without a word."""


@dataclass(frozen=True)
class Inputs:
    """Rows of pieces, padded on the right."""

    input_ids: Tensor
    """[B, L]"""
    attention_mask: Tensor
    """[B, L], 1 for text and 0 for padding."""
    token_type_ids: Tensor | None = None
    """[B, L]; None is all zero."""

    def to(self, device: torch.device | str) -> Inputs:
        """The same rows on `device`."""
        types = self.token_type_ids
        return Inputs(
            self.input_ids.to(device), self.attention_mask.to(device), None if types is None else types.to(device)
        )


@dataclass(frozen=True)
class Prefix:
    """Keys and values that every layer's attention sees before the text's own."""

    keys: Tensor
    """[layers, P, H, Dh], one prefix for all rows, or [layers, B, P, H, Dh], one a row."""
    values: Tensor
    """The same shape."""


class Backbone(nn.Module):
    """A pretrained model without a head.

    Number formats: with ``fp32`` everything is fp32. With ``bf16`` a frozen backbone is kept and run in bf16, at half
    the memory. A trained one (`set_trained`) keeps its weights in fp32, since updates of 1e-5 vanish in bf16, and
    runs under bf16 autocast; its start is the same bf16-rounded weights. Hidden states come out in fp32 always.

    Args:
        name: how messages call it.
        model: the body from transformers.
        tokenizer: its fast tokenizer; None on the meta device.
        dtype: ``fp32`` or ``bf16``.

    Raises:
        ConfigError: an architecture that is not supported.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any = None, *, dtype: str = "fp32") -> None:
        super().__init__()
        config = model.config
        self.name = name
        self.tokenizer = tokenizer
        self.architecture = architecture_of(config, name)
        self.arithmetic = torch.bfloat16 if dtype == "bf16" else torch.float32
        self.hidden_size = int(config.hidden_size)
        self.num_layers = int(config.num_hidden_layers)
        self.num_heads = int(config.num_attention_heads)
        self.model: nn.Module = model.to(self.arithmetic)

    @property
    def is_causal(self) -> bool:
        """Whether a position sees only what is before it."""
        return self.architecture.is_causal

    @property
    def has_segments(self) -> bool:
        """Whether the two texts of a pair are told apart by ``token_type_ids``."""
        return self.architecture.has_segments and int(getattr(self._config, "type_vocab_size", 1)) > 1

    @property
    def head_size(self) -> int:
        """Dh, the width of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def max_positions(self) -> int | None:
        """Positions usable by prompt and text together; None is unlimited."""
        if not self.architecture.has_positions:
            return None
        return int(self._config.max_position_embeddings) - self._first_position

    @property
    def pad_id(self) -> int:
        """The piece that fills a row on the right; it is never attended to."""
        for owner in (self.tokenizer, self._config):
            if getattr(owner, "pad_token_id", None) is not None:
                return int(owner.pad_token_id)
        return 0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def num_parameters(self) -> int:
        """All parameters of the body, trained or not; no head is counted."""
        return sum(p.numel() for p in self.model.parameters())

    def check_length(self, *, prompt_length: int, max_length: int) -> None:
        """Raise a ConfigError if prompt and text together exceed the model's positions."""
        limit = self.max_positions
        if limit is None or prompt_length + max_length <= limit:
            return
        if prompt_length == 0:
            raise ConfigError(f"max_length is {max_length}, must be at most {limit}, the positions of {self.name!r}")
        ways = f"max_length at most {max(limit - prompt_length, 0)}"
        if limit > max_length:
            ways = f"prompt_length at most {limit - max_length} or {ways}"
        total = f"{prompt_length} + {max_length} = {prompt_length + max_length}"
        raise ConfigError(f"prompt_length + max_length is {total}, but {self.name!r} has {limit} positions: use {ways}")

    def set_trained(self, trained: bool) -> None:
        """Train all weights, or freeze them; converts their number format as the class says.

        Freezing after training does not bring the old weights back.
        """
        self.model.requires_grad_(trained)
        self.model.to(torch.float32 if trained else self.arithmetic)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Word embeddings [B, L, D] as the model scales them, before positions and normalisation."""
        embedded: Tensor = self.model.get_input_embeddings()(input_ids)  # type: ignore[operator]
        return embedded

    def encode(self, inputs: Inputs, *, prefix: Prefix | None = None, prompt: Tensor | None = None) -> Tensor:
        """Last hidden states of the text [B, L, D], in fp32.

        The order is prefix, prompt, text. Positions are counted from the first of them, so padding moves nothing.

        Args:
            inputs: the text.
            prefix: keys and values for every layer.
            prompt: embeddings [P, D] put before the text at the input only.
        """
        batch_size = inputs.input_ids.shape[0]
        before = 0 if prefix is None else prefix.keys.shape[-3]
        with self._precision():
            embedded, segments = self.embed(inputs.input_ids), inputs.token_type_ids
            if prompt is not None:
                front = prompt.to(embedded.dtype).expand(batch_size, -1, -1)
                embedded = torch.cat([front, embedded], dim=1)
            num_prompt = embedded.shape[1] - inputs.input_ids.shape[1]
            mask = nn.functional.pad(inputs.attention_mask, (before + num_prompt, 0), value=1)
            arguments: dict[str, Any] = {"use_cache": prefix is not None}
            if prefix is not None:
                arguments["past_key_values"] = self._cache(prefix, batch_size)
            if self.architecture.has_positions:
                arguments["position_ids"] = self._positions(before, embedded)
            if self.architecture.has_segments:
                if segments is None:
                    segments = torch.zeros_like(inputs.input_ids)
                arguments["token_type_ids"] = nn.functional.pad(segments, (num_prompt, 0))
            hidden: Tensor = self.model(inputs_embeds=embedded, attention_mask=mask, **arguments).last_hidden_state
        return hidden[:, num_prompt:].float()

    @property
    def _config(self) -> Any:
        return self.model.config

    @property
    def _first_position(self) -> int:
        return int(self._config.pad_token_id) + 1 if self.architecture.skips_padding_position else 0

    def _positions(self, before: int, embedded: Tensor) -> Tensor:
        start = self._first_position + before
        positions = torch.arange(start, start + embedded.shape[1], device=embedded.device)
        return positions.expand(embedded.shape[0], -1)

    def _cache(self, prefix: Prefix, batch_size: int) -> DynamicCache:
        """The prefix as transformers' cache of earlier positions: a [B, H, P, Dh] pair a layer."""

        def rows(layer: Tensor) -> Tensor:
            layer = layer.to(self.arithmetic).transpose(-3, -2)
            return layer.expand(batch_size, -1, -1, -1) if layer.dim() == 3 else layer

        return DynamicCache([(rows(k), rows(v)) for k, v in zip(prefix.keys, prefix.values, strict=True)])

    def _precision(self) -> AbstractContextManager[Any]:
        weights = next(self.model.parameters())
        if weights.dtype == self.arithmetic:
            return nullcontext()
        return torch.autocast(weights.device.type, self.arithmetic)


def architecture_of(config: Any, name: str) -> Architecture:
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
    if not found.is_causal and getattr(config, "is_decoder", False):
        raise ConfigError(f"backbone {name!r} is a {kind} with is_decoder: true; only the encoder form is supported")
    return found
