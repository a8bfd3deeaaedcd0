"""Damaged files of every kind, by the ten thousand: each is read rightly or refused by a clear error.

    python benchmarks/fuzz.py                                  # 10,000 inputs a kind
    python benchmarks/fuzz.py --inputs 500 --seed 7 --kinds journal "sweep file"

One row for each kind: how many inputs, how many of them were still read (the others were refused), how many went wrong
(another exception than a TunekitError, more than 20 s, or a promise that did not hold; see tests/fuzzing.py). An input
that went wrong is kept in the folder that ``--keep`` names. Exit code 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzzing import attack, kinds


def main() -> int:
    """Try all kinds; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", help="their names; all if not given")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where inputs that went wrong are kept")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    num_faults = 0
    print(f"{'kind':24} {'inputs':>8} {'read':>8} {'refused':>8} {'wrong':>6} {'s':>6}", flush=True)
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as folder:
        for kind in kinds(Path(made)):
            if given.kinds and kind.name not in given.kinds:
                continue
            start = time.perf_counter()
            tally = attack(kind, Path(folder), seed=given.seed, num_inputs=given.inputs)
            refused = tally.num_inputs - tally.num_read - len(tally.faults)
            print(
                f"{kind.name:24} {tally.num_inputs:8} {tally.num_read:8} {refused:8} {len(tally.faults):6} "
                f"{time.perf_counter() - start:6.0f}",
                flush=True,
            )
            num_faults += len(tally.faults)
            for fault in tally.faults:
                place = given.keep / kind.name.replace(" ", "-") / f"{fault.seed}-{fault.number}"
                place.mkdir(parents=True, exist_ok=True)
                (place / kind.file).write_bytes(fault.data)
                (place / "what.txt").write_text(fault.what, encoding="utf-8", errors="backslashreplace")
    print("all clean" if not num_faults else f"{num_faults} went wrong; see {given.keep}")
    return 1 if num_faults else 0


if __name__ == "__main__":
    sys.exit(main())
