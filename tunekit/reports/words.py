"""Words that every format of a report has in common: metrics, parameters and points by their usual names."""

from __future__ import annotations

from collections.abc import Mapping

from tunekit.storage import part_of_a_path
from tunekit.wording import parameters

METRIC_NAMES = {
    "f1": "entity F1 (micro)",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "seqeval_f1": "seqeval F1 of the tags",
}
"""Metrics whose key says too little."""


def metric_name(metric: str) -> str:
    """A metric as a heading names it, scale included."""
    return f"{METRIC_NAMES.get(metric, metric)} × 100"


def searched(params: Mapping[str, object]) -> str:
    """What the search chose, in one line."""
    return parameters(params) or "nothing was searched"


def config_file(arm: str) -> str:
    """The file with the best configuration of an arm, whose name is fit for a folder."""
    return f"best_config.{part_of_a_path(arm)}.yaml"
