"""Updates of several learners, made in common passes through one frozen backbone, or one by one where it is trained.

All rows are cut into steps of rows of similar length; a step is one pass forward and one backward. The sum of all
losses is back-propagated: since no row feels another one and no parameter belongs to two learners, each gradient is
that of its learner's own loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from tunekit.backbone import in_company
from tunekit.backbone.moving import moved
from tunekit.backbone.row_dropout import row_keys
from tunekit.errors import TrialFailed
from tunekit.methods import Batch, Feature
from tunekit.methods.batch import Part
from tunekit.training import optimizer, schedule
from tunekit.training.learner import Learner, Update, drawing, logits_together
from tunekit.training.memory import is_out_of_memory, without_memory

CPU_STEP_TOKENS = 1024
"""On a CPU, padded tokens of an update computed at once through a frozen backbone: more takes memory and gains nothing
(mini-xlmr, 12 layers of 384, rows of 40 tokens, one core, ms a row at 320, 640, 1280, 2560 tokens: fp32 34, 30, 30, 29;
bf16 19, 13, 14, 13)."""


def nothing() -> None:
    """Do nothing."""


@dataclass
class Cost:
    """What it took to do some works, for whoever decides how many are done at once."""

    num_tokens: int = 0
    """Rows of updates, unpadded, in tokens."""
    seconds: float = 0.0
    ran_out_of_memory: bool = False
    """Memory did not suffice for all at once; they were done in smaller steps."""
    on_pass: Callable[[], None] = nothing
    """Called after each pass through a model, for whoever watches that the work goes on."""


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


def updated(updates: Sequence[Update], cost: Cost) -> list[float | TrialFailed]:
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
            failure = _descend([updates[number] for number in going if number not in failed], found)
            results |= {n: failure or loss for n, loss in zip(going, found.losses, strict=True) if n not in failed}
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
    first = max_tokens = min(update.learner.limits.step or _step_tokens(update.learner) for update in updates)
    drawn = [update.learner.random_state for update in updates]
    while True:
        try:
            found = _passes(updates, max_tokens, cost.on_pass)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if max_tokens <= _longest_unit(updates) and not updates[0].learner.can_make_room:
                if len(updates) > 1:
                    raise
                return without_memory(updates[0].learner.device, updates[0].learner.tokens_per_step, error)
        if not updates[0].learner.make_room():
            max_tokens //= 2
            cost.ran_out_of_memory = True
            for update in updates:
                update.learner.method.tokens_per_step = min(update.learner.method.tokens_per_step, max_tokens)
        for update, state in zip(updates, drawn, strict=True):
            update.learner.begin_again(state)
    if max_tokens < first:
        for update in updates:
            update.learner.limits.lower_step(max_tokens)
    return found


def _passes(updates: Sequence[Update], max_tokens: int, on_pass: Callable[[], None]) -> _Gradients:
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
            on_pass()
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


def _descend(updates: Sequence[Update], found: _Gradients) -> TrialFailed | None:
    """Move the parameters; why not, if memory did not suffice: some may have moved, so it is not tried again."""
    norms = [norm for norm, reason in zip(found.norms, found.reasons, strict=True) if reason is None]
    steps = [(update.learner.optimizer, update.place) for update in updates]
    try:
        if len(updates) == 1 and updates[0].learner.company is None:
            optimizer.step_alone(*steps[0], norms[0])
        else:
            optimizer.step_together(steps, norms)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return without_memory(updates[0].learner.device, updates[0].learner.tokens_per_step, error)
    return None


def _step_tokens(learner: Learner) -> int:
    """Padded tokens of a step, as far as memory is known to suffice."""
    if learner.device.type != "cpu" or learner.company is None:
        return learner.tokens_per_step
    return max(learner.config.training.max_length, min(learner.tokens_per_step, CPU_STEP_TOKENS))


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
        batches.append(batch if piece.keys is None else batch.keyed(piece.keys))
    batches = moved(batches, learners[0].device)
    label_keys = in_company([batch.label_keys for batch in batches])
    batches = [replace(batch, label_keys=own) for batch, own in zip(batches, label_keys, strict=True)]
    if any(piece.part.own_loss is not None for piece in pieces):
        return [_own_loss(*each) for each in zip(learners, pieces, batches, strict=True)]
    logits = logits_together(learners, batches)
    found = zip(pieces, logits, batches, strict=True)
    return [piece.part.loss(scores, batch, piece.units) for piece, scores, batch in found]


def _own_loss(learner: Learner, piece: _Piece, batch: Batch) -> Tensor:
    """The loss of a piece of a method that computes in a way of its own."""
    if piece.part.own_loss is not None:
        return piece.part.own_loss(batch)
    return piece.part.loss(learner.method.logits(batch), batch, piece.units)


def _longest_unit(updates: Sequence[Update]) -> int:
    return max(
        len(unit) * max((row.length for row in unit), default=0)
        for update in updates
        for part in update.parts
        for unit in part.units
    )
