"""TensorBoard's event files: one for each trial, ``tensorboard/ARM/POINT-TRIAL/``, each a function of the journal.

A file holds what the journal tells of its trial and nothing else, times included, so the right content is known at any
moment: what is missing is appended, and a file that holds anything else is replaced. No file is kept open and no
further thread is started, whatever the number of trials; a SummaryWriter, the usual way, has both for each.
"""

from __future__ import annotations

import json
from pathlib import Path

from tunekit.storage import SweepFolder, append_at, grow_to, part_of_a_path
from tunekit.sweep import Arm, Sweep
from tunekit.tracking import event_records as records
from tunekit.tracking.history import OBJECTIVE, SweepHistory, TrialHistory

FILE = "events.out.tfevents.{}.tunekit"
"""The name of an event file, with the second in which its trial was created. TensorBoard knows it by its middle."""


class TensorBoard:
    """Writes the event files of one sweep."""

    name = "tensorboard"
    takes_unfinished = True

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder.tensorboard
        self._texts: frozenset[str] = frozenset()
        """Parameters that are shown as text, since some value of theirs is one."""

    @property
    def place(self) -> str:
        """How to open it."""
        return f"tensorboard --logdir {self._folder}"

    def begin(self, history: SweepHistory) -> None:
        """Write what the columns of the HPARAMS tab are."""
        self._texts = frozenset(name for name, kind in _columns(history.sweep).items() if kind is str)
        path = self._folder / FILE.format(int(history.launched_at))
        grow_to(path, records.head(history.launched_at) + _experiment(history.sweep, history.launched_at))

    def bring_up(self, trial: TrialHistory) -> int:
        """Append what is new; gives the size of the trial's file."""
        path = self._path(trial)
        if trial.is_new:
            content = records.head(trial.created_at) + self._start(trial) + _news(trial)
            grow_to(path, content)
            return len(content)
        size = trial.handle
        assert isinstance(size, int)
        content = _news(trial)
        append_at(path, content, size=size)
        return size + len(content)

    def end(self, history: SweepHistory, *, is_done: bool) -> None:
        """Nothing is left to do."""

    def hand_in(self, report: Path) -> None:
        """A report has no place there."""

    def _path(self, trial: TrialHistory) -> Path:
        label = part_of_a_path(trial.label)
        return self._folder / part_of_a_path(trial.arm) / label / FILE.format(int(trial.created_at))

    def _start(self, trial: TrialHistory) -> bytes:
        """The record of a trial's settings."""
        shown: dict[str, str | bool | float] = {}
        for key, value in settings(trial).items():
            is_plain = isinstance(value, bool | int | float) and key not in self._texts
            shown[key] = value if is_plain or isinstance(value, str) else json.dumps(value)  # type: ignore[assignment]
        return records.session_start(trial.created_at, shown)


def settings(trial: TrialHistory) -> dict[str, object]:
    """What tells a trial from the others: its arm, its seed and draw, and what the search chose."""
    draw = {} if trial.draw is None else {"draw": trial.draw}
    return {"arm": trial.arm, "seed": trial.seed, **draw, **trial.params}


def _columns(sweep: Sweep) -> dict[str, type]:
    """The columns of `settings` over all arms, each with the type that holds all of its values."""
    found: dict[str, type] = {"arm": str, "seed": float}
    if sweep.draws or sweep.finalise.draws:
        found["draw"] = float
    for dimension in (dimension for arm in sweep.arms for dimension in arm.space if dimension.name != "seed"):
        kinds = {bool if isinstance(choice, bool) else type(choice) for choice in dimension.choices} or {float}
        one = bool if kinds == {bool} else float if kinds <= {int, float} else str
        found[dimension.name] = one if found.get(dimension.name, one) is one else str
    return found


def _experiment(sweep: Sweep, time: float) -> bytes:
    """The record of the HPARAMS tab's columns: settings, the objective, and each test score that selects nothing."""
    kinds = {str: records.TEXT, float: records.NUMBER, bool: records.TRUTH}
    columns = {name: kinds[kind] for name, kind in _columns(sweep).items()}
    tags = dict.fromkeys([OBJECTIVE, "train/loss", *(tag for arm in sweep.arms for tag in _test_tags(arm))])
    return records.experiment(time, columns, tags)


def _test_tags(arm: Arm) -> list[str]:
    """The main scores that a finalised trial of `arm` has."""
    languages = (arm.task.source_language, *arm.task.target_languages)
    return [f"test/{language}/{arm.metric}" for language in languages if arm.metric is not None]


def _news(trial: TrialHistory) -> bytes:
    """The records of what is new: epochs, the end, test."""
    pieces = [records.scalars(epoch.time, epoch.number, epoch.values) for epoch in trial.epochs]
    if trial.end is not None and not trial.has_end:
        status = records.FAILURE if trial.end.state == "FAILED" else records.SUCCESS
        pieces.append(records.session_end(trial.end.time, status))
    if trial.test is not None and not trial.has_test:
        pieces.append(records.scalars(trial.test.time, trial.test.epoch, trial.test.scores))
    return b"".join(pieces)
