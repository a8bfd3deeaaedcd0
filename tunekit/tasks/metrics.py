"""Scores of a task, as fractions in [0, 1]. They belong to the task and are the same for every method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

ENTITY_PREFIXES = ("B-", "I-", "E-", "S-")
"""Of BIO and of BIOES."""


def looks_bio(labels: Iterable[str]) -> bool:
    """Whether labels are entity tags: nothing but ``O`` and types behind a prefix such as ``B-``.

    >>> looks_bio(["O", "B-LOC", "I-LOC"]), looks_bio(["NOUN", "X"])
    (True, False)
    """
    names = set(labels) - {"O"}
    return bool(names) and all(name.startswith(ENTITY_PREFIXES) and len(name) > 2 for name in names)


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Micro precision, recall and F1 over whole entities: span and type must both be right.

    seqeval's default mode, which counts as conlleval does and as XTREME is scored: an entity may begin with ``I-``
    (PAN-X has such entities). All three are 0 where no entity was predicted or none was there.
    """
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        [list(row) for row in gold], [list(row) for row in predicted], average="micro", zero_division=0
    )
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall)}


def label_scores(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Accuracy, and macro F1: the unweighted mean over every label that is in `gold` or `predicted`."""
    right = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    in_gold, in_predicted = Counter(gold), Counter(predicted)
    f1s = [2 * right[name] / (in_gold[name] + in_predicted[name]) for name in in_gold | in_predicted]
    return {"accuracy": sum(right.values()) / len(gold), "macro_f1": sum(f1s) / len(f1s)}
