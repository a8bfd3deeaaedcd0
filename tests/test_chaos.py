"""`benchmarks/chaos.py` at a small size: a sweep on three nodes, ten faults, and the results of an undisturbed run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "chaos.py"
QUICK = (
    "worker_killed", "worker_terminated", "checkpoint_torn", "checkpoint_lost", "memory_short", "node_killed",
    "node_added", "disk_full", "journal_torn",
)  # fmt: skip
"""Kinds that take no minute each; the others are hangs, the head, and more ways for a driver to end."""


@pytest.mark.ray
@pytest.mark.timeout(900)  # a machine with much else to do takes its time
def test_a_sweep_under_ten_faults_ends_as_if_there_were_none() -> None:
    words = ["--faults", "10", "--seed", "4", "--points", "14", "--kinds", *QUICK]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"^10 faults in \d+ s; \d+ trials: \d+ COMPLETE; 8 tested$", done.stdout, re.MULTILINE)
