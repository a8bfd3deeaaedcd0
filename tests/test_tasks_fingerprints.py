"""Fingerprints of data: whatever a trial reads has one, and exactly what has changed gets another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import ConfigError, DataChanged, DataError
from tunekit.tasks import Example, PairExample, ParallelText, Split, Task, load
from tunekit.trial import Locations, TaskConfig

datasets = pytest.importorskip("datasets")

KEYS = ["train/en", "dev/en", "test/en", "test/fr", "test/de"]
TAGS = {name: f"{name}\tNOUN\n" for name in ("train-en", "dev-en", "test-en", "test-fr", "test-de", "dev-fr", "dev-de")}
UDPOS = TaskConfig(name="udpos", target_languages=("fr", "de"))


def in_xtreme_layout(root: Path, name: str = "udpos", **changed: str) -> Locations:
    (root / name).mkdir(exist_ok=True)
    for file, content in {**TAGS, **{key.replace("_", "-"): value for key, value in changed.items()}}.items():
        (root / name / f"{file}.tsv").write_text(content, encoding="utf-8")
    return Locations(data_dir=str(root))


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The keys that differ; both must have the same ones."""
    assert before.keys() == after.keys()
    return [key for key in before if before[key] != after[key]]


# ---- files


def test_a_replaced_file_changes_exactly_its_own_fingerprint(tmp_path: Path) -> None:
    before = load(UDPOS, in_xtreme_layout(tmp_path)).fingerprints()
    assert list(before) == KEYS
    after = load(UDPOS, in_xtreme_layout(tmp_path, test_fr="chat\tNOUN\n")).fingerprints()
    assert changes(before, after) == ["test/fr"]
    again = load(UDPOS, in_xtreme_layout(tmp_path, train_en="cat\tNOUN\n")).fingerprints()
    assert changes(before, again) == ["train/en"]
    assert load(UDPOS, in_xtreme_layout(tmp_path)).fingerprints() == before


def test_a_files_fingerprint_is_what_sha256sum_prints_and_is_the_same_anywhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    here, there = in_xtreme_layout(tmp_path), in_xtreme_layout(tmp_path / "elsewhere")
    found = load(UDPOS, here).fingerprints()
    assert found["test/de"] == hashlib.sha256(TAGS["test-de"].encode()).hexdigest()[:16]
    assert load(UDPOS, there).fingerprints() == found


def test_the_order_of_the_languages_does_not_matter_and_a_further_one_adds_a_key(tmp_path: Path) -> None:
    places = in_xtreme_layout(tmp_path)
    found = load(UDPOS, places).fingerprints()
    assert load(replace(UDPOS, target_languages=("de", "fr")), places).fingerprints() == found
    fewer = load(replace(UDPOS, target_languages=("de",)), places).fingerprints()
    assert fewer == {key: value for key, value in found.items() if key != "test/fr"}


def test_dev_of_the_targets_is_named_where_selection_looks_at_it(tmp_path: Path) -> None:
    task = load(UDPOS, in_xtreme_layout(tmp_path))
    assert task.fingerprints(target_dev=True).keys() - task.fingerprints().keys() == {"dev/fr", "dev/de"}


def test_a_file_is_not_parsed_for_its_fingerprint(tmp_path: Path) -> None:
    task = load(UDPOS, in_xtreme_layout(tmp_path, test_fr="a word without its tag\n"))
    assert len(task.fingerprints()) == len(KEYS)
    with pytest.raises(DataError, match=r"test-fr\.tsv:1"):
        task.examples("test", "fr")


def test_samples_and_shots_do_not_change_what_is_fingerprinted(tmp_path: Path) -> None:
    places = in_xtreme_layout(tmp_path)
    found = load(UDPOS, places).fingerprints()
    assert (
        load(replace(UDPOS, max_train_examples=1, max_test_examples=1, sample_seed=5), places).fingerprints() == found
    )
    assert load(replace(UDPOS, shots=1), places).fingerprints() == found


def test_a_file_that_is_gone_and_a_language_that_is_not_there_are_named(tmp_path: Path) -> None:
    places = in_xtreme_layout(tmp_path)
    task = load(UDPOS, places)
    (tmp_path / "udpos" / "test-fr.tsv").unlink()
    with pytest.raises(DataError, match=r"udpos/test-fr\.tsv: no such file"):
        task.fingerprints()
    with pytest.raises(ConfigError, match="unknown language 'it'"):
        load(replace(UDPOS, target_languages=("it",)), places).fingerprints()


def test_a_file_that_is_replaced_after_its_fingerprint_was_taken_is_not_read(tmp_path: Path) -> None:
    task = load(UDPOS, in_xtreme_layout(tmp_path))
    train = task.examples("train", "en")
    before = task.fingerprints()
    in_xtreme_layout(tmp_path, train_en="cat\tNOUN\n", test_fr="chat\tNOUN\n")
    assert task.examples("train", "en") == train
    now = task.fingerprints()
    assert changes(before, now) == ["train/en", "test/fr"]
    prints = f"fingerprint {before['test/fr']}, now {now['test/fr']}"
    with pytest.raises(DataChanged, match=rf"udpos/test-fr\.tsv is no longer the file .*\({prints}\)"):
        task.examples("test", "fr")
    in_xtreme_layout(tmp_path)
    assert len(task.examples("test", "fr")) == 1


def own(folder: Path, suffix: str, content: str, **keys: Any) -> Task:
    for name in ("train-en", "dev-en", "test-en"):
        (folder / f"{name}{suffix}").write_text(content, encoding="utf-8")
    files = str(folder / f"{{split}}-{{language}}{suffix}")
    return load(TaskConfig(**{"name": "mine", "kind": "token", **keys}), Locations(files=files))


def test_own_files_have_the_fingerprint_of_their_bytes_and_of_the_format_that_their_suffix_says(tmp_path: Path) -> None:
    text = "1\ta,b\t_\tNOUN" + "\t_" * 5 + "\tNo\n"
    columns, words, treebank = (own(tmp_path, suffix, text) for suffix in (".conll", ".txt", ".conllu"))
    assert columns.fingerprints() == words.fingerprints()
    assert columns.examples("test", "en") == words.examples("test", "en") != treebank.examples("test", "en")
    assert changes(columns.fingerprints(), treebank.fingerprints()) == ["train/en", "dev/en", "test/en"]
    before = treebank.fingerprints()
    (tmp_path / "test-en.conllu").write_text(text.replace("NOUN", "VERB"))
    after = load(treebank.config, Locations(files=str(tmp_path / "{split}-{language}.conllu"))).fingerprints()
    assert changes(before, after) == ["test/en"]


def nli(*labels: str) -> str:
    rows = [{"sentence1": "a", "sentence2": "b", "gold": label} for label in labels]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_few_shot_draw_is_fingerprinted_where_it_is_read_and_test_where_the_whole_is(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "en" / f"{split}-1.jsonl").write_text(nli("neutral"))
    whole = in_xtreme_layout(tmp_path, "xnli", **{f"{s}_en": "a\tb\tneutral\n" for s in ("train", "dev", "test")})
    config = TaskConfig(name="xnli", shots=1, draw="files")
    places = replace(whole, fewshot_dir=str(tmp_path))
    before = load(config, places).fingerprints()
    (tmp_path / "en" / "dev-1.jsonl").write_text(nli("entailment"))
    assert changes(before, load(config, places).fingerprints()) == ["dev/en"]
    (tmp_path / "xnli" / "test-en.tsv").write_text("a\tb\tentailment\n")
    assert changes(before, load(config, places).fingerprints()) == ["dev/en", "test/en"]
    (tmp_path / "xnli" / "train-en.tsv").write_text("a\tb\tentailment\n")
    assert changes(before, load(config, places).fingerprints()) == ["dev/en", "test/en"]
    assert changes(before, load(replace(config, draw="sampled"), whole).fingerprints()) == list(before)


# ---- the hub


class Hub:
    """Stands in for `datasets.load_dataset`: udpos with the hub's schema, a sentence for each word."""

    def __init__(self, **words: Sequence[str]) -> None:
        self.words, self.asked = words, list[str]()

    def __call__(self, repository: str, name: str, *, split: str) -> Any:
        self.asked.append(f"{split}/{name}")
        features = datasets.Features(
            tokens=datasets.Sequence(datasets.Value("string")),
            pos_tags=datasets.Sequence(datasets.ClassLabel(names=["NOUN", "VERB"])),
        )
        words = self.words.get(f"{split}_{name.partition('.')[2]}", ["dog", "cat"])
        columns = {"tokens": [[word] for word in words], "pos_tags": [[0] for _ in words]}
        return datasets.Dataset.from_dict(columns, features=features)


def from_hub(monkeypatch: pytest.MonkeyPatch, hub: Hub, **keys: Any) -> Task:
    monkeypatch.setattr(datasets, "load_dataset", hub)
    return load(replace(UDPOS, **keys), Locations())


def test_data_of_the_hub_are_fingerprinted_as_they_are_read_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    task = from_hub(monkeypatch, hub, max_train_examples=1)
    assert len(task.examples("train", "en")) == 1
    before = task.fingerprints()
    assert list(before) == KEYS
    assert len(task.examples("test", "fr")) == 2
    assert sorted(hub.asked) == sorted(
        f"{split}/udpos.{name}"
        for split, name in [("train", "English"), ("validation", "English")]
        + [("test", language) for language in ("English", "French", "German")]
    )
    assert from_hub(monkeypatch, Hub()).fingerprints() == before
    changed = from_hub(monkeypatch, Hub(test_German=["dog", "cow"])).fingerprints()
    assert changes(before, changed) == ["test/de"]
    swapped = from_hub(monkeypatch, Hub(train_English=["cat", "dog"])).fingerprints()
    assert changes(before, swapped) == ["train/en"]


# ---- functions and generated data


def test_what_a_function_gives_is_fingerprinted_as_it_is_read_and_read_once() -> None:
    reads: list[tuple[str, str]] = []

    def task(extra: str = "", size: int | None = None) -> Task:
        def read(split: Split, language: str) -> Sequence[Example]:
            reads.append((split, language))
            return [PairExample("a", "b", "yes"), PairExample("c", extra if split == "test" else "d", "no")]

        config = TaskConfig(name="mine", target_languages=("de",), max_test_examples=size)
        return Task(config, kind="pair", read=read, labels=("no", "yes"))

    one = task()
    found = one.fingerprints()
    assert one.examples("test", "de") and one.fingerprints() == found
    assert sorted(reads) == [("dev", "en"), ("test", "de"), ("test", "en"), ("train", "en")]
    assert task(size=1).fingerprints() == found
    assert changes(found, task("x").fingerprints()) == ["test/en", "test/de"]
    assert len(set(found.values())) == 2 and all(len(value) == 16 and int(value, 16) >= 0 for value in found.values())


def test_where_the_borders_of_texts_lie_is_part_of_a_fingerprint() -> None:
    def fingerprint(*texts: str) -> str:
        rows = [PairExample(texts[0], texts[1], "yes")]
        return Task(TaskConfig(name="m"), kind="pair", read=lambda *_: rows).fingerprints()["train/en"]

    assert (
        len({fingerprint("ab", "c"), fingerprint("a", "bc"), fingerprint('a", "b', "c"), fingerprint("", "abc")}) == 4
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("toy_tagging", ["f33b5e097e0ab1bd", "e2c87eb98cc74af2", "674596fa1e10d4ff", "a59a8a2e07f1514f"]),
        ("toy_pair", ["74a2508cffe69867", "a1e20b3ebf6686af", "3697ada8f8523299", "2de5741126010584"]),
    ],
)
def test_the_toy_world_has_the_same_fingerprints_on_every_machine(name: str, expected: list[str]) -> None:
    config = TaskConfig(name=name, source_language="alo", target_languages=("cimu",), max_train_examples=5)
    keys = ["train/alo", "dev/alo", "test/alo", "test/cimu"]
    assert load(config, Locations()).fingerprints() == dict(zip(keys, expected, strict=True))


# ---- parallel text


def texts(folder: Path, **rows: str) -> ParallelText:
    for language, letters in rows.items():
        (folder / f"{language}.txt").write_text("".join(f"{letter}\n" for letter in letters))
    return ParallelText(TaskConfig(name="xnli"), Locations(parallel_dir=str(folder)))


def test_parallel_text_is_fingerprinted_whole_for_each_corpus_and_language(tmp_path: Path) -> None:
    found = texts(tmp_path, en="abcd", de="ABCD", fr="EFGH")
    before = {language: found.fingerprint("files", language) for language in ("de", "fr")}
    assert len(found.pairs("files", "de", 1)) == 1 and found.fingerprint("files", "de") == before["de"]
    assert len(set(before.values())) == 2 and all(len(value) == 16 for value in before.values())
    again = texts(tmp_path, fr="EFGI")
    assert changes(before, {language: again.fingerprint("files", language) for language in before}) == ["fr"]
    source = texts(tmp_path, en="abcx")
    assert source.fingerprint("files", "de") != before["de"]
    with pytest.raises(DataError, match=r"no it\.txt"):
        source.fingerprint("files", "it")


def test_generated_parallel_text_has_a_fingerprint_too() -> None:
    task = load(TaskConfig(name="toy_pair", source_language="alo"), Locations())
    assert task.parallel_text.fingerprint("toy", "bera") == "5a166a357f69fc60"


# ---- places


def test_a_key_leads_to_the_place_that_it_speaks_of(tmp_path: Path) -> None:
    task = load(UDPOS, replace(in_xtreme_layout(tmp_path), parallel_dir=str(tmp_path)))
    assert task.where("test/fr") == str(tmp_path / "udpos" / "test-fr.tsv")
    assert task.where("parallel/files/fr") == "the parallel corpus 'files' in 'fr'"
    texts(tmp_path, en="ab", fr="AB")
    assert task.parallel_text.fingerprint("files", "fr")
    assert task.where("parallel/files/fr") == f"{tmp_path / 'en.txt'} and {tmp_path / 'fr.txt'}"
    assert task.where("test/it") == "udpos: test of 'it'"
    assert load(UDPOS, Locations()).where("dev/en") == "google/xtreme (udpos.English, validation)"
    toy = load(TaskConfig(name="toy_pair", source_language="alo"), Locations())
    assert toy.where("test/bera") == "toy world: test of 'bera'"
    given = Task(TaskConfig(name="mine"), kind="pair", read=lambda split, language: ())
    assert given.where("train/en") == "mine: train of 'en'"
    for key in ("backbone", "test", "tests/fr", "parallel/files"):
        with pytest.raises(ValueError, match=f"'{key}' names no data"):
            task.where(key)
