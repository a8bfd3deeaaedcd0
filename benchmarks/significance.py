"""Which arms of a finalised sweep differ, from the stored predictions: paired by example, seed and draw.

    python benchmarks/significance.py RUNS/SWEEP [RUNS/OTHER ...] --against mpt@16

For each other arm with as many shots: the difference of the zero-shot means (the mean over target languages of
accuracy) in each seed and draw that both arms have, and three standard errors of its mean. *trials*: between seeds and
draws, as crossed random effects (:mod:`tunekit.reports.variance`), or between seeds where there is one draw.
*examples*: of the test sample, by a bootstrap over examples, the same ones in all languages where these are
translations. *all*: both together. The p-value is that of a t test of the difference over *all*, with one degree of
freedom less than there are seeds or draws, whichever are fewer but more than one: few trials are counted as few. Holm's
correction is over the arms that are compared. The gold labels are read from the data that the sweep names. Refused:
arms on other test examples, a table of seeds and draws with holes, and a single trial.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tunekit import tasks
from tunekit.journal import replay
from tunekit.predictions import load_predictions
from tunekit.reports.results import ArmResult, read
from tunekit.reports.variance import components
from tunekit.storage import SweepFolder
from tunekit.trial import Replicate

NUM_RESAMPLES = 2000
Gold = dict[str, list[str]]
"""By target language the label of each test example."""
Correct = dict[Replicate, NDArray[np.float64]]
"""For each trial whether each example of each target language was right, [languages, examples]."""


def main() -> None:
    """Print a row for each arm that is compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sweeps", type=Path, nargs="+", help="folders of one or more sweeps of the same data")
    parser.add_argument("--against", required=True, help="the arm that the others with as many shots are compared with")
    words = parser.parse_args()
    arms = {arm.name: (folder, arm) for folder in words.sweeps for arm in read(replay(folder)).arms}
    if words.against not in arms:
        raise SystemExit(f"there is no arm {words.against}; the arms are {', '.join(arms)}")
    gold, one = _correct(*arms[words.against])
    rows = []
    shots = arms[words.against][1].task.shots
    for name, (folder, arm) in arms.items():
        if name == words.against or arm.task.shots != shots or arm.best is None:
            continue
        theirs, other = _correct(folder, arm)
        if theirs != gold:
            raise SystemExit(f"{name} is tested on other examples than {words.against}: they cannot be paired")
        rows.append((name, *_compared(name, one, other)))
    print(f"{words.against} minus each arm, zero-shot accuracy x 100\n")
    print("| arm | n | difference | trials | examples | all | p | p (Holm) |\n|---|---|---|---|---|---|---|---|")
    for (name, n, mean, of_trials, of_examples, p), corrected in zip(
        rows, _holm([row[-1] for row in rows]), strict=True
    ):
        errors = [100 * x for x in (mean, of_trials, of_examples, math.hypot(of_trials, of_examples))]
        print(f"| {name} | {n} | " + " | ".join(f"{x:.1f}" for x in errors) + f" | {p:.3f} | {corrected:.3f} |")


def _correct(folder: Path, arm: ArmResult) -> tuple[Gold, Correct]:
    if arm.best is None:
        raise SystemExit(f"{arm.name} has no finalised point")
    task = tasks.load(arm.task, arm.arm.locations)
    gold = {language: [example.label for example in task.examples("test", language)] for language in arm.targets}
    found: Correct = {}
    for trial in arm.best.trials:
        predicted = load_predictions(SweepFolder(folder).trial(trial.trial_id).path)
        if predicted is None:
            raise SystemExit(f"trial {trial.trial_id} of {arm.name} has no predictions")
        rows = [np.equal(predicted.of(language), gold[language]) for language in arm.targets]
        found[trial.replicate] = np.array(rows, dtype=np.float64)
    return gold, found


def _compared(name: str, one: Correct, other: Correct) -> tuple[int, float, float, float, float]:
    """n, the mean difference, its standard errors over trials and over examples, and p."""
    both = [replicate for replicate in one if replicate in other]
    differences = {replicate: float((one[replicate] - other[replicate]).mean()) for replicate in both}
    mean = float(np.mean(list(differences.values()))) if differences else math.nan
    num_seeds, num_draws = (len({replicate[place] for replicate in both}) for place in (0, 1))
    if len(both) < 2 or len(both) != num_seeds * num_draws:
        raise SystemExit(
            f"{name}: {len(both)} trials in common on {num_seeds} seeds and {num_draws} draws; at least 2, and every"
            " seed on every draw, are needed"
        )
    parts = components(differences)
    plain = float(np.std(list(differences.values()), ddof=1)) / math.sqrt(len(both))
    of_trials = parts.standard_error if parts is not None else plain
    by_example = np.mean([one[replicate] - other[replicate] for replicate in both], axis=(0, 1))
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(by_example), (NUM_RESAMPLES, len(by_example)))
    of_examples = float(by_example[picks].mean(axis=1).std(ddof=1))
    freedom = min(number for number in (num_seeds, num_draws) if number > 1) - 1
    error = math.hypot(of_trials, of_examples)
    p = float(2 * stats.t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return len(both), mean, of_trials, of_examples, p


def _holm(values: list[float]) -> list[float]:
    """Holm's correction."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected


if __name__ == "__main__":
    main()
