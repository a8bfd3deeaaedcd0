"""The one loop over a trial's epochs: which messages it sends, and what a sender or a listener may do to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_trials import TOKENS, TRAINING, curve, trial

from tunekit.cli.single_trial import run_alone
from tunekit.errors import ConfigError, StorageError, TrialFailed
from tunekit.methods import Method
from tunekit.schema import canonical_json
from tunekit.storage import TrialFolder
from tunekit.training import TrialRun, WorkerCache, perform, run_trial
from tunekit.training.messages import Finished, Reported, Started, TrialMessage, Untested, message_from_json
from tunekit.trial import Locations, TrialConfig


@pytest.fixture(scope="module")
def cache() -> WorkerCache:
    return WorkerCache()


@pytest.fixture
def where(locations: Locations, cache: WorkerCache, tmp_path: Path) -> dict[str, Any]:
    """The arguments of `perform` beside the configuration."""
    return {"folder": tmp_path, "locations": locations, "cache": cache, "tokens_per_step": TOKENS}


def told(config: TrialConfig, where: Mapping[str, Any], *, test: bool = True) -> list[TrialMessage]:
    return list(perform(config, **where, test=test))


def kinds(messages: list[TrialMessage]) -> list[str]:
    return [message.kind for message in messages]


def test_a_trial_starts_reports_each_epoch_finishes_and_is_tested(where: dict[str, Any]) -> None:
    messages = told(trial(), where)
    assert kinds(messages) == ["started", "reported", "reported", "reported", "finished", "tested"]
    assert [message.is_last for message in messages] == [False] * 5 + [True]
    assert {message.trial_id for message in messages} == {trial().trial_id}


def test_without_test_the_outcome_is_the_last_word(where: dict[str, Any]) -> None:
    messages = told(trial(), where, test=False)
    assert kinds(messages)[-1] == "finished" and messages[-1].is_last


def test_what_a_trial_starts_with_says_what_it_reads_and_how_large_it_is(where: dict[str, Any]) -> None:
    first = next(perform(trial(), **where))
    assert isinstance(first, Started)
    facts = first.facts
    assert set(facts.fingerprints) == {"backbone", "train/en", "dev/en", "test/en", "test/xx"}
    assert 0 < facts.num_trainable_parameters < facts.num_backbone_parameters
    assert (facts.num_train_examples, facts.num_updates_per_epoch) == (44, 6)
    assert facts.num_train_rows >= 44 and facts.num_train_tokens > facts.num_train_rows
    assert 0 < facts.majority["dev/en/accuracy"] < 0.6
    assert facts.device.startswith("cpu") and {"python", "torch", "transformers"} <= facts.versions.keys()


def test_each_message_goes_through_json(where: dict[str, Any]) -> None:
    for message in told(trial(), where):
        assert message_from_json(json.loads(canonical_json(message))) == message
    untested = Untested(trial_id="t", reason="out of memory", is_last=True)
    assert message_from_json(json.loads(canonical_json(untested))) == untested


def test_a_message_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown kind 'startled'; did you mean 'started'"):
        message_from_json({"kind": "startled"})


def test_a_listener_that_stops_leaves_a_trial_that_goes_on_and_tells_its_epochs_again(where: dict[str, Any]) -> None:
    messages = perform(trial(), **where)
    first = [next(messages) for _ in range(3)]
    messages.close()
    again = told(trial(), where)
    assert kinds(again) == ["started", "reported", "reported", "reported", "finished", "tested"]
    reports = [message for message in again if isinstance(message, Reported)]
    assert [message.is_new for message in reports] == [False, False, True]
    assert [message.report for message in reports[:2]] == [m.report for m in first if isinstance(m, Reported)]


def test_a_finished_trial_is_told_again_and_not_done_again(where: dict[str, Any]) -> None:
    first, second = told(trial(), where), told(trial(), where)
    assert second == [replace(m, is_new=False) if isinstance(m, Reported) else m for m in first]


@pytest.mark.parametrize("number", [1, 2])
def test_a_reason_that_is_sent_after_an_epoch_prunes_the_trial(number: int, where: dict[str, Any]) -> None:
    messages = perform(trial(), **where, test=True)
    for _ in range(1 + number):
        next(messages)
    last = messages.send("too slow")
    assert isinstance(last, Finished) and last.is_last
    assert (last.outcome.state, last.outcome.reason) == ("PRUNED", "too slow")
    assert list(messages) == []
    assert len(TrialRun(trial(), **where).history) == number


def test_a_loss_that_is_no_number_ends_in_a_failed_outcome(where: dict[str, Any]) -> None:
    last = told(trial("fakes:Diverging"), where)[-1]
    assert isinstance(last, Finished) and last.is_last and last.outcome.state == "FAILED"
    assert "loss became nan" in (last.outcome.reason or "")


def test_an_error_that_nobody_expected_fails_the_trial_and_is_logged(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Method, "loss_of", lambda *_: [][1])
    last = told(trial(), where)[-1]
    assert isinstance(last, Finished) and last.outcome.reason == "IndexError: list index out of range"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(), GeneratorExit()])
def test_a_trial_by_itself_that_ends_its_process_is_unfinished_and_says_so(
    error: BaseException,
    where: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def end(*_: object) -> None:
        raise error

    monkeypatch.setattr(Method, "loss_of", end)
    assert run_alone(trial(), where["locations"], TrialFolder(where["folder"]), test=False) == 1
    assert f"trial {trial().trial_id} ended its process with {type(error).__name__}" in capfd.readouterr().err


def test_an_error_while_opening_fails_the_trial_too(where: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerCache, "task", lambda *_: [][1])
    (last,) = told(trial(), where)
    assert isinstance(last, Finished) and last.outcome.reason == "IndexError: list index out of range"


@pytest.mark.parametrize("error", [ConfigError, StorageError])
def test_what_every_other_trial_would_meet_is_raised(
    error: type[Exception], where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: TrialRun) -> None:
        raise error("the disk is full")

    monkeypatch.setattr(TrialRun, "epoch", broken)
    with pytest.raises(error, match="the disk is full"):
        told(trial(), where)


def test_lost_weights_are_trained_again_for_test_and_lead_to_the_same_scores(where: dict[str, Any]) -> None:
    (first, *_, finished, tested) = told(trial(), where)
    for name in ("best.pt", "test.json", "test_predictions.json.gz"):
        (where["folder"] / name).unlink()
    again = told(trial(), where)
    assert kinds(again) == ["started", "reported", "reported", "reported", "finished", "tested"]
    assert again[0] == first and again[-2:] == [finished, tested]
    assert tested.kind == "tested" and (where["folder"] / "test_predictions.json.gz").exists()


def test_a_test_that_memory_does_not_suffice_for_is_told_with_its_reason(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: TrialRun) -> None:
        raise TrialFailed("out of memory on cpu")

    monkeypatch.setattr(TrialRun, "testing", broken)
    last = told(trial(), where)[-1]
    assert isinstance(last, Untested) and last.is_last and last.reason == "out of memory on cpu"
    with pytest.raises(TrialFailed, match="out of memory on cpu"):
        run_trial(trial(), **where, test=True)


def test_run_trial_asks_after_each_epoch_that_it_trains_and_not_after_others(where: dict[str, Any]) -> None:
    asked: list[int] = []
    next(messages := perform(trial(), **where))
    next(messages)
    messages.close()
    outcome = run_trial(trial(), **where, on_epoch=lambda report: asked.append(report.epoch))
    assert asked == [2, 3] and outcome.state == "COMPLETE"


def test_an_error_of_the_callers_own_code_is_the_callers(where: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        run_trial(trial(), **where, on_epoch=lambda report: 1 / 0)
    assert len(TrialRun(trial(), **where).history) == 1


def test_run_trial_takes_a_step_that_holds_the_longest_row(where: dict[str, Any]) -> None:
    del where["tokens_per_step"]
    config = trial("finetune", training=replace(TRAINING, max_length=63, epochs=1))
    one = run_trial(config, **where)
    two = TrialRun(config, **where, tokens_per_step=8192)
    assert one.state == "COMPLETE" and curve(two.history)[0].value == one.value
    with pytest.raises(ConfigError, match=r"tokens_per_step is 62, must be at least max_length \(63\)"):
        TrialRun(config, **{**where, "folder": where["folder"] / "other"}, tokens_per_step=62)
