"""The same trials by other tools: transformers' Trainer and peft, in stock Ray Tune or in an Optuna loop.

A process loads data and backbone once, and every trial puts a fresh prompt and a fresh head on that backbone. Rows are
tokenized once. Nothing is saved, which tunekit does after each epoch.

Two ways, `Setup.peers`. ``alike``: the trial is tunekit's as far as the libraries let it be: the prompt starts at
N(0, 0.02), the head is tunekit's and reads the first token of a pair or of a word. ``stock``: the prompt starts at
N(0, 1), as in peft; the head is transformers' own, for pairs behind a pooler, which is trained too where the checkpoint
has none. Dropout of the frozen backbone is `Setup.peer_dropout`, if it is given.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

IGNORED = -100
"""The label of a token that no word is read at."""
PROMPT_STD = 0.02
HEAD_DROPOUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all trials of a measurement share."""

    kind: str
    """``token`` or ``pair``."""
    labels: tuple[str, ...]
    backbone: str
    """A folder."""
    epochs: int
    batch_size: int
    max_length: int
    peers: str = "alike"
    peer_dropout: float | None = 0.0
    """Of the backbone's states and attention while it is trained on; None leaves what its config says."""
    dtype: str = "fp32"
    device: str = "cpu"
    is_grouped: bool = False
    """Batches of rows of like length."""
    num_threads: int = 1
    data: str = ""
    """A JSON file with the examples of train and dev, as `write_examples` makes it."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One trial."""

    number: int
    learning_rate: float
    prompt_length: int
    seed: int


def write_examples(path: Path, splits: dict[str, Sequence[Any]]) -> None:
    """Keep the examples that tunekit trains and scores on, so that the others have the same."""
    content = {}
    for split, examples in splits.items():
        if hasattr(examples[0], "words"):
            content[split] = [{"text": list(e.words), "labels": list(e.labels)} for e in examples]
        else:
            content[split] = [{"text": [e.text_a, e.text_b], "labels": [e.label]} for e in examples]
    path.write_text(json.dumps(content))


class Peer:
    """Data and backbone in a process, and trials on them one after the other."""

    def __init__(self, setup: Setup) -> None:
        import torch
        import transformers
        from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        logging.getLogger("peft").setLevel(logging.ERROR)
        torch.set_num_threads(setup.num_threads)
        self.setup = setup
        self.tokenizer = AutoTokenizer.from_pretrained(setup.backbone)
        examples = json.loads(Path(setup.data).read_text())
        self.rows = {split: [self._row(e) for e in found] for split, found in examples.items()}
        if setup.kind == "token":
            # A long sentence is cut here; tunekit splits it into windows. So the texts must fit.
            cut = sum(self._is_cut(e) for found in examples.values() for e in found)
            if cut:
                raise ValueError(f"{cut} sentences are longer than max_length {setup.max_length}; raise it")
        auto = AutoModelForTokenClassification if setup.kind == "token" else AutoModelForSequenceClassification
        changes: dict[str, Any] = {}
        if setup.peer_dropout is not None:
            changes = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), setup.peer_dropout)
            changes["classifier_dropout"] = HEAD_DROPOUT
        # Without a dtype transformers keeps that of the checkpoint: float16 is many times slower on a CPU.
        self.model = auto.from_pretrained(setup.backbone, num_labels=len(setup.labels), dtype=torch.float32, **changes)
        self._body_name = self.model.base_model_prefix
        self._stock_head = self.model.classifier
        self._pooler_at_first = {name: p.detach().clone() for name, p in self._pooler().items()}

    def train(self, spec: Spec) -> dict[str, Any]:
        """One trial; gives dev scores by epoch, seconds and parameters."""
        import torch
        from transformers import Trainer, set_seed

        start = time.perf_counter()
        set_seed(spec.seed)
        model = self._with_adapter(spec)
        trainer = Trainer(
            model=model,
            args=self._arguments(spec),
            train_dataset=self.rows["train"],
            eval_dataset=self.rows["dev"],
            data_collator=self._collator(),
            compute_metrics=partial(_accuracy, kind=self.setup.kind),
        )
        trainer.train()
        curve = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
        peak = torch.cuda.max_memory_allocated() if self.setup.device == "cuda" else 0
        return {
            "number": spec.number,
            "curve": curve,
            "value": max(curve),
            "num_updates": trainer.state.global_step,
            "num_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "duration_s": time.perf_counter() - start,
            "peak_device_bytes": peak,
        }

    def _with_adapter(self, spec: Spec) -> Any:
        """The backbone with a fresh prompt and head; what an earlier trial put there is gone."""
        import torch
        from peft import PrefixTuningConfig, get_peft_model

        self.model.classifier = self._fresh_head()
        task = "TOKEN_CLS" if self.setup.kind == "token" else "SEQ_CLS"
        config = PrefixTuningConfig(task_type=task, num_virtual_tokens=spec.prompt_length)
        model = get_peft_model(self.model, config)
        if self.setup.peers == "alike":
            torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight, std=PROMPT_STD)
        pooler = self._pooler()
        with torch.no_grad():
            for name, parameter in pooler.items():
                parameter.copy_(self._pooler_at_first[name])
                parameter.requires_grad_(True)
        return model

    def _fresh_head(self) -> Any:
        import torch

        if self.setup.peers == "stock":
            head = copy.deepcopy(self._stock_head)
            for layer in head.modules():
                if isinstance(layer, torch.nn.Linear):
                    torch.nn.init.normal_(layer.weight, std=self.model.config.initializer_range)
                    torch.nn.init.zeros_(layer.bias)
            return head.requires_grad_(True)
        body = getattr(self.model, self._body_name)
        if getattr(body, "pooler", None) is not None:
            body.pooler = torch.nn.Identity()
        self.model.dropout = torch.nn.Identity()  # the head has its own
        return _head(self.model.config.hidden_size, len(self.setup.labels), of_first=self.setup.kind == "pair")

    def _pooler(self) -> dict[str, Any]:
        """Parameters of a pooler, by name; none where there is no pooler."""
        pooler = getattr(getattr(self.model, self._body_name), "pooler", None)
        return {} if pooler is None else dict(pooler.named_parameters())

    def _arguments(self, spec: Spec) -> Any:
        from transformers import TrainingArguments

        setup = self.setup
        return TrainingArguments(
            output_dir=str(Path(setup.data).parent / "trainer"),
            num_train_epochs=setup.epochs,
            per_device_train_batch_size=setup.batch_size,
            per_device_eval_batch_size=64,
            learning_rate=spec.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=0,
            weight_decay=0.0,
            max_grad_norm=1.0,
            seed=spec.seed,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=setup.device == "cpu",
            bf16=setup.dtype == "bf16",
            dataloader_pin_memory=setup.device != "cpu",
            label_names=["labels"],
            train_sampling_strategy="group_by_length" if setup.is_grouped else "random",
        )

    def _row(self, example: dict[str, Any]) -> dict[str, Any]:
        ids = {label: index for index, label in enumerate(self.setup.labels)}
        options = {"truncation": True, "max_length": self.setup.max_length}
        if self.setup.kind == "pair":
            row = dict(self.tokenizer(*example["text"], **options))
            return {**row, "labels": ids[example["labels"][0]]}
        encoded = self.tokenizer(example["text"], is_split_into_words=True, **options)
        labels, previous = [], None
        for word in encoded.word_ids():
            is_first = word is not None and word != previous
            labels.append(ids.get(example["labels"][word], IGNORED) if is_first else IGNORED)
            previous = word
        return {**dict(encoded), "labels": labels}

    def _is_cut(self, example: dict[str, Any]) -> bool:
        whole = self.tokenizer(example["text"], is_split_into_words=True)
        return len(whole["input_ids"]) > self.setup.max_length

    def _collator(self) -> Callable[..., Any]:
        from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

        if self.setup.kind == "token":
            return DataCollatorForTokenClassification(self.tokenizer)
        return DataCollatorWithPadding(self.tokenizer)


def _head(width: int, num_labels: int, *, of_first: bool) -> Any:
    """tunekit's head; `of_first`: it reads the first token of each row, else every token."""
    import torch

    from tunekit.methods.parts.head import Head

    class _Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = Head(width, num_labels, dropout=HEAD_DROPOUT)

        def forward(self, hidden: Any) -> Any:
            return self.head(hidden[:, 0] if of_first else hidden)

    return _Head()


def _accuracy(predicted: Any, *, kind: str) -> dict[str, float]:
    """Share of words or pairs that are right; tokens that no word is read at are left out."""
    logits, labels = predicted.predictions, predicted.label_ids
    if isinstance(logits, tuple):
        logits = logits[0]
    counted = labels != IGNORED if kind == "token" else labels == labels
    return {"accuracy": float((logits.argmax(-1) == labels)[counted].mean())}


def run_loop(setup: Setup, specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """All trials one after the other in this process, without any search library."""
    peer = Peer(setup)
    return [peer.train(spec) for spec in specs]


def run_optuna(setup: Setup, specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """All trials one after the other in this process; an Optuna study is asked for each and told its score."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    peer = Peer(setup)
    study = optuna.create_study(direction="maximize")
    by_number = {spec.number: spec for spec in specs}
    for spec in specs:
        study.enqueue_trial({"number": spec.number})
    found = []
    for _ in specs:
        trial = study.ask()
        result = peer.train(by_number[trial.suggest_categorical("number", list(by_number))])
        study.tell(trial, result["value"])
        found.append(result)
    return found


def run_tune(setup: Setup, specs: Sequence[Spec], workers: int) -> list[dict[str, Any]]:
    """All trials by stock Ray Tune: a class trainable of one CPU, actors reused, data and backbone kept in them."""
    import os

    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    import ray
    from ray import tune

    class Trainable(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.peer = Peer(setup)
            self.spec = config["spec"]

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.spec = config["spec"]
            return True

        def step(self) -> dict[str, Any]:
            return {"found": self.peer.train(Spec(**self.spec)), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing: Tune asks for it at the end of a trial, and a class without this method would fail."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing either."""

    needs_gpu = setup.device == "cuda"
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    share = {"CPU": 1, **({"GPU": 1 / workers} if needs_gpu else {})}
    tuner = tune.Tuner(
        tune.with_resources(Trainable, share),
        param_space={"spec": tune.grid_search([vars(spec) for spec in specs])},
        tune_config=tune.TuneConfig(max_concurrent_trials=workers, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(Path(setup.data).parent / "tune"), verbose=0),
    )
    results = tuner.fit()
    ray.shutdown()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} trials failed: {results.errors[0]}")
    return [result.metrics["found"] for result in results]
