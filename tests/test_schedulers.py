"""Early stopping: hand-computed decisions, and agreement with Ray Tune's rules of the same names."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.search.schedulers import Decision, Rungs, decide, num_brackets, quantile, rungs
from tunekit.sweep import SchedulerConfig

ASHA = SchedulerConfig(name="asha", grace_period=1, reduction_factor=3)
MEDIAN = SchedulerConfig(name="median", grace_period=2, min_trials=3)
HYPERBAND = SchedulerConfig(name="hyperband", grace_period=1, reduction_factor=3)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One trial's objective by epoch, and the number of its point."""

    number: int
    values: Mapping[int, float]


def curve(*values: float, number: int = 0) -> Curve:
    """A curve with one value an epoch, from the first."""
    return Curve(number=number, values={epoch: value for epoch, value in enumerate(values, start=1)})


def reached(scheduler: SchedulerConfig, curves: Iterable[Curve]) -> Rungs:
    """What trials with these curves had reached at each epoch."""
    found = Rungs(scheduler)
    for each in curves:
        for epoch in each.values:
            found.add(each.number, epoch, {at: value for at, value in each.values.items() if at <= epoch})
    return found


def decision_on(scheduler: SchedulerConfig, trial: Curve, others: Iterable[Curve], *, num_epochs: int) -> Decision:
    """The decision on `trial` at its last epoch."""
    return decide(
        scheduler,
        number=trial.number,
        epoch=max(trial.values),
        num_epochs=num_epochs,
        curve=trial.values,
        others=reached(scheduler, others),
    )


def ask(scheduler: SchedulerConfig, trial: Curve, *others: Curve, num_epochs: int = 10) -> Decision:
    """The decision on `trial` at its last epoch."""
    return decision_on(scheduler, trial, others, num_epochs=num_epochs)


# -- asha ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "mine", "stop", "cutoff"),
    [
        ([], 0.1, False, None),  # nobody to compare with
        ([0.5], 0.5, False, 0.5),  # as good as the cutoff goes on
        ([0.5], 0.4, True, 0.5),
        ([0.1, 0.4], 0.31, False, 0.3),  # two thirds of the way from 0.1 to 0.4
        ([0.1, 0.4], 0.29, True, 0.3),
        ([0.1, 0.2, 0.3, 0.4], 0.3, False, 0.3),  # the best third of four others starts at 0.3
        ([0.4, 0.3, 0.2, 0.1], 0.299, True, 0.3),  # in whatever order they came
    ],
)
def test_asha_lets_the_best_third_of_a_rung_go_on(
    before: list[float], mine: float, stop: bool, cutoff: float | None
) -> None:
    decision = ask(ASHA, curve(mine), *(curve(value) for value in before))
    assert decision.stop is stop
    assert decision.rung == 1
    assert decision.num_compared == len(before)
    assert decision.cutoff == (None if cutoff is None else pytest.approx(cutoff))


def test_asha_compares_at_its_rungs_only() -> None:
    best = curve(*[0.9] * 9)
    stopped = {epoch: ask(ASHA, curve(*[0.1] * epoch), best).stop for epoch in range(1, 11)}
    assert [epoch for epoch, stop in stopped.items() if stop] == [1, 3, 9]


def test_the_last_epoch_is_never_a_rung() -> None:
    assert not ask(ASHA, curve(*[0.1] * 3), curve(*[0.9] * 3), num_epochs=3).stop
    assert rungs(1, 3, 9) == (1, 3)
    assert rungs(4, 3, 4) == ()


def test_no_trial_stops_before_the_grace_period() -> None:
    scheduler = SchedulerConfig(name="asha", grace_period=2, reduction_factor=2)
    assert not ask(scheduler, curve(0.1), curve(0.9)).stop
    assert ask(scheduler, curve(0.1, 0.1), curve(0.9, 0.9)).stop
    assert rungs(2, 2, 20) == (2, 4, 8, 16)


def test_a_trial_counts_with_the_best_it_has_reached() -> None:
    fallen = curve(0.2, 0.9, 0.3)
    assert not ask(ASHA, fallen, curve(0.8, 0.8, 0.8)).stop, "its best checkpoint is what stopping would leave"
    assert ask(ASHA, curve(0.8, 0.8, 0.8), fallen).stop


def test_trials_that_have_not_reached_the_rung_set_no_cutoff() -> None:
    assert ask(ASHA, curve(0.1, 0.1, 0.1), curve(0.9), curve(0.9, 0.9)) == Decision(stop=False, rung=3)


def test_stopped_trials_go_on_counting_at_the_rungs_they_reached() -> None:
    decision = ask(ASHA, curve(0.5), curve(0.1), curve(0.6, 0.7, 0.8))
    assert decision.num_compared == 2
    assert decision.cutoff == pytest.approx(0.1 + (0.6 - 0.1) * 2 / 3)


@pytest.mark.parametrize("name", ["none", "asha", "hyperband", "median"])
def test_a_decision_is_a_pure_function_of_the_curves(name: Any) -> None:
    scheduler = SchedulerConfig(name=name, min_trials=1)
    others = [curve(0.3, 0.4, number=i) for i in range(6)]
    first = ask(scheduler, curve(0.1), *others)
    assert first == ask(scheduler, curve(0.1), *reversed(others))
    assert name != "none" or first == Decision(stop=False)


class _RayTrial:
    """All of a trial that Ray's schedulers look at."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def ray_bracket(grace_period: int, reduction_factor: int, num_epochs: int) -> Any:
    bracket = pytest.importorskip("ray.tune.schedulers.async_hyperband")._Bracket
    return bracket(grace_period, num_epochs, reduction_factor, 0)


@pytest.mark.parametrize(("grace_period", "reduction_factor"), [(1, 3), (1, 2), (2, 4)])
def test_asha_decides_as_ray_does(grace_period: int, reduction_factor: int) -> None:
    """Thirty trials whose epochs come in random order; curves rise, so best so far and latest are the same."""
    scheduler = SchedulerConfig(name="asha", grace_period=grace_period, reduction_factor=reduction_factor)
    generator, num_epochs = random.Random(grace_period * 10 + reduction_factor), 20
    bracket = ray_bracket(grace_period, reduction_factor, num_epochs)
    running = {number: curve(number=number) for number in range(30)}
    curves, num_stopped = dict(running), 0
    while running:
        number = generator.choice(list(running))
        trial, epoch = running[number], len(running[number].values) + 1
        value = max(trial.values.values(), default=0.0) + generator.random()
        trial = curves[number] = running[number] = Curve(number=number, values={**trial.values, epoch: value})
        others = [other for at, other in curves.items() if at != number]
        ours = decision_on(scheduler, trial, others, num_epochs=num_epochs).stop
        theirs = bracket.on_result(_RayTrial(str(number)), epoch, value) == "STOP"
        assert ours == theirs, (number, epoch)
        if ours or epoch == num_epochs - 1:
            del running[number]
            num_stopped += ours
    assert 10 < num_stopped < 30


# -- hyperband -------------------------------------------------------------------------------------------------------


def test_hyperband_gives_points_turns_in_brackets_of_longer_grace() -> None:
    assert num_brackets(HYPERBAND, 10) == 3
    best = [curve(*[0.9] * 9, number=number) for number in range(3)]
    stops = {
        number: [e for e in range(1, 11) if ask(HYPERBAND, curve(*[0.1] * e, number=number), *best).stop]
        for number in (3, 4, 5)
    }
    assert stops == {3: [1, 3, 9], 4: [3, 9], 5: [9]}


def test_hyperband_compares_within_a_bracket_only() -> None:
    assert not ask(HYPERBAND, curve(0.1, number=0), curve(0.9, number=1), curve(0.9, number=2)).stop
    assert ask(HYPERBAND, curve(0.1, number=0), curve(0.9, number=3)).stop


def test_a_trial_too_short_for_two_brackets_has_one() -> None:
    assert num_brackets(HYPERBAND, 1) == 1
    assert ask(HYPERBAND, curve(0.1), curve(0.9, number=1), num_epochs=2).stop


# -- median ----------------------------------------------------------------------------------------------------------


def test_the_median_rule_waits_for_enough_trials_and_for_the_grace_period() -> None:
    good = [curve(0.9, 0.9), curve(0.9, 0.9)]
    assert not ask(MEDIAN, curve(0.1, 0.1), *good).stop
    assert ask(MEDIAN, curve(0.1, 0.1), *good, curve(0.9, 0.9)).stop
    assert not ask(MEDIAN, curve(0.1), *good, curve(0.9, 0.9)).stop


def test_the_median_rule_compares_the_best_with_the_median_of_running_means() -> None:
    scheduler = SchedulerConfig(name="median", min_trials=3)
    others = [curve(0.2, 0.4), curve(0.4, 0.6), curve(0.6, 0.8)]  # means 0.3, 0.5, 0.7
    decision = ask(scheduler, curve(0.4, 0.49), *others)
    assert (decision.stop, decision.rung, decision.num_compared) == (True, 2, 3)
    assert decision.cutoff == pytest.approx(0.5)
    assert not ask(scheduler, curve(0.5, 0.1), *others).stop, "its best counts"


def test_trials_that_have_gone_further_are_compared_at_this_epoch() -> None:
    scheduler = SchedulerConfig(name="median", min_trials=1)
    assert not ask(scheduler, curve(0.3), curve(0.2, 0.9, 0.9)).stop


def test_the_median_rule_decides_as_ray_does() -> None:
    """Twenty trials whose epochs come in random order, against ``tune.schedulers.MedianStoppingRule``."""
    median_module = pytest.importorskip("ray.tune.schedulers.median_stopping_rule")
    settings = {"time_attr": "epoch", "metric": "value", "mode": "max", "grace_period": 1}
    rule = median_module.MedianStoppingRule(**settings)
    scheduler, generator, num_epochs = SchedulerConfig(name="median", min_trials=3), random.Random(5), 8
    running = {number: curve(number=number) for number in range(20)}
    controller = SimpleNamespace(get_live_trials=list)  # no trial waits for its turn
    theirs = {number: _RayTrial(str(number)) for number in running}
    curves, num_stopped = dict(running), 0
    while running:
        number = generator.choice(list(running))
        epoch, value = len(running[number].values) + 1, generator.random()
        trial = curves[number] = running[number] = Curve(number=number, values={**running[number].values, epoch: value})
        others = [other for at, other in curves.items() if at != number]
        ours = decision_on(scheduler, trial, others, num_epochs=num_epochs).stop
        action = rule.on_trial_result(controller, theirs[number], {"epoch": epoch, "value": value})
        assert ours == (action == "STOP"), (number, epoch)
        if ours or epoch == num_epochs - 1:
            del running[number]
            num_stopped += ours
    assert num_stopped > 3


@pytest.mark.parametrize("scheduler", [ASHA, MEDIAN, HYPERBAND], ids=lambda scheduler: scheduler.name)
def test_rungs_filled_report_by_report_decide_as_rungs_filled_at_once(scheduler: SchedulerConfig) -> None:
    """Trials of different lengths, in random order; hyperband has other brackets for each length."""
    generator = random.Random(7)
    lengths = {number: generator.choice([3, 6, 12]) for number in range(40)}
    curves = {number: curve(number=number) for number in lengths}
    grown, open_numbers = Rungs(scheduler), set(lengths)
    while open_numbers:
        number = generator.choice(sorted(open_numbers))
        epoch = len(curves[number].values) + 1
        values = {**curves[number].values, epoch: generator.random()}
        others = [other for at, other in curves.items() if at != number]
        trial = curves[number] = Curve(number=number, values=values)
        at_once = decision_on(scheduler, trial, others, num_epochs=lengths[number])
        assert at_once == decide(
            scheduler, number=number, epoch=epoch, num_epochs=lengths[number], curve=values, others=grown
        )
        grown.add(number, epoch, values)
        if at_once.stop or epoch == lengths[number]:
            open_numbers.discard(number)


# -- quantiles -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_a_quantile_is_numpys(values: list[float], share: float) -> None:
    import numpy as np

    assert quantile(sorted(values), share) == pytest.approx(float(np.quantile(values, share)), abs=1e-12)
