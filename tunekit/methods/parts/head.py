"""A linear head that reads one hidden state for each label: what fine-tuning and prompt methods share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypedDict

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from tunekit.backbone import LayerChange, Prefix, Reading, RowKeys
from tunekit.errors import ConfigError
from tunekit.methods.base import Method, Setting, name_of
from tunekit.methods.batch import Batch, Feature
from tunekit.methods.parts.rows import RowEncoder
from tunekit.methods.parts.text_tokenizer import TextTokenizer
from tunekit.tasks import Example

if TYPE_CHECKING:
    from peft import PromptLearningConfig

    P = TypeVar("P", bound=PromptLearningConfig)

__all__ = ["BeforeText", "Head", "HeadMethod", "averaged", "rows_for"]

INITIAL_STD = 0.02
"""Spread of fresh prompts and perceptrons, as in BERT."""
HEAD_STD = 0.1
"""Spread of a head's fresh weights. With 0.02 fine-tuning at 1e-4 moves the logits too slowly to learn in a
hundred updates."""
STATE_STD = 0.2
"""Spread to which hidden states are brought before the head. With 1 a prompt's rate of 1e-2 lets the head outrun the
prompt, and transfer to other languages suffers."""


class Head(nn.Module):
    """From a hidden state [N, D] to logits [N, labels], in fp32: W dropout(0.2 (h - mean h) / std h) + b.

    Each state is brought to mean 0 and one spread over its D numbers, without parameters, since backbones end at
    different scales: one learning rate then means the same to all of them. W starts at N(0, 0.1), b at zero. The same
    head serves every backbone, also those for which transformers has none.
    """

    def __init__(self, width: int, num_labels: int, *, dropout: float, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, num_labels, device=device, dtype=torch.float32)
        nn.init.normal_(self.linear.weight, std=HEAD_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor, keys: RowKeys | None = None) -> Tensor:
        """Logits of each hidden state; with a key for each, dropout is drawn from them."""
        states = STATE_STD * nn.functional.layer_norm(hidden, hidden.shape[-1:])
        logits: Tensor = self.linear(dropout(self.dropout, states, keys, site="head"))
        return logits


def dropout(layer: nn.Dropout, states: Tensor, keys: RowKeys | None, *, site: str) -> Tensor:
    """`layer` of `states`, drawn from the keys if there are any, else from torch's generator.

    Args:
        layer: its rate and its mode (training or not) are used.
        states: [B, L, D], or [M, D].
        keys: of each row or state.
        site: as in `RowKeys.dropped`.
    """
    if keys is None or not layer.training or not layer.p:
        dropped: Tensor = layer(states)
        return dropped
    return keys.dropped(states, layer.p, site=site)


def rows_for(method: Method, setting: Setting) -> RowEncoder:
    """Makes the rows of `method` that show a text alone, and says where a label's state is read."""
    backbone = setting.backbone
    return RowEncoder(
        backbone.tokenizer,
        kind=method.kind,
        labels=method.labels,
        max_length=method.max_length,
        word_piece=setting.word_piece,
        is_causal=backbone.is_causal,
        has_segments=backbone.has_segments,
        is_shifted=backbone.family == "encoder-decoder",
    )


def averaged(states: Tensor, batch: Batch) -> Tensor:
    """The state of each label [N, D] from those of the positions read [M, D], of which it may have several."""
    if len(states) == len(batch.label_ids):
        return states
    sums = states.new_zeros(len(batch.label_ids), states.shape[-1]).index_add(0, batch.read_labels, states)
    # Not bincount, which asks a GPU how many there are.
    counts = torch.zeros_like(batch.label_ids).index_add(0, batch.read_labels, torch.ones_like(batch.read_labels))
    return sums / counts[:, None]


class HeadOptions(Protocol):
    """What every Config of a :class:`HeadMethod` has."""

    @property
    def head_dropout(self) -> float:
        """Dropout before the head, 0 to 1."""


C = TypeVar("C", bound=HeadOptions, default=HeadOptions)


class BeforeText(TypedDict, total=False):
    """What is put before the text: arguments of ``Backbone.encode``."""

    prompt: Tensor
    """Embeddings [P, D]."""
    prefix: Prefix
    """Keys and values of every layer."""


class HeadMethod(Method[C]):
    """A method whose labels are read from the backbone's last hidden states by a :class:`Head`.

    A subclass says what stands before the text (`before_text`), or what it changes in the layers (`changes`); its
    Config has a `head_dropout`, and a `backbone_dropout` if the backbone is frozen. Pairs are read at the first token
    (causal: the last), words at the token that `word_piece` says (causal: the last); `RowEncoder` has the details.
    """

    splits_pieces: ClassVar[bool] = True

    def __init__(self, config: C, setting: Setting) -> None:
        super().__init__(config, setting)
        backbone = setting.backbone
        self.head = Head(
            backbone.hidden_size, len(self.labels), dropout=config.head_dropout, device=self.parameter_device
        )
        self._rows = rows_for(self, setting)

    def before_text(self, batch: Batch) -> BeforeText:
        """What is put before the text of the batch's rows."""
        return {}

    def changes(self) -> Mapping[str, LayerChange]:
        """What is changed in the layers of the frozen backbone, by their names in its body."""
        return {}

    def reading(self, batch: Batch) -> Reading:
        before = self.before_text(batch)
        found = Reading(
            inputs=batch.inputs,
            rows=batch.read_rows,
            columns=batch.read_columns,
            most_in_row=batch.most_in_row,
            prefix=before.get("prefix"),
            changes=self.changes(),
            keys=batch.keys,
            dropout=self.backbone_dropout,
        )
        return found.with_prompt(before["prompt"], self.backbone.pad_id) if "prompt" in before else found

    @property
    def backbone_dropout(self) -> float:
        """Dropout inside the frozen backbone now: none but in training."""
        rate: float = getattr(self.config, "backbone_dropout", 0.0) if self.training else 0.0
        return rate

    def logits_of(self, states: Tensor, batch: Batch) -> Tensor:
        logits: Tensor = self.head(averaged(states, batch), batch.label_keys)
        return logits

    def prompt_in_peft(self, config_class: type[P]) -> P:
        """The configuration with which peft puts the same prompt before the text.

        Raises:
            ConfigError: peft would not: the backbone's family, or a pair whose texts are told apart by segments.
        """
        self._require_prompt_in_peft()
        return config_class(
            task_type="FEATURE_EXTRACTION",
            inference_mode=True,
            num_virtual_tokens=self.prompt_length,
            token_dim=self.backbone.hidden_size,
            num_layers=self.backbone.num_layers,
            num_attention_heads=self.backbone.num_heads,
        )

    def _require_prompt_in_peft(self) -> None:
        name, model, text = name_of(type(self)), self.backbone.name, TextTokenizer(self.backbone.tokenizer)
        if self.backbone.family == "encoder-decoder":
            raise ConfigError(
                f"peft puts a prompt elsewhere than {name} in an encoder-decoder such as {model!r}; export lora"
            )
        if self.kind == "pair" and self.backbone.has_segments and any(text.pair_special_tokens.text_types):
            raise ConfigError(
                f"peft drops token_type_ids where there is a prompt, and {model!r} tells the texts of a pair by them, "
                f"so it would not predict what {name} has learnt; export lora, or a backbone without segments"
            )

    def encoding_key(self) -> Hashable:
        return self._rows.key

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        return self._rows.encode_all(examples, split=self.split_of(language))
