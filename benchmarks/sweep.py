"""The same trials by tunekit, packed and one by one, by stock Ray Tune and by an Optuna loop, both with Trainer + peft.

    python benchmarks/sweep.py --task udpos
    python benchmarks/sweep.py --task xnli --sides packed,solo,tune,tune-grouped,optuna --out xnli.json

P-tuning v2 at 4 learning rates x 3 prompt lengths x 2 seeds on one backbone; every side trains on the same examples, in
as many updates, in batches of the same size, at rates that fall alike, and scores the same dev split after each epoch.
One torch thread a worker. What is measured is the whole command: imports, reading, Ray's start, training, evaluation.

Sides:

- ``packed``: a sweep of tunekit as ``tunekit sweep`` runs it, with its journal and checkpoints, trials packed.
- ``solo``: the same with ``resources: {pack: off}``.
- ``tune``: stock Ray Tune with ``reuse_actors=True``; in each actor transformers' Trainer and peft's prefix tuning on a
  backbone that is loaded once. Nothing is saved.
- ``optuna``: one process that asks an Optuna study for each trial; Trainer and peft as above.
- ``loop``: the same without Optuna, for a machine that has neither Optuna nor Ray.

``-grouped`` after the name of one of the last three: batches of like length, as tunekit's are. ``-bf16``: in bf16; the
others are in fp32. What a side needs and this machine lacks is said, and the side is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import measuring
import peers
from peers import Setup, Spec

LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
PROMPT_LENGTHS = (4, 8, 16)
SEEDS = (10, 42)
OURS = ("packed", "solo")
NEEDS = {
    "packed": ("optuna",),
    "solo": ("optuna",),
    "tune": ("ray", "peft", "accelerate"),
    "optuna": ("optuna", "peft", "accelerate"),
    "loop": ("peft", "accelerate"),
}
"""Packages of each side beside torch and transformers."""
ENDINGS = ("grouped", "bf16")
USUAL_SIDES = "packed,solo,tune,tune-grouped,optuna"


@dataclass(frozen=True)
class Workload:
    """A task with the sizes at which it is measured."""

    task: Mapping[str, Any]
    epochs: int
    batch_size: int
    max_length: int
    shots: int | None = None


WORKLOADS = {
    "udpos": Workload(
        {"name": "udpos", "source_language": "en", "max_train_examples": 320, "max_dev_examples": 200}, 2, 16, 256
    ),
    "xnli": Workload({"name": "xnli", "source_language": "en", "draw": "files"}, 10, 8, 256, shots=16),
    "toy": Workload(
        {"name": "toy_tagging", "source_language": "alo", "max_train_examples": 48, "max_dev_examples": 32}, 1, 16, 40
    ),
}


@dataclass(frozen=True)
class Measured:
    """What came of one side."""

    side: str
    makespan_s: float
    trials: tuple[dict[str, Any], ...]
    """Each with its `number`, dev `value` and `duration_s`, in the order of the specs."""
    peak_workers_bytes: int
    peak_tree_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def trials_per_hour(self) -> float:
        """Over the whole makespan."""
        return 3600 * len(self.trials) / self.makespan_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sides one after the other and print tables."""
    words = _parser().parse_args(arguments)
    workload = _workload(words)
    specs = make_specs(words.trials)
    with _folder(words.folder) as scratch:
        job = _job(words, workload, specs, scratch)
        print(f"{measuring.conditions()}\n\n{_in_words(words, workload, specs)}\n", flush=True)
        found: list[Measured] = []
        sides = _sides(words)
        _read_code_once(sides)
        for side in sides:
            reason = why_not(side)
            if reason:
                print(f"left out: {side}: {reason}", flush=True)
                continue
            print(f"running {side} ...", file=sys.stderr, flush=True)
            found.append(_measure_side(side, job, scratch))
    if not found:
        sys.exit("no side could be run")
    print(render(found, specs))
    if words.out:
        words.out.write_text(json.dumps(_as_json(words, specs, found), indent=1))


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """`kept`, made anew, or a folder that is gone afterwards."""
    if kept is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
        return
    try:
        kept.mkdir(parents=True)
    except FileExistsError:
        sys.exit(f"--folder {kept} is there already; name a new one")
    yield kept.resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--task", choices=sorted(WORKLOADS), default="udpos")
    add("--sides", default=USUAL_SIDES, help=f"separated by commas (default {USUAL_SIDES})")
    add("--trials", type=int, default=24, help="of the 24, evenly chosen; 1 or an even number")
    add("--epochs", type=int, help="default: 2 for udpos, 10 for xnli")
    add("--sentences", type=int, help="of train (udpos: 320); for xnli, shots per class (16)")
    add("--batch-size", type=int, help="default: 16 for udpos, 8 for xnli")
    add("--workers", type=int, default=2, help="processes of packed, solo and tune (default 2)")
    add("--in-process", action="store_true", help="packed and solo in one process, without Ray")
    add("--pack", default="auto", help="resources.pack of the packed side: auto or a number (default auto)")
    add("--dtype", choices=["fp32", "bf16"], default="fp32", help="of packed and solo; like -bf16 after their names")
    add("--peer-dtype", choices=["fp32", "bf16"], default="fp32", help="of the others (autocast of the Trainer)")
    add("--grouped", action="store_true", help="like -grouped after the names of tune, optuna and loop")
    add("--peers", choices=["alike", "stock"], default="alike", help="start of the prompt, and head, of the others")
    add("--peer-dropout", type=float, default=0.0, help="of the others' frozen backbone; -1: as its config says")
    add("--threads", type=int, default=1, help="torch threads of optuna and loop (default 1)")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add(
        "--shared",
        type=Path,
        default=measuring.shared_folder(),
        help="folder with data/ and models/ (default $TUNEKIT_SHARED)",
    )
    add("--backbone", type=Path, help="folder of the backbone (default SHARED/models/mini-xlmr)")
    add("--folder", type=Path, help="keep logs and journals in this new folder (default: a temporary one)")
    add("--out", type=Path, help="write everything as JSON")
    return parser


def _workload(words: argparse.Namespace) -> Workload:
    workload = WORKLOADS[words.task]
    changes = {key: value for key in ("epochs", "batch_size") if (value := getattr(words, key)) is not None}
    task = dict(workload.task)
    if words.task == "udpos":
        task["data_dir"] = str(words.shared / "data" / "xtreme")
    if words.task == "xnli":
        task["data_dir"] = str(words.shared / "data" / "xtreme")
        task["fewshot_dir"] = str(words.shared / "data" / "fewshot-nli")
    if words.sentences is not None:
        if workload.shots is None:
            task["max_train_examples"] = words.sentences
        else:
            changes["shots"] = words.sentences
    return replace(workload, task=task, **changes)


def make_specs(num_trials: int) -> list[Spec]:
    """The trials: `num_trials` of all points and seeds, points evenly chosen, every point on both seeds.

    >>> [(spec.learning_rate, spec.prompt_length, spec.seed) for spec in make_specs(4)]
    [(0.001, 4, 10), (0.001, 4, 42), (0.01, 4, 10), (0.01, 4, 42)]
    """
    points = list(product(LEARNING_RATES, PROMPT_LENGTHS))
    seeds = SEEDS if num_trials > 1 else SEEDS[:1]
    num_points, rest = divmod(num_trials, len(seeds))
    if rest or not 1 <= num_points <= len(points):
        sys.exit(f"--trials {num_trials}: 1, or an even number up to {len(points) * len(SEEDS)}, since each point runs "
                 f"on {len(SEEDS)} seeds")  # fmt: skip
    chosen = [points[index * len(points) // num_points] for index in range(num_points)]
    pairs = [(point, seed) for point in chosen for seed in seeds]
    return [
        Spec(number=number, learning_rate=rate, prompt_length=length, seed=seed)
        for number, ((rate, length), seed) in enumerate(pairs)
    ]


def _sides(words: argparse.Namespace) -> list[str]:
    """The sides asked for, with the endings that options add."""
    found = []
    for side in words.sides.split(","):
        base, *endings = side.strip().split("-")
        if base not in NEEDS or set(endings) - set(ENDINGS) or (base in OURS and "grouped" in endings):
            sys.exit(f"--sides {side}: {', '.join(NEEDS)}, with -bf16, and the last three with -grouped")
        if base not in OURS and words.grouped:
            endings.append("grouped")
        if (words.dtype if base in OURS else words.peer_dtype) == "bf16":
            endings.append("bf16")
        name = "-".join([base, *(ending for ending in ENDINGS if ending in endings)])
        if name not in found:
            found.append(name)
    return found


def why_not(side: str) -> str | None:
    """Why a side cannot be run here, if it cannot."""
    base = side.partition("-")[0]
    if absent := measuring.missing(NEEDS[base]):
        return f"{', '.join(absent)} not installed"
    if base == "packed" and not _can_pack():
        return "this version of tunekit does not pack trials (no resources.pack)"
    return None


def _read_code_once(sides: Sequence[str]) -> None:
    """Import what the sides import, in a process of its own, so that the first side is not the only one to read it
    from the disk."""
    if len(sides) < 2:
        return
    needed = {package for side in sides for package in NEEDS[side.partition("-")[0]]}
    code = "".join(f"try: import {package}\nexcept ImportError: pass\n" for package in sorted(needed))
    command = [sys.executable, "-c", f"{code}from transformers import Trainer"]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


def _can_pack() -> bool:
    from tunekit.sweep.types import ResourcesConfig

    return any(field.name == "pack" for field in dataclasses.fields(ResourcesConfig))


def _job(words: argparse.Namespace, workload: Workload, specs: Sequence[Spec], scratch: Path) -> dict[str, Any]:
    """All that a side's process needs to know; leaves the examples in a file."""
    from tunekit import tasks
    from tunekit.sweep import Source, parse_sweep

    backbone = words.backbone or words.shared / "models" / "mini-xlmr"
    definition = _definition(words, workload, specs, backbone)
    arm = parse_sweep(definition, Source("sweep.py")).arms[0]
    task = tasks.load(arm.task, arm.locations)
    language = arm.task.source_language
    data = scratch / "examples.json"
    peers.write_examples(data, {split: task.examples(split, language) for split in ("train", "dev")})
    setup = Setup(
        kind=task.kind,
        labels=tuple(task.labels),
        backbone=str(backbone),
        epochs=workload.epochs,
        batch_size=workload.batch_size,
        max_length=workload.max_length,
        peers=words.peers,
        peer_dropout=None if words.peer_dropout < 0 else words.peer_dropout,
        device=words.device,
        data=str(data),
    )
    return {
        "definition": definition,
        "setup": dataclasses.asdict(setup),
        "specs": [dataclasses.asdict(spec) for spec in specs],
        "workers": words.workers,
        "in_process": words.in_process or bool(measuring.missing(["ray"])),
        "pack": words.pack,
        "threads": words.threads,
    }


def _definition(words: argparse.Namespace, workload: Workload, specs: Sequence[Spec], backbone: Path) -> dict[str, Any]:
    """The sweep file. Its points are enqueued, so that nothing is left to draw."""
    points = list(dict.fromkeys((spec.learning_rate, spec.prompt_length) for spec in specs))
    space = {"learning_rate": list(LEARNING_RATES), "prompt_length": list(PROMPT_LENGTHS)}
    arm = {
        "method": "ptuning_v2",
        "space": space,
        "enqueue": [{"learning_rate": rate, "prompt_length": length} for rate, length in points],
    }
    fixed = {
        "epochs": workload.epochs,
        "batch_size": workload.batch_size,
        "max_length": workload.max_length,
        "word_piece": "first",  # as the others do
    }
    return {
        "name": "benchmark",
        "task": dict(workload.task),
        "backbone": {"name": backbone.name, "path": str(backbone)},
        **({} if workload.shots is None else {"shots": workload.shots}),
        "arms": {"ptuning_v2": arm},
        "fixed": fixed,
        "search": {"searcher": "grid", "num_trials": len(points), "seed": 0},
        "scheduler": {"name": "none"},
        "seeds": list(dict.fromkeys(spec.seed for spec in specs)),
        "finalise": {"top": 0},
        "resources": {"cpu": 1, "gpu": 1 / words.workers if words.device == "cuda" else 0},
    }


def _measure_side(side: str, job: Mapping[str, Any], scratch: Path) -> Measured:
    """Run a side in a process of its own."""
    folder = scratch / side
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    here = Path(__file__).resolve()
    paths = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": str(job["threads"] if side.startswith(("optuna", "loop")) else 1),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    code = f"import sweep; sweep.run_side({side!r}, {str(folder)!r})"
    log = folder / "log"
    ended = measuring.run_watched([sys.executable, "-c", code], log, environment)
    if ended.code:
        sys.exit(f"{side} failed:\n{log.read_text()[-3000:]}")
    found = json.loads((folder / "measured.json").read_text())
    trials = tuple(sorted(found["trials"], key=lambda trial: trial["number"]))
    if [trial["number"] for trial in trials] != [spec["number"] for spec in job["specs"]]:
        sys.exit(f"{side} made trials {[trial['number'] for trial in trials]}, not each of {len(job['specs'])} once")
    on_device = max((trial.get("peak_device_bytes", 0) for trial in trials), default=0)
    workers = on_device or ended.peak_workers_bytes
    return Measured(side, ended.wall_s, trials, workers, ended.peak_tree_bytes, tuple(found["notes"]))


def run_side(side: str, place: str) -> None:
    """In a process of its own: make all trials of `side` and leave them in ``measured.json``."""
    folder = Path(place)
    job = json.loads((folder / "job.json").read_text())
    base, *endings = side.split("-")
    specs = [Spec(**spec) for spec in job["specs"]]
    notes: list[str] = []
    if base in OURS:
        trials, notes = _run_ours(base, endings, job, folder)
    else:
        setup = Setup(**job["setup"])
        setup = replace(
            setup,
            dtype="bf16" if "bf16" in endings else "fp32",
            is_grouped="grouped" in endings,
            num_threads=1 if base == "tune" else job["threads"],
            labels=tuple(setup.labels),
        )
        if base == "tune":
            trials = peers.run_tune(setup, specs, job["workers"])
        else:
            trials = (peers.run_optuna if base == "optuna" else peers.run_loop)(setup, specs)
    (folder / "measured.json").write_text(json.dumps({"trials": trials, "notes": notes}))


def _run_ours(
    base: str, endings: Sequence[str], job: Mapping[str, Any], folder: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """A sweep of tunekit, from its file to its journal."""
    from tunekit.execution import Execution, run_sweep
    from tunekit.journal import replay
    from tunekit.sweep import Source, parse_sweep

    definition = job["definition"]
    resources = dict(definition["resources"])
    if _can_pack():
        pack = job["pack"]
        resources["pack"] = "off" if base == "solo" else int(pack) if pack.isdecimal() else pack
    if "bf16" in endings:
        definition = {**definition, "fixed": {**definition["fixed"], "dtype": "bf16"}}
    if job["in_process"]:
        resources["gpu"] = float(bool(resources["gpu"]))
    sweep = parse_sweep({**definition, "resources": resources}, Source("sweep.py"))
    execution = Execution(in_process=True) if job["in_process"] else Execution(workers=job["workers"])
    finish = run_sweep(sweep, folder / "sweep", execution)
    if finish.num_failed:
        raise RuntimeError(f"{finish.num_failed} trials failed: {finish.problems}")
    record = replay(folder / "sweep")
    trials = [_trial_of(trial, job) for trial in record.trials.values()]
    options = next(iter(record.trials.values())).config["options"]
    dropout = options.get("backbone_dropout", "as the backbone's config says")
    return trials, [f"dropout of the frozen backbone: {dropout}"]


def _trial_of(trial: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal says of a trial, under the number of its spec."""
    config = trial.config
    key = (config["training"]["learning_rate"], config["options"]["prompt_length"], config["seed"])
    number = next(
        spec["number"] for spec in job["specs"] if (spec["learning_rate"], spec["prompt_length"], spec["seed"]) == key
    )
    reports = [trial.reports[epoch] for epoch in sorted(trial.reports)]
    return {
        "number": number,
        "curve": [report.value for report in reports],
        "value": max(report.value for report in reports),
        "num_updates": trial.facts.num_updates(len(reports)),
        "num_trainable": trial.facts.num_trainable_parameters,
        "duration_s": sum(report.duration_s for report in reports),
        "peak_device_bytes": 0,
    }


def render(found: Sequence[Measured], specs: Sequence[Spec]) -> str:
    """All tables: how long, how much faster, how good."""
    notes = [f"{one.side}: {note}" for one in found for note in one.notes]
    counts = {one.side: sum(trial["num_updates"] for trial in one.trials) for one in found}
    if len(set(counts.values())) > 1:
        notes.append(f"NOT COMPARABLE: the sides made different numbers of updates: {counts}")
    parts = [_costs(found), _ratios(found), _scores(found, specs), _agreement(found, specs), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part)


def _costs(found: Sequence[Measured]) -> str:
    header = ("side", "trials", "updates", "makespan s", "trials/h", "s a trial", "workers MB", "all processes MB")
    rows = [
        (
            one.side,
            str(len(one.trials)),
            str(sum(trial["num_updates"] for trial in one.trials)),
            f"{one.makespan_s:.1f}",
            f"{one.trials_per_hour:.0f}",
            f"{one.makespan_s / len(one.trials):.1f}",
            f"{one.peak_workers_bytes / 2**20:.0f}",
            f"{one.peak_tree_bytes / 2**20:.0f}",
        )
        for one in found
    ]
    return measuring.table(header, rows)


def _ratios(found: Sequence[Measured]) -> str:
    """How many times as long as the column's side each row's side took."""
    names = [one.side for one in found]
    rows = [(one.side, *(f"{one.makespan_s / other.makespan_s:.2f}" for other in found)) for one in found]
    return measuring.table(("makespan of row / of column", *names), rows)


def by_point(values: Sequence[float], specs: Sequence[Spec]) -> dict[tuple[float, int], list[float]]:
    """The values of each point's trials; `values` are in the order of `specs`."""
    found: dict[tuple[float, int], list[float]] = {}
    for value, spec in zip(values, specs, strict=True):
        found.setdefault((spec.learning_rate, spec.prompt_length), []).append(value)
    return found


def _scores(found: Sequence[Measured], specs: Sequence[Spec]) -> str:
    """Dev scores of every trial, side by side."""
    header = ("learning rate", "length", "seed", *(one.side for one in found))
    rows = [
        (
            f"{spec.learning_rate:g}",
            str(spec.prompt_length),
            str(spec.seed),
            *(f"{100 * one.trials[index]['value']:.2f}" for one in found),
        )
        for index, spec in enumerate(specs)
    ]
    return measuring.table(header, rows)


def _agreement(found: Sequence[Measured], specs: Sequence[Spec]) -> str:
    """Each side's dev score, its spread over seeds, and how far it is from the first side's, in points."""
    first = _values(found[0])
    header = ("side", "mean dev", "spread over seeds", "best point", f"minus {found[0].side}: mean", "largest")
    rows = []
    for one in found:
        values = _values(one)
        groups = by_point(values, specs)
        spread = measuring.pooled_spread(groups.values())
        differences = [value - other for value, other in zip(values, first, strict=True)]
        best = max(measuring.mean_and_spread(group)[0] for group in groups.values())
        rows.append(
            (
                one.side,
                f"{100 * measuring.mean_and_spread(values)[0]:.2f}",
                "" if spread is None else f"{100 * spread:.2f}",
                f"{100 * best:.2f}",
                f"{100 * measuring.mean_and_spread(differences)[0]:+.2f}",
                f"{100 * max(differences, key=abs):+.2f}",
            )
        )
    return measuring.table(header, rows)


def _values(one: Measured) -> list[float]:
    return [trial["value"] for trial in one.trials]


def _in_words(words: argparse.Namespace, workload: Workload, specs: Sequence[Spec]) -> str:
    dropout = "as its config says" if words.peer_dropout < 0 else f"{words.peer_dropout:g}"
    heads = "tunekit's head and start of the prompt" if words.peers == "alike" else "their own head and start"
    return (
        f"{words.task}: {len(specs)} trials, {workload.epochs} epochs, batch {workload.batch_size}, {words.device}; "
        f"{words.workers} workers of one thread, optuna and loop one process of {words.threads}. Others than tunekit: "
        f"{heads}; dropout of their frozen backbone {dropout}."
    )


def _as_json(words: argparse.Namespace, specs: Sequence[Spec], found: Sequence[Measured]) -> dict[str, Any]:
    return {
        "conditions": measuring.conditions(),
        "arguments": {key: str(value) for key, value in vars(words).items()},
        "specs": [dataclasses.asdict(spec) for spec in specs],
        "sides": [dataclasses.asdict(one) for one in found],
    }


if __name__ == "__main__":
    main()
