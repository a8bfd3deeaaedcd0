"""Updates and predictions of several learners, computed together where one frozen backbone serves them all.

A learner asks (`Update`, `Questions`) and does not care who else is there: its rows, losses, gradients and optimiser
are its own, and its numbers are those that it would have alone, up to rounding. What is shared is the pass of the
backbone over all rows. A learner that trains its backbone, or computes in a way of its own, is computed alone.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

from tunekit.predictions import Prediction
from tunekit.tasks import Split
from tunekit.training.device import require_answer
from tunekit.training.learner import Learner, Questions, Update
from tunekit.training.predictor import Predicted, predicted_all
from tunekit.training.updates import Cost, updated

T = TypeVar("T")
S = TypeVar("S")

Work = Update | Questions
"""What a trial asks of whoever drives it."""
Done = float | Predicted | Exception
"""The loss of an update, what was predicted, or why it could not be."""


def alone(trial: Generator[Update, Any, T] | Generator[Work, Any, T]) -> T:
    """Drive a generator that asks for work and for nothing else, one thing after the other; gives what it returns.

    Raises:
        TrialFailed: the loss is no longer finite, or memory does not suffice.
    """
    try:
        work = next(trial)
        while True:
            (done,) = carry_out([work])
            work = answered(trial, done)
    except StopIteration as end:
        result: T = end.value
        return result


def answered(trial: Generator[S, Any, object], done: Done) -> S:
    """Tell a trial what came of its work; gives what it says next."""
    return trial.throw(done) if isinstance(done, Exception) else trial.send(done)


def train_epoch(learner: Learner, epoch: int) -> float:
    """Make all updates of `epoch` (1-based), alone; gives the mean loss over its labels.

    Raises:
        TrialFailed: the loss or the gradient is no longer finite, or memory does not suffice.
    """
    return alone(learner.epoch(epoch))


def predict(learner: Learner, split: Split, language: str) -> list[Prediction]:
    """One prediction for each example of a split in one language.

    Raises:
        TrialFailed: memory does not suffice.
    """

    def asking() -> Generator[Work, Any, list[Prediction]]:
        found = yield Questions(learner, split, (language,))
        predicted: list[Prediction] = found[language]
        return predicted

    return alone(asking())


def carry_out(works: Sequence[Work], cost: Cost | None = None) -> list[Done]:
    """Do all of `works`, together as far as possible; one answer each, in their order.

    Args:
        works: of any learners, at most one of each.
        cost: what it took is added there.

    Raises:
        DeviceLost: the GPU takes no work any more.
    """
    cost = cost or Cost()
    done: dict[int, Done] = {}
    for numbers in _in_company(works):
        chosen = [works[number] for number in numbers]
        started = time.perf_counter()
        found = _together(chosen, cost)
        done.update(zip(numbers, found, strict=True))
        duration_s = time.perf_counter() - started
        carried_out = [work for work, each in zip(chosen, found, strict=True) if not isinstance(each, Exception)]
        cost.num_tokens += _share(carried_out, duration_s)
        cost.seconds += duration_s
    return [done[number] for number in range(len(works))]


def _together(works: Sequence[Work], cost: Cost) -> list[Done]:
    """Do works of one kind, of learners that can be computed together."""
    updates = [work for work in works if isinstance(work, Update)]
    questions = [work for work in works if isinstance(work, Questions)]
    try:
        return [*updated(updates, cost)] if updates else [*predicted_all(questions, cost.on_pass)]
    except Exception as error:
        require_answer(works[0].learner.device, error)
        if len(works) == 1:
            return [error]
    # A method's code went wrong or drew at random, or memory does not suffice: nothing has changed yet, so each is done
    # by itself. Not in the handler, where the error still holds the memory of the pass.
    return [done for work in works for done in _together([work], cost)]


def _in_company(works: Sequence[Work]) -> Iterator[list[int]]:
    """Numbers of the works that can be done together."""
    groups: dict[object, list[int]] = {}
    for number, work in enumerate(works):
        company = work.learner.company
        groups.setdefault((type(work), number if company is None else company), []).append(number)
    return iter(groups.values())


def _share(works: Sequence[Work], duration_s: float) -> int:
    """Note for each learner its share of the time, by the rows that it asked for; gives the tokens of all rows."""
    sizes = [_num_tokens(work) for work in works]
    for work, size in zip(works, sizes, strict=True):
        work.learner.spent_s += duration_s * size / sum(sizes)
    return sum(sizes)


def _num_tokens(work: Work) -> int:
    if isinstance(work, Update):
        return 1 + sum(row.length for part in work.parts for unit in part.units for row in unit)
    return 1 + sum(work.learner.tokenized(work.split, language).num_tokens for language in work.languages)
