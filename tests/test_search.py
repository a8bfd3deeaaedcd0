"""The search: asks, decides, survives."""

from __future__ import annotations

import random
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from simulation import Killed, advance, facts, launch, run, simulated_sweep

from tunekit.errors import DataChanged
from tunekit.journal import FILE_NAME, Journal, read_events, replay
from tunekit.search import Search
from tunekit.search import study as studies
from tunekit.search.bounded_storage import BoundedStorage
from tunekit.search.drawn import DrawnPoints
from tunekit.search.engine import LEAD
from tunekit.search.schedulers import Rungs, decide
from tunekit.sweep import Source, Sweep, parse_sweep, trial_config
from tunekit.trial import TrialFacts

SEARCHERS = ["tpe", "random", "grid", "qmc", "cmaes", "gp", "nsga2"]


def _sweep_for(searcher: str) -> Sweep:
    arms = {
        "ptuning_v2": {
            "method": "ptuning_v2",
            "space": {
                "learning_rate": {"low": 0.01, "high": 0.05, "step": 0.01},
                "prompt_length": {"low": 4, "high": 32, "step": 4},
                "projection": [False, True],
                "projection_size": {"choices": [64, 128], "when": {"projection": True}},
            },
        }
    }
    return simulated_sweep(arms=arms, search={"searcher": searcher, "num_trials": 13, "seed": 1})


def _killed_until_done(sweep: Sweep, folder: Path, kills: list[int]) -> None:
    for kill_after in kills:
        try:
            run(sweep, folder, kill_after=kill_after)
        except Killed:
            continue
        break
    run(sweep, folder)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_search_killed_at_random_events_makes_the_decisions_of_an_undisturbed_one(
    searcher: str, tmp_path: Path
) -> None:
    sweep = _sweep_for(searcher)
    undisturbed = facts(run(sweep, tmp_path / "undisturbed"))
    draw = random.Random(searcher)
    _killed_until_done(sweep, tmp_path / "killed", [draw.randint(1, 25) for _ in range(12)])
    assert facts(replay(tmp_path / "killed")) == undisturbed


def test_a_search_killed_after_every_single_event_is_the_same_search(tmp_path: Path) -> None:
    sweep = simulated_sweep(search={"searcher": "tpe", "num_trials": 5, "seed": 3})
    undisturbed = facts(run(sweep, tmp_path / "undisturbed"))
    num_events = sum(1 for _ in read_events(tmp_path / "undisturbed" / FILE_NAME))
    _killed_until_done(sweep, tmp_path / "killed", [1] * (num_events + 5))
    assert facts(replay(tmp_path / "killed")) == undisturbed


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_every_decision_in_a_journal_follows_from_the_events_before_it(name: str, tmp_path: Path) -> None:
    sweep = simulated_sweep(scheduler={"name": name, "grace_period": 1, "reduction_factor": 2})
    record = run(sweep, tmp_path)
    assert any(trial.state == "PRUNED" for trial in record.trials.values())
    curves: dict[str, dict[int, float]] = {}
    for event in read_events(tmp_path / FILE_NAME):
        if event["event"] != "reported" or record.trials[event["trial_id"]].phase != "search":
            continue
        trial, epoch = record.trials[event["trial_id"]], event["report"]["epoch"]
        others = Rungs(sweep.scheduler)
        for other in record.arm(trial.arm).trials:
            for at in curves.get(other.trial_id, {}) if other.trial_id != trial.trial_id else ():
                others.add(other.number, at, curves[other.trial_id])
        curves.setdefault(trial.trial_id, {})[epoch] = event["report"]["value"]
        curve = curves[trial.trial_id]
        again = decide(sweep.scheduler, number=trial.number, epoch=epoch, num_epochs=9, curve=curve, others=others)
        assert asdict(again) == event["decision"]


def test_a_finished_sweep_is_done_and_extending_it_runs_only_what_is_new(tmp_path: Path) -> None:
    record = run(simulated_sweep(), tmp_path)
    searched = {t.trial_id for t in record.trials.values() if t.phase == "search"}
    assert len(searched) == 28
    longer = simulated_sweep(search={"searcher": "tpe", "num_trials": 17, "seed": 3})
    extended = run(longer, tmp_path)
    assert sum(t.phase == "search" for t in extended.trials.values()) == 34
    assert all(t.num_attempts == 1 for t in extended.trials.values())
    assert facts(extended)[: len(searched)] == facts(record)[: len(searched)]


def test_an_extended_search_draws_what_a_longer_one_would_have_drawn(tmp_path: Path) -> None:
    longer = simulated_sweep(search={"searcher": "tpe", "num_trials": 17, "seed": 3})
    whole = run(longer, tmp_path / "whole")
    run(simulated_sweep(), tmp_path / "extended")
    extended = run(longer, tmp_path / "extended")
    searched = [{t.trial_id for t in r.trials.values() if t.phase == "search"} for r in (whole, extended)]
    # Both arms are drawn in turns in either case, and finalising tells the searcher nothing.
    assert searched[0] == searched[1]


def test_the_known_setting_is_tried_first(tmp_path: Path) -> None:
    record = run(simulated_sweep(), tmp_path)
    assert record.arm("ptuning_v2").trials[0].params == {"learning_rate": 0.01, "prompt_length": 16}


def test_arms_take_turns_so_that_an_unfinished_sweep_compares_them_fairly(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(simulated_sweep(), tmp_path, kill_after=60)
    record = replay(tmp_path)
    counts = [len(record.arm(arm).trials) for arm in ("finetune", "ptuning_v2")]
    assert abs(counts[0] - counts[1]) <= 1


def test_only_the_best_points_see_test_and_each_trial_once(tmp_path: Path) -> None:
    sweep = simulated_sweep()
    record = run(sweep, tmp_path)
    for arm in sweep.arms:
        wanted = {
            trial_config(sweep, arm, point.params, seed).trial_id
            for point in record.arm(arm.name).top(2)
            for seed in (10, 42)
        }
        tested = {t.trial_id for t in record.arm(arm.name).trials if t.test_scores is not None}
        assert tested == wanted
    events = [event["trial_id"] for event in read_events(tmp_path / FILE_NAME) if event["event"] == "tested"]
    assert len(events) == len(set(events)) == 8


def _repeating_sweep(**changes: Any) -> Sweep:
    """An infinite space, one part of which is a single point."""
    rate = {"low": 0.5, "high": 0.9, "when": {"batch_size": 8}}
    space = {"batch_size": [8, 16], "warmup_fraction": rate}
    arms = {"finetune": {"method": "finetune", "space": space}}
    search = {"searcher": "random", "num_trials": 8, "seed": 0}
    return simulated_sweep(**{"arms": arms, "search": search, **changes})


def test_a_point_drawn_again_runs_on_another_seed(tmp_path: Path) -> None:
    record = run(_repeating_sweep(), tmp_path)
    searched = [t for t in record.trials.values() if t.phase == "search"]
    assert len(searched) == len({t.trial_id for t in searched}) == 8
    assert len({t.point_id for t in searched}) < 8
    assert {t.seed for t in searched} > {10}


def test_with_several_seeds_every_point_runs_on_each_until_one_is_stopped(tmp_path: Path) -> None:
    record = run(simulated_sweep(seeds=[10, 42, 7]), tmp_path)
    for arm in ("finetune", "ptuning_v2"):
        for point in record.arm(arm).points:
            seeds = [t.seed for t in point.trials]
            if point.value is not None and len(seeds) > 1:
                assert seeds == [10, 42, 7]
            if any(t.state == "PRUNED" for t in point.trials[:-1]):
                pytest.fail("a point went on after one of its seeds was stopped")


def test_a_searched_seed_is_the_seed_of_the_trial(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "seed": {"low": 1, "high": 1000}}
    content = simulated_sweep().definition
    arms = {"finetune": {"method": "finetune", "space": space}}
    content = {key: value for key, value in {**content, "arms": arms}.items() if key != "seeds"}
    from tunekit.sweep import Source, parse_sweep

    record = run(parse_sweep(content, Source("x")), tmp_path)
    searched = [t for t in record.trials.values() if t.phase == "search"]
    assert all(t.seed == t.params["seed"] == t.config["seed"] for t in searched)


def test_the_budget_is_shared_equally_between_arms(tmp_path: Path) -> None:
    record = run(simulated_sweep(budget={"trials": 9}), tmp_path)
    counts = [sum(t.phase == "search" for t in record.arm(arm).trials) for arm in ("finetune", "ptuning_v2")]
    assert counts == [4, 4]


def test_four_workers_finish_every_trial_once_although_the_driver_dies(tmp_path: Path) -> None:
    sweep = simulated_sweep()
    draw = random.Random(5)
    for _ in range(15):
        try:
            run(sweep, tmp_path, num_workers=4, kill_after=draw.randint(3, 40))
        except Killed:
            continue
        break
    run(sweep, tmp_path, num_workers=4)
    finished = [e["trial_id"] for e in read_events(tmp_path / FILE_NAME) if e["event"] == "finished"]
    record = replay(tmp_path)
    assert len(finished) == len(set(finished)) == len(record.trials)
    assert sum(t.phase == "search" for t in record.trials.values()) == 28


def test_finalising_hands_out_as_many_trials_as_there_are_workers(tmp_path: Path) -> None:
    sweep = simulated_sweep(finalise={"top": 2, "seeds": [10, 42, 7]})
    searched = simulated_sweep(finalise={"top": 0, "seeds": [10]})
    run(searched, tmp_path)
    with Journal(tmp_path) as journal:
        search = Search(sweep, journal)
        assignments = [search.next_trial() for _ in range(13)]
    assert sum(assignment is not None for assignment in assignments) == 12


def test_a_pruned_point_is_told_with_its_curve_and_a_failed_one_as_failed(tmp_path: Path) -> None:
    from optuna.trial import TrialState

    from tunekit.trial import Outcome

    sweep = simulated_sweep()
    run(sweep, tmp_path)
    longer = simulated_sweep(search={"searcher": "tpe", "num_trials": 15, "seed": 3})
    with Journal(tmp_path) as journal:
        search = Search(longer, journal)
        assignment = search.next_trial()
        assert assignment is not None
        search.finish(assignment.trial, Outcome(state="FAILED", value=None, reason="loss became nan"))
        study = search._studies[assignment.arm.name].study
        states = [trial.state for trial in study.trials]
        assert states[-1] == TrialState.FAIL
        pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
        assert pruned and all(trial.intermediate_values for trial in pruned)
        assert assignment.trial.outcome is not None and assignment.trial.outcome.reason == "loss became nan"


def test_an_export_loads_as_an_optuna_study_with_every_point(tmp_path: Path) -> None:
    import optuna

    from tunekit.search.export import export_studies

    sweep = simulated_sweep()
    record = run(sweep, tmp_path)
    names = export_studies(sweep, record, tmp_path / "optuna.db")
    assert names == ["simulated/finetune", "simulated/ptuning_v2"]
    study = optuna.load_study(study_name=names[1], storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert len(study.trials) == 14
    best = record.arm("ptuning_v2").top(1)[0]
    assert study.best_value == pytest.approx(best.value)
    assert study.best_params == dict(best.params)


# -- growth ----------------------------------------------------------------------------------------------------------


class LineCounter:
    """Counts the lines of Python that run inside it, comprehensions and loops included."""

    def __init__(self) -> None:
        self.num_lines = 0

    def __enter__(self) -> LineCounter:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: Any, event: str, argument: object) -> Any:
        self.num_lines += event == "line"
        return self._trace


def _lines_per_trial(search: Search, *, until: int, at_once: int) -> float:
    """Drive the search until so many trials were created; the lines that each of the last 30 has cost."""
    running: list[tuple[Any, int]] = []
    counter = LineCounter()
    start = until - 30
    while len(search.record.trials) < start:
        _turn(search, running, at_once)
    with counter:
        while len(search.record.trials) < until:
            _turn(search, running, at_once)
    while running:
        assignment, epoch = running.pop(0)
        if advance(search, assignment, epoch + 1):
            running.append((assignment, epoch + 1))
    return counter.num_lines / 30


def _turn(search: Search, running: list[tuple[Any, int]], at_once: int) -> None:
    while len(running) < at_once and (assignment := search.next_trial()) is not None:
        search.started(assignment.trial, "worker", TrialFacts())
        running.append((assignment, 0))
    assignment, epoch = running.pop(0)
    if advance(search, assignment, epoch + 1):
        running.append((assignment, epoch + 1))


@pytest.mark.parametrize("scheduler", ["none", "asha", "hyperband", "median"])
def test_a_trial_costs_the_driver_as_much_work_late_as_early(scheduler: str, tmp_path: Path) -> None:
    """Work is counted in lines of Python, not timed. A second seed makes replicates a part of it."""
    sweep = simulated_sweep(
        search={"searcher": "random", "num_trials": 400, "seed": 3},
        scheduler={"name": scheduler},
        seeds=[10, 42],
        fixed={"epochs": 3},
    )
    with Journal(tmp_path, durable=False) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        early = _lines_per_trial(search, until=150, at_once=20)
        late = _lines_per_trial(search, until=1200 if scheduler == "none" else 700, at_once=20)
    assert late < 1.1 * early, (early, late)


def test_finalising_many_points_costs_as_much_work_late_as_early(tmp_path: Path) -> None:
    sweep = simulated_sweep(
        search={"searcher": "random", "num_trials": 120, "seed": 3},
        scheduler={"name": "none"},
        fixed={"epochs": 1},
        finalise={"top": 100, "seeds": [10, 42]},
    )
    with Journal(tmp_path, durable=False) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        early = _lines_per_trial(search, until=280, at_once=1)
        late = _lines_per_trial(search, until=420, at_once=1)
    assert late < 1.2 * early, (early, late)


# -- a bounded history -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_running", [3, 10])
def test_a_sampler_sees_the_best_and_the_latest_trials_and_the_latest_of_those_that_run(num_running: int) -> None:
    storage = BoundedStorage(num_best=5, num_latest=7)
    study = optuna.create_study(storage=storage, direction="maximize")
    generator = random.Random(1)
    values = [generator.random() for _ in range(200)]
    trials = [study.ask() for _ in values]
    order = list(range(200 - num_running))
    generator.shuffle(order)  # they finish in any order
    for number in order:
        study.tell(trials[number], values[number])
    seen = {trial.number for trial in study.get_trials(deepcopy=False)}
    best = sorted(order, key=lambda number: -values[number])[:5]
    running = list(range(200 - min(num_running, 7), 200))
    assert seen == {*range(10), *best, *sorted(order)[-7:], *running}
    assert [t.number for t in study.get_trials(states=[TrialState.RUNNING])] == running


def test_of_many_trials_that_run_a_sampler_sees_the_latest_although_few_have_finished() -> None:
    study = optuna.create_study(storage=BoundedStorage(num_best=5, num_latest=7))
    trials = [study.ask() for _ in range(20)]
    for trial in trials[:3]:
        study.tell(trial, 0.0)
    assert [trial.number for trial in study.get_trials(deepcopy=False)] == [0, 1, 2, *range(13, 20)]


@pytest.mark.parametrize("searcher", ["tpe", "cmaes", "nsga2", "qmc"])
def test_beyond_the_bound_a_killed_search_still_draws_what_an_undisturbed_one_draws(
    searcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(studies.HISTORY, "tpe", (12, 12))
    sweep = simulated_sweep(
        search={"searcher": searcher, "num_trials": 45, "seed": 5}, fixed={"epochs": 2}, scheduler={"name": "asha"}
    )
    undisturbed = facts(run(sweep, tmp_path / "undisturbed"))
    _killed_until_done(sweep, tmp_path / "killed", [40, 90, 70])
    assert facts(replay(tmp_path / "killed")) == undisturbed


def test_below_the_bound_a_bounded_search_is_an_unbounded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = simulated_sweep(search={"searcher": "tpe", "num_trials": 30, "seed": 5})
    bounded = facts(run(sweep, tmp_path / "bounded"))
    monkeypatch.setitem(studies.HISTORY, "tpe", (10**9, 10**9))
    assert facts(run(sweep, tmp_path / "unbounded")) == bounded


# -- other bytes -----------------------------------------------------------------------------------------------------


def test_a_trial_that_reads_other_bytes_than_the_sweep_began_with_stops_it(tmp_path: Path) -> None:
    sweep = simulated_sweep(search={"searcher": "random", "num_trials": 3, "seed": 1})
    before = {"backbone": "00", "train/en": "11", "test/de": "22"}
    with Journal(tmp_path) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        first = search.next_trial()
        assert first is not None
        search.started(first.trial, "worker", TrialFacts(fingerprints=before))
    for key, what in (("backbone", "the backbone 'toy-bert'"), ("test/de", "test of 'udpos' in 'de'")):
        with Journal(tmp_path) as journal:  # the next process knows what the first one read
            search = Search(sweep, journal)
            again = search.next_trial()
            assert again is not None and again.trial.trial_id == first.trial.trial_id
            with pytest.raises(
                DataChanged, match=f"^{what} .*changed since the sweep began: .* was {before[key]} and is"
            ):
                search.started(again.trial, "worker", TrialFacts(fingerprints={**before, key: "ff"}))
            assert again.trial.num_attempts == 1, "nothing of it is in the journal"


# -- served evenly, with what is warm --------------------------------------------------------------------------------


def test_a_worker_gets_what_is_warm_as_long_as_arms_stay_evenly_served(tmp_path: Path) -> None:
    sweep = simulated_sweep(search={"searcher": "random", "num_trials": 12, "seed": 1}, scheduler={"name": "none"})
    with Journal(tmp_path) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        drawn = []
        for _ in range(16):
            assignment = search.next_trial(lambda arm: int(arm.name != "ptuning_v2"))
            assert assignment is not None
            drawn.append(assignment.arm.name)
        counts = [drawn[: at + 1].count("ptuning_v2") - drawn[: at + 1].count("finetune") for at in range(len(drawn))]
    assert drawn[: LEAD + 1] == ["ptuning_v2"] * (LEAD + 1)
    assert max(counts) == LEAD + 1, "never further ahead than that"
    assert counts[-1] in (LEAD, LEAD + 1)


# -- small spaces, and points drawn again ----------------------------------------------------------------------------

SMALL_SPACE = {
    "batch_size": [8, 16],
    "weight_decay": {"low": 0.1, "high": 0.5, "step": 0.2, "when": {"batch_size": 8}},
    "schedule": ["linear", "constant"],
}


def _small_sweep(searcher: str, num_trials: int = 30, **arm: Any) -> Sweep:
    """Eight points: two schedules, each with one large batch size, or a small one and three decays."""
    arms = {"finetune": {"method": "finetune", "space": SMALL_SPACE, **arm}}
    return simulated_sweep(arms=arms, search={"searcher": searcher, "num_trials": num_trials, "seed": 2})


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_small_space_ends_when_each_of_its_points_was_drawn_once(searcher: str, tmp_path: Path) -> None:
    enqueue = [{"batch_size": 16}, {"batch_size": 16}, {"batch_size": 16}, {"weight_decay": 0.3}]
    sweep = _small_sweep(searcher, enqueue=enqueue)
    record = run(sweep, tmp_path / "undisturbed")
    arm = sweep.arms[0]
    points = record.arm("finetune").points
    assert sweep.num_points(arm) == len(points) == 8
    assert len({arm.place(point.params) for point in points}) == len({point.point_id for point in points}) == 8
    with Journal(tmp_path / "undisturbed") as journal:
        told = Search(sweep, journal)._studies["finetune"].study.get_trials()
    assert [trial.params for trial in told] == [dict(point.params) for point in points]
    draw = random.Random(searcher)
    _killed_until_done(sweep, tmp_path / "killed", [draw.randint(1, 25) for _ in range(8)])
    assert facts(replay(tmp_path / "killed")) == facts(record)


def test_what_the_study_was_told_while_it_ran_is_what_a_replay_tells_it(tmp_path: Path) -> None:
    sweep = _small_sweep("tpe")
    with Journal(tmp_path) as journal:
        launch(sweep, journal)
        search = Search(sweep, journal)
        for _ in range(8):
            assert search.next_trial() is not None
        assert search.next_trial() is None
        live = [(t.params, t.distributions) for t in search._studies["finetune"].study.get_trials()]
        again = [(t.params, t.distributions) for t in Search(sweep, journal)._studies["finetune"].study.get_trials()]
    assert live == again
    assert len({str(params) for params, _ in live}) == 8


def test_points_that_differ_in_their_seed_are_other_trials(tmp_path: Path) -> None:
    space = {"batch_size": [8, 16], "seed": [1, 2, 3]}
    arms = {"finetune": {"method": "finetune", "space": space}}
    content = {**simulated_sweep().definition, "arms": arms, "search": {"num_trials": 30, "seed": 2}}
    del content["seeds"]
    sweep = parse_sweep(content, Source("seeds.yaml"))
    searched = [t for t in run(sweep, tmp_path).trials.values() if t.phase == "search"]
    assert {(t.params["batch_size"], t.seed) for t in searched} == {(b, s) for b in (8, 16) for s in (1, 2, 3)}
    assert len(searched) == 6


def test_a_large_finite_space_repeats_nothing_and_is_never_listed(tmp_path: Path) -> None:
    space = {"batch_size": {"low": 8, "high": 2**63 - 1}, "schedule": ["linear", "constant"]}
    arms = {"finetune": {"method": "finetune", "space": space}}
    for searcher in ("grid", "random"):
        sweep = simulated_sweep(arms=arms, search={"searcher": searcher, "num_trials": 12, "seed": 2})
        points = run(sweep, tmp_path / searcher).arm("finetune").points
        assert len({point.point_id for point in points}) == 12


@pytest.mark.parametrize("size", [8, 20_000])
def test_the_last_points_of_a_space_are_found(size: int) -> None:
    arm = simulated_sweep(
        arms={"finetune": {"method": "finetune", "space": {"batch_size": {"low": 1, "high": size}}}}
    ).arms[0]
    drawn = DrawnPoints(arm)
    for point in arm.grid():
        if point["batch_size"] != size // 2:
            drawn.add(point)
    assert drawn.unused(random.Random(1), {}) == {"batch_size": size // 2}
    drawn.add({"batch_size": size // 2})
    assert drawn.unused(random.Random(1), {}) is None


def test_a_point_drawn_again_keeps_its_finals_and_weights_as_one_configuration(tmp_path: Path) -> None:
    sweep = _repeating_sweep(finalise={"top": 2, "seeds": [10, 42]}, scheduler={"name": "none"})
    record = run(sweep, tmp_path)
    top = record.arm("finetune").top(10)
    assert len({point.point_id for point in top}) == len(top)
    again = next(point for point in top if point.num_draws > 1)
    assert again.value == fmean(trial.value or 0 for trial in again.trials)
    tested = {t.point_id for t in record.trials.values() if t.test_scores is not None}
    assert tested == {point.point_id for point in top[:2]}
