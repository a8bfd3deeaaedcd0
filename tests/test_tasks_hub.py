"""xnli, pawsx, panx and udpos from the Hugging Face hub, against data sets with the hub's own schemas made here."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import PairExample, Task, TokenExample, load
from tunekit.tasks.tagging import PANX_LABELS, UDPOS_LABELS, UDPOS_LANGUAGES
from tunekit.trial import Locations, TaskConfig

datasets = pytest.importorskip("datasets")

# The order of the names is the hub's; it is not the order of the task's inventory.
PANX_NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
UDPOS_NAMES = list(UDPOS_LABELS)
XNLI_NAMES = ["entailment", "neutral", "contradiction"]


def text() -> Any:
    return datasets.Value("string")


def panx(rows: list[tuple[list[str], list[str]]], language: str = "en") -> Any:
    features = datasets.Features(
        tokens=datasets.Sequence(text()),
        ner_tags=datasets.Sequence(datasets.ClassLabel(names=PANX_NAMES)),
        langs=datasets.Sequence(text()),
    )
    columns = {
        "tokens": [words for words, _ in rows],
        "ner_tags": [[PANX_NAMES.index(tag) for tag in tags] for _, tags in rows],
        "langs": [[language] * len(words) for words, _ in rows],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def udpos(rows: list[tuple[list[str], list[str]]]) -> Any:
    features = datasets.Features(
        tokens=datasets.Sequence(text()),
        pos_tags=datasets.Sequence(datasets.ClassLabel(names=UDPOS_NAMES)),
    )
    columns = {
        "tokens": [words for words, _ in rows],
        "pos_tags": [[UDPOS_NAMES.index(tag) for tag in tags] for _, tags in rows],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def xnli(rows: list[tuple[str, str, int]]) -> Any:
    features = datasets.Features(premise=text(), hypothesis=text(), label=datasets.ClassLabel(names=XNLI_NAMES))
    columns = dict(zip(features, map(list, zip(*rows, strict=True)), strict=True))
    return datasets.Dataset.from_dict(columns, features=features)


def pawsx(rows: list[tuple[int, str, str, int]]) -> Any:
    label = datasets.ClassLabel(names=["0", "1"])
    features = datasets.Features(id=datasets.Value("int32"), sentence1=text(), sentence2=text(), label=label)
    columns = dict(zip(features, map(list, zip(*rows, strict=True)), strict=True))
    return datasets.Dataset.from_dict(columns, features=features)


class Hub:
    """Stands in for `datasets.load_dataset`: one data set whatever is asked for, and a list of what was."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, repository: str, name: str, *, split: str) -> Any:
        self.asked.append((repository, name, split))
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows


def task(monkeypatch: pytest.MonkeyPatch, hub: Hub, name: str, **keys: Any) -> Task:
    monkeypatch.setattr(datasets, "load_dataset", hub)
    return load(TaskConfig(name=name, **keys), Locations())


def test_panx_comes_from_google_xtreme_with_validation_as_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(panx([(["Ada", "Lovelace", "wrote"], ["B-PER", "I-PER", "O"]), ([], [])]))
    found = task(monkeypatch, hub, "panx", target_languages=("de",))
    assert found.examples("dev", "en") == (TokenExample(("Ada", "Lovelace", "wrote"), ("B-PER", "I-PER", "O")),)
    found.validate()
    assert hub.asked == [
        ("google/xtreme", "PAN-X.en", "validation"),
        ("google/xtreme", "PAN-X.en", "train"),
        ("google/xtreme", "PAN-X.en", "test"),
        ("google/xtreme", "PAN-X.de", "test"),
    ]


def test_the_names_of_hub_labels_are_those_of_the_inventory() -> None:
    assert sorted(PANX_NAMES) == list(PANX_LABELS)
    assert sorted(UDPOS_NAMES) == list(UDPOS_LABELS)


def test_a_language_before_each_word_of_panx_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(panx([(["en:Ada", "en:,"], ["B-PER", "O"]), (["en:x"], ["O"])]))
    assert task(monkeypatch, hub, "panx").examples("test", "en")[0] == TokenExample(("Ada", ","), ("B-PER", "O"))


def test_udpos_configurations_are_named_by_language(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(udpos([(["dogs", "bark"], ["NOUN", "VERB"])]))
    found = task(monkeypatch, hub, "udpos", target_languages=("zh", "th"))
    found.validate()
    assert found.examples("train", "en") == (TokenExample(("dogs", "bark"), ("NOUN", "VERB")),)
    assert [name for _, name, _ in hub.asked] == ["udpos.English"] * 3 + ["udpos.Chinese", "udpos.Thai"]
    assert len(set(UDPOS_LANGUAGES.values())) == 33


def test_a_split_that_the_hub_lacks_is_refused_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(udpos([(["dogs"], ["NOUN"])]))
    with pytest.raises(DataError, match="udpos: no dev data in 'th'; languages that have it: af, ar"):
        task(monkeypatch, hub, "udpos").examples("dev", "th")
    assert hub.asked == []


def test_an_unknown_language_names_the_nearest_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(udpos([(["dogs"], ["NOUN"])]))
    with pytest.raises(ConfigError, match=r"udpos: unknown language 'ger'; .*valid: af, ar, bg"):
        task(monkeypatch, hub, "udpos", target_languages=("ger",)).validate()
    assert hub.asked == []


def test_xnli_labels_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(xnli([("a", "b", 0), ("c", "d", 1), ("e", "f", 2)]))
    found = task(monkeypatch, hub, "xnli", source_language="en", target_languages=("sw",))
    found.validate()
    assert found.examples("test", "sw") == (
        PairExample("a", "b", "entailment"),
        PairExample("c", "d", "neutral"),
        PairExample("e", "f", "contradiction"),
    )
    assert hub.asked[0] == ("facebook/xnli", "en", "train")
    assert hub.asked[-1] == ("facebook/xnli", "sw", "test")


def test_pairs_of_pawsx_without_label_or_translation_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, "a", "b", 1), (2, "c", "d", -1), (3, "NS", "e", 0), (4, "f", "", 0), (5, "g", "h", 0)]
    hub = Hub(pawsx(rows))
    found = task(monkeypatch, hub, "pawsx")
    assert found.examples("dev", "de") == (PairExample("a", "b", "1"), PairExample("g", "h", "0"))
    assert hub.asked == [("google-research-datasets/paws-x", "de", "validation")]


def test_rows_without_gold_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(xnli([("a", "b", -1)]))
    with pytest.raises(
        DataError, match=r"facebook/xnli \(en, test\): label is -1, must be 0 to 2 \(entailment, neutral"
    ):
        task(monkeypatch, hub, "xnli").examples("test", "en")


def test_another_schema_than_the_hubs_names_the_column_and_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(udpos([(["dogs"], ["NOUN"])]).rename_column("pos_tags", "upos_tags"))
    with pytest.raises(
        DataError, match=r"google/xtreme \(udpos.English, train\): no column 'pos_tags'; did you mean 'upos"
    ):
        task(monkeypatch, hub, "udpos").examples("train", "en")


def test_a_label_outside_the_inventory_names_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = datasets.Dataset.from_dict({"premise": ["a"], "hypothesis": ["b"], "label": ["maybe"]})
    with pytest.raises(
        DataError, match=r"facebook/xnli \(en, train\): example 0, word 0: label 'maybe' is not a label"
    ):
        task(monkeypatch, Hub(rows), "xnli").examples("train", "en")


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("Unknown split"), FileNotFoundError("gone")])
def test_a_hub_out_of_reach_says_what_would_help(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(DataError, match=r"\(en, train\): cannot be loaded from the Hugging Face hub: .*data_dir reads"):
        task(monkeypatch, Hub(error), "xnli").examples("train", "en")


def test_a_fixed_draw_takes_its_test_split_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "en").mkdir()
    for split in ("train", "dev"):
        row = '{"lang": "en", "sentence1": "a", "sentence2": "b", "gold": "neutral", "file_idx": 1}\n'
        (tmp_path / "en" / f"{split}-1.jsonl").write_text(row, encoding="utf-8")
    monkeypatch.setattr(datasets, "load_dataset", Hub(xnli([("c", "d", 1)])))
    found = load(TaskConfig(name="xnli", shots=1, draw="files"), Locations(fewshot_dir=str(tmp_path)))
    found.validate()
    assert found.examples("train", "en") == (PairExample("a", "b", "neutral"),)
    assert found.examples("test", "en") == (PairExample("c", "d", "neutral"),)
