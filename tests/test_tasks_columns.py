"""Column files as people have them: read rightly, or refused with the line; what is left out is counted."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import PairExample, TokenExample, load
from tunekit.tasks.files import Parsed, Said, conll, conllu, csv_pairs, csv_tokens, tsv_pairs
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.readers.sources import Files, by_mapping
from tunekit.trial import Locations, TaskConfig

NER = "Ada B-PER\nsaw O\nRome B-LOC\n\nIt O\nrained O\n"
WANTED = [("Ada/B-PER", "saw/O", "Rome/B-LOC"), ("It/O", "rained/O")]


def file(folder: Path, content: str | bytes, name: str = "train-en.conll") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shown(parsed: Parsed) -> list[tuple[str, ...]]:
    """Sentences as ``word/label``."""
    rows = [e for e in parsed.examples if isinstance(e, TokenExample)]
    return [tuple(map("/".join, zip(e.words, e.labels, strict=True))) for e in rows]


def tabbed(content: str) -> str:
    return content.replace(" ", "\t")


def refusal(read: Any, path: Path, *args: Any, **keys: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, *args, **keys)
    return str(caught.value)


# ---- comments, and words that begin with #


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ("# sent_id = 1\n# text = Ada saw Rome\n" + NER, 2),
        ("# id 7 domain=train\n" + NER.replace(" ", " _ _ ").replace("\n\n", "\n\n# id 8 domain=train\n"), 2),
        ("# newdoc id = x\n# a remark of five words\n" + NER, 2),
        ("# domain=train\n" + NER, 1),
        ("#begin document (x); part 000\n" + NER + "\n#end document\n", 2),
        (tabbed("# text = a b" + "\n" + NER).replace("#\ttext\t=\ta\tb", "# text = a\tb"), 1),
        ("#\thttp://de.wikipedia.org\t[2009-10-17]\n" + tabbed(NER), 1),
        ("# a remark\n" + tabbed(NER), 1),
        ("# Token\tLabel\n" + tabbed(NER), 1),
    ],
)
def test_a_comment_at_the_start_of_a_sentence_is_left_out_and_counted(tmp_path: Path, content: str, count: int) -> None:
    parsed = conll(file(tmp_path, content))
    assert shown(parsed) == WANTED
    assert parsed.left_out == {"comment lines": count}


@pytest.mark.parametrize(
    "content",
    [
        "# O\n1 O\n\nvote O\n#1 O\n",
        "#tag O\nx O\n\n# O\n",
        "a O\n# O\n\n#Rome B-LOC\nis O\n",
        "# _ _ O\n1 _ _ O\n\n#x _ _ B-LOC\n",
        "#\tSYM\nis\tAUX\n\n#hashtag\tX\n",
        "#\tTAG1\n\n#\tTAG2\n",
    ],
)
def test_a_hash_with_a_label_is_a_word_wherever_it_stands(tmp_path: Path, content: str) -> None:
    parsed = conll(file(tmp_path, content))
    assert not parsed.left_out
    num_words = sum(bool(line) for line in content.split("\n"))
    assert sum(map(len, shown(parsed))) == num_words


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("# Kapitel\n" + NER, 1),
        (NER + "\n#Rome\nis O\n", 8),
        ("# sent 3 O\n" + NER.replace(" ", " _ _ "), 1),
        ("a _ O\n\n# O\nb _ O\n", 3),
    ],
)
def test_what_could_be_a_comment_or_a_word_is_refused_with_the_key_that_says_it(
    tmp_path: Path, content: str, line: int
) -> None:
    message = refusal(conll, file(tmp_path, content))
    assert f"train-en.conll:{line}: " in message
    assert "could be a comment or a word" in message
    assert "comment: '# '" in message


def test_a_comment_inside_a_sentence_is_refused_and_not_read_as_a_word(tmp_path: Path) -> None:
    content = "Ada B-PER\n# domain=test\nsaw O\n"
    assert "train-en.conll:2: '# domain=test' stands inside a sentence" in refusal(conll, file(tmp_path, content))
    assert "is an empty line missing before it?" in refusal(conll, file(tmp_path, content))


@pytest.mark.parametrize(("comment", "first"), [("# ", "# Kapitel O"), ("%%", "%% x"), ("//", "// a b c")])
def test_what_is_said_to_be_a_comment_is_one_wherever_it_stands(tmp_path: Path, comment: str, first: str) -> None:
    path = file(tmp_path, f"{first}\n" + NER.replace("saw", f"{first}\nsaw"))
    parsed = conll(path, said=Said(comment=comment))
    assert shown(parsed) == WANTED
    assert parsed.left_out == {"comment lines": 2}


def test_no_line_is_taken_for_a_comment_where_another_start_is_said(tmp_path: Path) -> None:
    assert shown(conll(file(tmp_path, "# Kapitel\n" + NER), said=Said(comment="##")))[0][0] == "#/Kapitel"


# ---- marks of documents


@pytest.mark.parametrize(
    "mark",
    ["-DOCSTART-", "-DOCSTART- -X- O O", "-DOCSTART-\tO", "-DOCSTART- (1)", "-DOCSTART- -X- -X- O", "-DOCSTART- O"],
)
@pytest.mark.parametrize("gap", ["\n\n", "\n"])
@pytest.mark.parametrize("middle", [" ", " NN X ", "\t"])
def test_a_mark_of_a_document_is_skipped_whatever_its_width(tmp_path: Path, mark: str, gap: str, middle: str) -> None:
    content = mark + gap + NER.replace(" ", middle).replace("\n\n", f"\n{mark}{gap}")
    parsed = conll(file(tmp_path, content))
    assert shown(parsed) == WANTED
    assert parsed.left_out == {"document marks": 2}
    assert parsed.lines[0][0] == 1 + len(gap)


# ---- header rows


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("word\ttag\n" + tabbed(NER), "a.tsv"),
        ("Token,Label\n" + NER.replace(" ", ","), "a.csv"),
        ("FORM UPOS\n\n" + NER, "a.conll"),
        ("words ner_tags\n" + NER, "a.txt"),
        ("label\ttext\n" + "".join("\t".join(r.split(" ")[::-1]) + "\n" for r in NER.split("\n")[:-1]), "a.tsv"),
    ],
)
def test_a_header_row_of_words_is_no_word(tmp_path: Path, content: str, name: str) -> None:
    parsed = (csv_tokens if name.endswith("csv") else conll)(file(tmp_path, content, name))
    assert shown(parsed) == WANTED
    assert parsed.left_out == {"header rows": 1}


def test_a_header_is_what_a_person_says(tmp_path: Path) -> None:
    path = file(tmp_path, "word O\n" + NER)
    assert shown(conll(path))[0][0] == "word/O"
    path = file(tmp_path, "Wort Etikett\n" + NER)
    assert shown(conll(path, said=Said(header=True))) == WANTED
    path = file(tmp_path, "word tag\n" + NER)
    assert shown(conll(path, said=Said(header=False)))[0][0] == "word/tag"
    with pytest.raises(ConfigError, match="columns names 'word', but header is false"):
        conll(path, ("word", "tag"), said=Said(header=False))


def test_columns_said_by_number_do_not_make_the_header_a_word(tmp_path: Path) -> None:
    path = file(
        tmp_path, "n,Word,Tag\n" + "".join(f"9,{r.replace(' ', ',')}\n" if r else "\n" for r in NER.split("\n"))
    )
    assert shown(csv_tokens(path, ("1", "2"))) == WANTED


# ---- sentence numbers


KAGGLE = """Sentence #,Word,POS,Tag
Sentence: 1,Thousands,NNS,O
,of,IN,O
,"1,000",CD,O
Sentence: 2,London,NNP,B-geo
,"""


def test_kaggles_sentence_numbers_say_where_sentences_end(tmp_path: Path) -> None:
    parsed = csv_tokens(file(tmp_path, KAGGLE + '"""",\'\',O\n'))
    assert shown(parsed) == [("Thousands/O", "of/O", "1,000/O"), ("London/B-geo", '"/O')]
    assert parsed.left_out == {"header rows": 1}
    assert parsed.notes == [
        "columns: word 2, label 4 of 4, separated by commas",
        "column 1 (Sentence #) says where sentences end",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "sentence_id\tword\ttag\n0\tAda\tB-PER\n0\tsaw\tO\n0\tRome\tB-LOC\n1\tIt\tO\n1\trained\tO\n",
        "1\tAda\tB-PER\n1\tsaw\tO\n1\tRome\tB-LOC\n2\tIt\tO\n2\trained\tO\n",
        "Sentence: 1\tAda\tB-PER\n\tsaw\tO\n\tRome\tB-LOC\nSentence: 2\tIt\tO\n\trained\tO\n",
        "7\tAda\tB-PER\n7\tsaw\tO\n7\tRome\tB-LOC\n12\tIt\tO\n12\trained\tO\n",
        "1\tAda\tB-PER\n2\tsaw\tO\n3\tRome\tB-LOC\n\n1\tIt\tO\n2\trained\tO\n",
        "1\tAda\tB-PER\n2\tsaw\tO\n3\tRome\tB-LOC\n1\tIt\tO\n2\trained\tO\n",
        "0\tAda\tB-PER\n1\tsaw\tO\n2\tRome\tB-LOC\n\n3\tIt\tO\n4\trained\tO\n",
        "1\tAda\tB-PER\t-\tann\n2\tsaw\tO\t-\tann\n3\tRome\tB-LOC\t-\tann\n\n1\tIt\tO\t-\t-\n2\trained\tO\t-\t-\n",
        "1\tAda\tX\tB-PER\n2\tsaw\tX\tO\n3\tRome\tX\tB-LOC\n\n1\tIt\tX\tO\n2\trained\tX\tO\n",
    ],
)
def test_a_first_column_of_numbers_is_no_word(tmp_path: Path, content: str) -> None:
    assert shown(conll(file(tmp_path, content))) == WANTED


def test_universal_ner_is_read_as_it_is_and_says_which_columns(tmp_path: Path) -> None:
    content = "# sent_id = a\n# text = Ada saw Rome\n1\tAda\tB-PER\t-\t-\n2-3\tsaw it\t_\t-\t-\n2\tsaw\tO\t-\t-\n"
    content += "3\tRome\tB-LOC\t-\t-\n\n# sent_id = b\n# text = x\n1\tIt\tO\t-\t-\n2\trained\tO\t-\t-\n\n"
    parsed = conll(file(tmp_path, content, "en-ud-train.iob2"))
    assert shown(parsed) == WANTED
    assert parsed.left_out == {"comment lines": 4, "ranges and empty nodes": 1}
    assert parsed.notes == ["columns: word 2, label 3 of 5, separated by tabs", "column 1 numbers the words or rows"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\tAda\tB-PER\tO\n2\tsaw\tO\tO\n", ":1: the first column numbers the words; the label could be column 3 or"),
        ("1\tAda\tO\n4\tsaw\tO\n2\tx\tO\n", ":3: the first column holds numbers, but 2 follows 4"),
        ("1\tAda" + "\t_" * 8 + "\n", ":1: ten columns that begin with a number look like CoNLL-U"),
    ],
)
def test_numbers_that_say_nothing_clear_are_refused(tmp_path: Path, content: str, message: str) -> None:
    assert message in refusal(conll, file(tmp_path, content))


# ---- separators


@pytest.mark.parametrize(
    "content",
    [
        tabbed(NER).replace("O\n", "O\t\n"),
        tabbed(NER).replace("saw\tO", "saw\tO\t\t"),
        tabbed(NER).replace("\n", "\t\n"),
        "".join(f"\t{row}\n" for row in tabbed(NER).split("\n")),
        tabbed(NER).replace("saw", "\tsaw"),
        NER.replace("O\n", "O \n"),
        tabbed(NER).replace("\tO\n", "\t O \n"),
        tabbed(NER).replace("\tO\n", "\tO\u00a0\n"),
        tabbed(NER).replace("\tO\n", "\tO\u3000\u200b\n"),
        NER.replace("Ada ", "Ada\t"),
        NER.replace(" ", "   "),
        NER.replace("\n\n", "\n \t\n\n"),
        NER.replace("\n", "\r"),
        tabbed(NER).replace("\n", "\r"),
        NER.replace("\n", "\r\r\n"),
        NER.replace("\n\n", "\r\n\n"),
    ],
)
def test_blanks_tabs_and_line_ends_without_meaning_change_nothing(tmp_path: Path, content: str) -> None:
    assert shown(conll(file(tmp_path, content))) == WANTED


@pytest.mark.parametrize(
    "content",
    [
        NER.replace(" ", ",").replace("O\n", "O,\n"),
        NER.replace(" ", ",").replace("\n\n", "\n,\n"),
        NER.replace(" ", ",").replace("\n", "\r"),
        NER.replace(" ", ",").replace("\n\n", "\r\n\n"),
        NER.replace(" ", ',"').replace("\n", '"\n').replace('\n"', "\n"),
        "# a remark\n" + NER.replace(" ", ","),
        "-DOCSTART-,,\n" + NER.replace(" ", ","),
    ],
)
def test_the_same_between_commas(tmp_path: Path, content: str) -> None:
    assert shown(csv_tokens(file(tmp_path, content, "a.csv"))) == WANTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Paris\nis\n", ":1: 1 column in 'Paris', must be 2; columns were sought between tabs and blanks"),
        (
            "Paris,O\n",
            ":1: 1 column in 'Paris,O', must be 2; columns were sought between tabs and blanks, and there are",
        ),
        ("Ada O\nParis O\ris O\n", ":2: a carriage return (\\r) inside the line; lines must all end in"),
        ("a\tO\nb\tO\nc O\n", ":3: 1 column in 'c O', must be 2"),
        ("a O\nb O\nc\tx y\n", ":3: 3 columns"),
        ("a\tO\n\tO\n", ":2: the word is empty"),
        ("a word without its tag\na O\nb O\n", ":1: 5 columns in 'a\\tword\\twithout\\tits\\ttag', must be 2"),
    ],
)
def test_a_row_that_is_not_like_the_others_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    assert message in refusal(conll, file(tmp_path, content))


def test_a_separator_that_is_said_is_obeyed(tmp_path: Path) -> None:
    path = file(tmp_path, "New York\tB-LOC\nis O\tO\n")
    assert shown(conll(path, said=Said(separator="tab"))) == [("New York/B-LOC", "is O/O")]
    path = file(tmp_path, "a O\nx\ty O\n")
    message = "train-en.conll:2: a tab or a line end inside the word 'x\\ty'"
    assert message in refusal(conll, path, said=Said(separator="space"))
    assert "a.csv:2: a tab or a line end" in refusal(csv_tokens, file(tmp_path, 'a,O\n"x\ny",O\n', "a.csv"))
    path = file(tmp_path, "a O\nb O\nx\ty O\n")
    assert "train-en.conll:3: 3 columns in 'x\\ty\\tO', must be 2" in refusal(conll, path)
    path = file(tmp_path, 'word\ttag\n"say ""x"""\tO\n', "a.csv")
    assert shown(csv_tokens(path, said=Said(separator="tab"))) == [('say "x"/O',)]


@pytest.mark.parametrize("label", ["", "-", "_"])
def test_an_empty_label_is_handed_on_and_not_read_as_another_column(tmp_path: Path, label: str) -> None:
    path = file(tmp_path, tabbed(NER).replace("saw\tO", f"saw\t{label}"))
    assert shown(conll(path))[0][1] == f"saw/{label}"
    row = "1\tAda\t_\t{}" + "\t_" * 6
    assert shown(conllu(file(tmp_path, row.format(label), "a.conllu"))) == [(f"Ada/{label}",)]
    assert tsv_pairs(file(tmp_path, f"a\tb\tyes\nc\td\t{label}\n")).examples[1] == PairExample("c", "d", label)


# ---- CoNLL-U


def tree(*ids: str, label: str = "X") -> str:
    return "".join(f"{number}\tw{number}\t_\t{label}" + "\t_" * 6 + "\n" for number in ids)


@pytest.mark.parametrize(
    "content",
    [
        "# a\n" + tree("1", "2") + "# b\n" + tree("1"),
        tree("1", "2", "1"),
        tree("1", "2") + "\n\n# c\n\n" + tree("0.1", "1"),
        tree("1-2", "1", "2", "2.1") + tree("1-1", "1"),
        tree("1", "2", "1").replace("\n", "\r\n"),
        tree("1", "2", "1").replace("\n", "\r"),
        tree("1", "2", "1").replace("\n", "\t\n"),
    ],
)
def test_a_sentence_of_conllu_begins_where_id_begins_again(tmp_path: Path, content: str) -> None:
    assert shown(conllu(file(tmp_path, content, "a.conllu"))) == [("w1/X", "w2/X"), ("w1/X",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tree("1", "3"), ":2: ID is 3, must be 2 (or 1, where a sentence begins)"),
        (tree("1", "2", "2"), ":3: ID is 2, must be 3"),
        (tree("1") + "\n" + tree("2"), ":3: ID is 2, must be 1, as a sentence begins here"),
        (tree("1").replace("w1", "_") + tree("2").replace("w2", "_"), "this treebank comes without its words"),
    ],
)
def test_an_id_out_of_order_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    assert message in refusal(conllu, file(tmp_path, content, "a.conllu"))


def test_conllu_plus_names_its_columns(tmp_path: Path) -> None:
    content = "# global.columns = ID FORM UPOS NER\n1\tAda\tPROPN\tB-PER\n"
    path = file(tmp_path, content, "a.conllu")
    assert shown(conllu(path)) == [("Ada/PROPN",)]
    assert shown(conllu(path, ("FORM", "NER"))) == [("Ada/B-PER",)]


# ---- pairs


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("a\tb\tyes \nc\td\tno\n", tsv_pairs),
        ("a\tb\tyes\t\nc\td\tno\n", tsv_pairs),
        ("0\ta\tb\tyes\n1\tc\td\tno\n", tsv_pairs),
        ("\tsentence1\tsentence2\tlabel\n0\ta\tb\tyes\n1\tc\td\tno\n", tsv_pairs),
        ("id\tquestion1\tquestion2\tis_duplicate\n7\ta\tb\tyes\n9\tc\td\tno\n", tsv_pairs),
        ("a,b,yes,\nc,d,no,\n", csv_pairs),
        ("Premise,Hypothesis,Gold Label\na,b,yes\nc,d,no\n", csv_pairs),
        ("a\tb\tyes\rc\td\tno\r", tsv_pairs),
    ],
)
def test_pairs_are_read_whatever_stands_around_them(tmp_path: Path, content: str, read: Any) -> None:
    assert read(file(tmp_path, content)).examples == [PairExample("a", "b", "yes"), PairExample("c", "d", "no")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x\ta\tb\tyes\n", ":1: 4 columns in 'x\\ta\\tb\\tyes', must be 3; or columns must say which"),
        ("# remark\na\tb\tyes\nc\td\tno\n", ":1: 1 column in '# remark', must be 3; if it is a comment, say how"),
        ("\tQ\tA\tL\n0\ta\tb\tyes\n", ":1: the header has no column for the first text: '', 'Q', 'A', 'L'; columns"),
    ],
)
def test_pairs_that_could_be_misread_are_refused(tmp_path: Path, content: str, message: str) -> None:
    assert message in refusal(tsv_pairs, file(tmp_path, content))


# ---- a task of these files


def task(folder: Path, content: str, suffix: str = ".conll", **keys: Any) -> Any:
    paths = {split: {"en": str(file(folder, content, f"{split}{suffix}"))} for split in ("train", "dev", "test")}
    return load(TaskConfig(**{"name": "mine", "kind": "token", **keys}), Locations(files=paths))


def test_separator_comment_and_header_reach_the_reader(tmp_path: Path) -> None:
    content = "Wort,Etikett\n% x\nNew York,B-LOC\nis,O\n"
    found = task(tmp_path, content, ".txt", separator="comma", comment="%", header=True)
    assert found.examples("dev", "en") == (TokenExample(("New York", "is"), ("B-LOC", "O")),)


@pytest.mark.parametrize(
    ("suffix", "keys", "message"),
    [
        (".jsonl", {"separator": "tab"}, "separator has no effect on .*train.jsonl"),
        (".jsonl", {"comment": "# "}, "comment has no effect on .*train.jsonl"),
        (".conllu", {"header": True}, "header has no effect on .*train.conllu"),
        (".csv", {"separator": "space"}, "blanks cannot separate quoted cells"),
        (".tsv", {"separator": "space", "kind": "pair"}, "blanks cannot separate texts"),
        (".tsv", {"comment": " "}, "comment is ' ', must be how comment lines begin"),
        (".tsv", {"header": False, "columns": ("word", "tag")}, "columns names 'word', but header is false"),
        (".tsv", {"columns": ("1", "1")}, "must name 2 different columns"),
    ],
)
def test_a_key_without_effect_is_refused(tmp_path: Path, suffix: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(tmp_path, "", suffix, **keys)


def test_a_source_tells_how_it_read_and_keeps_no_lines(tmp_path: Path) -> None:
    path = file(tmp_path, "# sent_id = 1\nword tag\n" + NER)
    source = Files(by_mapping({"train": {"en": str(path)}}), lambda path, language: conll(path))
    first = source.reading("train", "en")
    assert (first.place, first.left_out) == (str(path), {"comment lines": 1, "header rows": 1})
    assert first.notes == ("columns: word 1, label 2 of 2, separated by blanks",)
    assert source.reading("train", "en") is first


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("9" * 5000 + "\tAda\tO\n", "a.conll"),
        (("9" * 5000 + "\tAda\t_\tX") + "\t_" * 6 + "\n", "a.conllu"),
        ('{"words": ' + "[" * 100_000 + "\n", "a.jsonl"),
        ('{"words": ' + "[" * 100_000 + "]" * 100_000 + ', "labels": []}\n', "a.jsonl"),
        ("1\tAda\tO\n2\tsaw\tO\n" + "#\tx\tB-LOC\n", "a.conll"),
        ('{"words": ["' + "x" * 9000 + '"], "labels": [[1]]}\n', "a.jsonl"),
    ],
)
def test_numbers_and_lists_beyond_measure_are_one_short_message(tmp_path: Path, content: str, name: str) -> None:
    read: Any = {"conll": conll, "conllu": conllu}.get(name.split(".")[1], lambda path: jsonl(path, "token"))
    try:
        read(file(tmp_path, content, name))
    except DataError as error:
        assert len(str(error)) < 400 + len(str(tmp_path))


PIECES = [
    "\t",
    " ",
    "\n",
    "\r",
    ",",
    '"',
    "#",
    "# ",
    "=",
    "O",
    "B-LOC",
    "-DOCSTART-",
    "1",
    "2-3",
    "_",
    "word",
    "tag",
    "x",
]
PIECES += [
    "sentence #",
    "",
    "\u00a0",
    "[",
    "]",
    "{",
    "}",
    "0",
    "id",
    "\n\n",
    "# text = ",
    "label",
    "1\tx" + "\t_" * 8 + "\n",
]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    readers: list[Any] = [conll, conllu, csv_tokens, tsv_pairs, csv_pairs, lambda path, columns: jsonl(path, "token")]
    for _ in range(40):
        path = file(tmp_path, "".join(random.choices(PIECES, k=random.randrange(40))))
        for read in readers:
            try:
                parsed = read(path, ())
            except (DataError, ConfigError) as error:
                assert str(path) in str(error)
            else:
                assert len(parsed.lines) == len(parsed.examples)
                assert all(
                    len(e.words) == len(n)
                    for e, n in zip(parsed.examples, parsed.lines, strict=True)
                    if hasattr(e, "words")
                )
