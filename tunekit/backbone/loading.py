"""From a name or a folder to a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunekit.backbone.architectures import Family, architecture_of
from tunekit.backbone.encoder import Backbone
from tunekit.backbone.shapes import shape_of
from tunekit.backbone.sources import arguments_for, loading_errors, source_of, until_read
from tunekit.backbone.tokenizers import load_tokenizer
from tunekit.backbone.vocabulary import taken_apart
from tunekit.errors import ConfigError
from tunekit.registry import BACKBONES
from tunekit.trial import BackboneConfig, Locations


class _LanguageModels(Protocol):
    """One of transformers' "auto" classes, which it leaves untyped."""

    def from_config(self, config: PreTrainedConfig, *, trust_remote_code: bool) -> PreTrainedModel: ...

    def from_pretrained(
        self, source: Path | str, *, output_loading_info: bool, **arguments: object
    ) -> tuple[PreTrainedModel, dict[str, set[str]]]: ...


language_models = cast(
    "dict[Family, _LanguageModels]",
    {
        "encoder": AutoModelForMaskedLM,
        "causal": AutoModelForCausalLM,
        "encoder-decoder": AutoModelForSeq2SeqLM,
    },
)


def load(config: BackboneConfig, locations: Locations) -> Backbone:
    """The backbone with its weights and tokenizer, on the CPU, frozen and in eval mode.

    Weights stored in another format (fp16, say) become `config.dtype`. A local folder is read without any network.
    A checkpoint without a language-model head, such as a sentence encoder, gives a backbone without one.

    Raises:
        ConfigError: no such folder or hub id, a missing or torn file, weights that do not fill the model, no fast
            tokenizer, or an architecture that is not supported.
    """
    source = source_of(config, locations)
    with loading_errors(config, source):
        shape = _shape(config, source)
        family = architecture_of(shape, config.name).family
        tokenizer = load_tokenizer(config, source)

        def read() -> tuple[PreTrainedModel, dict[str, set[str]]]:
            return language_models[family].from_pretrained(
                source, config=shape, dtype=torch.float32, output_loading_info=True, **arguments_for(config, source)
            )

        model, facts = until_read(read, config, source)
    body, head = taken_apart(model)
    in_head = {name for name in facts["missing_keys"] if _is_of_head(name)}
    if missing := sorted(facts["missing_keys"] - in_head):
        raise ConfigError(
            f"backbone {config.name!r}: {len(missing)} weights are missing in {source}, such as "
            f"{', '.join(missing[:3])}; the file is not of a {shape.model_type} of this shape"
        )
    _check_sizes(tokenizer, shape, config, source)
    vocabulary_head = None if in_head else head
    backbone = Backbone(config.name, body, tokenizer, dtype=config.dtype, vocabulary_head=vocabulary_head)
    backbone.set_trained(False)
    return backbone.eval()


def describe(config: BackboneConfig, locations: Locations) -> Backbone:
    """The backbone's shape on the meta device: no weights, no tokenizer, nothing but a config is read.

    Well-known hub models are described from shapes kept here, so this works offline and at once.

    Raises:
        ConfigError: as `load` does for what is read.
    """
    shape = None
    if locations.backbone_path is None and config.name not in BACKBONES:
        shape = shape_of(config.name)
    if shape is None:
        source = source_of(config, locations)
        with loading_errors(config, source):
            shape = _shape(config, source)
    family = architecture_of(shape, config.name).family
    with loading_errors(config, config.name), torch.device("meta"):
        body, head = taken_apart(language_models[family].from_config(shape, trust_remote_code=False))
    return Backbone(config.name, body, dtype=config.dtype, vocabulary_head=head if _tells_of_head(shape) else None)


def _shape(config: BackboneConfig, source: Path | str) -> PreTrainedConfig:
    """What a config.json says of a model, as far as it may say it."""

    def read() -> PreTrainedConfig:
        found: PreTrainedConfig = AutoConfig.from_pretrained(source, **arguments_for(config, source))
        return found

    shape = until_read(read, config, source)
    attention = str(shape._attn_implementation)
    if "/" in attention:
        raise ConfigError(
            f"backbone {config.name!r}: its config.json asks for code from the hub (attn_implementation: "
            f"{attention!r:.200}), which tunekit never runs; take that line out"
        )
    return shape


def _is_of_head(name: str) -> bool:
    """Whether a weight of a language model is of its head."""
    return name.startswith(("cls.", "lm_head."))


def _tells_of_head(shape: PreTrainedConfig) -> bool:
    """Whether a checkpoint of this config holds a language-model head, as far as the config says."""
    classes = shape.architectures or ["ForMaskedLM"]
    return architecture_of(shape, "").family != "encoder" or any(
        name.endswith(("ForMaskedLM", "ForPreTraining", "LMHeadModel")) for name in classes
    )


def _check_sizes(
    tokenizer: PreTrainedTokenizerBase, shape: PreTrainedConfig, config: BackboneConfig, source: Path | str
) -> None:
    if len(tokenizer) > shape.vocab_size:
        raise ConfigError(
            f"backbone {config.name!r}: its tokenizer has {len(tokenizer)} tokens, its model only {shape.vocab_size}; "
            f"they do not belong together ({source})"
        )
