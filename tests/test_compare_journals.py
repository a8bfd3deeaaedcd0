"""The script that compares two journals finds what differs, and only that."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulation import run, simulated_sweep

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "compare_journals.py"
SCHEMA_1 = Path(__file__).parent / "data" / "journal_schema_1.jsonl"

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def script() -> Any:
    specification = importlib.util.spec_from_file_location("compare_journals", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["compare_journals"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "simulated"
    run(simulated_sweep(search={"searcher": "random", "num_trials": 5, "seed": 3}), folder)
    return folder / "journal.jsonl"


def _events(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def _written(events: list[dict[str, Any]], folder: Path) -> Path:
    lines = "".join(f"{json.dumps(event)}\n" for event in events)
    (folder / "other.jsonl").write_text(lines, encoding="utf-8")
    return folder / "other.jsonl"


def _changed(journal: Path, folder: Path, kind: str, change: Change) -> Path:
    """A copy whose first event of a kind is changed."""
    events = _events(journal)
    change(next(event for event in events if event["event"] == kind))
    return _written(events, folder)


def _found(script: Any, old: Path, new: Path) -> list[str]:
    return [difference.text for difference in script.differences(script.read(old), script.read(new))]


def test_a_journal_is_the_same_as_itself_whatever_its_clocks_and_names(
    script: Any, journal: Path, tmp_path: Path
) -> None:
    events = _events(journal)
    for event in events:
        event["time"] = "1999"
        if "trial_id" in event:
            event["trial_id"] = f"other-{event['trial_id']}"
        if "report" in event:
            event["report"]["duration_s"] = 77.0
        if "point_id" in event:
            event["point_id"] = "other"
    assert _found(script, journal, _written(events, tmp_path)) == []
    assert len(script.read(journal.parent)) >= 10


def _digit(event: dict[str, Any]) -> None:
    event["report"]["value"] += 1e-16


def _dev_score(event: dict[str, Any]) -> None:
    event["report"]["metrics"]["dev/en/accuracy"] += 1e-16


def _decision(event: dict[str, Any]) -> None:
    event["decision"]["num_compared"] += 1


def _stop(event: dict[str, Any]) -> None:
    event["decision"]["stop"] = 0  # False in Python, and another value in JSON


def _score(event: dict[str, Any]) -> None:
    event["scores"] = {key: score + 1e-16 for key, score in event["scores"].items()}


def _majority(event: dict[str, Any]) -> None:
    event["baselines"]["majority/de/accuracy"] += 1e-16


def _examples(event: dict[str, Any]) -> None:
    event["num_examples"]["de"] += 1


def _nan(event: dict[str, Any]) -> None:
    event["report"]["value"] = float("nan")


def _no_score(event: dict[str, Any]) -> None:
    event["scores"]["test/de/accuracy"] = None


def _param(event: dict[str, Any]) -> None:
    event["params"]["learning_rate"] *= 1 + 1e-15


def _param_gone(event: dict[str, Any]) -> None:
    del event["params"]["batch_size"]


def _config(event: dict[str, Any]) -> None:
    event["config"]["training"]["batch_size"] = 7


def _moved(event: dict[str, Any]) -> None:
    event["number"] += 100


def _state(event: dict[str, Any]) -> None:
    event["outcome"]["state"] = "FAILED"


def _best_epoch(event: dict[str, Any]) -> None:
    event["outcome"]["best_epoch"] = 77


def _updates(event: dict[str, Any]) -> None:
    event["outcome"]["num_updates"] += 1


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("reported", _digit, "epoch 1 value"),
        ("reported", _dev_score, "epoch 1 dev/en/accuracy"),
        ("reported", _decision, "decision at epoch 1 num_compared"),
        ("reported", _stop, "decision at epoch 1 stop: False and 0"),
        ("reported", _nan, "epoch 1 value"),
        ("tested", _score, "tested test/de/accuracy"),
        ("tested", _majority, "tested majority/de/accuracy"),
        ("tested", _examples, "tested num_examples de: 100 and 101"),
        ("tested", _no_score, "tested test/de/accuracy"),
        ("created", _param, "params learning_rate"),
        ("created", _param_gone, "params batch_size: only in the first journal"),
        ("created", _config, "config training.batch_size"),
        ("created", _moved, "only in the"),
        ("finished", _state, "outcome state: 'COMPLETE' and 'FAILED'"),
        ("finished", _best_epoch, "outcome best_epoch"),
        ("finished", _updates, "sizes num_updates"),
    ],
)
def test_a_digit_a_decision_or_a_trial_that_differs_is_found(
    script: Any, journal: Path, tmp_path: Path, kind: str, change: Change, where: str
) -> None:
    found = _found(script, journal, _changed(journal, tmp_path, kind, change))
    assert found and all(where in line for line in found)


@pytest.mark.parametrize("kind", ["reported", "tested", "finished"])
def test_an_event_that_is_missing_is_found(script: Any, journal: Path, tmp_path: Path, kind: str) -> None:
    events = _events(journal)
    events.remove(next(event for event in events if event["event"] == kind))
    assert _found(script, journal, _written(events, tmp_path))


def test_a_trial_that_one_journal_lacks_is_named(script: Any, journal: Path, tmp_path: Path) -> None:
    events = _events(journal)
    gone = events[-1]["trial_id"]
    created = next(event for event in events if event["event"] == "created" and event["trial_id"] == gone)
    other = _written([event for event in events if event.get("trial_id") != gone], tmp_path)
    name = f"{created['arm']} point {created['number']} seed {created['seed']} ({created['phase']})"
    assert _found(script, journal, other) == [f"{name}: only in the first journal"]
    assert _found(script, other, journal) == [f"{name}: only in the second journal"]


def _as_schema_1(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same story as an earlier version told it: decisions in lines of their own, facts with the outcome."""
    told: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    for event in events:
        old = {key: value for key, value in event.items() if key not in ("n", "sum", "facts", "decision")}
        if event["event"] == "started":
            facts[event["trial_id"]] = {**event["facts"], "num_train_pieces": event["facts"].pop("num_train_tokens")}
        if event["event"] == "finished":
            old["outcome"] = {**old["outcome"], "facts": facts[event["trial_id"]]}
        told.append(old)
        if event["event"] == "reported":
            report = event["report"]
            decided = {"event": "decided", "epoch": report["epoch"], "decision": event["decision"]}
            told.append({**decided, "trial_id": event["trial_id"], "time": event["time"]})
    return told


def test_journals_of_two_schemas_are_compared(script: Any, journal: Path, tmp_path: Path) -> None:
    events = _as_schema_1(_events(journal))
    other = _written(events, tmp_path)
    assert sum(len(trial.decisions) for trial in script.read(other).values()) > 10
    assert _found(script, other, journal) == []
    next(event for event in events if event["event"] == "decided")["decision"]["cutoff"] = 0.123
    assert [line.partition(": ")[2] for line in _found(script, _written(events, tmp_path), journal)] == [
        "decision at epoch 1 cutoff: 0.123 and None"
    ]


def test_sizes_that_schema_1_did_not_know_of_a_stopped_trial_are_not_compared(
    script: Any, journal: Path, tmp_path: Path
) -> None:
    events = _events(journal)
    for event in events:
        if event["event"] == "started":
            event["facts"] |= {"num_trainable_parameters": 7, "num_backbone_parameters": 9}
    (tmp_path / "old").mkdir()
    new, old = _written(events, tmp_path), _as_schema_1(events)
    pruned = [event["outcome"] for event in old if event.get("outcome", {}).get("state") == "PRUNED"]
    for outcome in pruned:
        outcome |= {"num_trainable_parameters": 0, "num_backbone_parameters": 0, "facts": {}}
    assert pruned and _found(script, _written(old, tmp_path / "old"), new) == []
    complete = next(event["outcome"] for event in old if event.get("outcome", {}).get("state") == "COMPLETE")
    complete["num_trainable_parameters"] = 8
    found = _found(script, _written(old, tmp_path / "old"), new)
    assert [line.partition(": ")[2] for line in found] == ["sizes num_trainable_parameters: 8 and 7"]


def test_the_kept_journal_of_schema_1_is_read_in_full(script: Any) -> None:
    trials = script.read(SCHEMA_1)
    events = _events(SCHEMA_1)
    for kind, number in {
        "created": len(trials),
        "decided": sum(len(trial.decisions) for trial in trials.values()),
        "reported": sum(len(trial.epochs) for trial in trials.values()),
        "finished": sum(bool(trial.outcome) for trial in trials.values()),
        "tested": sum(bool(trial.test) for trial in trials.values()),
    }.items():
        assert number == sum(event["event"] == kind for event in events) > 0


def test_a_field_that_one_version_alone_has_is_listed_and_no_difference(
    script: Any, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add(event: dict[str, Any]) -> None:
        event["config"]["training"]["colour"] = "blue"

    assert script.main([str(journal), str(_changed(journal, tmp_path, "created", add))]) == 0
    number = len(script.read(journal))
    assert f"  training.colour: only in the second journal, in 1 of {number} trials" in capsys.readouterr().out


def test_the_summary_counts_what_was_compared(
    script: Any, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(journal.parent), str(journal)]) == 0
    events = _events(journal)
    words = " ".join(capsys.readouterr().out.split())
    counts = [sum(event["event"] == kind for event in events) for kind in ("created", "reported", "tested")]
    assert words == (
        f"trials in both {counts[0]} epochs {counts[1]} decisions {counts[1]} test scores {counts[2]} "
        "largest difference 0 the same to the last digit"
    )

    def much(event: dict[str, Any]) -> None:
        event["report"]["value"] += 0.25

    assert script.main([str(journal), str(_changed(journal, tmp_path, "reported", much))]) == 1
    shown = capsys.readouterr().out
    assert "largest difference      0.25 (epoch 1 value)\n1 difference\n  " in shown


def test_ten_differences_are_shown_and_the_others_counted(
    script: Any, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = _events(journal)
    reports = [event["report"] for event in events if event["event"] == "reported"]
    for report in reports:
        report["value"] = 2.0
    assert script.main([str(journal), str(_written(events, tmp_path))]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert sum(": epoch " in line for line in shown) == 10
    assert f"  and {len(reports) - 10} more" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no trial in it"),
        ("garbage\n", ":1: no JSON: 'garbage'"),
        ("[1]\n", ":1: no event"),
        ('{"event":"finished","trial_id":"never created","outcome":{}}\n', ":1: not as expected of a journal"),
    ],
)
def test_what_is_no_journal_is_refused_and_never_called_the_same(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(content, encoding="utf-8")
    assert script.main([str(path), str(path)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert script.main([str(tmp_path / "absent"), str(path)]) == 2


def test_a_trial_that_is_created_twice_is_refused(script: Any, journal: Path, tmp_path: Path) -> None:
    events = _events(journal)
    events.append(next(event for event in events if event["event"] == "created"))
    with pytest.raises(script.UnreadableError, match="is created a second time"):
        script.read(_written(events, tmp_path))


def test_a_loss_that_is_no_number_in_both_is_the_same(script: Any, journal: Path, tmp_path: Path) -> None:
    other = _changed(journal, tmp_path, "reported", _nan)
    assert _found(script, other, other) == []


def test_a_last_line_without_its_end_is_left_out(script: Any, journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(journal.read_bytes() + b'{"n":99,"event":"test')
    assert _found(script, journal, path) == []


def test_the_script_reads_journals_without_tunekit() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names}
