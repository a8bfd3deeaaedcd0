"""What a process keeps from one trial to the next: tasks, tokenized rows and backbones.

The first trial of a process pays for reading, tokenizing and loading; the hundredth finds everything in place. What is
kept never changes a result: a trial in a process that has run others equals one in a fresh process, bit for bit on a
CPU. A file that changes is read again. One thread only.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import torch

from tunekit import backbone as backbones
from tunekit import tasks
from tunekit.backbone import Backbone, keep_few_kernels
from tunekit.errors import ConfigError
from tunekit.methods import Method
from tunekit.schema import canonical_json
from tunekit.tasks import Split, Task
from tunekit.training.device import compute_exactly, give_memory_back, memory_bytes
from tunekit.training.loaded import BackboneHandle, LoadedBackbone, LoadedTask, TokenizedSplit
from tunekit.training.memory import StepLimits
from tunekit.training.random_state import RandomStream
from tunekit.training.warm_keys import backbone_key, task_key
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrialConfig

MAX_TOKENS = 20_000_000
"""Tokens kept in tokenized rows, over all tasks: about 1 GB (full XNLI has 18 million). Beyond, the task that has not
been used for longest goes first."""
MAX_BACKBONES = 2
"""Backbones kept; the one that has not been used for longest goes first."""
KEPT_ON_GPU = 0.25
"""Of a GPU's memory that the worker may take, what several backbones may fill together; beyond, only one is kept."""

logger = logging.getLogger(__name__)


class WorkerCache:
    """What one process keeps for all its trials.

    Args:
        load_task: makes a task; ``tasks.load`` unless a test says otherwise.
        load_backbone: loads a backbone; ``backbone.load`` unless a test says otherwise.
        fingerprint_backbone: says what is in its place now; ``backbone.fingerprint`` unless a test says otherwise.
    """

    def __init__(
        self,
        *,
        load_task: Callable[[TaskConfig, Locations], Task] = tasks.load,
        load_backbone: Callable[[BackboneConfig, Locations], Backbone] = backbones.load,
        fingerprint_backbone: Callable[[BackboneConfig, Locations], str] = backbones.fingerprint,
    ) -> None:
        keep_few_kernels()
        compute_exactly()
        self._load_task, self._load_backbone = load_task, load_backbone
        self._fingerprint_backbone = fingerprint_backbone
        self._tasks: OrderedDict[str, LoadedTask] = OrderedDict()
        self._backbones: OrderedDict[str, LoadedBackbone] = OrderedDict()
        self._limits: dict[str, StepLimits] = {}
        self.num_task_loads = 0
        """Tasks made so far; one that was dropped and made again counts twice."""
        self.num_backbone_loads = 0
        """Backbones loaded so far, counted likewise."""

    @property
    def warm(self) -> frozenset[str]:
        """The keys of all that is loaded, as `warm_keys` makes them."""
        return frozenset((*self._tasks, *self._backbones))

    def task(self, config: TaskConfig, locations: Locations) -> LoadedTask:
        """The task that `config` names, made once, and again when its data have changed.

        Raises:
            ConfigError: as `tasks.load` does.
        """
        key = task_key(config, locations)
        if key in self._tasks and self._tasks[key].has_changed():
            logger.warning("the data of task %s have changed and are read again", config.name)
            del self._tasks[key]
        if key not in self._tasks:
            self._tasks[key] = LoadedTask(self._load_task(config, locations))
            self.num_task_loads += 1
        self._tasks.move_to_end(key)
        return self._tasks[key]

    def tokenized(
        self, task: LoadedTask, method: Method, backbone: BackboneHandle, part: tuple[Split, str]
    ) -> TokenizedSplit:
        """The rows of a split of `task` in a language, tokenized once; makes room for them if need be.

        Args:
            task: of this cache, asked for most recently.
            method: encodes the rows.
            backbone: its tokenizer is used.
            part: split and language.
        """
        found = task.tokenized(method, backbone.tokenizer, *part)
        self._make_room(task)
        return found

    def _make_room(self, used: LoadedTask) -> None:
        """Drop what has not been used for longest: other tasks, then other splits of this one."""
        while sum(task.num_tokens for task in self._tasks.values()) > MAX_TOKENS:
            oldest = next((key for key, task in self._tasks.items() if task is not used), None)
            if oldest is not None:
                logger.info("dropped %s, which had not been used for longest", oldest)
                del self._tasks[oldest]
            elif not used.drop_oldest_split():
                return

    def limits(self, device: torch.device, config: TrialConfig) -> StepLimits:
        """How much of a trial of this shape is computed at once on `device`, as far as memory has shown."""
        shape = canonical_json([str(device), config.method, config.backbone, config.training.max_length])
        name = f"{config.method} on {config.backbone.name}"
        return self._limits.setdefault(shape, StepLimits(name, str(device)))

    def backbone(self, config: BackboneConfig, locations: Locations, *, trained: bool) -> BackboneHandle:
        """The backbone that `config` names, on the device of `locations`, with its weights as they were loaded.

        Every earlier handle of the same backbone is no longer current if its weights are to be trained, or were.

        Args:
            config: which backbone, in which number format.
            locations: its path, and the device.
            trained: whether the trial will train its weights; a copy of them is then kept on the CPU.

        Raises:
            ConfigError: as `backbone.load` does, or no such device.
        """
        device = choose_device(locations)
        key = backbone_key(config, locations)
        kept = self._backbones.get(key)
        if kept is not None and kept.fingerprint != self._fingerprint_backbone(config, locations):
            logger.warning("backbone %s has changed and is loaded again", config.name)
            del self._backbones[key]
        if key not in self._backbones:
            self._add_backbone(key, config, locations)
        self._backbones.move_to_end(key)
        loaded = self._backbones[key]
        loaded.reset(trained=trained)
        tokenizer = (config.name, config.revision, locations.backbone_path, locations.cache_dir, loaded.fingerprint)
        return BackboneHandle(loaded.backbone, loaded.fingerprint, tokenizer, device, loaded, loaded.version)

    def _add_backbone(self, key: str, config: BackboneConfig, locations: Locations) -> None:
        while len(self._backbones) >= MAX_BACKBONES:
            dropped, _ = self._backbones.popitem(last=False)
            logger.info("dropped %s, which had not been used for longest", dropped)
        with RandomStream(0, torch.device("cpu")):  # loading may draw numbers, which are overwritten by the weights
            backbone = self._load_backbone(config, locations)
        fingerprint = self._fingerprint_backbone(config, locations)
        loaded, device = LoadedBackbone(backbone, fingerprint), choose_device(locations)
        if device.type == "cuda":
            self._make_room_on(device, loaded)
        backbone.to(device)
        self._backbones[key] = loaded
        self.num_backbone_loads += 1

    def _make_room_on(self, device: torch.device, coming: LoadedBackbone) -> None:
        """Drop what has not been used for longest, if backbones would fill too much of a GPU with one that comes."""
        most = KEPT_ON_GPU * memory_bytes(device)
        while self._backbones and sum(kept.num_bytes for kept in (*self._backbones.values(), coming)) > most:
            dropped, _ = self._backbones.popitem(last=False)
            logger.info("dropped %s, to make room on %s", dropped, device)
        give_memory_back(device)

    def drop_idle(self, used: Backbone) -> bool:
        """Drop every backbone but the one that is in use, since memory does not suffice; whether there was any."""
        idle = [key for key, kept in self._backbones.items() if kept.backbone is not used]
        for key in idle:
            del self._backbones[key]
            logger.info("dropped %s, since memory does not suffice", key)
        return bool(idle)

    def has_idle(self, used: Backbone) -> bool:
        """Whether `drop_idle` would find any."""
        return any(kept.backbone is not used for kept in self._backbones.values())


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
