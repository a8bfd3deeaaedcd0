"""What a process keeps from one trial to the next: tasks, tokenized rows and backbones.

The first trial on a worker pays for reading, tokenizing and loading; the hundredth finds everything in place. What is
kept never changes a result: a trial on a worker that has run others equals one on a fresh worker, bit for bit on a CPU.
One thread only.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from tunekit import backbone as backbones
from tunekit import tasks
from tunekit.backbone import Backbone
from tunekit.errors import ConfigError
from tunekit.methods import Feature, Method
from tunekit.schema import canonical_json
from tunekit.tasks import Split, Task
from tunekit.trial import BackboneConfig, Locations, TaskConfig

MAX_TASKS = 4
"""Tasks kept by a worker, with their tokenized rows; the one unused for longest goes first."""
MAX_BACKBONES = 2
"""Backbones kept by a worker; the one unused for longest goes first."""
MAX_PIECES = 20_000_000
"""Tokenized pieces kept for each task, about 1 GB; full XNLI has 18 million."""

logger = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Encoded:
    """A split in one language, tokenized: all rows in the order of their examples."""

    rows: tuple[Feature, ...]
    lengths: tuple[int, ...]
    """Pieces of each row."""
    spans: tuple[range, ...]
    """For each example the indices of its rows."""
    num_pieces: int
    num_truncated: int
    """Rows whose text was cut."""

    @classmethod
    def of(cls, encoded: Sequence[Sequence[Feature]]) -> Encoded:
        """From the rows of each example, as ``Method.encode_all`` gives them."""
        rows = tuple(row for example in encoded for row in example)
        lengths = tuple(row.length for row in rows)
        spans, start = [], 0
        for example in encoded:
            spans.append(range(start, start + len(example)))
            start += len(example)
        return cls(rows, lengths, tuple(spans), sum(lengths), sum(row.truncated for row in rows))


class LoadedTask:
    """A task as a worker keeps it, with what is worth computing once."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._fingerprint: str | None = None
        self._majority: dict[tuple[Split, str], dict[str, float]] = {}
        self._encoded: OrderedDict[Hashable, Encoded] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """``Task.fingerprint()``, which reads train and dev."""
        if self._fingerprint is None:
            self._fingerprint = self.task.fingerprint()
        return self._fingerprint

    def majority(self, split: Split, language: str) -> dict[str, float]:
        """``Task.majority(split, language)``."""
        key = (split, language)
        if key not in self._majority:
            self._majority[key] = self.task.majority(split, language)
        return self._majority[key]

    def encoded(self, method: Method, tokenizer: Hashable, split: Split, language: str) -> Encoded:
        """The rows of a split, tokenized by the first trial that asks.

        Args:
            method: encodes if nobody did; methods with one `encode_all` and equal ``encoding_key()`` share the rows.
            tokenizer: names the tokenizer of the method's backbone (`Lease.tokenizer`).
            split: which split.
            language: in which language.
        """
        key = (tokenizer, type(method).encode_all, method.encoding_key(), split, language)
        found = self._encoded.get(key)
        if found is None:
            examples = self.task.examples(split, language)
            found = self._encoded[key] = Encoded.of(method.encode_all(examples, language=language))
            while len(self._encoded) > 1 and sum(e.num_pieces for e in self._encoded.values()) > MAX_PIECES:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return found


class _Shelf:
    """One backbone, a copy of its weights as they were loaded, and whether somebody has been training it."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.generation = 0
        self._pristine: dict[str, Tensor] | None = None
        self._is_trained = False

    def lend(self, *, trained: bool) -> None:
        """Put the weights back as they were loaded, in place; keep a copy first if they are to be trained."""
        if self._is_trained or trained:
            self.generation += 1
        if self._is_trained:
            self._restore()
        elif trained and self._pristine is None:
            self._pristine = {name: t.detach().to("cpu", copy=True) for name, t in self._tensors()}
        for parameter in self.backbone.parameters():
            parameter.grad = None
        self._is_trained = trained

    def _restore(self) -> None:
        assert self._pristine is not None
        with torch.no_grad():
            for name, tensor in self._tensors():
                tensor.copy_(self._pristine[name])

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.backbone.named_parameters(), *self.backbone.named_buffers()]


@dataclass(frozen=True)
class Lease:
    """A backbone lent to one trial, with its weights as they were loaded."""

    backbone: Backbone
    tokenizer: Hashable
    """Names the backbone's tokenizer among the worker's tokenized rows."""
    device: torch.device
    _shelf: _Shelf
    _generation: int

    @property
    def is_valid(self) -> bool:
        """False once the weights have been lent to be trained, or put back, for another trial."""
        return self._generation == self._shelf.generation


class Worker:
    """The caches of one process, shared by all its trials.

    Args:
        load_task: makes a task; ``tasks.load`` unless a test says otherwise.
        load_backbone: loads a backbone; ``backbone.load`` unless a test says otherwise.
    """

    def __init__(
        self,
        *,
        load_task: Callable[[TaskConfig, Locations], Task] = tasks.load,
        load_backbone: Callable[[BackboneConfig, Locations], Backbone] = backbones.load,
    ) -> None:
        self._load_task, self._load_backbone = load_task, load_backbone
        self._tasks: OrderedDict[str, LoadedTask] = OrderedDict()
        self._shelves: OrderedDict[Hashable, _Shelf] = OrderedDict()

    def task(self, config: TaskConfig, locations: Locations) -> LoadedTask:
        """The task that `config` names, made once.

        Raises:
            ConfigError: as `tasks.load` does.
        """
        places = dataclasses.replace(locations, backbone_path=None, device=None)
        key = canonical_json([config, places])
        return _kept(self._tasks, key, lambda: LoadedTask(self._load_task(config, locations)), MAX_TASKS)

    def borrow(self, config: BackboneConfig, locations: Locations, *, trained: bool) -> Lease:
        """The backbone that `config` names, on the device of `locations`, with its weights as they were loaded.

        Every earlier lease of the same backbone becomes invalid if its weights are to be trained, or were.

        Args:
            config: which backbone, in which number format.
            locations: its path, and the device.
            trained: whether the borrower will train its weights; a copy of them is then kept on the CPU.

        Raises:
            ConfigError: as `backbone.load` does, or no such device.
        """
        device = choose_device(locations)
        tokenizer = (config.name, config.revision, locations.backbone_path, locations.cache_dir)
        key = (*tokenizer, config.dtype, str(device))
        shelf = _kept(
            self._shelves, key, lambda: _Shelf(self._load_backbone(config, locations).to(device)), MAX_BACKBONES
        )
        shelf.lend(trained=trained)
        return Lease(shelf.backbone, tokenizer, device, shelf, shelf.generation)


def choose_device(locations: Locations) -> torch.device:
    """The device that `locations` names, else cuda if there is one, else cpu.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    name = locations.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is not one that torch knows; use cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise ConfigError(
            f"device {name!r} is not there: this machine has {count} CUDA devices; leave it out or use cpu"
        )
    return device


def _kept(cache: OrderedDict[K, V], key: K, make: Callable[[], V], size: int) -> V:
    """``cache[key]``, made if need be after the one unused for longest has gone."""
    if key not in cache:
        while len(cache) >= size:
            dropped, _ = cache.popitem(last=False)
            logger.info("dropped %s, unused for longest", dropped)
        cache[key] = make()
    cache.move_to_end(key)
    return cache[key]
