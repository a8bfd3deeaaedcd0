"""A sweep goes on with the bytes that it began with, or not at all; and what failed may be taken up again."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import LABELS, WORDS, save_backbone

from tunekit.errors import ConfigError, DataChanged
from tunekit.execution import Execution, run_sweep
from tunekit.journal import FILE_NAME, read_events, replay
from tunekit.reports import write
from tunekit.sweep import Source, Sweep, parse_sweep

RATE = {"learning_rate": {"low": 1e-3, "high": 1e-2}}
SPLITS = {"train": 20, "dev": 8, "test": 8}


def write_data(folder: Path, seed: int = 0) -> None:
    """``<split>-<language>.tsv`` of two languages; a word's number decides its label."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SPLITS.items():
        for language in ("en", "xx"):
            generator = random.Random(f"{seed} {split} {language}")
            sentences = (generator.choices(WORDS, k=generator.randint(2, 8)) for _ in range(size))
            text = "\n\n".join(
                "\n".join(f"{word}\t{LABELS[int(word[1:]) % len(LABELS)]}" for word in words) for words in sentences
            )
            (folder / f"{split}-{language}.tsv").write_text(f"{text}\n", encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with data and a tiny backbone."""
    write_data(tmp_path / "data")
    save_backbone(tmp_path / "model")
    return tmp_path


def sweep_of(world: Path, *, num_trials: int = 1, **changes: Any) -> Sweep:
    content: dict[str, Any] = {
        "name": "words",
        "task": {
            "name": "words",
            "kind": "token",
            "target_languages": ["xx"],
            "files": str(world / "data" / "{split}-{language}.tsv"),
        },
        "backbone": str(world / "model"),
        "arms": {"finetune": {"method": "finetune", "space": RATE}},
        "fixed": {"epochs": 1, "max_length": 16},
        "search": {"searcher": "random", "num_trials": num_trials, "seed": 0},
        "finalise": {"top": 1, "seeds": [10]},
        **changes,
    }
    return parse_sweep(content, Source("words.yaml"))


def launch(world: Path, **changes: Any) -> int:
    """Run the sweep in this process; the number of failed trials."""
    return run_sweep(sweep_of(world, **changes), world / "run", Execution(in_process=True)).num_failed


def other_weights(world: Path) -> None:
    weights = world / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-40:] = bytes(40)
    weights.write_bytes(content)


def other_split(name: str) -> Callable[[Path], None]:
    def change(world: Path) -> None:
        write_data(world / "other", seed=1)
        shutil.copy(world / "other" / f"{name}.tsv", world / "data" / f"{name}.tsv")

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (other_weights, r"the backbone 'model' \(.*model\)"),
        (other_split("train-en"), "train of 'words' in 'en'"),
        (other_split("dev-en"), "dev of 'words' in 'en'"),
        (other_split("test-en"), "test of 'words' in 'en'"),
        (other_split("test-xx"), "test of 'words' in 'xx'"),
    ],
)
def test_a_resumed_sweep_that_would_read_other_bytes_stops_and_names_them(
    change: Callable[[Path], None], what: str, world: Path
) -> None:
    assert launch(world) == 0
    before = (world / "run" / FILE_NAME).read_bytes()
    shutil.copytree(world / "data", world / "kept data")
    shutil.copytree(world / "model", world / "kept model")
    change(world)
    with pytest.raises(DataChanged, match=f"{what} .*changed since the sweep began"):
        launch(world, num_trials=3)
    kinds = [event["event"] for event in read_events(world / "run" / FILE_NAME)]
    assert kinds.count("tested") == before.count(b'"event":"tested"') == 1, "no score of other bytes is kept"
    assert kinds.count("finished") == 1
    shutil.copytree(world / "kept data", world / "data", dirs_exist_ok=True)
    shutil.copytree(world / "kept model", world / "model", dirs_exist_ok=True)
    assert launch(world, num_trials=3) == 0
    assert [trial.state for trial in replay(world / "run").trials.values()] == ["COMPLETE"] * 3


def test_a_file_that_was_only_touched_is_the_same(world: Path) -> None:
    launch(world)
    for path in [*(world / "data").iterdir(), *(world / "model").iterdir()]:
        os.utime(path)
    assert launch(world, num_trials=2) == 0


def test_two_folders_of_one_name_in_two_arms_are_refused_when_the_file_is_read(world: Path) -> None:
    save_backbone(world / "elsewhere" / "model")
    arm = {"method": "finetune"}
    arms = {
        "one": {**arm, "backbone": str(world / "model")},
        "two": {**arm, "backbone": str(world / "elsewhere/model")},
    }
    with pytest.raises(ConfigError, match="read different places under one name"):
        sweep_of(world, arms=arms)


# -- failed trials taken up again ------------------------------------------------------------------------------------


def test_failed_trials_are_taken_up_again_as_the_same_trials_and_the_old_reason_is_kept(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = world / "flag"
    monkeypatch.setenv("TUNEKIT_TEST_FLAG", str(flag))
    changes: dict[str, Any] = {
        "arms": {"finetune": {"method": "fakes:FailsWithoutFlag", "space": RATE}},
        "num_trials": 2,
    }
    assert launch(world, **changes) == 2
    assert launch(world, **changes) == 2, "a resumed sweep leaves failed trials alone"
    failed = replay(world / "run").trials
    flag.touch()
    finish = run_sweep(sweep_of(world, **changes), world / "run", Execution(in_process=True), retry_failed=True)
    record = replay(world / "run")
    assert finish.num_failed == 0
    assert record.trials.keys() == failed.keys(), "the same trials"
    for trial in record.trials.values():
        assert (trial.state, trial.num_attempts) == ("COMPLETE", 2)
        assert trial.earlier_failures == [failed[trial.trial_id].reason] != [None]
    assert sum(trial.test_scores is not None for trial in record.trials.values()) == 1
    report = next(path for path in write(record, world / "report") if path.name == "report.md").read_text()
    assert "2 trials had FAILED and were taken up again" in report
    assert "there is no flag" in report


def test_a_search_told_of_a_retried_trial_goes_on_as_if_it_had_not_failed(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searcher is rebuilt from the journal, where the trial has its last outcome only."""
    flag = world / "flag"
    monkeypatch.setenv("TUNEKIT_TEST_FLAG", str(flag))
    arms = {"finetune": {"method": "fakes:FailsWithoutFlag", "space": RATE}}
    sweep = sweep_of(world, arms=arms, num_trials=1)
    run_sweep(sweep, world / "run", Execution(in_process=True))
    flag.touch()
    run_sweep(sweep_of(world, arms=arms, num_trials=4), world / "run", Execution(in_process=True), retry_failed=True)
    run_sweep(sweep_of(world, arms=arms, num_trials=4), world / "undisturbed", Execution(in_process=True))
    again, undisturbed = (replay(world / name).trials for name in ("run", "undisturbed"))
    assert {key: trial.value for key, trial in again.items()} == {key: t.value for key, t in undisturbed.items()}
