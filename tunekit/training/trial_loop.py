"""The one loop over a trial's epochs: from its start to its test scores, as a stream of messages.

A driver on another machine and a call in this process run a trial through the same `perform`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch

from tunekit.errors import TrialFailed, TunekitError
from tunekit.patience import say
from tunekit.redaction import without_secrets
from tunekit.storage import AnyPath
from tunekit.training.caches import WorkerCache
from tunekit.training.checkpoints import CheckpointMissing
from tunekit.training.device import require_answer
from tunekit.training.joint import Work, answered, carry_out
from tunekit.training.learner import Questions, Update
from tunekit.training.memory import give_back
from tunekit.training.messages import Finished, Reported, Started, Tested, TrialMessage, Untested
from tunekit.training.trial_run import TrialRun, forget
from tunekit.trial import TOKENS_PER_STEP, EpochReport, FinalScores, Locations, Outcome, TrialConfig
from tunekit.wording import printable

logger = logging.getLogger(__name__)

TrialMessages = Generator[TrialMessage, str | None, None]
"""A trial's messages in order; it may be sent a reason to prune the trial."""
Trial = Generator[TrialMessage | Work, Any, None]
"""The same with the work between the messages; see `begin`."""
OnEpoch = Callable[[EpochReport], bool | str | None]
"""Called after an epoch; False, or a text that says why, prunes the trial."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and with what a trial runs."""

    folder: AnyPath
    locations: Locations
    cache: WorkerCache
    tokens_per_step: int

    def open(self, config: TrialConfig) -> TrialRun:
        return TrialRun(
            config,
            folder=self.folder,
            locations=self.locations,
            cache=self.cache,
            tokens_per_step=self.tokens_per_step,
        )


def perform(
    config: TrialConfig,
    *,
    folder: AnyPath,
    locations: Locations,
    cache: WorkerCache,
    tokens_per_step: int,
    test: bool = False,
) -> TrialMessages:
    """Run a trial, message by message; what an earlier attempt did is told again, not done again.

    The caller may stop listening after any ``reported`` message: the trial then stays as it is and can go on later. Or
    it may send a reason after it (``messages.send("...")``): the trial is finished as PRUNED then.

    Args:
        config: the trial.
        folder: the trial's own.
        locations: data, backbone and device.
        cache: what the process keeps between trials.
        tokens_per_step: padded tokens computed at once; `tunekit.trial.SMALLER_STEPS` says what it changes.
        test: also score a COMPLETE trial on test. Where its best parameters were deleted or lost, it is trained again,
            to the same bits.

    Raises:
        TunekitError: every other trial would meet the same: bad input, changed data, a full disk. A failure of this
            trial alone (any other exception too) ends in a FAILED outcome instead.
    """
    place = Place(folder=folder, locations=locations, cache=cache, tokens_per_step=tokens_per_step)
    trial = begin(config, place, test=test)
    with closing(trial):
        said = next(trial)
        while True:
            try:
                if isinstance(said, Update | Questions):
                    (done,) = carry_out([said])
                    said = answered(trial, done)
                else:
                    said = trial.send((yield said))
            except StopIteration:
                return


def begin(config: TrialConfig, place: Place, *, test: bool = False) -> Trial:
    """A trial that asks for its updates and predictions instead of making them; see `perform`.

    It yields messages, each answered by None or a reason to prune it, and work, answered by what came of it. What could
    not be done is thrown (`answered` does either).
    """
    try:
        yield from _telling(config, place, test=test)
    finally:
        give_back()


def _telling(config: TrialConfig, place: Place, *, test: bool) -> Trial:
    name = config.trial_id
    run: TrialRun | None = None
    try:
        run = place.open(config)
        yield Started(trial_id=name, facts=run.facts)
        outcome = yield from _epochs(run)
    except Exception as error:
        _require_own(error, place)
        outcome = _failed(run, error)
    wants_test = test and outcome.state == "COMPLETE"
    yield Finished(trial_id=name, is_last=not wants_test, outcome=outcome)
    if wants_test and run is not None:
        yield (yield from _test(run, place))


def _epochs(run: TrialRun) -> Generator[TrialMessage | Work, Any, Outcome]:
    """Tell the epochs of earlier attempts, then train the others."""
    name = run.config.trial_id
    for report in run.history:
        reason = yield Reported(trial_id=name, report=report, is_new=False)
        if reason is not None:
            return run.outcome("PRUNED", reason=reason)
    while not run.is_done:
        report = yield from run.epoch()
        reason = yield Reported(trial_id=name, report=report)
        if reason is not None:
            return run.outcome("PRUNED", reason=reason)
    return run.outcome()


def _require_own(error: Exception, place: Place) -> None:
    """Raise what every other trial would meet too, and is not this trial's own failure.

    Raises:
        TunekitError: bad input or storage.
        DeviceLost: the GPU takes no work any more.
    """
    if isinstance(error, TunekitError) and not isinstance(error, TrialFailed):
        raise error
    named = place.locations.device or "cuda"  # not `choose_device`: a GPU that is lost may not be counted
    require_answer(torch.device(named), error)


def _failed(run: TrialRun | None, error: Exception) -> Outcome:
    reason = _reason(error, "trial failed")
    if run is None:
        return Outcome(state="FAILED", value=None, reason=reason)
    return run.outcome("FAILED", reason=reason)


def _reason(error: Exception, what: str) -> str:
    """What a failure says; one that nobody expected is logged with its traceback."""
    if isinstance(error, TunekitError):
        return printable(str(error))
    logger.error("%s\n%s", what, without_secrets("".join(traceback.format_exception(error))))
    return in_words(error)


def in_words(error: BaseException) -> str:
    """Kind and message of an exception that a trial's code has raised, as text that every file can hold."""
    try:
        message = str(error)
    except Exception as worse:  # code of one's own may go wrong here too
        message = f"(its message cannot be read: {type(worse).__name__})"
    return printable(f"{type(error).__name__}: {message}")


def _test(run: TrialRun, place: Place) -> Generator[TrialMessage | Work, Any, TrialMessage]:
    """Score test once."""
    name = run.config.trial_id
    try:
        try:
            scores = yield from run.testing()
        except CheckpointMissing as missing:
            say(f"{missing}; it is trained again now", str(place.folder))
            forget(place.folder)
            run = place.open(run.config)
            while not run.is_done:
                yield from run.epoch()
            run.outcome()
            scores = yield from run.testing()
    except Exception as error:
        _require_own(error, place)
        return Untested(trial_id=name, is_last=True, reason=_reason(error, "test failed"))
    return Tested(trial_id=name, is_last=True, scores=scores)


def run_trial(
    config: TrialConfig,
    *,
    folder: AnyPath,
    locations: Locations,
    cache: WorkerCache | None = None,
    tokens_per_step: int | None = None,
    test: bool = False,
    on_epoch: OnEpoch | None = None,
) -> Outcome:
    """Run a trial to its end, or go on with it, in this process.

    Args:
        config: the trial.
        folder: the trial's own.
        locations: data, backbone and device.
        cache: pass the same one for successive trials, so that they share what it keeps.
        tokens_per_step: padded tokens computed at once; None is 8192, or `max_length` if that is more.
        test: also score a COMPLETE trial on test; its best parameters are trained again if they are gone.
        on_epoch: called after each epoch trained here; False, or a text that says why, prunes the trial.

    Returns:
        The outcome; with `test`, `metrics` also holds ``test/...`` and ``majority/...``.
        A trial that cannot go on is FAILED with its reason.

    Raises:
        ConfigError: the configuration does not fit together, or data have changed.
        StorageError: `folder` cannot be written.
        TrialFailed: a trained trial cannot be scored on test.
        DeviceLost: the GPU takes no work any more; the trial can go on in another process.
    """
    messages = perform(
        config,
        folder=folder,
        locations=locations,
        cache=cache or WorkerCache(),
        tokens_per_step=tokens_per_step or max(TOKENS_PER_STEP, config.training.max_length),
        test=test,
    )
    return _listen(messages, on_epoch)


def _listen(messages: TrialMessages, on_epoch: OnEpoch | None) -> Outcome:
    """Let a trial run to its end; what `on_epoch` raises ends it where it stands."""
    outcome = Outcome(state="FAILED", value=None)
    verdict: str | None = None
    while (message := _next(messages, verdict)) is not None:
        verdict = None
        match message:
            case Reported(is_new=True):
                verdict = _verdict(message.report, on_epoch)
            case Finished():
                outcome = message.outcome
            case Tested():
                outcome = _with_test(outcome, message.scores)
            case Untested():
                raise TrialFailed(message.reason)
    return outcome


def _with_test(outcome: Outcome, found: FinalScores) -> Outcome:
    return replace(outcome, metrics={**outcome.metrics, **found.scores, **found.majority})


def _next(messages: TrialMessages, verdict: str | None) -> TrialMessage | None:
    try:
        return messages.send(verdict)
    except StopIteration:
        return None


def _verdict(report: EpochReport, on_epoch: OnEpoch | None) -> str | None:
    """Why the trial is to be pruned, if it is."""
    found = on_epoch(report) if on_epoch else None
    if isinstance(found, str):
        return found or f"stopped after epoch {report.epoch}"
    return f"stopped after epoch {report.epoch}" if found is False else None
