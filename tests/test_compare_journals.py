"""The script that compares two journals finds what differs, and only that."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from simulation import run, simulated_sweep

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "compare_journals.py"


@pytest.fixture(scope="module")
def script() -> Any:
    specification = importlib.util.spec_from_file_location("compare_journals", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["compare_journals"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "simulated"
    run(simulated_sweep(search={"searcher": "random", "num_trials": 5, "seed": 3}), folder)
    return folder / "journal.jsonl"


def _changed(journal: Path, folder: Path, kind: str, change: Any) -> Path:
    """A copy whose first event of a kind that `change` accepts is changed."""
    lines, is_changed = [], False
    for line in journal.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == kind and not is_changed:
            is_changed = change(event) is not False
        lines.append(json.dumps(event))
    assert is_changed
    (folder / "other.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "other.jsonl"


def test_a_journal_is_the_same_as_itself_whatever_its_clocks_and_names(
    script: Any, journal: Path, tmp_path: Path
) -> None:
    def rename(event: dict[str, Any]) -> None:
        event["time"] = "1999"

    other = _changed(journal, tmp_path, "created", rename)
    assert list(script.differences(script.read(journal), script.read(other))) == []
    assert len(script.read(journal.parent)) >= 10


def _digit(event: dict[str, Any]) -> None:
    event["report"]["value"] += 1e-16


def _decision(event: dict[str, Any]) -> None:
    event["decision"]["num_compared"] += 1


def _score(event: dict[str, Any]) -> None:
    event["scores"] = {key: score + 1e-16 for key, score in event["scores"].items()}


def _config(event: dict[str, Any]) -> None:
    event["config"]["training"]["batch_size"] = 7


def _moved(event: dict[str, Any]) -> None:
    event["number"] += 100


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("reported", _digit, "epochs 1"),
        ("reported", _decision, "decisions 1"),
        ("tested", _score, "test test/de/accuracy"),
        ("created", _config, "config training.batch_size"),
        ("created", _moved, "only in the"),
    ],
)
def test_a_digit_a_decision_or_a_trial_that_differs_is_found(
    script: Any, journal: Path, tmp_path: Path, kind: str, change: Any, where: str
) -> None:
    other = _changed(journal, tmp_path, kind, change)
    found = list(script.differences(script.read(journal), script.read(other)))
    assert found and all(where in line for line in found)
