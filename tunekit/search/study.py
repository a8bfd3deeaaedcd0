"""The searcher of one arm: an in-memory Optuna study, rebuilt from the journal event by event.

The study is never the truth. What a sampler keeps in it (CMA-ES's state, NSGA-II's generations, the place in a
quasi-random sequence) is written into each ``created`` event and put back on replay, and every draw starts from a
fresh sampler seeded by (search seed, arm, point number); so a draw is a function of the journal alone.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Mapping
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tunekit.schema import JsonObject, Values, canonical_json
from tunekit.search.bounded_storage import BoundedStorage
from tunekit.search.drawn import DrawnPoints, agrees
from tunekit.sweep import Arm, Dimension, Sweep
from tunekit.trial import EpochReport

optuna.logging.set_verbosity(optuna.logging.WARNING)

Choice = str | int | float | bool | None
"""What Optuna takes as a choice."""

HISTORY = {"tpe": (100, 200), "gp": (50, 100)}
"""Finished points that a searcher sees at most: the best ones and the latest ones. Others see as many as TPE; a
Gaussian process costs the cube of their number. Below this bound nothing changes."""

MOST_SHUFFLED = 1_000_000
"""Points of a grid that are put into a random order; from a larger one points are drawn at random, none twice."""


def derived_seed(seed: int, *parts: object) -> int:
    """A seed in [0, 2^32) that depends on `seed` and `parts` alone."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension in Optuna's terms."""
    if dimension.kind == "choice":
        return CategoricalDistribution([plain_choice(choice) for choice in dimension.choices])
    assert dimension.low is not None and dimension.high is not None
    if dimension.kind == "int":
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1)
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def make_sampler(searcher: str, *, seed: int, draw_seed: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for one draw.

    Args:
        searcher: name of the searcher in the sweep file.
        seed: the search's own seed, for samplers whose sequence must be the same one at every draw.
        draw_seed: a seed of this draw alone.
    """
    fallback = optuna.samplers.RandomSampler(seed=draw_seed)
    match searcher:
        case "tpe":
            return optuna.samplers.TPESampler(seed=draw_seed, multivariate=True, group=True, constant_liar=True)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(
                seed=seed, independent_sampler=fallback, warn_independent_sampling=False
            )
        case "gp":
            return optuna.samplers.GPSampler(seed=draw_seed, independent_sampler=fallback)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=draw_seed, population_size=10)
        case "qmc":
            return optuna.samplers.QMCSampler(
                seed=seed, scramble=True, independent_sampler=fallback,
                warn_asynchronous_seeding=False, warn_independent_sampling=False,
            )  # fmt: skip
    return fallback


def _suggest(trial: optuna.trial.Trial, dimension: Dimension) -> object:
    if dimension.kind == "choice":
        chosen = trial.suggest_categorical(dimension.name, [plain_choice(choice) for choice in dimension.choices])
        return next(choice for choice in dimension.choices if _is_same(plain_choice(choice), chosen))
    assert dimension.low is not None and dimension.high is not None
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.kind == "int":
        return trial.suggest_int(dimension.name, int(low), int(high), log=log, step=int(dimension.step or 1))
    return trial.suggest_float(dimension.name, low, high, log=log, step=dimension.step)


def plain_choice(value: object) -> Choice:
    """A value that Optuna takes as a choice: lists and mappings as JSON text."""
    return canonical_json(value) if isinstance(value, (Mapping, list, tuple)) else cast(Choice, value)


def _is_same(one: object, other: object) -> bool:
    return type(one) is type(other) and bool(one == other)  # True == 1 in Python


class ArmStudy:
    """Asks and tells for one arm."""

    def __init__(self, sweep: Sweep, arm: Arm) -> None:
        self._arm = arm
        self._searcher = sweep.search.searcher
        self._seed = derived_seed(sweep.search.seed, arm.name)
        self._grid = self._shuffled_grid() if self._searcher == "grid" and arm.size <= MOST_SHUFFLED else []
        self._drawn = DrawnPoints(arm)
        num_best, num_latest = HISTORY.get(self._searcher, HISTORY["tpe"])
        self._storage = BoundedStorage(num_best=num_best, num_latest=num_latest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study = optuna.create_study(
                direction="maximize",
                study_name=f"{sweep.name}/{arm.name}",
                sampler=self._sampler(0),
                storage=self._storage,
            )
        self._id = self.study._study_id

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make_sampler(self._searcher, seed=self._seed, draw_seed=derived_seed(self._seed, number))

    def _shuffled_grid(self) -> list[JsonObject]:
        """Every combination in a random order, enqueued ones first."""
        points = list(self._arm.grid())
        random.Random(self._seed).shuffle(points)
        queued = [point for point in points if any(agrees(point, setting) for setting in self._arm.enqueue)]
        return queued + [point for point in points if point not in queued] if queued else points

    def ask(self, number: int) -> tuple[JsonObject, JsonObject]:
        """Draw the arm's point `number`.

        Returns:
            The params, and what must be remembered for :meth:`restore` (JSON values).
        """
        self.study.sampler = self._sampler(number)
        self._storage.changed_attributes.clear()
        known = self._known_setting(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if known is not None:
                self.study.enqueue_trial({name: plain_choice(value) for name, value in known.items()})
            trial = self.study.ask()
            params: JsonObject = {}
            for dimension in self._arm.space:
                if dimension.is_active(params):
                    params[dimension.name] = _suggest(trial, dimension)
            if self._drawn.has(params):
                params = self._instead(number, params)
        self._drawn.add(params)
        remembered = dict(self._storage.trial_of(self._id, number).system_attrs)
        return params, {"trial": remembered, "study": dict(self._storage.changed_attributes)}

    def _instead(self, number: int, params: JsonObject) -> JsonObject:
        """Another point of a finite space for one that was drawn before; the study is told what is really run."""
        generator = random.Random(derived_seed(self._seed, number, "instead"))
        queued = self._arm.enqueue[number] if number < len(self._arm.enqueue) else {}
        found = self._drawn.unused(generator, queued)
        if found is None:
            return params
        frozen = self._storage.trial_of(self._id, number)
        frozen.params, frozen.distributions = self._in_optunas_terms(found)
        return found

    def _in_optunas_terms(self, params: Values) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        found = {name: plain_choice(value) for name, value in params.items()}
        return found, {d.name: distribution(d) for d in self._arm.space if d.name in params}

    def _known_setting(self, number: int) -> Values | None:
        """An enqueued setting (first), or the grid's next point; None leaves all to the searcher."""
        if number < len(self._arm.enqueue) and not self._grid:
            return self._arm.enqueue[number]
        return self._grid[number] if self._grid else None

    def restore(self, params: Values, remembered: Values) -> None:
        """Put back a point that an earlier process drew."""
        for key, value in remembered["study"].items():
            self._storage.set_study_system_attr(self._id, key, value)
        self._drawn.add(params)
        values, dimensions = self._in_optunas_terms(params)
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=values,
                distributions=dimensions,
                system_attrs=dict(remembered["trial"]),
            )
        )

    def report(self, number: int, report: EpochReport) -> None:
        """Tell one epoch of the point's curve."""
        frozen = self._storage.trial_of(self._id, number)
        if report.epoch not in frozen.intermediate_values:
            optuna.trial.Trial(self.study, frozen._trial_id).report(report.value, report.epoch)

    def tell(self, number: int, state: str, value: float | None) -> None:
        """Tell how the point ended: COMPLETE with its mean over seeds, PRUNED with its curve, or FAILED."""
        optuna_state = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}[state]
        self.study.tell(number, value if state == "COMPLETE" else None, state=optuna_state)
