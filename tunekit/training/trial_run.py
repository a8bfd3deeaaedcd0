"""What a trial is when it runs: epochs that each leave a checkpoint, then an outcome, then one score on test.

:class:`TrialRun` is one trial in one folder; killed at any moment and made again in the same folder, it goes on after
its last whole epoch, and on a CPU ends bit for bit as if nothing had happened. Knows nothing of Ray, of searches or of
other trials.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, Literal

from tunekit import predictions, storage
from tunekit.errors import ConfigError, TrialFailed, require
from tunekit.predictions import TestPredictions
from tunekit.schema import build, coerce
from tunekit.storage import AnyPath, TrialFolder
from tunekit.training import checkpoints
from tunekit.training.caches import WorkerCache
from tunekit.training.checkpoints import Checkpoint, CheckpointMissing
from tunekit.training.fingerprints import require_unchanged
from tunekit.training.joint import Work, alone
from tunekit.training.learner import Learner, Questions
from tunekit.training.predictor import Predicted
from tunekit.trial import EpochReport, FinalScores, Locations, Outcome, TrialConfig, TrialFacts

State = Literal["COMPLETE", "PRUNED", "FAILED"]

START = "_start"
"""Ends the name of a figure as it was before training."""

logger = logging.getLogger(__name__)


class TrialRun:
    """One trial in one folder, epoch by epoch.

    Making it restores what an earlier attempt in `folder` left: a finished trial has its outcome, an interrupted one
    goes on after its last whole epoch. A torn file is ignored with a warning, and what it held is made again. Several
    trials may take turns in one process, as long as none of them trains the backbone: a later one that does ends the
    earlier ones.

    Args:
        config: the trial.
        folder: the trial's own; made if need be.
        locations: data, backbone and device.
        cache: what the process keeps between trials.
        tokens_per_step: padded tokens computed at once; larger batches are accumulated (`SMALLER_STEPS`).

    Raises:
        ConfigError: the configuration does not fit together, or `folder` is another trial's.
        DataChanged: an earlier attempt in `folder` read other data, or another backbone.
        StorageError: `folder` cannot be written.
    """

    def __init__(
        self, config: TrialConfig, *, folder: AnyPath, locations: Locations, cache: WorkerCache, tokens_per_step: int
    ) -> None:
        has_objective = config.selection == "source_dev" or config.task.target_languages
        require(bool(has_objective), "selection", config.selection, "source_dev where there are no target_languages")
        self.config, self.folder = config, folder
        self._files = TrialFolder(folder)
        self._locations, self._cache, self._tokens_per_step = locations, cache, tokens_per_step
        self._history: tuple[EpochReport, ...] = ()
        self._outcome: Outcome | None = None
        self._learner: Learner | None = None
        self._facts: TrialFacts | None = None
        self._is_scored = False
        self._earlier_peak_bytes = 0
        self._restore_outcome()
        if self._outcome is None:
            self._facts = self._require_learner().facts()
        _prepare(folder)  # not before: a configuration that does not fit together leaves no folder
        if self._outcome is None:
            self._restore_last(self._require_learner())

    @property
    def facts(self) -> TrialFacts:
        """What the trial read when it began, and how large it is; of a finished one, what it was trained on."""
        assert self._facts is not None
        return self._facts

    @property
    def history(self) -> tuple[EpochReport, ...]:
        """The reports of all epochs so far, those of earlier attempts included."""
        return self._history

    @property
    def finished(self) -> Outcome | None:
        """The outcome, once there is one; it may come from an earlier attempt."""
        return self._outcome

    @property
    def is_done(self) -> bool:
        """Nothing is left to train: all epochs are over, or the trial was finished before."""
        return self._outcome is not None or len(self._history) >= self.config.training.epochs

    @property
    def best(self) -> EpochReport | None:
        """The epoch with the highest `EpochReport.rank`: the highest value, and of equal ones mostly the earliest."""
        return max(self._history, key=lambda report: report.rank, default=None)

    def step(self) -> EpochReport:
        """`epoch`, alone."""
        return alone(self.epoch())

    def epoch(self) -> Generator[Work, Any, EpochReport]:
        """Train the next epoch (if there is anything to train), score it on dev, write the checkpoint, and report.

        Yields what is to be computed, and is sent what came of it.

        Raises:
            TrialFailed: loss, gradient or a dev score is not finite, or memory does not suffice.
            StorageError: the checkpoint cannot be written; the epoch is lost.
        """
        if self.is_done or self._is_scored:
            raise RuntimeError("this trial has nothing left to train")
        learner = self._require_learner()
        epoch = len(self._history) + 1
        spent_s = learner.spent_s
        before = self._figures_before(learner)
        metrics: dict[str, float] = {}
        if learner.method.is_trained:
            metrics["train/loss"] = yield from learner.epoch(epoch)
        metrics |= learner.diagnostics() | before
        task = self.config.task
        languages = (task.source_language, *(task.target_languages if self.config.selection == "target_dev" else ()))
        predicted = yield Questions(learner, "dev", languages)
        for language in languages:
            metrics |= learner.score("dev", language, predicted[language])
        _require_finite(metrics, epoch)
        value = self._value(metrics, learner.task.metric)
        duration_s = learner.spent_s - spent_s
        report = EpochReport(epoch=epoch, value=value, metrics=metrics, duration_s=duration_s)
        self._history = (*self._history, report)
        self._save(learner)
        return report

    def _figures_before(self, learner: Learner) -> dict[str, float]:
        """What the method said of itself before the first epoch, each figure's name ended by ``_start``."""
        if self._history:
            return {key: value for key, value in self._history[0].metrics.items() if key.endswith(START)}
        return {f"{key}{START}": value for key, value in learner.diagnostics().items()}

    def outcome(self, state: State = "COMPLETE", reason: str | None = None) -> Outcome:
        """Finish the trial: write ``outcome.json`` and delete the checkpoint that only serves to go on.

        A trial that has an outcome already keeps it.

        Args:
            state: COMPLETE needs all epochs.
            reason: why it was PRUNED or FAILED.

        Raises:
            StorageError: `folder` cannot be written.
        """
        if self._outcome is None:
            if state == "COMPLETE" and not self.is_done:
                raise ValueError(
                    f"{len(self._history)} of {self.config.training.epochs} epochs do not complete a trial"
                )
            outcome = self._make_outcome(self._require_learner(), state, reason)
            content = {
                "trial_id": self.config.trial_id,
                "config": self.config,
                "facts": self.facts,
                "outcome": outcome,
                "history": self._history,
            }
            storage.write_sealed_json(self._files.outcome, content)
            self._outcome = outcome
        storage.remove(self._files.last, self._files.previous)
        return self._outcome

    def test(self) -> FinalScores:
        """`testing`, alone."""
        return alone(self.testing())

    def testing(self) -> Generator[Work, Any, FinalScores]:
        """Score the best epoch on test, in the source and every target language, and keep what was predicted.

        Once: later calls read those scores. Yields what is to be computed, and is sent what came of it.

        Raises:
            CheckpointMissing: the best epoch's parameters are gone or torn.
            DataChanged: what is read is no longer what the trial began with.
            StorageError: `folder` cannot be written.
        """
        path = self._files.test
        stored = storage.read_sealed_json(path)
        if stored is not None:
            require_owner(path, stored.get("trial_id"), self.config.trial_id)
            return build(FinalScores, _block(stored, "test"), str(path))
        if not self.is_done:
            raise RuntimeError("test is scored once, after all epochs")
        learner = self._require_learner()
        epoch, spent_s = self._load_best(learner), learner.spent_s
        languages = (self.config.task.source_language, *self.config.task.target_languages)
        predictions_of = yield Questions(learner, "test", languages)
        found, predicted = self._score_test(learner, epoch, predictions_of)
        found = replace(found, duration_s=learner.spent_s - spent_s)
        self._require_same(learner, self.facts.fingerprints, "what is read has changed since the trial began")
        predictions.save(self._files.predictions, predicted)
        storage.write_sealed_json(path, {"trial_id": self.config.trial_id, "test": found})
        return found

    def _score_test(self, learner: Learner, epoch: int, found_labels: Predicted) -> tuple[FinalScores, TestPredictions]:
        scores: dict[str, float] = {}
        majority: dict[str, float] = {}
        num_examples: dict[str, int] = {}
        numbers: dict[str, list[int | list[int]]] = {}
        parts: dict[str, list[tuple[int, int, int]]] = {}
        for language, predicted in found_labels.items():
            scores |= learner.score("test", language, predicted)
            majority |= {f"majority/{language}/{k}": v for k, v in learner.loaded.majority("test", language).items()}
            num_examples[language] = len(predicted)
            numbers[language] = predictions.numbered(learner.task.labels, predicted)
            parts[language] = learner.task.counts(learner.task.examples("test", language), predicted)
        counts = {language: learner.task.label_counts("test", language) for language in num_examples}
        unseen = {language: dict(learner.task.unseen_labels("test", language)) for language in num_examples}
        found = FinalScores(
            epoch=epoch,
            scores=scores,
            majority=majority,
            num_examples=num_examples,
            num_labels={language: found.total() for language, found in counts.items()},
            unseen_labels={language: found for language, found in unseen.items() if found},
            granularity={language: learner.granularity("test", language) for language in num_examples},
        )
        prints = {key: value for key, value in self.facts.fingerprints.items() if key.startswith("test/")}
        kept = TestPredictions(
            trial_id=self.config.trial_id,
            epoch=epoch,
            fingerprints=prints,
            labels=learner.task.labels,
            numbers=numbers,
            counts=parts,
            examples={language: learner.loaded.keep_examples(language, self._files) for language in num_examples},
        )
        return found, kept

    def _require_learner(self) -> Learner:
        if self._learner is None:  # made late where an earlier attempt has finished the trial
            self._learner = Learner(
                self.config,
                locations=self._locations,
                cache=self._cache,
                tokens_per_step=self._tokens_per_step,
            )
        return self._learner

    def _value(self, metrics: Mapping[str, float], metric: str) -> float:
        task = self.config.task
        chosen = (task.source_language,) if self.config.selection == "source_dev" else task.target_languages
        return math.fsum(metrics[f"dev/{language}/{metric}"] for language in chosen) / len(chosen)

    def _save(self, learner: Learner) -> None:
        """Write ``last.pt``, then ``best.pt`` if this epoch is the best.

        In this order, a kill between the two leaves the best parameters in ``last.pt``, whence `_restore_last` takes
        them; in the other, ``best.pt`` could be of an epoch that ``last.pt`` has never seen. After the last epoch
        nothing goes on, so what only serves to go on is left out.
        """
        report, best = self._history[-1], self.best
        is_best, is_final = best is report, report.epoch == self.config.training.epochs
        found = Checkpoint(
            trial_id=self.config.trial_id,
            fingerprints=self.facts.fingerprints,
            epoch=report.epoch,
            history=self._history,
            peak_memory_bytes=max(self._earlier_peak_bytes, learner.peak_memory_bytes()),
            parameters=learner.parameters() if is_best or not is_final else None,
            state=None if is_final else learner.state(),
        )
        checkpoints.save_last(self._files, found)
        if is_best and is_final:  # both would hold the same: write it once
            storage.copy_or_link(self._files.last, self._files.best)
        elif is_best:
            self._save_best(found)

    def _save_best(self, found: Checkpoint) -> None:
        checkpoints.save(self._files.best, replace(found, state=None))

    def _restore_outcome(self) -> None:
        path = self._files.outcome
        stored = storage.read_sealed_json(path)
        if stored is None:
            return
        require_owner(path, stored.get("trial_id"), self.config.trial_id)
        self._facts = build(TrialFacts, _block(stored, "facts"), str(path))
        self._outcome = build(Outcome, _block(stored, "outcome"), str(path))
        self._history = coerce(tuple[EpochReport, ...], stored.get("history"), f"{path}: history")

    def _restore_last(self, learner: Learner) -> None:
        stored = checkpoints.load_last(self._files)
        if stored is None:
            return
        self._require_own(self._files.last, stored, learner)
        self._history = stored.history
        self._earlier_peak_bytes = stored.peak_memory_bytes
        if stored.parameters is not None:
            learner.load_parameters(stored.parameters)
        if stored.state is not None:
            learner.load_state(stored.state)
        if self.best is self._history[-1]:
            self._save_best(stored)  # a kill may have come before it was written

    def _require_own(self, path: AnyPath, stored: Checkpoint, learner: Learner) -> None:
        """Refuse a checkpoint of another trial, of other data or of another backbone."""
        require_owner(path, stored.trial_id, self.config.trial_id)
        self._require_same(learner, stored.fingerprints, f"{path} was trained on other data")

    def _require_same(self, learner: Learner, before: Mapping[str, str], problem: str) -> None:
        require_unchanged(before, learner.fingerprints(), problem=problem, place=learner.place)

    def _load_best(self, learner: Learner) -> int:
        """Put the best epoch's parameters into the method; gives the epoch."""
        path = self._files.best
        stored = checkpoints.load(path)
        if stored is None or stored.parameters is None:
            raise CheckpointMissing(
                f"{path} is gone or torn: the trial must be trained again before test can be scored"
            )
        self._require_own(path, stored, learner)
        best_epoch = self._outcome.best_epoch if self._outcome else self.best and self.best.epoch
        if stored.epoch != best_epoch:
            raise CheckpointMissing(f"{path} holds epoch {stored.epoch}, but epoch {best_epoch} is the best")
        self._is_scored = True
        learner.load_parameters(stored.parameters)
        return stored.epoch

    def _make_outcome(self, learner: Learner, state: State, reason: str | None) -> Outcome:
        best = self.best if state != "FAILED" else None
        return Outcome(
            state=state,
            value=best.value if best else None,
            best_epoch=best.epoch if best else None,
            metrics=best.metrics if best else {},
            num_updates=self.facts.num_updates(len(self._history)),
            duration_s=math.fsum(report.duration_s for report in self._history),
            peak_memory_bytes=max(self._earlier_peak_bytes, learner.peak_memory_bytes()),
            reason=reason,
        )


def require_owner(path: AnyPath, owner: object, trial_id: str) -> None:
    """Refuse a file that another trial left.

    Raises:
        ConfigError: `owner` is another trial's name.
    """
    if owner != trial_id:
        raise ConfigError(f"{path} belongs to trial {owner}, not to {trial_id}; give each trial a folder of its own")


def forget(folder: AnyPath) -> None:
    """Delete all that a trial left in `folder`, so that it starts from the beginning.

    Raises:
        StorageError: something cannot be deleted.
    """
    files = TrialFolder(folder)
    storage.remove(files.outcome, files.last, files.previous, files.best, files.test, files.predictions)


def _prepare(folder: AnyPath) -> None:
    """Make `folder`, and clear away what a killed process was still writing there."""
    storage.make_folder(folder)
    storage.remove(*storage.partial_files(folder))


def _block(stored: Mapping[str, object], key: str) -> Mapping[str, object]:
    """A block of a JSON file; what is none, `build` refuses."""
    return stored.get(key)  # type: ignore[return-value]


def _require_finite(metrics: Mapping[str, float], epoch: int) -> None:
    for key, score in metrics.items():
        if not math.isfinite(score):
            raise TrialFailed(f"{key} is {score} at epoch {epoch}; a score must be a finite number")
