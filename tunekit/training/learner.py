"""One method learning one task: updates of the optimiser, and scores of what has been learnt.

Knows nothing of folders, checkpoints or outcomes. On a CPU everything here is bit for bit the same whenever
configuration, seed, data, library versions and the number of threads are; on a GPU torch's kernels may add in another
order, and nothing forces them not to.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import resource
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from tunekit import methods
from tunekit.backbone import read
from tunekit.errors import require
from tunekit.methods import Feature, count_parameters
from tunekit.methods.batch import Batch, Part
from tunekit.predictions import Prediction
from tunekit.schema import canonical_json
from tunekit.segmentation import Granularity
from tunekit.tasks import Split
from tunekit.training import schedule
from tunekit.training.caches import WorkerCache
from tunekit.training.checkpoints import LearnerState
from tunekit.training.device import give_memory_back
from tunekit.training.loaded import TokenizedSplit
from tunekit.training.memory import failing_without_memory
from tunekit.training.optimizer import Optimizer
from tunekit.training.random_state import Draws, RandomState, RandomStream
from tunekit.training.versions import versions
from tunekit.trial import Locations, TrialConfig, TrialFacts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Update:
    """One step of a learner's optimiser, to be made: down the sum of the losses of its parts."""

    learner: Learner
    parts: tuple[Part, ...]
    stream: str
    """What it is an update of; with `number` it names the update for random numbers."""
    number: int
    """From 0, of its kind in the whole trial."""
    place: tuple[int, int]
    """Number and total that the learning rate goes by."""
    trains: tuple[str, ...] = ()
    """How the names of the parameters begin that change; empty: all."""
    where: str = ""
    """For messages."""


@dataclass(frozen=True)
class Questions:
    """Splits whose examples a learner is to predict."""

    learner: Learner
    split: Split
    languages: tuple[str, ...]


class Learner:
    """A method, its data and its optimiser, at some point of its training.

    A method with nothing to train (`Method.is_trained`) has no rows of train, no optimiser and no updates; it is only
    evaluated. Everything is drawn from the trial's own `RandomStream`.

    Args:
        config: the trial.
        locations: data, backbone and device.
        cache: keeps the backbone, the task and its tokenized rows.
        tokens_per_step: padded tokens computed at once; `tunekit.trial.SMALLER_STEPS` says what it changes.

    Raises:
        ConfigError: the task, the backbone or the method's options do not go together, or `tokens_per_step` is less
            than a row may have.
    """

    def __init__(self, config: TrialConfig, *, locations: Locations, cache: WorkerCache, tokens_per_step: int) -> None:
        require_room(tokens_per_step, config)
        self.config, self.locations, self.tokens_per_step = config, locations, tokens_per_step
        trains_backbone = methods.trains_backbone(config)
        self._cache = cache
        self.loaded = cache.task(config.task, locations)
        self.task = self.loaded.task
        self._backbone = cache.backbone(config.backbone, locations, trained=trains_backbone)
        self.device = self._backbone.device
        self._random = RandomStream(config.seed, self.device)
        with self._random:
            self.method = methods.build(config, backbone=self._backbone.backbone, task=self.task).to(self.device)
        self.method.tokens_per_step = tokens_per_step
        self.trained = {name: p for name, p in self.method.named_parameters() if p.requires_grad}
        self.train_rows = self._train_rows()
        self.num_updates = schedule.planned_updates(len(self.train_rows.rows), config.training)
        """Labelled ones of the whole trial; those of the side task come beside them."""
        self.side = self.method.side_task
        self.company: Hashable = self._company()
        """Learners of equal company can be computed together; None: this one is computed alone."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        rates = self.method.learning_rates
        self._optimizer = Optimizer(self.trained, config.training, rates, self.device) if self.trained else None
        self.limits = cache.limits(self.device, config)
        """What is computed at once at most, of this trial and others like it."""
        self.spent_s = 0.0
        """Seconds of updates, predictions and diagnostics; of what was computed together with others, its share."""

    def _company(self) -> Hashable:
        shared = methods.pack_options(self.config)
        return (
            None if shared is None else (id(self._backbone.backbone), type(self.method), canonical_json(dict(shared)))
        )

    def _train_rows(self) -> TokenizedSplit:
        if not self.method.is_trained:
            return TokenizedSplit.of(())
        return self.tokenized("train", self.config.task.source_language)

    def tokenized(self, split: Split, language: str) -> TokenizedSplit:
        """The rows of a split in one language, tokenized once in a process."""
        return self._cache.tokenized(self.loaded, self.method, self._backbone, (split, language))

    def epoch(self, epoch: int) -> Generator[Update, float, float]:
        """The updates of `epoch` (1-based), each to be made before the next; gives the mean loss over its labels.

        An update is answered by its loss. What cannot be made is thrown: `TrialFailed`.
        """
        self._require_backbone()
        training, rows = self.config.training, self.train_rows
        first = (epoch - 1) * schedule.updates_per_epoch(len(rows.rows), training)
        total, num_labels = 0.0, 0
        for index, chosen in enumerate(
            schedule.epoch_updates(rows.lengths, training, seed=self.config.seed, epoch=epoch)
        ):
            yield from self._side_updates(first + index, epoch)
            update = self._labelled_update([rows.rows[row] for row in chosen], first + index)
            count = sum(len(rows.rows[row].label_ids) for row in chosen)
            mean = yield replace(update, where=f"update {index + 1} of epoch {epoch}")
            total, num_labels = total + mean * count, num_labels + count
        self.optimizer.clear()
        return total / max(1, num_labels)

    def turn(self, *, training: bool) -> None:
        """Put the method into training or evaluation mode, if it is not: to walk through all its modules takes time."""
        method = self.method
        is_backbone_training = training and method.trains(method.config)
        if method.training != training or method.backbone.training != is_backbone_training:
            method.train(training)

    @contextlib.contextmanager
    def at_work(self, *, training: bool) -> Iterator[None]:
        """In training or evaluation mode, drawing from the trial's own random stream.

        Should a method draw in evaluation, then the same whatever was trained and scored before.

        Raises:
            RuntimeError: a later trial trains the same backbone.
        """
        self._require_backbone()
        self.turn(training=training)
        with self._random if training else RandomStream(self.config.seed, self.device):
            yield

    def score(self, split: Split, language: str, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Scores of predictions for a split in one language, as ``<split>/<language>/<metric>``."""
        examples = self.task.examples(split, language)
        scores = self.task.score(examples, predictions)
        return {f"{split}/{language}/{metric}": score for metric, score in scores.items()}

    def granularity(self, split: Split, language: str) -> Granularity:
        """How finely the texts of a split are written in tokens, in one language."""
        return self.loaded.granularity(self.method, self._backbone.tokenizer, split, language)

    def diagnostics(self) -> dict[str, float]:
        """What the method says of itself beside scores, as ``dev/<language>/<figure>``.

        Raises:
            TrialFailed: memory does not suffice.
        """
        started = time.perf_counter()
        with (
            self.at_work(training=False),
            failing_without_memory(self.device, self.tokens_per_step),
            torch.inference_mode(),
        ):
            found = {f"dev/{key}": value for key, value in self.method.diagnostics().items()}
        self.spent_s += time.perf_counter() - started
        return found

    @property
    def can_make_room(self) -> bool:
        """Whether the worker keeps backbones that this trial does not use."""
        return self._cache.has_idle(self._backbone.backbone)

    def make_room(self) -> bool:
        """After memory did not suffice: drop those, and hand back what no tensor uses; whether there was one.

        To be called when nothing holds the memory of the pass any more, its exception included.
        """
        was_full = self._cache.drop_idle(self._backbone.backbone)
        give_memory_back(self.device)
        return was_full

    @property
    def random_state(self) -> RandomState:
        """Where the trial's random stream has come to."""
        return self._random.state()

    def begin_again(self, state: RandomState) -> None:
        """An update is made once more: as if nothing had been drawn for it."""
        self._random.load_state(state)

    def parameters(self) -> dict[str, Tensor]:
        """The trained parameters as they are now, on the CPU."""
        return {name: parameter.detach().cpu() for name, parameter in self.trained.items()}

    def load_parameters(self, parameters: dict[str, Tensor]) -> None:
        """Set the trained parameters, in place.

        Raises:
            ValueError: other names or shapes than the method's.
        """
        if parameters.keys() != self.trained.keys():
            odd = sorted(parameters.keys() ^ self.trained.keys())
            raise ValueError(f"the stored parameters are not this method's: {', '.join(odd)}")
        with torch.no_grad():
            for name, parameter in self.trained.items():
                if parameters[name].shape != parameter.shape:
                    raise ValueError(
                        f"{name} is stored as {tuple(parameters[name].shape)}, not {tuple(parameter.shape)}"
                    )
                parameter.copy_(parameters[name])

    def state(self) -> LearnerState:
        """All beside the parameters that the next epoch depends on: moments of the optimiser, random generators."""
        return {"optimizer": self.optimizer.state(), "random": self._random.state()}

    def load_state(self, state: LearnerState) -> None:
        """Go on from what `state` gave."""
        self.optimizer.load_state(state["optimizer"])
        self._random.load_state(state["random"])

    def fingerprints(self) -> dict[str, str]:
        """What the trial reads is now: the backbone, each split in each language, parallel text."""
        of_data = self.loaded.fingerprints(
            target_dev=self.config.selection == "target_dev", parallel=self.method.parallel_text
        )
        return {"backbone": self._backbone.fingerprint, **of_data}

    def place(self, key: str) -> str:
        """Where the thing of a fingerprint is, such as a file's path."""
        if key == "backbone":
            return self.locations.backbone_path or self.config.backbone.name
        return self.task.where(key)

    def facts(self) -> TrialFacts:
        """What a reader needs to trust a number: what is read, sizes, the floor, machine and versions."""
        source, device, rows = self.config.task.source_language, self.device, self.train_rows
        count = count_parameters(self.method)
        per_epoch = schedule.updates_per_epoch(len(rows.rows), self.config.training)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device} ({platform.machine()})"
        return TrialFacts(
            fingerprints=self.fingerprints(),
            num_trainable_parameters=count.trainable,
            num_backbone_parameters=count.backbone,
            num_train_examples=len(self.task.examples("train", source)),
            num_train_rows=len(rows.rows),
            num_train_tokens=rows.num_tokens,
            num_train_truncated=rows.num_truncated,
            num_updates_per_epoch=per_epoch,
            num_side_updates=schedule.side_updates_by_epoch(per_epoch, self.config.training.epochs, self.side),
            majority={f"dev/{source}/{k}": v for k, v in self.loaded.majority("dev", source).items()},
            device=name,
            num_threads=torch.get_num_threads(),
            versions=versions(type(self.method).__module__),
        )

    def peak_memory_bytes(self) -> int:
        """On a GPU what was held there at most since a trial was last begun, by all that are packed with this one.

        On a CPU the whole process so far, earlier trials included.
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

    def _labelled_update(self, rows: Sequence[Feature], number: int) -> Update:
        """The update on some rows of train, with what the side task adds to it."""
        parts = [self.method.labelled_part(rows)]
        if self.side and self.side.weight:
            with self._random:
                parts += [_weighted(part, self.side.weight) for part in self.method.side_parts()]
        return Update(self, tuple(parts), stream="labelled", number=number, place=(number, self.num_updates))

    def _side_updates(self, update: int, epoch: int) -> Generator[Update, float, None]:
        """The updates on the side task alone that come just before the labelled `update`."""
        side = self.side
        for number in range(schedule.side_updates(update, self.num_updates, side)):
            assert side is not None
            before = side.num_updates * update // self.num_updates if side.order == "beside" else 0
            with self._random:
                parts = tuple(self.method.side_parts())
            yield Update(
                self,
                parts,
                stream="side",
                number=before + number,
                place=(number, side.num_updates) if side.order == "before" else (update, self.num_updates),
                trains=side.trains,
                where=f"side update {number + 1} of epoch {epoch}",
            )

    @contextlib.contextmanager
    def training_only(self, starts: Sequence[str]) -> Iterator[None]:
        """Leave all trained parameters as they are whose names do not begin so; empty changes nothing."""
        others = [p for name, p in self.trained.items() if starts and not name.startswith(tuple(starts))]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    @property
    def optimizer(self) -> Optimizer:
        """Of the trained parameters."""
        if self._optimizer is None:
            raise RuntimeError(f"{self.config.method} has nothing to train")
        return self._optimizer

    def _require_backbone(self) -> None:
        if not self._backbone.is_current:
            raise RuntimeError("a later trial in this process trains the same backbone; finish one before the next")


@contextlib.contextmanager
def drawing(learners: Sequence[Learner], *, training: bool) -> Iterator[None]:
    """A single learner draws from its own random stream; several must not draw, since each has a stream of its own.

    Raises:
        RuntimeError: several have drawn.
    """
    if len(learners) == 1:
        with learners[0].at_work(training=training):
            yield
        return
    draws = Draws(learners[0].device)
    yield
    if draws:
        _tell_of_draws(learners[0].config.method)
        raise RuntimeError("random numbers were drawn for several trials at once")


@cache
def _tell_of_draws(method: str) -> None:
    logger.warning("%s draws from a global random generator, so its trials are computed one by one", method)


def _weighted(part: Part, weight: float) -> Part:
    def loss(logits: Tensor, batch: Batch, chosen: Sequence[int]) -> Tensor:
        return weight * part.loss(logits, batch, chosen)

    return replace(part, loss=loss)


def require_room(tokens_per_step: int, config: TrialConfig) -> None:
    """Refuse a step that cannot hold the longest row.

    Raises:
        ConfigError: `tokens_per_step` is less than `max_length`.
    """
    length = config.training.max_length
    require(tokens_per_step >= length, "tokens_per_step", tokens_per_step, f"at least max_length ({length})")


def logits_together(learners: Sequence[Learner], batches: Sequence[Batch]) -> list[Tensor]:
    """Logits of each batch by its learner's method, all read in one pass."""
    both = list(zip([learner.method for learner in learners], batches, strict=True))
    states = read(learners[0].method.backbone, [method.reading(batch) for method, batch in both])
    return [method.logits_of(found, batch) for (method, batch), found in zip(both, states, strict=True)]
