"""From a method and tokenized rows to one prediction for each example. Knows neither gold labels nor scores."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from tunekit.methods import Feature, Method
from tunekit.tasks import Example
from tunekit.training.loaded import TokenizedSplit
from tunekit.training.predictions import Prediction
from tunekit.training.schedule import steps

EVALUATION_FACTOR = 4
"""On a GPU, prediction computes this many times `tokens_per_step` at once: it keeps nothing for a backward pass."""
CPU_EVALUATION_TOKENS = 2048
"""On a CPU, padded tokens computed at once in prediction: more only leaves its caches."""


def predict(
    method: Method, examples: Sequence[Example], tokenized: TokenizedSplit, *, tokens_per_step: int
) -> list[Prediction]:
    """One prediction for each example: a pair's label, or a label for each word of a sentence.

    Args:
        method: put into eval mode here; computes on its backbone's device.
        examples: of one split in one language.
        tokenized: their rows.
        tokens_per_step: padded tokens that a training step may compute at once.
    """
    method.eval()
    device = method.backbone.device
    max_tokens = CPU_EVALUATION_TOKENS if device.type == "cpu" else EVALUATION_FACTOR * tokens_per_step
    asked = _first_rows(tokenized.rows)  # equal questions, such as repeated words, are computed once
    predicted: list[list[int]] = [[] for _ in tokenized.rows]
    with torch.inference_mode():
        for step in steps(sorted(set(asked)), tokenized.lengths, max_tokens=max_tokens):
            batch = method.collate([tokenized.rows[row] for row in step]).to(device)
            for row, labels in zip(step, method.predict(batch), strict=True):
                predicted[row] = labels
    return [
        method.decode(example, [(tokenized.rows[row], predicted[asked[row]]) for row in span])
        for example, span in zip(examples, tokenized.spans, strict=True)
    ]


def _first_rows(rows: Sequence[Feature]) -> list[int]:
    """For each row the first one that asks the same question."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(row.question, index) for index, row in enumerate(rows)]
