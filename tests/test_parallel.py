"""Parallel text: alignment is proved or refused, and samples are nested and alike in every language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from tunekit.errors import ConfigError, DataError
from tunekit.sweep import load_sweep
from tunekit.tasks import ParallelPair, ParallelText, Task, load
from tunekit.tasks.readers.sources import DataAbsent
from tunekit.trial import Locations, TaskConfig

CONFIG = TaskConfig(name="xnli", shots=2, target_languages=("de", "fr"))


def lines(folder: Path, **texts: Sequence[str]) -> Locations:
    for language, rows in texts.items():
        (folder / f"{language}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return Locations(parallel_dir=str(folder))


def draws(folder: Path, **rows: Sequence[tuple[str, str, str]]) -> Locations:
    for language, found in rows.items():
        (folder / language).mkdir()
        objects = [{"sentence1": a, "sentence2": b, "gold": label} for a, b, label in found]
        text = "".join(json.dumps(each) + "\n" for each in objects)
        (folder / language / "train-2.jsonl").write_text(text, encoding="utf-8")
    return Locations(fewshot_dir=str(folder))


def test_two_consecutive_lines_make_a_pair(tmp_path: Path) -> None:
    found = ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c", "d"], de=["A", "B", "C", "D"]))
    assert found.pairs("files", "de") == (
        ParallelPair(("a", "b"), ("A", "B")),
        ParallelPair(("c", "d"), ("C", "D")),
    )


def test_a_line_of_two_columns_is_a_pair(tmp_path: Path) -> None:
    for language, text in {"en": "a\tb\nc\td\n", "de": "A\tB\nC\tD\n"}.items():
        (tmp_path / f"{language}.tsv").write_text(text)
    found = ParallelText(CONFIG, Locations(parallel_dir=str(tmp_path))).pairs("files", "de")
    assert found[1] == ParallelPair(("c", "d"), ("C", "D"))
    (tmp_path / "de.tsv").write_text("A\tB\nC D\n")
    with pytest.raises(DataError, match=r"de\.tsv:2: expected two texts separated by a tab, got 'C D'"):
        ParallelText(CONFIG, Locations(parallel_dir=str(tmp_path))).pairs("files", "de")


@pytest.mark.parametrize(("ours", "theirs"), [(4, 2), (6, 7), (7, 6), (5, 4), (2, 3)])
def test_text_with_unequal_numbers_of_lines_is_refused_with_both_counts(tmp_path: Path, ours: int, theirs: int) -> None:
    found = ParallelText(CONFIG, lines(tmp_path, en=["a"] * ours, de=["b"] * theirs))
    with pytest.raises(DataError, match=rf"de\.txt has {theirs} lines, but .*en\.txt has {ours} lines; parallel text"):
        found.pairs("files", "de")


def test_an_odd_number_of_lines_is_refused_even_if_both_texts_have_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"en\.txt has 5 lines; two lines make a pair, so one is too many"):
        ParallelText(CONFIG, lines(tmp_path, en=["a"] * 5, de=["b"] * 5)).pairs("files", "de")


def test_empty_lines_at_the_end_are_no_text_and_do_not_hide_a_missing_translation(tmp_path: Path) -> None:
    found = ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c", "d"], de=["A", "B", "C", "D", "", " "]))
    assert len(found.pairs("files", "de")) == 2
    with pytest.raises(DataError, match=r"fr\.txt has 3 lines, but .*en\.txt has 4 lines"):
        ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c", "d"], fr=["A", "B", "C", ""])).pairs("files", "fr")


def test_two_columns_in_one_language_and_two_lines_in_another_are_the_same_pairs(tmp_path: Path) -> None:
    (tmp_path / "de.tsv").write_text("A\tB\nC\tD\n")
    found = ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c", "d"], fr=["x", "y"]))
    assert found.pairs("files", "de")[1] == ParallelPair(("c", "d"), ("C", "D"))
    (tmp_path / "de.tsv").write_text("A\tB\nC\tD\nE\tF\n")
    with pytest.raises(DataError, match=r"de\.tsv has 3 lines, but .*en\.txt has 4 lines"):
        ParallelText(CONFIG, Locations(parallel_dir=str(tmp_path))).pairs("files", "de")
    (tmp_path / "de.txt").write_text("A\nB\n")
    with pytest.raises(DataError, match=r"both de\.tsv and de\.txt in .*; keep the one to read"):
        ParallelText(CONFIG, Locations(parallel_dir=str(tmp_path))).pairs("files", "de")


def test_a_text_with_line_ends_of_two_kinds_is_refused(tmp_path: Path) -> None:
    places = lines(tmp_path, en=["a", "b"], de=["A"])
    (tmp_path / "de.txt").write_bytes(b"A\rB\nC\n")
    with pytest.raises(DataError, match=r"de\.txt:1: a carriage return"):
        ParallelText(CONFIG, places).pairs("files", "de")


def test_an_empty_line_inside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"de\.txt:2: an empty line"):
        ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c"], de=["A", "", "C"])).pairs("files", "de")


def test_a_language_without_a_file_names_those_there_are(tmp_path: Path) -> None:
    found = ParallelText(CONFIG, lines(tmp_path, en=["a", "b"], de=["A", "B"]))
    with pytest.raises(DataError, match=r"no fr\.txt in .*valid: de, en"):
        found.pairs("files", "fr")
    with pytest.raises(DataError, match="two lines make a pair, and there are 1"):
        ParallelText(CONFIG, lines(tmp_path, en=["a"], de=["A"])).pairs("files", "de")


def test_a_folder_of_parallel_text_that_is_not_there_is_absent_as_data_are(tmp_path: Path) -> None:
    with pytest.raises(DataAbsent, match=r"parallel_dir: no folder '.*/nowhere'; it should hold <language>\.txt or"):
        load(TaskConfig(name="xnli"), Locations(parallel_dir=str(tmp_path / "nowhere"))).parallel("files", "de")


def test_a_corpus_whose_folder_is_not_named_says_which_key_is_missing() -> None:
    found = ParallelText(CONFIG, Locations())
    with pytest.raises(ConfigError, match="'files' needs parallel_dir"):
        found.pairs("files", "de")
    with pytest.raises(ConfigError, match="it needs shots and fewshot_dir"):
        found.pairs("fewshot", "de")
    with pytest.raises(ConfigError, match="unknown parallel corpus 'file'; did you mean 'files'"):
        found.pairs("file", "de")


def test_few_shot_rows_are_aligned_by_row_and_proved_by_their_labels(tmp_path: Path) -> None:
    rows = [("a", "b", "neutral"), ("c", "d", "entailment")]
    others = [("A", "B", "neutral"), ("C", "D", "entailment")]
    found = ParallelText(CONFIG, draws(tmp_path, en=rows, de=others, fr=others[::-1]))
    assert found.pairs("fewshot", "de")[1] == ParallelPair(("c", "d"), ("C", "D"))
    with pytest.raises(DataError, match=r"pair 1 is labelled 'entailment', but 'neutral' in .*not translations"):
        found.pairs("fewshot", "fr")


def test_a_sample_is_part_of_a_larger_one_and_the_same_in_every_language(tmp_path: Path) -> None:
    numbers = [str(i) for i in range(60)]
    places = lines(tmp_path, en=numbers, de=[f"d{i}" for i in numbers], fr=[f"f{i}" for i in numbers])
    found = ParallelText(CONFIG, places)
    small, large = found.pairs("files", "de", 5), found.pairs("files", "de", 20)
    assert len(small) == 5
    assert set(small) < set(large)
    assert [pair.source for pair in small] == [pair.source for pair in found.pairs("files", "fr", 5)]
    other = ParallelText(TaskConfig(name="xnli", sample_seed=1), places)
    assert other.pairs("files", "de", 5) != small


def test_more_pairs_than_there_are_is_an_error_that_says_how_many_there_are(tmp_path: Path) -> None:
    found = ParallelText(CONFIG, lines(tmp_path, en=["a", "b", "c", "d"], de=["A", "B", "C", "D"]))
    assert len(found.pairs("files", "de", 2)) == 2
    with pytest.raises(DataError, match="has 2 pairs in 'de', 3 are wanted; take at most 2"):
        found.pairs("files", "de", 3)


PAWSX = datasets.Features(
    {
        "id": datasets.Value("int32"),
        "sentence1": datasets.Value("string"),
        "sentence2": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["0", "1"]),
    }
)


def pawsx(rows: Sequence[tuple[int, str, str, int]]) -> Any:
    columns = dict(zip(PAWSX, map(list, zip(*rows, strict=True)), strict=True))
    return datasets.Dataset.from_dict(columns, features=PAWSX)


def hub(monkeypatch: pytest.MonkeyPatch, **rows: Any) -> None:
    def load_dataset(repository: str, name: str, *, split: str) -> Any:
        assert (repository, split) == ("google-research-datasets/paws-x", "train")
        return pawsx(rows[name])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def test_paws_x_pairs_are_matched_by_id_and_untranslated_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    english = [(1, "a", "b", 0), (2, "c", "d", 1), (3, "e", "f", 1), (4, "g", "h", 0)]
    german = [(4, "G", "H", 0), (3, "", "F", 1), (1, "A", "B", 0)]
    hub(monkeypatch, en=english, de=german)
    assert ParallelText(CONFIG, Locations()).pairs("pawsx", "de") == (
        ParallelPair(("a", "b"), ("A", "B")),
        ParallelPair(("g", "h"), ("G", "H")),
    )


def test_paws_x_pairs_of_one_id_but_two_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, en=[(1, "a", "b", 0)], de=[(1, "A", "B", 1)], fr=[(2, "A", "B", 1)])
    with pytest.raises(
        DataError, match=r"paws-x \(de, train\): pair 1 is labelled '1', but '0' in .*paws-x \(en, train\)"
    ):
        ParallelText(CONFIG, Locations()).pairs("pawsx", "de")
    with pytest.raises(DataError, match=r"paws-x \(fr, train\): shares no id with .*paws-x \(en, train\)"):
        ParallelText(CONFIG, Locations()).pairs("pawsx", "fr")


def test_paws_x_has_seven_languages_and_says_so() -> None:
    with pytest.raises(ConfigError, match=r"'pawsx' has no text in 'sw'; .*valid: de, en, es, fr, ja, ko, zh"):
        ParallelText(CONFIG, Locations()).pairs("pawsx", "sw")


def test_local_paws_x_files_must_be_aligned(tmp_path: Path) -> None:
    (tmp_path / "pawsx").mkdir()
    for language, text in {"en": "a\tb\t0\nc\td\t1\n", "de": "A\tB\t0\nC\tD\t1\n", "fr": "A\tB\t0\n"}.items():
        (tmp_path / "pawsx" / f"train-{language}.tsv").write_text(text)
    found = ParallelText(CONFIG, Locations(data_dir=str(tmp_path)))
    assert found.pairs("pawsx", "de")[0] == ParallelPair(("a", "b"), ("A", "B"))
    with pytest.raises(DataError, match=r"train-fr\.tsv has 1 line, but .*train-en\.tsv has 2 lines"):
        found.pairs("pawsx", "fr")


def test_local_paws_x_rows_that_one_language_lacks_are_left_out_in_both(tmp_path: Path) -> None:
    (tmp_path / "pawsx").mkdir()
    for language, text in {"en": "a\tb\t0\nc\td\t1\ne\tf\t0\n", "de": "A\tB\t0\nNS\tD\t1\nE\tF\t0\n"}.items():
        (tmp_path / "pawsx" / f"train-{language}.tsv").write_text(text)
    found = ParallelText(CONFIG, Locations(data_dir=str(tmp_path))).pairs("pawsx", "de")
    assert found == (ParallelPair(("a", "b"), ("A", "B")), ParallelPair(("e", "f"), ("E", "F")))


def test_parallel_text_of_the_toy_world_holds_no_pair_of_any_split() -> None:
    config = TaskConfig(name="toy_pair", source_language="alo", target_languages=("bera",))
    task = load(config, Locations())
    found = task.parallel("toy", "bera", 50)
    assert len(found) == 50
    splits: Any = [task.examples(split, "bera") for split in ("train", "dev", "test")]
    assert not {pair.target for pair in found} & {(e.text_a, e.text_b) for split in splits for e in split}
    with pytest.raises(ConfigError, match="'toy' has no text in 'de'"):
        task.parallel("toy", "de")


def test_a_task_reads_parallel_text_where_its_locations_say(tmp_path: Path) -> None:
    places = lines(tmp_path, en=["a", "b"], de=["A", "B"])
    assert load(CONFIG, places).parallel("files", "de") == (ParallelPair(("a", "b"), ("A", "B")),)
    alone = Task(CONFIG, kind="pair", read=lambda split, language: (), labels=("x",))
    with pytest.raises(ConfigError, match="made without parallel text"):
        alone.parallel("files", "de")


def test_a_sweep_file_names_the_folder_of_parallel_text(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "task: {name: toy_pair, source_language: alo, parallel_dir: text}\n"
        "backbone: toy-bert\narms: {a: {method: finetune, fixed: {learning_rate: 0.001}}}\n"
    )
    (arm,) = load_sweep(file).arms
    assert arm.locations.parallel_dir is not None
    assert arm.locations.parallel_dir.endswith("text")


def test_the_shared_corpora_are_aligned_in_every_language(shared: Path) -> None:
    data = shared / "data"
    places = Locations(fewshot_dir=str(data / "fewshot-nli"), parallel_dir=str(data / "parallel" / "flores"))
    found = ParallelText(TaskConfig(name="xnli", shots=16), places)
    for language in ("ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"):
        assert len(found.pairs("fewshot", language)) == 48
        assert len(found.pairs("files", language)) == 502
