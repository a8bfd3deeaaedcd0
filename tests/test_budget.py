"""Budgets: what they count, where they stop a sweep, and that interruptions change nothing of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from builders import JournalBuilder, definition
from simulation import TEST_S, Killed, facts, run, simulated_sweep

from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME, SweepProgress, SweepRecord, TrialRecord, read_events, replay
from tunekit.sweep import BudgetConfig, Spent, Sweep

HOUR_S = 3600.0


def seconds(number: float, **budget: Any) -> dict[str, Any]:
    """A budget of so many seconds of a worker; a simulated epoch takes one."""
    return {"hours": number / HOUR_S, **budget}


def sweep_with(budget: dict[str, Any], **changes: Any) -> Sweep:
    """Trials of 9 epochs; finalising trains 2 of 4 trials of each arm and scores all."""
    search = {"searcher": "random", "num_trials": 8, "seed": 3}
    return simulated_sweep(**{"budget": budget, "search": search, "scheduler": {"name": "none"}, **changes})


def spent_s(record: SweepRecord, arm: str) -> float:
    return record.arm(arm).spent_in_all.worker_s


def paused(record: SweepRecord) -> list[TrialRecord]:
    return [trial for trial in record.trials.values() if trial.state == "RUNNING"]


ARMS = ("finetune", "ptuning_v2")


def test_a_search_leaves_what_finalising_needs_and_draws_no_point_that_does_not_fit(tmp_path: Path) -> None:
    record = run(sweep_with(seconds(2 * 60)), tmp_path)
    for arm in ARMS:
        # 60 s, less two trials of 9 s and four tests that are taken for an epoch each: 38 s for the search
        assert record.arm(arm).num(phase="search", state="COMPLETE") == 4
        assert record.arm(arm).num_tested == 4
        assert spent_s(record, arm) == 4 * 9 + 2 * 9 + 4 * TEST_S
    assert not paused(record)
    assert SweepProgress(record).is_finished
    assert SweepProgress(record).stopped_by_budget() == "stopped by budget: 0.0311 of 0.0333333 worker-hours"


def test_a_sweep_within_its_budget_is_not_changed_by_it(tmp_path: Path) -> None:
    without = run(sweep_with({}), tmp_path / "without")
    within = run(sweep_with(seconds(2 * 200)), tmp_path / "within")
    assert facts(within) == facts(without)
    assert SweepProgress(within).stopped_by_budget() is None


def test_trials_that_run_at_the_hard_stop_are_interrupted_and_none_of_them_failed(tmp_path: Path) -> None:
    record = run(sweep_with(seconds(2 * 20, reserve=0)), tmp_path, num_workers=8)
    assert {trial.state for trial in record.trials.values()} == {"RUNNING"}, "8 at once spend 40 s in 5 epochs each"
    reasons = {e["reason"] for e in read_events(tmp_path / FILE_NAME) if e["event"] == "interrupted"}
    assert all(reason.startswith("stopped by budget: ") for reason in reasons) and reasons
    progress = SweepProgress(record)
    assert progress.is_finished
    assert [progress.arm(arm).num_paused for arm in progress.sweep.arms] == [4, 4]


def test_with_a_larger_budget_an_interrupted_sweep_goes_on_from_its_last_epochs(tmp_path: Path) -> None:
    run(sweep_with(seconds(2 * 20, reserve=0)), tmp_path, num_workers=8)
    assert paused(replay(tmp_path))
    larger = run(sweep_with({}), tmp_path, num_workers=8)
    assert not paused(larger)
    assert all(record.num_tested == 4 for record in larger.arms.values())
    epochs = [(e["trial_id"], e["report"]["epoch"]) for e in read_events(tmp_path / FILE_NAME) if "report" in e]
    assert len(epochs) == len(set(epochs))


BUDGETS = [seconds(2 * 9), seconds(2 * 7, reserve=0.1), seconds(2 * 1, reserve_hours=0)]


@pytest.mark.parametrize(("budget", "step"), list(zip(BUDGETS, (3, 1, 1), strict=True)))
def test_a_sweep_killed_at_any_event_stops_where_an_undisturbed_one_does(
    budget: dict[str, Any], step: int, tmp_path: Path
) -> None:
    sweep = sweep_with(budget, fixed={"epochs": 2}, finalise={"top": 1, "seeds": [10, 42]})
    undisturbed = run(sweep, tmp_path / "undisturbed")
    assert SweepProgress(undisturbed).stopped_by_budget()
    num_events = sum(1 for _ in read_events(tmp_path / "undisturbed" / FILE_NAME))
    for kill_after in range(1, num_events, step):
        folder = tmp_path / f"{kill_after}"
        with pytest.raises(Killed):
            run(sweep, folder, kill_after=kill_after)
        record = run(sweep, folder)
        assert facts(record) == facts(undisturbed), f"killed after event {kill_after}"
        assert [arm.spent for arm in record.arms.values()] == [arm.spent for arm in undisturbed.arms.values()]


def _kills(draw: random.Random) -> list[int | None]:
    return [draw.randint(1, 30) for _ in range(draw.randint(0, 3))] + [None]


@pytest.mark.parametrize("seed", range(15))
def test_no_arm_exceeds_its_share_by_more_than_one_report_and_one_test_of_each_running_trial(
    seed: int, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    share_s, num_workers = draw.uniform(3, 90), draw.randint(1, 6)
    sweep = sweep_with(
        seconds(2 * share_s, **draw.choice([{}, {"reserve": 0}, {"reserve": 0.4}, {"reserve_hours": 10 / HOUR_S}])),
        scheduler={"name": draw.choice(["none", "asha", "median"])},
        seeds=draw.choice([[10], [10, 42]]),
    )
    for kill_after in _kills(draw):
        try:
            record = run(sweep, tmp_path, num_workers=num_workers, kill_after=kill_after)
        except Killed:
            continue
    for arm in ARMS:
        assert spent_s(record, arm) <= share_s + num_workers * (1 + TEST_S)
    assert SweepProgress(record).is_finished
    assert not any(trial.state == "FAILED" for trial in record.trials.values())
    assert all(trial.trial_id not in record.taken for trial in paused(record))


def test_finalising_stops_at_the_limit_too_and_the_sweep_is_over(tmp_path: Path) -> None:
    record = run(sweep_with(seconds(2 * 22, reserve=0)), tmp_path)
    progress = SweepProgress(record)
    assert progress.is_finished
    for arm in progress.sweep.arms:
        state = progress.arm(arm)
        assert (state.num_final, state.num_final_cut, state.num_final_asked) == (1, 3, 4)
        assert [trial.phase for trial in record.arm(arm.name).running.values()] == ["finalise"]
    assert (progress.stopped_by_budget() or "").startswith("stopped by budget: ")


def test_gpu_hours_count_the_gpus_that_a_trial_took_when_it_ran(tmp_path: Path) -> None:
    one = sweep_with({}, resources={"gpu": 1}, search={"searcher": "random", "num_trials": 2})
    half = sweep_with({}, resources={"gpu": 0.5}, search={"searcher": "random", "num_trials": 2})
    with pytest.raises(Killed):
        run(one, tmp_path, kill_after=30)
    before = sum((arm.spent_in_all for arm in replay(tmp_path).arms.values()), Spent())
    assert before.gpu_s == before.worker_s > 0
    from tunekit.journal import Journal
    from tunekit.sweep import resolved

    with Journal(tmp_path) as journal:
        journal.append("amended", sweep=resolved(half), definition=dict(half.definition))
    after = sum((arm.spent_in_all for arm in run(half, tmp_path).arms.values()), Spent())
    assert after.gpu_s == before.gpu_s + 0.5 * (after.worker_s - before.worker_s)


def test_the_tightest_limit_ends_a_sweep_and_is_the_one_that_is_named(tmp_path: Path) -> None:
    budget = {"gpu_hours": 1, "money": 0.1, "price_per_gpu_hour": 2.5, "price_per_hour": 0.5}
    record = run(sweep_with(budget, resources={"gpu": 1}), tmp_path)
    progress = SweepProgress(record)
    spent = sum(spent_s(record, arm) for arm in ARMS)
    assert 0.06 < 3 * spent / HOUR_S <= 0.1, "a worker's hour costs 3"
    assert f"{3 * spent / HOUR_S:.3f} of 0.1 of money" in (progress.stopped_by_budget() or "")
    units = [limit.unit for limit in progress.spending.limits()]
    assert units == ["GPU-hours", "of money"]


def test_what_is_estimated_reserves_half_at_most() -> None:
    budget = BudgetConfig(hours=2)
    rates = budget.rates(0)
    left = [budget.search_left_s(Spent(), rates, num_arms=2, finalising_s=needed) for needed in (0, 600, 1e6)]
    assert left == [3600, 3000, 1800]


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"gpu_hours": 1}, "budget.gpu_hours: no trial takes a GPU"),
        ({"money": 5}, "money is 5"),
        ({"money": 5, "price_per_gpu_hour": 2}, "budget.money: a worker costs nothing"),
        ({"reserve": 0.2}, "reserve is 0.2, must be given with hours, gpu_hours or money"),
        ({"hours": 1, "reserve": 1}, "reserve is 1"),
        ({"hours": 1, "reserve": 0.1, "reserve_hours": 0.1}, "left out where reserve_hours is given"),
        ({"hours": 1, "reserve_hours": 1}, "budget.reserve_hours: 1 is all of the 1 hours"),
    ],
)
def test_a_limit_that_buys_nothing_or_that_nothing_counts_towards_is_refused(
    budget: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as found:
        sweep_with(budget)
    assert message in str(found.value)


def test_a_budget_of_an_earlier_journal_is_read(tmp_path: Path) -> None:
    from tunekit.sweep import from_resolved, resolved

    sweep = sweep_with({"hours": 8, "trials": 10})
    old: dict[str, Any] = {**resolved(sweep), "budget": {"trials": 10, "hours": 8.0}}
    del old["storage"]
    assert from_resolved(old, sweep.definition, "journal") == sweep


def test_status_and_report_say_what_ended_the_sweep_and_what_each_arm_has_spent(tmp_path: Path) -> None:
    import io

    from rich.console import Console

    from tunekit import reports

    budget = {"gpu_hours": 2 * 20 / HOUR_S, "price_per_gpu_hour": 360, "reserve": 0}
    record = run(sweep_with(budget, resources={"gpu": 1}), tmp_path / "run", num_workers=8)
    reports.write(record, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "**Stopped by budget: 0.01" in text and " of 0.0111111 GPU-hours**" in text
    assert "finetune 4 of 8 points, 4 trials interrupted" in text
    money = record.arm("finetune").spent_in_all.gpu_s / HOUR_S * 360
    row = next(line for line in text.splitlines() if line.startswith("| finetune") and "GPU-hours" in line)
    assert f"{money:.2f}" in row and "of 0.00555556 GPU-hours" in row
    stream = io.StringIO()
    Console(file=stream, width=200).print(reports.status_table([("simulated", record)]))
    assert "of 0.0111111 GPU-hours" in stream.getvalue()


@pytest.mark.parametrize("num_workers", [1, 8])
def test_a_budget_of_trials_counts_the_seeds_that_points_begun_will_still_run_on(
    num_workers: int, tmp_path: Path
) -> None:
    sweep = sweep_with({"trials": 2 * 10}, seeds=[10, 42, 7], finalise={"top": 0})
    record = run(sweep, tmp_path, num_workers=num_workers)
    for arm in ARMS:
        found = record.arm(arm)
        assert (len(found.points), found.num_searched, found.num_owed) == (4, 12, 0), "the last point is made whole"


def test_a_point_without_all_of_its_seeds_comes_after_whole_ones_and_this_is_the_budgets_doing(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(seeds=[10, 42], budget=seconds(99 * 120), finalise={"top": 1}))
    for seed in (10, 42):
        sweep.complete("finetune", {"learning_rate": 1e-3}, 0.80, seed=seed, number=0)
    sweep.complete("finetune", {"learning_rate": 2e-3}, 0.86)
    arm = sweep.record.arm("finetune")
    assert [point.number for point in arm.top(2)] == [0, 1]
    progress = SweepProgress(sweep.record)
    assert progress.is_search_open and progress.stopped_by_budget() is None
    sweep.complete("finetune", {"learning_rate": 2e-3}, 0.84, seed=42, number=1)
    assert [point.number for point in arm.top(2)] == [1, 0]


def test_a_search_that_a_budget_ended_before_the_last_seed_says_so(tmp_path: Path) -> None:
    sweep = JournalBuilder(
        tmp_path, definition(seeds=[10, 42], budget=seconds(3 * 120, reserve=0), finalise={"top": 1, "seeds": [10, 42]})
    )
    for seed in (10, 42):
        sweep.complete("finetune", {"learning_rate": 1e-3}, 0.80, seed=seed, number=0)
    sweep.complete("finetune", {"learning_rate": 2e-3}, 0.86)
    progress = SweepProgress(sweep.record)
    (arm,) = progress.sweep.arms
    assert not progress.is_search_open
    assert (progress.arm(arm).num_points, progress.arm(arm).num_partial) == (2, 1)
    assert {final.point.number for final in progress.finals(arm)} == {0}, "one lucky seed is not finalised"
    assert progress.stopped_by_budget() is not None
