"""Processes that ran out of memory: trials of that shape get half as many tokens at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulation import simulated_sweep
from work import Work

from tunekit.execution.step_sizes import LOST, LOST_DEVICE, LOST_MEMORY, MOST_ON_CPU, why_lost
from tunekit.training.messages import Started
from tunekit.trial import TOKENS_PER_STEP, TrialFacts

MONITOR = """ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.
1 worker(s) were killed due to the node running low on memory.
To adjust the kill threshold, set the environment variable `RAY_memory_usage_threshold` when starting Ray."""
KILLED = """Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the
process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker
crashed unexpectedly due to SIGSEGV or another unexpected error."""


def test_only_what_rays_monitor_says_is_taken_for_want_of_memory() -> None:
    assert why_lost(MONITOR) == LOST_MEMORY
    assert why_lost(KILLED) == why_lost("") == LOST, (
        "each process that is killed is said to have been killed so, perhaps"
    )


def test_the_whole_text_of_a_death_is_searched_for_its_reason() -> None:
    nodes = pytest.importorskip("tunekit.execution.ray_nodes")
    assert why_lost(nodes.reason_of_death(f"Traceback:\n{MONITOR}\nsee the documentation")) == LOST_MEMORY
    assert nodes.reason_of_death("Traceback:\n  at x\nValueError: no\n") == "ValueError: no"
    told = f"Traceback:\nDeviceLost: cuda\n  at x\nRuntimeError: {LOST_DEVICE}: cuda answers no more: x\n\n"
    assert why_lost(nodes.reason_of_death(told)) == f"{LOST_DEVICE}: cuda answers no more: x"


def test_a_step_on_a_cpu_has_as_many_tokens_as_training_says() -> None:
    updates = pytest.importorskip("tunekit.training.updates")
    assert MOST_ON_CPU == updates.CPU_STEP_TOKENS


def died(work: Work, reason: str, *, device: str | None = None, slot: str = "a") -> int:
    """A slot's first trial takes the process with it; gives the tokens that it had."""
    job = work.job(slot)
    if device is not None:
        work.tell(slot, Started(trial_id=job.config.trial_id, facts=TrialFacts(device=device)))
    work.dispatcher.lost(slot, reason)
    return job.tokens_per_step


@pytest.mark.parametrize(
    ("device", "sizes"),
    [
        ("cuda", [TOKENS_PER_STEP, TOKENS_PER_STEP // 2, TOKENS_PER_STEP // 4]),
        ("cpu (x86_64)", [TOKENS_PER_STEP, MOST_ON_CPU // 2, MOST_ON_CPU // 4]),
    ],
)
def test_a_trial_that_ran_out_of_memory_goes_on_in_smaller_steps(
    device: str, sizes: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(simulated_sweep(), tmp_path)
    found = [died(work, LOST_MEMORY, device=device, slot=slot) for slot in "abc"]
    assert found == sizes
    assert f"compute at most {sizes[1]} tokens at once" in caplog.text and LOST_MEMORY in caplog.text


def test_other_trials_of_the_shape_get_less_too_and_those_of_another_do_not(tmp_path: Path) -> None:
    work = Work(simulated_sweep(), tmp_path)
    died(work, LOST_MEMORY)
    by_method: dict[str, set[int]] = {}
    for slot in "bcdefg":
        job = work.job(slot)
        by_method.setdefault(job.config.method, set()).add(job.tokens_per_step)
    assert sorted(map(sorted, by_method.values())) == [[TOKENS_PER_STEP // 2], [TOKENS_PER_STEP]]


def test_a_death_of_another_kind_changes_nothing(tmp_path: Path) -> None:
    work = Work(simulated_sweep(), tmp_path)
    assert [died(work, LOST, device="cpu", slot=slot) for slot in "ab"] == [TOKENS_PER_STEP] * 2


def test_a_step_never_gets_smaller_than_the_longest_row(tmp_path: Path) -> None:
    work = Work(simulated_sweep(fixed={"epochs": 2, "max_length": 512}, resources={"retries": 20}), tmp_path)
    assert [died(work, LOST_MEMORY, slot=slot) for slot in "abcdefgh"][-1] == 512
