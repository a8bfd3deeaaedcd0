"""Labels that train lacks, from the files to the report: they count as errors, and the report counts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import JournalBuilder, cells, definition

from tunekit import reports
from tunekit.execution import Execution, run_sweep
from tunekit.journal import FILE_NAME, replay
from tunekit.predictions import load_predictions
from tunekit.storage import TrialFolder
from tunekit.sweep import Source, parse_sweep
from tunekit.trial import FinalScores

SENTENCE = "w{a}\tA\nw{b}\tB\nw{c}\tC\n\n"
TRAIN = "".join(SENTENCE.format(a=3 * i % 30, b=(3 * i + 1) % 30, c=(3 * i + 2) % 30) for i in range(12))


def swept(folder: Path, backbone: Path, task: dict[str, Any], methods: dict[str, dict[str, Any]]) -> str:
    """The report of a sweep of one trial for each method on the files in `folder`."""
    content: dict[str, Any] = {
        "name": "unseen",
        "task": {"name": "mine", "files": str(folder / "{split}.{language}.tsv"), **task},
        "backbone": {"name": "tiny", "path": str(backbone)},
        "arms": {name: {"method": name, "space": {}, "fixed": fixed} for name, fixed in methods.items()},
        "fixed": {"epochs": 2, "max_length": 16, "learning_rate": 0.01},
        "search": {"searcher": "random", "num_trials": 1},
        "finalise": {"top": 1, "seeds": [10]},
    }
    run_sweep(parse_sweep(content, Source("unseen.yaml")), folder / "run", Execution(in_process=True))
    reports.write(replay(folder / "run" / FILE_NAME), folder / "report")
    return (folder / "report" / "report.md").read_text(encoding="utf-8")


def test_words_of_a_target_with_labels_that_train_lacks_are_errors_and_the_report_counts_them(
    tmp_path: Path, backbone: Path
) -> None:
    for name in ("train.en", "dev.en", "test.en"):
        (tmp_path / f"{name}.tsv").write_text(TRAIN)
    (tmp_path / "dev.en.tsv").write_text(TRAIN + "w1\tE\n")
    (tmp_path / "test.xx.tsv").write_text(TRAIN + "w1\tNEW\nw2\tD\n\nw3\tD\n")
    task = {"kind": "token", "target_languages": ["xx"]}
    markdown = swept(tmp_path, backbone, task, {"finetune": {}, "ptuning_v2": {"prompt_length": 2}})
    assert "**Test has labels that train lacks**: xx 3 of 39 words (`D` and `NEW`)." in markdown
    record = replay(tmp_path / "run" / FILE_NAME)
    tested = [trial for trial in record.trials.values() if trial.test_scores is not None]
    assert len(tested) == 2
    for trial in tested:
        assert trial.unseen_test_labels == {"xx": {"NEW": 1, "D": 2}}
        assert trial.num_test_labels == {"en": 36, "xx": 39}
        assert trial.test_scores is not None and 0 < trial.test_scores["test/xx/accuracy"] <= 36 / 39
        found = next(folder for folder in (tmp_path / "run").rglob(trial.trial_id) if folder.is_dir())
        kept = load_predictions(TrialFolder(found).path)
        assert kept is not None and kept.labels == ("A", "B", "C")
        assert len(kept.of("xx")) == 14


def test_pairs_with_a_label_that_train_lacks_are_errors_and_the_report_counts_them(
    tmp_path: Path, backbone: Path
) -> None:
    rows = "w1\tw2\tyes\nw3\tw4\tno\n" * 6
    for name in ("train.en", "dev.en", "test.en"):
        (tmp_path / f"{name}.tsv").write_text(rows)
    (tmp_path / "test.xx.tsv").write_text(rows + "w5\tw6\tmaybe\n")
    markdown = swept(tmp_path, backbone, {"kind": "pair", "target_languages": ["xx"]}, {"finetune": {}})
    assert "**Test has labels that train lacks**: xx 1 of 13 pairs (`maybe`)." in markdown


def test_a_sweep_whose_test_has_no_such_labels_says_nothing_of_them(tmp_path: Path, backbone: Path) -> None:
    for name in ("train.en", "dev.en", "test.en", "test.xx"):
        (tmp_path / f"{name}.tsv").write_text(TRAIN)
    task = {"kind": "token", "target_languages": ["xx"]}
    assert "that train lacks" not in swept(tmp_path, backbone, task, {"finetune": {}})


@pytest.mark.parametrize(
    ("unseen", "text"),
    [
        ({}, None),
        ({"zh": {"X": 2}}, "zh 2 of 1,200 words (`X`)."),
        ({"de": {"a|b": 1}, "zh": {f"L{i}": 9 - i for i in range(8)}}, "(`L0`, `L1`, `L2`, `L3`, `L4` and 3 more)."),
    ],
)
def test_the_report_reads_them_from_the_journal_alone(tmp_path: Path, unseen: Any, text: str | None) -> None:
    journal = JournalBuilder(tmp_path / "run", definition())
    trial = journal.complete("finetune", {"learning_rate": 1e-3}, 0.5)
    scores = {f"test/{language}/accuracy": 0.4 for language in ("en", "de", "zh")}
    more = {"num_labels": {"de": 1200, "zh": 1200}, "unseen_labels": unseen} if unseen else {}
    journal.journal.append("tested", trial_id=trial, scores=scores, baselines={}, num_examples={"de": 90}, **more)
    reports.write(replay(tmp_path / "run" / FILE_NAME), tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert cells(markdown, "finetune", header=("zero_shot",))
    assert ("that train lacks" in markdown) == (text is not None)
    assert text is None or text in markdown


def test_scores_of_a_trial_that_did_not_count_them_are_read_as_before() -> None:
    found = FinalScores(epoch=1, scores={}, majority={}, num_examples={"en": 3})
    assert (found.num_labels, found.unseen_labels) == ({}, {})
