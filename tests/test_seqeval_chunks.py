"""F1 of bare tags: exactly what seqeval's f1_score gives, odd as it is, beside accuracy and never in its place."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import pytest
import seqeval.metrics
from seqeval.metrics.sequence_labeling import get_entities

from tunekit.tasks import Task, TokenExample
from tunekit.tasks.seqeval_chunks import chunk_f1, chunks
from tunekit.tasks.tagging import UDPOS_LABELS
from tunekit.trial import TaskConfig

NUM_CASES = 1500
INVENTORIES: dict[str, Sequence[str]] = {
    "UDPOS": UDPOS_LABELS,
    "tags whose first letter is a mark": ("BA", "IN", "EX", "SYM", "O", "OA", "X", "B", "I", "E", "S"),
    "tags with a hyphen or a dot": ("B-A", "I-A", "S-", "O-", "a-b-c", ".", ".x", "-"),
    "one sign each": ("N", "V", "X", "O"),
}
Rows = list[list[str]]


def rows(draw: random.Random, inventory: Sequence[str]) -> tuple[Rows, Rows]:
    """Gold tags, and predictions of which about two thirds are right."""
    gold = [[draw.choice(inventory) for _ in range(draw.randint(1, 9))] for _ in range(draw.randint(1, 4))]
    return gold, [[tag if draw.random() < 0.6 else draw.choice(inventory) for tag in row] for row in gold]


@pytest.fixture(autouse=True)
def _seqeval_finds_bare_tags_odd() -> None:
    warnings.filterwarnings("ignore", message=".*seems not to be NE tag")


@pytest.mark.parametrize("name", INVENTORIES)
def test_the_f1_of_random_bare_tags_is_that_of_seqeval(name: str) -> None:
    draw = random.Random(name)
    seen = set()
    for _ in range(NUM_CASES):
        gold, predicted = rows(draw, INVENTORIES[name])
        assert list(chunks(gold)) == get_entities(gold), gold
        of_seqeval = float(seqeval.metrics.f1_score(gold, predicted, zero_division=0))
        assert chunk_f1(gold, predicted) == of_seqeval, (gold, predicted)
        seen.add(round(of_seqeval, 3))
    assert len(seen) > 50 or name == "one sign each", "scores of all sizes were compared"


def test_a_run_of_one_tag_is_one_chunk_and_is_right_as_a_whole_only() -> None:
    gold = [["NOUN", "NOUN", "VERB"]]
    assert chunk_f1(gold, gold) == 1.0
    assert chunk_f1(gold, [["NOUN", "VERB", "VERB"]]) == 0.0, "neither run has both of its ends"
    assert chunk_f1(gold, [["NOUN", "NOUN", "ADJ"]]) == 0.5


def test_the_first_letter_of_a_tag_does_not_count_as_in_seqeval() -> None:
    assert chunk_f1([["CCONJ", "VERB"]], [["SCONJ", "VERB"]]) == 1.0


def test_tags_of_one_sign_have_no_type_and_so_no_chunk() -> None:
    assert chunk_f1([["N", "V"]], [["N", "V"]]) == 0.0


def test_nothing_right_is_0() -> None:
    assert chunk_f1([["NOUN"]], [["VERB"]]) == chunk_f1([["O"]], [["O"]]) == 0.0


def task(labels: Sequence[str]) -> Task:
    def read(split: str, language: str) -> list[TokenExample]:
        return [TokenExample(tuple("ab"), tuple(labels[:2]))]

    return Task(TaskConfig(name="mine"), kind="token", read=read, labels=labels)


def test_it_stands_beside_the_accuracy_of_words_and_is_never_what_selects() -> None:
    words = task(("NOUN", "VERB"))
    scores = words.score(words.examples("dev", "en"), [["NOUN", "NOUN"]])
    assert words.metric == "accuracy"
    assert scores.keys() == {"accuracy", "macro_f1", "seqeval_f1"}
    assert (scores["accuracy"], scores["seqeval_f1"]) == (0.5, 0.0)
    assert words.majority("dev", "en").keys() == scores.keys()


def test_a_task_of_entities_has_their_own_f1_alone() -> None:
    entities = task(("B-PER", "O"))
    assert entities.score(entities.examples("dev", "en"), [["B-PER", "O"]]).keys() == {"f1", "precision", "recall"}
