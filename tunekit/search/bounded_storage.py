"""An in-memory Optuna storage that shows a sampler a bounded history, so that a draw costs the same for ever.

Once more trials have finished than the bound allows, a sampler sees the best ones, the latest ones and the first few,
and of those that run it sees the latest. Which these are depends on the trials alone and not on the order in which they
finished, so a study that is rebuilt draws what the undisturbed one would have drawn.

TPE takes its good side from the best trials (at most 25) and only the density of its bad side from the rest, CMA-ES
needs its last generation, NSGA-II its parents and its last generation: all of it is in view.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Container, Sequence

from optuna._typing import JSONSerializable
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tunekit.schema import JsonObject

NUM_FIRST = 10
"""Trials from the beginning that stay in view: quasi-random sequences read their space from the first one."""


class BoundedStorage(InMemoryStorage):
    """One study whose samplers see a bounded part of its trials.

    Args:
        num_best: finished trials in view because of their value, higher being better.
        num_latest: finished trials in view because of their number; and as many of those that run.
    """

    def __init__(self, *, num_best: int, num_latest: int) -> None:
        super().__init__()
        self._num_best, self._num_latest = num_best, num_latest
        self._unfinished: set[int] = set()
        self._in_view: list[FrozenTrial] | None = None
        """The finished trials in view, by number; None: not known since the last one finished."""
        self._finished: list[int] = []
        self._ranking: list[tuple[float, int]] = []
        self.changed_attributes: JsonObject = {}
        """Study attributes that samplers have set since this was last emptied."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See InMemoryStorage."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._unfinished.add(self.get_trial(trial_id).number)
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See InMemoryStorage."""
        is_set = super().set_trial_state_values(trial_id, state, values)
        if state.is_finished():
            trial, self._in_view = self.get_trial(trial_id), None
            self._unfinished.discard(trial.number)
            bisect.insort(self._finished, trial.number)
            if state == TrialState.COMPLETE and trial.value is not None:
                bisect.insort(self._ranking, (-trial.value, trial.number))
        return is_set

    def set_study_system_attr(self, study_id: int, key: str, value: JSONSerializable) -> None:
        """See InMemoryStorage."""
        if self.get_study_system_attrs(study_id).get(key) != value:
            self.changed_attributes[key] = value
        super().set_study_system_attr(study_id, key, value)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials in view; all of them as long as the bound is not reached."""
        if states == (TrialState.WAITING,) or not (self._has_many_finished or len(self._unfinished) > self._num_latest):
            return super().get_all_trials(study_id, deepcopy, states)
        latest = sorted(self._unfinished)[-self._num_latest :]
        trials = self._finished_in_view(study_id) + [self.trial_of(study_id, number) for number in latest]
        trials.sort(key=lambda trial: trial.number)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    @property
    def _has_many_finished(self) -> bool:
        return len(self._finished) > self._num_best + self._num_latest

    def _finished_in_view(self, study_id: int) -> list[FrozenTrial]:
        """Those finished that samplers see; a finished trial never changes, so they are looked up once."""
        if self._in_view is None:
            numbers = set(self._finished)
            if self._has_many_finished:
                numbers = {*self._finished[:NUM_FIRST], *self._finished[-self._num_latest :]}
                numbers.update(number for _, number in self._ranking[: self._num_best])
            self._in_view = [self.trial_of(study_id, number) for number in numbers]
        return self._in_view

    def trial_of(self, study_id: int, number: int) -> FrozenTrial:
        """The trial of a number, not copied."""
        return self.get_trial(self.get_trial_id_from_study_id_trial_number(study_id, number))
