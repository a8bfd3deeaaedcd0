"""What a trial predicted on test is kept beside its scores, compactly, and gives the same scores again."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_trials import TOKENS, trial

from tunekit import tasks
from tunekit.predictions import (
    TestExamples,
    TestPredictions,
    load_examples,
    load_predictions,
    numbered,
    save,
    save_examples,
)
from tunekit.storage import TrialFolder
from tunekit.tasks import PairExample, TokenExample
from tunekit.tasks.examples import labels_of
from tunekit.training import WorkerCache, run_trial
from tunekit.trial import Locations, TaskConfig


def of(numbers: dict[str, list[int | list[int]]], labels: tuple[str, ...] = ("A", "B")) -> TestPredictions:
    return TestPredictions(trial_id="0" * 12, epoch=1, fingerprints={}, labels=labels, numbers=numbers)


@pytest.fixture(scope="module")
def tested(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny trial that was scored on test."""
    folder = tmp_path_factory.mktemp("tested")
    _run(backbone, folder)
    return folder


def _run(backbone: Path, folder: Path) -> None:
    places = Locations(backbone_path=str(backbone), device="cpu")
    run_trial(trial(), folder=folder, locations=places, cache=WorkerCache(), tokens_per_step=TOKENS, test=True)


def test_the_kept_predictions_give_the_scores_again(tested: Path) -> None:
    found = load_predictions(tested)
    assert found is not None and found.languages == ("en", "xx")
    stored = json.loads((tested / "test.json").read_text())
    assert (found.trial_id, found.epoch) == (stored["trial_id"], stored["test"]["epoch"])
    task = tasks.load(trial().task, Locations())
    again = {}
    for language in found.languages:
        scores = task.score(task.examples("test", language), found.of(language))
        again |= {f"test/{language}/{name}": score for name, score in scores.items()}
    assert again == stored["test"]["scores"]


def test_the_counts_of_each_example_give_the_main_score_again(tested: Path) -> None:
    found = load_predictions(tested)
    assert found is not None
    scores = json.loads((tested / "test.json").read_text())["test"]["scores"]
    task = tasks.load(trial().task, Locations())
    for language in found.languages:
        right, predicted, there = (sum(each[place] for each in found.counts[language]) for place in range(3))
        assert len(found.counts[language]) == len(task.examples("test", language))
        assert 2 * right / (predicted + there) == pytest.approx(scores[f"test/{language}/{task.metric}"])


def test_the_counts_of_entities_are_those_of_their_f1() -> None:
    config = TaskConfig(name="panx", kind=None, source_language="en", target_languages=())
    rows = [TokenExample(("a", "b", "c"), ("B-PER", "I-PER", "O")), TokenExample(("d",), ("B-LOC",))]
    task = tasks.Task(config, kind="token", read=lambda split, language: rows, metric="f1")
    predicted = [["B-PER", "I-PER", "B-LOC"], ["O"]]
    assert task.counts(rows, predicted) == [(1, 2, 1), (0, 0, 1)]
    assert task.score(rows, predicted)["f1"] == pytest.approx(2 * 1 / (2 + 2))


def test_the_examples_that_were_asked_are_kept_with_their_labels(tested: Path) -> None:
    found, task = load_predictions(tested), tasks.load(trial().task, Locations())
    assert found is not None
    for language in found.languages:
        kept = load_examples(TrialFolder(tested), found.examples[language])
        asked = task.examples("test", language)
        assert kept is not None and kept.metric == task.metric and kept.name == found.examples[language]
        assert kept.gold == [labels_of(example) for example in asked]
        assert [tuple(text) for text in kept.texts] == [
            (each.text_a, each.text_b) if isinstance(each, PairExample) else each.words for each in asked
        ]


def test_trials_of_a_sweep_share_the_examples_that_they_were_asked(tmp_path: Path) -> None:
    rows = [PairExample("a", "b", "yes"), PairExample("c", "d", "no")]
    one = TestExamples.of(rows, task="xnli", language="en", metric="accuracy", style=None)
    names = {save_examples(TrialFolder(tmp_path / "trials" / trial_id), one) for trial_id in ("aa", "bb")}
    assert [path.name for path in (tmp_path / "test_examples").iterdir()] == [f"{name}.json.gz" for name in names]
    other = TestExamples.of(rows[:1], task="xnli", language="en", metric="accuracy", style=None)
    assert other.name not in names


def test_they_say_which_test_data_they_belong_to(tested: Path) -> None:
    found = load_predictions(tested)
    assert found is not None
    facts = json.loads((tested / "outcome.json").read_text())["facts"]["fingerprints"]
    assert found.fingerprints == {key: facts[key] for key in ("test/en", "test/xx")}


def test_the_same_trial_gives_the_same_bytes(backbone: Path, tested: Path, tmp_path: Path) -> None:
    _run(backbone, tmp_path)
    assert (tmp_path / "test_predictions.json.gz").read_bytes() == (tested / "test_predictions.json.gz").read_bytes()


def _scores(folder: Path) -> dict[str, object]:
    """All that is kept of a test but how long it took."""
    scores: dict[str, object] = json.loads((folder / "test.json").read_text())["test"]
    return {key: value for key, value in scores.items() if key != "duration_s"}


def test_a_kill_before_the_scores_were_written_leaves_them_to_be_written_again(backbone: Path, tmp_path: Path) -> None:
    _run(backbone, tmp_path)
    scores, kept = _scores(tmp_path), (tmp_path / "test_predictions.json.gz").read_bytes()
    (tmp_path / "test.json").unlink()
    _run(backbone, tmp_path)
    assert _scores(tmp_path) == scores
    assert (tmp_path / "test_predictions.json.gz").read_bytes() == kept


def test_pairs_and_sentences_come_back_as_they_were_predicted(tmp_path: Path) -> None:
    pairs, sentences = ["B", "A", "B"], [["A", "B"], ["B"]]
    for number, predictions in enumerate((pairs, sentences)):
        path = tmp_path / str(number) / "test_predictions.json.gz"
        save(path, of({"en": numbered(("A", "B"), predictions)}))
        found = load_predictions(path.parent)
        assert found is not None and found.of("en") == predictions


def test_a_label_outside_the_inventory_is_refused() -> None:
    with pytest.raises(ValueError, match="'C' is not one of the task's: A, B"):
        numbered(("A", "B"), ["C"])


def test_a_torn_file_is_ignored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_predictions(tmp_path) is None and not caplog.text
    path = tmp_path / "test_predictions.json.gz"
    save(path, of({"en": [0, 1, 1]}))
    for content in (path.read_bytes()[:20], b"", b"no gzip", gzip.compress(b"{}")):
        path.write_bytes(content)
        caplog.clear()
        assert load_predictions(tmp_path) is None
        assert "torn" in caplog.text


def test_four_hundred_sentences_in_ten_languages_take_less_than_sixty_kilobytes(tmp_path: Path) -> None:
    generator, labels = random.Random(0), tuple(f"TAG{number}" for number in range(17))
    weights = [1 / (rank + 1) for rank in range(len(labels))]  # tags are as uneven as words are

    def sentence() -> list[int]:
        return generator.choices(range(len(labels)), weights, k=generator.randint(3, 40))

    numbers: dict[str, list[int | list[int]]] = {f"l{n}": [sentence() for _ in range(400)] for n in range(10)}
    path = tmp_path / "test_predictions.json.gz"
    save(path, of(numbers, labels))
    num_words = sum(len(row) for rows in numbers.values() for row in rows if isinstance(row, list))
    assert num_words > 80_000
    assert path.stat().st_size < 60_000


@pytest.mark.parametrize("module", ["messages", "warm_keys", "schedule"])
def test_what_drivers_and_reports_read_is_imported_without_torch(module: str) -> None:
    code = f"import sys, tunekit.training.{module}; assert not {{'torch', 'transformers'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_predictions_are_loaded_without_torch(tested: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunekit.predictions import load_predictions\n"
        f"assert load_predictions(Path({str(tested)!r})).languages == ('en', 'xx')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
