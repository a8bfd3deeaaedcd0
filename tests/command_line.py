"""The command line in this process, and the tiny world's sweep file for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tunekit.cli import main

SWEEP = """\
task: {name: "fakes:load_words", target_languages: [xx]}
backbone: tiny
arms:
  finetune:
    method: finetune
    space: {learning_rate: {low: 1.0e-4, high: 3.0e-2, log: true}, batch_size: [4, 8]}
  ptuning_v2:
    method: ptuning_v2
    space: {prompt_length: {low: 2, high: 8}}
fixed: {epochs: 2, max_length: 16}
search: {searcher: random, num_trials: 2, seed: 1}
seeds: [10]
finalise: {top: 1, seeds: [10, 42]}
"""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """Call it with the words after ``tunekit``."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *words: str | Path) -> Result:
        """Run one command to its exit."""
        self.monkeypatch.setattr(sys, "argv", ["tunekit", *map(str, words)])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capture.readouterr()
        return Result(int(ended.value.code or 0), said.out, said.err)
