"""The same data by another way gives the same examples: patterns and `data_dir`, hub and file, what libraries write."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from test_tasks_hub import Hub, panx, pawsx

from tunekit.errors import DataError
from tunekit.tasks import Example, PairExample, TokenExample, load
from tunekit.tasks.files import Said, conll, conllu, csv_pairs, csv_tokens, tsv_pairs
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.tagging import PANX, without_language
from tunekit.trial import Locations, TaskConfig

datasets = pytest.importorskip("datasets")
pandas = pytest.importorskip("pandas")

PAIRS = [
    PairExample('He said "go", then left', "He\u00a0left .", "yes"),
    PairExample("5\" pipe, 'new'", "NULL", "no"),
    PairExample("# not a comment", "nan", "yes"),
]
WORDS = [
    TokenExample(("Ada", ",", "saw", '"', "#1", "Rome"), ("B-PER", "O", "O", "O", "O", "B-LOC")),
    TokenExample(("1,000", "NA", "it's"), ("O", "O", "O")),
]
PAIR_COLUMNS = {
    "sentence1": [e.text_a for e in PAIRS],
    "sentence2": [e.text_b for e in PAIRS],
    "label": [e.label for e in PAIRS],
}
WORD_COLUMNS = {"tokens": [list(e.words) for e in WORDS], "ner_tags": [list(e.labels) for e in WORDS]}
FLAT_COLUMNS = {
    "sentence_id": [i for i, e in enumerate(WORDS) for _ in e.words],
    "word": [word for e in WORDS for word in e.words],
    "tag": [label for e in WORDS for label in e.labels],
}


# ---- what datasets and pandas write


@pytest.mark.parametrize("has_index", [False, True])
def test_pairs_that_libraries_write_as_csv_are_read_back(tmp_path: Path, has_index: bool) -> None:
    path = tmp_path / "a.csv"
    pandas.DataFrame(PAIR_COLUMNS).to_csv(path, index=has_index)
    parsed = csv_pairs(path)
    assert parsed.examples == PAIRS
    assert any("index, as pandas writes it" in note for note in parsed.notes) == has_index
    datasets.Dataset.from_dict(PAIR_COLUMNS).to_csv(path, index=has_index)
    assert csv_pairs(path).examples == PAIRS


def test_a_csv_that_pandas_read_and_wrote_again_has_two_indices_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pandas.DataFrame(PAIR_COLUMNS).to_csv(path)
    pandas.read_csv(path, keep_default_na=False).to_csv(path)
    assert csv_pairs(path).examples == PAIRS


@pytest.mark.parametrize("has_index", [False, True])
def test_pairs_between_tabs_are_read_back_or_refused_where_quotes_were_added(tmp_path: Path, has_index: bool) -> None:
    path, frame = tmp_path / "a.tsv", pandas.DataFrame(PAIR_COLUMNS)
    frame.to_csv(path, sep="\t", index=has_index)
    with pytest.raises(
        DataError, match=r"a\.tsv:2: quotation marks are doubled in .*; if they are, say separator: tab"
    ):
        tsv_pairs(path)
    assert csv_pairs(path, said=Said(separator="tab")).examples == PAIRS
    assert tsv_pairs(path, said=Said(separator="tab")).examples[0] != PAIRS[0]
    frame.to_csv(path, sep="\t", index=has_index, quoting=csv.QUOTE_NONE)
    assert tsv_pairs(path).examples == PAIRS
    frame.to_csv(path, sep="\t", index=has_index, header=False, quoting=csv.QUOTE_NONE)
    assert tsv_pairs(path).examples == PAIRS


@pytest.mark.parametrize(("kind", "columns", "wanted"), [("pair", PAIR_COLUMNS, PAIRS), ("token", WORD_COLUMNS, WORDS)])
def test_json_lines_of_both_libraries_are_read_back(tmp_path: Path, kind: Any, columns: Any, wanted: Any) -> None:
    path = tmp_path / "a.jsonl"
    datasets.Dataset.from_dict(columns).to_json(path)
    parsed = jsonl(path, kind)
    assert parsed.examples == wanted
    assert parsed.notes[0].startswith("keys: ")
    pandas.DataFrame(columns).to_json(path, orient="records", lines=True)
    assert jsonl(path, kind).examples == wanted
    pandas.DataFrame(columns).to_json(path, orient="records")
    with pytest.raises(
        DataError, match=r"a\.jsonl:1: expected an object .*; pandas writes one on each line with lines"
    ):
        jsonl(path, kind)


def test_lists_of_words_in_a_csv_are_refused_with_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for table in (datasets.Dataset.from_dict(WORD_COLUMNS), pandas.DataFrame(WORD_COLUMNS)):
        table.to_csv(path, index=False)
        with pytest.raises(DataError, match=r"a\.csv:2: a list written as text in .*; write lists as JSON lines"):
            csv_tokens(path)


@pytest.mark.parametrize("has_index", [False, True])
@pytest.mark.parametrize("has_header", [False, True])
def test_a_table_with_one_word_in_each_row_is_read_back(tmp_path: Path, has_index: bool, has_header: bool) -> None:
    frame = pandas.DataFrame(FLAT_COLUMNS)
    frame.to_csv(tmp_path / "a.csv", index=has_index, header=has_header)
    if has_index and not has_header:
        with pytest.raises(DataError, match=r"a\.csv:1: the first two columns hold numbers, so no word is sure"):
            csv_tokens(tmp_path / "a.csv")
        return
    assert csv_tokens(tmp_path / "a.csv").examples == WORDS
    if not has_index:
        frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False, header=has_header, quoting=csv.QUOTE_NONE)
        assert conll(tmp_path / "a.tsv").examples == WORDS


def test_quoted_words_between_tabs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    pandas.DataFrame(FLAT_COLUMNS).to_csv(path, sep="\t", index=False)
    with pytest.raises(DataError, match=r"a\.tsv:5: quotation marks are doubled"):
        conll(path)
    assert csv_tokens(path, said=Said(separator="tab")).examples == WORDS


# ---- hub and file


MARKED = [
    [(["en:Ada", "en:Lovelace"], ["B-PER", "I-PER"]), (["en:"], ["O"]), (["en:x", "y"], ["O", "O"])],
    [(["Ada", "fr:Rome"], ["B-PER", "O"]), (["en:x"], ["O"]), (["en:", "a", "b"], ["O", "O", "O"])],
    [(["Ada", "x", "y", "z"], ["B-PER", "O", "O", "O"]), (["en:a", "en::"], ["O", "O"])],
]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (MARKED[0], [("Ada", "Lovelace"), ("en:",), ("x", "y")]),
        (MARKED[1], [("Ada", "fr:Rome"), ("en:x",), ("en:", "a", "b")]),
        (MARKED[2], [("Ada", "x", "y", "z"), ("a", ":")]),
    ],
)
def test_a_language_before_words_is_taken_off_alike_in_file_and_hub(
    tmp_path: Path, rows: list[tuple[list[str], list[str]]], words: list[tuple[str, ...]]
) -> None:
    path = tmp_path / "train-en.tsv"
    path.write_text("\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*row, strict=True)) for row in rows))
    file = PANX.parse(path, "en")
    assert [e.words for e in file.examples if isinstance(e, TokenExample)] == words
    for part in PANX.hub.parts:
        hub = part.convert(panx(rows), "en", "hub")
        assert file.examples == hub.examples
        assert file.notes[-1] == hub.notes[-1]
    assert "words that begin with it are kept whole" in file.notes[-1]


def test_words_of_a_file_without_the_language_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "train-en.tsv"
    path.write_text("10:30\tO\nde:Rom\tO\n")
    parsed = conll(path)
    assert without_language(parsed, "en") is parsed


def test_paws_x_is_the_same_from_file_and_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [(1, "a", "b", 1), (3, "NS", "e", 0), (4, "f", "", 0), (5, "g", "h", 0), (6, "", "", 1), (7, "NS", "NS", 0)]
    (tmp_path / "pawsx").mkdir()
    text = "".join(f"{a}\t{b}\t{label}\n" for _, a, b, label in rows)
    (tmp_path / "pawsx" / "dev-de.tsv").write_text(text)
    monkeypatch.setattr(datasets, "load_dataset", Hub(pawsx(rows)))
    tasks = [load(TaskConfig(name="pawsx"), place) for place in (Locations(), Locations(data_dir=str(tmp_path)))]
    assert tasks[0].examples("dev", "de") == tasks[1].examples("dev", "de")
    assert tasks[1].examples("dev", "de") == (PairExample("a", "b", "1"), PairExample("g", "h", "0"))
    found = [task._source.reading("dev", "de").left_out for task in tasks]
    assert found[0] == found[1] == {"pairs without label or translation": 4}


# ---- real data


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "languages"),
    [("panx", ("de", "yo", "zh")), ("udpos", ("fr", "th")), ("xnli", ("en", "sw")), ("pawsx", ("en", "ja", "de"))],
)
def test_a_pattern_reads_the_shared_files_as_data_dir_does(shared: Path, name: str, languages: tuple[str, ...]) -> None:
    root = shared / "data" / "xtreme"
    kind: Any = "token" if name in ("panx", "udpos") else "pair"
    files = Locations(files=str(root / name / "{split}-{language}.tsv"))
    mine = load(TaskConfig(name="mine", kind=kind), files)
    theirs = load(TaskConfig(name=name), Locations(data_dir=str(root)))
    num_read = 0
    for split in ("train", "dev", "test"):
        for language in languages:
            if (root / name / f"{split}-{language}.tsv").is_file():
                read: list[Any] = [task._source.read(split, language) for task in (mine, theirs)]
                assert read[0] == read[1]
                num_read += len(read[0])
    assert num_read > 1000


def trees(path: Path) -> list[list[tuple[str, str]]]:
    """A parser of its own, for nothing but a treebank that is as it should be."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    rows = [[row.split("\t") for row in block.split("\n") if row[0] != "#"] for block in blocks]
    return [[(cells[1], cells[3]) for cells in row if cells[0].isdigit()] for row in rows]


def written(examples: list[Example], *, is_conllu: bool) -> str:
    rows = [list(enumerate(zip(e.words, e.labels, strict=True), 1)) for e in examples if isinstance(e, TokenExample)]
    line = "{0}\t{1}\t_\t{2}\t_\t_\t_\t_\t_\t_\n" if is_conllu else "{1}\t{2}\n"
    return "\n".join("".join(line.format(n, word, tag) for n, (word, tag) in row) for row in rows)


@pytest.mark.real_data
@pytest.mark.parametrize("language", ["ar", "de", "en", "fi", "ja"])
def test_treebanks_are_read_whole_and_are_the_same_once_written_and_read_again(
    shared: Path, tmp_path: Path, language: str
) -> None:
    source = shared / "data" / "conllu" / f"{language}_pud-ud-test.conllu"
    parsed = conllu(source)
    found = [list(zip(e.words, e.labels, strict=True)) for e in parsed.examples if isinstance(e, TokenExample)]
    assert found == trees(source)
    assert len(found) == 1000
    for name, read in {"a.conllu": conllu, "a.tsv": conll}.items():
        (tmp_path / name).write_text(written(parsed.examples, is_conllu=read is conllu), encoding="utf-8")
        again = read(tmp_path / name)
        assert again.examples == parsed.examples
        assert not again.left_out
