"""What a backbone is to read, as data: so that rows of several methods can go through one frozen backbone together.

A :class:`Reading` holds all that one method wants read: its rows, what stands before and between their tokens, what it
changes inside the layers, and where the last hidden states are wanted. `read` takes any number of readings over one
backbone, puts their rows one below the other, and gives each its states. A row never feels another one: the states are
those of each reading alone, up to rounding.

Shapes: B rows, L tokens, M positions read, P positions of a prefix, V trained vectors, D width, H heads, Dh width of a
head.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from tunekit.backbone import t5
from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import EmbeddedRows, Inputs, Places, Prefix, cache_of
from tunekit.backbone.moving import moved
from tunekit.backbone.prefix_layers import prefix_hidden
from tunekit.backbone.row_dropout import Company, RowDropout, dropped

NO_VECTOR = -1
"""In `Reading.slots`: the token itself stands there."""


@dataclass(frozen=True)
class RowKeys:
    """What a layer's random numbers are drawn from, for each thing that it computes: rows, or positions read."""

    keys: Tensor
    """[B], or [M] where a layer is computed only at the positions read."""
    columns: Tensor | None = None
    """[M], the column of each position read; None: all columns of each row."""
    company: tuple[Company, int] | None = field(default=None, repr=False, compare=False)
    """Keys that draw together with these, on one device, and which of them these are."""

    def dropped(self, states: Tensor, rate: float, *, site: str) -> Tensor:
        """`states` [B, L, D], or [M, D], with numbers dropped at `rate` and the others made larger accordingly.

        Args:
            states: in the order of the keys.
            rate: 0 to 1.
            site: where in a method it happens; equal sites drop alike.
        """
        number = zlib.crc32(site.encode()) >> 2 | 1 << 30  # far from the numbers of the sites inside a backbone
        if self.company is None:
            return dropped(states, rate, self.keys, site=number, columns=self.columns)
        company, member = self.company
        return company.dropped(states, rate, member=member, site=number)


def in_company(keys: Sequence[RowKeys | None]) -> list[RowKeys | None]:
    """The same keys, which draw the same numbers, but together: in few operations where each asks for the same site.

    Args:
        keys: of one kind, those of all columns or those of positions read, on one device; some may be missing.
    """
    given = [one for one in keys if one is not None]
    if len(given) < 2:
        return list(keys)
    columns = [one.columns for one in given if one.columns is not None]
    company, numbers = Company([one.keys for one in given], columns or None), iter(range(len(given)))
    return [None if one is None else replace(one, company=(company, next(numbers))) for one in keys]


class LayerChange(Protocol):
    """What a method does to a layer of the frozen backbone for its own rows."""

    def __call__(self, read: Tensor, given: Tensor, keys: RowKeys | None) -> Tensor:
        """What the layer gives instead.

        Args:
            read: [B, L, D] what it reads, or [M, D] at the positions read.
            given: what the backbone's own layer makes of it.
            keys: for dropout; None while nothing is dropped.
        """


@dataclass(frozen=True)
class Reading:
    """All that one method wants its backbone to read."""

    inputs: Inputs
    """Tokens of B rows; positions of trained vectors among them hold any token."""
    rows: Tensor
    """[M] row of each position read."""
    columns: Tensor
    """[M] its column in ``inputs.input_ids``."""
    most_in_row: int | None = None
    """Positions read in one row at most, as in `Places`."""
    prefix: Prefix | None = None
    """Keys and values for every layer, the same for all rows or one for each row."""
    vectors: Tensor | None = None
    """[V, D] trained vectors that stand in place of tokens."""
    slots: Tensor | None = None
    """[B, L] number of the vector that stands at each position, `NO_VECTOR` for the token; None: tokens only."""
    changes: Mapping[str, LayerChange] = field(default_factory=dict)
    """By the name of a module of the body."""
    keys: RowKeys | None = None
    """Of the B rows, for dropout; None: nothing is dropped, unless torch does it in a trained backbone."""
    dropout: float = 0.0
    """Rate inside the frozen backbone, where the model has dropout of its own."""

    def with_prompt(self, prompt: Tensor, pad_id: int) -> Reading:
        """The same rows with trained vectors [P, D], or [B, P, D] for each row its own, before each of them."""
        num_rows, size = len(self.inputs.input_ids), prompt.shape[-2]
        before = torch.arange(size, device=self.inputs.input_ids.device).expand(num_rows, -1)
        if prompt.dim() == 3:
            before = before + size * torch.arange(num_rows, device=before.device)[:, None]
        slots = torch.cat([before, torch.full_like(self.inputs.input_ids, NO_VECTOR)], dim=1)
        return replace(
            self,
            inputs=_padded(self.inputs, (size, 0), pad_id, mask=1),
            columns=self.columns + size,
            vectors=prompt.reshape(-1, prompt.shape[-1]),
            slots=slots,
        )


def read(backbone: Backbone, readings: Sequence[Reading]) -> list[Tensor]:
    """Last hidden states at the positions that each reading wants: [M, D] of each, in fp32.

    An encoder computes its last layer only there.

    Args:
        backbone: on the device of the readings. Only a frozen one may be given more than one reading.
        readings: at least one; prefixes of all must stand in the same layers.
    """
    inputs = _joined_inputs(backbone, readings)
    where = _joined_places(readings)
    prefix, lengths = _joined_prefix(readings)
    embedded = _embedded(backbone, readings, inputs)
    with _altered(backbone, readings, prefix), _dropping(backbone, readings, (where.rows, where.columns)):
        states = _states(backbone, (embedded, inputs), (prefix, lengths), where)
    return list(torch.split(states, [len(reading.rows) for reading in readings]))


def _states(
    backbone: Backbone,
    rows: tuple[Tensor, Inputs],
    before: tuple[Prefix | None, Tensor | None],
    where: Places,
) -> Tensor:
    (embedded, inputs), (prefix, lengths) = rows, before
    size = 0 if prefix is None else prefix.keys.shape[-3]
    seen = None if lengths is None else torch.arange(size, device=embedded.device) < lengths[:, None]
    layers = None if prefix is None else prefix.layers(len(embedded), backbone.arithmetic)
    if backbone.family == "encoder-decoder":
        with backbone.precision():
            states = t5.read_twice(backbone.model, embedded, inputs.attention_mask, layers, seen=seen)
        return states[where.rows, where.columns].float()
    starts = torch.full((len(embedded),), size, device=embedded.device) if lengths is None else lengths
    mask = nn.functional.pad(inputs.attention_mask, (size, 0), value=1)
    if seen is not None:
        mask = torch.cat([seen.to(mask.dtype), inputs.attention_mask], dim=1)
    whole = EmbeddedRows(
        embedded=embedded,
        mask=mask,
        starts=starts,
        segments=inputs.token_type_ids,
        past=None if layers is None else cache_of(layers),
        has_padding=inputs.has_padding if lengths is None else True,
    )
    if backbone.family == "encoder":
        return backbone.run_body_at(whole, where)
    return backbone.run_body(whole)[where.rows, where.columns]


# -- joining -----------------------------------------------------------------------------------------------------------


def _joined_inputs(backbone: Backbone, readings: Sequence[Reading]) -> Inputs:
    """All rows, as long as the longest."""
    if len(readings) == 1:
        return readings[0].inputs
    length = max(reading.inputs.input_ids.shape[1] for reading in readings)
    found = [
        _padded(one.inputs, (0, length - one.inputs.input_ids.shape[1]), backbone.pad_id, mask=0) for one in readings
    ]
    types = None
    if any(one.token_type_ids is not None for one in found):
        types = torch.cat(
            [torch.zeros_like(one.input_ids) if one.token_type_ids is None else one.token_type_ids for one in found]
        )
    return Inputs(
        torch.cat([one.input_ids for one in found]),
        torch.cat([one.attention_mask for one in found]),
        types,
        _any_padding([one.has_padding for one in found]),
    )


def _any_padding(known: Sequence[bool | None]) -> bool | None:
    return True if any(known) else None if None in known else False


def _padded(inputs: Inputs, sides: tuple[int, int], pad_id: int, *, mask: int) -> Inputs:
    """`inputs` with so many columns more on the left and on the right."""
    if sides == (0, 0):
        return inputs
    pad, types = nn.functional.pad, inputs.token_type_ids
    return Inputs(
        pad(inputs.input_ids, sides, value=pad_id),
        pad(inputs.attention_mask, sides, value=mask),
        None if types is None else pad(types, sides),
        inputs.has_padding if mask else True,
    )


def _joined_places(readings: Sequence[Reading]) -> Places:
    """All positions read."""
    if len(readings) == 1:
        return Places(readings[0].rows, readings[0].columns, readings[0].most_in_row)
    rows, before = [], 0
    for reading in readings:
        rows.append(reading.rows + before)
        before += len(reading.inputs.input_ids)
    known = [reading.most_in_row for reading in readings if reading.most_in_row is not None]
    most = max(known) if len(known) == len(readings) else None
    return Places(torch.cat(rows), torch.cat([reading.columns for reading in readings]), most)


def _joined_prefix(readings: Sequence[Reading]) -> tuple[Prefix | None, Tensor | None]:
    """One prefix for each row, filled up to the longest, and how long each really is; None where all are as long."""
    given = [reading.prefix for reading in readings]
    if len(readings) == 1 or all(prefix is None for prefix in given):
        return given[0], None
    found = [prefix for prefix in given if prefix is not None]
    if len({prefix.prompted for prefix in found}) > 1:
        raise ValueError("prefixes that stand in different layers cannot be read together")
    device = found[0].keys.device
    sizes = [0 if prefix is None else prefix.keys.shape[-3] for prefix in given]
    counts = [len(reading.inputs.input_ids) for reading in readings]
    index, lengths = moved(
        [_prefix_index(given, sizes, counts), torch.tensor(sizes).repeat_interleave(torch.tensor(counts))], device
    )
    nothing = torch.zeros_like(found[0].keys.flatten(1, -3)[:, :1])  # what fills up: no other trial's numbers
    keys, values = (
        torch.cat([nothing, *(states.flatten(1, -3) for states in tables)], dim=1)
        .index_select(1, index.flatten())
        .view(len(nothing), *index.shape, *nothing.shape[2:])
        for tables in ([prefix.keys for prefix in found], [prefix.values for prefix in found])
    )
    return Prefix(keys, values, found[0].prompted), None if len(set(sizes)) == 1 else lengths


def _prefix_index(given: Sequence[Prefix | None], sizes: Sequence[int], counts: Sequence[int]) -> Tensor:
    """[B, P]: where each row's prefix positions are in the table of all, whose first entry fills up."""
    parts, before, longest = [], 1, max(sizes)
    for prefix, size, count in zip(given, sizes, counts, strict=True):
        own = before + torch.arange(size).expand(count, -1)
        is_one_a_row = prefix is not None and prefix.keys.dim() == 5
        if is_one_a_row:
            own = own + size * torch.arange(count)[:, None]
        parts.append(nn.functional.pad(own, (0, longest - size)))
        before += size * (count if is_one_a_row else 1)
    return torch.cat(parts)


def _embedded(backbone: Backbone, readings: Sequence[Reading], inputs: Inputs) -> Tensor:
    """Embeddings [B, L, D], with the trained vectors in their places."""
    embedded = backbone.embed(inputs.input_ids)
    if all(reading.slots is None for reading in readings):
        return embedded
    length, before = inputs.input_ids.shape[1], 0
    tables, slots = [], []
    for reading in readings:
        own = reading.slots
        if own is None or reading.vectors is None:
            own = torch.full_like(reading.inputs.input_ids, NO_VECTOR)
        else:
            own = torch.where(own == NO_VECTOR, own, own + before)
            tables.append(reading.vectors)
            before += len(reading.vectors)
        slots.append(nn.functional.pad(own, (0, length - own.shape[1]), value=NO_VECTOR))
    whole = torch.cat(slots)
    standing = torch.cat(tables).index_select(0, whole.clamp(min=0).flatten()).view_as(embedded)
    return torch.where((whole == NO_VECTOR)[..., None], embedded, standing.to(embedded.dtype))


# -- inside the layers -------------------------------------------------------------------------------------------------


@contextmanager
def _dropping(backbone: Backbone, readings: Sequence[Reading], where: tuple[Tensor, Tensor]) -> Iterator[None]:
    """While inside, a frozen backbone drops by the keys of the rows, if any reading wants it."""
    if not any(reading.dropout for reading in readings):
        yield
        return
    keys = torch.cat([_keys_of(reading) for reading in readings])
    rates = torch.cat(
        [torch.full(reading.inputs.input_ids.shape[:1], reading.dropout, device=keys.device) for reading in readings]
    )
    was_training = backbone.training
    backbone.train()
    try:
        with RowDropout(keys, rate=rates, positions=where):
            yield
    finally:
        backbone.train(was_training)


def _keys_of(reading: Reading) -> Tensor:
    if reading.keys is None:
        raise ValueError("dropout inside a frozen backbone needs a key for each row")
    return reading.keys.keys


@contextmanager
def _altered(backbone: Backbone, readings: Sequence[Reading], prefix: Prefix | None) -> Iterator[None]:
    """Hooks in the layers while the readings are read; afterwards the backbone is as it was."""
    with ExitStack() as hooks:
        hooks.enter_context(prefix_hidden(backbone.model, prefix))
        names = dict.fromkeys(name for reading in readings for name in reading.changes)
        sizes = _Sizes.of(readings if names else ())
        for name in names:
            own = [reading.changes.get(name) for reading in readings]
            handle = backbone.model.get_submodule(name).register_forward_hook(_Changing(own, sizes))
            hooks.callback(handle.remove)
        yield


@dataclass(frozen=True)
class _Sizes:
    """Of each reading: rows, positions read, and the keys of both."""

    rows: list[int]
    reads: list[int]
    row_keys: list[RowKeys | None]
    read_keys: list[RowKeys | None]

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> _Sizes:
        return cls(
            [len(reading.inputs.input_ids) for reading in readings],
            [len(reading.rows) for reading in readings],
            in_company([one.keys for one in readings]),
            in_company(
                [None if one.keys is None else RowKeys(one.keys.keys[one.rows], one.columns) for one in readings]
            ),
        )


@dataclass(frozen=True)
class _Changing:
    """A forward hook: what a layer gives, as each reading changes it for its own rows."""

    changes: list[LayerChange | None]
    sizes: _Sizes

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], given: Tensor) -> Tensor:
        (read,), sizes = args, self.sizes
        is_at_positions = read.dim() == 2  # an encoder's last layer
        counts, keys = (sizes.reads, sizes.read_keys) if is_at_positions else (sizes.rows, sizes.row_keys)
        if len(self.changes) == 1:
            (change,) = self.changes
            return given if change is None else change(read, given, keys[0])
        parts = zip(self.changes, torch.split(read, counts), torch.split(given, counts), keys, strict=True)
        return torch.cat([own if change is None else change(mine, own, key) for change, mine, own, key in parts])
