"""The sweep that `chaos.py` disturbs, and its driver as a process of its own.

    python benchmarks/chaos_world.py FOLDER BACKBONE --points 4 --epochs 6 --address 127.0.0.1:6379

Two arms on the tests' tiny world, drawn at random and never stopped early, so that what comes out does not depend on
the order in which trials report. An epoch takes as long as ``$CHAOS_PACE_S`` says.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # where the tiny world lives

from tunekit.errors import TunekitError
from tunekit.execution import Execution, run_sweep
from tunekit.journal import events
from tunekit.methods import Batch
from tunekit.methods.finetune import Finetune
from tunekit.methods.ptuning_v2 import PTuningV2
from tunekit.sweep import Source, Sweep, parse_sweep, types

PACE = "CHAOS_PACE_S"
CLOCK = "CHAOS_CLOCK_S"
"""Seconds by which the driver's clock is wrong."""
HANG_S = 25
"""A worker that makes no progress for so long is ended; less than a sweep file may ask for, since epochs are short."""
types.MIN_HANG_S = HANG_S
SHORT = "CHAOS_SHORT"
"""Names a file; where it is there, the next update deletes it and is told that memory does not suffice."""
CUT_SHORT = 1
"""Exit code of a driver that can be taken up again."""


def _pace() -> None:
    """Take some time, or run out of memory."""
    time.sleep(float(os.environ.get(PACE, "0")))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.environ.get(SHORT, ""))
        raise MemoryError("there is none left, says the benchmark")


class PacedFinetune(Finetune):
    """Fine-tuning that takes its time."""

    def loss(self, batch: Batch) -> Any:
        _pace()
        return super().loss(batch)


class PacedPTuningV2(PTuningV2):
    """P-tuning v2 that takes its time."""

    def logits_of(self, states: Any, batch: Batch) -> Any:
        if self.training:
            _pace()
        return super().logits_of(states, batch)

    @classmethod
    def packs(cls, config: Any) -> bool:
        return True


def chaos_sweep(backbone: Path, *, points: int, epochs: int) -> Sweep:
    """The sweep; equal arguments give equal trials."""
    rate = {"low": 1e-4, "high": 3e-2, "log": True}
    content: dict[str, Any] = {
        "name": "chaos",
        "task": {"name": "fakes:load_words", "target_languages": ["xx", "yy"]},
        "backbone": {"name": "tiny", "path": str(backbone)},
        "arms": {
            "finetune": {"method": "chaos_world:PacedFinetune", "space": {"learning_rate": rate}},
            "ptuning_v2": {
                "method": "chaos_world:PacedPTuningV2",
                "space": {"learning_rate": rate, "prompt_length": {"low": 2, "high": 8}},
            },
        },
        "fixed": {"epochs": epochs, "max_length": 16, "batch_size": 8},
        "search": {"searcher": "random", "num_trials": points, "seed": 1},
        "scheduler": {"name": "none"},
        "seeds": [10],
        "resources": {"retries": 10_000, "pack": 2, "hang_after": HANG_S},
        "finalise": {"top": 2, "seeds": [10, 42]},
    }
    return parse_sweep(content, Source("chaos.yaml"))


def _turn_clock(seconds: float) -> None:
    def now() -> str:
        shifted = datetime.now(UTC) + timedelta(seconds=seconds)
        return shifted.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    events.now = now
    true_time = time.time
    time.time = lambda: true_time() + seconds


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Drive the sweep to its end, or as far as it gets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--address", help="of the cluster; without it everything runs in this process")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    if CLOCK in os.environ:
        _turn_clock(float(os.environ[CLOCK]))
    sweep = chaos_sweep(words.backbone, points=words.points, epochs=words.epochs)
    execution = Execution(in_process=words.address is None, address=words.address)

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    try:
        finish = run_sweep(sweep, words.folder, execution, notify=say)
    except (KeyboardInterrupt, TunekitError) as error:
        say(f"cut short: {type(error).__name__}: {error}")
        sys.exit(CUT_SHORT)
    for problem in finish.problems:
        say(problem)
    sys.exit(2 if finish.problems or finish.num_failed else 0)


if __name__ == "__main__":
    main()
