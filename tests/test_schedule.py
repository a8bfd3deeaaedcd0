"""Rows, steps and rates: pure functions of the position."""

from __future__ import annotations

import random

import pytest

from tunekit.training.schedule import epoch_updates, learning_rate, pass_updates, planned_updates, steps
from tunekit.trial import TrainingConfig

LENGTHS = tuple(random.Random(0).choices(range(5, 129), k=1003))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 16, 2000])
def test_a_pass_takes_every_row_once(number: int, batch_size: int) -> None:
    updates = pass_updates(LENGTHS, batch_size, seed=3, number=number)
    assert sorted(row for update in updates for row in update) == list(range(len(LENGTHS)))
    assert [len(u) for u in updates if len(u) != batch_size] == ([len(LENGTHS) % batch_size] if batch_size > 1 else [])


def test_passes_and_seeds_differ_and_repeat() -> None:
    first = pass_updates(LENGTHS, 16, seed=3, number=0)
    assert first == pass_updates(LENGTHS, 16, seed=3, number=0)
    assert first != pass_updates(LENGTHS, 16, seed=3, number=1)
    assert first != pass_updates(LENGTHS, 16, seed=4, number=0)


def test_rows_of_an_update_are_of_similar_length() -> None:
    def padded(updates: list[tuple[int, ...]]) -> int:
        return sum(len(update) * max(LENGTHS[row] for row in update) for update in updates)

    rows = list(range(len(LENGTHS)))
    shuffled = [tuple(rows[i : i + 16]) for i in range(0, len(rows), 16)]
    assert padded(pass_updates(LENGTHS, 16, seed=0, number=0)) < 0.65 * padded(shuffled)


def test_few_rows_are_mixed_anew_in_every_pass() -> None:
    lengths = tuple(range(10, 42))
    assert set(map(frozenset, pass_updates(lengths, 8, seed=0, number=0))) != set(
        map(frozenset, pass_updates(lengths, 8, seed=0, number=1))
    )


def test_epochs_of_a_given_number_of_updates_go_on_where_the_last_stopped() -> None:
    training = TrainingConfig(batch_size=100, updates_per_epoch=7, epochs=4)
    found = [update for epoch in range(1, 5) for update in epoch_updates(LENGTHS, training, seed=1, epoch=epoch)]
    passes = [update for number in range(3) for update in pass_updates(LENGTHS, 100, seed=1, number=number)]
    assert len(passes) == 33
    assert found == passes[:28]


def test_an_epoch_may_hold_several_passes() -> None:
    training = TrainingConfig(batch_size=2, updates_per_epoch=5)
    assert len(list(epoch_updates((4, 4, 4), training, seed=1, epoch=3))) == 5


def test_planned_updates_count_what_the_epochs_make() -> None:
    training = TrainingConfig(batch_size=16, epochs=3)
    made = sum(len(list(epoch_updates(LENGTHS, training, seed=0, epoch=epoch))) for epoch in (1, 2, 3))
    assert planned_updates(len(LENGTHS), training) == made == 3 * 63


@pytest.mark.parametrize("max_tokens", [128, 500, 100_000])
def test_steps_hold_each_row_once_within_the_budget(max_tokens: int) -> None:
    groups = steps(range(200), LENGTHS, max_tokens=max_tokens)
    assert sorted(row for group in groups for row in group) == list(range(200))
    assert all(len(group) * max(LENGTHS[row] for row in group) <= max_tokens for group in groups)


def test_a_row_beyond_the_budget_is_a_step_of_its_own() -> None:
    assert steps([0, 1, 2], (5, 50, 5), max_tokens=10) == [(1,), (0, 2)]


def test_the_rate_rises_over_the_warm_up_and_falls_to_zero_after_the_last_update() -> None:
    training = TrainingConfig(learning_rate=1.0, warmup_fraction=0.2)
    rates = [learning_rate(update, 10, training) for update in range(11)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[3:] == pytest.approx([7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])


def test_the_rate_falls_to_the_share_of_its_peak_that_is_asked_for() -> None:
    training = TrainingConfig(learning_rate=1.0, warmup_fraction=0.2, final_rate_fraction=0.1)
    rates = [learning_rate(update, 10, training) for update in range(11)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[3:] == pytest.approx([0.1 + 0.9 * left / 8 for left in range(7, -1, -1)])
    assert learning_rate(10, 10, training, peak=5.0) == pytest.approx(0.5)
    assert learning_rate(0, 10, training, peak=5.0) == pytest.approx(5 / 3)


def test_a_constant_rate_stays_and_a_warm_up_may_last_all_along() -> None:
    constant = TrainingConfig(learning_rate=0.5, schedule="constant")
    assert {learning_rate(update, 9, constant) for update in range(9)} == {0.5}
    rising = [learning_rate(update, 4, TrainingConfig(learning_rate=1.0, warmup_fraction=1.0)) for update in range(4)]
    assert rising == pytest.approx([0.2, 0.4, 0.6, 0.8])
