"""A backbone at work: hidden states of the text, with trainable states before it.

Shapes: B rows, L tokens of text, P prompt positions, D width, H heads, Dh width of a head.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from tunekit.backbone import attention, t5
from tunekit.backbone.architectures import Family, architecture_of
from tunekit.backbone.inputs import EmbeddedRows, Inputs, Places, Prefix, cache_of
from tunekit.backbone.linear import replace_linear_layers
from tunekit.backbone.positions import states_at
from tunekit.backbone.prefix_layers import prefix_hidden
from tunekit.backbone.vocabulary import Vocabulary, VocabularyHead
from tunekit.errors import ConfigError


class Backbone(nn.Module):
    """A pretrained model: its body and, where the checkpoint holds one, its language-model head.

    Number formats: with ``fp32`` everything is fp32. With ``bf16`` a frozen backbone is kept and run in bf16, at half
    the memory. A trained one (`set_trained`) keeps its weights in fp32, since updates of 1e-5 vanish in bf16, and
    runs under bf16 autocast; its start is the same bf16-rounded weights. Hidden states come out in fp32 always.

    Args:
        name: how messages call it.
        model: the body from transformers.
        tokenizer: its fast tokenizer; None on the meta device.
        dtype: ``fp32`` or ``bf16``.
        vocabulary_head: the pretrained head; None if there is none.

    Raises:
        ConfigError: an architecture that is not supported.
    """

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: Any = None,
        *,
        dtype: str = "fp32",
        vocabulary_head: VocabularyHead | None = None,
    ) -> None:
        super().__init__()
        config = model.config
        self.name = name
        self.tokenizer = tokenizer
        self.architecture = architecture_of(config, name)
        self.arithmetic = torch.bfloat16 if dtype == "bf16" else torch.float32
        self.hidden_size = int(config.hidden_size)
        self.num_layers = int(config.num_hidden_layers)
        if self.family == "encoder-decoder":
            self.num_layers += int(config.num_decoder_layers)
        self.num_heads = int(config.num_attention_heads)
        self.head_size = int(getattr(config, "d_kv", self.hidden_size // self.num_heads))
        cast(nn.Module, model).to(self.arithmetic)
        if self.family == "encoder":
            attention.use_in(model)
        self.model = model
        self.vocabulary_head = vocabulary_head
        if vocabulary_head is not None:
            vocabulary_head.requires_grad_(False).to(self.arithmetic)
        replace_linear_layers(self)

    @property
    def family(self) -> Family:
        """How it reads: ``encoder``, ``causal`` or ``encoder-decoder``."""
        return self.architecture.family

    @property
    def is_causal(self) -> bool:
        """Whether a position sees only what is before it."""
        return self.family == "causal"

    @property
    def has_vocabulary_head(self) -> bool:
        """Whether `vocabulary_logits` can be asked for: the checkpoint held its language-model head."""
        return self.vocabulary_head is not None

    @property
    def has_segments(self) -> bool:
        """Whether the two texts of a pair are told apart by ``token_type_ids``."""
        return self.architecture.has_segments and int(getattr(self._config, "type_vocab_size", 1)) > 1

    @property
    def max_positions(self) -> int | None:
        """Positions usable by prompt and text together; None is unlimited."""
        if not self.architecture.has_positions:
            return None
        return int(self._config.max_position_embeddings) - self._first_position

    @property
    def pad_id(self) -> int:
        """The token that fills a row on the right; it is never attended to."""
        for owner in (self.tokenizer, self._config):
            if getattr(owner, "pad_token_id", None) is not None:
                return int(owner.pad_token_id)
        return 0

    @property
    def has_dropout(self) -> bool:
        """Whether the model drops hidden states in training: published BLOOM models do not."""
        names = ("hidden_dropout_prob", "hidden_dropout", "dropout_rate", "dropout")  # each family has one of them
        return any(getattr(self._config, name, 0.0) for name in names)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def num_parameters(self) -> int:
        """All parameters of the body, trained or not; no head is counted."""
        return sum(p.numel() for p in self.model.parameters())

    def require_family(self, *families: Family, purpose: str) -> None:
        """Raise a ConfigError unless this backbone is of one of `families`, which `purpose` needs."""
        if self.family not in families:
            raise ConfigError(
                f"{purpose} is for {' and '.join(families)} backbones; {self.name!r} is of family {self.family!r}"
            )

    def check_length(self, *, prompt_length: int, max_length: int) -> None:
        """Raise a ConfigError if prompt and text together exceed the model's positions."""
        limit = self.max_positions
        if limit is None or prompt_length + max_length <= limit:
            return
        if prompt_length == 0:
            raise ConfigError(f"max_length is {max_length}, must be at most {limit}, the positions of {self.name!r}")
        ways = f"max_length at most {max(limit - prompt_length, 0)}"
        if limit > max_length:
            ways = f"prompt_length at most {limit - max_length} or {ways}"
        total = f"{prompt_length} + {max_length} = {prompt_length + max_length}"
        raise ConfigError(f"prompt_length + max_length is {total}, but {self.name!r} has {limit} positions: use {ways}")

    def set_trained(self, trained: bool) -> None:
        """Train all weights of the body, or freeze them; converts their number format as the class says.

        The vocabulary head is frozen either way (but for rows tied to the word embeddings, which are the body's), see
        `train_vocabulary_head`. Freezing after training does not bring the old weights back.
        """
        self.model.requires_grad_(trained)
        self.to(torch.float32 if trained else self.arithmetic)
        self.train_vocabulary_head(False)

    def train_vocabulary_head(self, trained: bool) -> None:
        """Train what the vocabulary head has of its own, or freeze it; call it after `set_trained`."""
        if self.vocabulary_head is not None:
            self.vocabulary_head.requires_grad_(trained)
            self.vocabulary_head.to(torch.float32 if trained else self._weight_dtype)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Word embeddings [B, L, D] as the model scales them, before positions and normalisation."""
        embedded: Tensor = self.model.get_input_embeddings()(input_ids)
        return embedded

    def encode(
        self,
        inputs: Inputs,
        *,
        prefix: Prefix | None = None,
        prompt: Tensor | None = None,
        embedded: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states of the text [B, L, D], in fp32.

        The order is prefix, prompt, text. Positions are counted from the first of them, so padding moves nothing.
        An encoder-decoder reads prompt and text with its encoder and then, moved one position to the right, with its
        decoder, whose states these are: that of a token knows the whole text, and has passed the tokens before it.

        Args:
            inputs: the text.
            prefix: keys and values for every layer.
            prompt: embeddings put before the text at the input only: [P, D], or [B, P, D], one for each row.
            embedded: [B, L, D] in place of the word embeddings of ``inputs.input_ids``, for trained positions that
                stand inside the text.
        """
        num_prompt = 0 if prompt is None else prompt.shape[-2]
        if self.family == "encoder-decoder":
            whole = self._whole(inputs, prompt, embedded)
            mask = nn.functional.pad(inputs.attention_mask, (num_prompt, 0), value=1)
            layers = None if prefix is None else prefix.layers(len(whole), self.arithmetic)
            with self.precision():
                return t5.read_twice(self.model, whole, mask, layers)[:, num_prompt:].float()
        with prefix_hidden(self.model, prefix):
            return self.run_body(self._rows(inputs, prefix, prompt, embedded))[:, num_prompt:]

    def encode_at(
        self,
        inputs: Inputs,
        rows: Tensor,
        columns: Tensor,
        *,
        prefix: Prefix | None = None,
        prompt: Tensor | None = None,
        embedded: Tensor | None = None,
    ) -> Tensor:
        """``encode(inputs, ...)[rows, columns]``: states [M, D] of the positions that are read, in fp32.

        An encoder computes its last layer only there. While training with dropout, what is dropped at two readings of
        one position differs.

        Args:
            inputs: the text.
            rows: [M] row of each position read.
            columns: [M] its column in ``inputs.input_ids``.
            prefix: as in `encode`.
            prompt: as in `encode`.
            embedded: as in `encode`.
        """
        if self.family == "encoder":
            num_prompt = 0 if prompt is None else prompt.shape[-2]
            with prefix_hidden(self.model, prefix):
                return self.run_body_at(
                    self._rows(inputs, prefix, prompt, embedded), Places(rows, columns + num_prompt)
                )
        return self.encode(inputs, prefix=prefix, prompt=prompt, embedded=embedded)[rows, columns]

    def run_body(self, rows: EmbeddedRows) -> Tensor:
        """Last hidden states [B, L, D], in fp32, of rows that are complete. Encoder-decoders have `t5` instead."""
        with self.precision():
            hidden: Tensor = self.model(
                inputs_embeds=rows.embedded, attention_mask=rows.mask, **self.arguments_of(rows)
            ).last_hidden_state
        return hidden.float()

    def run_body_at(self, rows: EmbeddedRows, where: Places) -> Tensor:
        """``run_body(rows)[where.rows, where.columns]`` of an encoder: [M, D], in fp32, its last layer only there."""
        with self.precision():
            return states_at(self.model, rows, self.arguments_of(rows), where).float()

    def arguments_of(self, rows: EmbeddedRows) -> dict[str, object]:
        """What the model is to be called with beside embeddings and mask."""
        arguments: dict[str, object] = {"use_cache": rows.past is not None}
        if rows.past is not None:
            arguments["past_key_values"] = rows.past
        if self.architecture.has_positions:
            arguments["position_ids"] = self._position_ids(rows)
        if self.architecture.has_segments:
            no_segments = rows.mask.new_zeros(rows.embedded.shape[:2])
            arguments["token_type_ids"] = no_segments if rows.segments is None else rows.segments
        return arguments

    def vocabulary_logits(self, states: Tensor, token_ids: Tensor | None = None) -> Tensor:
        """What the pretrained language-model head says of entries of the vocabulary: [M, K], in fp32.

        Args:
            states: [M, D] last hidden states.
            token_ids: [K] entries; only their rows are read. None is the whole vocabulary.

        Raises:
            ConfigError: the checkpoint has no language-model head.
        """
        vocabulary = self.vocabulary
        return vocabulary.logits(vocabulary.transform(states), token_ids)

    @property
    def vocabulary(self) -> Vocabulary:
        """The language-model head at work, with the body's word embeddings as its rows.

        Raises:
            ConfigError: the checkpoint has no language-model head.
        """
        if self.vocabulary_head is None:
            raise ConfigError(f"backbone {self.name!r} has no language-model head: its checkpoint does not hold one")
        embeddings = cast(Tensor, self.model.get_input_embeddings().weight)
        own = next(self.vocabulary_head.parameters(), embeddings)
        return Vocabulary(self.vocabulary_head, embeddings, self.precision(own.dtype))

    @property
    def _config(self) -> PreTrainedConfig:
        return self.model.config

    @property
    def _first_position(self) -> int:
        return int(self._config.pad_token_id) + 1 if self.architecture.skips_padding_position else 0

    def _position_ids(self, rows: EmbeddedRows) -> Tensor:
        """[B, L]: each row's positions, counted on from its start.

        Where rows are filled up to a longer one, padding may run past the model's positions, although the text of no
        row does. It is not attended to and takes the last position. Text that runs past them is still an error.
        """
        length, total = rows.embedded.shape[1], rows.mask.shape[1]
        columns = torch.arange(length, device=rows.embedded.device)
        positions = self._first_position + rows.starts[:, None] + columns
        if self.max_positions is None or total <= self.max_positions:  # no start is beyond what is seen before the rows
            return positions
        last = self._first_position + self.max_positions - 1
        is_padding = rows.mask[:, total - length :] == 0
        return torch.where(is_padding, positions.clamp(max=last), positions)

    def _rows(
        self, inputs: Inputs, prefix: Prefix | None, prompt: Tensor | None, embedded: Tensor | None
    ) -> EmbeddedRows:
        """Prompt and text as the model takes them."""
        whole, segments = self._whole(inputs, prompt, embedded), inputs.token_type_ids
        before = 0 if prefix is None else prefix.keys.shape[-3]
        num_prompt = whole.shape[1] - inputs.input_ids.shape[1]
        return EmbeddedRows(
            embedded=whole,
            mask=nn.functional.pad(inputs.attention_mask, (before + num_prompt, 0), value=1),
            starts=torch.full((len(whole),), before, device=whole.device),
            segments=None if segments is None else nn.functional.pad(segments, (num_prompt, 0)),
            past=None if prefix is None else cache_of(prefix.layers(len(whole), self.arithmetic)),
            has_padding=inputs.has_padding,
        )

    def _whole(self, inputs: Inputs, prompt: Tensor | None, embedded: Tensor | None) -> Tensor:
        """Embeddings of prompt and text, [B, P + L, D]."""
        text = self.embed(inputs.input_ids) if embedded is None else embedded.to(self._weight_dtype)
        if prompt is None:
            return text
        return torch.cat([prompt.to(text.dtype).expand(len(text), -1, -1), text], dim=1)

    @property
    def _weight_dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def precision(self, dtype: torch.dtype | None = None) -> AbstractContextManager[object]:
        """The number format to compute in, over weights of `dtype` (None: of the body)."""
        if (dtype or self._weight_dtype) == self.arithmetic:
            return nullcontext()
        return torch.autocast(self.device.type, self.arithmetic)
