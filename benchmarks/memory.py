"""Memory of one process that runs many trials: what it holds after each, which must not grow without end.

    python benchmarks/memory.py --trials 20 200
    python benchmarks/memory.py --method topro --dtype fp32 --trials 20 60

Each trial is a short one of a real shape: a few updates on real sentences of udpos with the model in --model, then dev.
Learning rate, batch size, seed and (where there is one) prompt length differ from trial to trial, so that the shapes of
matrix products do. A row for each count in --trials: memory that is resident, the same after free blocks were given
back (``held``: the rest is reused by the next trial), the peak so far, and the processor seconds so far.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from tunekit.training import WorkerCache, run_trial
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

SHARED = Path(os.environ.get("TUNEKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PROMPTED = ("ptuning_v2", "prompt_tuning")


def main() -> None:
    """Run the trials and print a row at each count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 200], help="counts to measure at")
    parser.add_argument("--method", default="ptuning_v2")
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--updates", type=int, default=2, help="of each trial (default 2)")
    parser.add_argument("--dev", type=int, default=40, help="dev sentences (default 40)")
    parser.add_argument("--model", type=Path, default=SHARED / "models" / "mini-xlmr")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "xtreme")
    words = parser.parse_args()
    torch.set_num_threads(1)
    cache = WorkerCache()
    locations = Locations(backbone_path=str(words.model), data_dir=str(words.data), device="cpu")
    print(f"`python {' '.join(sys.argv)}`\n\n| trials | resident MiB | held MiB | peak MiB | processor s |")
    print("|---|---|---|---|---|", flush=True)
    for number in range(max(words.trials)):
        config = _trial(words.method, words, number)
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_trial(config, folder=Path(folder), locations=locations, cache=cache)
        if outcome.state != "COMPLETE":
            sys.exit(f"trial {number} is {outcome.state}: {outcome.reason}")
        if number + 1 in words.trials:
            print(_row(number + 1), flush=True)


def _trial(method: str, words: argparse.Namespace, number: int) -> TrialConfig:
    draw = random.Random(number)
    trains_backbone = method not in (*PROMPTED, "lora", "bitfit", "adapter")
    return TrialConfig(
        task=TaskConfig(name="udpos", max_train_examples=320, max_dev_examples=words.dev),
        backbone=BackboneConfig(name="benchmark", dtype=words.dtype),
        method=method,
        options={"prompt_length": draw.randint(8, 32)} if method in PROMPTED else {},
        training=TrainingConfig(
            learning_rate=(1e-5 if trains_backbone else 1e-3) * draw.uniform(1, 10),
            epochs=1,
            batch_size=draw.choice((8, 16)),
            updates_per_epoch=words.updates,
            max_length=128,
        ),
        seed=number,
    )


def _row(number: int) -> str:
    resident = _resident_mib()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # glibc keeps free blocks for the process's next
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {number} | {resident:.0f} | {_resident_mib():.0f} | {peak:.0f} | {time.process_time():.0f} |"


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
