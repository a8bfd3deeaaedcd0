"""Files of the user's own: formats, columns, and a clear message with path and line for everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import PairExample, Task, TokenExample, load
from tunekit.trial import Locations, TaskConfig

TOKENS = "Paris\tB-LOC\nis\tO\n\nAda\tB-PER\n"
PAIRS = "a\tb\tyes\nc\td\tno\n"
JSON_TOKENS = """{"words": ["Paris", "is"], "labels": ["B-LOC", "O"]}

{"tokens": ["Ada"], "ner_tags": ["B-PER"]}"""
JSON_PAIRS = """{"sentence1": "a", "sentence2": "b", "gold": "yes"}
{"premise": "c", "hypothesis": "d", "label": "no"}"""
CONLLU = """# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tnada\tnada\tX\t_\t_\t_\t_\t_\t_

"""


def write(folder: Path, content: str | bytes, suffix: str = ".conll", name: str = "train-en") -> Path:
    path = folder / (name + suffix)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def own(folder: Path, content: str | bytes, suffix: str = ".conll", **keys: Any) -> Task:
    """A task whose splits all hold `content`."""
    for split in ("train", "dev", "test"):
        write(folder, content, suffix, f"{split}-en")
    config = TaskConfig(**{"name": "mine", "kind": "token", **keys})
    return load(config, Locations(files=str(folder / ("{split}-{language}" + suffix))))


def sentences(task: Task) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(e.words, e.labels) for e in task.examples("train", "en") if isinstance(e, TokenExample)]


def refused(task: Task) -> str:
    with pytest.raises(DataError) as caught:
        task.validate()
    return str(caught.value)


BOTH = [(("Paris", "is"), ("B-LOC", "O")), (("Ada",), ("B-PER",))]


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (TOKENS, ".conll"),
        (TOKENS, ".tsv"),
        (TOKENS.rstrip("\n"), ".bio"),
        (TOKENS.replace("\t", " "), ".txt"),
        (TOKENS.replace("\t", "  _ _ "), ".iob2"),
        (TOKENS.replace("\n", "\r\n"), ".conll"),
        ("\ufeff" + TOKENS, ".conll"),
        ("\n \n" + TOKENS.replace("\n\n", "\n\n\n\t\n"), ".conll"),
        ("-DOCSTART-\tO\n\n" + TOKENS, ".conll"),
        (TOKENS.replace("\t", ","), ".csv"),
        (TOKENS.replace("\t", ",").replace("\n\n", "\n,\n"), ".csv"),
        (JSON_TOKENS, ".jsonl"),
        ('{"words": [], "labels": []}\n' + JSON_TOKENS, ".ndjson"),
    ],
)
def test_sentences_are_read_from_every_format(tmp_path: Path, content: str, suffix: str) -> None:
    task = own(tmp_path, content, suffix)
    task.validate()
    assert sentences(task) == BOTH
    assert (task.kind, task.metric, task.labels) == ("token", "f1", ("B-LOC", "B-PER", "O"))


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (PAIRS, ".tsv"),
        (PAIRS.replace("\n", "\r\n"), ".txt"),
        ("Sentence1\tSentence2\tGold_Label\n" + PAIRS, ".tsv"),
        ("label,id,premise,hypothesis\nyes,1,a,b\nno,2,c,d\n", ".csv"),
        (JSON_PAIRS, ".jsonl"),
    ],
)
def test_pairs_are_read_from_every_format(tmp_path: Path, content: str, suffix: str) -> None:
    task = own(tmp_path, content, suffix, kind="pair")
    task.validate()
    assert task.examples("dev", "en") == (PairExample("a", "b", "yes"), PairExample("c", "d", "no"))
    assert (task.kind, task.metric, task.labels) == ("pair", "accuracy", ("no", "yes"))


def test_conllu_skips_comments_ranges_and_empty_nodes(tmp_path: Path) -> None:
    task = own(tmp_path, CONLLU, ".conllu")
    assert sentences(task) == [(("vamos", "nos"), ("VERB", "PRON"))]
    assert task.metric == "accuracy"


def test_columns_of_conllu_are_named_by_the_format(tmp_path: Path) -> None:
    assert sentences(own(tmp_path, CONLLU, ".conllu", columns=("LEMMA", "7"))) == [
        (("ir", "nosotros"), ("root", "obj"))
    ]
    with pytest.raises(ConfigError, match="'UPS' is not a field of CoNLL-U; did you mean 'UPOS'"):
        own(tmp_path, CONLLU, ".conllu", columns=("FORM", "UPS")).validate()


@pytest.mark.parametrize(
    ("content", "suffix", "columns"),
    [
        ("1\tB-LOC\tx\tParis\n", ".conll", ("3", "1")),
        ("tag\tword\nB-LOC\tParis\n", ".tsv", ("word", "tag")),
        ("tag,word\nB-LOC,Paris\n", ".csv", ("word", "tag")),
        ('{"w": ["Paris"], "t": ["B-LOC"]}', ".jsonl", ("w", "t")),
    ],
)
def test_columns_pick_the_word_and_the_label(tmp_path: Path, content: str, suffix: str, columns: Any) -> None:
    assert sentences(own(tmp_path, content, suffix, columns=columns)) == [(("Paris",), ("B-LOC",))]


def test_quotation_marks_are_text_in_tsv_and_quotes_in_csv(tmp_path: Path) -> None:
    first = own(tmp_path, '"a\tb"\tyes\n', ".tsv", kind="pair").examples("train", "en")
    second = own(tmp_path, '"a, ""x""\nmore",b,yes\n', ".csv", kind="pair").examples("train", "en")
    assert first == (PairExample('"a', 'b"', "yes"),)
    assert second == (PairExample('a, "x"\nmore', "b", "yes"),)


def test_whole_numbers_are_labels_in_json_lines(tmp_path: Path) -> None:
    task = own(tmp_path, '{"sentence1": "a", "sentence2": "b", "label": 1}', ".jsonl", kind="pair")
    assert task.labels == ("1",)


def test_rows_end_at_line_feeds_only(tmp_path: Path) -> None:
    odd = "a\u2028b\x85c\x0bd\x1ce\u00a0f"
    assert sentences(own(tmp_path, f"{odd}\tX\n")) == [((odd,), ("X",))]
    assert sentences(own(tmp_path, f"{odd} X\n")) == [((odd,), ("X",))]


def test_a_sentence_of_five_thousand_words_is_read_whole(tmp_path: Path) -> None:
    assert len(sentences(own(tmp_path, "word\tX\n" * 5000))[0][0]) == 5000


def test_an_entity_that_begins_with_an_inside_tag_is_accepted(tmp_path: Path) -> None:
    task = own(tmp_path, "Lawrence\tI-ORG\nwon\tO\n")
    task.validate()
    assert task.metric == "f1"


plain = st.text(st.characters(codec="utf-8", exclude_characters='\t\n\r\ufeff"'), min_size=1, max_size=6).filter(
    lambda text: text.strip() and (not text.startswith("#") or " " not in text)
)

label_text = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=4).filter(lambda x: "=" not in x)


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(st.tuples(plain, label_text), min_size=1, max_size=4), min_size=1, max_size=4),
    end=st.sampled_from(("\n", "\r\n")),
    mark=st.sampled_from(("", "\ufeff")),
)
def test_what_is_written_as_conll_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]], end: str, mark: str
) -> None:
    content = mark + end.join("".join(f"{word}\t{label}{end}" for word, label in row) for row in rows)
    task = own(tmp_path_factory.mktemp("conll"), content)
    assert sentences(task) == [tuple(zip(*row, strict=True)) for row in rows]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6), label_text), min_size=1))
def test_what_is_written_as_json_lines_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    keys = ("sentence1", "sentence2", "label")
    content = "\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows)
    task = own(tmp_path_factory.mktemp("jsonl"), content, ".jsonl", kind="pair")
    assert task.examples("train", "en") == tuple(PairExample(*row) for row in rows)


# ---- what is wrong, and where


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("", ".conll", "train-en.conll: the file holds no examples"),
        ("\n \n", ".conll", "train-en.conll: the file holds no examples"),
        ("", ".jsonl", "train-en.jsonl: the file holds no examples"),
        ("Paris\tO\nis\n", ".conll", "train-en.conll:2: 1 column in 'is', must be 2"),
        ("Paris\tO\tO\tO\nis\tO\n", ".conll", "train-en.conll:2: 2 columns in 'is\\tO', must be 4"),
        ("Paris\n", ".conll", "train-en.conll:1: 1 column in 'Paris', must be 2"),
        ("Paris\tO\n\n\tO\n", ".conll", "train-en.conll:3: the word is empty"),
        (b"Paris\tO\nM\xfcnchen\tO\n", ".conll", "train-en.conll:2: byte 0xfc is not UTF-8; save the file as UTF-8"),
        ("Paris\tO\n".encode("utf-16"), ".conll", "train-en.conll:1: byte 0xff is not UTF-8"),
        ("1\tParis\tX\n", ".conllu", "train-en.conllu:1: 3 columns"),
        ("x" + "\t_" * 9, ".conllu", "train-en.conllu:1: ID is 'x', must be a number"),
        ('Paris,O\n"is,O\n', ".csv", "train-en.csv:2: not CSV: unexpected end of data"),
        ('{"words": ["a"]\n', ".jsonl", "train-en.jsonl:1: not JSON"),
        ("[]\n", ".jsonl", "train-en.jsonl:1: expected an object"),
        ('{"words": ["\\ud83d"], "labels": ["O"]}\n', ".jsonl", "train-en.jsonl:1: half of a surrogate pair"),
        ('\n{"words": ["a"], "lables": ["O"]}\n', ".jsonl", "train-en.jsonl:2: no key 'labels'; did you mean 'lables'"),
        (
            '{"words": ["a"], "labels": ["O", "O"]}\n',
            ".jsonl",
            "train-en.jsonl:1: 1 words but 2 labels; each word needs",
        ),
        (
            '{"words": "a", "labels": ["O"]}\n',
            ".jsonl",
            "train-en.jsonl:1: expected a list with one entry for each word, got 'a'",
        ),
        ('{"words": [""], "labels": ["O"]}\n', ".jsonl", "train-en.jsonl:1: expected a word, got ''"),
        ('{"words": ["a"], "labels": [1.5]}\n', ".jsonl", "train-en.jsonl:1: label is 1.5, must be text or a whole"),
    ],
)
def test_a_broken_token_file_is_one_message_with_path_and_line(
    tmp_path: Path, content: str | bytes, suffix: str, message: str
) -> None:
    assert message in refused(own(tmp_path, content, suffix))


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        ("a\tb\tyes\nc\td\n", ".tsv", "train-en.tsv:2: 2 columns in 'c\\td', must be 3"),
        ("a\tb\n", ".tsv", "train-en.tsv:1: 2 columns in 'a\\tb', must be 3"),
        ('"a\nb",c,yes\nd,e\n', ".csv", "train-en.csv:3: 2 columns"),
        ('{"sentence1": "a", "sentence2": 3, "label": "x"}', ".jsonl", "train-en.jsonl:1: expected a text, got 3"),
        ('{"sentence1": "a", "sentence2": "b", "label": true}', ".jsonl", "train-en.jsonl:1: label is True"),
    ],
)
def test_a_broken_pair_file_is_one_message_with_path_and_line(
    tmp_path: Path, content: str, suffix: str, message: str
) -> None:
    assert message in refused(own(tmp_path, content, suffix, kind="pair"))


def test_a_dev_label_that_train_never_shows_names_its_line(tmp_path: Path) -> None:
    task = own(tmp_path, TOKENS)
    write(tmp_path, "Rome\tB-LOC\n\nit\tO\nAda\tB-PERS\n", name="dev-en")
    assert (
        "dev-en.conll:4: label 'B-PERS' never occurs in train, so it cannot be learnt; did you mean 'B-PER'"
        in refused(task)
    )


def test_a_label_of_conllu_is_found_behind_comments_and_ranges(tmp_path: Path) -> None:
    task = own(tmp_path, CONLLU, ".conllu")
    write(tmp_path, CONLLU.replace("PRON", "PRN"), ".conllu", "test-en")
    assert "test-en.conllu:4: label 'PRN'" in refused(task)


def test_a_header_without_the_column_names_the_nearest(tmp_path: Path) -> None:
    task = own(tmp_path, "word\ttags\nParis\tO\n", columns=("word", "tag"))
    assert "train-en.conll:1: the header has no column 'tag'; did you mean 'tags'" in refused(task)


def test_a_column_number_beyond_the_row_is_refused(tmp_path: Path) -> None:
    assert "train-en.conll:1: 2 columns in 'Paris\\tB-LOC', must be 4" in refused(
        own(tmp_path, TOKENS, columns=("0", "3"))
    )


def test_an_unknown_language_names_those_that_have_files(tmp_path: Path) -> None:
    task = own(tmp_path, TOKENS, target_languages=("eng",))
    with pytest.raises(ConfigError, match=r"mine: unknown language 'eng'; did you mean 'en'\? \(valid: en\)"):
        task.validate()


# ---- where the files are


def test_files_may_be_a_mapping_of_splits_and_languages(tmp_path: Path) -> None:
    first, second = write(tmp_path, TOKENS), write(tmp_path, "Rom\tB-LOC\n", name="deutsch")
    files = {"train": {"en": str(first)}, "dev": {"en": str(first)}, "test": {"en": str(first), "de": str(second)}}
    config = TaskConfig(name="mine", kind="token", target_languages=("de",))
    task = load(config, Locations(files=files))
    task.validate()
    assert len(task.examples("test", "de")) == 1


def test_a_pattern_may_repeat_a_place_and_hold_special_characters(tmp_path: Path) -> None:
    folder = tmp_path / "my [data]" / "en"
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        write(folder, TOKENS, name=f"{split}.en")
    write(folder, TOKENS, name="test.de")
    pattern = str(tmp_path / "my [data]" / "{language}" / "{split}.{language}.conll")
    task = load(TaskConfig(name="mine", kind="token"), Locations(files=pattern))
    task.validate()
    with pytest.raises(ConfigError, match=r"unknown language 'de'; .*\(valid: en\)"):
        task.examples("test", "de")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("data/train-{language}.conll", "has no {split}"),
        ("data/{split}.conll", "has no {language}"),
        ("{split}-{lang}.conll", "unknown placeholder '{lang}' in '{split}-{lang}.conll'; did you mean '{language}'"),
        ("nowhere/{split}-{language}.conll", "files: nothing matches 'nowhere/{split}-{language}.conll'"),
        ({"training": {"en": "a.conll"}}, "unknown split 'training'; did you mean 'train'"),
        ({"train": "a.conll"}, "train is 'a.conll', must be languages and their paths"),
        ({"train": {False: "a.conll"}}, "names the language False; YAML reads no"),
        ({"train": {"en": ["a.conll"]}}, "train: en is ['a.conll'], must be a path"),
        ({"train": {"en": "a.xls"}}, "a.xls: no reader of kind token for '.xls'"),
        ({"train": {"en": "a.conll"}, "dev": {"en": "a.conll"}, "test": {"en": "a.conll"}}, "a.conll: no such file"),
    ],
)
def test_files_that_cannot_be_found_say_what_is_right(files: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TaskConfig(name="mine", kind="token"), Locations(files=files)).validate()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "panx"}, "'panx' is built in"),
        ({"columns": ("0",)}, "columns is ['0'], must name 2: word, label"),
        ({"columns": ("0", "1"), "kind": "pair"}, "must name 3: first text, second text, label"),
        ({"metric": "f2"}, "metric is 'f2' for kind token; did you mean 'f1'"),
        ({"metric": "f1", "kind": "pair"}, "metric is 'f1' for kind pair"),
        ({"draw": "files", "shots": 4}, "only xnli and pawsx read"),
    ],
)
def test_keys_that_do_not_fit_the_kind_are_refused_before_reading(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        own(tmp_path, TOKENS, ".tsv", **keys)
    assert message in str(caught.value)


def test_a_kind_without_files_asks_for_them() -> None:
    with pytest.raises(ConfigError, match="files must say where its files are"):
        load(TaskConfig(name="mine", kind="token"), Locations())
