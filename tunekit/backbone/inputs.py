"""What goes into a backbone: rows of tokens, and trained states before them.

Shapes: B rows, L tokens of text, P prompt positions, D width, H heads, Dh width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from tunekit.backbone.moving import moved


@dataclass(frozen=True)
class Inputs:
    """Rows of tokens, padded on the right."""

    input_ids: Tensor
    """[B, L]"""
    attention_mask: Tensor
    """[B, L], 1 for text and 0 for padding."""
    token_type_ids: Tensor | None = None
    """[B, L]; None is all zero."""
    has_padding: bool | None = None
    """Whether `attention_mask` has a 0; None: it is not known here, so the mask's device is asked and waited for."""

    def to(self, device: torch.device | str) -> Inputs:
        """The same rows on `device`."""
        (found,) = moved([self], device)
        return found


@dataclass(frozen=True)
class Prefix:
    """Keys and values that the layers' attention sees before the text's own."""

    keys: Tensor
    """[layers, P, H, Dh], one prefix for all rows, or [layers, B, P, H, Dh], one for each row. Of an encoder-decoder
    the encoder's layers come first, then the decoder's."""
    values: Tensor
    """The same shape."""
    prompted: tuple[bool, ...] | None = None
    """For each of the backbone's layers whether it sees the prefix; `keys` and `values` then hold those layers only.
    None: all do."""

    def layers(self, num_rows: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer as attention takes them, each [B, H, P, Dh] of `dtype`."""

        def rows(layer: Tensor) -> Tensor:
            layer = layer.transpose(-3, -2)
            return layer.expand(num_rows, -1, -1, -1) if layer.dim() == 3 else layer

        both = zip(self.keys.to(dtype), self.values.to(dtype), strict=True)
        found = [(rows(keys), rows(values)) for keys, values in both]
        if self.prompted is None:
            return found
        nothing, given = found[0][0][..., :0, :], iter(found)
        return [next(given) if is_prompted else (nothing, nothing) for is_prompted in self.prompted]


@dataclass(frozen=True)
class EmbeddedRows:
    """Rows as the model itself takes them, everything that stands before them included or said."""

    embedded: Tensor
    """[B, L, D]"""
    mask: Tensor
    """[B, S + L], 1 for what may be attended to, of the S positions in `past` and of the rows' own."""
    starts: Tensor
    """[B], positions that each row's own are counted from; of a model without positions the mask decides."""
    segments: Tensor | None = None
    """[B, L]; None is all zero."""
    past: Cache | None = None
    """Keys and values of S positions that stand before every row."""
    has_padding: bool | None = None
    """Whether `mask` has a 0; None: its device is asked and waited for."""


@dataclass(frozen=True)
class Places:
    """Positions that are read."""

    rows: Tensor
    """[M]"""
    columns: Tensor
    """[M]"""
    most_in_row: int | None = None
    """Positions read in one row at most; None: the device of `rows` is asked and waited for."""


class _PrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it half typed
    """A layer's keys and values [B, H, P, Dh] as they are; transformers' own way to begin with them copies them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.is_initialized = keys, values, True
        self.dtype, self.device = keys.dtype, keys.device


def cache_of(layers: Sequence[tuple[Tensor, Tensor]]) -> Cache:
    """Keys and values of each layer, each [B, H, P, Dh], as a model of transformers takes what stands before a text."""
    return Cache(layers=[_PrefixLayer(keys, values) for keys, values in layers])


def padded(strings: Sequence[tuple[int, ...]], pad_id: int) -> Inputs:
    """Strings of tokens as rows on the CPU, filled on the right."""
    length = max(1, *map(len, strings))
    ids = [(*string, *(pad_id,) * (length - len(string))) for string in strings]
    mask = [(*(1,) * len(string), *(0,) * (length - len(string))) for string in strings]
    return Inputs(torch.tensor(ids), torch.tensor(mask), has_padding=any(len(string) < length for string in strings))
