"""What a trial is when it runs: epochs that each leave a checkpoint, then an outcome, then one score on test.

:class:`TrialRun` is one trial in one folder; killed at any moment and made again in the same folder, it goes on after
its last whole epoch, and on a CPU ends bit for bit as if nothing had happened. Knows nothing of Ray, of searches or of
other trials.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tunekit.errors import ConfigError, TrialFailed, require
from tunekit.methods import count_parameters
from tunekit.schema import build, to_json
from tunekit.training import checkpoints
from tunekit.training.caches import Worker
from tunekit.training.checkpoints import BEST, LAST, OUTCOME, TEST, CheckpointMissing
from tunekit.training.learner import Learner
from tunekit.training.schedule import planned_updates, updates_per_epoch
from tunekit.trial import EpochReport, FinalScores, Locations, Outcome, TrialConfig, TrialFacts

__all__ = [
    "CheckpointMissing",
    "FinalScores",
    "TrialRun",
    "Worker",
    "planned_updates",
    "run_trial",
    "updates_per_epoch",
]

State = Literal["COMPLETE", "PRUNED", "FAILED"]

logger = logging.getLogger(__name__)


class TrialRun:
    """One trial in one folder, epoch by epoch.

    Making it restores what an earlier attempt in `folder` left: a finished trial has its outcome, an interrupted one
    goes on after its last whole epoch, and a torn checkpoint is ignored with a warning. A process runs one trial at a
    time on a worker; a later one that trains the same backbone ends the earlier.

    Args:
        config: the trial.
        folder: the trial's own; made if need be.
        locations: data, backbone and device.
        worker: what the process keeps between trials.

    Raises:
        ConfigError: the configuration does not fit together, `folder` is another trial's, or the data have changed.
        StorageError: `folder` cannot be written.
    """

    def __init__(self, config: TrialConfig, *, folder: Path, locations: Locations, worker: Worker) -> None:
        has_objective = config.selection == "source_dev" or config.task.target_languages
        require(bool(has_objective), "selection", config.selection, "source_dev where there are no target_languages")
        self.config, self.folder = config, folder
        self._locations, self._worker = locations, worker
        self._history: tuple[EpochReport, ...] = ()
        self._outcome: Outcome | None = None
        self._learner: Learner | None = None
        self._is_scored = False
        self._earlier_peak_bytes = 0
        self._restore_outcome()
        learner = self._require_learner() if self._outcome is None else None
        checkpoints.prepare(folder)  # not before: a configuration that does not fit together leaves no folder
        if learner is not None:
            self._restore_last(learner)

    @property
    def facts(self) -> TrialFacts:
        """What the trial reads, and how large it is."""
        learner = self._require_learner()
        found, count = learner.facts(), count_parameters(learner.method)
        return TrialFacts(
            fingerprints={"train and dev": found["data_fingerprint"]},
            num_trainable_parameters=count.trainable,
            num_backbone_parameters=count.backbone,
            num_train_examples=found["num_train_examples"],
            num_train_rows=found["num_train_rows"],
            num_train_tokens=found["num_train_pieces"],
            num_train_truncated=found["num_train_truncated"],
            num_updates_per_epoch=updates_per_epoch(found["num_train_rows"], self.config.training)
            if found["num_train_rows"]
            else 0,
            majority=found["majority"],
            device=found["device"],
            num_threads=found["num_threads"],
            versions={key.removesuffix("_version"): found[key] for key in found if key.endswith("_version")},
        )

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
        """The epoch with the highest value; of equal ones the earliest."""
        return max(self._history, key=lambda report: report.value, default=None)

    def step(self) -> EpochReport:
        """Train the next epoch (if there is anything to train), score it on dev, write the checkpoint, and report.

        Raises:
            TrialFailed: loss, gradient or a dev score is not finite, or memory does not suffice.
            StorageError: the checkpoint cannot be written; the epoch is lost.
        """
        if self.is_done or self._is_scored:
            raise RuntimeError("this trial has nothing left to train")
        learner = self._require_learner()
        epoch = len(self._history) + 1
        started = time.perf_counter()
        metrics = {"train/loss": learner.train_epoch(epoch)} if learner.method.is_trained else {}
        task = self.config.task
        languages = (task.source_language, *(task.target_languages if self.config.selection == "target_dev" else ()))
        for language in languages:
            metrics |= learner.evaluate("dev", language)
        _require_finite(metrics, epoch)
        value = self._value(metrics, learner.task.metric)
        duration_s = time.perf_counter() - started
        report = EpochReport(epoch=epoch, value=value, metrics=metrics, duration_s=duration_s)
        self._history = (*self._history, report)
        self._save(learner)
        return report

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
                "outcome": outcome,
                "history": self._history,
            }
            checkpoints.save_json(self.folder / OUTCOME, content)
            self._outcome = outcome
        checkpoints.remove(self.folder / LAST)
        return self._outcome

    def test(self) -> FinalScores:
        """Score the best epoch on test, in the source and every target language. Once: later calls read those scores.

        Raises:
            CheckpointMissing: the best epoch's parameters are gone or torn.
            StorageError: `folder` cannot be written.
        """
        path = self.folder / TEST
        stored = checkpoints.load_json(path)
        if stored is not None:
            checkpoints.require_owner(path, stored, self.config.trial_id)
            return build(FinalScores, stored["test"], str(path))
        if not self.is_done:
            raise RuntimeError("test is scored once, after all epochs")
        learner = self._require_learner()
        epoch = self._load_best(learner)
        task = self.config.task
        scores: dict[str, float] = {}
        majority: dict[str, float] = {}
        num_examples: dict[str, int] = {}
        for language in (task.source_language, *task.target_languages):
            scores |= learner.evaluate("test", language)
            majority |= {f"majority/{language}/{k}": v for k, v in learner.loaded.majority("test", language).items()}
            num_examples[language] = len(learner.task.examples("test", language))
        found = FinalScores(epoch=epoch, scores=scores, majority=majority, num_examples=num_examples)
        checkpoints.save_json(path, {"trial_id": self.config.trial_id, "test": found})
        return found

    def _require_learner(self) -> Learner:
        if self._learner is None:  # made late where an earlier attempt has finished the trial
            self._learner = Learner(self.config, locations=self._locations, worker=self._worker)
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
        owner = {"trial_id": self.config.trial_id, "fingerprint": learner.loaded.fingerprint}
        peak = max(self._earlier_peak_bytes, learner.peak_memory_bytes())
        facts = {"epoch": report.epoch, "history": to_json(self._history), "peak_bytes": peak}
        content: dict[str, Any] = {**owner, **facts}
        if is_best or not is_final:
            content["parameters"] = learner.parameters()
        if not is_final:
            content["state"] = learner.state()
        checkpoints.save_tensors(self.folder / LAST, content)
        if is_best and is_final:  # both would hold the same: write it once
            checkpoints.link(self.folder / LAST, self.folder / BEST)
        elif is_best:
            self._save_best(content)

    def _save_best(self, content: dict[str, Any]) -> None:
        kept = {key: value for key, value in content.items() if key != "state"}
        checkpoints.save_tensors(self.folder / BEST, kept)

    def _restore_outcome(self) -> None:
        path = self.folder / OUTCOME
        stored = checkpoints.load_json(path)
        if stored is None:
            return
        checkpoints.require_owner(path, stored, self.config.trial_id)
        self._outcome = build(Outcome, stored["outcome"], str(path))
        self._history = tuple(build(EpochReport, report, str(path)) for report in stored["history"])

    def _restore_last(self, learner: Learner) -> None:
        path = self.folder / LAST
        stored = checkpoints.load_tensors(path)
        if stored is None:
            return
        self._require_same(path, stored, learner)
        self._history = tuple(build(EpochReport, report, str(path)) for report in stored["history"])
        self._earlier_peak_bytes = stored["peak_bytes"]
        if "parameters" in stored:
            learner.load_parameters(stored["parameters"])
        if "state" in stored:
            learner.load_state(stored["state"])
        if self.best is self._history[-1]:
            self._save_best(stored)  # a kill may have come before it was written

    def _require_same(self, path: Path, stored: dict[str, Any], learner: Learner) -> None:
        """Refuse a checkpoint of another trial or of other data."""
        checkpoints.require_owner(path, stored, self.config.trial_id)
        if stored["fingerprint"] != learner.loaded.fingerprint:
            prints = f"fingerprint {stored['fingerprint']}, now {learner.loaded.fingerprint}"
            remedy = "put the data back, or delete the trial's folder to train it anew"
            raise ConfigError(f"{path} was trained on other data ({prints}); {remedy}")

    def _load_best(self, learner: Learner) -> int:
        """Put the best epoch's parameters into the method; gives the epoch."""
        path = self.folder / BEST
        stored = checkpoints.load_tensors(path)
        if stored is None:
            raise CheckpointMissing(
                f"{path} is gone or torn: the trial must be trained again before test can be scored"
            )
        self._require_same(path, stored, learner)
        best_epoch = self._outcome.best_epoch if self._outcome else self.best and self.best.epoch
        if stored["epoch"] != best_epoch:
            raise CheckpointMissing(f"{path} holds epoch {stored['epoch']}, but epoch {best_epoch} is the best")
        self._is_scored = True
        learner.load_parameters(stored["parameters"])
        return int(stored["epoch"])

    def _make_outcome(self, learner: Learner, state: State, reason: str | None) -> Outcome:
        best = self.best if state != "FAILED" else None
        count = count_parameters(learner.method)
        return Outcome(
            state=state,
            value=best.value if best else None,
            best_epoch=best.epoch if best else None,
            metrics=best.metrics if best else {},
            num_updates=len(self._history) * updates_per_epoch(len(learner.train_rows.rows), self.config.training),
            duration_s=math.fsum(report.duration_s for report in self._history),
            num_trainable_parameters=count.trainable,
            num_backbone_parameters=count.backbone,
            peak_memory_bytes=max(self._earlier_peak_bytes, learner.peak_memory_bytes()),
            facts=learner.facts(),
            reason=reason,
        )


def run_trial(
    config: TrialConfig,
    *,
    folder: Path,
    locations: Locations,
    worker: Worker | None = None,
    test: bool = False,
    on_epoch: Callable[[EpochReport], bool | str | None] | None = None,
) -> Outcome:
    """Run a trial to its end, or go on with it, in this process.

    Args:
        config: the trial.
        folder: the trial's own.
        locations: data, backbone and device.
        worker: pass the same one for successive trials, so that they share what it keeps.
        test: also score a COMPLETE trial on test; its best parameters are trained again if they are gone.
        on_epoch: called after each epoch trained here; False, or a text that says why, prunes the trial.

    Returns:
        The outcome; with `test`, `metrics` also holds ``test/...`` and `facts` the test's ``majority``.
        A trial that cannot go on is FAILED with its reason.

    Raises:
        ConfigError: the configuration does not fit together.
        StorageError: `folder` cannot be written.
        TrialFailed: memory does not suffice to score a trained trial on test.
    """
    worker = worker or Worker()
    run = TrialRun(config, folder=folder, locations=locations, worker=worker)
    outcome = _run_epochs(run, on_epoch)
    if not test or outcome.state != "COMPLETE":
        return outcome
    try:
        final = run.test()
    except CheckpointMissing as error:
        logger.warning("%s; training it again", error)
        checkpoints.forget(folder)
        run = TrialRun(config, folder=folder, locations=locations, worker=worker)
        outcome = _run_epochs(run, on_epoch=None)
        if outcome.state != "COMPLETE":
            return outcome
        final = run.test()
    facts = {**outcome.facts, "majority": {**outcome.facts["majority"], **final.majority}}
    return replace(outcome, metrics={**outcome.metrics, **final.scores}, facts=facts)


def _run_epochs(run: TrialRun, on_epoch: Callable[[EpochReport], bool | str | None] | None) -> Outcome:
    try:
        while not run.is_done:
            report = run.step()
            verdict = on_epoch(report) if on_epoch else None
            if verdict is False or isinstance(verdict, str):
                return run.outcome("PRUNED", reason=verdict or f"stopped after epoch {report.epoch}")
    except TrialFailed as error:
        return run.outcome("FAILED", reason=str(error))
    return run.outcome()


def _require_finite(metrics: Mapping[str, float], epoch: int) -> None:
    for key, score in metrics.items():
        if not math.isfinite(score):
            raise TrialFailed(f"{key} is {score} at epoch {epoch}; a score must be a finite number")
