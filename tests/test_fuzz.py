"""Damaged files of every kind: read rightly or refused, by the hundred. ``benchmarks/fuzz.py`` tries many more."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fuzzing import Kind, attack, kinds

NUM_INPUTS = 150
KINDS = (
    "sweep file",
    "trial file",
    "published figures",
    "journal",
    "words between blanks",
    "words between tabs",
    "words between commas",
    "CoNLL-U",
    "words as JSON lines",
    "pairs between tabs",
    "pairs between commas",
    "pairs as JSON lines",
    "checkpoint",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds(tmp_path_factory.mktemp("kinds"))}


def test_every_kind_is_tried(made: dict[str, Kind]) -> None:
    assert list(made) == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_read_rightly_or_refused(
    name: str, made: dict[str, Kind], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)  # each torn checkpoint is a warning
    tally = attack(made[name], tmp_path, seed=0, num_inputs=NUM_INPUTS)
    assert not tally.faults, "\n\n".join(f"{fault}\n{fault.data[:300]!r}" for fault in tally.faults[:3])
    assert tally.num_read < NUM_INPUTS or name == "checkpoint", "no damage was noticed at all"


@pytest.mark.parametrize("name", KINDS)
def test_the_undamaged_file_is_read(name: str, made: dict[str, Kind], tmp_path: Path) -> None:
    kind = made[name]
    for valid in kind.valid:
        path = tmp_path / kind.file
        path.write_bytes(valid)
        kind.read(path, valid)
