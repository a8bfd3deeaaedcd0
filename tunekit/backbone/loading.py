"""From a name or a folder to a backbone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers import logging as transformers_logging

from tunekit.backbone.encoder import Backbone, architecture_of
from tunekit.backbone.shapes import shape_of
from tunekit.config import BACKBONES, BackboneConfig, ConfigError, Locations, lookup

reports: Any = transformers_logging  # transformers leaves these untyped
body: Any = AutoModel


def load(config: BackboneConfig, locations: Locations) -> Backbone:
    """The backbone with its weights and tokenizer, on the CPU, frozen and in eval mode.

    Weights stored in another format (fp16, say) become `config.dtype`. A local folder is read without any network.

    Raises:
        ConfigError: no such folder or hub id, a missing or torn file, weights that do not fill the model, no fast
            tokenizer, or an architecture that is not supported.
    """
    source = _source(config, locations)
    with _reading(config, source):
        shape = AutoConfig.from_pretrained(source, **_hub(config, source))
        architecture_of(shape, config.name)
        tokenizer = AutoTokenizer.from_pretrained(source, **_hub(config, source))
        model, facts = body.from_pretrained(
            source, config=shape, dtype=torch.float32, output_loading_info=True, **_hub(config, source), **_body(shape)
        )
    if facts["missing_keys"]:
        some = ", ".join(sorted(facts["missing_keys"])[:3])
        raise ConfigError(
            f"backbone {config.name!r}: {len(facts['missing_keys'])} weights are missing in {source}, such as {some}; "
            f"the file is not of a {shape.model_type} of this shape"
        )
    _check_tokenizer(tokenizer, shape, config, source)
    backbone = Backbone(config.name, model, tokenizer, dtype=config.dtype)
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
        source = _source(config, locations)
        with _reading(config, source):
            shape = AutoConfig.from_pretrained(source, **_hub(config, source))
    architecture_of(shape, config.name)
    with torch.device("meta"):
        model = body.from_config(shape, **_body(shape))
    return Backbone(config.name, model, dtype=config.dtype)


def _source(config: BackboneConfig, locations: Locations) -> Path | str:
    """A folder that holds a model, or a hub id."""
    if locations.backbone_path is not None:
        folder = Path(locations.backbone_path).expanduser()
    elif config.name in BACKBONES:
        folder = Path(lookup("backbone", config.name)(locations))
    elif Path(config.name).is_absolute() or config.name.startswith((".", "~")) or config.name.count("/") > 1:
        folder = Path(config.name).expanduser()
    else:
        return config.name
    if not folder.is_dir():
        raise ConfigError(f"backbone {config.name!r}: there is no folder {str(folder)!r}")
    if not (folder / "config.json").is_file():
        have = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ConfigError(f"backbone {config.name!r}: {str(folder)!r} has no config.json (it holds: {have})")
    return folder


def _hub(config: BackboneConfig, source: Path | str) -> dict[str, Any]:
    return {"local_files_only": True} if isinstance(source, Path) else {"revision": config.revision or "main"}


def _body(shape: Any) -> dict[str, Any]:
    """Without the pooler: no head here reads it, and it would count as trained."""
    return {"add_pooling_layer": False} if shape.model_type in ("bert", "roberta", "xlm-roberta") else {}


@contextmanager
def _reading(config: BackboneConfig, source: Path | str) -> Iterator[None]:
    """Turn what goes wrong inside transformers into one clear message, and keep its reports off the screen."""
    verbosity = reports.get_verbosity()
    bars = reports.is_progress_bar_enabled()
    reports.set_verbosity_error()
    if isinstance(source, Path):
        reports.disable_progress_bar()
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(source, Path):
            right = "a folder in the hub's format holds config.json, model.safetensors and tokenizer.json"
        else:
            right = "is it a Hugging Face hub id, and can the hub be reached? A local folder also works"
        raise ConfigError(f"backbone {config.name!r}: cannot load it from {str(source)!r}: {what}; {right}") from error
    finally:
        reports.set_verbosity(verbosity)
        if bars:
            reports.enable_progress_bar()


def _check_tokenizer(tokenizer: Any, shape: Any, config: BackboneConfig, source: Path | str) -> None:
    if not tokenizer.is_fast:
        raise ConfigError(
            f"backbone {config.name!r}: the tokenizer in {str(source)!r} is a slow one ({type(tokenizer).__name__}); "
            "a fast one is needed, kept in tokenizer.json"
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes up where no vocabulary is
        raise ConfigError(f"backbone {config.name!r}: {str(source)!r} holds no tokenizer, such as tokenizer.json")
    if len(tokenizer) > shape.vocab_size:
        raise ConfigError(
            f"backbone {config.name!r}: its tokenizer has {len(tokenizer)} pieces, its model only {shape.vocab_size}; "
            f"they do not belong together ({source})"
        )
