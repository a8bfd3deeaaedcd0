"""Names and what they lead to: every method, task, backbone, corpus of parallel text and translator, one line each.

A name is looked up when it is needed, so that nothing here imports a method, a task or a library.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tunekit.errors import MOST, ConfigError, nearest, quoted

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


@dataclass(frozen=True)
class _Callable:
    """What a function found under a dotted name must be like before it is called."""

    takes: tuple[str, ...]
    """What it is called with."""
    gives: str
    """The last part of its return annotation, if it has one."""


_CALLED: dict[str, _Callable] = {
    "task": _Callable(("TaskConfig", "Locations"), "Task"),
    "backbone": _Callable(("Locations",), "Path"),
    "parallel corpus": _Callable(("TaskConfig", "Locations", "language"), "CorpusRows"),
}
"""The registries whose objects are called at once; what a method must have is checked by those who use it."""

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

    Nothing found is called here, and what a dotted name leads to is of a kind that this registry may call.

    Raises:
        ConfigError: the name is unknown (the nearest valid one is named), its module cannot be imported, or what is
            found is something else.
    """
    known = REGISTRIES[registry]
    target = known.get(name, name if ":" in name else None)
    if target is None:
        raise ConfigError(
            f"unknown {registry} {quoted(name)}; {nearest(name, known)}, or a dotted 'package.module:attribute'"
        )
    found = _imported(target, f"cannot load {registry} {quoted(name)} from {quoted(target)}")
    wanted = _CALLED.get(registry) if name not in known else None
    if wanted is not None and not _fits(found, wanted):
        raise ConfigError(
            f"{registry} {quoted(name)} is {quoted(found)}, which makes no {registry}: a function "
            f"({', '.join(wanted.takes)}) -> {wanted.gives} is expected"
        )
    return found


def _imported(target: str, problem: str) -> object:
    module, _, attribute = target.partition(":")
    if module.partition(".")[0] != "tunekit":
        for tell in _listeners:
            tell(module)
    try:
        return getattr(importlib.import_module(module), attribute)
    except SyntaxError as error:
        place = f"{error.filename}:{error.lineno}: " if error.filename else ""
        raise ConfigError(f"{problem}: {place}{error.msg}") from error
    except (Exception, SystemExit) as error:  # somebody else's code, which may do anything while it is imported
        raise ConfigError(f"{problem}: {_place_of(error)}{_in_words(error)}") from error


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    shown = text if len(text) <= MOST else f"{text[: MOST - 1]}…"
    return shown if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {shown}"


def _place_of(error: BaseException) -> str:
    """File and line of the code that raised `error` while it was imported; nothing if only the import itself did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _fits(found: object, wanted: _Callable) -> bool:
    """Whether an object is what a registry calls: by its arguments, and by what it says it returns."""
    module = str(getattr(found, "__module__", "") or "").partition(".")[0]
    if not callable(found) or module in sys.stdlib_module_names:
        return False
    try:
        signature = inspect.signature(found)
        signature.bind(*wanted.takes)
    except (TypeError, ValueError):
        return False
    gives = signature.return_annotation
    name = gives if isinstance(gives, str) else getattr(gives, "__name__", str(gives))
    return gives is inspect.Signature.empty or name.rpartition(".")[2].strip("'\"") == wanted.gives
