"""Arms of several sweeps side by side: on the same tests or not at all, and what else differs is said."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import SPACE, TASK, JournalBuilder, cells, definition
from command_line import CommandLine
from rich.console import Console
from test_significance import alike, sweep_of

from tunekit.errors import ConfigError
from tunekit.predictions import TestPredictions, save
from tunekit.reports import compared, comparison_page
from tunekit.reports.across import Compared
from tunekit.reports.across.settings import reservations
from tunekit.reports.render.compared import to_csv, to_markdown
from tunekit.reports.significance import differences

POINT = {"learning_rate": 1e-3}
TESTS = {"test/en": "e0", "test/de": "d0", "test/zh": "z0"}


class Builder(JournalBuilder):
    """Writes a journal whose trials say what they read on test."""

    prints: Mapping[str, str] = TESTS
    facts: Mapping[str, Any] = {}

    def start(self, trial_id: str, **facts: Any) -> None:
        read = {"backbone": "b0", "train/en": "0123", "dev/en": "4567", **self.prints}
        super().start(trial_id, **{"fingerprints": read, **self.facts, **facts})


def sweep(
    folder: Path,
    arms: Mapping[str, float],
    *,
    targets: Sequence[str] = ("de", "zh"),
    prints: Mapping[str, str] = TESTS,
    names: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (10, 42),
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Builder:
    """A sweep whose arms score about so much on test, the same in each language but for some points."""
    task = {**TASK, "target_languages": list(targets), **changes.pop("task", {})}
    content = {
        "task": task,
        "arms": {name: {"method": "finetune", "space": SPACE} for name in arms},
        "finalise": {"top": 1, "seeds": list(seeds)},
        **changes,
    }
    builder = Builder(folder, definition(**content))
    builder.prints, builder.facts = prints, facts or {}
    for place, (name, score) in enumerate(arms.items()):
        point = {"learning_rate": 1e-3 * (place + 1)}
        scores = {language: score + 0.01 * n + 0.1 * (n == 0) for n, language in enumerate(("en", *targets))}
        runs = {
            seed: (0.9, {language: each - 0.02 * k for language, each in scores.items()})
            for k, seed in enumerate(seeds)
        }
        for trial in builder.finalised(name, point, runs):
            if names is not None:
                kept = TestPredictions(
                    trial_id=trial, epoch=2, fingerprints={}, labels=("A",), numbers={}, examples=names, counts={}
                )
                save(builder.journal.folder.trial(trial).predictions, kept)
    return builder


def side_by_side(*builders: JournalBuilder) -> Compared:
    return compared([(builder.record, builder.journal.folder) for builder in builders])


def text_of(found: Compared, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(comparison_page(found))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def refused(*builders: JournalBuilder) -> str:
    with pytest.raises(ConfigError) as error:
        side_by_side(*builders)
    return str(error.value)


# -- the tables ------------------------------------------------------------------------------------------------------


def test_arms_of_two_sweeps_stand_in_one_table_under_names_of_their_own(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"finetune": 0.6, "topro": 0.7})
    two = sweep(tmp_path / "two", {"finetune": 0.5})
    found = side_by_side(one, two)
    (comparison,) = found.result.comparisons
    assert [arm.name for arm in comparison.arms] == ["one/finetune", "topro", "two/finetune"]
    text = to_markdown(found)
    assert "## udpos: test accuracy × 100 (zero_shot: the mean over 2 target languages)" in text
    row = cells(text, "two/finetune", header=["en (source)"])
    assert (row["n"], row["en (source)"], row["de"], row["zh"]) == ("2", "59.0 ± 1.4", "50.0 ± 1.4", "51.0 ± 1.4")
    assert row["zero_shot"] == "50.5 ± 1.4"
    assert cells(text, "majority", header=["transfer_gap"])["de"] == "20.0", "one row for all"
    assert "**70.5 ± 1.4**" in text, "the best of all sweeps"
    assert cells(text, "topro", header=["sweep", "method"])["sweep"] == "one"
    said = text_of(found)
    assert "zero_shot: the mean over 2 target languages" in said and "two/finetune" in said and "50.5 ± 1.4" in said


def test_the_csv_holds_the_numbers_of_the_table_as_fractions(tmp_path: Path) -> None:
    found = side_by_side(
        sweep(tmp_path / "one", {"a": 0.6}, targets=("de", "zh")), sweep(tmp_path / "two", {"b": 0.5}, targets=("zh",))
    )
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    text = to_markdown(found)
    assert [(row["arm"], row["language"], row["role"]) for row in rows if row["role"] != "mean"] == [
        ("a", "en", "source"),
        ("a", "zh", "target"),
        ("a", "de", "further"),
        ("b", "en", "source"),
        ("b", "zh", "target"),
    ]
    for row in rows:
        shown = cells(text, row["arm"], header=["transfer_gap"])
        column = "en (source)" if row["language"] == "en" else row["language"]
        assert shown[column] == f"{100 * float(row['mean']):.1f} ± {100 * float(row['std']):.1f}"
        assert row["n"] == shown["n"]


def test_the_mean_is_over_the_languages_that_all_arms_have(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"a": 0.6}, targets=("de", "fr", "zh"))
    two = sweep(tmp_path / "two", {"b": 0.6}, targets=("zh", "de", "ru"))
    found = side_by_side(one, two)
    text = to_markdown(found)
    assert "(zero_shot: the mean over 2 common target languages)" in text
    a, b = (cells(text, arm, header=["transfer_gap"]) for arm in "ab")
    assert list(a)[3:] == ["de", "zh", "fr", "ru", "zero_shot", "transfer_gap"]
    assert a["zero_shot"].startswith("61.0"), "the mean of de 61 - 1 and zh 63 - 1"
    assert b["zero_shot"].startswith("60.5"), "the mean of zh 61 - 1 and de 62 - 1"
    assert a["ru"] == b["fr"] == "–" and a["fr"] != "–" and b["ru"] != "–"
    assert "fr, ru: not all arms have them, so not in the mean" in text
    assert any("**Different target languages**: a: de, fr, zh; b: zh, de, ru" in each for each in reservations(found))
    apart = side_by_side(one, sweep(tmp_path / "three", {"c": 0.6}, targets=("ru",)))
    text = to_markdown(apart)
    assert "no zero_shot mean: no target language is common to all arms" in text
    assert cells(text, "c", header=["transfer_gap"])["zero_shot"] == "–"


def test_differences_over_sweeps_are_those_of_one_sweep_with_the_same_arms(tmp_path: Path) -> None:
    arms = {"a": alike(0.66), "b": alike(0.62, shift=40)}
    (whole,) = (each for each in differences(sweep_of(tmp_path / "both", arms)).found if each.language is None)
    parts = [sweep_of(tmp_path / name, {name: counts}) for name, counts in arms.items()]
    found = compared([(part.record, part.folder) for part in parts if part.folder is not None])
    (across,) = (each for each in differences(found.result).found if each.language is None)
    assert across == whole
    text = to_markdown(found)
    assert cells(text, "a", header=["against"])["against"] == "b"
    assert f"{100 * across.difference:+.1f}" in text_of(found)


def test_of_other_languages_only_the_common_ones_are_tested(tmp_path: Path) -> None:
    one = sweep_of(tmp_path / "one", {"a": alike(0.7)})
    two = sweep_of(
        tmp_path / "two", {"b": alike(0.6, shift=40)}, task={**TASK, "target_languages": ["de"]}
    )  # its trials were asked zh too, which is no target
    found = compared([(part.record, part.folder) for part in (one, two) if part.folder is not None])
    tested = differences(found.result).found
    assert {each.language for each in tested} == {None, "en", "de"}
    assert next(each for each in tested if each.language is None).languages == ("de",)


def test_an_unfinished_sweep_is_shown_as_such(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"a": 0.6})
    two = sweep(tmp_path / "two", {"b": 0.6}, search={"searcher": "random", "num_trials": 3, "seed": 0})
    three = Builder(tmp_path / "three", definition(arms={"c": {"method": "finetune", "space": SPACE}}))
    three.create("c", POINT)
    found = side_by_side(one, two, three)
    text = to_markdown(found)
    assert cells(text, "two", header=["state"])["state"] == "unfinished"
    assert "two: **The sweep is unfinished** (b 1 of 3 points" in text
    row = cells(text, "c", header=["transfer_gap"])
    assert (row["n"], row["zero_shot"]) == ("0", "–")
    assert "Best point of the search of each arm without finalised points (dev, not test):" in text
    assert "unfinished" in text_of(found)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_other_test_data_are_refused_with_both_sides_and_what_to_do(tmp_path: Path) -> None:
    one, three = sweep(tmp_path / "one", {"a": 0.6, "x": 0.5}), sweep(tmp_path / "three", {"a": 0.7})
    two = sweep(tmp_path / "two", {"b": 0.6}, prints={**TESTS, "test/de": "d1", "test/zh": "z1"})
    said = refused(one, two, three)
    assert said == (
        "udpos: these arms read different test data in de (and also in zh), so their scores cannot stand in one table."
        " sweep 'one', arm a, sweep 'one', arm x and sweep 'three', arm a: d0; sweep 'two', arm b: d1."
        " Compare only those that agree: tunekit compare one three"
    )
    assert "run one of them again on the data of the other" in refused(one, two)
    assert side_by_side(one, three)


def test_data_of_a_language_that_one_sweep_alone_has_may_differ(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"a": 0.6}, targets=("de",))
    two = sweep(tmp_path / "two", {"b": 0.6}, targets=("de", "zh"), prints={**TESTS, "test/zh": "z1"})
    assert side_by_side(one, two).groups[0].shared == ("de",)


def test_other_examples_of_the_same_files_are_refused(tmp_path: Path) -> None:
    same = {"en": "en.1", "de": "de.1", "zh": "zh.1"}
    one = _with_counts(tmp_path / "one", "a", same)
    two = _with_counts(tmp_path / "two", "b", {**same, "zh": "zh.2"})
    with pytest.raises(
        ConfigError, match=r"different test examples in zh, .*'one', arm a: zh\.1; .*'two', arm b: zh\.2"
    ):
        compared([one, two])


def test_other_samples_are_refused_unless_the_examples_are_known_to_be_the_same(tmp_path: Path) -> None:
    sampled = {"task": {"max_test_examples": 100}}
    said = refused(sweep(tmp_path / "1", {"a": 0.6}), sweep(tmp_path / "2", {"b": 0.6}, **sampled))
    assert "different samples of test" in said
    assert "whole test splits" in said and "max_test_examples 100, sample_seed 0" in said
    same = {"en": "en.1", "de": "de.1", "zh": "zh.1"}
    one = _with_counts(tmp_path / "3", "a", same)
    two = _with_counts(tmp_path / "4", "b", same, task={**TASK, "max_test_examples": 100})
    assert compared([one, two]), "the sample is the whole"


def _with_counts(folder: Path, arm: str, names: Mapping[str, str], **changes: Any) -> Any:
    result = sweep_of(folder, {arm: alike(0.6)}, names={arm: names}, **changes)
    return result.record, result.folder


def test_rules_of_selection_are_never_mixed(tmp_path: Path) -> None:
    one, two = sweep(tmp_path / "one", {"a": 0.6}), sweep(tmp_path / "two", {"b": 0.6}, selection="target_dev")
    said = refused(one, two)
    assert "different rules (source_dev: one; target_dev: two)" in said
    three = sweep(tmp_path / "three", {"c": 0.6}, selection="target_dev")
    text = to_markdown(side_by_side(two, three))
    assert "selected on TARGET dev" in text and "**Selected on TARGET-language dev.**" in text


def test_other_metrics_are_refused(tmp_path: Path) -> None:
    own = {"name": "mine", "kind": "token", "data_dir": "/data"}
    one = sweep(tmp_path / "one", {"a": 0.6}, task={**own, "metric": "accuracy"})
    two = sweep(tmp_path / "two", {"b": 0.6}, task={**own, "metric": "f1"})
    assert "mine: these arms have different metrics" in refused(one, two)


def test_a_comparison_needs_two_sweeps_that_have_something_in_common(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"a": 0.6})
    assert "needs two sweeps or more" in refused(one)
    assert "is named twice" in refused(one, one)
    other = sweep(tmp_path / "other", {"b": 0.6}, task={"name": "panx"})
    assert "no two of these sweeps" in refused(one, other)
    assert "one has udpos from en; other has panx from en" in refused(one, other)
    found = side_by_side(one, other, sweep(tmp_path / "two", {"c": 0.6}))
    assert reservations(found)[-1] == "other alone has panx from en: not compared."


def test_sweeps_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    found = side_by_side(sweep(tmp_path / "x/mine", {"a": 0.6}), sweep(tmp_path / "y/mine", {"a": 0.5}))
    (comparison,) = found.result.comparisons
    assert [arm.name for arm in comparison.arms] == [f"{tmp_path}/x/mine/a", f"{tmp_path}/y/mine/a"]
    assert f"{tmp_path}/y/mine/a" in to_markdown(found)


# -- what is said ----------------------------------------------------------------------------------------------------


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"a": 0.6})
    two = sweep(
        tmp_path / "two",
        {"b": 0.6},
        seeds=(10, 43, 44),
        backbone={"name": "larger", "path": "/models/larger"},
        search={"searcher": "tpe", "num_trials": 5, "seed": 3},
        scheduler={"name": "asha", "grace_period": 1},
        budget={"hours": 3},
        prints={**TESTS, "dev/en": "other", "train/en": "other"},
        facts={"versions": {"torch": "2.14.0"}, "device": "cuda"},
    )
    said = "\n".join(reservations(side_by_side(one, two)))
    assert "**Different searches**: one: random (seed 0), 2 points per arm, on seed 10; two: tpe (seed 3)" in said
    assert "**Different early stopping**: one: none; two: asha from epoch 1" in said
    assert "**Different final seeds**: a: 10 and 42; b: 10, 43 and 44" in said
    assert "**Different backbones**: a: mini, fp32; b: larger, fp32" in said
    assert "**Different limits of an arm's time and money**: one: none; two: 3 worker-hours" in said
    assert "read other dev data in en" in said and "read other train data in en" in said
    assert "different versions of torch" in said and "different devices" in said


def test_alike_sweeps_need_no_words(tmp_path: Path) -> None:
    said = reservations(
        side_by_side(
            sweep(tmp_path / "one", {"a": 0.6}, search={"searcher": "random", "num_trials": 1, "seed": 0}),
            sweep(tmp_path / "two", {"b": 0.6}, search={"searcher": "random", "num_trials": 1, "seed": 0}),
        )
    )
    assert said == []


def test_a_journal_that_does_not_say_what_it_read_is_named(tmp_path: Path) -> None:
    one, two = sweep(tmp_path / "one", {"a": 0.6}), sweep(tmp_path / "two", {"b": 0.6}, prints={"test/en": "e0"})
    said = reservations(side_by_side(one, two))[0]
    assert said == (
        "**Not known to be the same tests**: the journal of b does not say which test data it read in de and zh."
    )


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_tables_and_writes_files(tmp_path: Path, tunekit: CommandLine) -> None:
    sweep(tmp_path / "runs/one", {"a": 0.6})
    sweep(tmp_path / "runs/two", {"b": 0.5})
    done = tunekit("compare", "one", tmp_path / "runs/two", "--root", tmp_path / "runs", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "udpos: test accuracy × 100" in done.out and f"  {tmp_path}/out/compare.csv" in done.out
    assert (tmp_path / "out/compare.md").read_text().startswith("# Sweeps one and two side by side")
    assert (tmp_path / "out/compare.csv").read_text().count("\n") == 1 + 2 * 5
    bad = tunekit("compare", "one", "--root", tmp_path / "runs")
    assert bad.code == 2 and "needs two sweeps or more" in bad.err
    absent = tunekit("compare", "one", "twp", "--root", tmp_path / "runs")
    assert absent.code == 2 and "did you mean 'two'" in absent.err
