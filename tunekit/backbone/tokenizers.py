"""The tokenizer of a backbone: a fast one, with a vocabulary."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tunekit.backbone.sources import arguments_for, loading_errors, source_of, until_read
from tunekit.errors import ConfigError
from tunekit.trial import BackboneConfig, Locations


def load_tokenizer(config: BackboneConfig, source: Path | str, *, local_only: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a hub id (`source_of`); a folder is read without any network.

    Args:
        config: the backbone.
        source: where it is.
        local_only: read a hub id from the copy on this machine, without any network.

    Raises:
        ConfigError: a file is missing or torn, there is no vocabulary, or the tokenizer is not a fast one.
    """
    return _checked(_read(config, source, local_only=local_only), config, source)


def local_tokenizer(config: BackboneConfig, locations: Locations) -> PreTrainedTokenizerBase | None:
    """The backbone's tokenizer without any network; None if it is a hub model's that is not on this machine.

    Raises:
        ConfigError: there is no such folder, or as `load_tokenizer` says for a tokenizer that is on this machine.
    """
    source = source_of(config, locations)
    if isinstance(source, Path):
        return load_tokenizer(config, source)
    try:
        found = _read(config, source, local_only=True)
    except ConfigError:
        return None
    return _checked(found, config, source)


def _read(config: BackboneConfig, source: Path | str, *, local_only: bool) -> PreTrainedTokenizerBase:
    with loading_errors(config, source, what="its tokenizer"):

        def read() -> PreTrainedTokenizerBase:
            found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                source, **arguments_for(config, source, local_only=local_only)
            )
            return found

        return until_read(read, config, source)


def _checked(tokenizer: PreTrainedTokenizerBase, config: BackboneConfig, source: Path | str) -> PreTrainedTokenizerBase:
    if not tokenizer.is_fast:
        raise ConfigError(
            f"backbone {config.name!r}: the tokenizer in {str(source)!r} is a slow one ({type(tokenizer).__name__}); "
            "a fast one is needed, kept in tokenizer.json"
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes up where no vocabulary is
        raise ConfigError(f"backbone {config.name!r}: {str(source)!r} holds no tokenizer, such as tokenizer.json")
    return tokenizer
