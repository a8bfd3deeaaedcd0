"""Schemes of entity tags: what an inventory is taken for, and which entities a row of labels means.

Entities are compared with seqeval (its default mode on any rows, its strict mode on well-formed ones) and with a
conlleval written here from the published algorithm.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import seqeval.metrics
import seqeval.scheme
from seqeval.metrics.sequence_labeling import get_entities

from tunekit.errors import DataError
from tunekit.tasks.metrics import entity_scores
from tunekit.tasks.recognition import recognise
from tunekit.tasks.schemes import Span, Tags, Unreadable, name_of

Row = list[str]
Rows = list[Row]

NUM_CASES = 3000
TYPES = ("PER", "LOC", "geo-loc")
MARKS = {"iob1": "BI", "iob2": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES", "io": "I"}
FOUR = {"bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
"""First, middle and last mark of an entity, and that of one word."""


def conlleval(row: Sequence[str]) -> list[Span]:
    """The chunks of a row of BIO or BIOES tags: endOfChunk and startOfChunk of the script of CoNLL-2000."""
    found: list[Span] = []
    start = 0
    tags = [label.partition("-")[::2] if label != "O" else ("O", "") for label in [*row, "O"]]
    for at, ((before, kind_before), (tag, kind)) in enumerate(pairwise([("O", ""), *tags])):
        ends = (before, tag) in {(a, b) for a in "BI" for b in "BOS"} or before in ("E", "S")
        if ends or (before != "O" and kind_before != kind):
            found.append((start, at, kind_before))
        starts = tag in ("B", "S") or (before in ("E", "S", "O") and tag in ("E", "I"))
        if starts or (tag != "O" and kind_before != kind):
            start = at
    return found


def f1_of(gold: Rows, predicted: Rows, chunks: Callable[[Sequence[str]], list[Span]]) -> float:
    """F1 over chunks, counted one by one."""
    right = sum(len(set(chunks(g)) & set(chunks(p))) for g, p in zip(gold, predicted, strict=True))
    total = sum(len(chunks(row)) for row in [*gold, *predicted])
    return 2 * right / total if total else 0.0


def anything(draw: random.Random, marks: str, size: int) -> Row:
    """A row of tags in any order, malformed ones included."""
    tags = [f"{mark}-{kind}" for mark in marks for kind in TYPES]
    return [draw.choice(tags) if draw.random() < 0.7 else "O" for _ in range(size)]


def well_formed(draw: random.Random, scheme: str, size: int) -> Row:
    """A row of `size` words that keeps the rules of a scheme."""
    row: Row = []
    last = ""
    while len(row) < size:
        length = min(draw.randint(1, 4), size - len(row))
        kind = draw.choice(("", *TYPES))
        if not kind:
            row.append("O")
        elif scheme in FOUR:
            first, middle, end, single = FOUR[scheme]
            marks = single if length == 1 else first + middle * (length - 2) + end
            row += [f"{mark}-{kind}" for mark in marks]
        else:
            opening = "B" if scheme == "iob2" or last == kind else "I"
            row += [f"{mark}-{kind}" for mark in opening + "I" * (length - 1)]
        last = kind
    return row


def cases(make: Callable[[random.Random, str, int], Row], which: str) -> list[tuple[Rows, Rows]]:
    """Gold and predicted rows; half of the predicted rows are nearly right."""
    draw = random.Random(f"cases {which}")
    found = []
    for _ in range(NUM_CASES):
        sizes = [draw.randint(1, 9) for _ in range(draw.randint(1, 3))]
        gold = [make(draw, which, size) for size in sizes]
        predicted = [row if draw.random() < 0.5 else make(draw, which, len(row)) for row in gold]
        found.append((gold, predicted))
    return found


def test_on_any_rows_entities_are_those_of_conlleval_and_of_seqevals_default_mode() -> None:
    tags = Tags("B-PER")
    for gold, predicted in cases(anything, "BIES"):
        for row in gold:
            assert tags.spans(row) == conlleval(row), row
            assert [(b, e + 1, kind) for kind, b, e in get_entities(row)] == tags.spans(row), row
        scores = entity_scores(gold, predicted, tags)
        assert scores["f1"] == pytest.approx(f1_of(gold, predicted, conlleval))
        assert scores["f1"] == float(seqeval.metrics.f1_score(gold, predicted, zero_division=0))
        assert scores["precision"] == float(seqeval.metrics.precision_score(gold, predicted, zero_division=0))
        assert scores["recall"] == float(seqeval.metrics.recall_score(gold, predicted, zero_division=0))


@pytest.mark.parametrize(
    ("scheme", "strict"), [("iob1", "IOB1"), ("iob2", "IOB2"), ("bioes", "IOBES"), ("bilou", "BILOU")]
)
def test_on_well_formed_rows_entities_are_those_of_seqevals_strict_mode(scheme: str, strict: str) -> None:
    of_seqeval = getattr(seqeval.scheme, strict)
    for gold, predicted in cases(well_formed, scheme)[: NUM_CASES // 2]:
        for row in [*gold, *predicted]:
            (found,) = seqeval.scheme.Entities([row], of_seqeval).entities
            assert sorted((e.start, e.end, e.tag) for e in found) == sorted(Tags("B-PER").spans(row)), row


@pytest.mark.parametrize("scheme", MARKS)
@pytest.mark.parametrize("style", ["B-PER", "B_PER", "PER-B", "PER_B"])
def test_however_tags_are_written_the_score_is_that_of_bioes(scheme: str, style: str) -> None:
    plain = {"L": "E", "U": "S", "M": "I"}

    def written(label: str, *, as_bioes: bool) -> str:
        if label == "O":
            return label
        mark, _, kind = label.partition("-")
        if as_bioes:
            return f"{plain.get(mark, mark)}-{kind}"
        sign = style.strip("BPER")
        return mark + sign + kind if style.startswith("B") else kind + sign + mark

    draw = random.Random(f"{scheme} {style}")
    for _ in range(200):
        gold = [anything(draw, MARKS[scheme], 9) for _ in range(3)]
        predicted = [row if draw.random() < 0.5 else anything(draw, MARKS[scheme], 9) for row in gold]
        (here, there), (other, another) = (
            [[[written(label, as_bioes=as_bioes) for label in row] for row in rows] for rows in (gold, predicted)]
            for as_bioes in (False, True)
        )
        assert entity_scores(here, there)["f1"] == pytest.approx(f1_of(other, another, conlleval))


def test_types_without_marks_are_entities_from_their_first_to_their_last_word() -> None:
    assert Tags("PER").spans(["LOC", "LOC", "O", "ORG", "PER", "PER"]) == [(0, 2, "LOC"), (3, 4, "ORG"), (4, 6, "PER")]


@pytest.mark.parametrize(
    ("gold", "predicted", "f1"),
    [
        (["ORG", "O"], ["O", "O"], 0.0),
        (["LOC", "O"], ["DOC", "O"], 0.0),
        (["OBJ", "O"], ["OBJ", "O"], 1.0),
        (["I-PER", "I-PER"], ["B-PER", "I-PER"], 1.0),
        (["PER-B", "O"], ["LOC-B", "O"], 0.0),
        (["U-PER", "O"], ["B-PER", "L-PER"], 0.0),
        (["B", "I", "O"], ["B", "I", "O"], 1.0),
        (["B", "I", "O"], ["B", "O", "O"], 0.0),
        (["O", "O"], ["O", "O"], 0.0),
    ],
)
def test_the_labels_themselves_say_how_they_are_scored(gold: Row, predicted: Row, f1: float) -> None:
    assert entity_scores([gold], [predicted])["f1"] == f1


@pytest.mark.parametrize("labels", [["1", "2"], ["NOUN", "VERB"], ["B-PER", "o"], ["B-PER", "L-PER", "E-PER"]])
def test_what_cannot_be_read_as_entities_is_never_scored_as_entities(labels: Row) -> None:
    with pytest.raises(DataError):
        entity_scores([labels], [labels])


def test_rows_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 predicted labels for 2 words"):
        entity_scores([["B-PER", "O"]], [["O"]])


def test_scoring_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in ([["U-PER", "O"]], [["PER", "O"]], [["PER-B", "O"]], [["O"]]):
            entity_scores(rows, rows)


def counted(text: str) -> Counter[str]:
    return Counter(text.split())


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("O O B-PER I-PER", "B-PER"),
        ("O S-PER E-LOC", "B-PER"),
        ("B-NN M-NN E-NN S-VV", "B-PER"),
        ("O B_PER I_PER", "B_PER"),
        ("O geo-loc-B geo-loc-I", "PER-B"),
        ("O PER_B LOC_I", "PER_B"),
        ("O B I", "B"),
        ("B M E S", "B"),
        ("O O PER LOC", "PER"),
        ("O O O WEB-SITE creative-work", "PER"),
    ],
)
def test_entity_tags_are_scored_by_f1_however_they_are_written(text: str, style: str) -> None:
    reading = recognise(counted(text))
    assert reading.metric == "f1" and reading.tags is not None and reading.tags.style == style


@pytest.mark.parametrize(
    "text",
    ["NOUN VERB X", "0 1", "0 1 2", "N V O N V N V N V N V N V N V N V N V N V", "DET S-N NOUN VERB NOUN", "en fr"],
)
def test_classes_of_words_are_scored_by_accuracy(text: str) -> None:
    reading = recognise(counted(text))
    assert (reading.metric, reading.tags) == ("accuracy", None)


@pytest.mark.parametrize(
    ("text", "label", "cause"),
    [
        ("O B-LOC I-LOC b-loc", "b-loc", "was it meant as B-LOC, in capital letters"),
        ("O B-LOC I-LOC B_LOC", "B_LOC", "another sign stands between mark and type; was it meant as B-LOC"),
        ("O B-LOC I-LOC B–PER", "B–PER", "another sign"),
        ("O B-LOC I-LOC LondonB-LOC", "LondonB-LOC", "the word 'London' glued to its tag 'B-LOC'"),
        ("O B-LOC I-LOC 0", "0", "is nearly O"),
        ("O B-LOC I-LOC О", "О", "is nearly O: was it meant as O (U+004F)? It is U+041E"),
        ("O B-LOC I-LOC B-", "B-", "its type is missing"),
        ("O B-LOC I-LOC X-LOC", "X-LOC", "the mark 'X' is not known"),
        ("O B-LOC I-LOC NOUN", "NOUN", "metric: accuracy"),
        ("O O LondonB-LOC AdaB-PER", "LondonB-LOC", "glued"),
        ("o o b-loc i-loc", "o", "is nearly O"),
        ("O O O PER b-loc", "b-loc", "capital letters"),
        ("O O O B:LOC I:LOC", "B:LOC", "another sign stands between mark and type; was it meant as B-LOC"),
        ("O O O LOC/B LOC/I", "LOC/B", "another sign stands between type and mark; was it meant as B-LOC"),
        ("O O [B-LOC] [I-LOC]", "[B-LOC]", "signs stand around the tag 'B-LOC'"),
        ("* * (PER* *)", "(PER*", "brackets with * mark spans"),
        ("o o o loc per", "o", "is nearly O"),
        ("O B-LOC L-LOC E-LOC", "E-LOC", "a mark of another scheme"),
    ],
)
def test_a_slip_among_entity_tags_is_named_with_its_likely_cause(text: str, label: str, cause: str) -> None:
    with pytest.raises(Unreadable) as caught:
        recognise(counted(text))
    assert label in caught.value.labels and cause in caught.value.text


@pytest.mark.parametrize("metric", ["accuracy", None])
def test_who_says_accuracy_or_no_entities_gets_accuracy(metric: Any) -> None:
    scheme = None if metric else "none"
    assert recognise(counted("O B-LOC b-loc o"), metric=metric, scheme=scheme).metric == "accuracy"


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ("I-A", "io"),
        ("B-A", "iob2"),
        ("B-A I-A", "iob2"),
        ("B-A I-A E-A", "bioes"),
        ("B-A E-A S-A", "bioes"),
        ("S-A", "bioes"),
        ("U-A", "bilou"),
        ("B-A I-A L-A", "bilou"),
        ("B-A M-A E-A", "bmes"),
    ],
)
def test_a_scheme_is_named_by_the_marks_that_occur(labels: str, name: str) -> None:
    assert name_of(Tags("B-PER"), ["O", *labels.split()]) == name


def test_iob1_is_told_from_iob2_by_how_entities_begin() -> None:
    tags, labels = Tags("B-PER"), ["B-A", "I-A"]
    assert name_of(tags, labels, opened_by_i=3) == "iob1"
    assert name_of(tags, labels, opened_by_i=3, opened_by_b=1) == "iob2"
