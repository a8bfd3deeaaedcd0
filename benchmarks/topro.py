"""Prompts a second of ToPro on an encoder: tunekit against the straightforward way and against an expert's plain one.

    python benchmarks/topro.py                       # both shapes, prediction and training
    python benchmarks/topro.py --shapes mini --phases predict --sentences 100 --languages en zh

All answer the same prompts of real PAN-X sentences, tokenized before the clock starts, with the same weights:

- ``straightforward``: as published. Batches of 8, padded to 128, the vocabulary head over all positions and entries.
- ``expert``: transformers' model on rows sorted by length and padded to the batch, as many as tunekit computes at once;
  the head at the mask only, over all entries.
- ``tunekit``: this library's evaluation and training, as a trial runs them.
- ``tunekit, torch's products``: the same without ``backbone.linear``, which lets oneDNN multiply on AMD processors;
  elsewhere it is the row above.
- ``tunekit, bf16`` (with --bf16): the same in bf16.
- ``share_sentence``: the variant of the method of that name. Another model: its answers are not compared.

One process, one thread, by its processor time, which a busy machine hardly changes. Every round runs all of them in
turn; a ratio is the median over the rounds, with its range. The straightforward way is measured on the first
--slow-prompts prompts only: padded as they are, all cost it the same. Shape ``base`` is xlm-roberta-base's with random
weights; ``mini`` is the real model in --model. In training an update takes 32 prompts, without dropout.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer
from transformers import logging as transformers_logging

import tunekit
from tunekit import tasks
from tunekit.backbone import Backbone, linear
from tunekit.backbone.shapes import shape_of
from tunekit.backbone.vocabulary import taken_apart
from tunekit.methods import Feature, pad_rows
from tunekit.tasks import Example, Task
from tunekit.training import schedule as plan
from tunekit.training.caches import WorkerCache
from tunekit.training.joint import predict, train_epoch
from tunekit.training.learner import Learner
from tunekit.training.predictor import CPU_EVALUATION_TOKENS
from tunekit.trial import TOKENS_PER_STEP, BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

SHARED = Path(os.environ.get("TUNEKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
reports: Any = transformers_logging  # transformers leaves these untyped
STRAIGHTFORWARD, EXPERT, OURS, PLAIN, SHARING = (
    "straightforward", "expert", "tunekit", "tunekit, torch's products", "share_sentence",
)  # fmt: skip
BF16 = "tunekit, bf16"
PADDED, SLOW_BATCH, BATCH = 128, 8, 32
SEED = 1


@dataclass(frozen=True)
class Run:
    """One way's work in one round."""

    num_prompts: int
    duration_s: float
    answers: list[int]
    """Label of every prompt; in training none."""
    losses: list[float]
    """Predicting: of every prompt. Training: the mean of each update."""


def main() -> None:
    """Measure all shapes and phases, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["mini", "base"], choices=["mini", "base"])
    parser.add_argument("--phases", nargs="+", default=["predict", "train"], choices=["predict", "train"])
    parser.add_argument("--languages", nargs="+", default=["en"], help="of the sentences predicted (default en)")
    parser.add_argument("--sentences", type=int, default=60, help="predicted, in each language (default 60)")
    parser.add_argument("--updates", type=int, default=2, help="of the optimiser, in a round (default 2)")
    parser.add_argument("--slow-prompts", type=int, default=32, help="asked in the straightforward way (default 32)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--bf16", action="store_true", help="measure bf16 too")
    parser.add_argument("--model", type=Path, default=SHARED / "models" / "mini-xlmr", help="folder of a masked model")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "xtreme", help="folder that holds panx/")
    words = parser.parse_args()
    torch.set_num_threads(1)
    reports.disable_progress_bar()
    print(f"`python {' '.join(sys.argv)}`\n\n{_conditions()}")
    for shape in words.shapes:
        for phase in words.phases:
            bench = Bench(shape, phase, words)
            runs = bench.rounds(bench.predicting() if phase == "predict" else bench.training())
            print(f"\n{shape}, {phase}: {bench.facts(phase)}\n\n{_table(runs, phase)}", flush=True)


class Bench:
    """One shape: its model, its prompts, and every way of asking them."""

    def __init__(self, shape: str, phase: str, words: argparse.Namespace) -> None:
        self._words, self._shape = words, shape
        self._tokenizer: Any = AutoTokenizer.from_pretrained(words.model)
        self._task = _Recorder.of_folder(words)
        # Training begins from a model of its own each time, one in memory at once; here it only makes the rows.
        self._model = self._fresh("tiny" if phase == "train" else shape)
        self._ours = self.learner(self._model)
        method: Any = self._ours.method
        self._languages = tuple(words.languages)
        self._rows = {name: self._ours.tokenized("test", name).rows for name in self._languages}
        self._pieces = torch.tensor(method.verbalizer.token_ids)

    def facts(self, phase: str) -> str:
        """What is asked."""
        rows = [row for found in self._rows.values() for row in found]
        if phase == "train":
            return f"{self._words.updates} updates of {BATCH} prompts"
        different = len({row.question for row in rows})
        mean = statistics.mean(row.length for row in rows)
        texts = f"{self._words.sentences} sentences in each of {' '.join(self._languages)}"
        return f"{len(rows)} prompts ({different} different, {mean:.0f} pieces on average) of {texts}"

    def _fresh(self, shape: str | None = None) -> Any:
        """The model as it is before any update."""
        return _model(shape or self._shape, self._words.model)

    def learner(self, model: Any, *, dtype: Any = "fp32", batch_size: int = BATCH, **options: Any) -> Learner:
        """tunekit's own, with the weights of `model`, which itself stays as transformers made it."""
        words, weights = self._words, {id(parameter): parameter for parameter in model.parameters()}
        model = copy.deepcopy(model, weights)  # modules of its own around the same weights
        config = TrialConfig(
            task=self._task.config,
            backbone=BackboneConfig(name="model", dtype=dtype),
            method="topro",
            options=options,
            training=TrainingConfig(
                epochs=1, updates_per_epoch=words.updates, batch_size=batch_size, max_length=PADDED
            ),
            seed=SEED,
        )

        def load(*_: Any) -> Backbone:
            body, head = taken_apart(model)
            return Backbone("model", body, self._tokenizer, dtype=dtype, vocabulary_head=head).eval()

        cache = WorkerCache(
            load_task=lambda *_: self._task, load_backbone=load, fingerprint_backbone=lambda *_: "made here"
        )
        return Learner(config, locations=Locations(device="cpu"), cache=cache, tokens_per_step=TOKENS_PER_STEP)

    def rounds(self, ways: dict[str, Callable[[], Run]]) -> dict[str, list[Run]]:
        """Every way once a round, each round beginning with another."""
        names = list(ways)
        found: dict[str, list[Run]] = {name: [] for name in names}
        for number in range(self._words.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found[name].append(ways[name]())
        return found

    # Prediction

    def predicting(self) -> dict[str, Callable[[], Run]]:
        """By name, what answers all prompts once."""
        sharing = self.learner(self._model, share_sentence=True)
        ways = {
            STRAIGHTFORWARD: lambda: self._answered(self._straightforward, self._words.slow_prompts),
            EXPERT: lambda: self._answered(self._expert, None),
            OURS: lambda: self._evaluated(self._ours),
            PLAIN: lambda: _without_products(lambda: self._evaluated(self._ours)),
            SHARING: lambda: self._evaluated(sharing),
        }
        if self._words.bf16:
            half = self.learner(self._fresh(), dtype="bf16")
            ways[BF16] = lambda: self._evaluated(half)
        return ways

    def _answered(self, ask: Callable[[Sequence[Feature]], Tensor], num_prompts: int | None) -> Run:
        rows = [row for found in self._rows.values() for row in found][:num_prompts]
        with torch.inference_mode():
            started = time.process_time()
            logits = ask(rows)
            answers = logits.argmax(-1).tolist()
            duration = time.process_time() - started
        gold = torch.tensor([label for row in rows for label in row.label_ids])
        losses = torch.nn.functional.cross_entropy(logits, gold, reduction="none").tolist()
        return Run(len(rows), duration, answers, losses)

    def _straightforward(self, rows: Sequence[Feature]) -> Tensor:
        return torch.cat([self._full(self._model, rows[i : i + SLOW_BATCH]) for i in range(0, len(rows), SLOW_BATCH)])

    def _expert(self, rows: Sequence[Feature]) -> Tensor:
        logits = torch.empty(len(rows), len(self._task.labels))
        for step in plan.steps(range(len(rows)), [row.length for row in rows], max_tokens=CPU_EVALUATION_TOKENS):
            logits[list(step)] = self._at_mask(self._model, [rows[row] for row in step])
        return logits

    def _full(self, model: Any, rows: Sequence[Feature]) -> Tensor:
        """Padded to the limit, the head everywhere."""
        inputs = pad_rows(rows, self._tokenizer.pad_token_id)
        fill = PADDED - inputs.input_ids.shape[1]
        ids = torch.nn.functional.pad(inputs.input_ids, (0, fill), value=self._tokenizer.pad_token_id)
        mask = torch.nn.functional.pad(inputs.attention_mask, (0, fill))
        logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
        return logits[torch.arange(len(rows)), [row.reads[0][0] for row in rows]][:, self._pieces]

    def _at_mask(self, model: Any, rows: Sequence[Feature]) -> Tensor:
        """Padded to the longest, the whole head at the mask."""
        inputs = pad_rows(rows, self._tokenizer.pad_token_id)
        hidden = model.base_model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state
        states = hidden[torch.arange(len(rows)), [row.reads[0][0] for row in rows]]
        logits: Tensor = (model.lm_head if hasattr(model, "lm_head") else model.cls)(states)
        return logits[:, self._pieces]

    def _evaluated(self, learner: Learner) -> Run:
        for name in self._languages:
            learner.tokenized("test", name)  # tokenized before the clock starts, as for the others
        self._task.answers = []
        started = time.process_time()
        for name in self._languages:
            learner.score("test", name, predict(learner, "test", name))
        duration = time.process_time() - started
        answers = [self._task.labels.index(label) for sentence in self._task.answers for label in sentence]
        return Run(len(answers), duration, answers, self._losses(learner))

    def _losses(self, learner: Learner) -> list[float]:
        """Of every prompt, in the order of the sentences."""
        found: list[float] = []
        with torch.inference_mode():
            for name in self._languages:
                rows = learner.tokenized("test", name).rows
                for start in range(0, len(rows), BATCH):
                    batch = learner.method.collate(rows[start : start + BATCH])
                    logits = learner.method.logits(batch)
                    found += torch.nn.functional.cross_entropy(logits, batch.label_ids, reduction="none").tolist()
        return found

    # Training

    def training(self) -> dict[str, Callable[[], Run]]:
        """By name, what makes the same updates on the same prompts from the same start."""
        train = self._ours.train_rows
        sentences = max(1, round(BATCH * len(train.spans) / len(train.rows)))
        return {
            STRAIGHTFORWARD: lambda: self._updated(self._slow_parts, self._full),
            EXPERT: lambda: self._updated(self._sorted_parts, self._at_mask),
            OURS: self._trained,
            PLAIN: lambda: _without_products(self._trained),
            SHARING: lambda: self._trained(batch_size=sentences, share_sentence=True),
        }

    @staticmethod
    def _updates(learner: Learner) -> list[list[Feature]]:
        """The rows of each update, as a trial draws them."""
        rows, training = learner.train_rows, learner.config.training
        return [[rows.rows[i] for i in u] for u in plan.epoch_updates(rows.lengths, training, seed=SEED, epoch=1)]

    def _updated(
        self,
        parts_of: Callable[[list[Feature]], list[list[Feature]]],
        logits_of: Callable[[Any, Sequence[Feature]], Tensor],
    ) -> Run:
        model, updates = self._fresh(), self._updates(self._ours)
        peak = TrainingConfig().learning_rate
        optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.0, eps=1e-8, fused=True)
        losses, started = [], time.process_time()
        for number, rows in enumerate(updates):
            optimizer.zero_grad(set_to_none=True)
            total = 0.0
            for part in parts_of(rows):
                gold = torch.tensor([row.label_ids[0] for row in part])
                loss = torch.nn.functional.cross_entropy(logits_of(model, part), gold, reduction="sum") / len(rows)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = peak * (len(updates) - number) / len(updates)
            optimizer.step()
            losses.append(total)
        return Run(sum(map(len, updates)), time.process_time() - started, [], [statistics.mean(losses)])

    @staticmethod
    def _slow_parts(rows: list[Feature]) -> list[list[Feature]]:
        return [rows[i : i + SLOW_BATCH] for i in range(0, len(rows), SLOW_BATCH)]

    @staticmethod
    def _sorted_parts(rows: list[Feature]) -> list[list[Feature]]:
        lengths = [row.length for row in rows]
        budget = TOKENS_PER_STEP
        return [[rows[i] for i in step] for step in plan.steps(range(len(rows)), lengths, max_tokens=budget)]

    def _trained(self, **changes: Any) -> Run:
        learner = self.learner(self._fresh(), **changes)
        num_prompts = sum(len(row.label_ids) for rows in self._updates(learner) for row in rows)
        started = time.process_time()
        loss = train_epoch(learner, 1)
        return Run(num_prompts, time.process_time() - started, [], [loss])


class _Recorder(Task):
    """A task that keeps what it was asked to score."""

    answers: list[Sequence[str]]

    @classmethod
    def of_folder(cls, words: argparse.Namespace) -> _Recorder:
        """PAN-X from files; train in English."""
        targets = tuple(name for name in words.languages if name != "en")
        config = TaskConfig(
            name="panx", target_languages=targets, max_train_examples=200, max_test_examples=words.sentences
        )
        real = tasks.load(config, Locations(data_dir=str(words.data)))
        found = cls(config, kind="token", read=real.examples, labels=real.labels, metric=real.metric)
        found.answers = []
        return found

    def score(self, examples: Sequence[Example], predictions: Any) -> dict[str, float]:
        """Nothing: the clock is about the answers."""
        self.answers += cast("Sequence[Sequence[str]]", predictions)
        return {}


def _model(shape: str, folder: Path) -> Any:
    """A masked language model from transformers, in fp32 and without dropout."""
    off: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    masked: Any = AutoModelForMaskedLM  # transformers leaves it half typed
    if shape == "mini":
        return masked.from_pretrained(folder, dtype=torch.float32, **off).eval()
    torch.manual_seed(0)
    settings: dict[str, Any] = cast(Any, shape_of("xlm-roberta-base")).to_dict()
    if shape == "tiny":
        off |= {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 12}
    return masked.from_config(AutoConfig.for_model(**{**settings, **off})).eval()


@contextlib.contextmanager
def _torchs_products() -> Iterator[None]:
    before = linear.MIN_MULTIPLICATIONS
    linear.MIN_MULTIPLICATIONS = sys.maxsize
    try:
        yield
    finally:
        linear.MIN_MULTIPLICATIONS = before


def _without_products(run: Callable[[], Run]) -> Run:
    with _torchs_products():
        return run()


def _table(runs: dict[str, list[Run]], phase: str) -> str:
    header = ["way", "prompts/s", f"x {STRAIGHTFORWARD}", f"x {EXPERT}", "largest difference of a loss", "n"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, found in runs.items():
        rates = [run.num_prompts / run.duration_s for run in found]
        ratios = [_ratio(rates, runs[other]) if name != other else "-" for other in (STRAIGHTFORWARD, EXPERT)]
        cells = [
            name,
            f"{statistics.median(rates):.1f}",
            *ratios,
            _difference(name, found, runs[EXPERT]),
            str(len(found)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratio(rates: Sequence[float], others: Sequence[Run]) -> str:
    found = [rate / (run.num_prompts / run.duration_s) for rate, run in zip(rates, others, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


def _difference(name: str, found: Sequence[Run], expert: Sequence[Run]) -> str:
    """Of losses from the expert's, and of answers where there are any."""
    if name == SHARING:
        return "another model"
    pairs = list(zip(found, expert, strict=True))
    losses = max(abs(a - b) for one, other in pairs for a, b in zip(one.losses, other.losses, strict=False))
    if not found[0].answers:
        return f"{losses:.1e}"
    unequal = sum(a != b for one, other in pairs for a, b in zip(one.answers, other.answers, strict=False))
    return f"{losses:.1e}, {unequal} other answers"


def _conditions() -> str:
    from importlib.metadata import version

    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    onednn = "oneDNN multiplies" if linear.is_onednn_faster() else "torch's own products"
    return f"tunekit {tunekit.__version__}, {libraries}; {platform.machine()}, one thread, {onednn}; load before {load}"


if __name__ == "__main__":
    main()
