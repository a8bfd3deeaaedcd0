"""Tensors brought to a device together, in one copy for each number format whatever their number.

A host that gives a GPU a tensor from its ordinary memory waits until the GPU has done all that it was asked before.
Here all numbers are put into one buffer of pinned memory, which a GPU fetches by itself while the host goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def moved(things: Sequence[T], device: torch.device | str) -> list[T]:
    """The same things with all their tensors on `device`.

    Args:
        things: tensors without gradients, and dataclasses, whose fields may be tensors and such dataclasses in turn.
            All else in a field stays as it is.
        device: on a CPU nothing is copied that is there already.
    """
    target = torch.device(device)
    tensors = [tensor for thing in things for tensor in _tensors(thing)]
    if all(tensor.device.type == target.type == "cpu" for tensor in tensors):
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


def _holding(thing: Any, tensors: Iterator[Tensor]) -> Any:
    """`thing` with other tensors in place of its own, taken in the order of `_tensors`."""
    if isinstance(thing, Tensor):
        return next(tensors)
    held = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    changed = {name: _holding(value, tensors) for name, value in held.items() if any(True for _ in _tensors(value))}
    return dataclasses.replace(thing, **changed)


def _copied(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The tensors on `device`; those of one number format that come from a CPU are views of one buffer there."""
    found = [tensor if tensor.device.type == "cpu" else tensor.to(device) for tensor in tensors]
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype and tensor.device.type == "cpu"]
        if not places:
            continue
        sizes = [tensors[i].numel() for i in places]
        buffer = torch.empty(sum(sizes), dtype=dtype, pin_memory=device.type == "cuda")
        torch.cat([tensors[i].flatten() for i in places], out=buffer)
        for i, part in zip(places, torch.split(_sent(buffer, device), sizes), strict=True):
            found[i] = part.view(tensors[i].shape)
    return found


def _sent(buffer: Tensor, device: torch.device) -> Tensor:
    return buffer.to(device, non_blocking=True)
