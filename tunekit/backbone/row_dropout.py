"""Dropout whose masks are a pure function of the row: never of the rows beside it, their order or the padding.

A mask is a hash of (key of the row, site, column, channel), in 32-bit integers that a CPU and a GPU compute alike. A
site is one call of dropout inside the backbone, counted from the backbone's input.

Shapes: B rows, L columns, D channels, M positions read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_ODD = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
"""Odd constants that spread sites, columns and channels over 32 bits."""


def row_keys(seed: int, stream: str, update: int, num_rows: int) -> Tensor:
    """Keys [B] (int64, on the CPU) of the rows of one update.

    Args:
        seed: of the trial.
        stream: what the update is of, such as ``labelled`` or ``side``.
        update: its number.
        num_rows: B; more rows leave the keys of the first ones as they are.
    """
    names = (f"{seed}\0{stream}\0{update}\0{row}".encode() for row in range(num_rows))
    found = [int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little", signed=True) for name in names]
    return torch.tensor(found, dtype=torch.int64)


def dropped(states: Tensor, p: float | Tensor, keys: Tensor, *, site: int, columns: Tensor | None = None) -> Tensor:
    """Dropout: what is kept is scaled by ``1 / (1 - p)``.

    Args:
        states: [B, L, D], or [M, D] with a key and a column for each position.
        p: rate, from 0 to 1; or [B] (or [M]), one for each row. Rows of rate 0 come out bit for bit as they are.
        keys: [B] (or [M]) int64 keys of the rows.
        site: number of the call.
        columns: [L], [B, L], or [M] for [M, D]; None counts columns from 0.
    """
    rates = torch.as_tensor(p, dtype=torch.float32, device=states.device).expand(len(states))
    kept = _kept(states, rates, keys.to(states.device), (site, columns))
    scale = torch.where(rates < 1, 1 / (1 - rates), 0.0).to(states.dtype)
    apply = cast(Callable[..., Tensor], _Masked.apply)
    return apply(states, kept, scale.view(-1, *(1,) * (states.dim() - 1)))


def _kept(states: Tensor, rates: Tensor, keys: Tensor, at: tuple[int, Tensor | None]) -> Tensor:
    """Which numbers stay: bool, of the states' shape."""
    site, columns = at
    if columns is None:
        columns = torch.arange(states.shape[1], device=states.device)
    first, second = (_mixed_key(keys, site, half) for half in range(2))
    if states.dim() == 3:
        first, second, rates = first[:, None], second[:, None], rates[:, None]
    place = _mixed(_int32(columns) * _signed(_ODD[1]) + first) ^ second  # of a row and column
    channels = torch.arange(states.shape[-1], dtype=torch.int32, device=states.device) * _signed(_ODD[2])
    hashed = _mixed_(place[..., None] + channels)
    # 24 bits are exact in a float, so a rate means the same on every device.
    limit = (rates.double() * 2**24).round().to(torch.int32)[..., None]
    return hashed.bitwise_and_(0xFFFFFF) >= limit


def _signed(constant: int) -> int:
    """32 bits as the int32 that holds them."""
    return constant - 2**32 if constant >= 2**31 else constant


def _int32(numbers: Tensor) -> Tensor:
    """The low 32 bits."""
    return ((numbers.to(torch.int64) + 2**31) % 2**32 - 2**31).to(torch.int32)


def _mixed_key(keys: Tensor, site: int, half: int) -> Tensor:
    """One of the two int32 keys of each row at a site."""
    words = (_int32(keys), _int32(keys >> 32))
    number = _signed(((2 * site + half + 1) * _ODD[0]) % 2**32)
    return _mixed(_mixed(words[half] + number) ^ words[1 - half])


def _mixed(numbers: Tensor) -> Tensor:
    return _mixed_(numbers.clone())


def _mixed_(numbers: Tensor) -> Tensor:
    """murmur3's finaliser, in place; a shift to the right brings the sign in, which the mask takes out."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        numbers ^= (numbers >> shift) & (2 ** (32 - shift) - 1)
        numbers *= _signed(factor)
    numbers ^= (numbers >> 16) & 0xFFFF
    return numbers


class _Context(Protocol):
    """What torch hands from the forward to the backward pass."""

    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Masked(torch.autograd.Function):
    """States where they are kept, scaled; only the mask (a byte each) and the scales are saved."""

    @staticmethod
    def forward(ctx: _Context, states: Tensor, kept: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(kept, scale)
        return (states * scale).masked_fill_(~kept, 0)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        kept, scale = ctx.saved_tensors
        return (gradient * scale).masked_fill(~kept, 0), None, None


@dataclass
class _Call:
    """A call of dropout by its arguments."""

    states: Tensor
    p: float = 0.5
    training: bool = True
    inplace: bool = False


class RowDropout(TorchFunctionMode):
    """While active, dropout inside a backbone in training mode is `dropped`, at sites counted from 0.

    Attention probabilities are not dropped, in transformers' own code or inside torch's attention, and are no site;
    nor is a call of rate 0. A new mode starts at site 0, so enter one for each pass. XGLM's layerdrop is not seen
    here: it draws once for all rows. Its caller must set it to 0, as tunekit takes it to be off.

    Args:
        keys: [B] keys of the rows.
        rate: in place of the modules' own, where that is above 0: a number, or [B].
        positions: rows [M] and columns [M] of states [M, D]; those of the last layer that is computed only there.
        first_column: number of the first column of states [B, L, D].
    """

    def __init__(
        self,
        keys: Tensor,
        *,
        rate: float | Tensor | None = None,
        positions: tuple[Tensor, Tensor] | None = None,
        first_column: int = 0,
    ) -> None:
        super().__init__()
        self.keys, self.rate, self.positions, self.first_column = keys, rate, positions, first_column
        self.num_sites = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Replace calls of dropout and switch off that of attention; everything else is torch's."""
        settings = dict(kwargs or {})
        if func is nn.functional.dropout:
            return self._dropout(args, settings)
        if func is nn.functional.scaled_dot_product_attention:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            settings = {name: 0.0 if name == "dropout_p" else value for name, value in settings.items()}
        return func(*args, **settings)

    def _dropout(self, args: Sequence[Any], settings: dict[str, Any]) -> Tensor:
        if "input" in settings:
            args, settings = (settings.pop("input"), *args), settings
        call = _Call(*args, **settings)
        states = call.states
        if not call.training or call.p == 0 or self._is_probabilities(states):
            return states
        site, self.num_sites = self.num_sites, self.num_sites + 1
        rate = call.p if self.rate is None else self.rate
        if states.dim() == 2:
            rows, columns = cast("tuple[Tensor, Tensor]", self.positions)
            rate = rate[rows] if isinstance(rate, Tensor) and rate.dim() else rate
            return dropped(states, rate, self.keys[rows], site=site, columns=columns + self.first_column)
        columns = torch.arange(states.shape[1], device=states.device) + self.first_column
        return dropped(states, rate, self.keys, site=site, columns=columns)

    def _is_probabilities(self, states: Tensor) -> bool:
        """Whether these are attention's: [B, H, L, S], or XGLM's [B x H, L, S].

        Raises:
            ValueError: hidden states of other rows than the keys are of.
        """
        if states.dim() == 4:
            return True
        if states.dim() == 3 and len(states) == len(self.keys):
            return False
        if states.dim() == 2 and self.positions is not None and len(states) == len(self.positions[0]):
            return False
        if states.dim() == 3 and len(self.keys) and len(states) % len(self.keys) == 0:
            return True
        raise ValueError(f"dropout of states {tuple(states.shape)}, but there are {len(self.keys)} keys of rows")
