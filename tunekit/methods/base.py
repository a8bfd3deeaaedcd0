"""What a method is: from examples to rows, from rows to a loss, from predictions back to one label for each word.

A method is one file here, one line in ``registry.METHODS`` and one YAML. It subclasses :class:`Method`, directly,
through :class:`tunekit.methods.parts.head.HeadMethod` when a linear head reads the backbone's output, or through
``tunekit.methods.parts.cloze`` when its vocabulary head does. Optimiser, schedule, devices and checkpoints belong to
``training``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from tunekit.backbone import Backbone, Reading, read
from tunekit.errors import ConfigError
from tunekit.methods.batch import Batch, Feature, Part, collated, groups_of
from tunekit.methods.token_estimates import estimate_tokens
from tunekit.registry import METHODS
from tunekit.segmentation import Segmentation, split_of
from tunekit.tasks import Example, PairExample, Task
from tunekit.trial import TOKENS_PER_STEP, SideTask, TrainingConfig

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["Method", "Setting", "name_of"]

FAMILIES = ("encoder", "causal", "encoder-decoder")
"""Kinds of backbone (`Backbone.family`), in the order in which messages name them."""
_A_FAMILY = {"encoder": "an encoder", "causal": "causal", "encoder-decoder": "an encoder-decoder"}

EVALUATION_PARAMETERS = ("max_length",)
"""Fields of TrainingConfig that have an effect where nothing is trained."""
BACKWARD_FROZEN = 2
"""Operations of the backward pass for each weight and token, where the gradient only passes through the weight."""
BACKWARD_TRAINED = 4
"""The same where the weight is trained."""

C = TypeVar("C", default=Any)
"""A method's ``Config``."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a method is built on and for: all that it gets beside its own options."""

    backbone: Backbone
    """Set to trained or frozen by the method; it may lie on the meta device (to count parameters)."""
    task: Task
    """Its kind, labels and languages are used."""
    training: TrainingConfig
    """`max_length` is used, and `batch_size` by a method with a `SideTask`."""
    word_piece: str
    """Which token of a word an encoder's head reads (`BackboneConfig.word_piece`)."""
    segmentation: Segmentation | None = None
    """By language, how likely a piece of its text is split further (`BackboneConfig.segmentation`)."""


class Method(nn.Module, Generic[C]):
    """A way to adapt a backbone to a task; `C` is the type of its options.

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
    splits_pieces: ClassVar[bool] = False
    """Whether `encode_all` splits pieces as `split_of` says; a sweep that asks it of another method is refused."""

    config: C
    tokens_per_step: int = TOKENS_PER_STEP
    """Padded tokens to compute at once, for a method that reads more than the rows of a batch; set by `training`."""

    def __init__(self, config: C, setting: Setting) -> None:
        """Build the method's own parameters beside the backbone, which is set to trained or frozen.

        Raises:
            ConfigError: the method cannot serve this task or backbone, or prompt and text exceed its positions.
        """
        super().__init__()
        backbone, task = setting.backbone, setting.task
        self.require_served(backbone, task)
        self.config = config
        self.kind: str = task.kind
        self.labels: tuple[str, ...] = task.labels
        self.max_length = setting.training.max_length
        self._source = task.config.source_language
        self._segmentation = setting.segmentation
        if self._segmentation and not self.splits_pieces:
            raise ConfigError(f"segmentation: {name_of(type(self))} cannot split pieces of its text; leave it out")
        backbone.check_length(prompt_length=self.prompt_length, max_length=self.max_length)
        backbone.set_trained(self.trains(config))
        self.backbone = backbone

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation; a frozen backbone always evaluates: its dropout is that of `reading`."""
        super().train(mode)
        if not self.trains(self.config):
            self.backbone.eval()
        return self

    # What the method needs, learns and reads

    @classmethod
    def trains(cls, config: C) -> bool:
        """Whether the backbone's weights are trained under `config`: `trains_backbone`, unless an option decides."""
        return cls.trains_backbone

    @classmethod
    def packs(cls, config: C) -> bool:
        """Whether trials under `config` may be packed: several share the passes through one frozen backbone.

        Not where the method computes logits, losses or predictions in a way of its own.
        """
        composed = (cls.logits is Method.logits, cls.loss is Method.loss, cls.predict is Method.predict)
        return cls.is_trained and not cls.trains(config) and all(composed)

    @classmethod
    def pack_options(cls, config: C) -> Mapping[str, object]:
        """The options that all members of a pack must have in common (plain JSON); the others may differ."""
        return {}

    @classmethod
    def training_parameters(cls) -> tuple[str, ...]:
        """The fields of TrainingConfig that have an effect on the method."""
        return tuple(f.name for f in dataclasses.fields(TrainingConfig)) if cls.is_trained else EVALUATION_PARAMETERS

    @classmethod
    def training_defaults(cls) -> dict[str, object]:
        """Training settings whose default is another than TrainingConfig's: one epoch where nothing is trained."""
        return {} if cls.is_trained else {"epochs": 1}

    @property
    def prompt_length(self) -> int:
        """Positions that the method puts before the text, counted against the backbone's limit."""
        return 0

    @property
    def parallel_text(self) -> tuple[tuple[str, str], ...]:
        """The parallel text that the method reads: (corpus, language) pairs, as ``Task.parallel`` takes them."""
        return ()

    @property
    def learning_rates(self) -> Mapping[str, float]:
        """Peak rates of parameters that have one of their own, by how their names begin; others have the trial's."""
        return {}

    @property
    def side_task(self) -> SideTask | None:
        """What the method learns beside the labelled rows, if anything."""
        return None

    @property
    def parameter_device(self) -> torch.device:
        """Where fresh parameters are made: the CPU, or the meta device when only shapes are wanted."""
        return torch.device("meta" if self.backbone.device.type == "meta" else "cpu")

    # From examples to rows and batches

    def split_of(self, language: str | None) -> float:
        """How likely a piece of text in `language` is split further; None is the source language."""
        return split_of(self._segmentation, self._source if language is None else language)

    def encoding_key(self) -> Hashable:
        """All that `encode` depends on beside example, tokenizer and `split_of`; equal keys share tokenized data."""
        raise NotImplementedError

    def encode(self, example: Example, *, language: str | None = None) -> tuple[Feature, ...]:
        """The rows of one example: one for a pair; for a sentence one, several windows, or one for each word."""
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
        return collated(features, self.backbone.pad_id)

    # From batches to losses and labels

    def reading(self, batch: Batch) -> Reading:
        """What the backbone is to read for `batch`. Rows of other trials may be read in the same pass."""
        raise NotImplementedError

    def states(self, batch: Batch) -> Tensor:
        """Last hidden states of the positions that are read: [M, D], fp32."""
        (states,) = read(self.backbone, [self.reading(batch)])
        return states

    def logits_of(self, states: Tensor, batch: Batch) -> Tensor:
        """`logits` from the `states` of the positions that are read."""
        raise NotImplementedError

    def logits(self, batch: Batch) -> Tensor:
        """The score of each label for each of the batch's labels: [N, labels], fp32."""
        return self.logits_of(self.states(batch), batch)

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        """`loss` from the `logits`."""
        return nn.functional.cross_entropy(logits, batch.label_ids, reduction="sum")

    def loss(self, batch: Batch) -> Tensor:
        """SUM of the cross-entropy over the batch's labels (a scalar, fp32); divide by ``batch.num_labels``.

        What it draws at random beside dropout comes from torch's global generator of the CPU.
        """
        return self.loss_of(self.logits(batch), batch)

    def labelled_part(self, rows: Sequence[Feature]) -> Part:
        """The mean loss over the labels of the rows of an update."""
        num_labels = max(1, sum(len(row.label_ids) for row in rows))
        is_composed = type(self).logits is Method.logits and type(self).loss is Method.loss
        return Part(
            units=[(row,) for row in rows],
            loss=lambda logits, batch, _: self.loss_of(logits, batch) / num_labels,
            own_loss=None if is_composed else lambda batch: self.loss(batch) / num_labels,
        )

    def side_parts(self) -> Iterator[Part]:
        """The loss of the side task on freshly drawn data, in parts to be summed: a mean, not a sum.

        Draws come from torch's generator of the CPU.
        """
        return iter(())

    def side_losses(self) -> Iterator[Tensor]:
        """The losses of all `side_parts` (scalars, fp32), each of at most `tokens_per_step` where that is possible.

        A part may be back-propagated before the next is computed.
        """
        for part in self.side_parts():
            for chosen in groups_of(part.units, max_tokens=self.tokens_per_step):
                rows = [row for unit in chosen for row in part.units[unit]]
                batch = self.collate(rows).to(self.backbone.device)
                yield part.loss(self.logits(batch), batch, chosen)

    def diagnostics(self) -> Mapping[str, float]:
        """Figures about what has been learnt that are no scores, as ``<language>/<figure>``; call it in eval mode.

        They are reported before the first epoch and after each. None may read labels of a target language.
        """
        return {}

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[list[int]]:
        """For each row the predicted label ids: one for a pair, one for each owned word. Call it in eval mode."""
        return self.best_labels(self.logits(batch), batch)

    def best_labels(self, logits: Tensor, batch: Batch) -> list[list[int]]:
        """`predict` from the `logits`."""
        best = iter(logits.argmax(-1).tolist())
        return [[next(best) for _ in range(size)] for size in batch.row_sizes]

    def decode(self, example: Example, rows: Sequence[tuple[Feature, Sequence[int]]]) -> str | list[str]:
        """The label of a pair, or one label for each word in order, from the predictions of all the example's rows."""
        if isinstance(example, PairExample):
            ((_, (label_id,)),) = rows
            return self.labels[label_id]
        by_word = {
            word: self.labels[label_id]
            for feature, label_ids in rows
            for word, label_id in zip(feature.words, label_ids, strict=True)
        }
        return [by_word[word] for word in range(len(example.words))]

    # What it costs

    def estimate_rows(self, example: Example) -> list[int]:
        """Tokens of each row that the method makes of an example, estimated without a tokenizer."""
        tokens = estimate_tokens(example)
        if isinstance(example, PairExample):
            return [min(tokens, self.max_length)]
        windows = math.ceil(tokens / self.max_length)
        return [math.ceil(tokens / windows)] * windows

    @property
    def text_room(self) -> int | None:
        """Tokens of text that a row holds at most; None: all of `max_length` but the special tokens."""
        return None

    @classmethod
    def input_positions(cls, config: C) -> int:
        """Prompt positions of each row that go through every layer as tokens do; `Feature.length` lacks them."""
        return 0

    @property
    def num_input_positions(self) -> int:
        """`input_positions` of this method."""
        return self.input_positions(self.config)

    @property
    def num_computed_rows(self) -> int:
        """Rows that `loss` computes for each row of train; more than one where it asks again."""
        return 1

    @property
    def backward_operations(self) -> int:
        """Operations of the backward pass for each of the backbone's weights and each token."""
        if not self.is_trained:
            return 0
        return BACKWARD_TRAINED if self.trains(self.config) else BACKWARD_FROZEN

    # Export and refusals

    def peft_adapter(self) -> tuple[PeftConfig, dict[str, Tensor]]:
        """What is trained in the backbone as plain peft keeps it: its configuration, and its tensors by name.

        Raises:
            ConfigError: peft has nothing that does the same.
        """
        raise ConfigError(f"peft has nothing like {name_of(type(self))!r}")

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


def name_of(method: type[Method]) -> str:
    """The name that `method` is registered under, else that of its class.

    >>> name_of(Method)
    'Method'
    """
    target = f"{method.__module__}:{method.__qualname__}"
    return next((name for name, known in METHODS.items() if known == target), method.__qualname__)
