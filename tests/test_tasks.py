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
from tunekit.tasks.schemes import Tags
from tunekit.trial import Locations, TaskConfig

Data = dict[tuple[str, str], Sequence[Example]]
BIO = Tags("B-PER")


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


def words(**more: list[str]) -> Data:
    """Sentences such as ``"Paris/B-LOC is/O"``; what is not given is as train_en."""
    data: Data = {(split, "en"): [sentence(text) for text in more["train_en"]] for split in ("train", "dev", "test")}
    for key, texts in more.items():
        split, language = key.split("_")
        data[split, language] = [sentence(text) for text in texts]
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


def test_labels_that_train_lacks_are_taken_and_counted_in_every_other_split() -> None:
    data = pair_data(dev_en=pairs("yes", "no", "so"), test_de=pairs("ja", "ja", "yes", "so"))
    task = make(data, target_languages=("de",))
    task.validate()
    assert task.labels == ("no", "yes")
    assert task.unseen_labels("dev", "en") == {"so": 1}
    assert task.unseen_labels("test", "de") == {"ja": 2, "so": 1}
    assert task.unseen_labels("test", "en") == {} == task.unseen_labels("train", "en")
    assert task.label_counts("test", "de") == {"ja": 2, "yes": 1, "so": 1}
    assert task.score(task.examples("test", "de"), ["yes"] * 4)["accuracy"] == 0.25


def test_what_is_counted_is_what_is_scored_and_not_the_whole_split() -> None:
    data = pair_data(test_en=pairs(*["yes"] * 30, *["so"] * 30))
    task = make(data, max_test_examples=10)
    counts = task.label_counts("test", "en")
    assert counts.total() == 10 and task.unseen_labels("test", "en") == {"so": counts["so"]} and counts["so"]


def test_labels_of_the_sources_dev_most_of_which_train_lacks_are_refused_with_their_places() -> None:
    task = make(pair_data(dev_en=pairs("yes", "noo", "noo")))
    with pytest.raises(
        DataError, match=r"mine: dev of 'en', example 1, word 0: label 'noo' never occurs.*'no'.*2 of 3"
    ):
        task.examples("dev", "en")


def test_entities_of_the_sources_dev_whose_types_train_lacks_are_refused_though_it_has_many_o() -> None:
    data = words(train_en=["Ada/B-PER is/O here/O"], dev_en=["Ada/B-PERSON is/O here/O now/O"])
    with pytest.raises(DataError, match="label 'B-PERSON' never occurs in train, nor do most labels"):
        make(data, "token").examples("dev", "en")


def test_a_target_none_of_whose_labels_train_has_is_refused() -> None:
    task = make(pair_data(test_de=pairs("ja", "nein")), target_languages=("de",))
    with pytest.raises(DataError, match="label 'ja' never occurs in train"):
        task.validate()


def test_a_known_inventory_is_the_law_in_the_source_language_and_may_lack_tags_of_others() -> None:
    data = words(train_en=["a/DET dog/NOUN"], test_de=["ein/DET ding/_ so/TAG"])
    task = make(data, "token", labels=("DET", "NOUN", "X"), metric="accuracy", target_languages=("de",))
    assert task.unseen_labels("test", "de") == {"_": 1, "TAG": 1}
    for split in ("train", "dev", "test"):
        wrong = make({**data, (split, "en"): [sentence("a/DAT dog/NOUN")]}, "token", labels=("DET", "NOUN"))
        with pytest.raises(DataError, match=r"label 'DAT' is not a label of mine; did you mean 'DET'\?"):
            wrong.examples(split, "en")  # type: ignore[arg-type]


def test_a_label_of_a_known_inventory_that_train_lacks_is_no_reason_to_refuse_a_sweep() -> None:
    data = pair_data(test_de=pairs("maybe", "yes"))
    task = make(data, labels=("maybe", "no", "yes"), target_languages=("de",))
    task.validate()
    assert task.unseen_labels("test", "de") == {"maybe": 1}


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
    small, large = (sampling.by_shots(examples, k, seed=3, split="train", where="here", tags=BIO) for k in (few, many))
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


def test_of_equally_frequent_labels_the_majority_is_the_mean_whatever_their_order() -> None:
    test = [PairExample("a", "b", label) for label in ("no", "no", "no", "yes")]
    for names in (("no", "yes"), ("yes", "no")):
        train = [PairExample("a", "b", label) for label in names]
        found = make({("train", "en"): train, ("test", "en"): test}).majority("test", "en")
        assert found["accuracy"] == 0.5
        assert found["macro_f1"] == pytest.approx((6 / 7 / 2 + 2 / 5 / 2) / 2)


def test_the_majority_of_entities_is_to_find_none() -> None:
    data: Data = {(split, "en"): [sentence("Rome/B-LOC is/O")] for split in ("train", "test")}
    assert make(data, "token").majority("test", "en") == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_the_majority_of_words_is_one_label_for_each() -> None:
    data: Data = {(split, "en"): [sentence("dogs/NOUN bark/VERB cats/NOUN")] for split in ("train", "test")}
    assert make(data, "token").majority("test", "en")["accuracy"] == pytest.approx(2 / 3)


def test_a_metric_given_wins_over_the_look_of_the_labels() -> None:
    data: Data = {("train", "en"): [sentence("Rome/B-LOC is/O")]}
    assert make(data, "token", metric="accuracy").metric == "accuracy"


# ---- how labels are read

ENTITIES = "Ada/B-PER is/O in/O New/B-LOC York/I-LOC"


@pytest.mark.parametrize(
    ("text", "scheme", "metric"),
    [
        (ENTITIES, "iob2", "f1"),
        (ENTITIES.replace("B-", "I-"), "io", "f1"),
        ("a/I-LOC b/I-LOC c/B-LOC d/O", "iob1", "f1"),
        ("a/B-LOC b/I-LOC c/E-LOC d/O e/S-PER", "bioes", "f1"),
        ("a/B-LOC b/I-LOC c/L-LOC d/O e/U-PER", "bilou", "f1"),
        ("a/B-LOC b/M-LOC c/E-LOC d/O e/S-PER", "bmes", "f1"),
        ("a/LOC-B b/LOC-I d/O", "iob2", "f1"),
        ("a/B_LOC b/I_LOC d/O", "iob2", "f1"),
        ("a/B b/I c/O", "iob2", "f1"),
        ("a/LOC b/LOC c/O d/O e/O f/ORG", "io", "f1"),
        ("a/DET dog/NOUN barks/VERB", "none", "accuracy"),
        ("a/1 dog/2 barks/3", "none", "accuracy"),
    ],
)
def test_the_scheme_and_the_metric_follow_from_the_whole_inventory(text: str, scheme: str, metric: str) -> None:
    task = make(words(train_en=[text]), "token")
    task.validate()
    assert (task.scheme, task.metric) == (scheme, metric)
    assert task.metric_reason
    gold = task.examples("test", "en")
    assert task.score(gold, [e.labels for e in gold if isinstance(e, TokenExample)])[metric] == 1.0


def test_a_rare_mark_of_another_split_is_part_of_the_scheme_and_is_scored() -> None:
    data = words(train_en=[ENTITIES], dev_en=[ENTITIES, "Bo/U-PER slept/O"])
    task = make(data, "token")
    assert (task.scheme, task.metric) == ("bilou", "f1")
    assert task.unseen_labels("dev", "en") == {"U-PER": 1}
    assert task.score(task.examples("dev", "en")[1:], [["B-PER", "O"]])["f1"] == 1.0


@pytest.mark.parametrize("text", ["Bo/U-PER", "Bo/M-PER", "Bo/B_PER", "Bo/b-per", "Bo/BoB-PER", "Bo/PER", "Bo/0"])
def test_a_label_of_another_split_that_does_not_fit_trains_scheme_is_refused(text: str) -> None:
    train = "Ada/B-PER Ann/I-PER Lee/E-PER is/O in/O Rome/S-LOC"
    data = words(train_en=[train], test_de=[train, text], train_de=[train])
    with pytest.raises(DataError, match="test of 'de', example 1, word 0: label"):
        make(data, "token", target_languages=("de",)).validate()


def test_splits_that_follow_two_schemes_only_together_are_refused() -> None:
    train = "Ada/B-PER Lee/I-PER is/O in/O Rome/B-LOC"
    data = words(train_en=[train], dev_en=[train, "Bo/U-PER"], test_en=[train, "Bo/S-PER"])
    with pytest.raises(DataError, match="has a mark of another scheme than others: B, I, S and U belong to no one"):
        make(data, "token").validate()


def test_words_of_types_without_marks_may_be_classes_and_the_sweep_file_decides() -> None:
    data = words(train_en=["a/LOC b/LOC c/O d/NOUN e/LOC"])
    with pytest.raises(DataError, match=r"label 'O' is on 20 % of the words.*say metric: f1 .*or metric: accuracy"):
        make(data, "token").examples("train", "en")
    assert make(data, "token", metric="accuracy").metric == "accuracy"
    task = make(data, "token", metric="f1")
    assert (task.metric, task.scheme) == ("f1", "io")


@pytest.mark.parametrize("text", ["a/1 b/2", "a/NOUN b/VERB", "a/1 b/0"])
def test_f1_of_labels_that_mark_no_entities_is_refused_and_says_what_to_write(text: str) -> None:
    with pytest.raises(DataError, match=r"metric is f1, .*none is O.*metric: accuracy, or scheme: io"):
        make(words(train_en=[text]), "token", metric="f1").examples("train", "en")


def test_numbers_that_stand_for_entity_tags_are_not_scored_by_accuracy_in_silence() -> None:
    with pytest.raises(DataError, match=r"the labels are numbers, and 0 is that of 66.67 % of the words"):
        make(words(train_en=["a/0 b/0 c/1 d/2 e/0 f/0"]), "token").examples("train", "en")


@pytest.mark.parametrize(
    ("scheme", "text", "message"),
    [
        ("iob2", ENTITIES + " Bo/U-PER", "label 'U-PER' has a mark that scheme iob2 has not"),
        ("bioes", ENTITIES + " Bo/M-PER", "label 'M-PER' has a mark that scheme bioes has not"),
        ("io", "a/B-LOC b/O", "label 'B-LOC'"),
        ("bilou", "a/NOUN b/O c/B-X", "label 'NOUN' is no entity tag"),
    ],
)
def test_a_scheme_that_is_said_is_held_against_the_labels(scheme: Any, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(words(train_en=[text]), "token", scheme=scheme).examples("train", "en")


def test_a_scheme_that_is_said_decides_the_metric() -> None:
    assert make(words(train_en=["a/NOUN b/VERB"]), "token", scheme="io").metric == "f1"
    assert make(words(train_en=[ENTITIES]), "token", scheme="none").metric == "accuracy"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scheme": "none", "metric": "f1"}, "scheme is 'none'; drop one of them"),
        ({"scheme": "io", "kind": "pair"}, "scheme is 'io', which has no effect on kind pair"),
    ],
)
def test_a_scheme_that_makes_no_sense_is_refused_at_once(keys: dict[str, Any], message: str) -> None:
    config = TaskConfig(**{"name": "mine", **keys})
    with pytest.raises(ConfigError, match=message):
        Task(config, kind=config.kind or "token", read=lambda *_: [])


# ---- labels that are none


@pytest.mark.parametrize("null", ["-", "-1", "_", "", "nan", "null"])
def test_a_mark_of_a_missing_label_is_refused_or_dropped_and_counted(null: str) -> None:
    data = pair_data(train_en=pairs("yes", null, "no", null, "no"))
    with pytest.raises(
        DataError, match=r"example 1, word 0: label .* says that there is no label; .*2 of 5.*example 3"
    ):
        make(data).examples("train", "en")
    task = make(data, null_labels="drop")
    assert [e.text_a for e in task.examples("train", "en") if isinstance(e, PairExample)] == ["a0", "a2", "a4"]
    assert (task.num_dropped("train", "en"), task.num_dropped("dev", "en")) == (2, 0)
    assert task.labels == ("no", "yes")


def test_a_sentence_with_a_word_that_lacks_its_label_is_dropped_as_a_whole() -> None:
    data = words(train_en=["a/DET dog/NOUN", "a/DET cat/_", "dogs/NOUN"])
    task = make(data, "token", null_labels="drop")
    assert [e.words for e in task.examples("train", "en") if isinstance(e, TokenExample)] == [("a", "dog"), ("dogs",)]
    assert task.num_dropped("train", "en") == 1


def test_what_is_wrong_is_found_at_its_own_place_behind_dropped_examples() -> None:
    data = pair_data(train_en=pairs("-", "yes", "-", "no", "Yes"))
    with pytest.raises(DataError, match="train of 'en', example 4, word 0: label 'Yes' differs from 'yes'"):
        make(data, null_labels="drop").examples("train", "en")


def test_a_split_all_of_whose_labels_are_missing_is_refused() -> None:
    with pytest.raises(DataError, match="test of 'en': not one example has its label; null_labels: drop leaves none"):
        make(pair_data(test_en=pairs("-", "-")), null_labels="drop").examples("test", "en")


def test_shots_are_drawn_of_what_is_left() -> None:
    data = pair_data(train_en=pairs(*["yes", "-", "no"] * 8))
    task = make(data, null_labels="drop", shots=8)
    assert task.label_counts("train", "en") == {"yes": 8, "no": 8} and task.num_dropped("train", "en") == 8


@pytest.mark.parametrize(
    ("first", "second"), [("LOC", "Loc"), ("yes", "yes "), ("B-LOC", "I-Loc"), ("no one", "noone"), ("NOUN", "noun")]
)
def test_labels_that_differ_in_blanks_or_case_are_refused_with_both_places(first: str, second: str) -> None:
    data: Data = {("train", "en"): [TokenExample(("a", "b", "c"), (first, first, second))]}
    with pytest.raises(DataError) as caught:
        make(data, "token", metric="accuracy").examples("train", "en")
    assert f"word 2: label {second!r} differs from {first!r} only in blanks or in case" in str(caught.value)
    assert "see also mine: train of 'en', example 0, word 0" in str(caught.value)


def test_classes_that_are_called_none_are_classes() -> None:
    assert make(pair_data(train_en=pairs("None", "some"), dev_en=pairs("None"), test_en=pairs("None"))).labels == (
        "None",
        "some",
    )


def test_a_separator_that_stays_at_the_end_of_a_label_is_named() -> None:
    with pytest.raises(DataError, match=r"word 1: label 'B-LOC,' ends in ',': is the separator of the columns another"):
        make(words(train_en=["is/O Rome/B-LOC, a/O"]), "token").examples("train", "en")


@pytest.mark.parametrize("label", ["Ada" * 3000 + "B-LOC", "b-" + "loc" * 3000, "x" * 9000, "LOC\nB"])
def test_a_label_of_any_length_gives_one_line_of_a_readable_length(label: str) -> None:
    train = TokenExample(("Rome", "is", "x", "y"), ("B-LOC", "O", "I-LOC", label))
    with pytest.raises(DataError) as caught:
        make({("train", "en"): [train]}, "token").examples("train", "en")
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


def test_a_column_of_texts_is_no_label() -> None:
    with pytest.raises(DataError, match=r"is a text of 6 words; is the label's column mistaken for the text's\?"):
        make(pair_data(train_en=pairs("a man sleeps on a bench", "yes"))).examples("train", "en")


@pytest.mark.parametrize(("different", "total"), [(15, 25), (120, 1000), (30, 30)])
def test_labels_that_are_nearly_as_many_as_the_pairs_are_no_labels(different: int, total: int) -> None:
    data = pair_data(train_en=pairs(*[f"c{index % different}" for index in range(total)]))
    with pytest.raises(DataError, match=f"is one of {different} different ones of {total:,} pairs"):
        make(data).examples("train", "en")


def test_a_column_of_words_or_lemmas_is_no_label() -> None:
    own = [TokenExample(tuple(f"w{i}" for i in range(30)), tuple(f"W{i % 29}" for i in range(30)))]
    with pytest.raises(DataError, match="is a word: 29 words have themselves for a label"):
        make({("train", "en"): own}, "token").examples("train", "en")
    lemmas = [TokenExample((f"w{i}s",), (f"w{i}",)) for i in range(150)]
    with pytest.raises(DataError, match="is one of 150 different ones, beside 150 different words"):
        make({("train", "en"): lemmas}, "token").examples("train", "en")


def test_many_fine_grained_tags_are_labels() -> None:
    tags = [TokenExample(tuple(f"w{i}-{j}" for j in range(5)), tuple(f"T{i}" for _ in range(5))) for i in range(150)]
    assert len(make({("train", "en"): tags}, "token").labels) == 150


# ---- fingerprint


def test_fingerprints_of_the_source_do_not_depend_on_the_target_languages() -> None:
    data = pair_data(test_de=pairs("yes"))
    marks = make(data).fingerprints()
    assert all(len(mark) == 16 and int(mark, 16) >= 0 for mark in marks.values())
    more = make(data, target_languages=("de",)).fingerprints()
    assert {key: more[key] for key in marks} == marks and more.keys() - marks.keys() == {"test/de"}
    other = make({**data, ("dev", "en"): pairs("yes", "no", "no")}).fingerprints()
    assert {key for key in marks if other[key] != marks[key]} == {"dev/en"}


@pytest.mark.parametrize("label", ["entail\tNS", "a\nb", "a\x00"])
def test_a_label_with_a_sign_that_is_not_to_be_seen_is_refused(label: str) -> None:
    examples = [PairExample("a", "b", name) for name in ("yes", "no", label)]
    task = Task(TaskConfig(name="mine", kind="pair"), kind="pair", read=lambda split, language: examples)
    with pytest.raises(DataError, match="a tab, a line end or another sign"):
        task.examples("train", "en")
