"""Benchmarks of training and of scale: they run at a tiny size, and their figures are what they say."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.driver import Cluster, Pool
from tunekit.execution.protocol import Reply, SlotMessage
from tunekit.execution.slot import serve
from tunekit.journal import SCHEMA, replay
from tunekit.journal.events import KEYS, encoded
from tunekit.search import Search

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = ("measuring", "peers", "packing", "sweep", "driver", "simulated", "scale")


@pytest.fixture(scope="module")
def scripts() -> Any:
    """The modules of the benchmarks, imported as the scripts import each other."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)


def tables(text: str) -> list[list[dict[str, str]]]:
    """The Markdown tables of a text, each as its rows by the names of the columns."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append([cell.strip() for cell in line[1:-1].split("|")])
        elif found[-1]:
            found.append([])
    return [[dict(zip(rows[0], row, strict=True)) for row in rows[2:]] for rows in found if rows]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_docstrings_are_right(scripts: Any, name: str) -> None:
    assert doctest.testmod(getattr(scripts, name)).failed == 0


@pytest.mark.slow
def test_a_tiny_sweep_runs_with_its_journal_and_tells_scores_and_costs(
    scripts: Any, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    words = ["--task", "toy", "--backbone", str(backbone), "--trials", "2", "--sides", "packed,solo", "--in-process"]
    scripts.sweep.main([*words, "--out", str(out)])
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    sides = {side["side"]: side for side in found["sides"]}
    assert "packed" in sides or "left out: packed" in printed
    for side in sides.values():
        assert [trial["number"] for trial in side["trials"]] == [0, 1]
        assert all(trial["num_updates"] == 3 and 0 <= trial["value"] <= 1 for trial in side["trials"])
        assert side["peak_tree_bytes"] >= side["peak_workers_bytes"] > 2**26 and side["makespan_s"] > 0
    values = [[trial["value"] for trial in side["trials"]] for side in sides.values()]
    assert values[0] == values[-1], "packed and solo trials are the same experiments"
    costs, _, scores, _ = tables(printed)
    assert [row["side"] for row in costs] == list(sides)
    assert [row["seed"] for row in scores] == ["10", "42"]


@pytest.mark.slow
@pytest.mark.parametrize("peers", ["alike", "stock"])
def test_the_other_tools_train_the_same_trials(scripts: Any, backbone: Path, tmp_path: Path, peers: str) -> None:
    out = tmp_path / "out.json"
    words = ["--task", "toy", "--backbone", str(backbone), "--trials", "2", "--in-process", "--peers", peers]
    scripts.sweep.main([*words, "--sides", "solo,loop,optuna-grouped", "--out", str(out)])
    solo, *others = json.loads(out.read_text())["sides"]
    for other in others:
        for mine, theirs in zip(solo["trials"], other["trials"], strict=True):
            assert (theirs["number"], theirs["num_updates"]) == (mine["number"], mine["num_updates"])
            # Two layers of keys and values of width 16 at 4 positions, and a head for 12 labels. A frozen pooler adds
            # nothing: only pairs are read behind it.
            assert theirs["num_trainable"] == mine["num_trainable"] == 4 * 2 * 2 * 16 + 12 * 16 + 12


@pytest.mark.parametrize(("num_trials", "num_points"), [(1, 1), (2, 1), (6, 3), (24, 12)])
def test_fewer_trials_are_whole_points_on_both_seeds(scripts: Any, num_trials: int, num_points: int) -> None:
    specs = scripts.sweep.make_specs(num_trials)
    assert [spec.number for spec in specs] == list(range(num_trials))
    points = scripts.sweep.by_point([spec.seed for spec in specs], specs)
    assert len(points) == num_points
    assert all(seeds == ([10, 42] if num_trials > 1 else [10]) for seeds in points.values())


@pytest.mark.parametrize("num_trials", [0, 3, 26, -2])
def test_a_number_of_trials_that_would_tear_a_point_apart_is_refused(scripts: Any, num_trials: int) -> None:
    with pytest.raises(SystemExit, match=f"--trials {num_trials}: 1, or an even number up to 24"):
        scripts.sweep.make_specs(num_trials)


@pytest.mark.parametrize(
    ("words", "sides"),
    [
        (["--sides", "packed,tune"], ["packed", "tune"]),
        (["--sides", "packed,packed-bf16,tune", "--dtype", "bf16"], ["packed-bf16", "tune"]),
        (["--sides", "solo,loop-bf16-grouped,loop", "--grouped"], ["solo", "loop-grouped-bf16", "loop-grouped"]),
        (["--sides", "optuna", "--peer-dtype", "bf16"], ["optuna-bf16"]),
    ],
)
def test_options_add_endings_to_the_sides_that_they_are_about(scripts: Any, words: list[str], sides: list[str]) -> None:
    assert scripts.sweep._sides(scripts.sweep._parser().parse_args(words)) == sides


@pytest.mark.parametrize("side", ["solo-grouped", "ray", "tune-fp16", ""])
def test_an_unknown_side_is_refused(scripts: Any, side: str) -> None:
    with pytest.raises(SystemExit, match=r"--sides .*: packed, solo, tune, optuna, loop"):
        scripts.sweep._sides(scripts.sweep._parser().parse_args(["--sides", f"packed,{side}"]))


def test_a_side_whose_packages_are_missing_is_left_out_with_the_reason(
    scripts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scripts.sweep.NEEDS, "tune", ("ray_of_nowhere", "torch"))
    assert scripts.sweep.why_not("tune-grouped") == "ray_of_nowhere not installed"
    assert scripts.sweep.why_not("solo") is None


def test_ratios_spreads_and_differences_are_those_of_the_trials(scripts: Any) -> None:
    specs = scripts.sweep.make_specs(4)

    def side(name: str, makespan_s: float, values: list[float], num_updates: int = 5) -> Any:
        trials = [{"number": i, "value": v, "num_updates": num_updates} for i, v in enumerate(values)]
        return scripts.sweep.Measured(name, makespan_s, tuple(trials), 3 * 2**20, 5 * 2**20)

    found = [side("packed", 100.0, [0.5, 0.6, 0.7, 0.7]), side("tune", 250.0, [0.5, 0.5, 0.7, 0.9])]
    costs, ratios, scores, agreement = tables(scripts.sweep.render(found, specs))
    assert costs[0] | {} == {
        "side": "packed", "trials": "4", "updates": "20", "makespan s": "100.0", "trials/h": "144",
        "s a trial": "25.0", "workers MB": "3", "all processes MB": "5",
    }  # fmt: skip
    assert (ratios[1]["packed"], ratios[0]["tune"]) == ("2.50", "0.40")
    assert [row["tune"] for row in scores] == ["50.00", "50.00", "70.00", "90.00"]
    # Variances over seeds inside the two points: 0.005 and 0; 0 and 0.02.
    assert [row["spread over seeds"] for row in agreement] == ["5.00", "10.00"]
    assert [row["best point"] for row in agreement] == ["70.00", "80.00"]
    assert agreement[1]["minus packed: mean"] == "+2.50" and agreement[1]["largest"] == "+20.00"
    assert "NOT COMPARABLE" not in scripts.sweep.render(found, specs)
    assert "NOT COMPARABLE" in scripts.sweep.render([found[0], side("tune", 1.0, [0.1] * 4, 6)], specs)


@pytest.mark.parametrize(
    ("groups", "spread"),
    [([[1.0, 3.0]], 2**0.5), ([[1.0, 3.0], [5.0, 5.0, 5.0]], (2 / 3) ** 0.5), ([[1.0], [2.0]], None), ([], None)],
)
def test_the_spread_inside_groups_weighs_each_by_its_degrees_of_freedom(
    scripts: Any, groups: list[list[float]], spread: float | None
) -> None:
    found = scripts.measuring.pooled_spread(groups)
    assert found == (None if spread is None else pytest.approx(spread))


def test_memory_is_the_highest_sum_and_the_sum_of_the_peaks_of_workers(scripts: Any) -> None:
    memory = scripts.measuring.TreeMemory()
    memory.add({1: 10, 2: 30}, [2])
    memory.add({1: 10, 2: 20, 3: 15}, [2, 3])
    memory.add({1: 25}, [])
    assert memory.peak_bytes == 45
    assert memory.workers_bytes(1) == 30 + 15
    alone = scripts.measuring.TreeMemory()
    alone.add({1: 10, 5: 2}, [])
    assert alone.workers_bytes(1) == 10


@pytest.mark.parametrize(
    ("command", "is_worker"),
    [
        ("ray::ResourceTrainable.train", True),
        ("ray::Trainable", True),
        ("ray::IDLE", False),
        ("ray::DashboardAgent", False),
        ("ray::Mailbox.exchange", False),
        ("python trainable.py ray::Trainable", False),
    ],
)
def test_only_what_trains_is_a_worker_among_the_processes_of_ray(scripts: Any, command: str, is_worker: bool) -> None:
    assert scripts.measuring.is_ray_worker(command) is is_worker


def test_the_memory_of_a_child_and_its_own_child_is_seen(scripts: Any, tmp_path: Path) -> None:
    inner = "import time; held = bytearray(60 << 20); time.sleep(1)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    ended = scripts.measuring.run_watched([sys.executable, "-c", outer], tmp_path / "log")
    assert ended.code == 0
    assert 60 << 20 < ended.peak_tree_bytes < 200 << 20
    assert ended.peak_workers_bytes < 60 << 20, "without Ray the outer process is the only worker"


def test_a_tiny_pack_is_measured_against_solo(scripts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    words = ["--backbone", "toy", "--members", "1", "3", "--batch", "4", "--updates", "2", "--row-length", "10"]
    scripts.packing.main([*words, "--mixed", "--out", str(out)])
    (rows,) = tables(capsys.readouterr().out)
    assert [(row["how"], row["K"]) for row in rows] == [("solo", "1"), ("pack", "1"), ("pack", "3")]
    for row in json.loads(out.read_text())["rows"]:
        assert row["memory MB"] > 50 and row["tokens/s"] > 0
        assert row.get("loss differs", 0.0) < 1e-5
        assert row["trials/h"] == pytest.approx(3600 / (row["ms a member"] / 1e3 * 60))


@pytest.mark.slow
def test_processes_at_the_same_time_are_measured_too(scripts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backbone", "toy", "--members", "1", "--batch", "4", "--updates", "2", "--row-length", "10"]
    scripts.packing.main([*words, "--processes", "2"])
    (rows,) = tables(capsys.readouterr().out)
    assert (rows[-1]["how"], rows[-1]["K"]) == ("processes", "2")


def test_figures_of_a_pack_follow_from_its_time(scripts: Any) -> None:
    timing = scripts.packing.Timing(
        num_members=4, duration_s=8.0, losses=[], num_tokens=1600, num_operations=4e9, peak_bytes=2**21
    )
    words = scripts.packing._parser().parse_args(["--updates", "10", "--trial-updates", "100"])
    assert scripts.packing.row_of(timing, words, peak=1e9, solo_s=0.5) == pytest.approx(
        {
            "K": 4,
            "update ms": 800.0,
            "ms a member": 200.0,
            "tokens/s": 200.0,
            "trials/h": 180.0,
            "times solo": 2.5,
            "of the limit": 0.5,
            "memory MB": 2.0,
        }
    )


def _shape(scripts: Any, method: str, kind: str) -> Any:
    return scripts.packing.Shape(
        backbone="toy",
        method=method,
        kind=kind,
        batch_size=4,
        row_length=24,
        is_mixed=False,
        dtype="fp32",
        device="cpu",
        threads=1,
        warmup=0,
        updates=1,
    )


@pytest.mark.parametrize("kind", ["pair", "token"])
@pytest.mark.parametrize("method", ["ptuning_v2", "prompt_tuning", "lora", "bitfit"])
def test_the_operations_of_an_update_are_those_that_torch_counts(
    scripts: Any, monkeypatch: pytest.MonkeyPatch, method: str, kind: str
) -> None:
    larger = {"hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 256}
    monkeypatch.setattr(scripts.packing, "TOY", {**scripts.packing.TOY, **larger})
    bench = scripts.packing._Bench(_shape(scripts, method, kind))
    member = bench._member(0)
    # torch counts nothing inside its fused attention on a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        scripts.packing.train_one_by_one([member], range(1))
    counted = scripts.packing.operations(member, bench._tokens(member))
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.06)


def test_members_have_settings_and_seeds_of_their_own(scripts: Any) -> None:
    configs = [scripts.packing.trial_config(_shape(scripts, "ptuning_v2", "pair"), number) for number in range(6)]
    assert len({config.trial_id for config in configs}) == 6
    assert len({config.options["prompt_length"] for config in configs}) == 4


def test_rows_are_as_long_as_asked_and_read_where_the_backbone_has_seen_them(scripts: Any) -> None:
    backbone = types.SimpleNamespace(
        is_causal=True, model=types.SimpleNamespace(config=types.SimpleNamespace(vocab_size=50))
    )
    rows = scripts.packing.make_rows(_shape(scripts, "lora", "pair"), backbone)
    assert all(row.length == 24 and row.reads == ((23,),) for row in rows)
    backbone.is_causal = False
    rows = scripts.packing.make_rows(_shape(scripts, "lora", "token"), backbone)
    assert all(row.reads[0] == (1,) and len(row.label_ids) == 22 for row in rows)


@pytest.mark.parametrize("script", ["sweep", "packing"])
def test_the_help_page_of_a_script_is_its_docstring(scripts: Any, script: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--help"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert getattr(scripts, script).__doc__.strip() in shown


# -- scale -----------------------------------------------------------------------------------------------------------


def test_a_tiny_sweep_in_virtual_time_runs_every_trial_and_never_beats_the_ideal(
    scripts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--trials", "12", "--slots", "3", "--epochs", "4", "--seconds", "40", "--searcher", "random", "--json"]
    scripts.scale.main(["virtual", *words])
    row = json.loads(capsys.readouterr().out)
    assert row["trials"] == 12 and row["messages"] > 4 * 12
    assert 10 <= row["trial s"] < 40, "early stopping ends some after the first of four epochs"
    assert 0 < row["ideal s"] <= row["makespan s"] and row["resume s"] > 0
    assert row["journal bytes/trial"] == pytest.approx(1e6 * row["journal MB"] / 12)


def test_a_slot_whose_trials_sleep_serves_until_it_is_told_to_leave(scripts: Any, tmp_path: Path) -> None:
    sweep = scripts.simulated.sweep_of(4, searcher="random", scheduler="none", epochs=2)
    with scripts.simulated.open_journal(tmp_path, sweep) as journal:
        dispatcher = Dispatcher(Search(sweep, journal), tmp_path)

        def ask(message: SlotMessage) -> Reply:
            return dict(dispatcher.exchange([message]))[message.slot]

        line = types.SimpleNamespace(ask=ask, post=lambda message: dispatcher.exchange([message]))
        assert len(list(serve("a", scripts.simulated.SleepingTrials(0.0), line, worker="w"))) > 4 * 2
        trials = journal.record.trials.values()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 4
    assert sum(trial.test_scores is not None for trial in trials) == 2, "the best of each arm"
    assert journal.record.trials.keys() == replay(tmp_path).trials.keys()


def test_what_slots_lost_is_read_off_the_times_in_the_journal(scripts: Any, tmp_path: Path) -> None:
    report = {"duration_s": 1.0}
    told = [(0, "launched", {"schema": SCHEMA}), (0, "created", {"trial_id": "x"}), (2, "started", {"trial_id": "x"})]
    told += [(4, "reported", {"trial_id": "x", "report": report}), (5, "finished", {"trial_id": "x"})]
    told += [(8, "started", {"trial_id": "y"}), (9, "reported", {"trial_id": "y", "report": report})]
    told += [(9, "finished", {"trial_id": "y"})]
    lines = []
    for number, (second, kind, content) in enumerate(told, start=1):
        event = {"event": kind, "time": f"2026-01-01T00:00:0{second}.000Z", "worker": "w"}
        lines.append(encoded({**event, **dict.fromkeys(KEYS[kind]), "worker": "w", **content}, number))
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(lines))
    lost = scripts.scale.waits(journal)
    assert (lost.starts, lost.gaps, lost.excess) == ([2.0], [3.0], [2.0, 0.0])


@pytest.mark.parametrize("protocol", [Pool, Cluster])
def test_slots_in_virtual_time_answer_all_that_a_driver_may_ask(scripts: Any, protocol: type) -> None:
    asked = {name for name in vars(protocol) if not name.startswith("_")}
    assert asked and asked <= set(dir(scripts.simulated.VirtualSlots)), "also what it asks after minutes only"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("way", ["ray", "tune"])
def test_a_tiny_sweep_of_sleeping_trials_runs_on_ray(scripts: Any, way: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "scale.py"), way, "--trials", "6", "--slots", "2", "--seconds", "0.05"]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    ended = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    row = json.loads(ended.stdout.splitlines()[-1])
    assert row["trials"] == 6 and row["makespan s"] > row["ideal s"] == pytest.approx(0.15)
    assert way == "tune" or (row["driver ms"] > 0 and row["mailbox ms"] >= 0)


@pytest.mark.gpu
def test_a_tiny_pack_is_measured_on_a_gpu(scripts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backbone", "toy", "--members", "1", "2", "--batch", "4", "--updates", "2", "--device", "cuda"]
    scripts.packing.main(words)
    (rows,) = tables(capsys.readouterr().out)
    assert len(rows) == 3 and torch.cuda.is_available()
