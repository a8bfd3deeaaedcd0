"""A tiny world for tests of training: a task of generated words, a random BERT that knows them, methods that go wrong.

Everything is found by name like the real things (``fakes:load_words``, ``fakes:Diverging``), so tests go through the
same doors as a user's own package does.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tunekit.methods import Batch, Setting
from tunekit.methods.finetune import Finetune
from tunekit.methods.ptuning_v2 import PTuningV2
from tunekit.tasks import Example, Task, TokenExample
from tunekit.training import device
from tunekit.trial import Locations, TaskConfig

WORDS = tuple(f"w{number}" for number in range(30))
LABELS = ("A", "B", "C")
SIZES = {"train": 44, "dev": 20, "test": 16}


def load_words(config: TaskConfig, locations: Locations) -> Task:
    """Sentences of 2 to 12 words; a word's number decides its label. Languages use different words."""

    def read(split: str, language: str) -> Sequence[Example]:
        generator = random.Random(f"{split} {language}")
        words = WORDS[::2] if language == "en" else WORDS[1::2]
        return [_sentence(generator, words) for _ in range(SIZES[split])]

    return Task(config, kind="token", read=read, labels=LABELS)


def _sentence(generator: random.Random, words: Sequence[str]) -> TokenExample:
    chosen = tuple(generator.choices(words, k=generator.randint(2, 12)))
    return TokenExample(chosen, tuple(LABELS[int(word[1:]) % len(LABELS)] for word in chosen))


def save_backbone(folder: Path) -> Path:
    """A random BERT of two layers in the hub's format."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    names = dict(zip(("pad_token", "cls_token", "sep_token", "unk_token", "mask_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
        BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    return folder


class Diverging(Finetune):
    """The loss is no number from the fifth update on."""

    num_losses = 0

    def loss(self, batch: Batch) -> torch.Tensor:
        self.num_losses += 1
        return super().loss(batch) * (float("nan") if self.num_losses >= 5 else 1.0)


class FailsWithoutFlag(Finetune):
    """Trains only where the file named by ``$TUNEKIT_TEST_FLAG`` is there."""

    def loss(self, batch: Batch) -> torch.Tensor:
        if not Path(os.environ["TUNEKIT_TEST_FLAG"]).exists():
            raise RuntimeError("there is no flag")
        return super().loss(batch)


class Ends(Finetune):
    """Ends the process that trains it, in the way that ``$TUNEKIT_TEST_END`` names."""

    def loss(self, batch: Batch) -> torch.Tensor:
        match os.environ["TUNEKIT_TEST_END"]:
            case "exit":
                os._exit(7)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(10_000)
            case "SystemExit":
                raise SystemExit(3)
            case "quiet SystemExit":
                raise SystemExit
            case "GeneratorExit":
                raise GeneratorExit
            case "CancelledError":
                raise asyncio.CancelledError
            case "device":
                device._is_silent = lambda _: True  # from now on, whatever is computed
                raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might")
            case "surrogate":
                raise ValueError("no such file: caf\udce9 \ud800")
            case "no message":
                raise _Unspeakable
            case "long message":
                raise ValueError("x" * 1_000_000)
        return super().loss(batch)


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Slow(Finetune):
    """Takes 20 ms more for each batch that it trains on."""

    def loss(self, batch: Batch) -> torch.Tensor:
        time.sleep(0.02)
        return super().loss(batch)


class Greedy(Finetune):
    """Wants more memory than there is."""

    def loss(self, batch: Batch) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB.")


class Talking(Finetune):
    """Prints more than any buffer holds for each batch that it trains on."""

    def loss(self, batch: Batch) -> torch.Tensor:
        print("loss " * 4000)
        return super().loss(batch)


class Narrow(Finetune):
    """Finds memory for 32 padded tokens at once, and asks torch for a million terabytes where there are more."""

    def loss(self, batch: Batch) -> torch.Tensor:
        if batch.inputs.input_ids.numel() > 32:
            torch.empty(10**18, dtype=torch.uint8)
        return super().loss(batch)


UPDATES = "TUNEKIT_TEST_UPDATES"
"""Environment variable that names the file in which counted methods note every batch they train on."""


class _Counted:
    """Notes every batch it trains on where no checkpoint and no restart can undo it: a line in a file."""

    def __init__(self, config: Any, setting: Setting) -> None:
        self._who = f"{setting.training.learning_rate!r} {torch.initial_seed()}\n".encode()
        super().__init__(config, setting)  # type: ignore[call-arg]

    def loss(self, batch: Batch) -> torch.Tensor:
        if self.training:  # type: ignore[attr-defined]
            file = os.open(os.environ[UPDATES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, self._who)
            os.close(file)
        return super().loss(batch)  # type: ignore[misc]


class CountedFinetune(_Counted, Finetune):
    """Fine-tuning that leaves a trace of all its work."""


class CountedPTuningV2(_Counted, PTuningV2):
    """P-tuning v2 that leaves a trace of all its work."""


class PackedPTuningV2(PTuningV2):
    """P-tuning v2 that may be packed, unless it has a projection."""

    @classmethod
    def packs(cls, config: Any) -> bool:
        return not config.projection


class EndsPacked(PackedPTuningV2):
    """Ends its process where the learning rate is the one that ``$TUNEKIT_TEST_CULPRIT`` names."""

    def __init__(self, config: Any, setting: Setting) -> None:
        self._is_culprit = repr(setting.training.learning_rate) == os.environ.get("TUNEKIT_TEST_CULPRIT")
        super().__init__(config, setting)

    def loss(self, batch: Batch) -> torch.Tensor:
        if self._is_culprit:
            raise SystemExit(3)
        return super().loss(batch)
