"""A trial's random numbers are its own: nobody changes them, and they change nobody's."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_trials import TOKENS, curve, train, trial

from tunekit.training import TrialRun, WorkerCache, checkpoints, run_trial
from tunekit.training.random_state import Draws, RandomStream
from tunekit.trial import Locations

CPU = torch.device("cpu")


def drawn() -> list[object]:
    """A few numbers from each global generator."""
    return [random.random(), random.gauss(0, 1), np.random.rand(3).tolist(), torch.randn(5).tolist()]


def state() -> tuple[object, ...]:
    """Where the global generators stand."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), (name, np.asarray(keys).tolist(), *rest), torch.get_rng_state().tolist()


@pytest.mark.parametrize("seed", [0, 10, 2**32 - 1])
def test_a_stream_begins_as_if_the_generators_had_been_seeded(seed: int) -> None:
    with RandomStream(seed, CPU):
        found = state(), drawn(), torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    assert found == (state(), drawn(), torch.initial_seed())


def test_a_stream_goes_on_where_it_stopped_and_leaves_the_generators_as_they_were() -> None:
    with RandomStream(7, CPU):
        whole = drawn() + drawn()
    stream, outside = RandomStream(7, CPU), state()
    with stream:
        first = drawn()
    assert state() == outside
    drawn()
    with stream:
        second = drawn()
    assert first + second == whole


def test_two_streams_that_take_turns_draw_what_each_draws_alone() -> None:
    alone = []
    for seed in (1, 2):
        with RandomStream(seed, CPU):
            alone.append([drawn(), drawn()])
    streams: list[RandomStream] = [RandomStream(seed, CPU) for seed in (1, 2)]
    turns: list[list[object]] = [[], []]
    for _ in range(2):
        for stream, found in zip(streams, turns, strict=True):
            with stream:
                found.append(drawn())
    assert turns == alone


def test_an_error_inside_puts_the_generators_back_too() -> None:
    outside = state()
    with pytest.raises(ZeroDivisionError), RandomStream(7, CPU):
        drawn()
        1 / 0  # noqa: B018
    assert state() == outside


def test_a_stream_cannot_be_entered_twice() -> None:
    with RandomStream(7, CPU) as stream, pytest.raises(RuntimeError, match="in use already"), stream:
        pass


def test_the_state_of_a_stream_goes_through_a_file(tmp_path: Path) -> None:
    stream = RandomStream(3, CPU)
    with stream:
        drawn()
    torch.save(stream.state(), tmp_path / "state.pt")
    with stream:
        expected = drawn()
    other = RandomStream(4, CPU)
    other.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    with other:
        assert drawn() == expected


# Trials


@pytest.fixture(scope="module")
def open_in(locations: Locations) -> Callable[[Path, WorkerCache], list[TrialRun]]:
    """Opens three trials in one process: two methods, and another seed of one."""

    def opened(folder: Path, cache: WorkerCache) -> list[TrialRun]:
        configs = [trial("ptuning_v2"), trial("prompt_tuning"), trial("ptuning_v2", seed=2)]
        return [
            TrialRun(config, folder=folder / config.trial_id, locations=locations, cache=cache, tokens_per_step=TOKENS)
            for config in configs
        ]

    return opened


def test_trials_that_alternate_in_one_process_equal_trials_one_after_the_other(
    open_in: Callable[[Path, WorkerCache], list[TrialRun]], tmp_path: Path
) -> None:
    one_by_one = [train(run) for run in open_in(tmp_path / "one", WorkerCache())]
    alternating = open_in(tmp_path / "two", WorkerCache())
    while not all(run.is_done for run in alternating):
        for run in alternating:
            run.step()
    for left, right in zip(one_by_one, alternating, strict=True):
        assert curve(left.history) == curve(right.history)
        left.outcome(), right.outcome()
        assert left.test() == right.test()
        one, two = (checkpoints.load(run.folder / "best.pt") for run in (left, right))
        assert one is not None and two is not None and one.parameters is not None and two.parameters is not None
        assert all(torch.equal(tensor, two.parameters[name]) for name, tensor in one.parameters.items())
    assert curve(one_by_one[0].history) != curve(one_by_one[2].history)  # or the seed had no effect


@pytest.mark.parametrize("method", ["finetune", "lora"])
def test_a_trial_leaves_the_global_generators_as_they_were(method: str, locations: Locations, tmp_path: Path) -> None:
    outside = state()
    run_trial(trial(method), folder=tmp_path, locations=locations, cache=WorkerCache(), test=True)
    assert state() == outside


@pytest.mark.parametrize(
    "draw", [random.random, np.random.rand, lambda: np.random.shuffle([1, 2]), lambda: torch.randn(1), None]
)
def test_a_draw_from_any_global_generator_is_seen(draw: Callable[[], object] | None) -> None:
    draws = Draws(CPU)
    assert not draws
    if draw is not None:
        draw()
    assert bool(draws) == (draw is not None)
