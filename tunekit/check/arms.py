"""From a sweep to what it would run: data read, backbones described, methods built at the corners of each space."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit import tasks
from tunekit.check import cost
from tunekit.check.absent import LenientParallelText, has_stand_in, stand_in
from tunekit.check.corners import corner_params
from tunekit.check.cost import Work
from tunekit.check.findings import ArmCheck, DataCheck, Rate, Span, SweepCheck
from tunekit.check.limits import notes_of_budget, notes_of_disk
from tunekit.check.notes import (
    notes_of_arm,
    notes_of_arms,
    notes_of_data,
    notes_of_dropout,
    notes_of_trackers,
    notes_of_updates,
)
from tunekit.check.reading import Read, readings
from tunekit.check.spelling import Limit
from tunekit.check.text import Text, measure, tokenizer_of
from tunekit.errors import ConfigError, StorageError
from tunekit.registry import BACKBONES
from tunekit.schema import canonical_json
from tunekit.storage import AnyPath, free_bytes, nearest_folder
from tunekit.sweep import Arm, Sweep, trial_config
from tunekit.tasks import Split, Task
from tunekit.tasks.readers.sources import DataAbsent
from tunekit.training.pack_keys import pack_key
from tunekit.training.pack_size import tokens_of_update
from tunekit.trial import TrainingConfig, TrialConfig

if TYPE_CHECKING:
    from tunekit.backbone import Backbone
    from tunekit.methods import Method, ParameterCount


def check(
    sweep: Sweep, *, flops_per_s: float | None = None, may_lack_data: bool = False, root: AnyPath | None = None
) -> SweepCheck:
    """Everything about `sweep` that can be known without training.

    Reads each task's data once, and of backbones only configs and tokenizers (one of ours is built if it is not
    cached yet); uses no GPU.

    Args:
        sweep: what to check.
        flops_per_s: what one trial sustains; measured on this machine if not given.
        may_lack_data: where the data of a well-known task are not on this machine (no such folder, a hub that cannot
            be reached), go on with documented sizes and say so, instead of raising.
        root: where the sweep is to be kept; its free space is held against what the sweep writes.

    Raises:
        ConfigError: an arm cannot run; the message names the arm or the key. A DataError if its data are the reason.
    """
    inspector = _Inspector(sweep, flops_per_s, may_lack_data=may_lack_data)
    found = []
    for arm in sweep.arms:
        with _placed(sweep, arm, "task"):
            task = inspector.task(arm)
        with _placed(sweep, arm):
            found.append(inspector.arm(arm, task))
    of_targets: dict[Split, bool] = {"train": False, "dev": sweep.selection == "target_dev", "test": True}
    shown = readings(inspector.read, of_targets)
    absent = (f"parallel text was not read: {why}" for why in inspector.absent_texts.values())
    free = _free_bytes(root)
    limits = (*notes_of_budget(sweep, found), *notes_of_disk(sweep, found, free))
    notes = (*notes_of_arms(found), *limits, *notes_of_data(shown), *absent, *notes_of_trackers(sweep))
    return SweepCheck(sweep=sweep, arms=tuple(found), readings=shown, notes=notes, free_bytes=free)


def _free_bytes(root: AnyPath | None) -> int | None:
    """Bytes that are free where the sweep is to be kept; None where nobody says, or in an object store."""
    with suppress(StorageError, OSError):
        return free_bytes(nearest_folder(root)) if isinstance(root, Path) else None
    return None


@contextmanager
def _placed(sweep: Sweep, arm: Arm, key: str | None = None) -> Iterator[None]:
    """Say of an error inside where the file sets `key`, or else the key that its message begins with."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{sweep.source.of(arm.name, key or str(error))}: {error}") from error


@dataclass(frozen=True)
class _Corner:
    """An arm's method at one extreme setting of its space."""

    training: TrainingConfig
    count: ParameterCount
    work: Work
    truncated_share: float
    text_room: int | None
    """`Method.text_room`; None too where there is no tokenizer."""
    pack_key: str | None
    update_tokens: float
    notes: tuple[str, ...]


class _Inspector:
    """Keeps what several arms share: data, backbones, text lengths and rates."""

    def __init__(self, sweep: Sweep, flops_per_s: float | None, *, may_lack_data: bool) -> None:
        self._sweep = sweep
        self._flops_per_s = flops_per_s
        self._may_lack_data = may_lack_data
        self.absent_texts: dict[str, str] = {}
        """Why a corpus of parallel text could not be read, by its name."""
        self.read: list[Read] = []
        """The arms whose data are on this machine."""
        self._absences: dict[Hashable, str] = {}
        self._tasks: dict[str, Task] = {}
        self._backbones: dict[str, Backbone] = {}
        self._rates: dict[Hashable, Rate] = {}
        self._texts: dict[Hashable, Text] = {}

    def arm(self, arm: Arm, task: Task) -> ArmCheck:
        """Everything about one arm; raises what is wrong with it."""
        backbone = self._backbone(arm, trial_config(self._sweep, arm, next(corner_params(arm)), 0))
        _require_served(arm, backbone, task)
        corners = [self._corner(arm, task, params) for params in corner_params(arm)]
        if _places(arm) not in self._absences:
            self.read.append(
                Read(arm, task, backbone, frozenset(Limit(c.training.max_length, c.text_room) for c in corners))
            )
        rate = self._rate(backbone)
        points = self._num_points(arm)
        per_point = self._sweep.num_replicates(arm)
        final, trained_anew = _final_trials(self._sweep, arm, points)
        raced = Span(low=self._sweep.num_confirming, high=self._sweep.num_raced(min(self._sweep.finalise.top, points)))
        epochs = max(corner.training.epochs for corner in corners)
        cut_share = max(corner.truncated_share for corner in corners)
        hours = Span.over(cost.seconds(c.work.flops, rate, num_updates=c.work.num_updates) / 3600 for c in corners)
        testing = Span.over(cost.seconds(c.work.test_flops, rate) / 3600 for c in corners)
        return ArmCheck(
            arm=arm,
            data=dataclasses.replace(_data(task, self._sweep), absence=self._absences.get(_places(arm))),
            num_points=points,
            num_search_trials=points * per_point,
            num_final_trials=final + int(raced.high),
            num_backbone_parameters=corners[0].count.backbone,
            num_trainable=Span.over(c.count.trainable for c in corners),
            trainable_share=Span.over(c.count.share() for c in corners),
            num_updates=Span.over(c.work.num_updates for c in corners),
            num_side_updates=Span.over(c.work.num_side_updates for c in corners),
            trial_flops=Span.over(c.work.flops for c in corners),
            trial_hours=hours,
            search_hours=hours * (points * per_point),
            final_hours=Span(
                low=hours.low * (trained_anew + raced.low) + testing.low * (final + raced.low),
                high=hours.high * (trained_anew + raced.high) + testing.high * (final + raced.high),
            ),
            rate=rate,
            tokens_basis=_tokens_basis(backbone),
            shape_basis=_shape_basis(arm),
            pack_keys=frozenset(c.pack_key for c in corners),
            update_tokens=Span.over(c.update_tokens for c in corners),
            notes=(
                *notes_of_updates(Span.over(c.work.num_side_updates for c in corners)),
                *notes_of_arm(self._sweep, arm, points, epochs=epochs, cut_share=cut_share),
                *dict.fromkeys(note for c in corners for note in c.notes),
            ),
        )

    def task(self, arm: Arm) -> Task:
        """The arm's task, its data read and found whole; raises what is wrong with it."""
        places = dataclasses.replace(arm.locations, backbone_path=None, device=None)
        key = canonical_json([arm.task, places])
        if key not in self._tasks:
            task = self._load(arm) if _places(arm) not in self._absences else self._stand_in(arm)
            if self._may_lack_data:
                task.parallel_text = LenientParallelText(arm.task, arm.locations, self.absent_texts)
            self._tasks[key] = task
        return self._tasks[key]

    def _load(self, arm: Arm) -> Task:
        try:
            task = tasks.load(arm.task, arm.locations)
            task.validate(target_dev=self._sweep.selection == "target_dev")
        except DataAbsent as error:
            if not self._may_lack_data or not has_stand_in(arm.task):
                raise
            self._absences[_places(arm)] = str(error)
            return self._stand_in(arm)
        return task

    def _stand_in(self, arm: Arm) -> Task:
        task = stand_in(arm.task, arm.locations)
        task.validate(target_dev=self._sweep.selection == "target_dev")
        return task

    def _backbone(self, arm: Arm, config: TrialConfig) -> Backbone:
        """On the meta device, with the tokenizer if it is on this machine."""
        from tunekit.backbone import describe

        key = canonical_json([config.backbone, arm.locations.backbone_path, arm.locations.cache_dir])
        if key not in self._backbones:
            backbone = describe(config.backbone, arm.locations)
            backbone.tokenizer = tokenizer_of(config.backbone, arm.locations)
            self._backbones[key] = backbone
        return self._backbones[key]

    def _rate(self, backbone: Backbone) -> Rate:
        if self._flops_per_s is not None:
            return Rate(flops_per_s=self._flops_per_s, basis=f"{self._flops_per_s / 1e9:.3g} GFLOP/s, as given")
        key = (backbone.hidden_size, backbone.arithmetic)
        if key not in self._rates:
            self._rates[key] = cost.rate_of(backbone, self._sweep.resources)
        return self._rates[key]

    def _corner(self, arm: Arm, task: Task, params: Mapping[str, object]) -> _Corner:
        from tunekit import methods

        try:
            config = trial_config(self._sweep, arm, params, 0)
            method = methods.build(config, backbone=self._backbone(arm, config), task=task)
            count = methods.count_parameters(method)
            train, dev, test = (self._text(task, method, split) for split in ("train", "dev", "test"))
        except ConfigError as error:
            at = ", ".join(f"{name}={value}" for name, value in params.items())
            raise type(error)(f"{error} (at {at})" if at else str(error)) from error
        made = cost.work(method, config.training, train=train, dev=dev, test=test)
        room = None if method.backbone.tokenizer is None else method.text_room
        tokens = tokens_of_update(
            batch_size=config.training.batch_size,
            num_tokens=train.num_tokens,
            num_rows=train.num_rows,
            prompt_length=method.num_input_positions,
        )
        key, notes = pack_key(config, arm.locations), tuple(notes_of_dropout(method))
        return _Corner(config.training, count, made, train.truncated_share, room, key, tokens, notes)

    def _text(self, task: Task, method: Method, split: Split) -> Text:
        """A split in all the languages in which it is scored."""
        parts = []
        for language in _languages(task, split, self._sweep):
            pieces = method.split_of(language)
            key = (id(task), method.backbone.name, type(method), _shape_of_rows(method), pieces, split, language)
            if key not in self._texts:
                self._texts[key] = measure(task.examples(split, language), method, language)
            parts.append(self._texts[key])
        return Text(
            num_examples=sum(part.num_examples for part in parts),
            num_rows=sum(part.num_rows for part in parts),
            num_tokens=sum(part.num_tokens for part in parts),
            truncated_share=max(part.truncated_share for part in parts),
        )

    def _num_points(self, arm: Arm) -> int:
        """Points that the search draws, within the budget's share of trials."""
        points, budget = self._sweep.num_points(arm), self._sweep.budget.trials
        if budget is None:
            return points
        per_point = self._sweep.num_replicates(arm)
        return min(points, math.ceil(budget // len(self._sweep.arms) / per_point))


def _shape_of_rows(method: Method) -> Hashable:
    """What decides how long the rows of a text are."""
    if method.backbone.tokenizer is None:
        return canonical_json([method.config, method.max_length])
    return method.encoding_key()


def _places(arm: Arm) -> Hashable:
    """What decides whether the data of an arm are on this machine."""
    return arm.task.name, arm.locations.data_dir, arm.task.draw, arm.locations.fewshot_dir


def _require_served(arm: Arm, backbone: Backbone, task: Task) -> None:
    from tunekit import methods

    try:
        methods.method_class(arm.method).require_served(backbone, task)
    except ConfigError as error:
        raise ConfigError(f"method {error}") from None  # the key that it is about comes first


def _languages(task: Task, split: Split, sweep: Sweep) -> tuple[str, ...]:
    source, targets = task.config.source_language, task.config.target_languages
    if split == "dev":
        return (source,) if sweep.selection == "source_dev" else (source, *targets)
    return (source,) if split == "train" else (source, *targets)


def _data(task: Task, sweep: Sweep) -> DataCheck:
    source = task.config.source_language
    return DataCheck(
        kind=task.kind,
        metric=task.metric,
        labels=task.labels,
        num_train_examples=len(task.examples("train", source)),
        num_dev_examples=sum(len(task.examples("dev", name)) for name in _languages(task, "dev", sweep)),
        num_test_examples={name: len(task.examples("test", name)) for name in _languages(task, "test", sweep)},
    )


def _final_trials(sweep: Sweep, arm: Arm, points: int) -> tuple[int, int]:
    """Trials that finalising scores on test, and how many of them it trains first, at most; a race adds to both."""
    top = min(sweep.finalise.top, points)
    return top * len(sweep.final_replicates(arm)), top * sweep.num_finals_anew(arm)


def _tokens_basis(backbone: Backbone) -> str:
    if backbone.tokenizer is None:
        from tunekit.methods.token_estimates import TOKENS_PER_WORD

        return f"estimated as {TOKENS_PER_WORD} per word, its tokenizer not being on this machine"
    return "counted by its own tokenizer on a sample"


def _shape_basis(arm: Arm) -> str:
    if arm.locations.backbone_path is not None:
        return f"read from {arm.locations.backbone_path}"
    if arm.backbone.name in BACKBONES:
        return "built here"
    from tunekit.backbone.shapes import shape_of

    if shape_of(arm.backbone.name) is not None:
        return "of the shape that tunekit knows by heart; the hub was not asked"
    return "read from the Hugging Face hub or its cache"
