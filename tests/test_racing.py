"""Racing: which of a few noisy points gets another seed, when it is over, and what is left of a winner's luck."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunekit.racing import Rules, estimate, fresh, own, race, shrunk

RULES = Rules(num_first=3, max_seeds=12, delta=0.005, confidence=0.95)
Rows = list[dict[int, float | None]]


def rows(*scores: list[float]) -> Rows:
    return [dict(enumerate(row)) for row in scores]


def noisy(rng: np.random.Generator, means: list[float], *, noise: float = 0.01, shared: float = 0.0) -> Rows:
    """Scores of points with these true means on 15 seeds."""
    of_seeds = shared * rng.standard_normal(15)
    return rows(*([float(m + s) for s in noise * rng.standard_normal(15) + of_seeds] for m in means))


def finished(scores: Rows, rules: Rules = RULES) -> tuple[int, tuple[int, ...]]:
    """A whole race: its winner, and the seeds that each point ran on. It sees no score that it did not ask for."""
    standing = race(scores, rules)
    assert standing.leader is not None
    return standing.leader, standing.num_asked


def step_by_step(scores: Rows, rules: Rules = RULES) -> list[tuple[int, ...]]:
    """The seeds asked for in each round, where only those of the rounds before it are known."""
    table: Rows = [{} for _ in scores]
    rounds = []
    while (standing := race(table, rules)).end is None:
        rounds.append(standing.num_asked)
        for point, number in enumerate(standing.num_asked):
            table[point] = {seed: scores[point][seed] for seed in range(number)}
    return rounds


# -- estimates -------------------------------------------------------------------------------------------------------


def test_without_effects_of_seeds_points_are_compared_by_their_means() -> None:
    found = estimate(rows([0.80, 0.82, 0.78], [0.70, 0.69, 0.74], [0.75, 0.71, 0.73]))
    assert found.shared == 0
    assert found.means == pytest.approx((0.80, 0.71, 0.73))
    assert found.df == 6
    assert found.leader() == 0


def test_where_seeds_do_the_same_to_all_points_they_are_compared_on_the_seeds_that_both_ran_on() -> None:
    good, bad = [0.80, 0.70, 0.90], [0.79, 0.689, 0.891, 0.60]  # the fourth seed is a bad one for everybody
    found = estimate(rows(good, bad))
    assert found.shared == pytest.approx(0.01, rel=0.2)
    assert found.chance_better(0, 1) > 0.99, "0.01 better on each, although seeds differ by 0.1"
    assert found.df == 2
    plain = estimate(rows([0.80, 0.72, 0.91], [0.68, 0.90, 0.80]))
    assert 0.2 < plain.chance_better(0, 1) < 0.8, "nothing in common, and so as noisy as it looks"


def test_balanced_scores_are_compared_as_by_the_analysis_of_variance() -> None:
    from scipy import stats

    table = rows([0.81, 0.84, 0.79, 0.80], [0.80, 0.82, 0.78, 0.77])
    found = estimate(table)
    paired = stats.ttest_rel(list(table[0].values()), list(table[1].values()), alternative="less")
    assert found.shared > 0
    assert found.chance_better(1, 0) == pytest.approx(1 - stats.t.cdf(paired.statistic, 3), abs=1e-9)


def test_the_variance_of_a_point_is_drawn_towards_that_of_all() -> None:
    found = estimate(rows([0.80, 0.80, 0.80], [0.70, 0.80, 0.60]))
    steady, loose = found.own
    assert 0 < steady < loose < 0.01, "three equal scores do not mean that there is no noise"


def test_without_noise_the_higher_one_is_better_and_with_one_seed_nobody_knows() -> None:
    same = estimate(rows([0.8, 0.8], [0.7, 0.7]))
    assert (same.chance_better(0, 1), same.chance_better(1, 0), same.chance_better(0, 1, by=0.2)) == (1, 0, 0)
    single = estimate(rows([0.8], [0.7]))
    assert (single.df, single.chance_better(1, 0), single.half_width(0, 0.95)) == (0, 0.5, None)


def test_a_failed_seed_is_no_score_and_a_point_without_any_is_not_compared() -> None:
    table: Rows = [{0: 0.8, 1: None, 2: 0.82}, {0: None, 1: None, 2: None}, {0: 0.7, 1: 0.71, 2: 0.69}]
    found = estimate(table)
    assert (found.num_scores, found.scored, found.means[1]) == ((2, 0, 3), [0, 2], None)
    assert race(table, RULES).leader == 0
    assert race([{0: None, 1: None, 2: None}] * 2, RULES).end == "no score"


# -- rounds ----------------------------------------------------------------------------------------------------------


def test_nothing_is_decided_before_each_trial_of_a_round_has_ended() -> None:
    table = rows([0.80, 0.81, 0.79], [0.82, 0.80], [0.70, 0.71, 0.72])
    waiting = race(table, RULES)
    assert (waiting.num_asked, waiting.num_rounds, waiting.leader, waiting.end) == ((3, 3, 3), 0, None, None)
    whole = race(rows([0.80, 0.81, 0.79], [0.82, 0.80, 0.81], [0.70, 0.71, 0.72]), RULES)
    assert (whole.num_asked, whole.num_rounds, whole.leader) == ((4, 4, 3), 1, 1)
    assert race(table, RULES, is_cut=True).end == "cut"


def test_a_clear_winner_ends_the_race_at_once() -> None:
    standing = race(rows([0.80, 0.81, 0.79], [0.60, 0.61, 0.59]), RULES)
    assert (standing.end, standing.leader, standing.num_asked, standing.num_rounds) == ("confident", 0, (3, 3), 0)
    assert standing.chance is not None and standing.chance < 0.001


def test_new_seeds_go_to_the_leader_and_its_close_challengers_and_never_beyond_the_most() -> None:
    rng = np.random.default_rng(1)
    rules = Rules(num_first=3, max_seeds=12, delta=0.0, confidence=0.95)
    winner, asked = finished(noisy(rng, [0.8, 0.8, 0.6, 0.6]), rules)
    assert winner in (0, 1)
    assert asked == (12, 12, 3, 3), "two equal points are never told apart"


def test_a_point_that_waited_can_come_back() -> None:
    rng = np.random.default_rng(2)
    came_back = 0
    for _ in range(20):
        scores = noisy(rng, [0.8, 0.798, 0.794, 0.79])
        rounds = step_by_step(scores)
        assert finished(scores)[1] == rounds[-1], "a race sees nothing beyond its rounds"
        for point in range(4):
            given = [after[point] > before[point] for before, after in itertools.pairwise(rounds)]
            came_back += any(later and not earlier for earlier, later in itertools.pairwise(given))
    assert came_back


def test_scores_that_are_all_alike_end_a_race_only_once_there_are_five_of_each() -> None:
    standing = race(rows([0.36] * 3, [1 / 3] * 3, [0.35] * 3), RULES)
    assert (standing.end, standing.num_asked) == (None, (4, 4, 4)), "nobody has seen the noise yet"
    winner, asked = finished(rows([0.36] * 12, [1 / 3] * 12, [0.35] * 12))
    assert (winner, asked) == (0, (5, 5, 5)), "seeds make no difference"


def test_a_point_whose_few_scores_are_alike_is_not_given_up_for_being_steady() -> None:
    shown, hidden = [0.333, 0.396, 0.354], [0.333, 0.333, 0.333]
    plain = estimate(rows(shown, hidden))
    careful = estimate(rows(shown, hidden), for_comparison=True)
    assert plain.own[1] < plain.own[0]
    assert careful.own == pytest.approx((plain.own[0], np.var(shown, ddof=1) / 2)), "the mean of all, not less"
    assert careful.chance_better(1, 0) > plain.chance_better(1, 0)


def test_a_look_at_few_seeds_may_be_wrong_less_often_than_one_at_many() -> None:
    allowed = [RULES.allowed(number) for number in (3, 6, 12)]
    assert allowed == pytest.approx([0.05 / 8, 0.05 / 4, 0.05 / 2])
    assert sum(allowed) < 1 - RULES.confidence, "one look for each time that the seeds double"


def test_a_race_with_one_first_seed_runs_a_second_one_before_it_judges() -> None:
    rules = Rules(num_first=1, max_seeds=4, delta=0.005, confidence=0.95)
    assert race(rows([0.9], [0.1]), rules).num_asked == (2, 2)


def test_the_order_in_which_scores_came_and_later_scores_change_nothing() -> None:
    scores = noisy(np.random.default_rng(3), [0.8, 0.797, 0.79, 0.78])
    _, asked = finished(scores)
    table: Rows = [{seed: row[seed] for seed in range(number)} for row, number in zip(scores, asked, strict=True)]
    backwards: Rows = [dict(reversed(row.items())) for row in table]
    more: Rows = [dict(row) for row in scores]
    assert race(table, RULES) == race(backwards, RULES) == race(more, RULES)


def test_the_winner_is_within_delta_of_the_best_and_fewer_seeds_are_used_than_for_all() -> None:
    rng = np.random.default_rng(0)
    is_within, num_seeds = [], []
    for _ in range(120):
        means = list(rng.normal(0.8, 0.01, 4))
        winner, asked = finished(noisy(rng, means))
        is_within.append(means[winner] >= max(means) - RULES.delta)
        num_seeds.append(sum(asked))
    assert np.mean(is_within) >= 0.95
    assert np.mean(num_seeds) < 0.7 * 4 * RULES.max_seeds


# -- corrected for selection -----------------------------------------------------------------------------------------


def test_the_naive_mean_of_the_best_flatters_it_and_new_seeds_do_not() -> None:
    rng = np.random.default_rng(5)
    errors: dict[str, list[float]] = {"naive": [], "fresh": [], "shrunk": []}
    covered = []
    for _ in range(300):
        table = [{seed: row[seed] for seed in range(3)} for row in noisy(rng, [0.8] * 5)]
        found = estimate(table)
        best = found.leader()
        assert best is not None
        new = fresh(list(0.8 + 0.01 * rng.standard_normal(3)), found, best, 0.95)
        model = shrunk(found, best, 0.95)
        assert new is not None and model is not None
        errors["naive"].append((found.means[best] or 0) - 0.8)
        errors["fresh"].append(new.mean - 0.8)
        errors["shrunk"].append(model.mean - 0.8)
        covered.append(new.low <= 0.8 <= new.high)
    bias = {name: np.mean(values) / (np.std(values) / math.sqrt(300)) for name, values in errors.items()}
    assert bias["naive"] > 10, "in standard errors"
    assert abs(bias["fresh"]) < 2
    assert 0 < np.mean(errors["shrunk"]) < 0.5 * np.mean(errors["naive"]), "all points being equal, its worst case"
    assert 0.92 < np.mean(covered) < 0.98


def test_under_its_own_model_the_shrunk_estimate_takes_the_luck_away_also_after_a_race() -> None:
    rng = np.random.default_rng(6)
    naive, shrunken = [], []
    for _ in range(150):
        means = list(rng.normal(0.8, 0.008, 6))
        scores = noisy(rng, means, noise=0.015)
        winner, asked = finished(scores)
        table = [{seed: row[seed] for seed in range(number)} for row, number in zip(scores, asked, strict=True)]
        found = estimate(table)
        model = shrunk(found, winner, 0.95)
        assert model is not None
        naive.append((found.means[winner] or 0) - means[winner])
        shrunken.append(model.mean - means[winner])
    standard_error = np.std(shrunken) / math.sqrt(len(shrunken))
    assert abs(np.mean(shrunken)) < np.mean(naive) / 4 + 2 * standard_error, "a sixth in 1,800 races"
    assert np.mean(naive) > 3 * standard_error


def test_a_single_point_is_not_shrunk_and_of_one_seed_nothing_is_known() -> None:
    found = estimate(rows([0.80, 0.82, 0.81]))
    alone, plain = shrunk(found, 0, 0.95), own([0.80, 0.82, 0.81], 0.95)
    assert alone is not None and plain is not None
    assert (alone.mean, alone.low) == (pytest.approx(plain.mean), pytest.approx(plain.low))
    single = estimate(rows([0.8], [0.7]))
    assert shrunk(single, 0, 0.95) is fresh([0.8], single, 0, 0.95) is own([0.8], 0.95) is None


# -- the benchmark ---------------------------------------------------------------------------------------------------


def test_the_benchmark_races_on_simulated_and_on_real_noise(tmp_path: Path) -> None:
    scores = {str(seed): 0.8 + 0.01 * math.sin(seed) for seed in range(8)}
    points = [{"params": {}, "scores": {seed: v - 0.02 * place for seed, v in scores.items()}} for place in range(6)]
    bank = tmp_path / "bank.json"
    bank.write_text(json.dumps({"points": points}), encoding="utf-8")
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "racing.py"
    words = ["--sweeps", "5", "--only", "hill", "--bank", str(bank)]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["landscape", "hill", "real: bank.json", "all of them"]
    real = rows[2]
    assert real[1].startswith("100.0 ["), "the first point is the best by 0.02 on each seed"
    assert real[3].startswith("18.0 of 100"), "3 seeds for 5 points, and 3 to confirm the winner"
