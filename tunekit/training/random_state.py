"""A trial's own random numbers, apart from those of everything else in the process.

Methods draw from the global generators of Python, numpy and torch. A :class:`RandomStream` puts a trial's own state in
their place while the trial draws, and puts back what was there. So several trials can take turns in one process, each
drawing what it would draw alone.
"""

from __future__ import annotations

import ctypes
import random
from types import TracebackType
from typing import NotRequired, Self, TypedDict

import numpy as np
import torch
from torch import Tensor


class RandomState(TypedDict):
    """States of the generators as tensors and plain values, which a checkpoint can hold."""

    python: tuple[object, ...]
    numpy: tuple[object, ...]
    torch: Tensor
    cuda: NotRequired[Tensor]


_MT19937_BYTES = 4 * (624 + 1)
"""What numpy's default generator consists of: 624 words, and which of them is next."""


class Draws:
    """Whether the global generators of Python, numpy and torch have been drawn from since this was made.

    Args:
        device: whose generator is meant beside the CPU's, if it is a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = self._states()

    def __bool__(self) -> bool:
        return self._states() != self._before

    def _states(self) -> tuple[object, ...]:
        found = [torch.get_rng_state()]
        if self._device.type == "cuda":
            found.append(torch.cuda.get_rng_state(self._device))
        return (random.getstate(), _numpy_state(), *(state.numpy().tobytes() for state in found))


def _numpy_state() -> object:
    """The state of numpy's global generator, read where it lies: a copy as numpy makes it takes fifty times as long."""
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if not isinstance(generator, np.random.MT19937):  # somebody has put another one in its place
        return repr(generator.state)
    return ctypes.string_at(generator.ctypes.state_address, _MT19937_BYTES)


class RandomStream:
    """The random numbers of one trial: inside a ``with`` block, the global generators are this stream.

    On leaving, the stream keeps where it has come to, and the generators go back to the state that they had before.

    Args:
        seed: at the start the generators are as if each had been seeded with it.
        device: whose generator is meant beside the CPU's, if it is a GPU.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._state = _seeded(seed, device)
        self._outside: RandomState | None = None

    def __enter__(self) -> Self:
        if self._outside is not None:
            raise RuntimeError("this random stream is in use already")
        self._outside = _current(self._device)
        _set(self._state, self._device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._outside is not None
        self._state = _current(self._device)
        _set(self._outside, self._device)
        self._outside = None

    def state(self) -> RandomState:
        """Where the stream has come to, to be kept in a checkpoint; not inside the ``with`` block."""
        return self._state

    def load_state(self, state: RandomState) -> None:
        """Go on from what `state` gave."""
        self._state = state


def _seeded(seed: int, device: torch.device) -> RandomState:
    """The states after seeding, made without touching the global generators."""
    state: RandomState = {
        "python": random.Random(seed).getstate(),
        "numpy": _plain(np.random.RandomState(seed % 2**32).get_state(legacy=True)),
        "torch": torch.Generator().manual_seed(seed).get_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
    return state


def _current(device: torch.device) -> RandomState:
    state: RandomState = {
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=True)),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set(state: RandomState, device: torch.device) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # type: ignore[arg-type]
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _plain(state: object) -> tuple[object, ...]:
    """numpy's state with its numbers as a list, which a checkpoint can hold."""
    assert isinstance(state, tuple)
    return (state[0], np.asarray(state[1]).tolist(), *state[2:])
