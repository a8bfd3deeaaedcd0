"""One method learning one task: updates of the optimiser, and scores of what has been learnt.

Knows nothing of folders, checkpoints or outcomes. On a CPU everything here is bit for bit the same whenever
configuration, seed, data, library versions and the number of threads are; on a GPU torch's kernels may add in another
order, and nothing forces them not to.
"""

from __future__ import annotations

import contextlib
import math
import platform
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from tunekit import methods
from tunekit.errors import TrialFailed, require
from tunekit.methods import count_parameters
from tunekit.segmentation import Granularity
from tunekit.storage.source_code import files_digest, package_digest
from tunekit.tasks import Split
from tunekit.training import schedule
from tunekit.training.caches import WorkerCache
from tunekit.training.checkpoints import LearnerState
from tunekit.training.loaded import TokenizedSplit
from tunekit.training.optimizer import Optimizer
from tunekit.training.predictions import Prediction
from tunekit.training.predictor import predict
from tunekit.training.random_state import RandomStream
from tunekit.trial import Locations, TrialConfig, TrialFacts
from tunekit.version import __version__


class Learner:
    """A method, its data and its optimiser, at some point of its training.

    A method with nothing to train (`Method.is_trained`) has no rows of train, no optimiser and no updates; it is only
    evaluated. Everything is drawn from the trial's own `RandomStream`.

    Args:
        config: the trial.
        locations: data, backbone and device.
        cache: keeps the backbone, the task and its tokenized rows.
        tokens_per_step: padded tokens computed at once; changes rounding only.

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
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        rates = self.method.learning_rates
        self._optimizer = Optimizer(self.trained, config.training, rates, self.device) if self.trained else None

    def _train_rows(self) -> TokenizedSplit:
        if not self.method.is_trained:
            return TokenizedSplit.of(())
        return self.tokenized("train", self.config.task.source_language)

    def tokenized(self, split: Split, language: str) -> TokenizedSplit:
        """The rows of a split in one language, tokenized once in a process."""
        return self._cache.tokenized(self.loaded, self.method, self._backbone, (split, language))

    def train_epoch(self, epoch: int) -> float:
        """Make all the updates of `epoch` (1-based); gives the mean loss over its labels.

        Raises:
            TrialFailed: the loss or the gradient is no longer finite, or memory does not suffice.
        """
        self._require_backbone()
        optimizer = self._require_optimizer()
        self.method.train()
        training, rows = self.config.training, self.train_rows
        first = (epoch - 1) * schedule.updates_per_epoch(len(rows.rows), training)
        total, num_labels = 0.0, 0
        with self._random, self._failing_without_memory():
            updates = schedule.epoch_updates(rows.lengths, training, seed=self.config.seed, epoch=epoch)
            for index, chosen in enumerate(updates):
                self._side_updates(first + index, epoch)
                mean, count = self._update(chosen, first + index, f"update {index + 1} of epoch {epoch}")
                total, num_labels = total + mean * count, num_labels + count
        optimizer.clear()
        return total / max(1, num_labels)

    def predict(self, split: Split, language: str) -> list[Prediction]:
        """One prediction for each example of a split in one language.

        Raises:
            TrialFailed: memory does not suffice.
        """
        self._require_backbone()
        examples, tokenized = self.task.examples(split, language), self.tokenized(split, language)
        # Should a method draw here, then the same whatever was trained and scored before.
        with RandomStream(self.config.seed, self.device), self._failing_without_memory():
            return predict(self.method, examples, tokenized, tokens_per_step=self.tokens_per_step)

    def evaluate(self, split: Split, language: str) -> dict[str, float]:
        """Predict a split in one language and score it, as ``<split>/<language>/<metric>``.

        Raises:
            TrialFailed: memory does not suffice.
        """
        return self.score(split, language, self.predict(split, language))

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
        self._require_backbone()
        self.method.eval()
        with RandomStream(self.config.seed, self.device), self._failing_without_memory(), torch.inference_mode():
            return {f"dev/{key}": value for key, value in self.method.diagnostics().items()}

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
        return {"optimizer": self._require_optimizer().state(), "random": self._random.state()}

    def load_state(self, state: LearnerState) -> None:
        """Go on from what `state` gave."""
        self._require_optimizer().load_state(state["optimizer"])
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
            versions=_versions(type(self.method).__module__),
        )

    def peak_memory_bytes(self) -> int:
        """On a GPU what this trial held there at most; on a CPU the whole process so far, earlier trials included."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

    def _update(self, chosen: Sequence[int], update: int, where: str) -> tuple[float, int]:
        """One labelled update on the rows `chosen`; gives the mean loss and the number of labels."""
        rows = self.train_rows
        groups = schedule.steps(chosen, rows.lengths, max_tokens=self.tokens_per_step)
        batches = [self.method.collate([rows.rows[row] for row in group]) for group in groups]
        num_labels = sum(batch.num_labels for batch in batches)
        # Divided by the labels of the whole update: how it is cut into steps changes rounding and no more.
        parts = (self.method.loss(batch.to(self.device)) / max(1, num_labels) for batch in batches)
        weight = self.side.weight if self.side else 0.0
        beside = (weight * part for part in self.method.side_losses()) if weight else ()
        return self._descend(chain(parts, beside), update, self.num_updates, where), num_labels

    def _side_updates(self, update: int, epoch: int) -> None:
        """The updates on the side task alone that come just before the labelled `update`."""
        side = self.side
        for number in range(schedule.side_updates(update, self.num_updates, side)):
            assert side is not None
            is_before = side.order == "before"
            place = (number, side.num_updates) if is_before else (update, self.num_updates)
            with self._training_only(side.trains):
                self._descend(self.method.side_losses(), *place, f"side update {number + 1} of epoch {epoch}")

    def _descend(self, parts: Iterable[Tensor], update: int, num_updates: int, where: str) -> float:
        """One step of the optimiser down the sum of `parts`, each back-propagated before the next; gives the sum."""
        optimizer = self._require_optimizer()
        optimizer.clear()
        losses = []
        for loss in parts:
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        norm = optimizer.clip()
        total, length = torch.stack([torch.stack(losses).sum().float(), norm.float()]).tolist()
        for name, value in (("loss", total), ("norm of the gradient", length)):
            if not math.isfinite(value):
                rate = schedule.learning_rate(update, num_updates, self.config.training)
                raise TrialFailed(f"{name} became {value} at {where} (learning rate {rate:.3g}); a lower rate may help")
        optimizer.step(update, num_updates)
        return float(total)

    @contextlib.contextmanager
    def _training_only(self, starts: Sequence[str]) -> Iterator[None]:
        """Leave all trained parameters as they are whose names do not begin so; empty changes nothing."""
        others = [p for name, p in self.trained.items() if starts and not name.startswith(tuple(starts))]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _require_optimizer(self) -> Optimizer:
        if self._optimizer is None:
            raise RuntimeError(f"{self.config.method} has nothing to train")
        return self._optimizer

    def _require_backbone(self) -> None:
        if not self._backbone.is_current:
            raise RuntimeError("a later trial in this process trains the same backbone; finish one before the next")

    @contextlib.contextmanager
    def _failing_without_memory(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises a plain one
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            reason = str(error).partition("\n")[0]
            advice = f"lower tokens_per_step (now {self.tokens_per_step}): the result stays the same but for rounding"
            raise TrialFailed(f"out of memory on {self.device}; {advice}. {reason}") from error


def require_room(tokens_per_step: int, config: TrialConfig) -> None:
    """Refuse a step that cannot hold the longest row.

    Raises:
        ConfigError: `tokens_per_step` is less than `max_length`.
    """
    length = config.training.max_length
    require(tokens_per_step >= length, "tokens_per_step", tokens_per_step, f"at least max_length ({length})")


@cache
def _versions(method: str) -> dict[str, str]:
    """Of the libraries that decide a result, of tunekit's own code, and of the module of a method outside it."""
    found = {name: _version(name) for name in ("torch", "transformers", "tokenizers", "peft", "seqeval")}
    found |= {"tunekit": __version__, "tunekit_code": package_digest()}
    if not method.startswith("tunekit."):
        file = getattr(sys.modules.get(method), "__file__", None)
        found["method_code"] = files_digest(Path(file)) if file else ""
    return {"python": platform.python_version(), **found}


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # a machine that only trains may lack some
        return "not installed"
