"""Tensors brought to a device together, in one copy for each number format whatever their number.

A host that gives a GPU a tensor from its ordinary memory waits until the GPU has done all that it was asked before.
Here all numbers are put into one buffer of pinned memory, which a GPU fetches by itself while the host goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


def moved(things: Sequence[T], device: torch.device | str) -> list[T]:
    """The same things with all their tensors on `device`.

    Args:
        things: tensors, which lose their gradients, and dataclasses, whose fields may be tensors and such dataclasses
            in turn. All else in a field stays as it is.
        device: nothing is copied that is there already. A CPU waits for what it is to have.
    """
    target = torch.device(device)
    tensors = [tensor for thing in things for tensor in _tensors(thing)]
    if all(_is_there(tensor, target) for tensor in tensors):
        return list(things)
    there = iter(_copied(tensors, target))
    return [_holding(thing, there) for thing in things]


class Held:
    """A tensor that is brought once to each device that asks for it."""

    def __init__(self, tensor: Tensor) -> None:
        self._found = {tensor.device: tensor}
        self._tensor = tensor

    def on(self, device: torch.device) -> Tensor:
        """The tensor on `device`."""
        if device not in self._found:
            with torch.inference_mode(False):  # a tensor made inside could not be used in training later
                (self._found[device],) = moved([self._tensor], device)
        return self._found[device]


def _tensors(thing: object) -> Iterator[Tensor]:
    """All tensors of a thing, in the order of its fields."""
    if isinstance(thing, Tensor):
        yield thing
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for field in dataclasses.fields(thing):
            yield from _tensors(getattr(thing, field.name))


def _holding(thing: T, tensors: Iterator[Tensor]) -> T:
    """`thing` with other tensors in place of its own, taken in the order of `_tensors`."""
    if isinstance(thing, Tensor):
        return cast(T, next(tensors))
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return thing
    held = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    changed = {name: _holding(value, tensors) for name, value in held.items() if any(True for _ in _tensors(value))}
    return cast(T, dataclasses.replace(thing, **changed))


def _is_there(tensor: Tensor, target: torch.device) -> bool:
    return tensor.device.type == target.type and target.index in (None, tensor.device.index)


def _copied(tensors: Sequence[Tensor], target: torch.device) -> list[Tensor]:
    """The tensors on `target`; those of one number format that come from elsewhere are views of one buffer there."""
    found, groups = list(tensors), dict[tuple[torch.device, torch.dtype], list[int]]()
    for place, tensor in enumerate(tensors):
        if not _is_there(tensor, target):
            groups.setdefault((tensor.device, tensor.dtype), []).append(place)
    for (device, dtype), places in groups.items():
        sizes = [tensors[place].numel() for place in places]
        is_pinned = device.type == "cpu" and target.type == "cuda"
        buffer = torch.empty(sum(sizes), dtype=dtype, device=device, pin_memory=is_pinned)
        torch.cat([tensors[place].detach().flatten() for place in places], out=buffer)
        for place, part in zip(places, torch.split(_sent(buffer, target), sizes), strict=True):
            found[place] = part.view(tensors[place].shape)
    return found


def _sent(buffer: Tensor, device: torch.device) -> Tensor:
    return buffer.to(device, non_blocking=buffer.is_pinned())
