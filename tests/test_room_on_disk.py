"""A disk that is nearly full is told of while there is time."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulation import simulated_sweep
from work import Work

from tunekit.errors import StorageError
from tunekit.execution.protocol import Ask
from tunekit.execution.room_on_disk import LEAST_BYTES, LOOK_S, RoomOnDisk, too_little
from tunekit.storage import bytes_at_work
from tunekit.training.messages import Started
from tunekit.trial import TrialFacts


def test_what_is_needed_is_what_trials_write_or_the_least(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "not there yet"
    need = bytes_at_work(278_000_000)
    assert too_little(folder, need, free=lambda path: int(need)) is None
    text = too_little(folder, need, free=lambda path: int(need) - 1)
    assert text is not None and text.startswith(f"only 10.4 GiB are free where {folder} lies")
    assert too_little(folder, 0, free=lambda path: LEAST_BYTES) is None
    assert too_little(folder, 0, free=lambda path: LEAST_BYTES - 1) is not None


def test_the_disk_that_is_asked_is_that_of_the_folder(tmp_path: Path) -> None:
    asked: list[Path] = []

    def free(path: Path) -> int:
        asked.append(path)
        raise StorageError("an object store does not say")

    assert too_little(tmp_path / "a" / "b", 1, free=free) is None
    assert asked == [tmp_path]


def test_a_driver_looks_once_a_minute_and_says_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(simulated_sweep(), tmp_path)
    work.dispatcher._disk = RoomOnDisk(
        tmp_path, work.dispatcher._notices.take, clock=lambda: work.now, free=lambda path: 2 * LEAST_BYTES
    )
    job = work.job("a")
    work.now = LOOK_S
    assert not work.dispatcher.exchange([]) and not caplog.messages, "nothing is known yet of what the trial writes"
    facts = TrialFacts(num_trainable_parameters=100_000_000)
    work.tell("a", Started(trial_id=job.config.trial_id, facts=facts))
    assert not caplog.messages
    for minute in (2, 3, 4):
        work.now = minute * LOOK_S
        work.tell("a", Ask(num_running=1))
    assert len(caplog.messages) == 1 and "may write 3.7 GiB" in caplog.messages[0]
