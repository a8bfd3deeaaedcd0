"""What a method is: from examples to rows, from rows to a loss, from predictions back to one label a word.

A method is one file here, one line in ``registry.METHODS`` and one YAML. It subclasses :class:`Method`, directly,
through :class:`tunekit.methods.parts.head.HeadMethod` when a linear head reads the backbone's output, or through
``tunekit.methods.parts.cloze`` when its vocabulary head does. Optimiser, schedule, devices and checkpoints belong to
``training``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from tunekit.backbone import Backbone, Inputs
from tunekit.backbone.inputs import padded
from tunekit.errors import ConfigError, DataError, nearest
from tunekit.registry import METHODS, lookup
from tunekit.tasks import Example, PairExample, Task
from tunekit.trial import TOKENS_PER_STEP, TrainingConfig

__all__ = ["Batch", "Feature", "LabelIds", "Method", "ParameterCount", "count_parameters", "pad_rows"]

FAMILIES = ("encoder", "causal", "encoder-decoder")
"""Kinds of backbone (`Backbone.family`), in the order in which messages name them."""
_A_FAMILY = {"encoder": "an encoder", "causal": "causal", "encoder-decoder": "an encoder-decoder"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of a batch, tokenized: a pure function of example, language, tokenizer and ``Method.encoding_key()``.

    A method may subclass it (frozen, with slots) to carry more; a field that changes the prediction then belongs in
    `question` too.
    """

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

    @property
    def question(self) -> Hashable:
        """All that the row's prediction depends on: rows with equal questions are computed once."""
        return self.input_ids, self.token_type_ids, self.reads


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
    families: ClassVar[frozenset[str]] = frozenset(FAMILIES)
    """Families of backbone the method works with."""
    is_trained: ClassVar[bool] = True
    """False: nothing is learnt, there are no trained parameters, and `loss` is never called."""
    trains_backbone: ClassVar[bool] = False
    """Whether the backbone's weights are trained. If not they stay as they are, bit for bit. See also `trains`."""

    tokens_per_step: int = TOKENS_PER_STEP
    """Padded tokens to compute at once, for a method that reads more than the rows of a batch; set by `training`."""

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
        self.require_served(backbone, task)
        self.config = config
        self.kind: str = task.kind
        self.labels: tuple[str, ...] = task.labels
        self.max_length = training.max_length
        self.word_piece = word_piece
        backbone.check_length(prompt_length=self.prompt_length, max_length=training.max_length)
        backbone.set_trained(self.trains(config))
        self.backbone = backbone

    @classmethod
    def trains(cls, config: Any) -> bool:
        """Whether the backbone's weights are trained under `config`: `trains_backbone`, unless an option decides."""
        return cls.trains_backbone

    @property
    def prompt_length(self) -> int:
        """Positions that the method puts before the text, counted against the backbone's limit."""
        return 0

    @property
    def num_computed(self) -> int:
        """Rows that `loss` computes for each row of train; more than one where it reads further text."""
        return 1

    @property
    def birthplace(self) -> torch.device:
        """Where fresh parameters are made: the CPU, or the meta device when only shapes are wanted."""
        return torch.device("meta" if self.backbone.device.type == "meta" else "cpu")

    def encoding_key(self) -> Hashable:
        """All that `encode` depends on beside the example and the tokenizer; equal keys share tokenized data."""
        raise NotImplementedError

    def encode(self, example: Example, *, language: str | None = None) -> tuple[Feature, ...]:
        """The rows of one example: one for a pair, one or several windows (or one a word) for a sentence."""
        return self.encode_all([example], language=language)[0]

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        """`encode` of each example, tokenized together, which is much faster.

        Args:
            examples: of one split.
            language: what they are written in; None is the source language. Most methods have no use for it.
        """
        raise NotImplementedError

    def collate(self, features: Sequence[Feature]) -> Batch:
        """One batch of the rows, on the CPU, in their order."""
        sizes = tuple(len(f.label_ids) for f in features)
        firsts = accumulate((0, *sizes[:-1]))
        reads = [
            (row, column, first + index)
            for row, (f, first) in enumerate(zip(features, firsts, strict=True))
            for index, columns in enumerate(f.reads)
            for column in columns
        ]
        rows, columns, labels = torch.tensor(reads, dtype=torch.long).view(-1, 3).unbind(1)
        return Batch(
            inputs=pad_rows(features, self.backbone.pad_id),
            label_ids=torch.tensor([label for f in features for label in f.label_ids], dtype=torch.long),
            read_rows=rows,
            read_columns=columns,
            read_labels=labels,
            row_sizes=sizes,
        )

    def logits(self, batch: Batch) -> Tensor:
        """The score of each label for each of the batch's labels: [N, labels], fp32."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """SUM of the cross-entropy over the batch's labels (a scalar, fp32); divide by ``batch.num_labels``.

        What it draws at random beside dropout comes from torch's global generator of the CPU.
        """
        return nn.functional.cross_entropy(self.logits(batch), batch.label_ids, reduction="sum")

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[list[int]]:
        """For each row the predicted label ids: one for a pair, one an owned word. Call it in eval mode."""
        best = iter(self.logits(batch).argmax(-1).tolist())
        return [[next(best) for _ in range(size)] for size in batch.row_sizes]

    def decode(self, example: Example, rows: Sequence[tuple[Feature, Sequence[int]]]) -> str | list[str]:
        """The label of a pair, or exactly one label a word in order, from the predictions of all the example's rows."""
        if isinstance(example, PairExample):
            ((_, (label_id,)),) = rows
            return self.labels[label_id]
        by_word = {
            word: self.labels[label_id]
            for feature, label_ids in rows
            for word, label_id in zip(feature.words, label_ids, strict=True)
        }
        return [by_word[word] for word in range(len(example.words))]

    def peft_adapter(self) -> tuple[Any, dict[str, Tensor]]:
        """What is trained in the backbone as plain peft keeps it: its ``PeftConfig``, and its tensors by name.

        Raises:
            ConfigError: peft has nothing that does the same.
        """
        able = [name for name in METHODS if lookup("method", name).peft_adapter is not Method.peft_adapter]
        raise ConfigError(f"peft has nothing like {name_of(type(self))!r}; it can load {' and '.join(able)}")

    @classmethod
    def require_served(cls, backbone: Backbone, task: Task) -> None:
        """Refuse a kind of task or a family of backbones that the method cannot serve.

        Raises:
            ConfigError: says what it serves.
        """
        if task.kind not in cls.kinds:
            kinds = " and ".join(sorted(cls.kinds))
            raise ConfigError(f"{name_of(cls)} serves {kinds} tasks; {task.config.name!r} is a {task.kind} task")
        if backbone.family not in cls.families:
            families = " and ".join(family for family in FAMILIES if family in cls.families)
            raise ConfigError(
                f"{name_of(cls)} serves {families} backbones; {backbone.name!r} is {_A_FAMILY[backbone.family]}"
            )


class LabelIds(dict[str, int]):
    """Each label's place in the inventory.

    Raises:
        DataError: a label is asked for that is not there.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__((label, index) for index, label in enumerate(labels))

    def __missing__(self, label: str) -> int:
        raise DataError(f"label {label!r} is not one of the task's; {nearest(label, self)}")


def name_of(method: type[Method]) -> str:
    """The name that `method` is registered under, else that of its class.

    >>> name_of(Method)
    'Method'
    """
    target = f"{method.__module__}:{method.__qualname__}"
    return next((name for name, known in METHODS.items() if known == target), method.__qualname__)


def pad_rows(features: Sequence[Feature], pad_id: int) -> Inputs:
    """The rows as tensors [B, L], L being the longest, filled on the right."""
    rows = padded([f.input_ids for f in features], pad_id)
    if all(f.token_type_ids is None for f in features):
        return rows
    types = [f.token_type_ids or (0,) * len(f.input_ids) for f in features]
    return dataclasses.replace(rows, token_type_ids=padded(types, 0).input_ids)


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
