"""`benchmarks/significance.py`: differences of arms, how sure they are, and what it refuses to compare."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tunekit.trial import Replicate

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "significance.py"


@pytest.fixture(scope="module")
def significance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("significance", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def right(shares: dict[Replicate, float]) -> dict[Replicate, Any]:
    """In two languages the first so many of 100 examples are right."""
    return {
        replicate: np.tile(np.arange(100) < round(100 * share), (2, 1)).astype(float)
        for replicate, share in shares.items()
    }


def table(seeds: Sequence[int], draws: Sequence[int | None], by_draw: Sequence[float]) -> dict[Replicate, float]:
    return {
        Replicate(seed, draw): 0.5 + effect + 0.01 * index
        for draw, effect in zip(draws, by_draw, strict=True)
        for index, seed in enumerate(seeds)
    }


def test_the_error_is_that_of_the_few_draws_and_not_of_all_trials(significance: ModuleType) -> None:
    """Draws at -10, 0 and 10 points: a standard error of 10 / sqrt(3), with two degrees of freedom."""
    one = right(table((1, 2, 3), (0, 1, 2), (-0.1, 0.0, 0.1)))
    other = right({replicate: 0.3 + 0.01 * (replicate.seed - 1) for replicate in one})
    n, mean, of_trials, of_examples, p = significance._compared("x", one, other)
    assert n == 9 and math.isclose(mean, 0.2)
    assert math.isclose(of_trials, 0.1 / math.sqrt(3), rel_tol=1e-6)
    assert math.isclose(p, 2 * stats.t.sf(0.2 / math.hypot(of_trials, of_examples), 2))


@pytest.mark.parametrize(
    ("seeds", "draws", "freedom"), [((1, 2, 3), (None,), 2), ((1,), (0, 1, 2), 2), ((1, 2), (0, 1, 2), 1)]
)
def test_degrees_of_freedom_are_those_of_the_fewer_replicates(
    significance: ModuleType, seeds: tuple[int, ...], draws: tuple[int | None, ...], freedom: int
) -> None:
    one = right(table(seeds, draws, [0.02 * place for place in range(len(draws))]))
    _, mean, of_trials, of_examples, p = significance._compared("x", one, right(dict.fromkeys(one, 0.4)))
    assert math.isclose(p, 2 * stats.t.sf(mean / math.hypot(of_trials, of_examples), freedom))


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_too_few_trials_and_a_table_with_holes_are_refused(significance: ModuleType, kept: int) -> None:
    whole = table((1, 2), (0, 1, 2), (0.0, 0.1, 0.2))
    part = dict(list(whole.items())[:kept])
    with pytest.raises(SystemExit, match=f"x: {kept} trials in common"):
        significance._compared("x", right(whole), right(part))


def test_holm_corrects_the_smallest_most_and_keeps_the_order(significance: ModuleType) -> None:
    assert significance._holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert significance._holm([0.6, 0.9]) == [1.0, 1.0]
    assert significance._holm([]) == []
