"""Which files of its trials a sweep leaves on the disk (`storage.keep`), counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import curve_value, simulated_sweep
from work import SCORES, Work

from tunekit.execution.protocol import Ask, Job
from tunekit.journal import SweepRecord, TrialRecord, replay
from tunekit.storage import TrialFolder
from tunekit.sweep import Sweep
from tunekit.training.messages import Finished, Reported, Started
from tunekit.training.messages import Tested as Scored  # pytest takes what begins with Test for tests
from tunekit.trial import EpochReport, Outcome, TrialFacts

NAMES = ("best.pt", "last.pt", "previous.pt")


def sweep_with(**changes: Any) -> Sweep:
    return simulated_sweep(
        **{
            "fixed": {"epochs": 3},
            "search": {"searcher": "random", "num_trials": 6, "seed": 1},
            "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2},
            "finalise": {"top": 2, "seeds": [10, 42]},
            **changes,
        }
    )


def run(sweep: Sweep, folder: Path) -> SweepRecord:
    """One slot that writes and deletes the files that a trial does; the second trial of each arm fails."""
    work = Work(sweep, folder)
    while (reply := work.tell("a", Ask())) is not None and reply.job is not None:
        trial = work.search.record.trials[reply.job.config.trial_id]
        files = TrialFolder(Path(reply.job.folder))
        files.path.mkdir(parents=True, exist_ok=True)
        if trial.state == "RUNNING" and not _train(work, reply.job, trial, files):
            continue
        assert files.best.exists() or not reply.job.test, "what is to be tested has its parameters"
        if reply.job.test:
            work.tell("a", Scored(trial_id=trial.trial_id, scores=SCORES, is_last=True))
    work.journal.close()
    return replay(folder)


def _train(work: Work, job: Job, trial: TrialRecord, files: TrialFolder) -> bool:
    """Whether the trial is COMPLETE."""
    name = trial.trial_id
    work.tell("a", Started(trial_id=name, facts=TrialFacts()))
    for epoch in range(1, 4):
        value = curve_value(trial, epoch)
        for path in (files.best, files.last, files.previous):
            path.touch()
        if trial.number == 1 and trial.phase == "search":
            failed = Outcome(state="FAILED", value=None, reason="loss is nan")
            work.tell("a", Finished(trial_id=name, outcome=failed, is_last=True))
            return False
        report = EpochReport(epoch=epoch, value=value, metrics={"dev/en/accuracy": value}, duration_s=1.0)
        reply = work.tell("a", Reported(trial_id=name, report=report))
        if reply is not None and reply.kind == "stop":
            return False
    for path in (files.last, files.previous):
        path.unlink()
    outcome = Outcome(state="COMPLETE", value=curve_value(trial, 3), best_epoch=3)
    work.tell("a", Finished(trial_id=name, outcome=outcome, is_last=not job.test))
    return True


def kept(folder: Path) -> dict[str, set[str]]:
    """Trials by the file that they have."""
    return {name: {path.parent.name for path in (folder / "trials").glob(f"*/{name}")} for name in NAMES}


def scored(record: SweepRecord) -> set[str]:
    return {trial.trial_id for trial in record.trials.values() if trial.test_scores is not None}


def test_of_pruned_failed_and_complete_trials_only_those_scored_on_test_keep_their_parameters(tmp_path: Path) -> None:
    record = run(sweep_with(), tmp_path)
    states = {trial.state for trial in record.trials.values()}
    assert states == {"COMPLETE", "PRUNED", "FAILED"}
    assert kept(tmp_path) == {"best.pt": scored(record), "last.pt": set(), "previous.pt": set()}
    assert len(scored(record)) == 2 * 2 * 2 < len(record.trials)


@pytest.mark.parametrize(("keep", "is_kept"), [("all", True), ("none", False)])
def test_all_trained_parameters_are_kept_or_none_if_the_file_says_so(keep: str, is_kept: bool, tmp_path: Path) -> None:
    record = run(sweep_with(storage={"keep": keep}), tmp_path)
    assert len(scored(record)) == 8
    assert kept(tmp_path)["best.pt"] == (set(record.trials) if is_kept else set())


@pytest.mark.parametrize("keep", ["all", "top"])
def test_what_a_kill_kept_from_being_deleted_goes_at_the_next_start(keep: str, tmp_path: Path) -> None:
    record = run(sweep_with(storage={"keep": keep}), tmp_path)
    before = kept(tmp_path)
    for trial in record.trials.values():
        for name in ("last.pt", "previous.pt"):
            (tmp_path / "trials" / trial.trial_id / name).touch()
    run(sweep_with(storage={"keep": keep}), tmp_path)
    assert kept(tmp_path) == before and before["last.pt"] == set()


def test_a_trial_that_the_budget_has_stopped_keeps_what_it_needs_to_go_on(tmp_path: Path) -> None:
    sweep = sweep_with(budget={"hours": 2 * 4 / 3600, "reserve": 0}, storage={"keep": "none"})
    record = run(sweep, tmp_path)
    running = {trial.trial_id for trial in record.trials.values() if trial.state == "RUNNING"}
    assert running and running <= set.intersection(*kept(tmp_path).values())


@pytest.mark.parametrize("seed", range(4))
def test_with_several_search_seeds_every_trial_that_is_tested_has_kept_its_parameters(
    seed: int, tmp_path: Path
) -> None:
    search = {"searcher": "random", "num_trials": 6, "seed": seed}
    changes = {"search": search, "scheduler": {"name": "none"}, "seeds": [10, 42, 7]}
    record = run(sweep_with(**changes, finalise={"top": 1, "seeds": [10, 42, 7]}), tmp_path)  # which looks at the files
    assert len(scored(record)) == 2 * 3
    assert kept(tmp_path) == {"best.pt": scored(record), "last.pt": set(), "previous.pt": set()}
