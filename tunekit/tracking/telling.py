"""Trackers beside a sweep that runs, and after it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tunekit.errors import ConfigError, TrackerError, TunekitError
from tunekit.journal import Event, read_events
from tunekit.redaction import without_secrets
from tunekit.storage import SweepFolder, holder_of
from tunekit.sweep import TRACKERS, Sweep
from tunekit.tracking.courier import Courier
from tunekit.tracking.history import SweepHistory
from tunekit.tracking.trackers import Tracker, made, require_installed, require_keys
from tunekit.wording import plural, printable

WAIT_S, SHORT_WAIT_S = 60.0, 10.0
"""How long the end of a sweep waits for trackers, and that of one that is cut short."""


@contextmanager
def following(
    sweep: Sweep, folder: SweepFolder, names: Sequence[str], *, num_events: int, say: Callable[[str], None]
) -> Iterator[Callable[[Event], None]]:
    """Inside, trackers are told what happens; gives what takes each new event once the journal holds it.

    At the end they are waited for, a bounded time; what then is missing is said.

    Args:
        sweep: which runs.
        folder: where.
        names: of the trackers.
        num_events: that the journal holds already.
        say: called with a sentence for the user, perhaps by another thread.
    """
    couriers = [_courier(made(name, folder, sweep.tracking), folder, say) for name in names]
    for courier in couriers:
        courier.start(num_events)

    def take(event: Event) -> None:
        for courier in couriers:
            courier.put(event)

    try:
        yield take
    except BaseException:
        _close(couriers, folder, say, is_done=False)
        raise
    _close(couriers, folder, say, is_done=True)


def _courier(tracker: Tracker, folder: SweepFolder, say: Callable[[str], None]) -> Courier:
    return Courier(tracker, folder.journal, say=say, cure=_cure(folder, tracker.name))


def _close(couriers: list[Courier], folder: SweepFolder, say: Callable[[str], None], *, is_done: bool) -> None:
    for courier in couriers:
        if not courier.close(is_done=is_done, wait_s=WAIT_S if is_done else SHORT_WAIT_S):
            name = courier.tracker.name
            say(f"{name} was not told everything; send it what is missing with: {_cure(folder, name)}")


def _cure(folder: SweepFolder, name: str) -> str:
    return f"tunekit track {shlex.quote(str(folder.path))} --to {name}"


def send(folder: SweepFolder, names: Sequence[str], tell: Callable[[str], None]) -> None:
    """Tell trackers all that the journal of a sweep holds and they lack.

    Args:
        folder: the sweep's.
        names: of the trackers; none: those that the sweep file asks for.
        tell: called with a sentence for each: how many trials it was told of, and where it shows them.

    Raises:
        ConfigError: there is no tracker to tell, one cannot be used, or the sweep runs and tells it itself.
        TunekitError: one fails; what it was told stays, and the same call goes on.
    """
    history = _read(folder)
    asked = tuple(history.sweep.tracking)
    names = tuple(dict.fromkeys(names)) or asked
    if not names:
        raise ConfigError(
            f"sweep {folder.name!r} asks for no tracker; say which one is meant: --to {' or '.join(TRACKERS)}"
        )
    require_installed(names)
    require_keys(names, folder, history.sweep.tracking)
    holder = holder_of(folder.lock) if set(names) & set(asked) else None
    if holder is not None:
        told = " and ".join(name for name in names if name in asked)
        raise ConfigError(f"sweep {folder.name!r} is being run by {holder}, which tells {told} itself")
    for index, name in enumerate(names):
        tracker = made(name, folder, history.sweep.tracking)
        number = _tell_all(tracker, history if not index else _read(folder), folder)
        tell(f"{name}: {plural(number, 'trial')}; {tracker.place}")


def _read(folder: SweepFolder) -> SweepHistory:
    history = SweepHistory()
    for event in read_events(folder.journal):
        history.apply(event)
    return history


def _tell_all(tracker: Tracker, history: SweepHistory, folder: SweepFolder) -> int:
    """Tell a tracker everything, and give it the report if there is one; gives the number of trials."""
    try:
        tracker.begin(history)
        trials = list(history.behind(unfinished=tracker.takes_unfinished))
        for trial in trials:
            trial.taken(tracker.bring_up(trial))
        tracker.end(history, is_done=history.is_over)
        if isinstance(folder.report, Path) and folder.report.is_dir():
            tracker.hand_in(folder.report)
    except TunekitError:
        raise
    except Exception as error:  # whatever a client raises
        why = printable(without_secrets(f"{type(error).__name__}: {error}"), limit=1_000)
        raise TrackerError(
            f"{tracker.name} does not take what it is sent: {why}; what it has stays, and the same command goes on"
        ) from error
    return len(trials)
