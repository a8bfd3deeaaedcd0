"""Names and what they lead to: every method, task, backbone and corpus of parallel text, one line each.

A name is looked up when it is needed, so that nothing here imports a method, a task or a library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tunekit.errors import ConfigError, nearest

METHODS: dict[str, str] = {
    "finetune": "tunekit.methods.finetune:Finetune",
    "topro": "tunekit.methods.topro:ToPro",
    "topro_zero_shot": "tunekit.methods.topro_zero_shot:ToProZeroShot",
    "icl": "tunekit.methods.icl:InContextLearning",
    "ptuning_v2": "tunekit.methods.ptuning_v2:PTuningV2",
    "prompt_tuning": "tunekit.methods.prompt_tuning:PromptTuning",
    "lora": "tunekit.methods.lora:LoRA",
    "bitfit": "tunekit.methods.bitfit:BitFit",
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


REGISTRIES: dict[str, dict[str, str]] = {
    "method": METHODS,
    "task": TASKS,
    "backbone": BACKBONES,
    "parallel corpus": CORPORA,
}
"""Every table by what its names name."""


_listeners: list[Callable[[str], object]] = []


@contextmanager
def announcing(tell: Callable[[str], object]) -> Iterator[None]:
    """Call `tell` with the name of a module that is not tunekit's, each time before one is imported by `lookup`."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


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
    if name not in known and module.partition(".")[0] != "tunekit":
        for tell in _listeners:
            tell(module)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"cannot load {registry} {name!r} from {target!r}: {error}") from error
