"""Trials of one worker that advance together: what they say, in which order, and how the pack finds its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tiny_trials import TOKENS, TRAINING, trial

from tunekit.errors import ConfigError
from tunekit.training import Pack, WorkerCache, pack, perform
from tunekit.training.messages import Finished, Reported, TrialMessage
from tunekit.training.pack_size import PackSize
from tunekit.trial import Locations, TrialConfig


@pytest.fixture(scope="module")
def cache() -> WorkerCache:
    return WorkerCache()


@pytest.fixture
def packed(cache: WorkerCache, locations: Locations, tmp_path: Path) -> Callable[..., Pack]:
    def make(*configs: TrialConfig, into: Pack | None = None) -> Pack:
        made = into or Pack(cache)
        for config in configs:
            folder = tmp_path / config.trial_id
            made.add(config, folder=folder, locations=locations, tokens_per_step=TOKENS, test=False, pack="auto")
        return made

    return make


def short(seed: int, epochs: int = 2) -> TrialConfig:
    return trial(seed=seed, training=replace(TRAINING, epochs=epochs))


def run(members: Pack, answer: Callable[[Reported], bool] = lambda _: True) -> list[TrialMessage]:
    said: list[TrialMessage] = []
    while len(members):
        for message in members.advance():
            said.append(message)
            if isinstance(message, Reported):
                members.answer(message.trial_id, answer(message))
    return said


def test_members_of_one_pack_speak_in_the_order_in_which_they_joined(packed: Callable[..., Pack]) -> None:
    configs = [short(seed) for seed in (3, 1, 2)]
    said = run(packed(*configs))
    for kind in ("started", "reported", "finished"):
        names = [message.trial_id for message in said if message.kind == kind]
        assert names == [config.trial_id for config in configs] * (2 if kind == "reported" else 1)


def test_a_member_that_is_stopped_and_one_that_joins_late_change_no_other(
    packed: Callable[..., Pack], cache: WorkerCache, locations: Locations, tmp_path: Path
) -> None:
    first, stopped, late = short(1, epochs=3), short(2, epochs=3), short(3)
    members = packed(first, stopped)
    said: list[TrialMessage] = []
    has_joined = False

    def answer(message: Reported) -> bool:
        nonlocal has_joined
        if not has_joined:
            packed(late, into=members)
            has_joined = True
        return message.trial_id != stopped.trial_id

    said = run(members, answer)
    assert [m.kind for m in said if m.trial_id == stopped.trial_id] == ["started", "reported"]
    for config in (first, late):
        alone = perform(
            config,
            folder=tmp_path / "alone" / config.trial_id,
            locations=locations,
            cache=cache,
            tokens_per_step=TOKENS,
        )
        (wanted,) = [m.outcome for m in alone if isinstance(m, Finished)]
        (found,) = [m.outcome for m in said if isinstance(m, Finished) and m.trial_id == config.trial_id]
        assert found.value == wanted.value and found.best_epoch == wanted.best_epoch
        assert found.metrics == pytest.approx(wanted.metrics, rel=1e-4)


def test_a_member_that_no_other_could_run_either_is_gone_when_it_raises(packed: Callable[..., Pack]) -> None:
    good, bad = short(1), replace(short(2), method="no_such_method")
    members = packed(good, bad)
    with pytest.raises(ConfigError, match="no_such_method"):
        members.advance()
    assert len(members) == 1
    assert {message.trial_id for message in run(members)} == {good.trial_id}


@dataclass
class Seen(PackSize):
    """Notes what it is told."""

    told: list[dict[str, Any]] = field(default_factory=list)

    def observe(self, **what: Any) -> None:
        self.told.append(what)


def test_every_joint_update_of_a_pack_that_may_grow_is_measured(
    packed: Callable[..., Pack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "PackSize", lambda setting, **_: Seen(setting, on_gpu=True))
    members = packed(short(1, epochs=1), short(2, epochs=1))
    (size,) = members._sizes.values()
    assert isinstance(size, Seen)
    run(members)
    assert [told["num_members"] for told in size.told] == [2] * 6
    assert all(told["num_tokens"] > 0 and told["seconds"] > 0 for told in size.told)


def test_trials_of_another_backbone_or_method_find_a_size_of_their_own(packed: Callable[..., Pack]) -> None:
    members = packed(short(1), short(2), trial("prompt_tuning"), trial("finetune"))
    assert len(members._sizes) == 3
