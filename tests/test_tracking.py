"""Trackers: each is told what the journal holds, each step once, whatever fails, hangs or was killed meanwhile."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulation import drive, launch, simulated_sweep

from tunekit.errors import ConfigError, StorageError
from tunekit.journal import Journal, read_events, replay
from tunekit.search import Search
from tunekit.storage import SweepFolder
from tunekit.sweep import Sweep, TrackingConfig, from_resolved, resolved
from tunekit.tracking import courier, following, send, trackers, usable
from tunekit.tracking.history import SweepHistory, TrialHistory, seconds

Step = tuple[str, str, int]
"""A trial, a metric, an epoch."""


def small(tracking: Any = None, *, num_trials: int = 4) -> Sweep:
    """Two arms of a few simulated trials, some of them stopped early, and their finals."""
    changes = {} if tracking is None else {"tracking": tracking}
    return simulated_sweep(search={"searcher": "random", "num_trials": num_trials, "seed": 3}, **changes)


def run(sweep: Sweep, folder: Path, *names: str, say: Callable[[str], None] = print) -> SweepFolder:
    """Run simulated trials to their end, with trackers beside."""
    with Journal(folder, durable=False) as journal:
        launch(sweep, journal)
        with following(sweep, journal.folder, names, num_events=journal.num_events, say=say) as track:
            drive(Search(sweep, journal, on_event=track), num_workers=3)
    return SweepFolder(folder)


def steps_of_journal(folder: SweepFolder) -> Counter[Step]:
    """What a tracker has to show."""
    found: Counter[Step] = Counter()
    for trial in replay(folder.path).trials.values():
        for epoch, report in trial.reports.items():
            found.update((trial.trial_id, metric, epoch) for metric in ("objective", *report.metrics))
        best = trial.outcome.best_epoch if trial.outcome else None
        found.update((trial.trial_id, metric, best or 0) for metric in trial.test_scores or {})
    return found


# -- the sweep file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ["tensorboard"]),
        ([], []),
        ("mlflow", ["mlflow"]),
        (["wandb", "tensorboard"], ["tensorboard", "wandb"]),
        ({"mlflow": {"experiment": "a"}}, ["tensorboard", "mlflow"]),
        ({"tensorboard": False, "wandb": None}, ["wandb"]),
        ({"mlflow": False}, ["tensorboard"]),
    ],
)
def test_the_file_names_its_trackers_in_one_line(value: object, names: list[str]) -> None:
    sweep = small(value) if value is not None else small()
    assert list(sweep.tracking) == names
    again = from_resolved(resolved(sweep), sweep.definition, "journal")
    assert again.tracking == sweep.tracking, "as the journal keeps it"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["tensorbord"], "tracking: unknown tracker 'tensorbord'; did you mean 'tensorboard'"),
        (5, r"tracking: expected a list of trackers .* got 5; write \[\] for none"),
        ({"mlflow": {"url": "x"}}, "tracking.mlflow.url: unknown key 'url'; did you mean 'uri'"),
        ({"wandb": {"mode": "of"}}, "tracking.wandb.mode: 'of' is not a valid choice"),
        ({"wandb": {"project": ""}}, "tracking.wandb.project: project is '', must be some text"),
        ({"tensorboard": {"dir": "x"}}, "tracking.tensorboard: expected true or false"),
    ],
)
def test_a_tracker_that_does_not_exist_is_refused_at_its_key(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(value)


@pytest.mark.parametrize(
    "uri", ["http://me:pass-word@host/x", "postgresql://me@host/x", "http://host/?token=a1b2c3d4e5"]
)
def test_an_address_with_a_password_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigError, match="variable of the environment") as refused:
        small({"mlflow": {"uri": uri}})
    assert "pass-word" not in str(refused.value) and "a1b2c3d4e5" not in str(refused.value)


def test_trackers_are_no_part_of_what_a_sweep_is() -> None:
    assert small(["mlflow"]).identity() == small([]).identity()


def test_an_earlier_journal_that_knows_no_trackers_has_the_usual_one() -> None:
    content = resolved(small())
    del content["tracking"]
    assert from_resolved(content, {}, "journal").tracking == TrackingConfig()


# -- a tracker of the tests ------------------------------------------------------------------------------------------


class Notes:
    """A tracker that writes down what it is told; its notes outlive it, as a server's do.

    Args:
        notes: what is there already.
    """

    name = "notes"
    place = "nowhere"
    takes_unfinished = True

    def __init__(self, notes: Counter[Step]) -> None:
        self.notes = notes
        self.gate = threading.Event()
        self.gate.set()
        self.has_arrived = threading.Event()
        self.num_failures = 0
        self.num_calls = 0
        self.ends: list[bool] = []

    def begin(self, history: SweepHistory) -> None:
        """Nothing."""

    def bring_up(self, trial: TrialHistory) -> None:
        """Write down what is not there yet; hang or fail if a test says so."""
        self.num_calls += 1
        self.has_arrived.set()
        assert self.gate.wait(60)
        if self.num_failures:
            self.num_failures -= 1
            raise OSError("http://me:pass-word@host does not answer")
        found = [(trial.trial_id, metric, epoch.number) for epoch in trial.epochs for metric in epoch.values]
        if trial.test is not None and not trial.has_test:
            found += [(trial.trial_id, metric, trial.test.epoch) for metric in trial.test.scores]
        self.notes.update(step for step in found if not trial.is_new or step not in self.notes)

    def end(self, history: SweepHistory, *, is_done: bool) -> None:
        """Note how it ended."""
        self.ends.append(is_done)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    """The tracker that every name leads to."""
    from tunekit.tracking import telling as module

    tracker = Notes(Counter())
    monkeypatch.setattr(module, "made", lambda name, folder, config: tracker)
    monkeypatch.setattr(courier, "BREATH_S", 0.0)
    return tracker


def test_a_tracker_is_told_each_step_once(notes: Notes, tmp_path: Path) -> None:
    folder = run(small(), tmp_path / "s", "notes")
    assert notes.notes == steps_of_journal(folder) and max(notes.notes.values()) == 1
    assert notes.ends == [True]


def test_a_tracker_that_hangs_does_not_hold_the_sweep(
    notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "MOST_WAITING", 10)
    notes.gate.clear()
    sweep = small()
    with Journal(tmp_path / "s", durable=False) as journal:
        launch(sweep, journal)
        with following(sweep, journal.folder, ["notes"], num_events=journal.num_events, say=print) as track:
            drive(Search(sweep, journal, on_event=track))
            assert notes.has_arrived.wait(60) and not notes.notes, "the sweep is over, and nothing was taken yet"
            notes.gate.set()
    assert notes.notes == steps_of_journal(SweepFolder(tmp_path / "s"))
    assert max(notes.notes.values()) == 1


def test_a_tracker_that_does_not_come_back_is_left_behind_with_a_sentence(
    notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.tracking import telling as module

    monkeypatch.setattr(module, "WAIT_S", 0.01)
    notes.gate.clear()
    said: list[str] = []
    folder = run(small(), tmp_path / "s", "notes", say=said.append)
    assert said == [
        f"notes was not told everything; send it what is missing with: tunekit track {folder.path} --to notes"
    ]
    notes.gate.set()


def test_a_tracker_that_fails_is_said_once_without_secrets_and_told_all_in_the_end(
    notes: Notes, tmp_path: Path
) -> None:
    notes.num_failures = 1
    said: list[str] = []
    folder = run(small(), tmp_path / "s", "notes", say=said.append)
    assert [line.partition(" (")[0] for line in said] == [
        "notes does not take what it is sent", "notes takes what it is sent again",
    ]  # fmt: skip
    assert "pass-word" not in said[0] and "--to notes" in said[0]
    assert notes.notes == steps_of_journal(folder) and max(notes.notes.values()) == 1


def test_a_tracker_that_is_down_to_the_end_costs_two_sentences_and_no_trial(notes: Notes, tmp_path: Path) -> None:
    notes.num_failures = 1_000
    said: list[str] = []
    folder = run(small(), tmp_path / "s", "notes", say=said.append)
    assert len(said) == 2 and "was not told everything" in said[1]
    assert all(trial.state != "RUNNING" for trial in replay(folder.path).trials.values())


def test_a_sweep_that_goes_on_tells_what_an_earlier_driver_could_not(notes: Notes, tmp_path: Path) -> None:
    folder = run(small(num_trials=2), tmp_path / "s")
    assert not notes.notes
    run(small(num_trials=4), folder.path, "notes")
    assert notes.notes == steps_of_journal(folder) and max(notes.notes.values()) == 1


def test_a_sweep_that_is_cut_short_is_told_as_such(notes: Notes, tmp_path: Path) -> None:
    sweep = small()
    with Journal(tmp_path / "s", durable=False) as journal, pytest.raises(KeyboardInterrupt):
        launch(sweep, journal)
        with following(sweep, journal.folder, ["notes"], num_events=journal.num_events, say=print):
            raise KeyboardInterrupt
    assert notes.ends == [False]


def test_what_a_tracker_has_taken_is_not_kept_in_memory(notes: Notes, tmp_path: Path) -> None:
    folder = run(small(), tmp_path / "s")
    history = SweepHistory()
    for event in read_events(folder.journal):
        history.apply(event)
        for trial in history.behind():
            trial.taken(None)
    assert history.trials and not any(trial.epochs for trial in history.trials.values())
    assert all(trial.num_taken for trial in history.trials.values())


# -- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_refused_before_the_start(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trackers.PACKAGES, name, "no_such_package")
    with pytest.raises(ConfigError, match=rf"{name} needs a package .* pip install .*{name}"):
        usable(small([name]), SweepFolder(tmp_path))


def test_every_tracker_that_needs_a_package_has_an_extra_of_its_name() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert trackers.PACKAGES.keys() <= project["optional-dependencies"].keys()
    assert trackers.PACKAGES.keys() | {"tensorboard"} == set(TrackingConfig.__dataclass_fields__)


def test_a_sweep_that_runs_is_not_told_of_twice(tmp_path: Path) -> None:
    folder = run(small(), tmp_path / "s")
    with Journal(folder.path), pytest.raises(ConfigError, match=r"is being run by process .* tells tensorboard itself"):
        send(folder, (), print)


def test_a_sweep_without_trackers_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--to tensorboard or mlflow or wandb"):
        send(run(small([]), tmp_path / "s"), (), print)


# -- TensorBoard -----------------------------------------------------------------------------------------------------


def steps_of_tensorboard(folder: SweepFolder) -> Counter[Step]:
    """What TensorBoard's own reader finds in the event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Counter[Step] = Counter()
    for path in folder.tensorboard.glob("*/*"):
        reader = EventAccumulator(str(path), size_guidance={"scalars": 0})
        reader.Reload()
        trial_id = path.name.partition("-")[2]
        found.update((trial_id, tag, event.step) for tag in reader.Tags()["scalars"] for event in reader.Scalars(tag))
    return found


def contents(folder: SweepFolder) -> dict[str, bytes]:
    """Event files by their path."""
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in folder.tensorboard.rglob("*tfevents*")}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A simulated sweep with its event files. Not to be changed."""
    return run(small(), tmp_path_factory.mktemp("shown") / "s", "tensorboard")


def test_tensorboard_reads_every_epoch_and_test_score_once(shown: SweepFolder) -> None:
    found = steps_of_tensorboard(shown)
    assert found == steps_of_journal(shown) and max(found.values()) == 1
    trials = replay(shown.path).trials.values()
    assert {f"{trial.number:04d}-{trial.trial_id}" for trial in trials if trial.arm == "finetune"} == {
        path.name for path in (shown.tensorboard / "finetune").iterdir()
    }


def test_values_and_times_are_those_of_the_journal(shown: SweepFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trial = next(iter(replay(shown.path).trials.values()))
    reader = EventAccumulator(str(shown.tensorboard / trial.arm / f"{trial.number:04d}-{trial.trial_id}"))
    reader.Reload()
    scalars = reader.Scalars("dev/en/accuracy")
    assert [event.value for event in scalars] == pytest.approx([r.value for r in trial.reports.values()], abs=1e-6)
    told = [seconds(event["time"]) for event in read_events(shown.journal) if event["event"] == "reported"]
    assert {event.wall_time for event in scalars} <= set(told)


def test_a_file_that_was_cut_anywhere_is_completed_to_the_same_bytes(tmp_path: Path) -> None:
    folder = run(small(num_trials=1), tmp_path / "s", "tensorboard")
    whole = contents(folder)
    name = max(whole, key=lambda name: len(whole[name]))
    for cut in range(0, len(whole[name]), 41):
        (folder.path / name).write_bytes(whole[name][:cut])
        send(folder, ["tensorboard"], str)
        assert contents(folder) == whole, f"after {cut} bytes"


def test_a_file_that_holds_something_else_is_made_again(tmp_path: Path) -> None:
    folder = run(small(num_trials=1), tmp_path / "s", "tensorboard")
    whole = contents(folder)
    for name, content in whole.items():
        (folder.path / name).write_bytes(content[:20] + b"?" + content[21:] + b"more")
    send(folder, ["tensorboard"], str)
    assert contents(folder) == whole


def test_what_was_written_along_is_what_is_written_afterwards(shown: SweepFolder, tmp_path: Path) -> None:
    copy = SweepFolder(tmp_path / "s")
    copy.path.mkdir()
    copy.journal.write_bytes(shown.journal.read_bytes())  # type: ignore[union-attr]
    send(copy, ["tensorboard"], str)
    assert contents(copy) == contents(shown)


def test_a_failed_trial_that_is_tried_again_has_one_end(tmp_path: Path) -> None:
    from builders import JournalBuilder, definition

    built = JournalBuilder(tmp_path / "s", definition())
    trial_id = built.create("finetune", {"learning_rate": 1e-3})
    built.report(trial_id, [0.5])
    built.finish(trial_id, "FAILED", reason="a wire")
    folder = SweepFolder(tmp_path / "s")
    built.journal.close()
    send(folder, ["tensorboard"], str)
    (failed,) = (content for name, content in contents(folder).items() if trial_id in name)
    assert failed.count(b"_hparams_/session_end_info") == 1
    with Journal(folder.path) as journal:
        journal.append("reopened", trial_id=trial_id, reason="a wire")
    send(folder, ["tensorboard"], str)
    (reopened,) = (content for name, content in contents(folder).items() if trial_id in name)
    assert b"_hparams_/session_end_info" not in reopened and failed.startswith(reopened)


def test_records_are_those_of_the_protocol_buffers() -> None:
    """Field by field, by the messages that TensorBoard's makers generated."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    from tunekit.tracking import event_records as records

    event = Event.FromString(records.scalars(12.5, 300, {"dev/zh-Hant/f1": 0.25})[12:-4])
    assert (event.wall_time, event.step, event.WhichOneof("what")) == (12.5, 300, "summary")
    assert [(value.tag, value.simple_value) for value in event.summary.value] == [("dev/zh-Hant/f1", 0.25)]

    def of_tab(record: bytes) -> Any:
        (value,) = Event.FromString(record[12:-4]).summary.value
        assert value.metadata.plugin_data.plugin_name == "hparams"
        return HParamsPluginData.FromString(value.metadata.plugin_data.content)

    start = of_tab(records.session_start(3.0, {"rate": 1e-3, "on": True, "what": "ä"})).session_start_info
    found = {key: (value.number_value, value.bool_value, value.string_value) for key, value in start.hparams.items()}
    assert found == {"rate": (1e-3, False, ""), "on": (0, True, ""), "what": (0, False, "ä")}
    end = of_tab(records.session_end(4.0, records.FAILURE)).session_end_info
    assert (start.start_time_secs, end.end_time_secs, end.status) == (3.0, 4.0, 2)
    columns = of_tab(records.experiment(1.0, {"rate": records.NUMBER}, ["test/de/f1"])).experiment
    assert [(info.name, info.type) for info in columns.hparam_infos] == [("rate", 3)]
    assert [info.name.tag for info in columns.metric_infos] == ["test/de/f1"]


def test_no_file_and_no_thread_is_kept_for_a_trial(tmp_path: Path) -> None:
    sweep = small(num_trials=20)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with Journal(tmp_path / "s", durable=False) as journal:
        launch(sweep, journal)
        with following(sweep, journal.folder, ["tensorboard"], num_events=journal.num_events, say=print) as track:
            drive(Search(sweep, journal, on_event=track), num_workers=20)
            assert threading.active_count() <= before[0] + 1
            assert len(os.listdir("/proc/self/fd")) <= before[1] + 4  # the journal's, and at most one event file


def test_a_folder_that_cannot_be_written_stops_no_sweep(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "tensorboard").write_text("a file")
    folder = run(small(), tmp_path / "s", "tensorboard", say=said.append)
    assert len(said) == 2 and "cannot write" in said[0]
    assert len(replay(folder.path).trials) > 8
    with pytest.raises(StorageError, match="cannot write"):
        send(folder, (), print)


def test_a_bucket_has_its_event_files_on_the_machine_of_the_driver() -> None:
    from tunekit.storage import place

    folder = SweepFolder(place("memory://bucket/runs") / "s")
    assert isinstance(folder.tensorboard, Path) and folder.tensorboard.parent.parent.name == "sweeps"
