"""Predictions of several learners, made in common passes; from rows to one prediction for each example.

Knows no gold labels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import torch

from tunekit.backbone.moving import moved
from tunekit.errors import TrialFailed
from tunekit.methods import Feature, Method
from tunekit.predictions import Prediction
from tunekit.tasks import Example
from tunekit.training import schedule
from tunekit.training.learner import Learner, Questions, drawing, logits_together
from tunekit.training.loaded import TokenizedSplit
from tunekit.training.memory import is_out_of_memory, without_memory
from tunekit.training.updates import nothing

CPU_EVALUATION_TOKENS = 2048
"""On a CPU, padded tokens computed at once in prediction: more only leaves its caches."""
EVALUATION_FACTOR = 4
"""On a GPU, prediction computes this many times `tokens_per_step` at once: it keeps nothing for a backward pass."""

Predicted = dict[str, list[Prediction]]
"""By language."""


@dataclass
class Asked:
    """A split in one language, on its way to predictions."""

    number: int
    """Of who asks."""
    language: str
    tokenized: TokenizedSplit
    labels: dict[int, list[int]] = field(default_factory=dict)
    """By row, the ids of the labels that were predicted for it."""

    @property
    def distinct(self) -> list[int]:
        """The rows to compute: of equal questions, such as repeated words, the first."""
        return sorted(set(self._first_rows))

    def decoded(self, method: Method, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction for each example: a pair's label, or a label for each word of a sentence."""
        rows, first = self.tokenized.rows, self._first_rows
        return [
            method.decode(example, [(rows[row], self.labels[first[row]]) for row in span])
            for example, span in zip(examples, self.tokenized.spans, strict=True)
        ]

    @cached_property
    def _first_rows(self) -> list[int]:
        return _first_rows(self.tokenized.rows)


def _first_rows(rows: Sequence[Feature]) -> list[int]:
    """For each row the first one that asks the same question."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(row.question, index) for index, row in enumerate(rows)]


def predicted_all(
    questions: Sequence[Questions], on_pass: Callable[[], None] = nothing
) -> list[Predicted | TrialFailed]:
    """Predict all splits of all learners.

    Args:
        questions: of learners that can be computed together.
        on_pass: called after each pass through the model.

    Raises:
        RuntimeError, MemoryError: memory does not suffice for several.
    """
    longest = max(each.learner.config.training.max_length for each in questions)
    first = max_tokens = min(map(_evaluation_tokens, (each.learner for each in questions)))
    while True:
        try:
            found = _attempt(questions, max_tokens, on_pass)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if max_tokens <= longest and not questions[0].learner.can_make_room:
                if len(questions) > 1:
                    raise
                learner = questions[0].learner
                return [without_memory(learner.device, learner.tokens_per_step, error)]
        if not questions[0].learner.make_room():
            max_tokens //= 2
    if max_tokens < first:
        for each in questions:
            each.learner.limits.lower_evaluation(max_tokens)
    return list(found)


def _evaluation_tokens(learner: Learner) -> int:
    """Padded tokens computed at once in prediction, as far as memory is known to suffice."""
    if learner.limits.evaluation is not None:
        return learner.limits.evaluation
    most = EVALUATION_FACTOR * learner.tokens_per_step
    return min(most, CPU_EVALUATION_TOKENS) if learner.device.type == "cpu" else most


def _attempt(questions: Sequence[Questions], max_tokens: int, on_pass: Callable[[], None]) -> list[Predicted]:
    asked = [
        Asked(number, language, question.learner.tokenized(question.split, language))
        for number, question in enumerate(questions)
        for language in question.languages
    ]
    learners = [question.learner for question in questions]
    rows = [(part, row) for part in asked for row in part.distinct]
    lengths = [part.tokenized.lengths[row] + learners[part.number].method.num_input_positions for part, row in rows]
    with ExitStack() as stack:
        stack.enter_context(drawing(learners, training=False))
        stack.enter_context(torch.inference_mode())
        for step in schedule.steps(range(len(rows)), lengths, max_tokens=max_tokens):
            chosen = sorted((rows[index] for index in step), key=lambda found: found[0].number)
            _predict_step(learners, chosen)
            on_pass()
    found: list[Predicted] = [{} for _ in questions]
    for part in asked:
        question = questions[part.number]
        examples = question.learner.task.examples(question.split, part.language)
        found[part.number][part.language] = part.decoded(question.learner.method, examples)
    return found


def _predict_step(learners: Sequence[Learner], chosen: Sequence[tuple[Asked, int]]) -> None:
    """Predict some rows, those of one learner next to each other."""
    groups = [(learners[number], list(found)) for number, found in groupby(chosen, key=lambda asked: asked[0].number)]
    batches = []
    for learner, found in groups:
        learner.turn(training=False)
        batches.append(learner.method.collate([part.tokenized.rows[row] for part, row in found]))
    batches = moved(batches, learners[0].device)
    if learners[0].company is None:
        ((learner, _),) = groups
        labels = [learner.method.predict(batches[0])]
    else:
        logits = logits_together([learner for learner, _ in groups], batches)
        both = zip(groups, moved(logits, "cpu"), batches, strict=True)  # one wait for a GPU
        labels = [learner.method.best_labels(scores, batch) for (learner, _), scores, batch in both]
    for (_, found), predicted in zip(groups, labels, strict=True):
        for (part, row), best in zip(found, predicted, strict=True):
            part.labels[row] = best
