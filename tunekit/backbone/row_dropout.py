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


SITES_AT_ONCE = 32
"""Sites of a pass whose small integers are computed together: a backbone of 12 layers has 25 or 26."""


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
    if columns is None:
        columns = torch.arange(states.shape[1], device=states.device)
    return Masks(p, keys.to(states.device), columns, sites_at_once=1).dropped(states, site)


class Masks:
    """Dropout of states that all have the same rows and columns, at any site.

    Whatever depends on no channel is computed for several sites at once: these are small integers, so a GPU takes as
    long for one site as for all of them.

    Args:
        p: rate, from 0 to 1; or [B] (or [M]), one for each row.
        keys: [B] int64 keys of the rows, or [M] of positions, on the device of the states.
        columns: [L] or [B, L], or [M] of positions.
        sites_at_once: sites to compute when the first of them is asked for.
    """

    def __init__(self, p: float | Tensor, keys: Tensor, columns: Tensor, *, sites_at_once: int = SITES_AT_ONCE) -> None:
        self._rates, self._keys, self._columns, self._sites_at_once = _Rates(p), keys, columns, sites_at_once
        self._channels: dict[int, Tensor] = {}
        self._blocks: dict[int, Tensor] = {}

    def dropped(self, states: Tensor, site: int) -> Tensor:
        """`states` [B, L, D], or [M, D], with numbers dropped and the others scaled."""
        size = states.shape[-1]
        if size not in self._channels:
            self._channels[size] = _channels(states)
        block, place = divmod(site, self._sites_at_once)
        if block not in self._blocks:
            sites = (block * self._sites_at_once, self._sites_at_once)
            self._blocks[block] = _places(self._keys, self._columns, sites, states.dim())
        return self._rates.dropped(states, self._blocks[block][place], self._channels[size])


class Company:
    """Rows of several trials: what they draw at one site is computed together when the first of them asks for it.

    Args:
        keys: of each trial, [B] or [M].
        columns: of each trial, [M]; None: all columns of each row, as many for all trials.
    """

    def __init__(self, keys: Sequence[Tensor], columns: Sequence[Tensor] | None) -> None:
        self._sizes, self._keys = [len(each) for each in keys], torch.cat(list(keys))
        self._columns = None if columns is None else torch.cat(list(columns))
        self._latest: tuple[tuple[int, int], Sequence[Tensor]] | None = None

    def dropped(self, states: Tensor, p: float, *, member: int, site: int) -> Tensor:
        """`dropped` of the states of one trial, the one with this number."""
        asked = (site, 0 if self._columns is not None else states.shape[1])
        if self._latest is None or self._latest[0] != asked:
            columns = torch.arange(states.shape[1], device=states.device) if self._columns is None else self._columns
            places = _places(self._keys, columns, (site, 1), states.dim())[0]
            self._latest = asked, torch.split(places, self._sizes)
        return _Rates(p).dropped(states, self._latest[1][member], _channels(states))


class _Rates:
    """Rates of dropout: one for all rows, or one for each."""

    def __init__(self, p: float | Tensor) -> None:
        # One rate for all is a number of the host: a device that is to hold it would have to be given it.
        self._rates = p.to(torch.float32) if isinstance(p, Tensor) else torch.tensor(p, dtype=torch.float32)
        # 24 bits are exact in a float, so a rate means the same on every device.
        self._limits = (self._rates.double() * 2**24).round().to(torch.int32)
        self._scales: dict[torch.dtype, Tensor] = {}

    def dropped(self, states: Tensor, places: Tensor, channels: Tensor) -> Tensor:
        """`states` [..., D] with numbers dropped; `places` [...] and `channels` [D] are what the mask is a hash of."""
        hashed = _mixed_(places[..., None] + channels)
        gone = hashed.bitwise_and_(0xFFFFFF) < _for_each_row(self._limits, states.dim())
        apply = cast(Callable[..., Tensor], _Masked.apply)
        return apply(states, gone, _for_each_row(self._scale(states.dtype), states.dim()))

    def _scale(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._scales:
            rates = self._rates
            self._scales[dtype] = (1 / (1 - rates)).masked_fill(rates >= 1, 0).to(dtype)
        return self._scales[dtype]


def _channels(states: Tensor) -> Tensor:
    """[D]"""
    return torch.arange(states.shape[-1], dtype=torch.int32, device=states.device) * _signed(_ODD[2])


def _places(keys: Tensor, columns: Tensor, sites: tuple[int, int], dim: int) -> Tensor:
    """A number for each row and column at some sites: [S, B, L] for states of three dimensions, else [S, M].

    `sites` are the first of them and how many they are.
    """
    first, second = _mixed_keys(keys, *sites).unbind(1)
    if dim == 3:
        first, second = first[..., None], second[..., None]
    return _mixed_(columns.to(torch.int32) * _signed(_ODD[1]) + first).bitwise_xor_(second)


def _for_each_row(numbers: Tensor, dim: int) -> Tensor:
    """[B] as states of so many dimensions are multiplied with; a single number stays one."""
    return numbers.view(-1, *(1,) * (dim - 1)) if numbers.dim() else numbers


def _signed(constant: int) -> int:
    """32 bits as the int32 that holds them."""
    return constant - 2**32 if constant >= 2**31 else constant


def _mixed_keys(keys: Tensor, first_site: int, num_sites: int) -> Tensor:
    """Two int32 keys of each row at each of some sites: [S, 2, B]."""
    words = keys.contiguous().view(torch.int32).view(-1, 2).T  # the low half of each key, then the high one
    steps = torch.arange(2 * num_sites, dtype=torch.int32, device=keys.device) * _signed(_ODD[0])
    numbers = steps + _signed((2 * first_site + 1) * _ODD[0] % 2**32)
    return _mixed_(_mixed_(words + numbers.view(-1, 2, 1)).bitwise_xor_(words.flip(0)))


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
    def forward(ctx: _Context, states: Tensor, gone: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(gone, scale)
        return (states * scale).masked_fill_(gone, 0)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        gone, scale = ctx.saved_tensors
        return (gradient * scale).masked_fill_(gone, 0), None, None


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
        self._masks: dict[tuple[int | None, float | None], Masks] = {}

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
        return self._masks_of(states, call.p).dropped(states, site)

    def _masks_of(self, states: Tensor, p: float) -> Masks:
        """For states [B, L, D] of some length L, or for those at the positions read."""
        rate = p if self.rate is None else self.rate
        kind = (states.shape[1] if states.dim() == 3 else None, p if self.rate is None else None)
        if kind not in self._masks:
            keys, columns = self.keys.to(states.device), self._columns_of(states)
            if states.dim() == 2:
                rows, _ = cast("tuple[Tensor, Tensor]", self.positions)
                keys, rate = keys[rows], rate[rows] if isinstance(rate, Tensor) and rate.dim() else rate
            self._masks[kind] = Masks(rate, keys, columns)
        return self._masks[kind]

    def _columns_of(self, states: Tensor) -> Tensor:
        if states.dim() == 2:
            _, columns = cast("tuple[Tensor, Tensor]", self.positions)
            return columns + self.first_column
        return torch.arange(self.first_column, self.first_column + states.shape[1], device=states.device)

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
