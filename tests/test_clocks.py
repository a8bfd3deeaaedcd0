"""Clocks that are wrong, differ between machines or go back decide nothing."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from rich.console import Console
from simulation import Killed, facts, run, simulated_sweep

from tunekit import reports
from tunekit.journal import FILE_NAME, SweepRecord, read_events, replay


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepRecord:
    """The same sweep under a clock that does as it should."""
    return run(simulated_sweep(), tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def clock_that_goes_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock shows an hour less than the one before; the clock that cannot be set stays as it is."""
    now = datetime(2026, 6, 1, tzinfo=UTC)

    def earlier() -> datetime:
        nonlocal now
        now -= timedelta(hours=1)
        return now

    class Back(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return earlier()

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: earlier().timestamp())
        patch.setattr("tunekit.journal.events.datetime", Back)
        patch.setattr("tunekit.reports.render.terminal.datetime", Back)
        yield


def _shown(record: SweepRecord, folder: Path) -> str:
    """All that is said of a sweep."""
    files = reports.write(record, folder / "report")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(reports.summary(record))
    console.print(reports.status_table([("sweep", record)]))
    texts = [path.read_text() for path in files if path.suffix in (".md", ".csv")]
    return console.export_text() + "\n".join(texts)


NEGATIVE_TIME = r"-\d[\d.]* (s|min|h|days)\b"


@pytest.mark.usefixtures("clock_that_goes_back")
@pytest.mark.parametrize("kill_every", [None, 9])
def test_a_sweep_whose_clock_goes_back_decides_the_same_and_no_duration_is_negative(
    kill_every: int | None, undisturbed: SweepRecord, tmp_path: Path
) -> None:
    record = _run_with_kills(tmp_path / "back", kill_every)
    assert facts(record) == facts(undisturbed)
    times = [event["time"] for event in read_events(tmp_path / "back" / FILE_NAME)]
    assert times == sorted(times, reverse=True) and len(set(times)) == len(times)
    assert not re.search(NEGATIVE_TIME, _shown(record, tmp_path))


def _run_with_kills(folder: Path, every: int | None) -> SweepRecord:
    while every is not None:
        try:
            run(simulated_sweep(), folder, kill_after=every)
            break
        except Killed:
            continue
    return run(simulated_sweep(), folder)


def test_times_out_of_order_in_a_journal_change_no_table(
    undisturbed: SweepRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(10_000))
    monkeypatch.setattr("tunekit.journal.events.now", lambda: f"2026-01-{1 + next(moments) * 7 % 28:02}T00:00:00.000Z")
    run(simulated_sweep(), tmp_path / "mixed")
    mixed = replay(tmp_path / "mixed")
    times = [event["time"] for event in read_events(tmp_path / "mixed" / FILE_NAME)]
    assert times != sorted(times)
    assert facts(mixed) == facts(undisturbed)
    assert _without_times(_shown(mixed, tmp_path / "b")) == _without_times(_shown(undisturbed, tmp_path / "a"))


def _without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d[\d.]* (s|min|h|days) ago| +", " ", text)
