"""What one trial is: frozen dataclasses, their canonical JSON and their names. The errors of the house pass through.

A :class:`TrialConfig` holds everything that can change a result and nothing that cannot. Paths, devices,
workers and logging live in :class:`Locations` and in the sweep; they never change a trial's name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tunekit.errors import ConfigError as ConfigError
from tunekit.errors import DataError as DataError
from tunekit.errors import StorageError as StorageError
from tunekit.errors import TrialFailed as TrialFailed
from tunekit.errors import TunekitError as TunekitError
from tunekit.errors import nearest as nearest
from tunekit.errors import require as require

SCHEMA_VERSION = 1
"""Version of the identity of a trial; part of every ``trial_id``."""

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
    "toy_tagging": "tunekit.tasks.toy:load_tagging",
    "toy_pair": "tunekit.tasks.toy:load_pair",
}
"""Every task by XTREME's key, and the generated toy world. Loaders: ``(TaskConfig, Locations) -> Task``."""

BACKBONES: dict[str, str] = {
    "toy-bert": "tunekit.toy_backbones:bert_folder",
    "toy-xglm": "tunekit.toy_backbones:xglm_folder",
}
"""Backbones made here. Values: ``(Locations) -> Path`` of a folder in the hub's format, built once and cached."""

REGISTRIES: dict[str, dict[str, str]] = {"method": METHODS, "task": TASKS, "backbone": BACKBONES}


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


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What is learnt and scored: a task, its languages and how much of it is read."""

    name: str
    """XTREME's key (xnli, pawsx, panx, udpos), a toy task, or a name of your own together with `kind`."""
    kind: Literal["token", "pair"] | None = None
    """Only for a task of your own files: one label a word (token) or one label a pair of texts (pair)."""
    source_language: str = "en"
    """Language of train, and of the dev score that selects."""
    target_languages: tuple[str, ...] = ()
    """Languages scored zero-shot on test."""
    max_train_examples: int | None = None
    """Seeded sample of the train split, in sentences or pairs; None reads all."""
    max_dev_examples: int | None = None
    """The same for each dev split."""
    max_test_examples: int | None = None
    """The same for each test split."""
    sample_seed: int = 0
    """Seed of the samples above and of few-shot draws, apart from the trial's own seed."""
    shots: int | None = None
    """Few-shot: train (and dev) examples a class; None trains on the whole split."""
    draw: Literal["sampled", "files"] = "sampled"
    """Few-shot: drawn here by `sample_seed`, nested across `shots`, or a fixed draw read from `fewshot_dir`."""
    metric: str | None = None
    """Only for a task of your own: ``f1`` (entities) or ``accuracy``. None: f1 where labels are BIO, else accuracy."""
    columns: tuple[str, ...] = ()
    """Only for a task of your own: the names or 0-based numbers of the columns read (word, tag / text, text, label)."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The pretrained model that methods build on."""

    name: str
    """Hub id, or the name of a local folder (its last component)."""
    revision: str | None = None
    """Hub revision (commit, tag or branch); None is the hub's default."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Number format of the frozen weights and of the arithmetic; trained parameters are always kept in fp32."""
    word_piece: Literal["first_text", "first", "last", "mean"] = "first_text"
    """Which piece of a word an encoder's tagging head reads. A causal model always reads the last."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimiser and its schedule, alike for every method."""

    learning_rate: float = 1e-4
    """Peak rate of AdamW, > 0."""
    epochs: int = 5
    """Rounds of training, each followed by a dev evaluation and a checkpoint, >= 1; where nothing is trained, 1."""
    updates_per_epoch: int | None = None
    """Optimiser updates a round; None is one pass over train. Equal values give arms equal budgets."""
    batch_size: int = 16
    """Rows (sentences, pairs, windows or prompts) an update, >= 1."""
    max_length: int = 128
    """Pieces a row, special tokens included and the prompt not; longer sentences are windowed, >= 8."""
    tokens_per_step: int = 8192
    """Ceiling of padded pieces computed at once; a larger batch is accumulated over several steps."""
    warmup_fraction: float = 0.0
    """Share of the updates with a linearly rising rate, 0 to 1."""
    schedule: Literal["linear", "constant"] = "linear"
    """Fall of the rate after warm-up: to zero at the last update, or none."""
    weight_decay: float = 0.0
    """AdamW's decoupled decay, on matrices only, >= 0."""
    adam_epsilon: float = 1e-8
    """AdamW's epsilon, > 0."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm; 0 clips nothing."""

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "greater than 0")
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(
            self.updates_per_epoch is None or self.updates_per_epoch >= 1,
            "updates_per_epoch",
            self.updates_per_epoch,
            "at least 1",
        )
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.max_length >= 8, "max_length", self.max_length, "at least 8 pieces")
        require(
            self.tokens_per_step >= self.max_length,
            "tokens_per_step",
            self.tokens_per_step,
            f"at least max_length ({self.max_length})",
        )
        require(0 <= self.warmup_fraction <= 1, "warmup_fraction", self.warmup_fraction, "between 0 and 1")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.adam_epsilon > 0, "adam_epsilon", self.adam_epsilon, "greater than 0")
        require(self.max_grad_norm >= 0, "max_grad_norm", self.max_grad_norm, "0 (no clipping) or more")

    def without_updates(self) -> TrainingConfig:
        """What a method that trains nothing uses of it: one round, which only evaluates; all else at its default."""
        return TrainingConfig(epochs=1, **{name: getattr(self, name) for name in EVALUATION_FIELDS})


EVALUATION_FIELDS = ("max_length", "tokens_per_step")
"""Fields of TrainingConfig that have an effect where nothing is trained."""


@dataclass(frozen=True, kw_only=True)
class Locations:
    """Where things are on this machine. Never part of a trial's identity."""

    data_dir: str | None = None
    """Folder in XTREME's layout: ``<task>/<split>-<language>.tsv``. None loads from the Hugging Face hub."""
    files: Mapping[str, Any] | str | None = None
    """A task of your own: a pattern with ``{split}`` and ``{language}``, or ``{split: {language: path}}``."""
    fewshot_dir: str | None = None
    """Fixed few-shot draws: ``<language>/<split>-<shots>.jsonl``."""
    parallel_dir: str | None = None
    """Parallel text aligned by line: ``<language>.txt``, a text a line, or ``<language>.tsv``, a pair of texts."""
    backbone_path: str | None = None
    """Local folder of the backbone; None loads `BackboneConfig.name` from the hub (or builds it, if it is ours)."""
    cache_dir: str | None = None
    """Where toy backbones are kept; None is ``$TUNEKIT_CACHE`` or ``~/.cache/tunekit``."""
    device: str | None = None
    """torch device; None is cuda if there is one, else cpu."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that decides a trial's result, resolved, defaults included."""

    task: TaskConfig
    backbone: BackboneConfig
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the method's own ``Config``, all of them."""
    training: TrainingConfig
    seed: int
    selection: Literal["source_dev", "target_dev"] = "source_dev"
    """What the search maximises: the source language's dev score, or the mean over the target languages'."""

    @property
    def trial_id(self) -> str:
        """First 12 hex digits of SHA-256 over the canonical JSON and the schema version."""
        return _digest({"schema": SCHEMA_VERSION, **to_json(self)})

    @property
    def point_id(self) -> str:
        """The same without the seed: what replicates share."""
        content = to_json(self)
        del content["seed"]
        return _digest({"schema": SCHEMA_VERSION, **content})


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What a trial says after each round."""

    epoch: int
    """1-based."""
    value: float
    """The objective at this epoch, in [0, 1]."""
    metrics: Mapping[str, float]
    """``dev/<language>/<metric>`` and ``train/loss``."""
    duration_s: float
    """Wall seconds of this round's training and evaluation."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a finished trial leaves behind."""

    state: Literal["COMPLETE", "PRUNED", "FAILED"]
    value: float | None
    """Best dev objective; None when FAILED."""
    best_epoch: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """``dev/...`` at the best epoch and, once the point is finalised, ``test/<language>/<metric>``."""
    num_updates: int = 0
    duration_s: float = 0.0
    num_trainable_parameters: int = 0
    num_backbone_parameters: int = 0
    peak_memory_bytes: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Data fingerprint, rows and words a split, truncated pairs, majority scores, versions, device."""
    reason: str | None = None
    """Why it FAILED or was PRUNED."""


def to_json(value: Any) -> Any:
    """Dataclasses, mappings and tuples as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make the dataclass `cls` from parsed YAML or JSON, strictly.

    Args:
        cls: a dataclass whose fields are scalars, Literals, optionals, tuples of scalars, mappings or dataclasses.
        values: its fields by name.
        where: how messages name the place, such as ``sweep.yaml: task``.

    Raises:
        ConfigError: an unknown or missing key, a value of the wrong type, or a range that the class refuses.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected keys and values, got {values!r}")
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(str(key), fields)}")
    for name, f in fields.items():
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key {name!r}")
    try:
        return cls(**{key: coerce(hints[key], value, f"{where}: {key}") for key, value in values.items()})
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None


def coerce(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or a ConfigError that explains YAML's traps (``1e-4`` is text, ``no`` is False)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [a for a in arguments if a is not type(None)]
        return coerce(rest[0], value, where) if len(rest) == 1 else value
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) != any(isinstance(a, bool) for a in arguments):
            raise ConfigError(f"{where}: {value!r} is not a valid choice; {nearest(str(value), map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        return tuple(coerce(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected keys and values, got {value!r}")
        keys = {coerce(arguments[0], key, f"{where}: key {key!r}"): key for key in value}
        return {key: coerce(arguments[1], value[found], f"{where}: {key}") for key, found in keys.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(typing.cast(type, hint), value, where)
    if hint in _SCALARS:
        return _scalar(hint, value, where)
    return value


_SCALARS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value!r} is not a finite number")
    if type(value) is kind:
        return value
    message = f"{where}: expected {_SCALARS[kind]}, got {value!r} ({type(value).__name__})"
    if isinstance(value, str) and kind in (float, int) and _is_number(value):
        right = _as_yaml_number(value, kind)
        wrong = f"YAML reads {value} as text: write {right}" if right != value else "drop the quotes"
        raise ConfigError(f"{message}; {wrong}")
    if kind is str and isinstance(value, bool):
        raise ConfigError(f"{message}; YAML reads no, off, yes and on as true or false: put the word in quotes")
    raise ConfigError(message)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _as_yaml_number(text: str, kind: type) -> str:
    number = float(text)
    if kind is int:
        return str(int(number)) if number.is_integer() else "a whole number"
    mantissa, _, exponent = f"{number:.15e}".partition("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa + '0' if mantissa.endswith('.') else mantissa}e{int(exponent):+d}"
