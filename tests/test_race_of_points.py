"""Racing inside a sweep: which trials it makes, that nothing but dev scores decides, and that test stays sealed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from simulation import TEST_S, Killed, advance, curve_value, facts, launch, run, simulated_sweep

from tunekit import reports
from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME, ArmRace, Journal, SweepProgress, SweepRecord, read_events, replay
from tunekit.reports.results import SweepResult, read
from tunekit.reports.winner import winners
from tunekit.search import Search
from tunekit.sweep import Sweep, from_resolved, resolved
from tunekit.trial import Outcome, TrialFacts

RACE = {"top": 3, "seeds": [10, 42], "race": {"max_seeds": 5, "delta": 0.005}}
FEW = {"task": {"name": "udpos", "target_languages": ["de"], "shots": 4}}


def racing_sweep(**changes: Any) -> Sweep:
    """Points whose dev scores spread by 0.014 between seeds."""
    search = {"searcher": "random", "num_trials": 6, "seed": 3}
    fixed = {"epochs": 2}
    return simulated_sweep(
        **{"search": search, "scheduler": {"name": "none"}, "fixed": fixed, "finalise": RACE, **changes}
    )


def races(record: SweepRecord, sweep: Sweep | None = None) -> dict[str, ArmRace]:
    progress = SweepProgress(record, sweep)
    found = {arm.name: progress.race(arm) for arm in progress.sweep.arms}
    return {name: race for name, race in found.items() if race is not None}


def moments(folder: Path, kind: str) -> Iterator[tuple[SweepRecord, str]]:
    """The record as it was before each event of a kind, and the trial of the event."""
    record = SweepRecord()
    for event in read_events(folder / FILE_NAME):
        if event["event"] == kind:
            yield record, str(event["trial_id"])
        record.apply(event)


def test_new_seeds_go_to_close_points_and_the_winner_is_confirmed_on_others(tmp_path: Path) -> None:
    record = run(racing_sweep(), tmp_path)
    assert SweepProgress(record).is_finished
    assert any(race.standing.num_rounds for race in races(record).values()), "there is a race to speak of"
    for name, race in races(record).items():
        assert race.winner is not None and race.standing.leader is not None
        assert race.seeds == (10, 42, 43, 44, 45, 46, 47), "the listed ones, then the next whole numbers"
        ran = {
            place: [trial.seed for trial in record.trials.values() if trial.point_id == point.point_id]
            for place, point in enumerate(race.points)
        }
        for place, seeds in ran.items():
            number = race.standing.num_asked[place] + (2 if place == race.standing.leader else 0)
            assert sorted(seeds) == list(race.seeds[:number]), name
        tested = {trial.trial_id for trial in record.arm(name).trials if trial.test_scores is not None}
        assert len(tested) == sum(map(len, ran.values())), "all of them are scored on test, each on the seeds it has"


@pytest.mark.parametrize("num_workers", [1, 4])
def test_test_stays_sealed_until_the_race_is_over(num_workers: int, tmp_path: Path) -> None:
    run(racing_sweep(), tmp_path, num_workers=num_workers)
    num_tested = 0
    for record, trial_id in moments(tmp_path, "tested"):
        assert races(record)[record.trials[trial_id].arm].is_over
        num_tested += 1
    assert num_tested > 10


def test_the_order_in_which_trials_end_changes_nothing(tmp_path: Path) -> None:
    found = [run(racing_sweep(), tmp_path / str(n), num_workers=n) for n in (1, 3, 8)]
    assert all(set(record.trials) == set(found[0].trials) for record in found)
    standings = [{name: race.standing for name, race in races(record).items()} for record in found]
    assert standings[0] == standings[1] == standings[2]


def small_sweep(**changes: Any) -> Sweep:
    """One arm, four points, a race of some rounds; few events."""
    arms = {"ptuning_v2": {"method": "ptuning_v2", "space": {"learning_rate": {"low": 1e-3, "high": 2e-3}}}}
    search = {"searcher": "random", "num_trials": 3, "seed": 3}
    return racing_sweep(**{"arms": arms, "search": search, "fixed": {"epochs": 1}, **changes})


@pytest.mark.parametrize(("num_workers", "step"), [(1, 4), (3, 11)])
def test_a_race_killed_at_any_event_and_resumed_is_the_same_race(num_workers: int, step: int, tmp_path: Path) -> None:
    sweep = small_sweep()
    undisturbed = run(sweep, tmp_path / "undisturbed", num_workers=num_workers)
    assert all(race.standing.num_rounds for race in races(undisturbed).values())
    num_events = sum(1 for _ in read_events(tmp_path / "undisturbed" / FILE_NAME))
    for kill_after in range(14, num_events, step):
        folder = tmp_path / f"{kill_after}"
        with pytest.raises(Killed):
            run(sweep, folder, num_workers=num_workers, kill_after=kill_after)
        record = run(sweep, folder, num_workers=num_workers)
        found, expected = (sorted(facts(each), key=str) for each in (record, undisturbed))
        assert found == expected, f"killed after event {kill_after}"
        assert not record.taken


def test_a_race_that_was_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    sweep = small_sweep()
    undisturbed = run(sweep, tmp_path / "undisturbed")
    for _ in range(60):
        try:
            run(sweep, tmp_path / "killed", kill_after=5)
        except Killed:
            continue
        break
    assert facts(replay(tmp_path / "killed")) == facts(undisturbed)


def _seconds(number: float) -> dict[str, Any]:
    return {"hours": number / 3600, "reserve": 0}


@pytest.mark.parametrize(("share_s", "num_workers"), [(13, 1), (16, 4), (19.5, 1), (24, 4), (30, 1)])
def test_a_budget_ends_a_race_and_leaves_room_for_its_tests(share_s: float, num_workers: int, tmp_path: Path) -> None:
    record = run(racing_sweep(budget=_seconds(2 * share_s)), tmp_path, num_workers=num_workers)
    progress = SweepProgress(record)
    assert progress.is_finished
    for name, race in races(record).items():
        trained = [t for t in record.arm(name).trials if t.phase == "finalise" and t.state == "COMPLETE"]
        assert all(trial.test_scores is not None for trial in trained), "what was trained is scored"
        assert race.is_over
        spent_s = record.arm(name).spent_in_all.worker_s
        assert spent_s <= share_s + num_workers * (1 + TEST_S)
    for before, trial_id in moments(tmp_path, "tested"):
        assert races(before)[before.trials[trial_id].arm].is_over


def _drive_slow_starters(search: Search, num_workers: int) -> None:
    """Like `drive`, but every other worker needs five turns before it says its first word."""
    running: list[tuple[Any, int]] = []
    while True:
        while len(running) < num_workers and (assignment := search.next_trial()) is not None:
            running.append((assignment, -5 if len(search.record.trials) % 2 else -1))
        if not running:
            return
        assignment, epoch = running.pop(0)
        if epoch == -1 and assignment.trial.state == "RUNNING":
            search.started(assignment.trial, "worker", TrialFacts())
        if epoch < 0 or advance(search, assignment, epoch + 1):
            running.append((assignment, epoch + 1))


@pytest.mark.parametrize(("share_s", "epochs", "num_workers"), [(17.467, 2, 2), (17.431, 1, 3)])
def test_a_race_that_a_budget_cut_is_over_once_no_worker_is_at_one_of_its_trials(
    share_s: float, epochs: int, num_workers: int, tmp_path: Path
) -> None:
    sweep = racing_sweep(budget=_seconds(2 * share_s), fixed={"epochs": epochs})
    with Journal(tmp_path) as journal:
        launch(sweep, journal)
        _drive_slow_starters(Search(sweep, journal), num_workers)
        assert SweepProgress(journal.record).is_finished
    record, unsealed = SweepRecord(), set()
    for event in read_events(tmp_path / FILE_NAME):
        record.apply(event)
        if event["event"] == "tested":
            unsealed.add(record.trials[event["trial_id"]].arm)
        assert all(races(record)[arm].is_over for arm in unsealed), "a race that is over is not open again"
    assert len(unsealed) == 2


def test_a_race_that_a_budget_ended_goes_on_with_a_larger_one(tmp_path: Path) -> None:
    whole = run(racing_sweep(), tmp_path / "whole")
    cut = run(racing_sweep(budget=_seconds(2 * 17)), tmp_path / "cut")
    assert {race.standing.end for race in races(cut).values()} == {"cut"}
    assert (SweepProgress(cut).stopped_by_budget() or "").startswith("stopped by budget")
    larger = run(racing_sweep(budget=_seconds(4000)), tmp_path / "cut")
    assert set(larger.trials) == set(whole.trials)
    assert [race.standing for race in races(larger).values()] == [race.standing for race in races(whole).values()]


@pytest.mark.parametrize("share_s", [14, 19])
def test_a_sweep_with_a_budget_killed_at_any_event_ends_its_race_where_an_undisturbed_one_does(
    share_s: float, tmp_path: Path
) -> None:
    sweep = racing_sweep(budget=_seconds(2 * share_s))
    undisturbed = run(sweep, tmp_path / "undisturbed")
    assert "cut" in {race.standing.end for race in races(undisturbed).values()}
    num_events = sum(1 for _ in read_events(tmp_path / "undisturbed" / FILE_NAME))
    for kill_after in range(40, num_events, 17):
        folder = tmp_path / f"{kill_after}"
        with pytest.raises(Killed):
            run(sweep, folder, kill_after=kill_after)
        record = run(sweep, folder)
        assert facts(record) == facts(undisturbed), f"killed after event {kill_after}"


def test_a_failed_trial_costs_its_point_a_seed_and_the_race_goes_on(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        launch(racing_sweep(), journal)
        search = Search(racing_sweep(), journal)
        num_failed = 0
        while (assignment := search.next_trial()) is not None:
            trial = assignment.trial
            if trial.phase == "finalise" and trial.seed == 42 and trial.state == "RUNNING":
                search.finish(trial, Outcome(state="FAILED", value=None, reason="loss became nan"))
                search.release(trial)
                num_failed += 1
                continue
            if trial.state == "RUNNING":
                search.started(trial, "worker", TrialFacts())
            epoch = 1
            while advance(search, assignment, epoch):
                epoch += 1
        assert search.is_done
        for race in races(journal.record).values():
            assert race.standing.end in ("confident", "max_seeds")
            assert min(race.standing.num_asked) >= 3, "of one score nobody knows its noise"
    assert num_failed == 6


def test_with_draws_a_new_seed_runs_on_each_draw_and_counts_as_one_score(tmp_path: Path) -> None:
    record = run(racing_sweep(**FEW, draws=[0, 1]), tmp_path)
    for race in races(record).values():
        for place, point in enumerate(race.points):
            ran = {(trial.seed, trial.draw) for trial in record.trials.values() if trial.point_id == point.point_id}
            assert ran == {(seed, draw) for seed in race.asked(place) for draw in (0, 1)}
    for winner in winners(read(record)):
        standing = races(record)[winner.arm].standing
        assert standing.leader is not None
        assert winner.dev.n == len(winner.seeds) == standing.num_asked[standing.leader]


def test_weights_of_racing_trials_wait_for_their_test(tmp_path: Path) -> None:
    from test_keeping import kept, scored
    from test_keeping import run as run_with_files

    sweep = racing_sweep(fixed={"epochs": 3}, storage={"keep": "none"})
    record = run_with_files(sweep, tmp_path)  # it asserts that what is to be tested has its parameters
    assert len(scored(record)) > 12
    assert kept(tmp_path)["best.pt"] == set()


def test_a_journal_of_a_sweep_without_a_race_is_read_as_before(tmp_path: Path) -> None:
    sweep = racing_sweep(finalise={"top": 2, "seeds": [10, 42]})
    old: dict[str, Any] = resolved(sweep)
    del old["finalise"]["race"]
    assert from_resolved(old, sweep.definition, "journal") == sweep
    record = run(sweep, tmp_path)
    assert SweepProgress(record).race(sweep.arms[0]) is None
    assert all(record.arm(arm.name).num_tested == 4 for arm in sweep.arms)


def test_a_race_may_be_added_to_a_finished_sweep(tmp_path: Path) -> None:
    run(racing_sweep(finalise={"top": 3, "seeds": [10, 42]}), tmp_path / "later")
    later = run(racing_sweep(), tmp_path / "later")
    at_once = run(racing_sweep(), tmp_path / "at_once")
    assert set(later.trials) == set(at_once.trials)
    standings = [race.standing for race in races(later, racing_sweep()).values()]
    assert standings == [race.standing for race in races(at_once).values()]


def test_new_seeds_are_the_next_whole_numbers_that_nobody_listed() -> None:
    race = {"max_seeds": 4}
    assert racing_sweep(finalise={"top": 2, "seeds": [7, 3], "race": race}, seeds=[9]).final_seeds == (
        7,
        3,
        8,
        10,
        11,
        12,
    )
    largest = 2**32 - 1
    found = racing_sweep(finalise={"top": 2, "seeds": [largest, 0], "race": race}).final_seeds
    assert found == (largest, 0, 1, 2, 3, 4)
    assert racing_sweep(finalise={"top": 2, "seeds": [7, 3]}).final_seeds == (7, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"race": {"max_seeds": 2}}, "finalise.race: race.max_seeds is 2, must be more than the 2 in finalise.seeds"),
        ({"race": {}}, "finalise.race: missing key 'max_seeds'"),
        ({"race": {"max_seeds": 5, "delta": -0.1}}, "finalise.race: delta is -0.1, must be a fraction of the score"),
        ({"race": {"max_seeds": 5, "delta": 1}}, "delta is 1.0, must be a fraction of the score"),
        ({"race": {"max_seeds": 5, "confidence": 0.5}}, "confidence is 0.5, must be between 0.5 and 1"),
        ({"race": {"max_seeds": 5, "confidence": 95}}, "confidence is 95.0, must be between 0.5 and 1"),
        ({"race": {"max_seed": 5}}, "did you mean 'max_seeds'?"),
        ({"race": True}, "finalise.race: expected keys and values"),
        ({"top": 1}, "finalise.top: top is 1, must be at least 2 where points race"),
    ],
)
def test_a_race_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as found:
        racing_sweep(finalise={**RACE, **changes})
    assert message in str(found.value)


# -- what is said of the winner --------------------------------------------------------------------------------------


def test_the_winner_of_a_race_is_reported_with_new_seeds_and_with_what_cannot_be_told_from_it(tmp_path: Path) -> None:
    result = read(run(racing_sweep(), tmp_path))
    for arm, winner in zip(result.arms, winners(result), strict=True):
        assert arm.race is not None and arm.race.winner is not None and arm.best is not None
        assert winner.number == arm.race.winner.number == arm.best.number
        assert len(winner.seeds) == winner.dev.n and len(winner.new_seeds) == 2
        assert not set(winner.seeds) & set(winner.new_seeds)
        trials = {trial.seed: trial for trial in arm.best.trials}
        assert winner.dev.mean == pytest.approx(sum(trials[s].value or 0 for s in winner.seeds) / winner.dev.n)
        assert winner.correction == "new seeds" and winner.corrected is not None
        assert winner.corrected.mean == pytest.approx(sum(curve_value(trials[s], 2) for s in winner.new_seeds) / 2)
        assert winner.corrected.low < winner.corrected.mean < winner.corrected.high
        assert winner.end == arm.race.standing.end
        assert winner.is_told == (not winner.rivals)
        assert ("cannot be told from noise" in winner.first_line) == bool(winner.rivals)
        assert "corrected for selection by 2 new seeds" in winner.first_line


def test_of_an_arm_that_finalises_one_point_the_seeds_that_its_search_has_not_run_are_new(tmp_path: Path) -> None:
    sweep = racing_sweep(finalise={"top": 1, "seeds": [10, 42, 7]})
    result = read(run(sweep, tmp_path))
    for arm, winner in zip(result.arms, winners(result), strict=True):
        assert arm.best is not None and winner.corrected is not None
        unseen = [trial.value or 0 for trial in arm.best.trials if trial.seed != 10]
        assert winner.corrected.mean == pytest.approx(sum(unseen) / 2)
        assert (winner.correction, winner.num_corrected, winner.dev.n) == ("new seeds", 2, 3)


def test_without_a_race_the_best_of_several_points_is_corrected_by_the_model(tmp_path: Path) -> None:
    result = read(run(racing_sweep(finalise={"top": 3, "seeds": [10, 42, 7]}), tmp_path))
    for arm, winner in zip(result.arms, winners(result), strict=True):
        assert arm.best is not None and winner.number == arm.best.number
        assert (winner.correction, winner.num_corrected) == ("model", 2), "the search's own seed is left out"
        assert (winner.end, winner.delta, winner.num_points) == (None, 0.0, 3)


def test_an_unfinished_search_has_a_leader_and_no_choice(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(racing_sweep(), tmp_path, kill_after=40)
    found = winners(read(replay(tmp_path)))
    assert found and not any(winner.is_final or winner.is_told for winner in found)
    assert "leads" in found[0].first_line and "no choice yet" in found[0].first_line


def test_one_seed_cannot_tell_anything(tmp_path: Path) -> None:
    result = read(run(racing_sweep(finalise={"top": 2, "seeds": [10]}), tmp_path))
    for winner in winners(result):
        assert (winner.corrected, winner.interval, winner.chance) == (None, None, None)
        assert len(winner.rivals) == 1 and "with one seed each" in winner.first_line


@pytest.mark.parametrize("num_arms", [1, 5])
def test_the_terminal_says_first_how_sure_each_choice_is(num_arms: int, tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-3, "high": 2e-3}}
    arms = {
        f"arm{number}": {"method": "finetune", "space": space, "fixed": {"epochs": 1 + number}}
        for number in range(num_arms)
    }
    search = {"searcher": "random", "num_trials": 2, "seed": 3}
    sweep = racing_sweep(arms=arms, search=search, fixed={}, finalise={"top": 2, "seeds": [10]})
    first = shown(run(sweep, tmp_path))[0]
    if num_arms == 1:
        assert first.startswith("arm0: the choice of point ") and "cannot be told from noise" in first
    else:
        assert first.startswith("The choice of a point cannot be told from noise in arm0, arm1, arm2, arm3 and arm4:")


def test_of_many_arms_in_which_nothing_was_chosen_the_first_line_says_nothing_of_choices(tmp_path: Path) -> None:
    arms = {f"arm{number}": {"method": "finetune", "fixed": {"epochs": 1 + number}} for number in range(5)}
    finalise = {"top": 1, "seeds": [10, 42]}
    sweep = racing_sweep(arms=arms, search={"num_trials": 1}, fixed={"learning_rate": 1e-3}, finalise=finalise)
    assert shown(run(sweep, tmp_path))[0].startswith("udpos: ")


def shown(result: SweepResult) -> list[str]:
    """The lines of the summary in a wide terminal."""
    stream = io.StringIO()
    Console(file=stream, width=300).print(reports.summary(result))
    return stream.getvalue().splitlines()


def test_with_draws_a_report_may_be_asked_for_at_any_moment_of_finalising(tmp_path: Path) -> None:
    drawn = {"task": {"name": "udpos", "target_languages": ["de"], "max_train_examples": 4}, "draws": [5]}
    sweep = racing_sweep(**drawn, finalise={"top": 2, "seeds": [42, 7], "draws": [5, 6]})
    run(sweep, tmp_path / "whole", num_workers=2)
    record, num_partial = SweepRecord(), 0
    for event in read_events(tmp_path / "whole" / FILE_NAME):
        record.apply(event)
        if event["event"] in ("tested", "finished"):
            result = read(record)
            num_partial += sum(arm.best is not None and not winner.new_seeds and winner.chance is None
                               for arm, winner in zip(result.arms, winners(result), strict=False))  # fmt: skip
    assert num_partial, "a point was tested on one draw of its first seed, and its report was written"


def test_a_seed_that_the_search_drew_is_no_new_seed_of_the_winner(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "seed": {"low": 12, "high": 13}}
    sweep = racing_sweep(
        arms={
            "finetune": {"method": "finetune", "space": space},
            "other": {"method": "finetune", "space": {"learning_rate": [1e-4, 2e-4]}},
        },
        finalise={"top": 2, "seeds": [10, 11], "race": {"max_seeds": 5}},
    )
    result = read(run(sweep, tmp_path))
    arm, winner = result.arms[0], winners(result)[0]
    assert arm.race is not None and arm.race.winner is not None
    searched = {trial.seed for trial in arm.race.winner.trials}
    confirmed = set(arm.race.confirmed_on(arm.race.standing.leader or 0))
    assert searched & confirmed, "the race confirmed its winner on the seed that the search had drawn"
    assert set(winner.new_seeds) == confirmed - searched
