"""What is worth knowing about a sweep although nothing is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunekit.check.findings import ArmCheck, Span
from tunekit.check.layout import part_of, shortened
from tunekit.check.reading import (
    BEYOND_SHARE,
    FEW_LABELS,
    LABELS_EACH,
    REPEATED_SHARE,
    SEEN_SHARE,
    UNKNOWN_SHARE,
    PartReading,
    Reading,
    Spellings,
)
from tunekit.errors import ConfigError
from tunekit.sweep import Arm, Sweep
from tunekit.sweep.parameters import method_class
from tunekit.tracking import require_installed
from tunekit.wording import count, listed, plural

if TYPE_CHECKING:
    from tunekit.methods import Method


def notes_of_trackers(sweep: Sweep) -> Iterator[str]:
    """What trackers lack on this machine; the driver may be another."""
    try:
        require_installed(sweep.tracking)
    except ConfigError as error:
        yield str(error)


def notes_of_arm(sweep: Sweep, arm: Arm, points: int, *, epochs: int, cut_share: float) -> Iterator[str]:
    """What is allowed in an arm and yet odd.

    Args:
        sweep: the arm's.
        arm: the arm.
        points: that its search draws.
        epochs: the most that any of them has.
        cut_share: the largest share of training pairs that any of them cuts.
    """
    if not method_class(arm.method).is_trained:
        yield "trainable parameters: 0; there are no updates, and the cost is that of evaluation"
    if sweep.scheduler.name != "none" and sweep.scheduler.grace_period >= epochs:
        yield (
            f"{sweep.scheduler.name} never stops a trial: its grace_period is {sweep.scheduler.grace_period}, "
            f"and no trial has more epochs than {epochs}"
        )
    if len(arm.enqueue) > points:
        yield f"of {len(arm.enqueue)} enqueued settings only the first {points} are tried"
    if sweep.finalise.top > points:
        yield f"finalise.top is {sweep.finalise.top}, but an arm of {plural(points, 'point')} has no more"
    if not arm.space and sweep.search.num_trials > 1:
        yield "nothing is searched: it is one point; more trials of it are more `seeds`"
    if cut_share > 0:
        yield f"up to {cut_share:.0%} of the training pairs are longer than max_length and are cut"


def notes_of_updates(num_side_updates: Span) -> Iterator[str]:
    """How many of a trial's updates are not on rows of train."""
    if num_side_updates.high:
        most = "" if num_side_updates.low == num_side_updates.high else "up to "
        number = count(num_side_updates.high)
        yield f"{most}{number} of a trial's updates are on parallel text alone, the others on rows of train"


def notes_of_dropout(method: Method) -> Iterator[str]:
    """Whether dropout inside the backbone is asked for where there is none."""
    rate, backbone = getattr(method.config, "backbone_dropout", 0.0), method.backbone
    if rate and not backbone.has_dropout:
        yield f"backbone_dropout has no effect: {backbone.name} has no dropout of its own, where it would be drawn"


def notes_of_arms(arms: Sequence[ArmCheck]) -> Iterator[str]:
    """The notes of all arms, each once."""
    for note in dict.fromkeys(note for arm in arms for note in arm.notes):
        concerned = [arm.arm.name for arm in arms if note in arm.notes]
        yield note if len(concerned) == len(arms) else f"{', '.join(concerned)}: {note}"


def notes_of_data(readings: Sequence[Reading]) -> Iterator[str]:
    """What looks suspicious in what was read."""
    for reading in readings:
        where = f"{reading.name}: " if len(readings) > 1 else ""
        found = [_unseen(reading), _few_labels(reading), _seen(reading), _repeated(reading)]
        found += [
            note
            for spellings in reading.spellings
            for note in (_unknown(reading, spellings), _beyond(reading, spellings))
        ]
        yield from (f"{where}{note}" for note in found if note)


def _unseen(reading: Reading) -> str:
    """Labels that no method can have learnt."""
    unit = "word" if reading.kind == "token" else "pair"
    parts = [
        f"{part.name} {listed(f'{shortened(label)} ({plural(n, unit)})' for label, n in part.unseen.items())}"
        for part in reading.parts
        if part.unseen
    ]
    return f"train lacks labels, so where they stand every prediction is wrong: {'; '.join(parts)}" if parts else ""


def _few_labels(reading: Reading) -> str:
    train = reading.parts[0]
    known = {label for label, n in train.labels.items() if n}
    parts = [
        f"{part.name} {shown} of {len(known)}"
        for part in reading.parts
        if part.num_labels >= LABELS_EACH * len(known)
        and (shown := len(known & {label for label, n in part.labels.items() if n})) < FEW_LABELS * len(known)
    ]
    return (
        f"few of train's labels stand there, which often means another way of tagging: {listed(parts)}" if parts else ""
    )


def _seen(reading: Reading) -> str:
    parts = [
        f"{part.name} {_of(part.num_in_train, part)}"
        for part in reading.parts[1:]
        if part.num_in_train > SEEN_SHARE * part.num_examples
    ]
    return f"texts of train stand there too, so a score is partly one of memory: {listed(parts)}" if parts else ""


def _repeated(reading: Reading) -> str:
    train = reading.parts[0]
    if train.num_in_train <= REPEATED_SHARE * train.num_examples:
        return ""
    return f"much of train repeats itself: {_of(train.num_in_train, train)} {reading.unit}s stand there before"


def _of(number: int, part: PartReading) -> str:
    return f"{count(number)} of {count(part.num_examples)} ({part_of(number / part.num_examples)})"


def _unknown(reading: Reading, spellings: Spellings) -> str:
    what = "words" if reading.kind == "token" else "pieces of text"
    parts = {name: each for name, each in spellings.parts.items() if each.unknown_share > UNKNOWN_SHARE}
    if not parts:
        return ""
    shares = listed(f"{split} {language} {part_of(each.unknown_share)}" for (split, language), each in parts.items())
    worst = max(parts.values(), key=lambda each: each.unknown_share)
    shown = " ".join(map(shortened, worst.unknown))
    return f"{spellings.backbone}'s tokenizer cannot spell many {what}: {shares}, such as {shown}"


def _beyond(reading: Reading, spellings: Spellings) -> str:
    """Only of words: pairs that are cut have a note that knows the method."""
    if reading.kind != "token" or not spellings.limits:
        return ""
    least = spellings.limits[0]
    parts = [
        f"{split} {language} {part_of(each.beyond[least.limit])}"
        for (split, language), each in spellings.parts.items()
        if each.beyond.get(least.limit, 0.0) > BEYOND_SHARE
    ]
    row = f"a row of {listed(least.arms)} holds ({least.tokens} tokens)"
    said = f"many words stand beyond what {row}, and are read in further windows"
    return f"{said}: {listed(parts)}" if parts else ""
