"""xnli, pawsx, panx and udpos from a local folder in XTREME's layout: small folders made here, and the real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import ConfigError, DataError
from tunekit.tasks import PairExample, Split, Task, TokenExample, load
from tunekit.trial import Locations, TaskConfig

NER = "Paris\tB-LOC\nis\tO\n\n"
NLI = "a b\tc\tentailment\nd\te\tneutral\nf\tg\tcontradiction\n"


def folder(root: Path, name: str, **files: str) -> Locations:
    """A `data_dir` with the files of one task, named as ``train_en``."""
    (root / name).mkdir()
    for key, content in files.items():
        (root / name / f"{key.replace('_', '-')}.tsv").write_text(content, encoding="utf-8")
    return Locations(data_dir=str(root))


def task(locations: Locations, name: str, **keys: Any) -> Task:
    return load(TaskConfig(name=name, **keys), locations)


def test_a_folder_in_the_layout_of_xtreme_is_read(tmp_path: Path) -> None:
    panx = task(
        folder(tmp_path, "panx", train_en=NER, dev_en=NER, test_en=NER, test_de=NER), "panx", target_languages=("de",)
    )
    panx.validate()
    assert panx.examples("test", "de") == (TokenExample(("Paris", "is"), ("B-LOC", "O")),)
    assert (panx.kind, panx.metric, len(panx.labels)) == ("token", "f1", 7)


def test_pairs_in_the_layout_of_xtreme_are_read(tmp_path: Path) -> None:
    xnli = task(folder(tmp_path, "xnli", train_en=NLI, dev_en=NLI, test_en=NLI), "xnli")
    xnli.validate()
    assert xnli.examples("dev", "en")[0] == PairExample("a b", "c", "entailment")
    assert (xnli.kind, xnli.metric, xnli.labels) == ("pair", "accuracy", ("contradiction", "entailment", "neutral"))


def test_the_language_that_wikiann_writes_before_each_word_is_taken_off(tmp_path: Path) -> None:
    raw = NER.replace("Paris", "en:Paris").replace("is\tO", "en::\tO")
    panx = task(folder(tmp_path, "panx", train_en=raw, dev_en=raw + "de:Rom\tB-LOC\n"), "panx")
    assert panx.examples("train", "en") == (TokenExample(("Paris", ":"), ("B-LOC", "O")),)
    assert panx.examples("dev", "en")[1] == TokenExample(("de:Rom",), ("B-LOC",))


def test_a_tag_that_is_not_of_the_task_names_file_line_and_the_nearest(tmp_path: Path) -> None:
    panx = task(folder(tmp_path, "panx", train_en=NER, dev_en=NER + "Ada\tB-PERS\n"), "panx")
    with pytest.raises(
        DataError, match=r"panx/dev-en.tsv:4: label 'B-PERS' is not a label of panx; did you mean 'B-PER'"
    ):
        panx.examples("dev", "en")


def test_a_word_without_a_tag_names_its_line(tmp_path: Path) -> None:
    udpos = task(folder(tmp_path, "udpos", train_en="dogs\tNOUN\nbark\n"), "udpos")
    with pytest.raises(DataError, match=r"udpos/train-en.tsv:2: 1 column in 'bark', must be 2"):
        udpos.examples("train", "en")


def test_a_pair_without_a_label_names_its_line(tmp_path: Path) -> None:
    xnli = task(folder(tmp_path, "xnli", train_en=NLI + "h\ti\n"), "xnli")
    with pytest.raises(DataError, match=r"xnli/train-en.tsv:4: 2 columns in 'h\\ti', must be 3"):
        xnli.examples("train", "en")


def test_a_folder_that_is_not_there_or_holds_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_dir: no folder .*panx"):
        task(Locations(data_dir=str(tmp_path)), "panx")
    with pytest.raises(DataError, match=r"data_dir: no <split>-<language>.tsv \(such as train-en.tsv\) in .*panx"):
        task(folder(tmp_path, "panx"), "panx")


@pytest.mark.parametrize("key", [{"metric": "accuracy"}, {"columns": ("0", "1")}])
@pytest.mark.parametrize("name", ["panx", "xnli"])
def test_a_key_for_own_files_is_refused_on_a_known_task(tmp_path: Path, name: str, key: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"has no effect on '{name}'"):
        task(Locations(data_dir=str(tmp_path)), name, **key)


def test_a_fixed_draw_needs_its_folder_and_pairs(tmp_path: Path) -> None:
    locations = folder(tmp_path, "xnli", train_en=NLI)
    with pytest.raises(ConfigError, match="fewshot_dir must name the folder"):
        task(locations, "xnli", draw="files", shots=4)
    with pytest.raises(DataError, match="fewshot_dir: no folder"):
        task(Locations(data_dir=str(tmp_path), fewshot_dir=str(tmp_path / "none")), "xnli", draw="files", shots=4)
    with pytest.raises(ConfigError, match="draw is 'files', which only xnli and pawsx read"):
        task(folder(tmp_path, "panx", train_en=NER), "panx", draw="files", shots=4)


# ---- real data


def counts(shared: Path) -> dict[tuple[str, str, str], int]:
    rows = (shared / "data" / "MANIFEST.tsv").read_text(encoding="utf-8").split("\n")[1:]
    cells = (row.split("\t") for row in rows if row)
    return {(name, split, language): int(size) for name, split, language, size in cells}


def real(shared: Path, name: str, **keys: Any) -> Task:
    data = shared / "data"
    return task(Locations(data_dir=str(data / "xtreme"), fewshot_dir=str(data / "fewshot-nli")), name, **keys)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "split", "language"),
    [
        ("panx", "train", "en"),
        ("panx", "dev", "zh"),
        ("panx", "test", "yo"),
        ("udpos", "train", "en"),
        ("udpos", "test", "th"),
        ("udpos", "dev", "ta"),
        ("xnli", "train", "en"),
        ("xnli", "test", "sw"),
        ("pawsx", "dev", "de"),
        ("pawsx", "test", "ja"),
    ],
)
def test_real_files_hold_as_many_examples_as_their_manifest_says(
    shared: Path, name: str, split: Split, language: str
) -> None:
    assert len(real(shared, name).examples(split, language)) == counts(shared)[name, split, language]


@pytest.mark.real_data
def test_real_tasks_validate_in_several_languages(shared: Path) -> None:
    real(shared, "panx", target_languages=("de", "ja", "yo")).validate(target_dev=True)
    real(shared, "udpos", target_languages=("fr", "th", "zh")).validate()
    real(shared, "xnli", target_languages=("sw", "ur")).validate()


@pytest.mark.real_data
def test_real_pawsx_without_a_train_file_and_german_udpos_without_test_say_so(shared: Path) -> None:
    with pytest.raises(DataError, match="pawsx: no train data in 'en'; languages that have it: none"):
        real(shared, "pawsx").validate()
    with pytest.raises(DataError, match="udpos: no test data in 'de'; languages that have it: ar, bg, el, en"):
        real(shared, "udpos", target_languages=("de",)).validate()


@pytest.mark.real_data
def test_a_fixed_draw_is_read_from_its_files_and_test_from_the_whole(shared: Path) -> None:
    drawn = real(shared, "xnli", shots=16, draw="files", target_languages=("de",), max_test_examples=100)
    drawn.validate(target_dev=True)
    assert [len(drawn.examples(split, "en")) for split in ("train", "dev", "test")] == [48, 48, 100]
    assert len(drawn.examples("dev", "de")) == 48


@pytest.mark.real_data
def test_a_draw_of_a_size_that_is_not_there_names_the_sizes(shared: Path) -> None:
    with pytest.raises(DataError, match=r"no draw of that size \(sizes there: 1, 2, 4, 8, 16, 32, 64, 128, 256\)"):
        real(shared, "xnli", shots=5, draw="files")


@pytest.mark.real_data
def test_draws_of_real_data_are_nested_across_shots(shared: Path) -> None:
    for name in ("xnli", "panx", "udpos"):
        small, large = (real(shared, name, shots=shots).examples("train", "en") for shots in (4, 16))
        assert set(small) < set(large)
        assert len(large) <= 16 * 17


@pytest.mark.real_data
def test_translated_test_sets_are_sampled_at_the_same_rows(shared: Path) -> None:
    xnli = real(shared, "xnli", target_languages=("de",), max_test_examples=50)
    labels = [[e.label for e in xnli.examples("test", code) if isinstance(e, PairExample)] for code in ("en", "de")]
    assert labels[0] == labels[1]


@pytest.mark.real_data
def test_conllu_treebanks_are_read_as_own_files(shared: Path) -> None:
    pattern = str(shared / "data" / "conllu" / "{language}_pud-ud-test.conllu")
    files = {split: {"en": pattern.format(language="en")} for split in ("train", "dev")}
    tests = {code: pattern.format(language=code) for code in ("en", "de", "ja")}
    config = TaskConfig(name="pud", kind="token", target_languages=("de", "ja"), max_test_examples=100)
    pud = load(config, Locations(files={**files, "test": tests}))
    pud.validate()
    assert len(pud.examples("train", "en")) == 1000
    assert pud.metric == "accuracy"
