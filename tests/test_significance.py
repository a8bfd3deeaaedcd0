"""Differences of arms from what is stored of their trials: how large, how sure, and what is not compared."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from builders import SPACE, TASK, JournalBuilder, definition
from scipy import stats

from tunekit.predictions import TestPredictions, load_predictions, save
from tunekit.reports.results import SweepResult, read
from tunekit.reports.significance import Difference, Differences, differences
from tunekit.reports.significance.intervals import Interval, holm, interval
from tunekit.reports.significance.replicates import Contrast, contrast
from tunekit.reports.significance.resampling import covariance, deviations, scores
from tunekit.reports.variance import components
from tunekit.trial import Replicate

A = {"learning_rate": 1e-3}
SEEDS = (1, 2, 3, 4, 5)
ROOT = Path(__file__).resolve().parents[1]
Rows = list[tuple[int, int, int]]
"""Counts of each example of a language."""


def words(share: float, *, of: int = 300, shift: int = 0) -> Rows:
    """One word an example: the first so many are right, after a shift."""
    num = round(share * of)
    return [(int((place - shift) % of < num), 1, 1) for place in range(of)]


def sweep_of(
    folder: Path,
    counted: Mapping[str, Mapping[int, Mapping[str, Rows]]],
    *,
    names: Mapping[str, Mapping[str, str]] | None = None,
    without: Sequence[str] = (),
    **changes: Any,
) -> SweepResult:
    """A sweep whose arms' trials, by seed, got these counts in each language.

    Args:
        folder: the sweep's.
        counted: counts by arm, seed and language.
        names: names of the examples by arm and language, where they are not those of all.
        without: arms whose predictions are kept without counts.
        changes: of the sweep file.
    """
    seeds = list(dict.fromkeys(seed for trials in counted.values() for seed in trials))
    kinds = {name: {"method": "finetune", "fixed": {"epochs": 2 + place}} for place, name in enumerate(counted)}
    content = {
        "arms": {name: {**kind, "space": SPACE} for name, kind in kinds.items()},
        "finalise": {"top": 1, "seeds": seeds},
        "search": {"searcher": "random", "num_trials": 1, "seed": 0},
        **changes,
    }
    sweep = JournalBuilder(folder, definition(**content))
    metric = "f1" if sweep.content["task"]["name"] == "panx" else "accuracy"
    for arm, trials in counted.items():
        runs = {seed: (0.9, {language: score(rows) for language, rows in of.items()}) for seed, of in trials.items()}
        for trial_id, counts in zip(sweep.finalised(arm, A, runs, metric=metric), trials.values(), strict=True):
            asked = {language: f"{language}.{len(rows)}" for language, rows in counts.items()}
            save(
                sweep.journal.folder.trial(trial_id).predictions,
                TestPredictions(
                    trial_id=trial_id,
                    epoch=2,
                    fingerprints={},
                    labels=("A", "B"),
                    numbers={language: [0] * len(rows) for language, rows in counts.items()},
                    counts={} if arm in without else counts,
                    examples={**asked, **(names or {}).get(arm, {})},
                ),
            )
    return read(sweep.record, sweep.journal.folder)


def score(rows: Rows) -> float:
    right, predicted, there = (sum(row[place] for row in rows) for place in range(3))
    return 2 * right / (predicted + there)


def alike(share: float, *, seeds: Sequence[int] = SEEDS, shift: int = 0) -> dict[int, dict[str, Rows]]:
    """Seeds whose accuracy is about `share` in each language, not all the same."""
    return {
        seed: {
            language: words(share + 0.01 * (place % 3 - 1), shift=shift + 7 * place) for language in ("en", "de", "zh")
        }
        for place, seed in enumerate(seeds)
    }


def only(found: Differences, language: str | None = None) -> Difference:
    (difference,) = (each for each in found.found if each.language == language)
    return difference


def test_a_difference_is_found_in_each_language_and_on_the_mean(tmp_path: Path) -> None:
    found = differences(sweep_of(tmp_path, {"good": alike(0.8), "bad": alike(0.5)}))
    assert [each.language for each in found.found] == [None, "en", "de", "zh"] and not found.uncompared
    for each in found.found:
        assert each.difference == pytest.approx(0.3, abs=1e-3) and each.low < 0.3 < each.high
        assert each.is_significant and each.low > 0 and each.p <= each.p_holm <= 0.05
        assert (each.num_examples, each.num_seeds, each.num_draws, each.num_trials) == (300, 5, 1, (5, 5))
        assert each.covers == "examples and seeds" and each.metric == "accuracy"
    assert only(found).languages == ("de", "zh")


def test_equal_arms_are_not_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arms = {
        arm: {
            seed: {lang: [(int(right), 1, 1) for right in rng.random(200) < 0.6] for lang in ("en", "de", "zh")}
            for seed in SEEDS
        }
        for arm in ("a", "b", "c")
    }
    found = differences(sweep_of(tmp_path, arms)).found
    assert len(found) == 3 * 4 and not any(each.is_significant for each in found)
    assert all(each.low < 0 < each.high for each in found if each.language is None)


def test_an_arm_is_no_better_than_itself_under_another_name(tmp_path: Path) -> None:
    each = only(differences(sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.7)})))
    assert (each.difference, each.p, each.p_holm) == (0.0, 1.0, 1.0) and not each.is_significant
    assert each.high >= 1 / 600, "no example tells them apart, but the next one may"


def test_swapped_arms_give_the_negated_difference(tmp_path: Path) -> None:
    good, bad = alike(0.7), alike(0.6, shift=40)
    there = only(differences(sweep_of(tmp_path / "there", {"a": good, "b": bad})))
    back = only(differences(sweep_of(tmp_path / "back", {"b": bad, "a": good})))
    assert back.difference == pytest.approx(-there.difference)
    assert (back.low, back.high, back.p) == pytest.approx((-there.high, -there.low, there.p))
    assert there.reversed.one == "b" and there.reversed.high == -there.low


def test_the_same_sweep_gives_the_same_numbers(tmp_path: Path) -> None:
    arms = {"a": alike(0.7), "b": alike(0.6, shift=40)}
    assert differences(sweep_of(tmp_path / "1", arms)) == differences(sweep_of(tmp_path / "2", arms))


def test_a_result_is_compared_once(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6)})
    assert differences(result) is differences(result)


def test_holm_corrects_within_a_language_and_not_over_languages(tmp_path: Path) -> None:
    arms = {"a": alike(0.66), "b": alike(0.62, shift=40), "c": alike(0.6, shift=90)}
    found = differences(sweep_of(tmp_path, arms)).found
    for language in (None, "en", "de", "zh"):
        family = [each for each in found if each.language == language]
        assert [each.num_tests for each in family] == [3, 3, 3]
        assert [each.p_holm for each in family] == holm([each.p for each in family])


def test_arms_of_other_shots_are_a_family_of_their_own(tmp_path: Path) -> None:
    kinds = {name: {"method": "finetune", "shots": [16, 64], "fixed": {"epochs": n}} for n, name in enumerate("ab", 2)}
    arms = {f"{name}@{shots}": alike(0.6, shift=shots) for name in "ab" for shots in (16, 64)}
    content = {name: {**kind, "space": SPACE} for name, kind in kinds.items()}
    found = differences(sweep_of(tmp_path, arms, arms=content)).found
    sizes = {(each.one, each.other): each.num_tests for each in found if each.language is None}
    assert sizes["a@16", "b@16"] == sizes["a@64", "b@64"] == 2
    assert sizes["a@16", "a@64"] == sizes["a@16", "b@64"] == 4


def test_one_seed_is_said_to_cover_examples_alone(tmp_path: Path) -> None:
    arms = {"a": alike(0.8, seeds=[1]), "b": alike(0.5, seeds=[1])}
    each = only(differences(sweep_of(tmp_path, arms)))
    assert (each.covers, each.num_seeds, each.covers_trials) == ("examples", 1, False)
    assert each.error == each.error_of_examples > 0
    assert each.high - each.difference == pytest.approx(stats.t.isf(0.025, 299) * each.error)


def test_entities_are_resampled_by_sentence(tmp_path: Path) -> None:
    """Of twice as long sentences there are half as many to draw, so the same entities give a wider interval."""
    rng = np.random.default_rng(1)
    wide, narrow = [], []
    for arm in range(2):
        good = rng.random(200) < 0.5 + 0.3 * arm
        narrow.append([(int(right), 1, 1) for right in good])
        wide.append([(2 * right, 2, 2) for right, _, _ in narrow[-1][:100]])
    task = {**TASK, "name": "panx", "target_languages": ["de"]}
    found = []
    for place, rows in enumerate((narrow, wide)):
        arms = {name: {1: {"en": rows[k], "de": rows[k]}} for k, name in enumerate("ab")}
        found.append(only(differences(sweep_of(tmp_path / str(place), arms, task=task)), "de"))
    assert found[0].metric == "f1" and found[0].num_examples == 200
    assert 1.25 < found[1].error / found[0].error < 1.6


def test_the_least_error_is_that_of_one_word_and_not_of_one_sentence(tmp_path: Path) -> None:
    """Arms that agree on all sentences of 20 words."""
    arms = {name: {1: {"en": [(15, 20, 20)] * 50, "de": [(15, 20, 20)] * 50}} for name in "ab"}
    assert only(differences(sweep_of(tmp_path, arms)), "de").error == pytest.approx(1 / (20 * 50))


def test_what_older_versions_kept_is_named_and_not_compared(tmp_path: Path) -> None:
    arms = {"a": alike(0.7), "b": alike(0.6), "old": alike(0.8)}
    found = differences(sweep_of(tmp_path, arms, without=["old"]))
    assert {(each.one, each.other) for each in found.found} == {("a", "b")}
    assert {(each.one, each.other) for each in found.uncompared} == {("a", "old"), ("b", "old")}
    assert all("of old keeps predictions without what each example counts" in e.reason for e in found.uncompared)
    assert found.why_not("old", "a") is not None and found.why_not("a", "b") is None


def test_predictions_that_are_gone_are_named_with_their_trial(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6)})
    best = result.arm("b").best
    assert best is not None and result.folder is not None
    gone = best.trials[2].trial_id
    Path(result.folder.trial(gone).predictions).unlink()
    (uncompared,) = differences(result).uncompared
    assert uncompared.languages == () and uncompared.reason == f"trial {gone} of b keeps no predictions on test"


def test_other_examples_are_left_out_of_the_mean_and_named(tmp_path: Path) -> None:
    names = {"b": {"zh": "zh.other"}}
    found = differences(sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6)}, names=names))
    assert [each.language for each in found.found] == [None, "en", "de"] and only(found).languages == ("de",)
    (uncompared,) = found.uncompared
    assert (uncompared.languages, uncompared.reason) == (("zh",), "they were asked other test examples")
    assert found.why_not("a", "b") is None and found.why_not("b", "a", "zh") == "they were asked other test examples"


def test_arms_without_a_common_target_language_have_no_mean_and_say_why(tmp_path: Path) -> None:
    other = {language: f"{language}.other" for language in ("de", "zh")}
    found = differences(sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6)}, names={"b": other}))
    assert [each.language for each in found.found] == ["en"]
    assert found.why_not("a", "b") == "they were asked other test examples"


def test_translations_of_unequal_number_are_said_to_be_resampled_apart(tmp_path: Path) -> None:
    arms = {
        arm: {seed: {"en": words(share), "de": words(share), "zh": words(share, of=200)} for seed in (1, 2)}
        for arm, share in (("a", 0.7), ("b", 0.6))
    }
    result = sweep_of(tmp_path, arms, task={**TASK, "name": "xnli"})
    assert only(differences(result)).is_mean_of_unlike and not only(differences(result), "de").is_mean_of_unlike


def test_counts_that_do_not_give_the_score_of_the_journal_are_refused(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6)})
    best = result.arm("a").best
    assert best is not None and result.folder is not None
    trial = best.trials[0].trial_id
    kept = load_predictions(result.folder.trial(trial).path)
    assert kept is not None
    wrong = replace(kept, counts={**kept.counts, "de": words(0.9)})
    save(result.folder.trial(trial).predictions, wrong)
    (uncompared,) = differences(result).uncompared
    assert uncompared.languages == ("de",)
    assert f"trial {trial} of a has" in uncompared.reason and "counts give 0.9" in uncompared.reason


@pytest.mark.parametrize("rows", [[(1, 1), (0, 1)], [(1, 1, 1)], [("a", 1, 1)] * 2, [(1, 1, 1), (1, 1)]])
def test_counts_that_are_none_are_refused(tmp_path: Path, rows: Any) -> None:
    result = sweep_of(tmp_path, {"a": alike(0.7, seeds=[1]), "b": alike(0.6, seeds=[1])})
    best = result.arm("a").best
    assert best is not None and result.folder is not None
    folder = result.folder.trial(best.trials[0].trial_id)
    kept = load_predictions(folder.path)
    assert kept is not None
    save(folder.predictions, replace(kept, counts={**kept.counts, "de": rows}))
    (uncompared,) = differences(result).uncompared
    assert uncompared.languages == ("de",)
    assert "three counts" in uncompared.reason or "fewer than two test examples" in uncompared.reason


def test_an_arm_without_a_finalised_point_and_a_journal_alone_are_named(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"a": alike(0.7), "b": alike(0.6), "none": {}})
    reasons = {(each.one, each.other): each.reason for each in differences(result).uncompared}
    assert reasons == {(arm, "none"): "none has no finalised point" for arm in "ab"}
    bare = differences(read(result.record))
    assert not bare.found and len(bare.uncompared) == 3
    assert bare.uncompared[0].reason == "only the journal is at hand, and no predictions"


def test_another_seed_of_one_arm_widens_and_is_counted(tmp_path: Path) -> None:
    arms = {"a": alike(0.8, seeds=SEEDS), "b": alike(0.5, seeds=SEEDS[:3])}
    each = only(differences(sweep_of(tmp_path, arms)))
    assert (each.num_trials, each.num_pairs, each.num_seeds) == ((5, 3), 3, 3)
    means = [np.mean([np.mean([score(of[x]) for x in ("de", "zh")]) for of in arm.values()]) for arm in arms.values()]
    assert each.difference == pytest.approx(means[0] - means[1]), "the difference of the means that tables print"


def test_a_p_value_is_that_of_the_interval_that_ends_at_zero(tmp_path: Path) -> None:
    table = crossed((1, 2, 3), (0, 1, 2))
    how = contrast(table, table)
    assert how is not None
    values = np.random.default_rng(6).normal(0.5, 0.1, 18)
    found = interval(values, 1e-4 * np.eye(18), how, num_examples=100, num_units=100)
    assert 0.01 < found.p < 1 and found.half_width(found.p) == pytest.approx(abs(found.difference))


# What the numbers are made of.


def crossed(seeds: Sequence[int], draws: Sequence[int | None]) -> list[Replicate]:
    return [Replicate(seed, draw) for seed in seeds for draw in draws]


def found_from(one: Sequence[float], other: Sequence[float], how: Contrast) -> Interval:
    """Without any noise of the examples."""
    values = np.array([*one, *other])
    return interval(values, np.zeros((len(values), len(values))), how, num_examples=10**9, num_units=10**9)


def test_pairs_of_seeds_give_the_paired_t_test_and_disjoint_ones_the_error_of_welchs() -> None:
    one, other = [0.70, 0.74, 0.69, 0.72], [0.66, 0.71, 0.68, 0.67]
    paired = contrast(crossed(range(4), [None]), crossed(range(4), [None]))
    apart = contrast(crossed(range(4), [None]), crossed(range(10, 14), [None]))
    assert paired is not None and apart is not None
    assert found_from(one, other, paired).p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    error = math.sqrt(np.var(one, ddof=1) / 4 + np.var(other, ddof=1) / 4)
    assert found_from(one, other, apart).error == pytest.approx(error)
    assert found_from(one, other, apart).p > stats.ttest_ind(one, other, equal_var=False).pvalue


def test_the_error_over_seeds_and_draws_is_that_of_their_components() -> None:
    table, rng = crossed((1, 2, 3), (0, 1, 2, 3)), np.random.default_rng(2)
    values = {each: 0.1 * each.seed + 0.2 * (each.draw or 0) + rng.normal(0, 0.05) for each in table}
    how, parts = contrast(table, table), components(values)
    assert how is not None and parts is not None
    found = found_from([values[each] for each in table], [0.0] * len(table), how)
    assert found.error == pytest.approx(parts.standard_error)


def test_few_draws_are_counted_as_few_however_many_trials_there_are() -> None:
    """Draws at -10, 0 and 10 points: a standard error of 10 / sqrt(3), with two degrees of freedom."""
    table = crossed((1, 2, 3), (0, 1, 2))
    how = contrast(table, table)
    assert how is not None and how.factors == ("seeds", "draws")
    found = found_from([0.6 + 0.1 * ((each.draw or 0) - 1) for each in table], [0.4] * 9, how)
    assert found.error == pytest.approx(0.1 / math.sqrt(3))
    assert found.p == pytest.approx(2 * stats.t.sf(0.2 / (0.1 / math.sqrt(3)), 2))


@pytest.mark.parametrize(
    ("seeds", "draws", "covered"),
    [
        ((1, 2, 3), (None,), ("seeds",)),
        ((1,), (0, 1, 2), ("draws",)),
        ((1,), (0,), ()),
        ((1, 2), (0, 1), ("seeds", "draws")),
    ],
)
def test_what_varies_is_what_is_covered(
    seeds: tuple[int, ...], draws: tuple[int | None, ...], covered: tuple[str, ...]
) -> None:
    how = contrast(crossed(seeds, draws), crossed(seeds, draws))
    assert how is not None and how.factors == covered
    assert (how.num_seeds, how.num_draws) == (len(seeds), len(draws))


def test_of_a_table_with_holes_the_largest_whole_part_is_compared() -> None:
    whole = crossed((1, 2, 3), (0, 1, 2))
    how = contrast(whole, whole[:-1])  # seed 3 lacks draw 2
    assert how is not None and (how.num_seeds, how.num_draws) == (2, 3)
    assert [whole[place] for place in how.one] == crossed((1, 2), (0, 1, 2))
    assert contrast(crossed((1, 2), (0, 1)), crossed((1, 2), (2, 3))) is None


def test_noise_of_the_examples_that_trials_do_not_share_is_counted_once() -> None:
    """Trials that differ by nothing but how they answer each example vary just as resamples of the examples do."""
    rng = np.random.default_rng(3)
    how = contrast(crossed(range(40), [None]), crossed(range(40), [None]))
    assert how is not None
    counts = np.full((80, 2, 500), 2, dtype=np.int32)
    counts[:, 0] = rng.random((80, 500)) < 0.6
    found = interval(scores(counts), covariance(deviations({"x": counts})["x"]), how, num_examples=500, num_units=10**6)
    alone = math.sqrt(2 * 0.24 / 500 / 40)
    assert found.error == pytest.approx(alone, rel=0.25), "not sqrt(2) times as much"


def test_the_bootstrap_has_the_variance_of_a_mean_and_pairs_what_is_resampled() -> None:
    rng = np.random.default_rng(4)
    counts = np.full((2, 2, 400), 2, dtype=np.int32)
    counts[:, 0] = rng.random(400) < [[0.5], [0.5]]
    counts[1, 0, :200] = counts[0, 0, :200]
    exact = np.cov(counts[:, 0], bias=True) / 400
    found = covariance(deviations({"en.1": counts})["en.1"])
    assert found == pytest.approx(exact, rel=0.1, abs=3e-5)


def test_languages_with_as_many_examples_are_resampled_at_the_same_places() -> None:
    counts = np.full((1, 2, 50), 2, dtype=np.int32)
    counts[0, 0] = np.arange(50) % 2
    found = deviations({"de.1": counts, "en.1": counts, "fr.1": counts[:, :, :49]}, num_resamples=10)
    assert (found["de.1"] == found["en.1"]).all() and not (found["de.1"] == found["fr.1"]).all()


@pytest.mark.parametrize("values", [[0.04, 0.01, 0.03], [0.6, 0.9], [0.01], [], [0.02, 0.02, 0.001, 0.5, 0.013]])
def test_holms_correction_is_that_of_statsmodels(values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests  # seconds to import

    known = multipletests(values, method="holm")[1].tolist() if values else []
    assert holm(values) == pytest.approx(known)


# The script that simulates.


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("significance", ROOT / "benchmarks" / "significance.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["significance"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_intervals_of_three_seeds_cover_where_a_bootstrap_over_seeds_does_not(script: ModuleType, metric: str) -> None:
    """Of 100 simulated sweeps; benchmarks/README.md has 1,000 of more kinds."""
    found = script.covered(script.World(metric=metric, num_seeds=3, num_draws=1, spread=0.4), 100)
    assert found["mean"] >= 0.9 and found["language"] >= 0.9 and found["false"] <= 0.1
    assert found["plain"] < 0.85


def test_the_truth_of_a_simulated_world_is_what_many_trials_score(script: ModuleType) -> None:
    for metric in ("accuracy", "f1"):
        world = script.World(metric=metric, num_seeds=200, num_draws=1, spread=0.3)
        sweeps = script.simulated(world, np.random.default_rng(0), [[0.4]] * 4)
        found = [sweep.values[0].mean() for sweep in sweeps]
        assert np.mean(found) == pytest.approx(world.truth(0.4), abs=0.02), metric


def test_the_script_compares_arms_of_several_sweeps(script: ModuleType, tmp_path: Path) -> None:
    sweep_of(tmp_path / "1", {"good": alike(0.8)})
    sweep_of(tmp_path / "2", {"bad": alike(0.5)})
    lines = list(script.of_sweeps([tmp_path / "1", tmp_path / "2"]))
    assert lines[0].startswith("udpos from en") and lines[-1].startswith("| good - bad | 5, 5 | 30.0 | ")
    with pytest.raises(SystemExit, match="an arm of the same name: good, good"):
        list(script.of_sweeps([tmp_path / "1", tmp_path / "1"]))
