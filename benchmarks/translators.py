"""How far MPT's translators moved in a finished sweep, and what became of the divergence on held-out parallel text.

    python benchmarks/translators.py RUNS/SWEEP

For each arm of `mpt` with parallel text, over its finalised trials: how far the translator's weights moved from where
they started, as a part of their length; the cosine of the source prompt and the translated one at the start and at the
best epoch; the held-out KL (mean over languages) at the start and at the best epoch, and their ratio; and, for judging
it, `answer_spread` at both, which is near zero where every text gets one answer. A row for each trial, then the means;
the ratio of an arm is the mean of its trials' ratios. Where each language has a translator, cosines are means over
them. Refused: a trial without held-out text.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from tunekit.journal import replay
from tunekit.reports.results import read
from tunekit.schema import build
from tunekit.storage import SweepFolder
from tunekit.training import WorkerCache, checkpoints
from tunekit.training.learner import Learner
from tunekit.trial import TOKENS_PER_STEP, TrialConfig


def main() -> None:
    """Print a line for each trial and one for each arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sweep", type=Path, help="a sweep's folder")
    folder = parser.parse_args().sweep
    cache = WorkerCache()
    for arm in read(replay(folder)).arms:
        if arm.arm.method != "mpt" or arm.best is None:
            continue
        rows = []
        for trial in arm.best.trials:
            config = build(TrialConfig, trial.config, "journal")
            learner = Learner(config, locations=arm.arm.locations, cache=cache, tokens_per_step=TOKENS_PER_STEP)
            if learner.side is None:
                continue  # without a corpus, or without weight and updates: nothing teaches this translator
            assert trial.outcome is not None
            files = SweepFolder(folder).trial(trial.trial_id)
            rows.append({**_moved(learner, files.best), **_divergence(trial.outcome.metrics)})
            print(json.dumps({"arm": arm.name, "trial": str(trial.replicate), **_rounded(rows[-1])}), flush=True)
        if not rows:
            continue
        means = {key: fmean(row[key] for row in rows) for key in rows[0]}
        worst = {"largest KL ratio": max(row["KL ratio"] for row in rows)}
        print(json.dumps({"arm": arm.name, "n": len(rows), **_rounded({**means, **worst})}), flush=True)


def _moved(learner: Learner, best: Path) -> dict[str, float]:
    """The translator's movement, and the cosines of the two prompts."""
    stored = checkpoints.load(best)
    if stored is None or stored.parameters is None:
        raise SystemExit(f"{best} is gone or torn")
    method = learner.method.eval()
    before = {name: p.detach().clone() for name, p in method.named_parameters() if name.startswith("translators")}
    cosine_before = _cosine(method)
    method.load_state_dict(stored.parameters, strict=False)
    moved = _length({name: stored.parameters[name] - before[name] for name in before})
    found = {"moved": moved / _length(before), "cosine at start": cosine_before, "cosine": _cosine(method)}
    return {key: float(value) for key, value in found.items()}


@torch.no_grad()
def _cosine(method: torch.nn.Module) -> float:
    source = method.prompt()  # type: ignore[operator]
    targets = [translator(source) for translator in method.translators]  # type: ignore[union-attr]
    return fmean(float(torch.cosine_similarity(source.flatten(), target.flatten(), dim=0)) for target in targets)


def _length(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors.values()))


def _divergence(metrics: Mapping[str, float]) -> dict[str, float]:
    if not any(key.endswith("/alignment_kl_start") for key in metrics):
        raise SystemExit("a trial reports no divergence: it held out no parallel text (alignment_heldout)")
    mean = {
        name: fmean(value for key, value in metrics.items() if key.endswith(f"/{name}"))
        for name in ("alignment_kl_start", "alignment_kl", "answer_spread_start", "answer_spread")
    }
    return {**mean, "KL ratio": mean["alignment_kl"] / mean["alignment_kl_start"]}


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {key: float(f"{value:.3g}") for key, value in row.items()}


if __name__ == "__main__":
    main()
