"""What a check shows of the data that it read: enough to see that a file was understood, and nothing that is false."""

from __future__ import annotations

import doctest
import io
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import yaml
from rich.cells import cell_len
from rich.console import Console

from tunekit.check import check, data_page, layout, render
from tunekit.check.layout import MAX_WORDS, Columns, Tagged, visible
from tunekit.check.notes import notes_of_data
from tunekit.check.reading import PartReading, Reading, RowLimit, Spellings
from tunekit.check.spelling import NUM_SHOWN, SAMPLE, Limit, Speller, Spelling
from tunekit.cli.console import console
from tunekit.sweep import Sweep, load_sweep
from tunekit.tasks import PairExample, Task, TokenExample
from tunekit.tasks.readers.parsed import ReadingNotes

Sentence = Sequence[tuple[str, str]]
Page = Callable[..., str]

PLAIN: Sentence = [("w0", "A"), ("w1", "B"), ("w2", "A"), ("w3", "C")]
OTHER: Sentence = [("w4", "B"), ("w5", "A"), ("w6", "C"), ("w7", "A")]


@pytest.fixture
def files(tmp_path: Path) -> Callable[[Mapping[str, Sequence[Sentence]]], None]:
    """Writes sentences into ``<split>-<language>.conll``; splits that are not named hold others than train."""

    def write(given: Mapping[str, Sequence[Sentence]]) -> None:
        usual = {"train-en": [PLAIN], "dev-en": [OTHER], "test-en": [OTHER]}
        for name, sentences in {**usual, **given}.items():
            text = "\n".join("".join(f"{word}\t{label}\n" for word, label in each) for each in sentences)
            (tmp_path / f"{name}.conll").write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def sweep(tmp_path: Path, backbone: Path) -> Callable[..., Sweep]:
    """A sweep of one arm on those files."""

    def read(languages: Sequence[str] = (), **changes: Any) -> Sweep:
        content = {
            "task": {
                "name": "mine",
                "kind": "token",
                "files": str(tmp_path / "{split}-{language}.conll"),
                "target_languages": list(languages),
            },
            "backbone": str(backbone),
            "arms": {"only": {"method": "finetune", "space": {"batch_size": [4, 8]}}},
            "fixed": {"epochs": 1, "max_length": 16},
            "search": {"num_trials": 1},
            "finalise": {"top": 1, "seeds": [10]},
            **changes,
        }
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_sweep(path)

    return read


def printed(found: Any, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(found)
    return stream.getvalue()


def lines(found: Any, width: int = 100) -> list[str]:
    return [line.rstrip() for line in printed(found, width).splitlines()]


def shown(sweep: Sweep, *, in_full: bool = False, width: int = 100) -> str:
    return printed(render(check(sweep, flops_per_s=1e9), in_full=in_full), width)


def row(page: str, name: str, number: int = 0) -> list[str]:
    """The cells after `name` in the `number`-th line that has it."""
    found = [line.split(name, 1)[1].split() for line in page.splitlines() if name in line]
    return found[number]


def test_the_examples_in_the_docstrings_hold() -> None:
    for module, number in ((layout, 2), (data_page, 1)):
        found = doctest.testmod(module)
        assert found.attempted >= number
        assert found.failed == 0


# -- a sentence and its labels ---------------------------------------------------------------------------------------


def test_words_stand_above_their_labels() -> None:
    assert lines(Tagged(("EU", "rejects", "German"), ("B-ORG", "O", "B-MISC"))) == [
        "EU     rejects  German",
        "B-ORG  O        B-MISC",
    ]


def test_what_does_not_fit_stands_below_with_its_labels() -> None:
    assert lines(Tagged(("EU", "rejects", "German"), ("B-ORG", "O", "B-MISC")), 16) == [
        "EU     rejects",
        "B-ORG  O",
        "German",
        "B-MISC",
    ]


def test_a_long_sentence_is_cut_and_the_rest_is_counted() -> None:
    found = lines(Tagged(["w"] * (MAX_WORDS + 31), ["O"] * (MAX_WORDS + 31)))
    assert found[-1] == "... 31 more words"
    assert found[0].split() == ["w"] * MAX_WORDS
    assert lines(Tagged(["w"] * (MAX_WORDS + 1), ["O"] * (MAX_WORDS + 1)))[-1] == "... 1 more word"
    assert "more" not in printed(Tagged(["w"] * MAX_WORDS, ["O"] * MAX_WORDS))


@pytest.mark.parametrize("words", [("القاهرة", "مدينة"), ("ירושלים", "היא"), ("in", "تهران")])
def test_words_from_right_to_left_carry_their_labels_with_them(words: Sequence[str]) -> None:
    assert lines(Tagged(words, ("B-LOC", "O"))) == [f"{words[0]}/B-LOC  {words[1]}/O"]


def test_wide_characters_take_two_columns() -> None:
    above, below = lines(Tagged(("東京", "に", "x"), ("B-LOC", "O", "O")))
    assert cell_len(above[: above.index("に")]) == below.index("O", 5)
    assert cell_len(above[: above.index("x")]) == below.rindex("O")


def test_a_word_of_hundreds_of_signs_is_cut() -> None:
    above, below = lines(Tagged(("http://" + "x" * 400, "y"), ("O", "B-X")))
    assert above.startswith("http://xxx") and "..." in above and len(above) < 40
    assert above.index("y") == below.index("B-X")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
        ("नमस्ते\u200d", "नमस्ते\u200d"),
    ],
)
def test_what_steers_a_terminal_is_spelled_out_and_all_else_is_not(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert "\x1b" not in printed(Tagged((text,), ("O",)))


SIGNS = "aZ9#/é\u0301\u200d\x1b\t\n\u202eعמ東ไहि🙂Ⅷ\u3000[]\\"


@pytest.mark.parametrize("width", [20, 60, 80, 140])
def test_no_sentence_is_wider_than_the_page(width: int) -> None:
    generator = random.Random(width)
    for _ in range(200):
        words = ["".join(generator.choices(SIGNS, k=generator.randint(1, 40))) for _ in range(generator.randint(1, 30))]
        labels = generator.choices(("O", "B-LOC", "I-東京", "x" * 50), k=len(words))
        assert max(map(cell_len, printed(Tagged(words, labels), width).splitlines())) <= width


def test_columns_that_do_not_fit_stand_below_with_the_first_one_before_them() -> None:
    table = Columns(["", "NOUN", "VERB", "ADJ"], [["train en", "1,000", "20", "3"], ["test fr", "4", "5", "6"]])
    assert lines(table, 80) == [
        "           NOUN  VERB  ADJ",
        "train en  1,000    20    3",
        "test fr       4     5    6",
    ]
    assert lines(table, 22) == [
        "           NOUN  VERB",
        "train en  1,000    20",
        "test fr       4     5",
        "          ADJ",
        "train en    3",
        "test fr     6",
    ]


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_first_sentence_labels_scheme_and_metric_are_shown(sweep: Any, files: Any) -> None:
    tagged = [("w0", "B-LOC"), ("w1", "I-LOC"), ("w2", "O"), ("w3", "B-PER")]
    files({"train-en": [tagged], "dev-en": [tagged], "test-en": [tagged]})
    page = shown(sweep())
    at = page.splitlines().index(next(line for line in page.splitlines() if "w0" in line))
    assert page.splitlines()[at].split() == ["first", "w0", "w1", "w2", "w3"]
    assert page.splitlines()[at + 1].split() == ["B-LOC", "I-LOC", "O", "B-PER"]
    assert "by f1: the labels are entity tags" in page and "its labels are iob2" in page
    assert "by accuracy" in shown(sweep(task={**sweep().definition["task"], "metric": "accuracy"}))


def test_labels_are_counted_for_each_split_and_language(sweep: Any, files: Any) -> None:
    files({"train-en": [PLAIN, OTHER], "test-fr": [OTHER, OTHER, PLAIN]})
    page = shown(sweep(["fr"]))
    header = next(line.split() for line in page.splitlines() if line.split()[:1] == ["labels"])
    assert header[1:] == ["A", "B", "C"]
    assert row(page, "train en") == ["4", "2", "2"]
    assert row(page, "test fr") == ["6", "3", "3"]


def test_a_long_inventory_is_cut_and_data_shows_all_of_it(sweep: Any, files: Any) -> None:
    many = [(f"w{n}", f"T{n:02}") for n in range(20)]
    files({name: [[*many, ("w0", "T19")]] for name in ("train-en", "dev-en", "test-en")})
    page = shown(sweep(), width=140)
    assert "and 9 more" in page and "T19" in page and "--data" in page
    header = next(line for line in page.splitlines() if line.split()[:1] == ["labels"])
    assert header.split()[1] == "T19", "the most frequent comes first"
    full = shown(sweep(), in_full=True, width=140)
    assert "more" not in full.partition("Arms")[0] or "more word" in full
    assert all(f"T{n:02}" in full for n in range(20))


def test_many_languages_share_rows_and_data_shows_each(sweep: Any, files: Any) -> None:
    languages = [f"l{n}" for n in range(20)]
    files({f"test-{name}": [OTHER] * (1 + n) for n, name in enumerate(languages)})
    page = shown(sweep(languages), width=120)
    assert row(page, "test, 20 others") == ["420", "210", "210"]
    assert row(page, "test, 20 others", 1)[:6] == ["210", "840", "1.00", "6", "6", "6"]
    assert "test l7" not in page
    full = shown(sweep(languages), in_full=True, width=120)
    assert all(f"test {name} " in full for name in languages)


def test_a_part_of_the_page_is_no_wider_than_the_terminal(sweep: Any, files: Any) -> None:
    files({"test-العربية": [[("東京" * 30, "B"), ("\x1b[2J", "A"), ("مدينة", "C")]]})
    for width in (60, 80, 140):
        for in_full in (False, True):
            page = shown(sweep(["العربية"]), width=width, in_full=in_full)
            assert max(map(cell_len, page.partition("Arms")[0].splitlines())) <= width
            assert "\x1b" not in page


def test_pairs_show_both_texts_and_their_label(sweep: Any, tmp_path: Path) -> None:
    (tmp_path / "xnli").mkdir()
    long = " ".join(["w1"] * 63)
    for split in ("train", "dev", "test"):
        text = "".join(f"w0 w{n}\t{long}\t{label}\n" for n, label in enumerate(("neutral", "entailment")))
        (tmp_path / "xnli" / f"{split}-en.tsv").write_text(text)
    page = shown(sweep(task={"name": "xnli", "data_dir": str(tmp_path)}), width=200)
    assert '"w0 w0"' in page
    assert "... 31 more words" in page
    assert "label: neutral" in page
    assert row(page, "train en") == ["1", "0", "1"] or row(page, "train en") == ["1", "1", "0"]


def test_what_readers_left_out_and_decided_is_shown(sweep: Any, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(self: Task, split: str, language: str) -> ReadingNotes:
        left_out = {"comment lines": 1_203, "header rows": 0} if split == "train" else {}
        decided = ("columns: word 1, label 2 of 2",) if language == "en" else ("columns: word 2, label 1 of 2",)
        return ReadingNotes("somewhere", left_out, decided)

    monkeypatch.setattr(Task, "notes", notes)
    files({"test-fr": [OTHER]})
    page = shown(sweep(["fr"]))
    assert "train en, dev en, test en: columns: word 1, label 2 of 2" in page
    assert "test fr: columns: word 2, label 1 of 2" in page
    assert "train en: 1,203 comment lines" in page and "header rows" not in page
    page = shown(sweep())
    assert "read as columns: word 1, label 2 of 2" in " ".join(page.split()), "what all share is said once"


def test_dropped_examples_are_counted_with_what_was_left_out(
    sweep: Any, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "num_dropped", lambda self, split, language: 7 * (split == "dev"))
    files({})
    assert "dev en: 7 examples without a label" in shown(sweep())


def test_stand_ins_for_absent_data_show_nothing_that_is_false(sweep: Any) -> None:
    plan = sweep(task={"name": "panx", "target_languages": ["de"]}, backbone="xlm-roberta-base")
    found = check(plan, flops_per_s=1e9, may_lack_data=True)
    assert found.lacks_data and not found.readings
    page = printed(render(found))
    assert "not read; as documented" in page
    assert not any(line.split()[:1] in (["first"], ["sizes"], ["scored"]) for line in page.splitlines())


def test_arms_that_draw_from_the_same_files_are_shown_once(sweep: Any, files: Any) -> None:
    files({"train-en": [PLAIN, OTHER] * 3, "dev-en": [PLAIN, OTHER] * 3})
    arms = {
        "few": {"method": "finetune", "shots": 1},
        "all": {"method": "finetune"},
        "deep": {"method": "ptuning_v2"},
    }
    (reading,) = check(sweep(arms=arms), flops_per_s=1e9).readings
    assert reading.arms == ("few", "all", "deep")
    assert (reading.reader, reading.parts[0].num_examples) == ("all", 6)


def test_arms_of_different_places_are_shown_apart_with_their_task(sweep: Any, files: Any, tmp_path: Path) -> None:
    files({})
    task = {"name": "fakes:load_words", "target_languages": []}
    arms = {"mine": {"method": "finetune"}, "words": {"method": "finetune", "task": {**task, "kind": None}}}
    plan = sweep(arms={"words": {"method": "finetune"}}, task=task)
    assert "as words reads it" not in shown(plan)
    arms = {name: {"method": "finetune", "task": {"data_name": name, "files": str(tmp_path / name)}} for name in "ab"}
    for name in "ab":
        for split in ("train", "dev", "test"):
            (tmp_path / f"{name}-en-{split}.conll").write_text(f"w{name == 'b':d}\tA\nw2\tB\n")
        arms[name]["task"]["files"] = str(tmp_path / f"{name}-{{language}}-{{split}}.conll")
    page = shown(sweep(arms=arms))
    assert "mine, as a reads it" in page and "mine, as b reads it" in page
    assert page.count("first") == 2


# -- lengths and spelling --------------------------------------------------------------------------------------------


def test_lengths_are_tokens_of_the_backbones_own_tokenizer(sweep: Any, files: Any) -> None:
    generator = random.Random(1)
    sizes = [generator.randint(1, 30) for _ in range(150)]
    files({"train-en": [[(f"w{n % 30}", "ABC"[n % 3]) for n in range(size)] for size in sizes]})
    page = shown(sweep(), width=140)
    tokens = sorted(size + 2 for size in sizes)  # each word is one token, with [CLS] and [SEP] around them
    found = row(page, "train en", 1)
    assert found[:6] == ["150", f"{sum(sizes):,}", "1.00", *map(str, (tokens[74], tokens[148], tokens[-1]))]
    beyond = sum(max(0, size - 14) for size in sizes) / sum(sizes)
    assert found[6:8] == [f"{100 * beyond:.1f}", "%"]
    assert "lengths in tokens of tiny, special ones included;" in page


def test_a_large_split_is_sampled_and_its_longest_example_is_found(backbone: Path) -> None:
    speller = _speller(backbone)
    examples = [_sentence("w1 w2")] * (3 * SAMPLE) + [_sentence("w1 " * 40)] + [_sentence("w3")] * SAMPLE
    found = speller.measure(examples)
    assert (found.num_measured, found.median, found.longest) == (SAMPLE, 4, 42)


def _sentence(text: str) -> TokenExample:
    words = tuple(text.split())
    return TokenExample(words, ("A",) * len(words))


def _speller(backbone: Path | None, kind: str = "token", *lengths: int) -> Speller:
    from transformers import AutoTokenizer

    tokenizer = None if backbone is None else AutoTokenizer.from_pretrained(backbone)
    return Speller(tokenizer, kind, [Limit(length) for length in lengths])


def test_lengths_are_words_where_there_is_no_tokenizer(sweep: Any, files: Any) -> None:
    files({"train-en": [PLAIN, PLAIN[:2], PLAIN[:3]]})
    page = shown(sweep(backbone="xlm-roberta-base"), width=140)
    assert row(page, "train en", 1)[:5] == ["3", "9", "3", "4", "4"]
    assert "lengths in words, the tokenizer of xlm-roberta-base not being on this machine" in page
    assert "unknown" not in page


def test_words_without_tokens_are_counted_and_the_most_frequent_are_shown(backbone: Path) -> None:
    found = _speller(backbone).measure(
        [_sentence("w1 x y x"), _sentence("x w2 z " + " ".join(f"q{n}" for n in range(9)))]
    )
    assert (found.num_spelled, found.num_unknown) == (16, 3 + 1 + 1 + 9)
    assert found.unknown[0] == "x" and len(found.unknown) == NUM_SHOWN
    assert _speller(backbone).measure([_sentence("w1 w2")]).num_unknown == 0


def test_of_pairs_the_pieces_without_tokens_are_counted_and_not_whole_sentences(shared: Path) -> None:
    speller = _speller(shared / "models/mini-xlmr", "pair")
    found = speller.measure([PairExample("没人发脾气。", "a b", "x"), PairExample("plain words", "more", "y")])
    assert found.num_unknown == 1 and found.unknown == ("脾",)
    assert found.num_spelled > 8


def test_a_pair_is_beyond_its_row_by_the_tokens_that_are_cut(backbone: Path) -> None:
    found = _speller(backbone, "pair", 8, 64).measure([PairExample("w1 w2 w3 w4 w5", "w6 w7 w8", "x")])
    assert found.longest == 8 + 3
    assert found.beyond == {Limit(8): 3 / 8, Limit(64): 0.0}


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_every_tokenizer_is_measured(architecture: str) -> None:
    tokenizer = tiny_models.backbone_of(architecture).tokenizer
    for kind, example in (("token", _sentence("one two")), ("pair", PairExample("one two", "", "x"))):
        found = Speller(tokenizer, kind, [Limit(8)]).measure([example])
        assert found.unit == "tokens" and found.longest >= 2


def test_a_template_takes_its_part_of_a_row(shared: Path, sweep: Any) -> None:
    task = {"name": "udpos", "data_dir": str(shared / "data/xtreme"), "max_train_examples": 50}
    arms = {"plain": {"method": "finetune"}, "asked": {"method": "topro"}}
    plan = sweep(task=task, backbone=str(shared / "models/mini-xlmr"), arms=arms, fixed={"epochs": 1, "max_length": 64})
    ((asked, plain),) = (spellings.limits for spellings in check(plan, flops_per_s=1e9).readings[0].spellings)
    assert (plain.tokens, plain.arms) == (64, ("plain",))
    assert asked.tokens < 60 and asked.arms == ("asked",)
    assert f"(max_length 64, of which a template takes {64 - asked.tokens})" in " ".join(shown(plan).split())


# -- repeats ---------------------------------------------------------------------------------------------------------


def test_texts_of_train_that_stand_in_test_are_counted_by_language(sweep: Any, files: Any) -> None:
    relabelled = [(word, "B") for word, _ in PLAIN]
    files({"train-en": [PLAIN, OTHER, PLAIN, relabelled], "test-fr": [OTHER[:2], PLAIN], "test-en": [relabelled]})
    (reading,) = check(sweep(["fr"]), flops_per_s=1e9).readings
    assert {part.name: part.num_in_train for part in reading.parts} == {
        "train en": 2,
        "dev en": 1,
        "test en": 1,
        "test fr": 1,
    }
    page = shown(sweep(["fr"]), width=140)
    assert row(page, "test fr", 1)[-3:] == ["1", "(50.0", "%)"]
    assert "2 of 4 sentences of train repeat another (50.0 %)" in page


def test_pairs_are_the_same_only_if_both_texts_are(sweep: Any, tmp_path: Path) -> None:
    (tmp_path / "xnli").mkdir()
    rows = {"train": "w0\tw1\tneutral\nw1\tw2\tentailment\n", "dev": "w0\tw2\tneutral\n", "test": "w1\tw2\tneutral\n"}
    for split, text in rows.items():
        (tmp_path / "xnli" / f"{split}-en.tsv").write_text(text)
    (reading,) = check(sweep(task={"name": "xnli", "data_dir": str(tmp_path)}), flops_per_s=1e9).readings
    assert [part.num_in_train for part in reading.parts] == [0, 0, 1]


# -- what is worth knowing -------------------------------------------------------------------------------------------


def part(split: Any, language: str, **changes: Any) -> PartReading:
    facts: dict[str, Any] = {
        "num_examples": 1_000,
        "num_words": 10_000,
        "first": _sentence("w"),
        "labels": {name: 1_000 for name in "ABCDEFGH"},
        "unseen": {},
        "num_in_train": 0,
    }
    return PartReading(split=split, language=language, **{**facts, **changes})


def reading(*parts: PartReading, spelling: Mapping[str, Any] | None = None, kind: str = "token") -> Reading:
    found = (part("train", "en"), part("dev", "en"), *parts)
    usual = {"unit": "tokens", "num_measured": 500, "median": 20, "p99": 60, "longest": 80, "num_spelled": 10_000}
    limit = Limit(64)
    spelled = {
        (each.split, each.language): Spelling(**{**usual, **(spelling or {} if each.split == "test" else {})})
        for each in found
    }
    limits = (RowLimit(limit=limit, tokens=64, arms=("only",)),)
    return Reading(
        name="mine",
        kind=kind,
        source="en",
        arms=("only",),
        reader="only",
        labels=tuple("ABCDEFGH"),
        metric="accuracy",
        scheme="none",
        why="",
        parts=found,
        spellings=(Spellings(backbone="mini", limits=limits, parts=spelled),),
    )


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (
            reading(part("test", "sw", unseen={"INTJ": 12, "X": 1})),
            "train lacks labels, so where they stand every prediction is wrong: test sw INTJ (12 words), X (1 word)",
        ),
        (
            reading(part("test", "th", labels={"A": 9_000, "B": 1_000})),
            "few of train's labels stand there, which often means another way of tagging: test th 2 of 8",
        ),
        (
            reading(part("test", "fr", num_in_train=51), part("test", "de", num_in_train=50)),
            "texts of train stand there too, so a score is partly one of memory: test fr 51 of 1,000 (5.1 %)",
        ),
        (
            reading(part("test", "ta"), spelling={"num_unknown": 101, "unknown": ("அ", "ஆ")}),
            "mini's tokenizer cannot spell many words: test ta 1.0 %, such as அ ஆ",
        ),
        (
            reading(part("test", "ja"), spelling={"beyond": {Limit(64): 0.2}}),
            "many words stand beyond what a row of only holds (64 tokens), and are read in further windows: "
            "test ja 20.0 %",
        ),
    ],
)
def test_what_looks_suspicious_is_worth_a_note(found: Reading, note: str) -> None:
    assert list(notes_of_data([found])) == [note]
    assert list(notes_of_data([found, reading()])) == [f"mine: {note}"], "with several tasks, the one that it is about"


@pytest.mark.parametrize(
    "found",
    [
        reading(),
        reading(part("test", "fr", num_in_train=50)),
        reading(part("test", "th", labels={"A": 40, "B": 39})),  # too few words to show eight labels
        reading(part("test", "th", labels={name: 9_000 for name in "ABCD"})),
        reading(part("test", "ta"), spelling={"num_unknown": 100, "unknown": ("x",)}),
        reading(part("test", "ja"), spelling={"beyond": {Limit(64): 0.05}}),
        reading(part("test", "ja"), spelling={"beyond": {Limit(64): 0.5}}, kind="pair"),  # the arms have a note
    ],
)
def test_what_is_usual_is_not_worth_a_note(found: Reading) -> None:
    assert list(notes_of_data([found])) == []


def test_a_train_split_that_repeats_itself_is_worth_a_note(sweep: Any, files: Any) -> None:
    files({"train-en": [PLAIN, PLAIN, OTHER[:2]]})
    notes = check(sweep(), flops_per_s=1e9).notes
    assert "much of train repeats itself: 1 of 3 (33.3 %) sentences stand there before" in notes


# -- real data, and poor terminals -----------------------------------------------------------------------------------


def test_real_data_are_shown_in_few_lines(shared: Path, sweep: Any) -> None:
    languages = ["ar", "bg", "de", "el", "es", "fr", "hi", "ja", "ko", "ru", "ta", "tr", "ur", "vi", "yo", "zh"]
    task = {"name": "panx", "data_dir": str(shared / "data/xtreme"), "target_languages": languages}
    plan = sweep(task={**task, "max_train_examples": 500, "max_test_examples": 100})
    page = shown(plan, width=80)
    data = page.partition("Data\n")[2].partition("Arms\n")[0].splitlines()
    assert len(data) < 40 and max(map(cell_len, data)) <= 80
    assert "R.H." in page or "first" in page
    assert "test, 16 others" in page


def test_a_terminal_of_ascii_gets_the_page_with_signs_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(bytes_out, encoding="ascii"))
    page = console()
    page.print(Tagged(("東京", "é", "w"), ("B-LOC", "O", "–")))
    page.file.flush()
    assert bytes_out.getvalue().split() == [b"??", b"?", b"w", b"B-LOC", b"O", b"?"]
