"""What a method is: from examples to rows, from rows to a loss, from predictions back to one label a word.

A method is one file here, one line in ``config.METHODS`` and one YAML. It subclasses :class:`Method`, directly or
through :class:`tunekit.methods.heads.HeadMethod` when a linear head reads the backbone's output. Optimiser,
schedule, devices and checkpoints belong to ``training``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from tunekit.backbone import Backbone, Inputs
from tunekit.config import ConfigError, TrainingConfig
from tunekit.tasks import Example, Task

__all__ = ["Batch", "Feature", "Method", "ParameterCount", "count_parameters"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of a batch, tokenized: a pure function of the example, the tokenizer and ``Method.encoding_key()``."""

    input_ids: tuple[int, ...]
    """Pieces of the row, special ones included, the prompt not."""
    token_type_ids: tuple[int, ...] | None
    """Segments, for backbones that tell them apart; else None."""
    label_ids: tuple[int, ...]
    """A pair's label, or one label a word that this row owns."""
    reads: tuple[tuple[int, ...], ...]
    """For each label the positions in `input_ids` that the head reads; several are averaged."""
    words: tuple[int, ...]
    """The example's words that this row owns, in order; empty for a pair. Each word is owned by exactly one row."""
    truncated: bool = False
    """Text of a pair was cut."""

    @property
    def length(self) -> int:
        """Pieces in the row."""
        return len(self.input_ids)


@dataclass
class Batch:
    """Rows ready for the backbone, right padded. A method may subclass it: ``to`` moves every tensor field.

    Shapes: B rows, N labels (of words or pairs, flat over the rows), M positions read (M = N unless some are averaged).
    """

    inputs: Inputs
    """Tensors [B, L]."""
    label_ids: Tensor
    """[N]"""
    read_rows: Tensor
    """[M] row of each position read."""
    read_columns: Tensor
    """[M] column of each position read."""
    read_labels: Tensor
    """[M] which of the N labels the position belongs to."""
    row_sizes: tuple[int, ...]
    """Labels in each row; they sum to N."""

    @property
    def num_labels(self) -> int:
        """N: what the mean of the loss divides by."""
        return sum(self.row_sizes)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`."""
        moved: dict[str, Any] = {
            f.name: value.to(device)
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), (Tensor, Inputs))
        }
        return dataclasses.replace(self, **moved)


class Method(nn.Module):
    """A way to adapt a backbone to a task.

    The backbone is shared by the successive trials of a process: a method may train its weights (`trains_backbone`)
    but not change its structure. Fresh parameters are drawn on the CPU from torch's global generator, so one seed
    gives one start on every device.
    """

    Config: ClassVar[type]
    """Frozen keyword-only dataclass of the method's own options, a docstring under each field."""
    kinds: ClassVar[frozenset[str]] = frozenset({"pair", "token"})
    """Kinds of task the method can learn."""
    trains_backbone: ClassVar[bool] = False
    """Whether the backbone's weights are trained. If not they stay as they are, bit for bit."""

    def __init__(
        self, config: Any, *, backbone: Backbone, task: Task, training: TrainingConfig, word_piece: str
    ) -> None:
        """Build the method's own parameters beside `backbone`.

        Args:
            config: an instance of the class's `Config`.
            backbone: set to trained or frozen here; it may lie on the meta device (to count parameters).
            task: its kind and labels are used.
            training: `max_length` is used.
            word_piece: which piece of a word an encoder's head reads (`BackboneConfig.word_piece`).

        Raises:
            ConfigError: the method cannot serve this task or backbone, or prompt and text exceed its positions.
        """
        super().__init__()
        if task.kind not in self.kinds:
            serves = " and ".join(sorted(self.kinds))
            raise ConfigError(
                f"{type(self).__name__} serves {serves} tasks; {task.config.name!r} is a {task.kind} task"
            )
        self.config = config
        self.kind: str = task.kind
        self.labels: tuple[str, ...] = task.labels
        self.max_length = training.max_length
        self.word_piece = word_piece
        backbone.check_length(prompt_length=self.prompt_length, max_length=training.max_length)
        backbone.set_trained(self.trains_backbone)
        self.backbone = backbone

    @property
    def prompt_length(self) -> int:
        """Positions that the method puts before the text, counted against the backbone's limit."""
        return 0

    @property
    def birthplace(self) -> torch.device:
        """Where fresh parameters are made: the CPU, or the meta device when only shapes are wanted."""
        return torch.device("meta" if self.backbone.device.type == "meta" else "cpu")

    def encoding_key(self) -> Hashable:
        """All that `encode` depends on beside the example and the tokenizer; equal keys share tokenized data."""
        raise NotImplementedError

    def encode(self, example: Example) -> tuple[Feature, ...]:
        """The rows of one example: one for a pair, one or several windows for a sentence."""
        return self.encode_all([example])[0]

    def encode_all(self, examples: Sequence[Example]) -> list[tuple[Feature, ...]]:
        """`encode` of each example, tokenized together, which is much faster."""
        raise NotImplementedError

    def collate(self, features: Sequence[Feature]) -> Batch:
        """One batch of the rows, on the CPU, in their order."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """SUM of the cross-entropy over the batch's labels (a scalar, fp32); divide by ``batch.num_labels``."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> list[list[int]]:
        """For each row the predicted label ids: one for a pair, one an owned word. Call it in eval mode."""
        raise NotImplementedError

    def decode(self, example: Example, rows: Sequence[tuple[Feature, Sequence[int]]]) -> str | list[str]:
        """The label of a pair, or exactly one label a word in order, from the predictions of all the example's rows."""
        raise NotImplementedError


@dataclass(frozen=True)
class ParameterCount:
    """How much of a method is trained."""

    trainable: int
    backbone: int
    """Parameters of the backbone, trained or not."""
    groups: Mapping[str, int]
    """Trainable parameters by part: prompt, head, backbone..."""

    def share(self, group: str | None = None) -> float:
        """Trainable parameters (of one group) as a fraction of the backbone's."""
        return (self.trainable if group is None else self.groups.get(group, 0)) / self.backbone


def count_parameters(method: Method) -> ParameterCount:
    """Count the trainable parameters of `method` by part; works on the meta device."""
    groups: Counter[str] = Counter()
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            groups[name.partition(".")[0]] += parameter.numel()
    return ParameterCount(trainable=groups.total(), backbone=method.backbone.num_parameters(), groups=dict(groups))
