"""Which rows an update takes, how it is cut into steps, and its learning rate.

Pure functions of the configuration, the seed and the position, and of nothing else: no global random state, no
state to save. That is why a trial that goes on after an interruption sees exactly what it would have seen.
An **update** is one step of the optimiser: over ``batch_size`` rows of train (a labelled one), or on a method's side
task. A **step** is the part of an update that is computed at once; a **pass** takes every row of train once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence

from tunekit.trial import SideTask, TrainingConfig

LARGEST_POOL = 50
"""Batches sorted by length together; larger pools waste less padding and mix less."""
LEAST_POOLS = 4
"""Pools a pass has at least; in small data, one pool would make the same batches in every pass."""


def updates_per_epoch(num_rows: int, training: TrainingConfig) -> int:
    """Labelled updates in one epoch: `training.updates_per_epoch`, or as many as one pass needs."""
    return training.updates_per_epoch or math.ceil(num_rows / training.batch_size)


def planned_updates(num_rows: int, training: TrainingConfig) -> int:
    """Labelled updates of a whole trial on `num_rows` rows of train.

    >>> planned_updates(100, TrainingConfig(batch_size=16, epochs=5))
    35
    """
    return training.epochs * updates_per_epoch(num_rows, training)


def learning_rate(update: int, num_updates: int, training: TrainingConfig, peak: float | None = None) -> float:
    """The rate of `update` (0-based) among `num_updates`.

    It rises linearly over the warm-up, whose first update already learns, is `peak` just after it, and then stays or
    falls linearly so as to be `training.final_rate_fraction` of it where the update after the last would be.

    Args:
        update: which.
        num_updates: of a whole trial.
        training: how it rises and falls.
        peak: the highest rate; None is `training.learning_rate`.
    """
    highest = training.learning_rate if peak is None else peak
    warmup = round(training.warmup_fraction * num_updates)
    if update < warmup:
        return highest * (update + 1) / (warmup + 1)
    if training.schedule == "constant":
        return highest
    floor = training.final_rate_fraction * highest
    return floor + (highest - floor) * (num_updates - update) / (num_updates - warmup)


def side_updates(update: int, num_updates: int, side: SideTask | None) -> int:
    """Updates of the side task just before the labelled `update` (0-based) among `num_updates`.

    >>> task = SideTask(weight=0.5, num_updates=5, order="beside", num_rows=8)
    >>> [side_updates(update, 3, task) for update in range(3)]
    [1, 2, 2]
    """
    if side is None:
        return 0
    if side.order == "before":
        return 0 if update else side.num_updates
    return side.num_updates * (update + 1) // num_updates - side.num_updates * update // num_updates


def side_updates_by_epoch(num_per_epoch: int, epochs: int, side: SideTask | None) -> tuple[int, ...]:
    """Updates of the side task in each epoch; empty where there are none at all."""
    if side is None or not side.num_updates:
        return ()
    total = epochs * num_per_epoch
    starts = range(0, total, num_per_epoch)
    return tuple(sum(side_updates(start + i, total, side) for i in range(num_per_epoch)) for start in starts)


def epoch_updates(
    lengths: Sequence[int], training: TrainingConfig, *, seed: int, epoch: int
) -> Iterator[tuple[int, ...]]:
    """The rows of each update of `epoch` (1-based); a pass goes on from one epoch into the next.

    Args:
        lengths: tokens of each row of train.
        training: `batch_size` and `updates_per_epoch` are used.
        seed: the trial's.
        epoch: which epoch.
    """
    per_pass = math.ceil(len(lengths) / training.batch_size)
    wanted = updates_per_epoch(len(lengths), training)
    position = (epoch - 1) * wanted
    while wanted:
        number, start = divmod(position, per_pass)
        found = pass_updates(lengths, training.batch_size, seed=seed, number=number)[start : start + wanted]
        yield from found
        position += len(found)
        wanted -= len(found)


def pass_updates(lengths: Sequence[int], batch_size: int, *, seed: int, number: int) -> list[tuple[int, ...]]:
    """The updates of pass `number` (0-based): every row once, rows of similar length together, in random order.

    Rows left over when `batch_size` does not divide their number make one smaller update; they are drawn at random,
    not by length, since a row counts for more there.
    """
    generator = random.Random(f"pass {number} of seed {seed}")
    order = list(range(len(lengths)))
    generator.shuffle(order)
    num_full = len(order) // batch_size
    pool = batch_size * max(1, min(LARGEST_POOL, num_full // LEAST_POOLS))
    batches = []
    for start in range(0, num_full * batch_size, pool):
        alike = sorted(order[start : min(start + pool, num_full * batch_size)], key=lengths.__getitem__)
        batches += [tuple(alike[i : i + batch_size]) for i in range(0, len(alike), batch_size)]
    if len(order) % batch_size:
        batches.append(tuple(order[num_full * batch_size :]))
    generator.shuffle(batches)
    return batches


def steps(
    rows: Iterable[int], lengths: Sequence[int], *, max_tokens: int, sizes: Sequence[int] | None = None
) -> list[tuple[int, ...]]:
    """Cut `rows` into groups of similar length, longest first, each at most `max_tokens` when padded.

    A row that alone exceeds `max_tokens` is a group of its own.

    Args:
        rows: what to cut.
        lengths: tokens of each row.
        max_tokens: in a group.
        sizes: rows of the backbone that each of `rows` stands for; None: one each.
    """
    groups: list[list[int]] = []
    width, count = 0, 0
    for row in sorted(rows, key=lambda r: (-lengths[r], r)):
        size = 1 if sizes is None else sizes[row]
        if groups and (count + size) * width <= max_tokens:
            groups[-1].append(row)
            count += size
        else:
            groups.append([row])
            width, count = lengths[row], size
    return [tuple(group) for group in groups]
