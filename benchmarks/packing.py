"""Trials trained at once through one frozen backbone, against the same trials one after the other. No sweep.

    python benchmarks/packing.py                                             # mini-xlmr on a CPU
    python benchmarks/packing.py --backbone xlm-roberta-base --device cuda --members 1 2 4 8 16 32 64 --processes 8

K = 1, 2, 4, 8, ... members with prompts of mixed lengths and rates and seeds of their own make some updates each, on
rows of random tokens; nothing is evaluated or saved. First all of them one after the other (solo), then K at once. For
each K: what an update of all members takes, tokens of text per second, trials per hour, how many times solo that is,
the share of the arithmetic limit, peak memory, and the largest relative difference of a loss from the solo one.
With ``--processes N`` also N processes at the same time on the same device, one member each.

The arithmetic limit is a large matrix product of the same number format on the same device, measured here. What an
update has to compute: two operations for each weight of the linear layers and token, forward and again backward (the
first layer's queries, keys and values have no backward pass under deep prompts, and the last layer of an encoder is
computed only where it is read), and the products inside attention. A well-known hub model is built in its shape with
random weights where ``--backbone`` is its name, so no file is needed.

On a CPU memory is the highest resident memory of a process that does nothing else; on a GPU what torch allocated.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
import torch

from tunekit.backbone import Backbone, load
from tunekit.backbone.architectures import architecture_of
from tunekit.backbone.linear import OneDnnLinear, is_onednn_faster
from tunekit.backbone.loading import language_models
from tunekit.backbone.shapes import shape_of
from tunekit.backbone.vocabulary import taken_apart
from tunekit.methods import Feature
from tunekit.tasks import PairExample, Split, Task, TokenExample
from tunekit.training import WorkerCache
from tunekit.training.joint import carry_out, train_epoch
from tunekit.training.learner import Learner, Update
from tunekit.training.loaded import TokenizedSplit
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig
from tunekit.wording import plural

LABELS = {"pair": 3, "token": 17}
PROMPT_LENGTHS = (4, 16, 8, 32)
LEARNING_RATES = (1e-2, 3e-3, 1e-3, 3e-2)
NUM_ROWS = 512
TOY = {
    "model_type": "bert",
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
PRODUCT_SIZE = {"cpu": 1536, "cuda": 8192}
"""Rows and columns of the matrices whose product is the arithmetic limit."""


def train_together(members: Sequence[Learner], updates: range) -> list[list[float]]:
    """Make `updates` (0-based) of every member, those of all members at once; gives each member's loss at each.

    An epoch of a member is one update.

    Raises:
        TrialFailed: a loss is no longer finite, or memory does not suffice.
    """
    losses: list[list[float]] = [[] for _ in members]
    for update in updates:
        asking = [member.epoch(update + 1) for member in members]
        for mine, generator, done in zip(losses, asking, carry_out([next(one) for one in asking]), strict=True):
            if isinstance(done, Exception):
                raise done
            mine.append(_end(generator, done))
    return losses


def _end(generator: Generator[Update, Any, float], answer: Any) -> float:
    """The mean loss of an epoch whose last update is answered so."""
    try:
        generator.send(answer)
    except StopIteration as end:
        return float(end.value)
    raise RuntimeError("a member's epoch has more than one update")


def train_one_by_one(members: Sequence[Learner], updates: range) -> list[list[float]]:
    """The same, each member to its end before the next."""
    return [[train_epoch(member, update + 1) for update in updates] for member in members]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is trained, but for how many."""

    backbone: str
    method: str
    kind: str
    batch_size: int
    row_length: int
    is_mixed: bool
    """Rows from half of `row_length` to all of it."""
    dtype: str
    device: str
    threads: int
    warmup: int
    updates: int

    @property
    def total(self) -> int:
        """All updates of a member."""
        return self.warmup + self.updates


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Some members, trained."""

    num_members: int
    duration_s: float
    """Of the updates after the warm-up."""
    losses: list[list[float]]
    """Of each member at each update, warm-up included."""
    num_tokens: int
    """Of the text, in the updates that were timed."""
    num_operations: float
    """That they have to compute."""
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every batch size and K, and print a table."""
    words = _parser().parse_args(arguments)
    torch.set_num_threads(words.threads)
    if words.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch finds no CUDA device here")
    peak = product_rate(words.dtype, words.device)
    print(f"{measuring.conditions()}\n\n{_in_words(words)}\nlimit: {peak / 1e9:,.0f} GFLOP/s (a product of matrices "
          f"{PRODUCT_SIZE[words.device]} x {PRODUCT_SIZE[words.device]})\n")  # fmt: skip
    print(measuring.table(HEADER, ()), flush=True)
    found = []
    for batch_size in words.batch:
        rows = _measure_batch_size(words, _shape(words, batch_size), peak)
        found += rows
    if words.out:
        content = {"conditions": measuring.conditions(), "arguments": _plain(words), "limit": peak, "rows": found}
        words.out.write_text(json.dumps(content, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--backbone", default=None, help="a hub model's name, a folder, or toy (default: mini-xlmr of the shared data)")
    add("--method", default="ptuning_v2", choices=["ptuning_v2", "prompt_tuning", "lora", "bitfit"])
    add("--kind", choices=sorted(LABELS), default="pair", help="one label a row, or one a token")
    add("--members", type=int, nargs="+", default=[1, 2, 4, 8], help="K (default 1 2 4 8)")
    add("--batch", type=int, nargs="+", default=[8, 32], help="rows of each member (default 8 32)")
    add("--row-length", type=int, default=40)
    add("--mixed", action="store_true", help="rows from half of --row-length to all of it")
    add("--updates", type=int, default=8, help="timed (default 8)")
    add("--warmup", type=int, default=2, help="made before (default 2)")
    add("--trial-updates", type=int, default=60, help="of a trial, for trials per hour (default: few-shot, 60)")
    add("--dtype", choices=["fp32", "bf16"], default="fp32")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--threads", type=int, default=1)
    add("--processes", type=int, default=0, help="also so many processes at the same time, one member each")
    add("--out", type=Path, help="write everything as JSON")
    return parser


def _shape(words: argparse.Namespace, batch_size: int) -> Shape:
    return Shape(
        backbone=words.backbone or str(measuring.shared_folder() / "models" / "mini-xlmr"),
        method=words.method,
        kind=words.kind,
        batch_size=batch_size,
        row_length=words.row_length,
        is_mixed=words.mixed,
        dtype=words.dtype,
        device=words.device,
        threads=words.threads,
        warmup=words.warmup,
        updates=words.updates,
    )


HEADER = (
    "batch", "K", "how", "update ms", "ms a member", "tokens/s", "trials/h", "times solo", "of the limit",
    "memory MB", "of K = 1", "loss differs",
)  # fmt: skip


def _measure_batch_size(words: argparse.Namespace, shape: Shape, peak: float) -> list[dict[str, Any]]:
    """Solo, each K, and processes at the same time; each row is printed as soon as it is known."""
    found: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        row = {"batch": shape.batch_size, **row}
        found.append(row)
        print("| " + " | ".join(_cell(row, name) for name in HEADER) + " |", flush=True)

    solo = _somewhere(shape, max(words.members), "solo")
    solo_s = solo.duration_s / shape.updates / solo.num_members
    tell(row_of(solo, words, peak, solo_s) | {"K": 1, "how": "solo", "update ms": 1e3 * solo_s})
    first_bytes: int | None = None
    for count in sorted(words.members):
        packed = _somewhere(shape, count, "pack")
        first_bytes = packed.peak_bytes if first_bytes is None else first_bytes
        row = row_of(packed, words, peak, solo_s) | {"how": "pack", "of K = 1": packed.peak_bytes / first_bytes}
        tell(row | {"loss differs": largest_difference(packed.losses, solo.losses)})
    if words.processes:
        tell(_at_the_same_time(shape, words, peak, solo_s))
    return found


def row_of(timing: Timing, words: argparse.Namespace, peak: float, solo_s: float) -> dict[str, Any]:
    """The figures of one measurement.

    Args:
        timing: what was measured.
        words: of the command line; the updates of a trial are used.
        peak: operations per second of a large product.
        solo_s: seconds of one update of one member that is trained alone.
    """
    update_s = timing.duration_s / words.updates
    member_s = update_s / timing.num_members
    return {
        "K": timing.num_members,
        "update ms": 1e3 * update_s,
        "ms a member": 1e3 * member_s,
        "tokens/s": timing.num_tokens / timing.duration_s,
        "trials/h": 3600 / (member_s * words.trial_updates),
        "times solo": solo_s / member_s,
        "of the limit": timing.num_operations / timing.duration_s / peak,
        "memory MB": timing.peak_bytes / 2**20,
    }


def largest_difference(losses: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> float:
    """The largest relative difference of a loss from the one of `others` at the same place; further ones are ignored.

    >>> largest_difference([[1.0, 2.0]], [[1.0, 2.5], [9.0, 9.0]])
    0.2
    """
    return max(
        abs(loss - other) / abs(other)
        for mine, theirs in zip(losses, others, strict=False)
        for loss, other in zip(mine, theirs, strict=True)
    )


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    forms: dict[str, Callable[[Any], str]] = {
        "of the limit": lambda v: f"{v:.0%}",
        "loss differs": lambda v: f"{v:.1e}",
        "times solo": lambda v: f"{v:.2f}",
        "of K = 1": lambda v: f"{v:.2f}",
        "update ms": lambda v: f"{v:.1f}",
        "ms a member": lambda v: f"{v:.1f}",
    }
    form = forms.get(name, lambda v: f"{v:,.0f}" if isinstance(v, float) else str(v))
    return form(value)


def _somewhere(shape: Shape, num_members: int, how: str) -> Timing:
    """On a CPU in a fresh process, whose memory is then that of this measurement alone; on a GPU here."""
    if shape.device == "cuda":
        return measure(shape, num_members, how)
    child = _child("measure_in_child", shape, num_members, how)
    output, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{how} of {num_members} members failed")
    return Timing(**json.loads(output.splitlines()[-1]))


def _child(function: str, *arguments: Any) -> subprocess.Popen[str]:
    """A process that calls a function of this module with `arguments`, a `Shape` among them as a dictionary."""
    here = Path(__file__).resolve()
    paths = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    plain = [vars(a) if isinstance(a, Shape) else a for a in arguments]
    code = f"import json, packing; packing.{function}(*json.loads({json.dumps(plain)!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, env=environment)


def measure_in_child(shape: dict[str, Any], num_members: int, how: str) -> None:
    """`measure`, its result as the last line of the output."""
    torch.set_num_threads(shape["threads"])
    print(json.dumps(vars(measure(Shape(**shape), num_members, how))))


def measure(shape: Shape, num_members: int, how: str) -> Timing:
    """Train `num_members`; `how` is ``solo`` (one after the other) or ``pack``."""
    bench = _Bench(shape)
    if how == "pack":
        timings = [bench.run(range(num_members), train_together)]
    else:
        timings = [bench.run(range(number, number + 1), train_one_by_one) for number in range(num_members)]
    return Timing(
        num_members=num_members,
        duration_s=sum(timing.duration_s for timing in timings),
        losses=[losses for timing in timings for losses in timing.losses],
        num_tokens=sum(timing.num_tokens for timing in timings),
        num_operations=sum(timing.num_operations for timing in timings),
        peak_bytes=max(timing.peak_bytes for timing in timings),
    )


def wait_and_train(shape: dict[str, Any], number: int) -> None:
    """In one of several processes: load, say so, wait for a line, and train member `number`."""
    torch.set_num_threads(shape["threads"])
    bench = _Bench(Shape(**shape))

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    timing = bench.run(range(number, number + 1), train_one_by_one, before=wait)
    print(json.dumps(vars(timing)))


def _at_the_same_time(shape: Shape, words: argparse.Namespace, peak: float, solo_s: float) -> dict[str, Any]:
    """Several processes on one device, which start their updates together."""
    children = [_child("wait_and_train", shape, number) for number in range(words.processes)]
    for child in children:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            for other in children:
                other.kill()
            sys.exit(f"one of {words.processes} processes did not start")
    start = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate()[0] for child in children]
    duration_s = time.perf_counter() - start
    timings = [Timing(**json.loads(output.splitlines()[-1])) for output in outputs]
    whole = Timing(
        num_members=words.processes,
        duration_s=max(timing.duration_s for timing in timings),
        losses=[],
        num_tokens=sum(timing.num_tokens for timing in timings),
        num_operations=sum(timing.num_operations for timing in timings),
        peak_bytes=sum(timing.peak_bytes for timing in timings),
    )
    assert whole.duration_s <= duration_s
    return row_of(whole, words, peak, solo_s) | {"how": "processes"}


class _Bench:
    """A backbone and rows in this process, and members made of them."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._task = _task(shape)
        self._cache = _Cache(shape, self._task)

    def run(
        self,
        numbers: range,
        train: Callable[[Sequence[Learner], range], list[list[float]]],
        before: Callable[[], None] = lambda: None,
    ) -> Timing:
        """Make the members `numbers` and train them; `before` is called between warm-up and the timed updates."""
        shape = self.shape
        is_on_gpu = shape.device == "cuda"
        members = [self._member(number) for number in numbers]
        if is_on_gpu:
            torch.cuda.reset_peak_memory_stats()
        losses = train(members, range(shape.warmup))
        before()
        _synchronise(is_on_gpu)
        start = time.perf_counter()
        later = train(members, range(shape.warmup, shape.total))
        _synchronise(is_on_gpu)
        duration_s = time.perf_counter() - start
        tokens = [self._tokens(member) for member in members]
        return Timing(
            num_members=len(members),
            duration_s=duration_s,
            losses=[first + second for first, second in zip(losses, later, strict=True)],
            num_tokens=sum(sum(lengths) for lengths in tokens),
            num_operations=sum(operations(m, lengths) for m, lengths in zip(members, tokens, strict=True)),
            peak_bytes=torch.cuda.max_memory_allocated() if is_on_gpu else _highest_resident_bytes(),
        )

    def _member(self, number: int) -> Learner:
        config = trial_config(self.shape, number)
        locations = Locations(device=self.shape.device)
        return Learner(config, locations=locations, cache=self._cache, tokens_per_step=2**20)

    def _tokens(self, member: Learner) -> list[int]:
        """The length of every row of the timed updates."""
        from tunekit.training.schedule import epoch_updates

        training, lengths = member.config.training, member.train_rows.lengths
        return [
            lengths[row]
            for update in range(self.shape.warmup, self.shape.total)
            for chosen in epoch_updates(lengths, training, seed=member.config.seed, epoch=update + 1)
            for row in chosen
        ]


def trial_config(shape: Shape, number: int) -> TrialConfig:
    """Member `number`: a length, a rate and a seed of its own. Each of its epochs is one update."""
    length = PROMPT_LENGTHS[number % len(PROMPT_LENGTHS)]
    options: dict[str, dict[str, Any]] = {
        "ptuning_v2": {"prompt_length": length},
        "prompt_tuning": {"prompt_length": length, "start": "normal"},
        "lora": {"rank": length},
    }
    return TrialConfig(
        task=TaskConfig(name="rows"),
        backbone=BackboneConfig(name=Path(shape.backbone).name, dtype=shape.dtype),  # type: ignore[arg-type]
        method=shape.method,
        options=options.get(shape.method, {}),
        training=TrainingConfig(
            learning_rate=LEARNING_RATES[number % len(LEARNING_RATES)],
            epochs=shape.total,
            updates_per_epoch=1,
            batch_size=shape.batch_size,
            max_length=max(8, shape.row_length),
        ),
        seed=number,
    )


class _Cache(WorkerCache):
    """Gives rows that were made directly, so that no tokenizer is needed."""

    def __init__(self, shape: Shape, task: Task) -> None:
        super().__init__(
            load_task=lambda config, locations: task,
            load_backbone=lambda config, locations: _backbone(shape),
            fingerprint_backbone=lambda config, locations: "random",
        )
        self._shape = shape
        self._rows: TokenizedSplit | None = None

    def tokenized(self, task: Any, method: Any, backbone: Any, part: tuple[Split, str]) -> TokenizedSplit:
        if self._rows is None:
            self._rows = TokenizedSplit.of([[row] for row in make_rows(self._shape, backbone.backbone)])
        return self._rows


def make_rows(shape: Shape, backbone: Backbone) -> list[Feature]:
    """Rows of random tokens, the same for the same shape, with random labels."""
    generator, num_labels = random.Random(0), LABELS[shape.kind]
    rows = []
    for _ in range(NUM_ROWS):
        length = generator.randint(math.ceil(shape.row_length / 2), shape.row_length) if shape.is_mixed else None
        length = length or shape.row_length
        tokens = tuple(generator.randrange(5, backbone.model.config.vocab_size) for _ in range(length))
        columns = range(1, length - 1) if shape.kind == "token" else [length - 1 if backbone.is_causal else 0]
        rows.append(
            Feature(
                input_ids=tokens,
                token_type_ids=None,
                label_ids=tuple(generator.randrange(num_labels) for _ in columns),
                reads=tuple((column,) for column in columns),
                words=tuple(range(len(columns))) if shape.kind == "token" else (),
            )
        )
    return rows


def _task(shape: Shape) -> Task:
    """A task with the right kind and labels; its texts are never read."""
    labels = tuple(str(label) for label in range(LABELS[shape.kind]))
    examples = (
        [PairExample("a", "b", label) for label in labels] if shape.kind == "pair" else [TokenExample(labels, labels)]
    )
    kind: Any = shape.kind
    return Task(
        TaskConfig(name="rows"), kind=kind, read=lambda split, language: examples, labels=labels, metric="accuracy"
    )


def _backbone(shape: Shape) -> Backbone:
    """From a folder, or in a well-known shape with random weights."""
    if Path(shape.backbone).is_dir():
        config = BackboneConfig(name=Path(shape.backbone).name, dtype=shape.dtype)  # type: ignore[arg-type]
        return load(config, Locations(backbone_path=shape.backbone))
    model_config = _toy_config() if shape.backbone == "toy" else shape_of(_hub_name(shape.backbone))
    if model_config is None:
        sys.exit(f"--backbone {shape.backbone}: no such folder, and no well-known hub model of this name")
    family = architecture_of(model_config, shape.backbone).family
    with torch.device(shape.device):
        torch.manual_seed(0)
        model = language_models[family].from_config(model_config, trust_remote_code=False)
    body, head = taken_apart(model)
    backbone = Backbone(shape.backbone, body, dtype=shape.dtype, vocabulary_head=head)
    backbone.set_trained(False)
    return backbone.eval()


def _hub_name(name: str) -> str:
    return f"facebook/{name}" if name.startswith("xglm") else name


def _toy_config() -> Any:
    from transformers import AutoConfig

    settings = dict(TOY)
    return AutoConfig.for_model(str(settings.pop("model_type")), **settings)


def operations(member: Learner, lengths: Sequence[int]) -> float:
    """What the updates on rows of these `lengths` have to compute: see the module's docstring."""
    backbone, method = member.method.backbone, member.config.method
    width, layers = backbone.hidden_size, backbone.num_layers
    per_layer = linear_weights(backbone) / layers
    # The positions of an input-only prompt are computed like text; deep prompts are only attended to.
    computed = [length + (member.method.prompt_length if method == "prompt_tuning" else 0) for length in lengths]
    attended = [length + member.method.prompt_length for length in lengths]
    queries = list(computed)
    if backbone.family == "encoder":
        queries = [1 if member.task.kind == "pair" else length - 2 for length in lengths]
    tokens = sum(computed)
    # Of an encoder's last layer only keys and values are needed everywhere.
    linear = per_layer * layers * tokens - (per_layer - 2 * width**2) * (tokens - sum(queries))
    backward = linear - (3 * width**2 * tokens if method == "ptuning_v2" else 0)
    pairs = (layers - 1) * sum(map(operator.mul, computed, attended)) + sum(map(operator.mul, queries, attended))
    # Inside attention two products forward and four backward, each over all pairs of positions.
    return 2.0 * (linear + backward + 6 * width * pairs)


def linear_weights(backbone: Backbone) -> int:
    """Weights of the linear layers that every token passes; neither embeddings nor a pooler are."""
    return sum(
        module.weight.numel()
        for name, module in backbone.model.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
        and module.weight.ndim == 2
        and not isinstance(module, torch.nn.Embedding)
        and "embed" not in name.rpartition(".")[2]
        and "pooler" not in name
    )


def product_rate(dtype: str, device: str) -> float:
    """Operations per second of a product of two large square matrices, by the library that is the fastest here."""
    size, number_format = PRODUCT_SIZE[device], torch.bfloat16 if dtype == "bf16" else torch.float32
    layer = torch.nn.Linear(size, size, bias=False, device=device, dtype=number_format)
    layers = [layer, OneDnnLinear(layer)] if device == "cpu" and is_onednn_faster() else [layer]
    rows = torch.randn(size, size, device=device).to(number_format)
    with torch.inference_mode():
        return 2 * size**3 / min(_seconds(one, rows) for one in layers for _ in range(5))


def _seconds(layer: torch.nn.Module, rows: torch.Tensor) -> float:
    is_on_gpu = rows.device.type == "cuda"
    _synchronise(is_on_gpu)
    start = time.perf_counter()
    layer(rows)
    _synchronise(is_on_gpu)
    return time.perf_counter() - start


def _synchronise(is_on_gpu: bool) -> None:
    if is_on_gpu:
        torch.cuda.synchronize()


def _highest_resident_bytes() -> int:
    """Of this process so far; unlike ``ru_maxrss`` not of the one that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _in_words(words: argparse.Namespace) -> str:
    rows = f"{math.ceil(words.row_length / 2)} to {words.row_length}" if words.mixed else str(words.row_length)
    return (
        f"{words.method} on {words.backbone or 'mini-xlmr'}, {words.dtype}, {words.device}, "
        f"{plural(words.threads, 'thread')}; rows of {rows} tokens, {words.updates} updates after {words.warmup}; "
        f"a trial has {words.trial_updates} updates"
    )


def _plain(words: argparse.Namespace) -> dict[str, Any]:
    return {key: value if isinstance(value, (int, float, list)) else str(value) for key, value in vars(words).items()}


if __name__ == "__main__":
    main()
