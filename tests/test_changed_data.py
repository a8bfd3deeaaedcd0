"""A trial notices that the data or the backbone in a place are no longer those that it began with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_trials import TOKENS, train, trial

from tunekit.errors import DataChanged
from tunekit.tasks import Task, TokenExample, load
from tunekit.training import TrialRun, WorkerCache
from tunekit.trial import Locations, TaskConfig, TrialConfig

TASK = TaskConfig(name="mine", kind="token", target_languages=("xx",))
CONFIG = replace(trial(), task=TASK)
Open = Callable[[WorkerCache], TrialRun]


@pytest.fixture
def folder(backbone: Path, tmp_path: Path) -> Path:
    """A place of its own for data and backbone."""
    shutil.copytree(backbone, tmp_path / "model")
    words = load(trial().task, Locations())
    for split, language in (("train", "en"), ("dev", "en"), ("test", "en"), ("test", "xx")):
        write(tmp_path / f"{split}-{language}.tsv", words, split, language)
    return tmp_path


def write(path: Path, words: Task, split: str, language: str) -> None:
    lines = []
    for example in words.examples(split, language):  # type: ignore[arg-type]
        assert isinstance(example, TokenExample)
        lines += [f"{word}\t{label}\n" for word, label in zip(example.words, example.labels, strict=True)] + ["\n"]
    path.write_text("".join(lines))


@pytest.fixture
def opened(folder: Path) -> Open:
    return lambda cache: run_in(folder, cache, CONFIG)


def run_in(folder: Path, cache: WorkerCache, config: TrialConfig) -> TrialRun:
    places = Locations(files=str(folder / "{split}-{language}.tsv"), backbone_path=str(folder / "model"), device="cpu")
    return TrialRun(config, folder=folder / config.trial_id, locations=places, cache=cache, tokens_per_step=TOKENS)


def replaced(path: Path) -> None:
    """Another file of the same size in the place of `path`."""
    new = path.with_name("new")
    content = bytearray(path.read_bytes())
    if path.suffix == ".tsv":
        content = content.replace(b"\tA\n", b"\tB\n", 1)
    else:
        content[-1] ^= 1
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.parametrize(
    "name", ["train-en.tsv", "dev-en.tsv", "test-en.tsv", "test-xx.tsv", "model/model.safetensors"]
)
@pytest.mark.parametrize("is_warm", [False, True], ids=["another process", "the same process"])
def test_a_trial_does_not_go_on_over_other_bytes(name: str, is_warm: bool, folder: Path, opened: Open) -> None:
    cache = WorkerCache()
    train(opened(cache), epochs=1)
    replaced(folder / name)
    key = "backbone" if name.startswith("model") else name.removesuffix(".tsv").replace("-", "/")
    place = folder / ("model" if key == "backbone" else name)
    with pytest.raises(DataChanged, match=rf"last.pt was trained on other data: {key} in {place} \(fingerprint \w+, "):
        opened(cache if is_warm else WorkerCache())


@pytest.mark.parametrize("name", ["test-en.tsv", "test-xx.tsv"])
def test_a_test_file_that_was_replaced_since_the_trial_began_is_not_scored(
    name: str, folder: Path, opened: Open
) -> None:
    run = train(opened(WorkerCache()))
    run.outcome()
    replaced(folder / name)
    with pytest.raises(DataChanged, match=name):
        run.test()
    assert not (run.folder / "test.json").exists()


@pytest.mark.parametrize("name", ["train-en.tsv", "test-xx.tsv", "model/model.safetensors"])
def test_a_finished_trial_is_not_tested_over_other_bytes(name: str, folder: Path, opened: Open) -> None:
    train(opened(WorkerCache())).outcome()
    replaced(folder / name)
    with pytest.raises(DataChanged, match=r"best.pt was trained on other data"):
        opened(WorkerCache()).test()


def test_the_next_trial_of_a_process_reads_a_replaced_file_and_says_so(folder: Path) -> None:
    cache = WorkerCache()
    first = train(run_in(folder, cache, CONFIG))
    before = first.test(), first.facts
    replaced(folder / "test-xx.tsv")
    second = train(run_in(folder, cache, replace(CONFIG, seed=2)))
    fresh = run_in(folder, WorkerCache(), replace(CONFIG, seed=3))
    assert cache.num_task_loads == 2
    assert second.facts.fingerprints == fresh.facts.fingerprints
    changed = {key for key, value in before[1].fingerprints.items() if second.facts.fingerprints[key] != value}
    assert changed == {"test/xx"}
    assert second.test().majority != before[0].majority
