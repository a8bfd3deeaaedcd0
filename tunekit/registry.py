"""Names and what they lead to: every method, task, backbone, corpus of parallel text and translator, one line each.

A name is looked up when it is needed, so that nothing here imports a method, a task or a library.
"""

from __future__ import annotations

import importlib
from typing import Any

from tunekit.errors import ConfigError, nearest

METHODS: dict[str, str] = {
    "finetune": "tunekit.methods.finetune:Finetune",
    "generate_tags": "tunekit.methods.generate_tags:GenerateTags",
    "topro": "tunekit.methods.topro:ToPro",
    "topro_zero_shot": "tunekit.methods.topro_zero_shot:ToProZeroShot",
    "icl": "tunekit.methods.icl:InContextLearning",
    "ptuning_v2": "tunekit.methods.ptuning_v2:PTuningV2",
    "prompt_tuning": "tunekit.methods.prompt_tuning:PromptTuning",
    "lora": "tunekit.methods.lora:LoRA",
    "bitfit": "tunekit.methods.bitfit:BitFit",
    "adapter": "tunekit.methods.adapter:Adapter",
    "soft_prompt": "tunekit.methods.soft_prompt:SoftPrompt",
    "pct": "tunekit.methods.pct:PCT",
    "mpt": "tunekit.methods.mpt:MPT",
}
"""Every method by name. One line here adds a method; a dotted ``module:attr`` works wherever a name does."""


TASKS: dict[str, str] = {
    "xnli": "tunekit.tasks.classification:load_xnli",
    "pawsx": "tunekit.tasks.classification:load_pawsx",
    "panx": "tunekit.tasks.tagging:load_panx",
    "udpos": "tunekit.tasks.tagging:load_udpos",
    "toy_tagging": "tunekit.toy.tasks:load_tagging",
    "toy_pair": "tunekit.toy.tasks:load_pair",
}
"""Every task by XTREME's key, and the generated toy world. Loaders: ``(TaskConfig, Locations) -> Task``."""


BACKBONES: dict[str, str] = {
    "toy-bert": "tunekit.toy.backbones:bert_folder",
    "toy-xglm": "tunekit.toy.backbones:xglm_folder",
}
"""Backbones made here. Values: ``(Locations) -> Path`` of a folder in the hub's format, built once and cached."""


CORPORA: dict[str, str] = {
    "fewshot": "tunekit.tasks.corpora:fewshot",
    "files": "tunekit.tasks.corpora:files",
    "pawsx": "tunekit.tasks.corpora:pawsx",
    "toy": "tunekit.toy.tasks:parallel_rows",
}
"""Corpora of parallel text. Values: ``(TaskConfig, Locations, language) -> CorpusRows`` of one language."""


TRANSLATORS: dict[str, str] = {
    "linear1": "tunekit.methods.parts.translators:linear1",
    "linear2": "tunekit.methods.parts.translators:linear2",
    "lstm1": "tunekit.methods.parts.translators:lstm1",
    "lstm2": "tunekit.methods.parts.translators:lstm2",
    "transformer1": "tunekit.methods.parts.translators:transformer1",
    "transformer2": "tunekit.methods.parts.translators:transformer2",
    "linear3": "tunekit.methods.parts.translators:linear3",
    "linear4": "tunekit.methods.parts.translators:linear4",
    "lstm3": "tunekit.methods.parts.translators:lstm3",
    "transformer3": "tunekit.methods.parts.translators:transformer3",
    "residual": "tunekit.methods.parts.translators:residual",
    "residual2": "tunekit.methods.parts.translators:residual2",
    "attention": "tunekit.methods.parts.translators:attention",
    "attention2": "tunekit.methods.parts.translators:attention2",
}
"""What may make MPT's target prompt of the source prompt; the first six are the paper's. Values make a module."""


REGISTRIES: dict[str, dict[str, str]] = {
    "method": METHODS,
    "task": TASKS,
    "backbone": BACKBONES,
    "parallel corpus": CORPORA,
    "translator": TRANSLATORS,
}
"""Every table by what its names name."""


def lookup(registry: str, name: str) -> Any:
    """The object registered as `name` in ``REGISTRIES[registry]``, or found at a dotted ``module:attr``.

    Raises:
        ConfigError: the name is unknown (the nearest valid one is named), or its module cannot be imported.
    """
    known = REGISTRIES[registry]
    target = known.get(name, name if ":" in name else None)
    if target is None:
        raise ConfigError(
            f"unknown {registry} {name!r}; {nearest(name, known)}, or a dotted 'package.module:attribute'"
        )
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"cannot load {registry} {name!r} from {target!r}: {error}") from error
