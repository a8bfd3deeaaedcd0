"""What it saves to read a sentence once for the questions about all of its words, on a causal language model.

    python benchmarks/shared_sentence.py

``topro_zero_shot`` asks about every word of the same sentences twice: with a row a word, sorted by length, padded to
the batch, the label words' rows of the vocabulary only and equal questions once; and with shared sentences, which give
the same logits. Both in turn, in one process on one thread, by its processor time, which a busy machine hardly
changes; the ratio is the median over the pairs. The model has random weights, which changes neither count nor clock;
two sentences of the toy world make one of natural length, and the question has as many pieces as ToPro's has in XGLM's
vocabulary.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import tunekit
from tunekit import tasks
from tunekit.backbone import Backbone, load
from tunekit.methods import Feature, Setting
from tunekit.methods.topro_zero_shot import ToProZeroShot, ToProZeroShotConfig
from tunekit.tasks import Task, TokenExample
from tunekit.toy import backbones as toy_backbones
from tunekit.training import schedule as plan
from tunekit.training.predictor import CPU_EVALUATION_TOKENS
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig

LANGUAGE = "alo"
BEFORE, AFTER = 4, 6
"""Pieces of the question before and after the asked word."""

HEADER = (
    "model", "words", "pieces, a row a word", "shared", "ratio", "words/s, a row a word", "shared", "ratio (range)",
    "logits",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One way of asking all questions."""

    pieces: int
    """Computed, padding not counted."""
    duration_s: float
    logits: list[torch.Tensor]
    """Of every word, in the order of the sentences."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=["xglm", "bloom"], choices=["xglm", "bloom"])
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--sentences", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=5, help="how often both are measured (default 5)")
    words = parser.parse_args()
    torch.set_num_threads(1)
    sentences = _sentences(words.sentences)
    with tempfile.TemporaryDirectory() as scratch:
        toy_backbones.build(replace(toy_backbones.XGLM, num_updates=1), Path(scratch) / "toy")
        tokenizer = load(BackboneConfig(name="toy"), Locations(backbone_path=str(Path(scratch) / "toy"))).tokenizer
        print(f"{_conditions()}\n\nlayers {words.layers}, width {words.width}, {len(sentences)} sentences\n")
        print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
        for architecture in words.architectures:
            backbone = _backbone(architecture, tokenizer, words.layers, words.width, Path(scratch))
            print(_row(architecture, _method(backbone), sentences, words.pairs), flush=True)
    print(f"\nload after: {_load()}")


def _sentences(number: int) -> list[TokenExample]:
    """Two sentences of the toy world at a time."""
    found: Any = tasks.load(_task_config(), Locations()).examples("test", LANGUAGE)
    return [
        TokenExample((*a.words, *b.words), (*a.labels, *b.labels))
        for a, b in zip(found[:number], found[number : 2 * number], strict=True)
    ]


def _task_config() -> TaskConfig:
    return TaskConfig(name="toy_tagging", source_language=LANGUAGE)


def _backbone(architecture: str, tokenizer: Any, layers: int, width: int, scratch: Path) -> Backbone:
    """A random model of the architecture with the toy world's vocabulary."""
    common = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    heads = width // 32
    own = {"d_model": width, "ffn_dim": 4 * width, "num_layers": layers, "attention_heads": heads}
    if architecture == "bloom":
        own = {"hidden_size": width, "n_layer": layers, "n_head": heads}
    torch.manual_seed(0)
    folder = scratch / architecture
    AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **common, **own)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(BackboneConfig(name=architecture), Locations(backbone_path=str(folder)))


def _method(backbone: Backbone) -> ToProZeroShot:
    """Asks with words of the toy world; a label's word is one piece."""
    task: Task = tasks.load(_task_config(), Locations())
    single = _single_pieces(backbone.tokenizer, task)
    front, back = (" ".join(single[:size]) for size in (BEFORE, AFTER))
    config = ToProZeroShotConfig(
        template=f"{{sentence}} {front} {{word}} {back} {{mask}}",
        verbalizer=dict(zip(task.labels, single, strict=False)),
    )
    training = TrainingConfig(max_length=256)
    setting = Setting(backbone=backbone, task=task, training=training, word_piece="last")
    return ToProZeroShot(config, setting).eval()


def _single_pieces(tokenizer: Any, task: Task) -> list[str]:
    """Words of the toy world that are one piece each."""
    examples: Any = task.examples("train", LANGUAGE)
    words = dict.fromkeys(word for example in examples for word in example.words if word.isalpha())
    return [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1]


def _row(name: str, method: ToProZeroShot, sentences: Sequence[TokenExample], pairs: int) -> str:
    shared, plain, ratios = [], [], []
    for _ in range(pairs + 1):  # the first pair warms up
        method.shares_sentence = False
        plain.append(_run(method, sentences))
        method.shares_sentence = True
        shared.append(_run(method, sentences))
        ratios.append(plain[-1].duration_s / shared[-1].duration_s)
    num_words = sum(len(sentence.words) for sentence in sentences)
    speeds = [statistics.median(num_words / run.duration_s for run in runs[1:]) for runs in (plain, shared)]
    apart = max(float((a - b).abs().max()) for a, b in zip(plain[-1].logits, shared[-1].logits, strict=True))
    pieces = [runs[0].pieces for runs in (plain, shared)]
    cells = (
        f"{num_words}",
        *(f"{count:,}" for count in pieces),
        f"{pieces[0] / pieces[1]:.1f}",
        *(f"{speed:,.0f}" for speed in speeds),
        f"{statistics.median(ratios[1:]):.1f} ({min(ratios[1:]):.1f} to {max(ratios[1:]):.1f})",
        f"differ by at most {apart:.1g}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def _run(method: ToProZeroShot, sentences: Sequence[TokenExample]) -> Run:
    """All questions of all sentences, as training's evaluation asks them; tokenizing is not measured."""
    encoded = method.encode_all(sentences)
    rows: list[Feature] = [row for each in encoded for row in each]
    first: dict[Any, int] = {}
    asked = [first.setdefault(row.question, index) for index, row in enumerate(rows)]
    lengths = [row.length for row in rows]
    found: dict[int, torch.Tensor] = {}
    started = time.process_time()
    with torch.inference_mode():
        for step in plan.steps(sorted(set(asked)), lengths, max_tokens=CPU_EVALUATION_TOKENS):
            scores = method.logits(method.collate([rows[row] for row in step]))
            found.update(zip(step, scores.split([len(rows[row].label_ids) for row in step]), strict=True))
    duration_s = time.process_time() - started
    return Run(
        pieces=sum(lengths[row] for row in set(asked)),
        duration_s=duration_s,
        logits=[scores for row in asked for scores in found[row]],
    )


def _load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def _conditions() -> str:
    from importlib.metadata import version

    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    words = " ".join(sys.argv)
    machine = f"{platform.machine()}, {os.cpu_count()} cores of which 1 is used, load before {_load()}"
    return f"`python {words}`\n\ntunekit {tunekit.__version__}, {libraries}; {machine}"


if __name__ == "__main__":
    main()
