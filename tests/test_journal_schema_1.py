"""A journal that the first version wrote is still read: its report says what it said then.

``data/journal_schema_1.jsonl`` is the quickstart with 4 points per arm, 200 training sentences and 2 epochs
(``--set search.num_trials=4 --set task.max_train_examples=200 --set fixed.epochs=2``); the host's name was replaced.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import cells

from tunekit import reports
from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME, Journal, JournalError, read_events, replay

OLD = Path(__file__).parent / "data" / "journal_schema_1.jsonl"


def test_every_trial_decision_and_score_of_an_old_journal_is_read() -> None:
    record = replay(OLD)
    assert record.schema == 1
    assert [arm.name for arm in record.sweep.arms] == ["finetune", "ptuning_v2"]
    assert [arm.metric for arm in record.sweep.arms] == ["accuracy", "accuracy"]
    searched = [trial for trial in record.trials.values() if trial.phase == "search"]
    assert len(searched) == 8
    assert sum(trial.test_scores is not None for trial in record.trials.values()) == 6
    decisions = sum(len(trial.decisions) for trial in record.trials.values())
    assert decisions == sum(event["event"] == "decided" for event in read_events(OLD))
    best = record.arm("finetune").top(1)[0]
    assert best.value == max(trial.value for trial in searched if trial.arm == "finetune" and trial.value is not None)
    facts = next(trial.facts for trial in searched if trial.state == "COMPLETE")
    assert facts is not None
    assert facts.num_train_examples == 200 and facts.num_updates_per_epoch == 13
    assert facts.num_backbone_parameters > 0 and facts.data_fingerprint


def test_its_report_is_made_anew(tmp_path: Path) -> None:
    record = replay(OLD)
    files = reports.write(record, tmp_path)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for arm in ("finetune", "ptuning_v2"):
        assert cells(markdown, arm, header=("n", "zero_shot"))["n"] == "3"
    assert {path.name for path in files} >= {"report.md", "results.csv", "best_config.finetune.yaml"}
    assert "learning_rate" in reports.best_config_yaml(record, "ptuning_v2")


def test_it_cannot_go_on_and_says_so_in_one_sentence(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / FILE_NAME)
    with pytest.raises(
        ConfigError, match=r"earlier tunekit \(schema 1\): its report can be read, but the sweep cannot"
    ):
        Journal(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == OLD.read_bytes()


def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path) -> None:
    lines = OLD.read_bytes().splitlines(keepends=True)
    (tmp_path / FILE_NAME).write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[4:]]))
    with pytest.raises(JournalError, match=rf"{FILE_NAME}:4: not a journal event"):
        replay(tmp_path)
