"""Draws of the data as replicates beside seeds: what they change, what is refused, and the parts of the spread."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import random
from collections import Counter
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from builders import JournalBuilder, cells, definition
from simulation import Killed, facts, run, simulated_sweep

from tunekit.errors import ConfigError, DataError
from tunekit.journal import replay
from tunekit.reports.contents.rules import selection
from tunekit.reports.render.markdown import render
from tunekit.reports.render.tidy import to_csv
from tunekit.reports.results import read
from tunekit.reports.variance import components
from tunekit.schema import to_json
from tunekit.sweep import Source, parse_sweep, trial_config
from tunekit.tasks import load
from tunekit.trial import Locations, Replicate, TaskConfig

FEW = {"name": "udpos", "target_languages": ["de"], "shots": 4}


def parsed(**changes: Any) -> Any:
    content = definition(task=dict(FEW), draws=[0, 1, 2], **changes)
    return parse_sweep(content, Source("file"), folders_must_exist=False)


# -- the sweep file --------------------------------------------------------------------------------------------------


def test_every_seed_runs_on_every_draw() -> None:
    sweep = parsed(seeds=[10, 42])
    arm = sweep.arms[0]
    assert sweep.replicates(arm) == tuple(Replicate(seed, draw) for draw in (0, 1, 2) for seed in (10, 42))
    assert sweep.final_replicates(arm) == tuple(Replicate(seed, draw) for draw in (0, 1, 2) for seed in (10, 42))


def test_finalising_may_take_more_draws_than_the_search() -> None:
    content = definition(task=dict(FEW), draws=[5], finalise={"seeds": [10], "draws": [5, 6]})
    sweep = parse_sweep(content, Source("file"), folders_must_exist=False)
    assert sweep.replicates(sweep.arms[0]) == (Replicate(10, 5),)
    assert sweep.final_replicates(sweep.arms[0]) == (Replicate(10, 5), Replicate(10, 6))


def test_without_draws_there_is_one_and_it_is_the_task_s_own() -> None:
    sweep = parse_sweep(definition(), Source("file"), folders_must_exist=False)
    assert sweep.replicates(sweep.arms[0]) == (Replicate(10, None),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": []}, "at least one draw"),
        ({"draws": [1, 1]}, "none repeated"),
        ({"draws": [0.5]}, "draws"),
        ({"task": {"name": "udpos"}}, "reads the whole of train"),
        ({"task": {"name": "udpos", "max_dev_examples": 9}}, "reads the whole of train"),
        ({"task": {"name": "xnli", "shots": 4, "draw": "files", "fewshot_dir": "x"}}, "the one draw in fewshot_dir"),
        ({"task": {**FEW, "draw_seed": 3}}, "has a draw_seed"),
        ({"draws": None, "task": {"name": "udpos"}, "finalise": {"draws": [1]}}, "finalise.draws"),
        ({"finalise": {"draws": [1, 1]}}, "without repetition"),
        ({"finalise": {"draws": []}}, "at least one draw"),
    ],
)
def test_draws_that_change_nothing_or_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    content = definition(task=dict(FEW), draws=[0, 1]) | changes
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        parse_sweep(content, Source("file"), folders_must_exist=False)


def test_a_sample_as_large_as_train_is_no_draw(tmp_path: Path) -> None:
    (tmp_path / "udpos").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "udpos" / f"{split}-en.tsv").write_text("a\tNOUN\n\nb\tVERB\n\n" * 3, encoding="utf-8")
    places = Locations(data_dir=str(tmp_path))
    for size in (6, 7):
        task = load(TaskConfig(name="udpos", max_train_examples=size, draw_seed=1), places)
        with pytest.raises(DataError, match="every draw of train is the same"):
            task.examples("train", "en")
    with pytest.raises(DataError, match=r"all of its 6 examples are used \(shots is 3\)"):
        load(TaskConfig(name="udpos", shots=3, draw_seed=1), places).examples("train", "en")
    assert len(load(TaskConfig(name="udpos", shots=2, draw_seed=1), places).examples("train", "en")) == 4
    assert len(load(TaskConfig(name="udpos", max_train_examples=5, draw_seed=1), places).examples("train", "en")) == 5


def test_a_draw_changes_train_and_dev_and_leaves_test(tmp_path: Path) -> None:
    (tmp_path / "udpos").mkdir()
    for split in ("train", "dev", "test"):
        text = "".join(f"word{i}\t{'NOUN' if i % 2 else 'VERB'}\n\n" for i in range(200))
        (tmp_path / "udpos" / f"{split}-en.tsv").write_text(text, encoding="utf-8")

    def read_split(split: Any, **config: Any) -> tuple[Any, ...]:
        task = TaskConfig(name="udpos", shots=5, max_test_examples=20, **config)
        return load(task, Locations(data_dir=str(tmp_path))).examples(split, "en")

    for split in ("train", "dev"):
        assert len({read_split(split, draw_seed=draw) for draw in (None, 1, 2)}) == 3
        assert read_split(split, draw_seed=7) == read_split(split, sample_seed=7)
    assert len({read_split("test", draw_seed=draw) for draw in (None, 1, 2)}) == 1


# -- the search ------------------------------------------------------------------------------------------------------


SAMPLED = {"name": "udpos", "target_languages": ["de"], "max_train_examples": 9}


def drawn_sweep(**changes: Any) -> Any:
    return simulated_sweep(
        task=SAMPLED, draws=[0, 1], search={"searcher": "tpe", "num_trials": 4, "seed": 3}, **changes
    )


def test_a_search_over_draws_goes_on_after_any_kill_as_if_nothing_had_happened(tmp_path: Path) -> None:
    sweep = drawn_sweep(seeds=[10, 42])
    whole = run(sweep, tmp_path / "whole")
    for point in whole.arm("finetune").points:
        if all(trial.state == "COMPLETE" for trial in point.trials):
            assert {t.replicate for t in point.trials} == {Replicate(s, d) for s in (10, 42) for d in (0, 1)}
    for events in (3, 17, 40):
        folder = tmp_path / str(events)
        with contextlib.suppress(Killed):
            run(sweep, folder, kill_after=events)
        assert facts(replay(folder)) != facts(whole)
        assert facts(run(sweep, folder)) == facts(whole) == facts(replay(folder))


def test_each_trial_reads_the_draw_that_its_name_says(tmp_path: Path) -> None:
    sweep = drawn_sweep(finalise={"top": 1, "seeds": [10], "draws": [0, 5]})
    record = run(sweep, tmp_path)
    for trial in record.trials.values():
        params = {key: value for key, value in trial.params.items() if key != "seed"}
        expected = trial_config(sweep, sweep.arm(trial.arm), params, trial.seed, draw=trial.draw)
        assert expected.trial_id == trial.trial_id and to_json(expected) == trial.config
    finals = {t.draw for t in record.trials.values() if t.test_scores is not None}
    assert finals == {0, 5}


def test_a_trial_is_compared_with_trials_of_its_own_draw_alone(tmp_path: Path) -> None:
    """Else a draw of the data that is harder would stop every trial on it."""
    record = run(drawn_sweep(seeds=[10, 42]), tmp_path)
    seen: Counter[tuple[str, int | None, int]] = Counter()
    compared = []
    for trial in record.trials.values():
        for epoch, decision in trial.decisions.items() if trial.phase == "search" else ():
            if decision.get("rung") is not None:
                assert decision["num_compared"] == seen[trial.arm, trial.draw, epoch]
                compared.append(decision["num_compared"])
            seen[trial.arm, trial.draw, epoch] += 1
    assert max(compared) > 2


def test_a_configuration_drawn_again_runs_on_every_draw_so_that_none_weighs_more(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-3}}
    arm = {"method": "finetune", "space": space, "enqueue": [{"learning_rate": 1e-4}]}
    search = {"searcher": "random", "num_trials": 2}
    for seeds in ([10], [10, 42]):
        sweep = simulated_sweep(
            task=SAMPLED,
            draws=[0, 1, 2],
            seeds=seeds,
            arms={"one": arm, "two": arm},
            search=search,
            scheduler={"name": "none"},
        )
        trials = [t for t in run(sweep, tmp_path / str(len(seeds))).trials.values() if t.phase == "search"]
        found: dict[str, list[Replicate]] = {}
        for trial in trials:
            found.setdefault(trial.point_id, []).append(trial.replicate)
        again = max(found.values(), key=len)
        assert len({replicate.seed for replicate in again}) == len(seeds) + 1
        assert Counter(replicate.draw for replicate in again) == dict.fromkeys((0, 1, 2), len(seeds) + 1)


# -- the report ------------------------------------------------------------------------------------------------------


def test_the_report_counts_every_draw_and_splits_the_spread(tmp_path: Path) -> None:
    content = definition(task=dict(FEW), draws=[0, 1, 2], search={"searcher": "random", "num_trials": 1})
    written = JournalBuilder(tmp_path, content)
    scores = {(10, 0): 0.50, (42, 0): 0.52, (10, 1): 0.60, (42, 1): 0.62, (10, 2): 0.40, (42, 2): 0.42}
    for (seed, draw), score in scores.items():
        written.draw = draw
        phase = "search" if seed == 10 else "finalise"
        name = written.complete("finetune", {"learning_rate": 1e-4}, 0.5, seed=seed, number=0, phase=phase)
        written.test(name, {"en": score, "de": score})
    result = read(written.record)
    best = result.arms[0].best
    assert best is not None and len(best.trials) == 6 and not best.missing
    found = best.zero_shot(("de",), "accuracy")
    assert found is not None and math.isclose(found.std or 0, stdev(scores.values()))
    text = render(result)
    assert "over n trials (seeds × draws of the data)" in text
    row = cells(text, "finetune", header=["score", "draws' share"])
    assert row["mean"] == "51.0" and row["seeds"] == "1.4" and row["draws"] == "10.0" and row["rest"] == "0.0"
    assert row["draws' share"] == "98.04 %" and row["standard error"] == "5.9"
    table = csv.DictReader(io.StringIO(to_csv(result)))
    assert {(int(row["seed"]), int(row["draw"])) for row in table} == set(scores)


def test_the_report_says_that_a_searched_seed_runs_on_every_draw(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-3}, "seed": [1, 2]}
    content = definition(task=dict(FEW), draws=[0, 1], arms={"finetune": {"method": "finetune", "space": space}})
    content.pop("seeds", None)
    text = selection(read(JournalBuilder(tmp_path, content).record))
    assert "In the search each point ran on the seed that it drew on each of the 2 draws 0 and 1 of the data." in text


def test_the_parts_of_the_variance_by_hand() -> None:
    """Two seeds, three draws: effects of +-1 and (-10, 0, 10), nothing else."""
    scores = {Replicate(s, d): 50 + (1 if s else -1) + 10 * (d - 1) for s, d in itertools.product((0, 1), (0, 1, 2))}
    found = components(scores)
    assert found is not None
    assert math.isclose(found.seed, math.sqrt(2)) and math.isclose(found.draw, 10) and found.rest < 1e-6
    assert math.isclose(found.standard_error, math.sqrt(2 / 2 + 100 / 3))
    assert found.draw_share is not None and math.isclose(found.draw_share, 100 / 102)


def test_the_parts_of_the_variance_are_those_of_a_simulation() -> None:
    """Without bias before negative estimates are cut; the standard error is that of the simulated means."""
    draw = random.Random(0)
    true = {"seed": 1.0, "draw": 3.0, "rest": 0.5}
    sums: dict[str, list[float]] = {"seed": [], "draw": [], "rest": []}
    errors, means = [], []
    for _ in range(3000):
        by_seed = [draw.gauss(0, true["seed"]) for _ in range(4)]
        by_draw = [draw.gauss(0, true["draw"]) for _ in range(4)]
        scores = {
            Replicate(s, d): by_seed[s] + by_draw[d] + draw.gauss(0, true["rest"]) for s in range(4) for d in range(4)
        }
        found = components(scores)
        assert found is not None
        for key, values in sums.items():
            values.append(getattr(found, key) ** 2)
        errors.append(found.standard_error**2)
        means.append(fmean(scores.values()))
    for key, values in sums.items():
        assert abs(fmean(values) - true[key] ** 2) < 0.06 * max(1, true[key] ** 2), key
    assert abs(fmean(errors) / stdev(means) ** 2 - 1) < 0.08


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_an_incomplete_table_of_seeds_and_draws_has_no_parts(kept: int) -> None:
    whole = [Replicate(seed, draw) for draw in (0, 1, 2) for seed in (10, 42)]
    assert components({replicate: 0.5 for replicate in whole[:kept]}) is None
    assert components({Replicate(seed, None): 0.5 for seed in (1, 2, 3)}) is None


def test_equal_scores_have_no_spread_to_share() -> None:
    found = components({Replicate(seed, draw): 0.5 for seed in (1, 2) for draw in (0, 1)})
    assert found is not None and found.draw_share is None and found.standard_error == 0
