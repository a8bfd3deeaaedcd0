"""Reports: what is selected, averaged, counted, flagged and written, from journals made by hand."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import yaml
from builders import SPACE, TASK, JournalBuilder, cells, definition
from rich.console import Console

from tunekit import reports
from tunekit.errors import ConfigError, StorageError
from tunekit.journal import SCHEMA, Journal, replay
from tunekit.reports.results import SweepResult, read
from tunekit.schema import build
from tunekit.sweep import SearchConfig, resolved
from tunekit.trial import EpochReport, FinalScores, Locations, Outcome, TrialConfig

A, B = {"learning_rate": 1e-3}, {"learning_rate": 2e-4}
TABLE = ("n", "zero_shot")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal made by hand need not survive a power cut."""
    monkeypatch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)


def _scores(en: float, de: float, zh: float) -> dict[str, float]:
    return {"en": en, "de": de, "zh": zh}


def _finished(folder: Path, **changes: Any) -> JournalBuilder:
    """One arm, two points, the better one finalised on seeds 10 and 42."""
    sweep = JournalBuilder(folder, definition(**changes))
    sweep.complete("finetune", B, 0.70)
    sweep.finalised("finetune", A, {10: (0.90, _scores(0.88, 0.60, 0.40)), 42: (0.86, _scores(0.84, 0.70, 0.50))})
    return sweep


def _report(sweep: JournalBuilder) -> str:
    out = sweep.journal.folder.report
    reports.write(sweep.record, out)
    return (out / "report.md").read_text(encoding="utf-8")


def _csv(sweep: JournalBuilder) -> list[dict[str, str]]:
    out = sweep.journal.folder.report
    reports.write(sweep.record, out)
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _shown(renderable: Any, *, width: int = 100) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_cell_is_the_mean_and_the_sample_deviation_over_seeds_in_percent(tmp_path: Path) -> None:
    row = cells(_report(_finished(tmp_path)), "finetune", header=TABLE)
    assert row["n"] == "2"
    assert row["en (source)"] == f"86.0 ± {100 * stdev([0.88, 0.84]):.1f}"
    assert row["de"] == f"65.0 ± {100 * stdev([0.6, 0.7]):.1f}"


def test_the_zero_shot_mean_and_the_gap_are_taken_for_each_seed_first(tmp_path: Path) -> None:
    row = cells(_report(_finished(tmp_path)), "finetune", header=TABLE)
    zero_shot = [fmean([0.60, 0.40]), fmean([0.70, 0.50])]
    gap = [0.88 - zero_shot[0], 0.84 - zero_shot[1]]
    assert row["zero_shot"] == f"{100 * fmean(zero_shot):.1f} ± {100 * stdev(zero_shot):.1f}"
    assert row["transfer_gap"] == f"{100 * fmean(gap):.1f} ± {100 * stdev(gap):.1f}"


def test_a_single_seed_has_no_deviation(tmp_path: Path) -> None:
    sweep = _finished(tmp_path, finalise={"top": 1, "seeds": [10]})
    row = cells(_report(sweep), "finetune", header=TABLE)
    assert (row["n"], row["en (source)"], row["zero_shot"]) == ("1", "88.0", "50.0")


def test_the_reported_point_is_the_best_on_dev_over_the_final_seeds_and_never_the_best_on_test(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 2, "seeds": [10, 42]}))
    sweep.finalised("finetune", A, {10: (0.90, _scores(0.9, 0.9, 0.9)), 42: (0.80, _scores(0.9, 0.9, 0.9))})
    sweep.finalised("finetune", B, {10: (0.89, _scores(0.5, 0.5, 0.5)), 42: (0.88, _scores(0.5, 0.5, 0.5))})
    assert cells(_report(sweep), "finetune", header=TABLE)["en (source)"] == "50.0 ± 0.0"
    rows = _csv(sweep)
    assert {row["point"] for row in rows if row["is_best_point"] == "True"} == {"1"}
    assert {row["point"] for row in rows if row["is_best_point"] == "False"} == {"0"}


def test_of_equal_points_the_one_drawn_first_is_reported(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 2, "seeds": [10]}))
    sweep.finalised("finetune", A, {10: (0.9, _scores(0.8, 0.6, 0.5))})
    sweep.finalised("finetune", B, {10: (0.9, _scores(0.9, 0.9, 0.9))})
    best = read(sweep.record).arm("finetune").best
    assert best is not None and best.number == 0


def test_search_seeds_that_finalising_did_not_ask_for_stay_out_of_the_table(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(seeds=[7], finalise={"top": 1, "seeds": [10, 42]}))
    searched = sweep.complete("finetune", A, 0.95, seed=7)
    sweep.test(searched, _scores(1.0, 1.0, 1.0))
    for seed in (10, 42):
        trial = sweep.complete("finetune", A, 0.8, seed=seed, number=0, phase="finalise")
        sweep.test(trial, _scores(0.5, 0.5, 0.5))
    row = cells(_report(sweep), "finetune", header=TABLE)
    assert (row["n"], row["en (source)"]) == ("2", "50.0 ± 0.0")
    assert {row["seed"] for row in _csv(sweep)} == {"10", "42"}


def test_a_point_drawn_twice_takes_its_replicates_from_both_draws(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 1, "seeds": [10, 42]}))
    first = sweep.complete("finetune", A, 0.8, seed=10)
    again = sweep.complete("finetune", A, 0.9, seed=42)  # the searcher drew the same point; it got another seed
    for trial in (first, again):
        sweep.test(trial, _scores(0.8, 0.6, 0.4))
    assert cells(_report(sweep), "finetune", header=TABLE)["n"] == "2"


def test_a_configuration_that_two_arms_share_is_reported_in_both(tmp_path: Path) -> None:
    arms = {"one": {"method": "finetune", "space": SPACE}, "two": {"method": "finetune", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms, search={"num_trials": 1}))
    sweep.finalised("one", A, {10: (0.9, _scores(0.8, 0.6, 0.4))})
    trial = sweep.complete("two", A, 0.9, seed=42)  # seed 10 was taken by the other arm
    sweep.test(trial, _scores(0.7, 0.6, 0.4))
    markdown = _report(sweep)
    assert cells(markdown, "one", header=TABLE)["n"] == cells(markdown, "two", header=TABLE)["n"] == "2"


def test_a_missing_seed_is_flagged_with_its_reason(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 1, "seeds": [10, 42, 421]}))
    sweep.finalised("finetune", A, {10: (0.9, _scores(0.9, 0.6, 0.5)), 421: (0.9, _scores(0.9, 0.6, 0.5))})
    failed = sweep.create("finetune", A, seed=42, number=0, phase="finalise")
    sweep.finish(failed, "FAILED", reason="out of memory | 8 GiB\nmore")
    markdown = _report(sweep)
    assert "n = 2 of 3 (seed 42: FAILED: out of memory" in markdown
    assert cells(markdown, "finetune", header=TABLE)["n"] == "2"


def test_failed_trials_are_counted_and_grouped_by_reason_whatever_its_numbers(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 5}))
    for index in range(3):
        trial = sweep.create("finetune", {"learning_rate": 1e-3 * (index + 2)})
        sweep.report(trial, [0.3])
        sweep.finish(trial, "FAILED", reason=f"loss became nan at update {17 + index} of epoch 2")
    pruned = sweep.create("finetune", B)
    sweep.report(pruned, [0.2])
    sweep.finish(pruned, "PRUNED", reason="0.2000 < 0.3000 at epoch 1")
    sweep.finalised("finetune", A, {10: (0.9, _scores(0.9, 0.6, 0.5)), 42: (0.9, _scores(0.9, 0.6, 0.5))})
    markdown = _report(sweep)
    group = cells(markdown, "finetune", header=["reason (of the first)"])
    assert group["trials"] == "3" and "update 17" in group["reason (of the first)"]
    budget = cells(markdown, "finetune", header=["updates"])
    assert [budget[key] for key in ("trials", "COMPLETE", "PRUNED", "FAILED")] == ["5", "1", "1", "3"]
    assert "1 trial PRUNED" in markdown


def test_updates_of_a_stopped_trial_are_counted_from_its_epochs(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    pruned = sweep.create("finetune", B)
    sweep.report(pruned, [0.2])
    sweep.finish(pruned, "PRUNED")
    assert read(sweep.record).arm("finetune").num_updates("search") == 40
    sweep.complete("finetune", A, 0.9)
    # 40 updates per epoch: one epoch of the stopped trial and two of the other.
    assert read(sweep.record).arm("finetune").num_updates("search") == 120


def test_an_unfinished_sweep_shows_dev_of_the_best_point_and_says_that_it_is_not_test(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 5}))
    sweep.complete("finetune", B, 0.7)
    sweep.complete("finetune", A, 0.91)
    sweep.report(sweep.create("finetune", {"learning_rate": 5e-3}), [0.95])
    markdown = _report(sweep)
    row = cells(markdown, "finetune", header=["dev", "majority"])
    assert (row["point"], row["dev"], row["majority"]) == ("1", "91.0", "25.0")
    assert "dev, not test; sweep unfinished" in markdown and "**The sweep is unfinished**" in markdown
    assert "zero_shot" not in markdown
    assert {row["split"] for row in _csv(sweep)} == {"dev"}
    assert "dev, not test; sweep unfinished" in _shown(reports.summary(sweep.record))


def test_a_sweep_that_finalises_nothing_is_finished_and_says_that_test_was_never_scored(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 0}, search={"num_trials": 1}))
    sweep.complete("finetune", A, 0.9)
    markdown = _report(sweep)
    assert read(sweep.record).is_finished
    assert "test was never scored" in markdown and "sweep unfinished" not in markdown


@pytest.mark.parametrize("state", ["FAILED", "PRUNED", "RUNNING", None])
def test_an_arm_without_a_complete_trial_keeps_its_row_and_has_no_best_config(tmp_path: Path, state: Any) -> None:
    arms = {"finetune": {"method": "finetune", "space": SPACE}, "other": {"method": "ptuning_v2", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms, search={"num_trials": 1}))
    sweep.finalised("finetune", A, {10: (0.9, _scores(0.9, 0.6, 0.5)), 42: (0.9, _scores(0.9, 0.6, 0.5))})
    if state is not None:
        trial = sweep.create("other", A)
        sweep.report(trial, [0.3])
        if state != "RUNNING":
            sweep.finish(trial, state, reason="because")
    markdown = _report(sweep)
    assert cells(markdown, "other", header=TABLE)["n"] == "0"
    assert "other" in _shown(reports.summary(sweep.record))
    assert not (tmp_path / "report" / "best_config.other.yaml").exists()
    with pytest.raises(ConfigError, match="no COMPLETE point"):
        reports.best_config_yaml(sweep.record, "other")


def test_a_sweep_without_any_trial_has_a_report_too(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    assert "No trial has been run." in _report(sweep)
    assert _csv(sweep) == []
    _shown(reports.summary(sweep.record))
    assert "tunekit resume small" in _shown(reports.status_table([("small", sweep.record)]))


def test_arms_of_different_tasks_have_tables_of_their_own_in_their_own_metric(tmp_path: Path) -> None:
    ner = {"method": "finetune", "task": {"name": "panx", "target_languages": ["ja"]}, "space": SPACE}
    arms = {"pos": {"method": "finetune", "space": SPACE}, "ner": ner}
    sweep = JournalBuilder(
        tmp_path, definition(arms=arms, search={"num_trials": 1}, finalise={"top": 1, "seeds": [10]})
    )
    sweep.finalised("pos", A, {10: (0.9, _scores(0.9, 0.6, 0.5))})
    sweep.finalised("ner", A, {10: (0.8, {"en": 0.8, "ja": 0.3})}, metric="f1", majority=0.0)
    markdown = _report(sweep)
    assert "## udpos: test accuracy × 100" in markdown and "## panx: test entity F1 (micro) × 100" in markdown
    assert "de" in cells(markdown, "pos", header=TABLE) and "de" not in cells(markdown, "ner", header=TABLE)
    assert cells(markdown, "ner", header=TABLE)["zero_shot"] == "30.0"


def test_a_list_of_shots_gives_a_row_each(tmp_path: Path) -> None:
    arms = {"finetune": {"method": "finetune", "shots": [16, 64], "space": SPACE}}
    sweep = JournalBuilder(
        tmp_path, definition(arms=arms, search={"num_trials": 1}, finalise={"top": 1, "seeds": [10]})
    )
    for name, score in (("finetune@16", 0.4), ("finetune@64", 0.6)):
        sweep.finalised(name, A, {10: (score, _scores(score, score, score))})
    markdown = _report(sweep)
    assert cells(markdown, "finetune@64", header=TABLE)["en (source)"] == "60.0"
    assert {row["shots"] for row in _csv(sweep)} == {"16", "64"}
    assert "64 shots per class" in markdown
    assert (tmp_path / "report" / "best_config.finetune@16.yaml").is_file()


def test_the_majority_baseline_has_a_row_and_arms_that_do_not_beat_it_are_named(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 1, "seeds": [10]}))
    sweep.finalised("finetune", A, {10: (0.9, _scores(0.9, 0.6, 0.2))}, majority=0.3)
    markdown = _report(sweep)
    row = cells(markdown, "majority", header=TABLE)
    assert (row["en (source)"], row["zero_shot"], row["transfer_gap"]) == ("30.0", "30.0", "0.0")
    assert "**Not above majority**: finetune in zh (20.0 against 30.0)" in markdown
    assert "Above majority in every language" not in markdown


def test_an_arm_above_majority_everywhere_is_said_to_be(tmp_path: Path) -> None:
    assert "Above majority in every language: finetune." in _report(_finished(tmp_path))


def test_selection_on_target_dev_is_said_loudly_wherever_a_table_is(tmp_path: Path) -> None:
    sweep = _finished(tmp_path, selection="target_dev")
    markdown = _report(sweep)
    assert "**Selected on TARGET-language dev.**" in markdown
    assert "## udpos: test accuracy × 100, selected on TARGET dev" in markdown
    assert "selected on TARGET dev" in _shown(reports.summary(sweep.record))
    assert "target-language dev" in reports.best_config_yaml(sweep.record, "finetune")
    assert {row["selection"] for row in _csv(sweep)} == {"target_dev"}


def test_selection_on_source_dev_names_the_language_and_the_seeds(tmp_path: Path) -> None:
    markdown = _report(_finished(tmp_path))
    assert "the dev score in the source language (en)" in markdown
    assert "seeds 10 and 42" in markdown and "TARGET" not in markdown


def test_unequal_budgets_are_flagged_with_by_how_much(tmp_path: Path) -> None:
    arms = {"finetune": {"method": "finetune", "space": SPACE}, "other": {"method": "ptuning_v2", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms))
    for index in range(4):
        sweep.complete("finetune", {"learning_rate": 1e-3 + index}, 0.8)
    sweep.complete("other", A, 0.8)
    assert "search trials finetune 4, other 1 (4.0 ×)" in _report(sweep)


def test_equal_budgets_are_not_flagged(tmp_path: Path) -> None:
    arms = {"finetune": {"method": "finetune", "space": SPACE}, "other": {"method": "ptuning_v2", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms))
    for arm in arms:
        sweep.complete(arm, A, 0.8)
    assert "Unequal" not in _report(sweep)


def test_changed_data_cut_pairs_and_samples_are_flagged(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(task={**TASK, "max_test_examples": 200}))
    first = sweep.create("finetune", A)
    sweep.report(first, [0.9, 0.9])
    sweep.finish(first, num_train_truncated=12)
    second = sweep.create("finetune", B)
    sweep.report(second, [0.8, 0.8])
    sweep.finish(second, fingerprints={"train/en": "ffff"})
    markdown = _report(sweep)
    assert (
        "**The data changed** while finetune ran: of train/en its trials saw `0123` (1 trial) and `ffff` (1 trial)"
        in markdown
    )
    assert "12 of 600 training pairs were cut at 128 tokens" in markdown
    assert "test 200" in markdown


TWO_ARMS = {"finetune": {"method": "finetune", "space": SPACE}, "other": {"method": "ptuning_v2", "space": SPACE}}
READ = {"backbone": "b0", "train/en": "0123", "dev/en": "4567", "test/en": "89ab", "test/de": "cdef", "test/zh": "1122"}


def _two_arms(folder: Path, other: dict[str, Any], first: dict[str, Any] | None = None, **changes: Any) -> str:
    """The report of two arms with a finished trial each; `first` and `other` are their facts."""
    sweep = JournalBuilder(folder, definition(**{"arms": TWO_ARMS, **changes}))
    for arm, facts in (("finetune", first or {}), ("other", other)):
        trial = sweep.create(arm, A)
        sweep.start(trial, **{"fingerprints": READ, **facts})
        sweep.report(trial, [0.8, 0.9])
        sweep.finish(trial)
    return _report(sweep)


def test_arms_that_read_and_ran_alike_are_not_told_apart(tmp_path: Path) -> None:
    markdown = _two_arms(tmp_path, {})
    assert not any(word in markdown for word in ("Different", "different", "changed while", "other software"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"test/de": "x"},
            "finetune read other test data in de than other, so their scores there are not comparable.",
        ),
        ({"test/de": "x", "test/zh": "y"}, "finetune read other test data in de and zh than other"),
        ({"dev/en": "x"}, "finetune read other dev data in en than other."),
        ({"train/en": "x"}, "finetune read other train data in en than other."),
        ({"backbone": "b1"}, "**Different backbones** of one name: finetune ran on other files of mini than other."),
    ],
)
def test_arms_that_read_other_bytes_are_named_with_what_they_read(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    assert said in _two_arms(tmp_path, {"fingerprints": {**READ, **changed}})


def test_arms_of_different_descriptions_are_told_apart_by_their_test_data_too(tmp_path: Path) -> None:
    arms = {**TWO_ARMS, "other": {**TWO_ARMS["other"], "task": {"data_name": "cleaned"}}}
    markdown = _two_arms(tmp_path, {"fingerprints": {**READ, "test/zh": "ffff"}}, arms=arms)
    assert "read other test data in zh than other" in markdown


def test_three_arms_with_three_kinds_of_data_are_all_named(tmp_path: Path) -> None:
    arms = {name: {"method": "finetune", "space": SPACE} for name in "abcd"}
    sweep = JournalBuilder(tmp_path, definition(arms=arms))
    for number, (arm, found) in enumerate(zip("abcd", ("x", "y", "x", "z"), strict=True)):
        trial = sweep.create(arm, {"learning_rate": 1e-3 * (number + 1)})
        sweep.start(trial, fingerprints={**READ, "test/de": found})
    assert "a and c read other test data in de than b, and other than d, so" in _report(sweep)


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("torch", "versions of torch"),
        ("tunekit", "versions of tunekit"),
        ("transformers", "versions of transformers"),
        ("tunekit_code", "source files of tunekit"),
    ],
)
def test_arms_that_ran_other_software_are_named_with_its_versions(tmp_path: Path, key: str, what: str) -> None:
    versions = {"torch": "2.13.0", "tunekit": "0.7.0", "transformers": "5.23.0", "tunekit_code": "aa"}
    markdown = _two_arms(tmp_path, {"versions": {**versions, key: "zz"}}, {"versions": versions})
    assert f"Trials ran on different {what}, so results may differ: finetune: {versions[key]}; other: zz." in markdown
    assert markdown.count("Trials ran on different") == 1


def test_trials_of_one_arm_that_ran_other_software_are_counted(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    for number, torch in enumerate(("2.12", "2.13", "2.12", "2.12")):
        trial = sweep.create("finetune", {"learning_rate": 1e-3 * (number + 1)})
        sweep.start(trial, versions={"torch": torch})
    assert "different versions of torch, so results may differ: finetune: 2.12 in 3 trials and 2.13 in 1 trial." in (
        _report(sweep)
    )


def test_a_trial_that_went_on_with_other_software_has_run_on_both(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    trial = sweep.create("finetune", A)
    sweep.start(trial, versions={"torch": "2.12"})
    assert "versions of torch" not in _report(sweep), "nothing was trained before it started anew"
    sweep.report(trial, [0.5])
    sweep.journal.append("interrupted", trial_id=trial, reason="a kill")
    sweep.start(trial, versions={"torch": "2.13"})
    assert "finetune: 2.12 in 1 trial and 2.13 in 1 trial" in _report(sweep)


def test_a_method_of_ones_own_that_changed_between_trials_is_named(tmp_path: Path) -> None:
    apart = _two_arms(tmp_path / "apart", {"versions": {"method_code": "bb"}}, {"versions": {"method_code": "aa"}})
    assert "source files of their method" not in apart, "two methods are two files"
    sweep = JournalBuilder(tmp_path / "one", definition())
    for number, code in enumerate(("aa", "bb")):
        trial = sweep.create("finetune", {"learning_rate": 1e-3 * (number + 1)})
        sweep.start(trial, versions={"method_code": code})
    assert "different source files of their method, so results may differ: finetune: aa in 1 trial and bb" in (
        _report(sweep)
    )


def test_number_formats_that_differ_are_named(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(arms=TWO_ARMS))
    sweep.complete("finetune", {**A, "dtype": "bf16"}, 0.9)
    assert "number formats" not in _report(sweep)
    sweep.complete("other", A, 0.9)
    assert "Trials computed in different number formats: finetune: bf16; other: fp32." in _report(sweep)


def test_devices_that_differ_are_named(tmp_path: Path) -> None:
    markdown = _two_arms(tmp_path, {"device": "NVIDIA H100"})
    assert "different devices, so their times and last digits differ: finetune: cpu (x86_64); other: NVIDIA H100." in (
        markdown
    )


def test_a_sweep_gone_on_with_by_other_software_says_so_where_no_trial_does(tmp_path: Path) -> None:
    sweep = _finished(tmp_path)
    again = {"tunekit": "0.1.1", "python": "3.12.1", "torch": "2.14.0", "optuna": "5.1"}
    for commit in ("aa", "bb-dirty"):
        sweep.journal.append("resumed", host="node", pid=1, versions={**again, "tunekit_commit": commit})
    markdown = _report(sweep)
    assert "**The sweep was gone on with by other software** than launched it: tunekit 0.1.0, then 0.1.1." in markdown
    assert "tunekit_commit bb-dirty" in markdown


def test_a_search_extended_after_test_was_scored_is_flagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = iter(range(59, 0, -1))  # the clock goes back, as one that is set does
    monkeypatch.setattr("tunekit.journal.events.now", lambda: f"2026-01-01T00:{next(minutes):02}:00.000Z")
    sweep = _finished(tmp_path)
    assert "extended" not in _report(sweep)
    longer = definition(search={"num_trials": 3})
    described = resolved(replace(sweep.record.sweep, search=SearchConfig(num_trials=3)))
    sweep.journal.append("amended", definition=longer, sweep=described)
    sweep.complete("finetune", {"learning_rate": 3e-3}, 0.6)
    assert "extended after test had been scored (1 search trial later)" in _report(sweep)


def test_the_csv_and_the_table_tell_the_same(tmp_path: Path) -> None:
    sweep = _finished(tmp_path)
    rows = [r for r in _csv(sweep) if r["split"] == "test" and r["is_main_metric"] == "True"]
    values = [float(row["value"]) for row in rows if row["language"] == "de"]
    shown = cells(_report(sweep), "finetune", header=TABLE)["de"]
    assert shown == f"{100 * fmean(values):.1f} ± {100 * stdev(values):.1f}"
    assert {(row["language"], row["role"]) for row in rows} == {("en", "source"), ("de", "target"), ("zh", "target")}
    assert {row["majority"] for row in rows} == {"0.2"}
    keys = [(r["arm"], r["point"], r["seed"], r["split"], r["language"], r["metric"]) for r in _csv(sweep)]
    assert len(keys) == len(set(keys))


def test_the_best_config_builds_the_very_trial_and_names_the_places_of_its_data(tmp_path: Path) -> None:
    sweep = _finished(tmp_path)
    text = reports.best_config_yaml(sweep.record, "finetune")
    content = yaml.safe_load(text)
    locations = build(Locations, content.pop("locations"), "locations")
    trial = build(TrialConfig, content, "best_config")
    assert trial.trial_id in sweep.record.trials and trial.trial_id in text
    assert trial.seed == 10 and trial.training.learning_rate == A["learning_rate"]
    assert locations == Locations(data_dir="/data/xtreme", backbone_path="/models/mini")
    assert text.startswith("# Best configuration of arm finetune in sweep small: point 1 (finalised).")


def test_the_best_config_of_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 5}))
    sweep.complete("finetune", A, 0.9)
    assert "# The sweep is unfinished" in reports.best_config_yaml(sweep.record, "finetune")


def test_an_unknown_arm_is_told_the_nearest_and_several_ask_for_one(tmp_path: Path) -> None:
    arms = {"finetune": {"method": "finetune"}, "other": {"method": "ptuning_v2"}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms))
    with pytest.raises(ConfigError, match="did you mean 'finetune'"):
        reports.best_config_yaml(sweep.record, "fintune")
    with pytest.raises(ConfigError, match="--arm: finetune, other"):
        reports.best_config_yaml(sweep.record)


def test_names_in_any_script_come_through_and_cells_hold_their_bars(tmp_path: Path) -> None:
    task = {**TASK, "name": "wörter|タグ", "kind": "token", "target_languages": ["de", "中文"], "data_dir": "/データ/ü"}
    sweep = JournalBuilder(tmp_path, definition(task=task, search={"num_trials": 2}))
    trial = sweep.create("finetune", B)
    sweep.finish(trial, "FAILED", reason="cannot read /データ/\udcff | torn")
    runs = {seed: (0.9, {"en": 0.9, "de": 0.6, "中文": 0.5}) for seed in (10, 42)}
    sweep.finalised("finetune", A, runs)
    markdown = _report(sweep)
    assert cells(markdown, "finetune", header=TABLE)["中文"] == "50.0 ± 0.0"
    assert "/データ/\\udcff \\| torn" in markdown
    assert "data_dir: /データ/ü" in reports.best_config_yaml(sweep.record, "finetune")
    assert {row["task"] for row in _csv(sweep)} == {"wörter|タグ"}
    _shown(reports.summary(sweep.record)).encode("utf-8")


def test_the_searched_space_and_the_best_points_are_listed(tmp_path: Path) -> None:
    space = {
        **SPACE,
        "batch_size": [8, 16],
        "prompt_length": {"low": 8, "high": 50},
        "projection_size": {"choices": [128, 256], "when": {"batch_size": 8}},
    }
    shared = {"weight_decay": {"low": 0.0, "high": 0.1}, "rank": {"low": 2, "high": 8}}
    arms = {"p": {"method": "ptuning_v2", "space": space}, "l": {"method": "lora"}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms, space=shared))
    sweep.complete("p", {**A, "batch_size": 16, "prompt_length": 12, "weight_decay": 0.05}, 0.9)
    markdown = _report(sweep)
    assert cells(markdown, "`prompt_length`")["searched"] == "8 to 50 (int)"
    assert cells(markdown, "`learning_rate`")["searched"] == "1e-05 to 0.01 (float, log)"
    assert cells(markdown, "`projection_size`")["searched"] == "one of 128, 256 when batch_size in [8]"
    assert cells(markdown, "`projection_size`")["best"] == "–"
    assert cells(markdown, "`weight_decay`")["best"] == "0.05"
    assert "`rank`" in markdown.partition("### l\n")[2], "a parameter of all arms is listed where it has an effect"
    assert "`rank`" not in markdown.partition("### p\n")[2].partition("### l\n")[0]
    assert cells(markdown, "0", header=["search dev"])["search dev"] == "90.0"


def test_a_grid_asks_for_no_more_points_than_it_has(tmp_path: Path) -> None:
    space = {"batch_size": [8, 16], "epochs": {"low": 2, "high": 4, "type": "int"}}
    space["warmup_fraction"] = {"low": 0.0, "high": 0.2, "step": 0.1, "when": {"batch_size": 16}}
    content = definition(
        arms={"finetune": {"method": "finetune", "space": space}}, search={"searcher": "grid", "num_trials": 100}
    )
    sweep = JournalBuilder(tmp_path, content)
    assert read(sweep.record).arms[0].progress.num_points_asked == 3 * (1 + 3)


@pytest.mark.parametrize(
    ("changes", "num_trials", "is_done"),
    [
        ({"search": {"num_trials": 3}}, 2, False),
        ({"search": {"num_trials": 2}}, 2, True),
        ({"search": {"num_trials": 9}, "budget": {"trials": 2}}, 2, True),
        ({"search": {"num_trials": 9}, "budget": {"hours": 0.05}}, 2, True),  # each takes two minutes
        ({"search": {"num_trials": 2}, "seeds": [10, 42]}, 2, False),
    ],
)
def test_a_search_is_over_with_its_points_its_budget_and_its_seeds(
    tmp_path: Path, changes: dict[str, Any], num_trials: int, is_done: bool
) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 0}, **changes))
    for index in range(num_trials):
        sweep.complete("finetune", {"learning_rate": 1e-3 * (index + 1)}, 0.5)
    assert read(sweep.record).is_finished is is_done


def test_status_says_why_trials_failed_those_alike_once(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 3}))
    for index in range(3):
        trial = sweep.create("finetune", {"learning_rate": 1e-3 * (index + 1)})
        reason = f"loss became nan at update {index} of epoch 2 (learning rate 0.0056); a lower rate may help"
        sweep.finish(trial, "FAILED", reason=reason)
    status = " ".join(_shown(reports.status_table([("small", sweep.record)])).split())
    assert "failed: 3 trials of finetune, such as" in status
    assert "loss became nan at update 0 of epoch 2 (learning rate 0.0056)" in status
    assert status.count("became nan") == 1


def test_a_sweep_is_unfinished_until_every_final_trial_is_scored_or_has_failed(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 1}))
    sweep.test(sweep.complete("finetune", A, 0.9), _scores(0.9, 0.6, 0.5))
    status = _shown(reports.status_table([("small", sweep.record)]))
    assert "1/2" in status and "tunekit resume small" in status
    trial = sweep.create("finetune", A, seed=42, number=0, phase="finalise")
    sweep.finish(trial, "FAILED", reason="because")
    status = _shown(reports.status_table([("small", sweep.record)]))
    assert "2/2" in status and "tunekit report small" in status


_RANGE = {"learning_rate": {"low": 1, "high": 3, "step": 1}, "batch_size": [8, 16]}


@pytest.mark.parametrize(
    "changes",
    [
        {"space": _RANGE, "search": {"searcher": "grid", "num_trials": 40}, "finalise": {"top": 2, "seeds": [10, 42]}},
        {"space": _RANGE, "search": {"searcher": "random", "num_trials": 9}, "budget": {"hours": 0.1}},
        {"arms": {"finetune": {"method": "finetune", "space": _RANGE, "shots": [4, 8]}}, "budget": {"trials": 5}},
    ],
)
def test_reports_and_the_search_agree_on_the_sweep_file_and_on_when_it_is_over(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    from tunekit.search import Search
    from tunekit.sweep import Source, parse_sweep, resolved

    arms = {"finetune": {"method": "finetune"}, "other": {"method": "ptuning_v2", "space": {"prompt_length": [4, 8]}}}
    content = {**definition(arms=arms, backbone={"name": "mini", "path": str(tmp_path)}), **changes}
    sweep = parse_sweep(content, Source("test"))
    journal = Journal(tmp_path / "run")
    journal.append("launched", sweep=resolved(sweep), definition=dict(sweep.definition), versions={}, schema=SCHEMA)
    search = Search(sweep, journal)
    while (work := search.next_trial()) is not None:
        assert not read(journal.record).is_finished
        if work.trial.state == "RUNNING":
            metrics = {"dev/en/accuracy": 0.5 + work.trial.number / 100}
            report = EpochReport(epoch=1, value=metrics["dev/en/accuracy"], metrics=metrics, duration_s=40.0)
            search.report(work.trial, report)
            state: Any = "FAILED" if work.trial.number == 1 else "COMPLETE"
            value = report.value if state == "COMPLETE" else None
            search.finish(work.trial, Outcome(state=state, value=value, metrics=metrics))
        if work.test and work.trial.state == "COMPLETE":
            scores = {f"test/{x}/accuracy": 0.5 for x in ("en", "de", "zh")}
            search.tested(work.trial, FinalScores(epoch=1, scores=scores, majority={}, num_examples={}))
        search.release(work.trial)
    assert search.is_done and read(journal.record).is_finished
    for arm, result in zip(sweep.arms, read(journal.record).arms, strict=True):
        assert (result.arm, result.progress.num_points_asked) == (arm, sweep.num_points(arm))
        asked = {final.point.number for final in search.progress.finals(arm)}
        assert {final.point.number for final in result.finals} == asked


def test_status_counts_states_a_sweep_and_says_which_runs_now(tmp_path: Path) -> None:
    first = _finished(tmp_path / "a")
    second = JournalBuilder(tmp_path / "b", definition(name="second"))
    second.create("finetune", A)
    shown = _shown(reports.status_table([("a", first.record), ("b", second.record)], running={"b"}))
    row_a, row_b = (next(line.split() for line in shown.splitlines() if line.startswith(f" {x} ")) for x in "ab")
    assert row_a[1:5] == ["3", "0", "0", "0"] and row_a[-3:] == ["tunekit", "report", "a"]
    assert row_b[1:5] == ["0", "1", "0", "0"] and row_b[-2:] == ["running", "now"]


def test_the_summary_fits_a_terminal_of_80_columns_and_shows_scores_parameters_and_cost(tmp_path: Path) -> None:
    targets = [f"l{index}" for index in range(40)]
    sweep = JournalBuilder(tmp_path, definition(task={**TASK, "target_languages": targets}))
    runs = {s: (0.9, {"en": 0.9 + s / 1e4, **dict.fromkeys(targets, 0.5)}) for s in (10, 42)}
    sweep.finalised("finetune", A, runs)
    shown = _shown(reports.summary(sweep.record), width=80)
    assert "90.3 ± 0.2" in shown and "l39" in shown and "…" not in shown
    assert "learning_rate 0.001" in shown and "1 search trial (1 complete), 2 min" in shown


def test_many_arms_are_summed_up_by_source_and_zero_shot_mean(tmp_path: Path) -> None:
    arms = {f"arm{index}": {"method": "finetune", "space": SPACE} for index in range(6)}
    sweep = JournalBuilder(tmp_path, definition(arms=arms, finalise={"top": 1, "seeds": [10]}))
    for index in range(6):
        sweep.finalised(f"arm{index}", {"learning_rate": 1e-3 * (index + 1)}, {10: (0.9, _scores(0.9, 0.6, 0.5))})
    shown = _shown(reports.summary(sweep.record), width=80)
    assert "zero_shot" in shown and "55.0" in shown and "majority" in shown


def test_interruptions_launches_and_versions_are_told(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    trial = sweep.create("finetune", A)
    sweep.journal.append("interrupted", trial_id=trial, reason="the worker died")
    sweep.journal.append("resumed", host="node", pid=1, versions={"torch": "9.9"})
    markdown = _report(sweep)
    assert "Resumed 1 time; 1 trial interruption" in markdown and "torch 9.9" in markdown


def test_the_definition_in_the_report_is_the_sweep_file(tmp_path: Path) -> None:
    sweep = _finished(tmp_path)
    block = _report(sweep).partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block) == sweep.content


def test_a_report_is_made_again_from_the_journal_alone_and_is_the_same(tmp_path: Path) -> None:
    sweep = _finished(tmp_path)
    files = reports.write(sweep.record, tmp_path / "one")
    sweep.journal.close()
    again = reports.write(replay(tmp_path), tmp_path / "two")
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    names = [path.name for path in files if path.parent == tmp_path / "one"]
    rows = [f"{name}.{end}" for name in ("results", "trials", "curves") for end in ("csv", "parquet")]
    assert names == ["report.md", "report.html", "tables.tex", *rows, "best_config.finetune.yaml"]
    written = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert written == sorted(files)


def test_the_files_of_a_report_are_listed_in_a_few_lines(tmp_path: Path) -> None:
    files = reports.write(_finished(tmp_path).record, tmp_path / "out")
    heads = [
        "report.md",
        "report.html",
        "tables.tex",
        "results.csv, results.parquet, trials.csv, ",
        "tables/ (",
        "best_config.finetune",
    ]
    head, *lines = str(files).splitlines()
    assert head == "written:" and len(lines) == len(heads)
    assert all(line.startswith(f"  {tmp_path}/out/{begin}") for line, begin in zip(lines, heads, strict=True))


def test_one_line_in_the_registry_adds_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reports.REPORTS, "listing", "test_reports:_write_listing")
    files = reports.write(_finished(tmp_path).record, tmp_path / "out")
    assert files.written["listing"] == (tmp_path / "out" / "arms.txt",)


def _write_listing(result: SweepResult, out: Path) -> list[Path]:
    (out / "arms.txt").write_text("\n".join(arm.name for arm in result.arms), encoding="utf-8")
    return [out / "arms.txt"]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="--out"):
        reports.write(_finished(tmp_path / "run").record, tmp_path / "file")


def test_reports_load_neither_torch_nor_ray_and_no_optuna_before_there_is_a_search_to_draw(tmp_path: Path) -> None:
    _finished(tmp_path).journal.close()
    code = (
        "import sys; from pathlib import Path; from tunekit import journal, reports\n"
        f"record = journal.replay(Path({str(tmp_path)!r}))\n"
        f"reports.write(record, Path({str(tmp_path)!r}) / 'report'); reports.summary(record)\n"
        "reports.status_table([('a', record)]); reports.best_config_yaml(record)\n"
        "assert not {'torch', 'ray', 'optuna', 'transformers'} & sys.modules.keys()\n"
    )
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- drawn again -----------------------------------------------------------------------------------------------------


def _draw(sweep: JournalBuilder, params: dict[str, Any], value: float, **more: Any) -> str:
    """A new draw of a point."""
    return sweep.complete("finetune", params, value, **more)


def _ranked(sweep: JournalBuilder) -> list[tuple[int, float | None, int]]:
    """Number, value and draws of the points, best first; told alike while the sweep runs and by a replay."""
    points = [(p.number, p.value, p.num_draws) for p in sweep.record.arm("finetune").top(9)]
    again = replay(sweep.journal.folder.path).arm("finetune").top(9)
    assert [(p.number, p.value, p.num_draws) for p in again] == points
    return points


def test_a_point_drawn_again_is_ranked_by_all_its_trials_and_not_by_its_luckiest(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(seeds=[10], search={"num_trials": 4}))
    _draw(sweep, A, 0.60)
    for seed, value in ((10, 0.55), (43, 0.40), (44, 0.75)):
        _draw(sweep, B, value, seed=seed)
    assert _ranked(sweep) == [(0, 0.60, 1), (1, fmean([0.55, 0.40, 0.75]), 3)]
    markdown = _report(sweep)
    assert cells(markdown, "1", header=("search dev",)) | {"search dev": "56.7 ± 17.6", "n": "3"} == cells(
        markdown, "1", header=("search dev",)
    )
    assert "Drawn again, each time on another seed: point 1 3 times." in markdown
    best = reports.best_config_yaml(sweep.record, "finetune")
    assert "point 0" in best
    assert "60.0" in _shown(reports.status_table([("small", sweep.record)]))


@pytest.mark.parametrize(("state", "reached"), [("PRUNED", 0.30), ("FAILED", 0.30)])
def test_a_later_draw_that_ends_early_counts_what_it_had_reached(tmp_path: Path, state: str, reached: float) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 4}))
    _draw(sweep, A, 0.65)
    _draw(sweep, B, 0.90)
    trial = sweep.create("finetune", B, seed=43)
    assert _ranked(sweep)[0] == (1, 0.90, 2), "one that runs counts nothing yet"
    sweep.report(trial, [0.1, reached])
    assert _ranked(sweep)[0] == (1, 0.90, 2)
    sweep.finish(trial, state, reason="why")
    assert _ranked(sweep) == [(0, 0.65, 1), (1, fmean([0.90, reached]), 2)]
    assert f"1 {state}: those that ended early count what they had reached" in _report(sweep)


def test_a_later_draw_that_fails_before_its_first_epoch_hides_nothing(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 4}))
    _draw(sweep, B, 0.90)
    trial = sweep.create("finetune", B, seed=43)
    sweep.finish(trial, "FAILED", reason="no memory")
    assert _ranked(sweep) == [(0, 0.90, 2)]
    assert "1 FAILED" in _report(sweep)
    sweep.journal.append("reopened", trial_id=trial, reason="no memory")
    sweep.report(trial, [0.5, 0.7])
    sweep.finish(trial)
    assert _ranked(sweep) == [(0, fmean([0.90, 0.7]), 2)]


def test_draws_that_all_ended_early_have_no_value(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 4}))
    for seed in (10, 43):
        trial = sweep.create("finetune", B, seed=seed)
        sweep.report(trial, [0.1])
        sweep.finish(trial, "PRUNED")
    assert _ranked(sweep) == []
    _draw(sweep, B, 0.5, seed=44)
    assert _ranked(sweep) == [(0, fmean([0.1, 0.1, 0.5]), 3)]


def test_the_order_kept_event_by_event_is_the_order_of_the_means(tmp_path: Path) -> None:
    """Random stories of few configurations drawn often, against a mean taken anew after each event."""
    draw = random.Random(4)
    for story in range(20):
        sweep = JournalBuilder(tmp_path / str(story), definition(search={"num_trials": 99}))
        for seed in range(12):
            trial = sweep.create("finetune", {"learning_rate": draw.choice([1e-3, 2e-3, 3e-3])}, seed=seed)
            sweep.report(trial, [draw.choice([0.1, 0.5, 0.7])] * draw.randint(0, 2))
            states = ["COMPLETE", "PRUNED", "FAILED"] if sweep.record.trials[trial].reports else ["FAILED"]
            if draw.random() < 0.9:
                sweep.finish(trial, draw.choice(states))
            _is_ranked_by_means(sweep)


def _is_ranked_by_means(sweep: JournalBuilder) -> None:
    values: dict[str, list[float]] = {}
    whole, first = set(), {}
    for trial in sweep.record.trials.values():
        first.setdefault(trial.point_id, trial.number)
        if trial.state != "RUNNING" and trial.best_so_far is not None:
            values.setdefault(trial.point_id, []).append(trial.best_so_far)
        if trial.state == "COMPLETE":
            whole.add(trial.point_id)
    wanted = sorted((-fmean(found), first[point]) for point, found in values.items() if point in whole)
    top = sweep.record.arm("finetune").top(9)
    assert [(-(point.value or 0), point.number) for point in top] == wanted


# -- names from outside ----------------------------------------------------------------------------------------------

STRANGE = ["a<script>b", "x|y", "**loud**", "`tick", "[go](javascript:x)", "&lt;b", "<img src=x onerror=y>", "<!-- x"]


@pytest.mark.parametrize("name", STRANGE)
def test_names_stand_in_markdown_as_they_are_and_do_nothing(tmp_path: Path, name: str) -> None:
    from markdown_it import MarkdownIt

    task = {**TASK, "name": name, "kind": "token", "target_languages": ["de", name.replace("/", "")]}
    text = f"{name} {{text}}"
    arms = {"finetune": {"method": "finetune", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(task=task, arms=arms, search={"num_trials": 3}))
    failed = sweep.create("finetune", {**B, "template": text})
    sweep.finish(failed, "FAILED", reason=f"{name}\nsecond line")
    sweep.finalised("finetune", {**A, "template": text}, {10: (0.9, {"en": 0.9, "de": 0.6, name: 0.5})})
    markdown = _report(sweep)
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inside = [child for token in tokens for child in token.children or []]
    assert not [token for token in (*tokens, *inside) if token.type in ("html_block", "html_inline", "link_open")]
    headings = [tokens[at + 1].children for at, token in enumerate(tokens) if token.type == "heading_open"]
    written = ["".join(child.content for child in heading or []) for heading in headings]
    assert any(heading.startswith(f"{name}: test") for heading in written)
    assert "&lt;" not in _shown(reports.summary(sweep.record)) or "&lt;" in name


@pytest.mark.parametrize(
    "value", ["red \x1b[31m", "back\x08", "bell\x07", "c1 \x9b2J", "turned \u202eabc", "two\nlines"]
)
def test_no_value_from_outside_gives_orders_to_a_terminal(tmp_path: Path, value: str) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 2}))
    failed = sweep.create("finetune", {**B, "template": value})
    sweep.finish(failed, "FAILED", reason=value)
    sweep.finalised("finetune", {**A, "template": value}, {10: (0.9, _scores(0.9, 0.6, 0.5))})
    shown = _shown(reports.summary(sweep.record))
    orders = set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x202E]))
    assert not set(shown) & orders
    table = [line for line in _report(sweep).splitlines() if line.startswith("|")]
    assert not set("".join(table)) & orders


def test_a_fence_in_a_value_does_not_end_the_sweep_file_in_the_report(tmp_path: Path) -> None:
    task = {**TASK, "name": "```\n<script>\n````", "kind": "token"}
    markdown = _report(JournalBuilder(tmp_path, definition(task=task)))
    assert markdown.count("`````") == 2


def test_a_point_that_failed_on_a_seed_stands_behind_one_that_failed_on_none(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 2, "seeds": [10, 42]}))
    sweep.finalised("finetune", {"learning_rate": 1e-3}, {10: (0.9, _scores(0.9, 0.5, 0.5))})
    failed = sweep.create("finetune", {"learning_rate": 1e-3}, seed=42, number=0, phase="finalise")
    sweep.finish(failed, "FAILED", reason="the loss is nan")
    runs = {10: (0.8, _scores(0.8, 0.4, 0.4)), 42: (0.8, _scores(0.8, 0.4, 0.4))}
    sweep.finalised("finetune", {"learning_rate": 2e-3}, runs)
    (arm,) = read(sweep.record).arms
    assert [(point.number, point.num_failed) for point in arm.tested] == [(1, 0), (0, 1)]
    assert arm.best is not None and arm.best.number == 1
    assert "one that failed on a seed stands behind" in _report(sweep)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [([10], "as the runs on seed 10, which the search chose"), ([7], "flatters it; its test score does not.")],
)
def test_how_far_the_choice_flatters_test_is_said(seeds: list[int], said: str, tmp_path: Path) -> None:
    assert said in _report(_finished(tmp_path, seeds=seeds))
