"""xnli, pawsx, panx and udpos from the Hugging Face hub, against data sets with the hub's own schemas made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import PairExample, Split, Task, TokenExample, load
from tunekit.tasks.readers.hub import HUB_SPLITS
from tunekit.tasks.tagging import PANX_LABELS, PANX_LANGUAGES, UDPOS_LABELS, UDPOS_LANGUAGES, XTREME_UDPOS
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


Sentence = list[tuple[str, str, str]]
"""Form, part of speech and head of each line of a sentence of Universal Dependencies."""
UPOS_NAMES = [
    "NOUN", "PUNCT", "ADP", "NUM", "SYM", "SCONJ", "ADJ", "PART", "DET", "CCONJ", "PROPN", "PRON", "X", "_", "ADV",
    "INTJ", "VERB", "AUX",
]  # fmt: skip


def treebank(sentences: list[Sentence]) -> Any:
    """As the script of universal_dependencies gave it: a line without a head has the head ``None``, as text."""
    columns: dict[str, list[Any]] = {
        "idx": [str(number) for number, _ in enumerate(sentences)],
        "text": [" ".join(form for form, _, _ in lines) for lines in sentences],
        "tokens": [[form for form, _, _ in lines] for lines in sentences],
        "upos": [[UPOS_NAMES.index(tag) for _, tag, _ in lines] for lines in sentences],
        "head": [[head for _, _, head in lines] for lines in sentences],
    }
    for name in ("lemmas", "xpos", "feats", "deprel", "deps", "misc"):
        columns[name] = [["None"] * len(lines) for lines in sentences]
    features = {name: datasets.Sequence(text()) for name in columns if name not in ("idx", "text")}
    features |= {"idx": text(), "text": text(), "upos": datasets.Sequence(datasets.ClassLabel(names=UPOS_NAMES))}
    return datasets.Dataset.from_dict(columns, features=datasets.Features({name: features[name] for name in columns}))


def wikiann(rows: list[tuple[list[str], list[str]]], language: str) -> Any:
    """As google/xtreme's PAN-X, with the entities once more as text."""
    spans = [["PER: " + " ".join(words)] for words, _ in rows]
    feature = datasets.Sequence(text())
    return panx(rows, language).add_column("spans", spans, feature=feature)


class Hub:
    """Stands in for `datasets.load_dataset`: one data set, or those of a mapping by name, and a list of what was asked.

    A data set is asked for by its name, or by a folder of a branch.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.asked: list[tuple[str, str, str]] = []

    def __call__(
        self, repository: str, name: str = "", *, split: str, data_dir: str = "", revision: str | None = None
    ) -> Any:
        assert bool(name) != bool(data_dir) and (revision == "refs/convert/parquet") == bool(data_dir)
        self.asked.append((repository, name or data_dir, split))
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows[name or data_dir] if isinstance(self.rows, dict) else self.rows


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
    assert len(set(XTREME_UDPOS.values())) == 33


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


PUBLISHED = {
    "panx": (
        "en af ar az bg bn de el es et eu fa fi fr gu he hi hu id it ja jv ka kk ko lt ml mr ms my nl pa pl pt qu ro "
        "ru sw ta te th tl tr uk ur vi yo zh"
    ),
    "udpos": (
        "en af ar bg de el es et eu fa fi fr he hi hu id it ja kk ko lt mr nl pl pt ro ru ta te th tl tr uk ur vi wo "
        "yo zh"
    ),
}
"""The languages of the recovered tables of prompt tuning, which are those of ToPro's experiments."""


def test_every_language_of_the_published_tables_is_on_the_hub_and_no_other() -> None:
    assert sorted(PUBLISHED["panx"].split()) == list(PANX_LANGUAGES) and len(PANX_LANGUAGES) == 48
    assert sorted(PUBLISHED["udpos"].split()) == list(UDPOS_LANGUAGES) and len(UDPOS_LANGUAGES) == 38


@pytest.mark.parametrize("language", ["az", "gu", "lt", "pa", "pl", "qu", "ro", "uk"])
def test_panx_of_a_language_that_xtreme_lacks_comes_from_wikiann(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    row = (["Ada", "Lovelace", "wrote"], ["B-PER", "I-PER", "O"])
    hub = Hub({"PAN-X.en": panx([row]), language: wikiann([row], language)})
    found = task(monkeypatch, hub, "panx", target_languages=(language,))
    found.validate(target_dev=True)
    assert found.examples("test", language) == (TokenExample(*map(tuple, row)),)
    assert [each for each in hub.asked if each[0] != "google/xtreme"] == [
        ("unimelb-nlp/wikiann", language, split) for split in ("test", "validation")
    ]


def lines(words: str) -> Sentence:
    """A sentence of plain words, each with a head."""
    return [(form, tag, str(number)) for number, (form, tag) in enumerate(map(lambda w: w.split("/"), words.split()))]


def words_of(found: Task, split: Any, language: str) -> list[tuple[str, ...]]:
    return [example.words for example in found.examples(split, language) if isinstance(example, TokenExample)]


@pytest.mark.parametrize(
    ("language", "split", "read"),
    [
        ("lt", "train", ["lt_alksnis", "lt_hse"]),
        ("lt", "dev", ["lt_alksnis"]),
        ("lt", "test", ["lt_alksnis"]),
        ("pl", "dev", ["pl_lfg", "pl_pdb"]),
        ("pl", "test", ["pl_lfg", "pl_pdb", "pl_pud"]),
        ("ro", "test", ["ro_nonstandard", "ro_rrt", "ro_simonero"]),
        ("uk", "test", ["uk_iu"]),
        ("wo", "train", ["wo_wtb"]),
    ],
)
def test_udpos_of_a_language_that_xtreme_lacks_is_all_its_treebanks_by_name(
    monkeypatch: pytest.MonkeyPatch, language: str, split: Split, read: list[str]
) -> None:
    hub = Hub({name: treebank([lines(f"{name}/NOUN ./PUNCT")]) for name in read})
    found = task(monkeypatch, hub, "udpos")
    assert words_of(found, split, language) == [(name, ".") for name in read]
    there = HUB_SPLITS[split]
    assert hub.asked == [("universal-dependencies/universal_dependencies", name, there) for name in read]
    key = f"{split}/{language}"
    assert all(f"({name}, {there})" in found.where(key) for name in read)


def test_a_line_of_a_treebank_that_is_no_word_of_the_text_is_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined: Sentence = [("zrobiłem", "_", "None"), ("zrobił", "VERB", "0"), ("em", "AUX", "1"), (".", "PUNCT", "1")]
    elided: Sentence = [("Ada", "PROPN", "0"), ("zrobiła", "VERB", "None"), ("to", "PRON", "1")]
    nothing: Sentence = [("ich", "PRON", "None")]
    rows = treebank([joined, elided, nothing])
    found = task(monkeypatch, Hub({"uk_iu": rows}), "udpos", target_languages=("uk",))
    assert found.examples("test", "uk") == (
        TokenExample(("zrobił", "em", "."), ("VERB", "AUX", "PUNCT")),
        TokenExample(("Ada", "to"), ("PROPN", "PRON")),
    )
    notes = found.notes("test", "uk")
    assert notes.left_out == {
        "forms of several words, which follow one by one": 1,
        "words that are not in the text": 2,
        "sentences without words": 1,
    }


def test_what_is_left_out_of_several_treebanks_is_counted_together_and_what_the_hub_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = treebank([[("a", "_", "None"), ("b", "X", "0")]]), treebank([[("c", "_", "None"), ("d", "X", "0")]] * 2)
    found = task(monkeypatch, Hub({"lt_alksnis": one, "lt_hse": two}), "udpos", target_languages=("lt",))
    assert [len(found.examples(split, "lt")) for split in HUB_SPLITS] == [3, 1, 1]
    assert found.notes("train", "lt").left_out == {"forms of several words, which follow one by one": 3}
    assert found.notes("test", "lt").notes == (
        "lt_hse is in train alone: on the hub its dev and test hold its train sentences, so they are not read",
    )


def test_a_strange_label_is_found_in_the_treebank_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = lines("a/NOUN b/VERB"), [("c", "NOUN", "0"), ("d", "_", "1")]
    hub = Hub({"pl_lfg": treebank([good] * 3), "pl_pdb": treebank([good, bad]), "pl_pud": treebank([good])})
    found = task(monkeypatch, hub, "udpos", source_language="pl")
    with pytest.raises(DataError, match=r"universal_dependencies \(pl_pdb, train\): example 1, word 1: label '_'"):
        found.examples("train", "pl")


@pytest.mark.parametrize("layout", ["{name}/{split}/0000.parquet", "{name}/universal_dependencies-{split}.parquet"])
def test_datasets_itself_finds_a_treebank_and_its_label_names_in_the_folders_that_the_hub_writes(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's two layouts of converted files, in a local folder that stands for the branch."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("wo_wtb", "uk_iu"):
        for split in ("train", "validation", "test"):
            file = tmp_path / "branch" / layout.format(name=name, split=split)
            file.parent.mkdir(parents=True, exist_ok=True)
            treebank([lines(f"{name}/NOUN {split}/VERB")]).to_parquet(file)
    real = datasets.load_dataset

    def load_dataset(repository: str, *, data_dir: str, revision: str, split: str) -> Any:
        return real(str(tmp_path / "branch"), data_dir=data_dir, split=split, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = load(TaskConfig(name="udpos"), Locations())
    for split, there in HUB_SPLITS.items():
        (example,) = found.examples(split, "wo")
        assert example == TokenExample(("wo_wtb", there), ("NOUN", "VERB"))
