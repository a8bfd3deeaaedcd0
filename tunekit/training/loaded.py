"""A task and a backbone as a process keeps them: with what is worth computing once, and as they were loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunekit.backbone import Backbone
from tunekit.methods import Feature, Method
from tunekit.methods.parts.granularity import granularity
from tunekit.predictions import TestExamples, save_examples
from tunekit.segmentation import Granularity
from tunekit.storage import AnyPath, TrialFolder
from tunekit.tasks import Split, Task


@dataclass(frozen=True)
class TokenizedSplit:
    """A split in one language, tokenized: all rows in the order of their examples."""

    rows: tuple[Feature, ...]
    lengths: tuple[int, ...]
    """Tokens of each row."""
    spans: tuple[range, ...]
    """For each example the indices of its rows."""
    num_tokens: int
    num_truncated: int
    """Rows whose text was cut."""

    @classmethod
    def of(cls, tokenized: Sequence[Sequence[Feature]]) -> TokenizedSplit:
        """From the rows of each example, as ``Method.encode_all`` gives them."""
        rows = tuple(row for example in tokenized for row in example)
        lengths = tuple(row.length for row in rows)
        spans, start = [], 0
        for example in tokenized:
            spans.append(range(start, start + len(example)))
            start += len(example)
        return cls(rows, lengths, tuple(spans), sum(lengths), sum(row.truncated for row in rows))


class LoadedTask:
    """A task with what is worth computing once: its tokenized rows, and the scores of knowing nothing."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._majority: dict[tuple[Split, str], dict[str, float]] = {}
        self._tokenized: OrderedDict[Hashable, TokenizedSplit] = OrderedDict()
        self._granularities: dict[Hashable, Granularity] = {}
        self._fingerprints: dict[str, str] = {}
        self._parallel: set[tuple[str, str]] = set()
        self._kept_examples: dict[AnyPath, str] = {}

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows that are kept."""
        return sum(split.num_tokens for split in self._tokenized.values())

    def fingerprints(self, *, target_dev: bool = False, parallel: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
        """What the data of the task are now, as ``<split>/<language>`` and ``parallel/<corpus>/<language>``.

        Args:
            target_dev: dev of the target languages too.
            parallel: pairs (corpus, language) of parallel text.
        """
        self._parallel.update(parallel)
        found = self.task.fingerprints(target_dev=target_dev)
        for corpus, language in parallel:
            key = f"parallel/{corpus}/{language}"
            found[key] = self.task.parallel_text.fingerprint(corpus, language)
        for key, value in found.items():
            self._fingerprints.setdefault(key, value)
        return found

    def has_changed(self) -> bool:
        """Whether the data are others than those that may have been read."""
        is_target_dev = any(f"dev/{language}" in self._fingerprints for language in self.task.config.target_languages)
        before = dict(self._fingerprints)
        now = self.fingerprints(target_dev=is_target_dev, parallel=sorted(self._parallel)) if before else {}
        return any(now.get(key) != value for key, value in before.items())

    def majority(self, split: Split, language: str) -> dict[str, float]:
        """``Task.majority(split, language)``."""
        key = (split, language)
        if key not in self._majority:
            self._majority[key] = self.task.majority(split, language)
        return self._majority[key]

    def keep_examples(self, language: str, folder: TrialFolder) -> str:
        """Keep the test examples of a language for the sweep of a trial, unless this was done; gives their name.

        Raises:
            StorageError: they cannot be written.
        """
        place = folder.test_examples(language)  # told apart by sweep, not by trial
        if place not in self._kept_examples:
            task = self.task
            examples = TestExamples.of(
                task.examples("test", language),
                task=task.config.name,
                language=language,
                metric=task.metric,
                style=task.style,
            )
            self._kept_examples[place] = save_examples(folder, examples)
        return self._kept_examples[place]

    def tokenized(self, method: Method, tokenizer: Hashable, split: Split, language: str) -> TokenizedSplit:
        """The rows of a split, tokenized by the first trial that asks.

        Args:
            method: encodes if nobody did; methods with one `encode_all` and equal ``encoding_key()`` share the rows.
            tokenizer: names the tokenizer of the method's backbone (`BackboneHandle.tokenizer`).
            split: which split.
            language: in which language.
        """
        pieces = method.split_of(language)
        key = (tokenizer, type(method).encode_all, method.encoding_key(), pieces, split, language)
        if key not in self._tokenized:
            examples = self.task.examples(split, language)
            self._tokenized[key] = TokenizedSplit.of(method.encode_all(examples, language=language))
        self._tokenized.move_to_end(key)
        return self._tokenized[key]

    def granularity(self, method: Method, tokenizer: Hashable, split: Split, language: str) -> Granularity:
        """How finely the texts of a split are written in tokens.

        Args:
            method: its tokenizer is used, and what it says of splitting pieces further.
            tokenizer: names that tokenizer.
            split: which split.
            language: in which language.
        """
        key = (tokenizer, method.split_of(language), split, language)
        if key not in self._granularities:
            examples, own = self.task.examples(split, language), method.backbone.tokenizer
            self._granularities[key] = granularity(examples, own, method.split_of(language))
        return self._granularities[key]

    def drop_oldest_split(self) -> bool:
        """Forget the tokenized split that has not been used for longest; False if there is only one."""
        if len(self._tokenized) < 2:
            return False
        self._tokenized.popitem(last=False)
        return True


class LoadedBackbone:
    """A backbone, a copy of its weights as they were loaded, and whether a trial has been training it."""

    def __init__(self, backbone: Backbone, fingerprint: str) -> None:
        self.backbone = backbone
        self.fingerprint = fingerprint
        self.version = 0
        """Counts how often the weights were given out to be trained, or put back."""
        self._original: dict[str, Tensor] | None = None
        self._is_trained = False

    @property
    def num_bytes(self) -> int:
        """Of the weights, as they are now."""
        return sum(tensor.numel() * tensor.element_size() for _, tensor in self._tensors())

    def reset(self, *, trained: bool) -> None:
        """Put the weights back as they were loaded, in place; keep a copy first if they are to be trained."""
        if self._is_trained or trained:
            self.version += 1
        if self._is_trained:
            self._restore()
        elif trained and self._original is None:
            self._original = {name: t.detach().to("cpu", copy=True) for name, t in self._tensors()}
        for parameter in self.backbone.parameters():
            parameter.grad = None
        self._is_trained = trained

    def _restore(self) -> None:
        assert self._original is not None
        with torch.no_grad():
            for name, tensor in self._tensors():
                tensor.copy_(self._original[name])

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.backbone.named_parameters(), *self.backbone.named_buffers()]


@dataclass(frozen=True)
class BackboneHandle:
    """A backbone as one trial uses it, with its weights as they were loaded."""

    backbone: Backbone
    fingerprint: str
    """Of weights, configuration and tokenizer."""
    tokenizer: Hashable
    """Names the backbone's tokenizer among tokenized rows."""
    device: torch.device
    _loaded: LoadedBackbone
    _version: int

    @property
    def is_current(self) -> bool:
        """False once another trial got the weights to train them, or had them put back."""
        return self._version == self._loaded.version
