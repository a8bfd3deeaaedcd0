"""One method learning one task: updates of the optimiser, and scores of what has been learnt.

Knows nothing of folders, checkpoints or outcomes (`training` does). On a CPU everything here is bit for bit the same
whenever configuration, seed, data, library versions and the number of threads are; on a GPU torch's kernels may add in
another order, and nothing forces them not to.
"""

from __future__ import annotations

import contextlib
import math
import platform
import resource
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from importlib import metadata
from typing import Any, cast

import torch
from torch import Tensor, nn

from tunekit.errors import ConfigError, TrialFailed
from tunekit.methods import Feature, Method
from tunekit.registry import lookup
from tunekit.schema import build, to_json
from tunekit.tasks import Split
from tunekit.training import checkpoints
from tunekit.training import schedule as plan
from tunekit.training.caches import Encoded, Worker
from tunekit.trial import Locations, TrialConfig

EVALUATION_FACTOR = 4
"""On a GPU, evaluation computes this many times `tokens_per_step` at once: it keeps nothing for a backward pass."""
CPU_EVALUATION_PIECES = 2048
"""On a CPU, padded pieces evaluated at once: more only leaves its caches."""


class Learner:
    """A method, its data and its optimiser, at some point of its training.

    A method with nothing to train (`Method.is_trained`) has no rows of train, no optimiser and no updates; it is only
    evaluated.

    Global random generators are set to this learner's own state whenever an epoch begins, so what others draw between
    two epochs changes nothing.

    Args:
        config: the trial.
        locations: data, backbone and device.
        worker: lends the backbone and keeps tokenized rows.

    Raises:
        ConfigError: the task, the backbone or the method's options do not go together.
    """

    def __init__(self, config: TrialConfig, *, locations: Locations, worker: Worker) -> None:
        self.config = config
        method_class: type[Method] = lookup("method", config.method)
        options: Any = build(method_class.Config, config.options, f"{config.method}: options")
        if not method_class.is_trained:
            _refuse_training(config)
        self.loaded = worker.task(config.task, locations)
        self.task = self.loaded.task
        self._lease = worker.borrow(config.backbone, locations, trained=method_class.trains(options))
        self.device = self._lease.device
        checkpoints.seed_everything(config.seed)  # after loading, which may draw numbers on a worker's first trial only
        self.method = method_class(
            options,
            backbone=self._lease.backbone,
            task=self.task,
            training=config.training,
            word_piece=config.backbone.word_piece,
        ).to(self.device)
        self._rng = checkpoints.capture_rng(self.device)
        self.trained = {name: p for name, p in self.method.named_parameters() if p.requires_grad}
        self.train_rows = (
            self.encoded("train", config.task.source_language) if self.method.is_trained else Encoded.of(())
        )
        self.num_updates = plan.planned_updates(len(self.train_rows.rows), config.training)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._optimizer = _adamw(list(self.trained.values()), config, self.device) if self.trained else None

    def encoded(self, split: Split, language: str) -> Encoded:
        """The rows of a split in one language, tokenized once a worker."""
        return self.loaded.encoded(self.method, self._lease.tokenizer, split, language)

    def train_epoch(self, epoch: int) -> float:
        """Make all the updates of `epoch` (1-based); gives the mean loss over its labels.

        Raises:
            TrialFailed: the loss or the gradient is no longer finite, or memory does not suffice.
        """
        self._require_lease()
        optimizer = self._require_optimizer()
        checkpoints.restore_rng(self._rng, self.device)
        self.method.train()
        training, rows = self.config.training, self.train_rows
        first = (epoch - 1) * plan.updates_per_epoch(len(rows.rows), training)
        total, num_labels = 0.0, 0
        with self._failing_for_want_of_memory():
            updates = plan.epoch_updates(rows.lengths, training, seed=self.config.seed, epoch=epoch)
            for index, chosen in enumerate(updates):
                rate = plan.learning_rate(first + index, self.num_updates, training)
                loss_sum, count = self._update(chosen, rate, f"update {index + 1} of epoch {epoch}")
                total, num_labels = total + loss_sum, num_labels + count
        optimizer.zero_grad(set_to_none=True)
        self._rng = checkpoints.capture_rng(self.device)
        return total / max(1, num_labels)

    def evaluate(self, split: Split, language: str) -> dict[str, float]:
        """Scores of a split in one language, as ``<split>/<language>/<metric>``.

        Raises:
            TrialFailed: memory does not suffice.
        """
        self._require_lease()
        self.method.eval()
        encoded = self.encoded(split, language)
        is_cpu = self.device.type == "cpu"
        budget = CPU_EVALUATION_PIECES if is_cpu else EVALUATION_FACTOR * self.config.training.tokens_per_step
        asked = _first_rows(encoded.rows)  # equal questions, such as repeated words, are computed once
        predicted: list[list[int]] = [[] for _ in encoded.rows]
        with self._failing_for_want_of_memory(), torch.inference_mode():
            for step in plan.steps(sorted(set(asked)), encoded.lengths, max_pieces=budget):
                batch = self.method.collate([encoded.rows[row] for row in step]).to(self.device)
                for row, labels in zip(step, self.method.predict(batch), strict=True):
                    predicted[row] = labels
        examples = self.task.examples(split, language)
        decoded = [
            self.method.decode(example, [(encoded.rows[row], predicted[asked[row]]) for row in span])
            for example, span in zip(examples, encoded.spans, strict=True)
        ]
        scores = self.task.score(examples, cast("Sequence[str] | Sequence[Sequence[str]]", decoded))
        return {f"{split}/{language}/{metric}": score for metric, score in scores.items()}

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

    def state(self) -> dict[str, Any]:
        """All beside the parameters that the next epoch depends on: moments of the optimiser, random generators."""
        return {"optimizer": self._require_optimizer().state_dict(), "rng": self._rng}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._require_optimizer().load_state_dict(state["optimizer"])
        self._rng = state["rng"]

    def facts(self) -> dict[str, Any]:
        """What a reader needs to trust a number: data, size, floor, machine and versions."""
        source, device = self.config.task.source_language, self.device
        return {
            "data_fingerprint": self.loaded.fingerprint,
            "num_train_examples": len(self.task.examples("train", source)),
            "num_train_rows": len(self.train_rows.rows),
            "num_train_pieces": self.train_rows.num_pieces,
            "num_train_truncated": self.train_rows.num_truncated,
            "majority": {f"dev/{source}/{k}": v for k, v in self.loaded.majority("dev", source).items()},
            "device": torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else f"{device} ({platform.machine()})",
            "num_threads": torch.get_num_threads(),
            **_versions(),
        }

    def peak_memory_bytes(self) -> int:
        """On a GPU what this trial held there at most; on a CPU the whole process so far, earlier trials included."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

    def _update(self, chosen: Sequence[int], rate: float, where: str) -> tuple[float, int]:
        """One update on the rows `chosen`; gives the summed loss and the number of labels."""
        training, rows = self.config.training, self.train_rows
        groups = plan.steps(chosen, rows.lengths, max_pieces=training.tokens_per_step)
        batches = [self.method.collate([rows.rows[row] for row in group]) for group in groups]
        num_labels = sum(batch.num_labels for batch in batches)
        optimizer = self._require_optimizer()
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for batch in batches:
            # Divided by the labels of the whole update: how it is cut into steps changes rounding and no more.
            loss = self.method.loss(batch.to(self.device)) / max(1, num_labels)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        norm = nn.utils.clip_grad_norm_(self.trained.values(), training.max_grad_norm or math.inf)
        mean, length = torch.stack([torch.stack(losses).sum().float(), norm.float()]).tolist()
        for name, value in (("loss", mean), ("norm of the gradient", length)):
            if not math.isfinite(value):
                raise TrialFailed(f"{name} became {value} at {where} (learning rate {rate:.3g}); a lower rate may help")
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        return mean * num_labels, num_labels

    def _require_optimizer(self) -> torch.optim.AdamW:
        if self._optimizer is None:
            raise RuntimeError(f"{self.config.method} has nothing to train")
        return self._optimizer

    def _require_lease(self) -> None:
        if not self._lease.is_valid:
            raise RuntimeError("a later trial on this worker trains the same backbone; finish one before the next")

    @contextlib.contextmanager
    def _failing_for_want_of_memory(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises a plain one
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            tokens = self.config.training.tokens_per_step
            reason = str(error).partition("\n")[0]
            advice = f"lower tokens_per_step (now {tokens}): the result stays the same but for rounding"
            raise TrialFailed(f"out of memory on {self.device}; {advice}. {reason}") from error


def _refuse_training(config: TrialConfig) -> None:
    """Raise a ConfigError for a setting of the optimiser or its schedule that a method without training ignores."""
    given, used = to_json(config.training), to_json(config.training.without_updates())
    for name, value in given.items():
        if value != used[name]:
            raise ConfigError(
                f"training: {name} is {value!r}, but {config.method} trains nothing, so it must be {used[name]!r}"
            )


def _first_rows(rows: Sequence[Feature]) -> list[int]:
    """For each row the first one that asks the same question."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(row.question, index) for index, row in enumerate(rows)]


def _adamw(parameters: list[nn.Parameter], config: TrialConfig, device: torch.device) -> torch.optim.AdamW:
    """AdamW with decay on matrices only; fused kernels work element by element, so they add in no order at all."""
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.training.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.training.learning_rate,
        eps=config.training.adam_epsilon,
        fused=device.type in ("cpu", "cuda"),
    )


@cache
def _versions() -> dict[str, str]:
    found = {f"{name}_version": metadata.version(name) for name in ("torch", "transformers")}
    return {**found, "python_version": platform.python_version()}
