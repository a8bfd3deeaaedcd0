"""The sweep files of MPT's paper at toy size: every arm trains, and the alignment of each stands in its results."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import CommandLine
from pair_world import NAME, TAGS_NAME, VERBALIZER, locations_in

from tunekit import reports
from tunekit.execution import Execution, run_sweep
from tunekit.journal import replay
from tunekit.sweep import load_sweep

ROOT = Path(__file__).resolve().parents[1]
FILES = ["papers/mpt_xnli", *sorted(f"ablations/{p.stem}" for p in (ROOT / "search_spaces/ablations").glob("mpt_*"))]
LANGUAGES = ["de", "fr"]
SMALL = {
    "alignment": "files",
    "alignment_languages": ["de"],
    "alignment_updates": 3,
    "alignment_batch_size": 2,
    "alignment_heldout": 2,
    "epochs": 1,
    "updates_per_epoch": 3,
    "batch_size": 4,
    "max_length": 48,
}
"""What becomes of these keys wherever a file sets them; what varies between arms stays as it is."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    locations_in(folder, LANGUAGES)
    return folder


def small(values: Mapping[str, Any]) -> dict[str, Any]:
    """`fixed` of a file or an arm, for the tiny world."""
    found = {}
    for key, value in values.items():
        if value == "none":
            found[key] = value
        elif key == "alignment_size":
            found[key] = max(1, value // 100)
        else:
            found[key] = SMALL.get(key, value)
    return found


def toy(file: str, world: Path) -> dict[str, Any]:
    """The content of a sweep file with its data, backbone and sizes replaced, and all its arms."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "search_spaces" / f"{file}.yaml").read_text(encoding="utf-8"))
    name = NAME if content["task"]["name"] == "xnli" else TAGS_NAME
    content["task"] = {"name": name, "target_languages": LANGUAGES, "parallel_dir": str(world / "parallel")}
    content |= {"backbone": {"name": "tiny", "path": str(world / "backbone")}, "resources": {"cpu": 1}}
    if "shots" in content:
        content["shots"] = 2
    content |= {"search": {"searcher": "random", "num_trials": 1}, "finalise": {"top": 1, "seeds": [10]}}
    content["fixed"] = {**small(content["fixed"]), "verbalizer": VERBALIZER}
    for name, arm in content["arms"].items():
        if "fixed" in arm:
            arm["fixed"] = small(arm["fixed"])
            if name == "one_each":
                arm["fixed"]["alignment_languages"] = LANGUAGES
        arm.pop("enqueue", None)
    return content


@pytest.mark.parametrize("file", FILES)
def test_every_arm_of_a_study_trains_and_reports_its_alignment(file: str, world: Path, tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(toy(file, world), allow_unicode=True), encoding="utf-8")
    sweep = load_sweep(path)
    finish = run_sweep(sweep, tmp_path / "run", Execution(in_process=True))
    assert finish.num_failed == 0
    record = replay(tmp_path / "run")
    (csv_file,) = [each for each in reports.write(record, tmp_path / "out") if each.name == "results.csv"]
    rows = list(csv.DictReader(csv_file.open(encoding="utf-8")))
    for arm in sweep.arms:
        figures = {row["metric"]: row for row in rows if row["arm"] == arm.name and row["language"] == "de"}
        aligns = arm.method == "mpt" and arm.fixed.get("alignment") != "none"
        assert ("alignment_kl" in figures and "alignment_kl_start" in figures) == aligns, arm.name
        assert all(row["is_main_metric"] != "True" or row["metric"] == "accuracy" for row in figures.values())


def test_updates_on_parallel_text_are_counted_in_the_journal_and_the_report(world: Path, tmp_path: Path) -> None:
    content = toy("ablations/mpt_updates", world)
    content["arms"] = {name: content["arms"][name] for name in ("none_more", "beside_100")}
    for number, name in ((0, "none_more"), (5, "beside_100")):
        content["arms"][name]["fixed"] = {"alignment_updates": number}
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    run_sweep(load_sweep(path), tmp_path / "run", Execution(in_process=True))
    record = replay(tmp_path / "run")
    made = {trial.arm.split("@")[0]: trial for trial in record.trials.values()}
    few, more = made["none_more"], made["beside_100"]
    assert few.facts and more.facts and few.outcome and more.outcome
    assert more.facts.num_side_updates == (5,) and few.facts.num_side_updates == ()
    assert more.outcome.num_updates == few.outcome.num_updates + 5
    text = (reports.write(record, tmp_path / "out"), (tmp_path / "out/report.md").read_text(encoding="utf-8"))[1]
    assert str(more.outcome.num_updates) in text


@pytest.fixture
def tunekit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capfd, monkeypatch)


def test_a_check_prints_the_updates_on_parallel_text(world: Path, tmp_path: Path, tunekit: CommandLine) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(toy("ablations/mpt_prompt_length", world)), encoding="utf-8")
    said = tunekit("check", path)
    assert said.code == 0, said
    words = " ".join(said.out.split())
    assert "3 of a trial's updates are on parallel text alone, the others on rows of train" in words
