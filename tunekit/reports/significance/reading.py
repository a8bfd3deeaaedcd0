"""What the reported trials of an arm got right on test, example by example, as it is stored beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tunekit.journal import TrialRecord
from tunekit.predictions import load_predictions
from tunekit.reports.results import ArmResult
from tunekit.reports.significance.resampling import Counts, scores
from tunekit.storage import SweepFolder, TrialFolder
from tunekit.trial import Replicate

TOLERANCE = 1e-6
"""By how much a score of the journal may differ from that of the stored counts."""


@dataclass(frozen=True, kw_only=True)
class ArmCounts:
    """The reported point of an arm, as far as it can be compared."""

    arm: ArmResult
    replicates: tuple[Replicate, ...] = ()
    """Seeds and draws of its trials."""
    names: Mapping[str, str] = field(default_factory=dict)
    """By language the name of the examples that all its trials were asked."""
    counts: Mapping[str, Counts] = field(default_factory=dict)
    """By language what the trials got, [trials, 2, examples]: right, and predicted + there."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Languages without counts, and why."""
    reason: str | None = None
    """Why nothing of it can be compared; None if something can."""

    @cached_property
    def units(self) -> Mapping[str, float]:
        """By language, how many words, pairs or entities a trial is asked, (predicted + there) / 2; at least 1."""
        return {language: max(1.0, float(rows[:, 1].sum(axis=1).min()) / 2) for language, rows in self.counts.items()}


def read_counts(arm: ArmResult, folder: SweepFolder | None) -> ArmCounts:
    """The stored counts of an arm's reported trials.

    Args:
        arm: which.
        folder: of its sweep; None: only the journal is at hand.

    Raises:
        StorageError: a file is there and cannot be read.
    """
    if arm.best is None:
        return ArmCounts(arm=arm, reason=f"{arm.name} has no finalised point")
    if folder is None:
        return ArmCounts(arm=arm, reason="only the journal is at hand, and no predictions")
    trials = arm.best.trials
    kept = [_kept(folder.trial(trial.trial_id)) for trial in trials]
    lost = [trial for trial, each in zip(trials, kept, strict=True) if each is None]
    if lost:
        return ArmCounts(arm=arm, reason=f"{_of(arm, lost)} keeps no predictions on test")
    bare = [trial for trial, each in zip(trials, kept, strict=True) if not each]
    if bare:
        why = "keeps predictions without what each example counts, as older versions did"
        return ArmCounts(arm=arm, reason=f"{_of(arm, bare)} {why}")
    names, counts, refused = {}, {}, {}
    for language in dict.fromkeys((arm.source, *arm.targets)):
        rows = [each.get(language) for each in kept if each is not None]
        found = _joined(arm, language, [row for row in rows if row is not None])
        if isinstance(found, str):
            refused[language] = found
        else:
            names[language], counts[language] = found
    replicates = tuple(trial.replicate for trial in trials)
    return ArmCounts(arm=arm, replicates=replicates, names=names, counts=counts, refused=refused)


def _kept(folder: TrialFolder) -> Mapping[str, tuple[str, NDArray[np.int32] | None]] | None:
    """By language the name of a trial's examples and their counts, None for what are no counts; None without a file."""
    found = load_predictions(folder.path)
    if found is None:
        return None
    return {
        language: (found.examples[language], _array(rows))
        for language, rows in found.counts.items()
        if language in found.examples
    }


def _array(rows: object) -> NDArray[np.int32] | None:
    """Right, predicted and there of each example, [examples, 3]; the file is read without a look at each number."""
    try:
        found = np.asarray(rows, dtype=np.int32)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.ndim == 2 and found.shape[1] == 3 else None


def _joined(
    arm: ArmResult, language: str, rows: Sequence[tuple[str, NDArray[np.int32] | None]]
) -> tuple[str, Counts] | str:
    """The examples' name and the counts of all trials in one language, or why there are none."""
    trials = arm.best.trials if arm.best else ()
    if len(rows) < len(trials):
        return f"not all trials of {arm.name} keep predictions there"
    if len({name for name, _ in rows}) > 1:
        return f"trials of {arm.name} were asked other test examples than each other"
    found = [row for _, row in rows if row is not None and row.shape == getattr(rows[0][1], "shape", None)]
    if len(found) < len(rows):
        return f"what {arm.name} keeps is not three counts for each example"
    if len(found[0]) < 2:
        return "there are fewer than two test examples"
    counts: Counts = np.stack([np.stack([row[:, 0], row[:, 1] + row[:, 2]]) for row in found])
    key = f"test/{language}/{arm.metric}"
    for trial, score in zip(trials, scores(counts), strict=True):
        told = (trial.test_scores or {}).get(key)
        if told is None or abs(told - score) > TOLERANCE:
            where = f"trial {trial.trial_id} of {arm.name}"
            return f"{where} has {told} as {key} in the journal, but its counts give {score:.6f}"
    return rows[0][0], counts


def _of(arm: ArmResult, trials: list[TrialRecord]) -> str:
    noun = f"trial {trials[0].trial_id}" if len(trials) == 1 else f"each of {len(trials)} trials"
    return f"{noun} of {arm.name}"
