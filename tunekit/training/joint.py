"""Updates and predictions of several learners, computed together where one frozen backbone serves them all.

A learner asks (`Update`, `Questions`) and does not care who else is there: its rows, losses, gradients and optimiser
are its own, and its numbers are those that it would have alone, up to rounding. What is shared is the pass of the
backbone over all rows. A learner that trains its backbone, or computes in a way of its own, is computed alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor

from tunekit.backbone import read
from tunekit.backbone.row_dropout import row_keys
from tunekit.errors import TrialFailed
from tunekit.methods import Batch, Feature
from tunekit.methods.batch import Part
from tunekit.tasks import Split
from tunekit.training import optimizer, schedule
from tunekit.training.learner import Learner, Questions, Update, drawing, is_out_of_memory, without_memory
from tunekit.training.predictions import Prediction
from tunekit.training.predictor import Asked

CPU_STEP_TOKENS = 1024
"""On a CPU, padded tokens of an update computed at once through a frozen backbone: more takes memory and gains nothing
(mini-xlmr, 12 layers of 384, rows of 40 tokens, one core, ms a row at 320, 640, 1280, 2560 tokens: fp32 34, 30, 30, 29;
bf16 19, 13, 14, 13)."""
CPU_EVALUATION_TOKENS = 2048
"""The same in prediction."""
EVALUATION_FACTOR = 4
"""On a GPU, prediction computes this many times `tokens_per_step` at once: it keeps nothing for a backward pass."""

T = TypeVar("T")

Predicted = dict[str, list[Prediction]]
"""By language."""
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
            work = trial.throw(done) if isinstance(done, Exception) else trial.send(done)
    except StopIteration as end:
        result: T = end.value
        return result


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


@dataclass
class Cost:
    """What it took to do some works, for whoever decides how many are done at once."""

    num_tokens: int = 0
    """Rows of updates, unpadded, in tokens."""
    seconds: float = 0.0
    ran_out_of_memory: bool = False
    """Memory did not suffice for all at once; they were done in smaller steps."""


def carry_out(works: Sequence[Work], cost: Cost | None = None) -> list[Done]:
    """Do all of `works`, together as far as possible; one answer each, in their order.

    Args:
        works: of any learners, at most one of each.
        cost: what it took is added there.
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
        _share(carried_out, duration_s)
        cost.num_tokens += sum(map(_num_tokens, carried_out))
        cost.seconds += duration_s
    return [done[number] for number in range(len(works))]


def _together(works: Sequence[Work], cost: Cost) -> list[Done]:
    """Do works of one kind, of learners that can be computed together."""
    updates = [work for work in works if isinstance(work, Update)]
    questions = [work for work in works if isinstance(work, Questions)]
    try:
        return [*_updated(updates, cost)] if updates else [*_answered(questions)]
    except Exception as error:
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


def _share(works: Sequence[Work], duration_s: float) -> None:
    """Note for each learner its share of the time, by the rows that it asked for."""
    sizes = [_num_tokens(work) for work in works]
    for work, size in zip(works, sizes, strict=True):
        work.learner.spent_s += duration_s * size / sum(sizes)


def _num_tokens(work: Work) -> int:
    if isinstance(work, Update):
        return 1 + sum(row.length for part in work.parts for unit in part.units for row in unit)
    return 1 + sum(work.learner.tokenized(work.split, language).num_tokens for language in work.languages)


# -- updates -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """Units of one part of one update that are computed in one step."""

    update: int
    part: Part
    units: list[int]
    keys: Tensor | None
    """Of the rows."""

    def rows(self) -> list[Feature]:
        return [row for unit in self.units for row in self.part.units[unit]]


def _updated(updates: Sequence[Update], cost: Cost) -> list[float | TrialFailed]:
    """Make one update of each learner: the losses, or why there is none."""
    results: dict[int, float | TrialFailed] = {}
    going = list(range(len(updates)))
    while going:
        found = _gradients([updates[number] for number in going], cost)
        if isinstance(found, TrialFailed):  # only one is left
            results[going[0]] = found
            break
        failed = {number: reason for number, reason in zip(going, found.reasons, strict=True) if reason is not None}
        results |= failed
        if not failed or len(going) == len(failed):
            # Numbers that are not finite may have reached the others: without them once more.
            _descend([updates[number] for number in going if number not in failed], found)
            results |= {n: loss for n, loss in zip(going, found.losses, strict=True) if n not in failed}
            break
        going = [number for number in going if number not in failed]
    for update in updates:
        update.learner.optimizer.clear()
    return [results[number] for number in range(len(updates))]


@dataclass(frozen=True)
class _Gradients:
    """What the backward passes of some updates have found, beside the gradients themselves."""

    losses: list[float]
    norms: list[float]
    reasons: list[TrialFailed | None]
    """Why an update cannot be made."""


def _gradients(updates: Sequence[Update], cost: Cost) -> _Gradients | TrialFailed:
    """Losses and gradients of all parts of all updates; of a single update, why memory does not suffice.

    Raises:
        RuntimeError: memory does not suffice for several.
    """
    max_tokens = _step_tokens(updates[0].learner)
    while True:
        try:
            return _passes(updates, max_tokens)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if updates[0].learner.company is None or max_tokens <= _longest_unit(updates):
                if len(updates) > 1:
                    raise
                return without_memory(updates[0].learner, error)
        max_tokens //= 2
        cost.ran_out_of_memory = True


def _passes(updates: Sequence[Update], max_tokens: int) -> _Gradients:
    losses: list[list[Tensor]] = [[] for _ in updates]
    with ExitStack() as stack:
        for update in updates:
            update.learner.optimizer.clear()
            stack.enter_context(update.learner.training_only(update.trains))
        stack.enter_context(drawing([update.learner for update in updates], training=True))
        for pieces in _steps(updates, max_tokens):
            found = _losses(updates, pieces)
            torch.stack(found).sum().backward()  # type: ignore[no-untyped-call]
            for piece, loss in zip(pieces, found, strict=True):
                losses[piece.update].append(loss.detach())
    totals = torch.stack([torch.stack(parts).sum().float() for parts in losses])
    norms = optimizer.norms([update.learner.optimizer for update in updates])
    values = torch.stack([totals, norms.float()]).tolist()  # the only wait for a GPU
    reasons = [_reason(update, *both) for update, both in zip(updates, zip(*values, strict=True), strict=True)]
    return _Gradients(values[0], values[1], reasons)


def _reason(update: Update, loss: float, norm: float) -> TrialFailed | None:
    for name, value in (("loss", loss), ("norm of the gradient", norm)):
        if not math.isfinite(value):
            rate = schedule.learning_rate(*update.place, update.learner.config.training)
            return TrialFailed(
                f"{name} became {value} at {update.where} (learning rate {rate:.3g}); a lower rate may help"
            )
    return None


def _descend(updates: Sequence[Update], found: _Gradients) -> None:
    norms = [norm for norm, reason in zip(found.norms, found.reasons, strict=True) if reason is None]
    steps = [(update.learner.optimizer, update.place) for update in updates]
    if len(updates) == 1 and updates[0].learner.company is None:
        optimizer.step_alone(*steps[0], norms[0])
    else:
        optimizer.step_together(steps, norms)


def _step_tokens(learner: Learner) -> int:
    is_small = learner.device.type == "cpu" and learner.company is not None
    return (
        max(learner.config.training.max_length, min(learner.tokens_per_step, CPU_STEP_TOKENS))
        if is_small
        else (learner.tokens_per_step)
    )


def _steps(updates: Sequence[Update], max_tokens: int) -> Iterator[list[_Piece]]:
    """All units of all updates, cut into steps of rows of similar length, those of one update next to each other."""
    places, lengths, sizes = [], [], []
    for number, update in enumerate(updates):
        positions = update.learner.method.num_input_positions
        for index, part in enumerate(update.parts):
            for unit, rows in enumerate(part.units):
                places.append((number, index, unit))
                lengths.append(positions + max((row.length for row in rows), default=0))
                sizes.append(len(rows))
    keys = [_keys(update) for update in updates]
    for group in schedule.steps(range(len(places)), lengths, max_tokens=max_tokens, sizes=sizes):
        chosen = sorted(places[index] for index in group)
        yield [
            _piece(updates, keys, key, [unit for *_, unit in found])
            for key, found in groupby(chosen, key=lambda place: place[:2])
        ]


def _piece(
    updates: Sequence[Update], keys: Sequence[list[list[Tensor]] | None], place: tuple[int, int], units: list[int]
) -> _Piece:
    number, index = place
    own = keys[number]
    drawn = None if own is None else torch.cat([own[index][unit] for unit in units])
    return _Piece(number, updates[number].parts[index], units, drawn)


def _keys(update: Update) -> list[list[Tensor]] | None:
    """For each part and each of its units the keys of its rows; None where the backbone is trained."""
    method = update.learner.method
    if method.trains(method.config):
        return None
    sizes = [[len(rows) for rows in part.units] for part in update.parts]
    drawn = row_keys(update.learner.config.seed, update.stream, update.number, sum(map(sum, sizes)))
    parts = torch.split(drawn, [sum(found) for found in sizes])
    return [list(torch.split(part, found)) for part, found in zip(parts, sizes, strict=True)]


def _losses(updates: Sequence[Update], pieces: Sequence[_Piece]) -> list[Tensor]:
    """The loss of each piece, their rows read together."""
    learners = [updates[piece.update].learner for piece in pieces]
    batches = []
    for learner, piece in zip(learners, pieces, strict=True):
        learner.turn(training=True)
        batch = learner.method.collate(piece.rows())
        batches.append((batch if piece.keys is None else batch.keyed(piece.keys)).to(learner.device))
    if any(piece.part.own_loss is not None for piece in pieces):
        return [_own_loss(*each) for each in zip(learners, pieces, batches, strict=True)]
    logits = _logits(learners, batches)
    found = zip(pieces, logits, batches, strict=True)
    return [piece.part.loss(scores, batch, piece.units) for piece, scores, batch in found]


def _own_loss(learner: Learner, piece: _Piece, batch: Batch) -> Tensor:
    """The loss of a piece of a method that computes in a way of its own."""
    if piece.part.own_loss is not None:
        return piece.part.own_loss(batch)
    return piece.part.loss(learner.method.logits(batch), batch, piece.units)


def _logits(learners: Sequence[Learner], batches: Sequence[Batch]) -> list[Tensor]:
    """Logits of each batch by its learner's method, all read in one pass."""
    both = list(zip([learner.method for learner in learners], batches, strict=True))
    states = read(learners[0].method.backbone, [method.reading(batch) for method, batch in both])
    return [method.logits_of(found, batch) for (method, batch), found in zip(both, states, strict=True)]


def _longest_unit(updates: Sequence[Update]) -> int:
    return max(
        len(unit) * max((row.length for row in unit), default=0)
        for update in updates
        for part in update.parts
        for unit in part.units
    )


# -- predictions -------------------------------------------------------------------------------------------------------


def _answered(questions: Sequence[Questions]) -> list[Predicted | TrialFailed]:
    """Predict all splits of all learners."""
    learner = questions[0].learner
    is_cpu = learner.device.type == "cpu"
    max_tokens = CPU_EVALUATION_TOKENS if is_cpu else EVALUATION_FACTOR * learner.tokens_per_step
    while True:
        try:
            return list(_predicted(questions, max_tokens))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if max_tokens <= learner.config.training.max_length:
                return [without_memory(each.learner, error) for each in questions]
        max_tokens //= 2


def _predicted(questions: Sequence[Questions], max_tokens: int) -> list[Predicted]:
    asked = [
        Asked(number, language, question.learner.tokenized(question.split, language))
        for number, question in enumerate(questions)
        for language in question.languages
    ]
    learners = [question.learner for question in questions]
    rows = [(part, row) for part in asked for row in part.distinct]
    lengths = [part.tokenized.lengths[row] + learners[part.number].method.num_input_positions for part, row in rows]
    with ExitStack() as stack:
        stack.enter_context(drawing(learners, training=False))
        stack.enter_context(torch.inference_mode())
        for step in schedule.steps(range(len(rows)), lengths, max_tokens=max_tokens):
            chosen = sorted((rows[index] for index in step), key=lambda found: found[0].number)
            _predict_step(learners, chosen)
    found: list[Predicted] = [{} for _ in questions]
    for part in asked:
        question = questions[part.number]
        examples = question.learner.task.examples(question.split, part.language)
        found[part.number][part.language] = part.decoded(question.learner.method, examples)
    return found


def _predict_step(learners: Sequence[Learner], chosen: Sequence[tuple[Asked, int]]) -> None:
    """Predict some rows, those of one learner next to each other."""
    groups = [(learners[number], list(found)) for number, found in groupby(chosen, key=lambda asked: asked[0].number)]
    batches = []
    for learner, found in groups:
        learner.turn(training=False)
        batches.append(learner.method.collate([part.tokenized.rows[row] for part, row in found]).to(learner.device))
    if learners[0].company is None:
        ((learner, _),) = groups
        labels = [learner.method.predict(batches[0])]
    else:
        logits = _logits([learner for learner, _ in groups], batches)
        both = zip(groups, logits, batches, strict=True)
        labels = [learner.method.best_labels(scores, batch) for (learner, _), scores, batch in both]
    for (_, found), predicted in zip(groups, labels, strict=True):
        for (part, row), best in zip(found, predicted, strict=True):
            part.labels[row] = best
