"""The Task class on examples in memory: inventory, samples, few-shot draws, scores, validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import Example, PairExample, Split, Task, TokenExample, load, metrics, sampling
from tunekit.trial import Locations, TaskConfig

Data = dict[tuple[str, str], Sequence[Example]]


def sentence(text: str) -> TokenExample:
    """``"Paris/B-LOC is/O"`` as an example."""
    words, labels = zip(*(item.rsplit("/", 1) for item in text.split()), strict=True)
    return TokenExample(words, labels)


def pairs(*labels: str) -> list[PairExample]:
    return [PairExample(f"a{i}", f"b{i}", label) for i, label in enumerate(labels)]


def make(data: Data, kind: Any = "pair", **keys: Any) -> Task:
    given = {name: keys.pop(name) for name in ("labels", "metric") if name in keys}

    def read(split: Split, language: str) -> Sequence[Example]:
        return data[split, language]

    def languages(split: Split) -> list[str]:
        return [language for each, language in data if each == split]

    config = TaskConfig(**{"name": "mine", **keys})
    return Task(config, kind=kind, read=read, languages=languages, **given)


def pair_data(**more: Sequence[Example]) -> Data:
    data: Data = {(split, "en"): pairs("yes", "no", "yes") for split in ("train", "dev", "test")}
    for key, value in more.items():
        split, language = key.split("_")
        data[split, language] = value
    return data


def test_an_inventory_that_is_not_known_is_what_train_shows_in_sorted_order() -> None:
    assert make(pair_data()).labels == ("no", "yes")


def test_examples_are_read_when_first_asked_for_and_once() -> None:
    reads = []

    def read(split: Split, language: str) -> Sequence[Example]:
        reads.append((split, language))
        return pairs("yes", "no")

    task = Task(TaskConfig(name="mine"), kind="pair", read=read, labels=("no", "yes"), metric="accuracy")
    assert reads == []
    assert task.examples("dev", "en") is task.examples("dev", "en")
    assert reads == [("dev", "en")]


def test_a_dev_label_that_train_never_shows_is_refused_with_its_place_and_the_nearest_label() -> None:
    task = make(pair_data(dev_en=pairs("yes", "noo")))
    with pytest.raises(
        DataError, match=r"mine: dev of 'en', example 1, word 0: label 'noo' never occurs in train.*'no'"
    ):
        task.examples("dev", "en")


def test_a_label_outside_a_known_inventory_is_refused_in_every_language() -> None:
    task = make(pair_data(test_de=pairs("ja")), labels=("no", "yes"), target_languages=("de",))
    with pytest.raises(DataError, match=r"label 'ja' is not a label of mine; .*valid: no, yes"):
        task.examples("test", "de")


def test_validate_refuses_a_label_of_the_inventory_that_is_tested_but_never_in_the_whole_train_split() -> None:
    data = pair_data(test_de=pairs("maybe"))
    task = make(data, labels=("maybe", "no", "yes"), target_languages=("de",))
    assert task.examples("test", "de")
    with pytest.raises(DataError, match="label 'maybe' never occurs in train"):
        task.validate()


def test_a_label_that_only_the_sample_of_train_lacks_is_fine() -> None:
    data = pair_data(train_en=pairs(*["yes"] * 50, "no"))
    task = make(data, max_train_examples=2)
    task.validate()
    assert task.labels == ("no", "yes")


def test_an_unknown_language_names_the_nearest_that_is_there() -> None:
    task = make(pair_data(test_de=pairs("yes")), target_languages=("dee",))
    with pytest.raises(ConfigError, match=r"mine: unknown language 'dee'; did you mean 'de'\? \(valid: de, en\)"):
        task.validate()


def test_a_language_without_a_split_names_the_languages_that_have_it() -> None:
    task = make(pair_data(dev_de=pairs("yes")), target_languages=("de",))
    with pytest.raises(DataError, match="mine: no test data in 'de'; languages that have it: en"):
        task.validate()


def test_targets_need_a_dev_split_only_where_selection_looks_at_it() -> None:
    task = make(pair_data(test_de=pairs("yes")), target_languages=("de",))
    task.validate()
    with pytest.raises(DataError, match="no dev data in 'de'"):
        task.validate(target_dev=True)


def test_a_split_without_examples_is_refused() -> None:
    with pytest.raises(DataError, match="mine: dev of 'en' holds no examples"):
        make(pair_data(dev_en=[])).validate()


def test_an_entity_split_without_one_entity_is_refused_as_unlabelled() -> None:
    data: Data = {("train", "en"): [sentence("Paris/B-LOC is/O")], ("test", "en"): [sentence("Rome/O is/O")]}
    with pytest.raises(DataError, match="test of 'en' holds no entity at all; has it gold labels"):
        make(data, "token").examples("test", "en")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_train_examples": 0}, "max_train_examples is 0, must be at least 1"),
        ({"shots": -1}, "shots is -1, must be at least 1"),
        ({"shots": 4, "max_train_examples": 9}, "max_train_examples has no effect with shots"),
        ({"shots": 4, "max_dev_examples": 9}, "max_dev_examples has no effect with shots"),
        ({"draw": "files"}, "draw is 'files', so shots must say"),
        ({"data_name": " "}, "data_name is empty, must be a name"),
        ({"target_languages": ("de", "en")}, "'en' is named twice"),
        ({"target_languages": ("de", "de")}, "'de' is named twice"),
    ],
)
def test_keys_that_make_no_sense_are_refused_at_once(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(pair_data(), **keys)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown task 'xnly'; did you mean 'xnli'"):
        load(TaskConfig(name="xnly"), Locations())


def test_files_without_a_kind_ask_for_the_kind() -> None:
    with pytest.raises(ConfigError, match="has files but no kind"):
        load(TaskConfig(name="mine"), Locations(files="{split}-{language}.tsv"))


# ---- samples


@given(size=st.integers(1, 60), first=st.integers(1, 70), second=st.integers(1, 70), seed=st.integers(0, 5))
def test_samples_are_nested_keep_the_order_and_repeat(size: int, first: int, second: int, seed: int) -> None:
    examples = pairs(*["x"] * size)
    small, large = (sampling.by_size(examples, count, seed=seed, split="dev") for count in sorted((first, second)))
    assert len(small) == min(size, first, second)
    assert set(small) <= set(large)
    assert list(large) == [example for example in examples if example in set(large)]
    assert large == sampling.by_size(examples, max(first, second), seed=seed, split="dev")


def test_another_seed_or_split_gives_another_sample() -> None:
    examples = pairs(*["x"] * 100)
    draws = {sampling.by_size(examples, 10, seed=seed, split=split) for seed in (0, 1) for split in ("train", "dev")}
    assert len(draws) == 4


def test_a_sample_is_the_same_on_every_machine_and_python() -> None:
    examples: list[Example] = [*pairs(*["x"] * 20)]
    chosen = sampling.by_size(examples, 5, seed=0, split="train")
    assert [examples.index(example) for example in chosen] == [0, 4, 6, 14, 16]


def test_aligned_files_give_aligned_samples_and_other_languages_change_nothing() -> None:
    translated = [PairExample(f"de{i}", f"de{i}", "yes") for i in range(50)]
    english = [PairExample(f"en{i}", f"en{i}", "yes") for i in range(50)]
    data = pair_data(test_en=english, test_de=translated)
    both = make(data, target_languages=("de",), max_test_examples=7)
    alone = make(data, max_test_examples=7)
    rows = [[data["test", code].index(example) for example in both.examples("test", code)] for code in ("en", "de")]
    assert rows[0] == rows[1]
    assert both.examples("test", "en") == alone.examples("test", "en")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=80), st.integers(1, 4), st.integers(1, 4))
def test_few_shot_pairs_are_exactly_k_a_class_and_nested(labels: list[str], one: int, two: int) -> None:
    examples = pairs(*labels)
    few, many = sorted((one, two))
    if min(Counter(labels).values()) < many:
        with pytest.raises(DataError, match=f"shots is {many}, but in here"):
            sampling.by_shots(examples, many, seed=3, split="train", where="here")
        return
    small, large = (sampling.by_shots(examples, k, seed=3, split="train", where="here") for k in (few, many))
    assert Counter(e.label for e in small if isinstance(e, PairExample)) == dict.fromkeys(labels, few)
    assert set(small) <= set(large)


TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
tagged = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=5), min_size=1, max_size=40)


@given(tagged, st.integers(1, 4), st.integers(1, 4))
def test_few_shot_sentences_hold_every_entity_type_k_times_or_all_there_are_and_are_nested(
    rows: list[list[str]], one: int, two: int
) -> None:
    examples = [TokenExample((f"w{i}",) * len(row), tuple(row)) for i, row in enumerate(rows)]
    few, many = sorted((one, two))
    small, large = (sampling.by_shots(examples, k, seed=3, split="train", where="here") for k in (few, many))
    for kind in ("LOC", "PER"):
        there = sum(any(kind in label for label in e.labels) for e in examples)
        drawn = sum(any(kind in label for label in e.labels) for e in small if isinstance(e, TokenExample))
        assert drawn >= min(few, there)
    assert len(small) <= 2 * few
    assert set(small) <= set(large)


def test_shots_draw_train_and_dev_and_leave_test_whole() -> None:
    data = pair_data(**{f"{split}_en": pairs(*["yes", "no"] * 9) for split in ("train", "dev", "test")})
    task = make(data, shots=4)
    assert [len(task.examples(split, "en")) for split in ("train", "dev", "test")] == [8, 8, 18]


def test_a_class_with_too_few_examples_says_how_many_there_are() -> None:
    with pytest.raises(DataError, match="shots is 2, but in mine train of 'en' 'no' has 1; take at most 1 shots"):
        make(pair_data(), shots=2).examples("train", "en")


# ---- scores


def test_pairs_are_scored_by_accuracy_and_macro_f1() -> None:
    task = make(pair_data(), labels=("no", "yes"))
    scores = task.score(pairs("yes", "no", "yes", "yes"), ["yes", "yes", "yes", "no"])
    assert task.metric == "accuracy"
    assert scores == {"accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 0) / 2)}


def test_entities_are_scored_whole_and_by_type() -> None:
    gold = [sentence("New/B-LOC York/I-LOC is/O Rome/B-LOC"), sentence("Ada/B-PER")]
    task = make({("train", "en"): gold}, "token")
    scores = task.score(gold, [["B-LOC", "I-LOC", "O", "B-PER"], ["B-PER"]])
    assert task.metric == "f1"
    assert scores == pytest.approx({"f1": 2 / 3, "precision": 2 / 3, "recall": 2 / 3})
    assert task.score(gold, [["B-LOC", "O", "O", "O"], ["O"]])["f1"] == 0.0


def test_an_entity_may_begin_with_an_inside_tag() -> None:
    gold = [sentence("Lawrence/I-ORG won/O")]
    task = make({("train", "en"): gold}, "token")
    assert task.score(gold, [["B-ORG", "O"]])["f1"] == 1.0


def well_formed(row: Sequence[str]) -> set[tuple[str, int, int]]:
    spans, start = set(), -1
    for at, label in enumerate([*row, "O"]):
        if start >= 0 and not label.startswith("I-"):
            spans.add((row[start][2:], start, at))
            start = -1
        if label.startswith("B-"):
            start = at
    return spans


chunks = st.lists(st.sampled_from(("O", "B-LOC", "B-LOC I-LOC", "B-PER", "B-PER I-PER I-PER")), min_size=1, max_size=5)


@settings(max_examples=60)
@given(st.lists(st.tuples(chunks, chunks), min_size=1, max_size=5))
def test_entity_f1_agrees_with_counting_spans(rows: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = [], []
    for first, second in rows:
        one, two = " ".join(first).split(), " ".join(second).split()
        size = max(len(one), len(two))
        gold.append(one + ["O"] * (size - len(one)))
        predicted.append(two + ["O"] * (size - len(two)))
    right = sum(len(well_formed(g) & well_formed(p)) for g, p in zip(gold, predicted, strict=True))
    total = sum(len(well_formed(g)) + len(well_formed(p)) for g, p in zip(gold, predicted, strict=True))
    assert metrics.entity_scores(gold, predicted)["f1"] == pytest.approx(2 * right / total if total else 0.0)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30))
def test_accuracy_and_macro_f1_agree_with_scikit_learn(rows: list[tuple[str, str]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, predicted = zip(*rows, strict=True)
    scores = metrics.label_scores(gold, predicted)
    assert scores["accuracy"] == pytest.approx(sklearn.accuracy_score(gold, predicted))
    assert scores["macro_f1"] == pytest.approx(sklearn.f1_score(gold, predicted, average="macro", zero_division=0))


@pytest.mark.parametrize("predictions", [[["NOUN"]], [["NOUN", "VERB", "VERB"]], [], ["NO"]])
def test_anything_but_one_prediction_a_word_is_an_error(predictions: Any) -> None:
    gold = [sentence("dogs/NOUN bark/VERB")]
    task = make({("train", "en"): gold}, "token")
    with pytest.raises(ValueError, match=r"predictions for|words but"):
        task.score(gold, predictions)


def test_the_majority_is_trains_most_frequent_label() -> None:
    data = pair_data(train_en=pairs("no", "yes", "yes"), test_en=pairs("yes", "no", "no", "no"))
    assert make(data).majority("test", "en")["accuracy"] == 0.25


def test_the_majority_of_entities_is_to_find_none() -> None:
    data: Data = {(split, "en"): [sentence("Rome/B-LOC is/O")] for split in ("train", "test")}
    assert make(data, "token").majority("test", "en") == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_the_majority_of_words_is_one_label_for_each() -> None:
    data: Data = {(split, "en"): [sentence("dogs/NOUN bark/VERB cats/NOUN")] for split in ("train", "test")}
    assert make(data, "token").majority("test", "en")["accuracy"] == pytest.approx(2 / 3)


def test_a_metric_given_wins_over_the_look_of_the_labels() -> None:
    data: Data = {("train", "en"): [sentence("Rome/B-LOC is/O")]}
    assert make(data, "token", metric="accuracy").metric == "accuracy"


# ---- fingerprint


def test_fingerprints_of_the_source_do_not_depend_on_the_target_languages() -> None:
    data = pair_data(test_de=pairs("yes"))
    marks = make(data).fingerprints()
    assert all(len(mark) == 16 and int(mark, 16) >= 0 for mark in marks.values())
    more = make(data, target_languages=("de",)).fingerprints()
    assert {key: more[key] for key in marks} == marks and more.keys() - marks.keys() == {"test/de"}
    other = make({**data, ("dev", "en"): pairs("yes", "no", "no")}).fingerprints()
    assert {key for key in marks if other[key] != marks[key]} == {"dev/en"}
