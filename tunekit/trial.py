"""What one trial is: frozen dataclasses, their canonical JSON and their names.

A :class:`TrialConfig` holds everything that can change a result and nothing that cannot. Paths, devices,
workers and logging live in :class:`Locations` and in the sweep; they never change a trial's name.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from tunekit.errors import ConfigError, require
from tunekit.schema import Values, canonical_json, to_json
from tunekit.segmentation import Granularity, PieceSplit, frozen, require_languages

SCHEMA_VERSION = 5
"""Version of the identity of a trial; part of every ``trial_id``."""


LANGUAGE_IN_WORDS = "a code such as en or zh-Hans; files are named by it, so one line of at most 100 bytes without '/'"


def is_language(name: str) -> bool:
    """Whether `name` can be a part of a file's name, and stays in its line."""
    is_part = name not in ("", ".", "..") and not set(name) & set("/\\")
    return is_part and name.isprintable() and len(name.encode()) <= 100


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What is learnt and scored: a task, its languages and how much of it is read."""

    name: str
    """XTREME's key (xnli, pawsx, panx, udpos), a toy task, or a name of your own together with `kind`."""
    data_name: str | None = None
    """A name for the data, where two arms read one task from different places; part of the trial's name."""
    kind: Literal["token", "pair"] | None = None
    """Only for a task of your own files: one label per word (token) or per pair of texts (pair)."""
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
    draw_seed: int | None = None
    """Seed of few-shot draws and of samples of train, dev and parallel text; None is `sample_seed`, which remains that
    of test's samples. A sweep's `draws` set it, one for each replicate."""
    shots: int | None = None
    """Few-shot: train (and dev) examples per class; None trains on the whole split."""
    draw: Literal["sampled", "files"] = "sampled"
    """Few-shot: drawn here by `sample_seed`, nested across `shots`, or a fixed draw read from `fewshot_dir`."""
    metric: str | None = None
    """Only for a task of your own: ``f1`` or ``accuracy``. None: f1 if labels mark entities, else accuracy."""
    columns: tuple[str, ...] = ()
    """Only for a task of your own: the names or 0-based numbers of the columns read (word, tag / text, text, label)."""
    separator: Literal["tab", "space", "comma"] | None = None
    """Only for a task of your own: what separates columns. None: as the suffix and the first row say."""
    comment: str | None = None
    """Only for a task of your own: how a comment line begins, such as ``# ``. None: what looks like one is left out."""
    header: bool | None = None
    """Only for a task of your own: whether the first row names the columns. None: if it holds their usual names."""
    scheme: Literal["iob1", "iob2", "bioes", "bilou", "bmes", "io", "none"] | None = None
    """Only for words of your own: how labels mark entities. None: as the whole inventory says, if it is clear."""
    null_labels: Literal["refuse", "drop"] = "refuse"
    """Examples without a label (``-``, ``-1``, ``_`` or nothing): an error, or left out and counted."""

    def __post_init__(self) -> None:
        require(is_language(self.source_language), "source_language", self.source_language, LANGUAGE_IN_WORDS)
        for language in self.target_languages:
            require(is_language(language), "target_languages", language, LANGUAGE_IN_WORDS)

    @property
    def learning_seed(self) -> int:
        """The seed of what is learnt from: samples of train, dev and parallel text."""
        return self.sample_seed if self.draw_seed is None else self.draw_seed


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
    """Which token of a word an encoder's tagging head reads. A causal model always reads the last."""
    segmentation: Mapping[str, PieceSplit] | None = None
    """By language, how likely a piece of its text is split further; other languages are read as the tokenizer says."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "segmentation", frozen(self.segmentation))


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
    """Tokens per row, special ones included and the prompt not; longer sentences are windowed, >= 8."""
    warmup_fraction: float = 0.0
    """Share of the updates with a linearly rising rate, 0 to 1."""
    schedule: Literal["linear", "constant"] = "linear"
    """Fall of the rate after warm-up: linearly as far as `final_rate_fraction` says, or none."""
    final_rate_fraction: float = 0.0
    """Share of the peak rate at which the linear fall ends, 0 to 1."""
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
        require(self.max_length >= 8, "max_length", self.max_length, "at least 8 tokens")
        require(0 <= self.warmup_fraction <= 1, "warmup_fraction", self.warmup_fraction, "between 0 and 1")
        floor = self.final_rate_fraction
        require(0 <= floor <= 1, "final_rate_fraction", floor, "between 0 and 1")
        is_falling = self.schedule == "linear" or not floor
        require(is_falling, "final_rate_fraction", floor, "0.0 with schedule: constant, where the rate does not fall")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.adam_epsilon > 0, "adam_epsilon", self.adam_epsilon, "greater than 0")
        require(self.max_grad_norm >= 0, "max_grad_norm", self.max_grad_norm, "0 (no clipping) or more")


@dataclass(frozen=True, kw_only=True)
class SideTask:
    """What a method learns from data of its own beside the rows of train, such as alignment with parallel text."""

    weight: float
    """Of its loss in every update on labelled rows, >= 0; 0 leaves it out there."""
    num_updates: int
    """Further updates of a whole trial, on its loss alone; their number does not depend on the rows of train."""
    order: Literal["before", "beside"]
    """All further updates before the first labelled one, or spread evenly between them."""
    trains: tuple[str, ...] = ()
    """How the names of the parameters begin that the further updates change; empty means all."""
    num_rows: int
    """Rows computed for its loss once."""
    num_heldout_rows: int = 0
    """Rows computed after each epoch to say what was learnt."""


TOKENS_PER_STEP = 8192
"""Padded tokens that a trial computes at once where nothing else is said. See `SMALLER_STEPS`."""
SMALLER_STEPS = (
    "the result stays the same but for rounding with a frozen backbone; one that is trained draws other dropout masks"
)
"""What it changes to compute fewer tokens at once. Gradients are added up before the optimiser moves, and a frozen
backbone drops by the key of each row. While a backbone is trained, dropout (and whatever else a method draws as it
computes, as PCT's languages) is drawn for each step from the trial's random stream: the same distribution, other
numbers."""


@dataclass(frozen=True, kw_only=True)
class Locations:
    """Where things are. Never part of a trial's identity.

    A path may hold ``~`` and environment ``$VARIABLES``. It is kept as it was written, also in the journal, and `here`
    fills it in on the machine that reads it.
    """

    data_dir: str | None = None
    """Folder in XTREME's layout: ``<task>/<split>-<language>.tsv``. None loads from the Hugging Face hub."""
    files: Values | str | None = None
    """A task of your own: a pattern with ``{split}`` and ``{language}``, or ``{split: {language: path}}``."""
    fewshot_dir: str | None = None
    """Fixed few-shot draws: ``<language>/<split>-<shots>.jsonl``."""
    parallel_dir: str | None = None
    """Parallel text aligned by line: ``<language>.txt``, one text per line, or ``<language>.tsv``, a pair of texts."""
    backbone_path: str | None = None
    """Local folder of the backbone; None loads `BackboneConfig.name` from the hub (or builds it, if it is ours)."""
    cache_dir: str | None = None
    """Where toy backbones are kept; None is ``$TUNEKIT_CACHE`` or ``~/.cache/tunekit``."""
    device: str | None = None
    """torch device; None is cuda if there is one, else cpu."""

    def here(self) -> Locations:
        """These places on this machine, ``~`` and variables filled in.

        Raises:
            ConfigError: a variable is not set; names the key and the variable.
        """
        keys = ("data_dir", "files", "fewshot_dir", "parallel_dir", "backbone_path", "cache_dir")
        return replace(self, **{key: _filled_in(getattr(self, key), key) for key in keys})


_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)
"""What `os.path.expandvars` takes for a variable."""


def path_here(path: str) -> str:
    """`path` with ``~`` and environment variables filled in, on this machine.

    Raises:
        ConfigError: a variable is not set.
    """
    for found in _VARIABLE.finditer(path):
        name = found[1] or found[2]
        if name not in os.environ:
            raise ConfigError(f"{path!r}: the environment variable {name!r} is not set here; set it, or write the path")
    return os.path.expanduser(os.path.expandvars(path))


def _filled_in(paths: Any, where: str) -> Any:
    """A path, or a mapping of paths, on this machine."""
    if isinstance(paths, Mapping):
        return {key: _filled_in(inner, f"{where}.{key}") for key, inner in paths.items()}
    if not isinstance(paths, str):
        return paths
    try:
        return path_here(paths)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


class Replicate(NamedTuple):
    """What tells the trials of one point apart."""

    seed: int
    draw: int | None = None
    """`TaskConfig.draw_seed`."""

    def __str__(self) -> str:
        return f"{self.seed}" if self.draw is None else f"{self.seed} of draw {self.draw}"


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that decides a trial's result, resolved, defaults included."""

    task: TaskConfig
    backbone: BackboneConfig
    method: str
    options: Values = field(default_factory=dict)
    """The fields of the method's own ``Config``, all of them."""
    training: TrainingConfig
    seed: int
    selection: Literal["source_dev", "target_dev"] = "source_dev"
    """What the search maximises: the source language's dev score, or the mean over the target languages'."""

    def __post_init__(self) -> None:
        require_languages(self.backbone.segmentation, (self.task.source_language, *self.task.target_languages))

    @property
    def trial_id(self) -> str:
        """First 12 hex digits of SHA-256 over the canonical JSON and the schema version."""
        return _digest({"schema": SCHEMA_VERSION, **to_json(self)})

    @property
    def point_id(self) -> str:
        """The same without the seed and the draw: what replicates share."""
        content = to_json(self)
        del content["seed"], content["task"]["draw_seed"]
        return _digest({"schema": SCHEMA_VERSION, **content})


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """What a trial says when it starts: what it reads, and how large it is. The journal keeps it with ``started``."""

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Digests of what the trial reads: ``backbone``, ``train/en``, ``test/fr``, ``parallel/files/de``, ..."""
    num_trainable_parameters: int = 0
    num_backbone_parameters: int = 0
    num_train_examples: int = 0
    num_train_rows: int = 0
    num_train_tokens: int = 0
    num_train_truncated: int = 0
    """Rows of train whose text was cut."""
    num_updates_per_epoch: int = 0
    """On rows of train; see `num_side_updates`."""
    num_side_updates: tuple[int, ...] = ()
    """Further updates of each epoch, on data of the method's own such as parallel text; empty where there are none."""
    majority: Mapping[str, float] = field(default_factory=dict)
    """``dev/<language>/<metric>`` of always predicting train's most frequent label."""
    device: str = ""
    num_threads: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python and of the libraries that train."""

    def num_updates(self, num_epochs: int) -> int:
        """All updates of the optimiser in the first `num_epochs`."""
        return num_epochs * self.num_updates_per_epoch + sum(self.num_side_updates[:num_epochs])

    @property
    def data_fingerprint(self) -> str | None:
        """12 hex digits over train, dev and test as the trial reads them; None if it did not say so."""
        found = {key: value for key, value in self.fingerprints.items() if key.startswith(("train", "dev", "test"))}
        return _digest(found) if found else None


@dataclass(frozen=True, kw_only=True)
class FinalScores:
    """The test scores of a finished trial: made once, then only read."""

    epoch: int
    """The epoch, best on dev, whose parameters were scored."""
    scores: Mapping[str, float]
    """``test/<language>/<metric>`` for the source language and every target language."""
    majority: Mapping[str, float]
    """``majority/<language>/<metric>``: the same for train's most frequent label everywhere (or no entity at all)."""
    num_examples: Mapping[str, int]
    """Sentences or pairs scored, by language."""
    num_labels: Mapping[str, int] = field(default_factory=dict)
    """Words or pairs scored, by language."""
    unseen_labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By language the labels that train lacks, each with its words or pairs; languages without any are left out."""
    granularity: Mapping[str, Granularity] = field(default_factory=dict)
    """How finely the test texts are written in tokens, by language."""
    duration_s: float = field(default=0.0, compare=False)
    """Wall seconds of scoring; 0 where it was not measured."""


TIE_BREAKER = "alignment_kl"
"""A figure of some methods, at least 0 and no score: of epochs with equal dev scores the one with less of it wins."""
FIGURES = tuple(f"{name}{end}" for name in (TIE_BREAKER, "answer_spread") for end in ("", "_start"))
"""Dev metrics that are no scores in [0, 1], and never shown as percent."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What a trial says after each round."""

    epoch: int
    """1-based."""
    value: float
    """The objective at this epoch, in [0, 1]."""
    metrics: Mapping[str, float]
    """``dev/<language>/<metric>`` and ``train/loss``; what a method says beside scores, such as `TIE_BREAKER`, too."""
    duration_s: float
    """Wall seconds of this round's training and evaluation."""

    @property
    def rank(self) -> tuple[float, float, int]:
        """The best epoch has the highest: the value, then the smaller mean of `TIE_BREAKER`, then the earlier."""
        found = [value for key, value in self.metrics.items() if key.endswith(f"/{TIE_BREAKER}")]
        return self.value, -math.fsum(found) / max(1, len(found)), -self.epoch


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
    peak_memory_bytes: int = 0
    reason: str | None = None
    """Why it FAILED or was PRUNED."""


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]
