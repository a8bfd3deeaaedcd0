"""An update and a prediction keep no GPU waiting: few copies go there, and no number is asked of it.

The meta device stands for the GPU: whoever asks it for a number gets an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from test_joint import Member, config_of, learner_of, made_cache, members_of
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tunekit.backbone import moving
from tunekit.training import predictor, updates
from tunekit.training.learner import Learner, Update

AWAY = torch.device("meta")


class Copies(TorchDispatchMode):
    """Counts copies of tensors from the CPU to another device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            devices = {leaf.device.type for leaf in tree_leaves((args, found)) if isinstance(leaf, Tensor)}
            self.count += len(devices) > 1
        return found


class NothingFromLists(TorchFunctionMode):
    """Refuses tensors that are made elsewhere of Python's numbers: such a copy makes the host wait."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor):
            assert found.device.type == "cpu", f"{func.__name__} made a tensor on {found.device}"
        return found


def learners_away(members: Sequence[Member], architecture: str, kind: str) -> list[Learner]:
    cache = made_cache()
    found = [learner_of(config_of(member, architecture, kind), cache, tokens_per_step=4000) for member in members]
    for learner in found:
        learner.method.to(AWAY)
        learner.device = AWAY
    return found


def first_updates(learners: Sequence[Learner]) -> Iterator[Update]:
    for learner in learners:
        found = next(learner.epoch(1))
        assert isinstance(found, Update)
        yield found


def copies_of_update(members: Sequence[Member], architecture: str, kind: str) -> int:
    asked = list(first_updates(learners_away(members, architecture, kind)))
    (pieces,) = updates._steps(asked, 4000)
    updates._losses(asked, pieces)  # what is sent once and kept there
    with Copies() as copies, NothingFromLists():
        torch.stack(updates._losses(asked, pieces)).sum().backward()
    return copies.count


@pytest.mark.parametrize(
    ("method", "architecture", "kind", "most"),
    [
        ("ptuning_v2", "xlm-roberta", "token", 2),
        ("ptuning_v2", "mt5", "token", 2),
        ("lora", "bert", "pair", 1),
        ("adapter", "xlm-roberta", "token", 1),
        ("soft_prompt", "xlm-roberta", "pair", 1),
    ],
)
def test_an_update_of_some_members_copies_as_often_whatever_their_number(
    method: str, architecture: str, kind: str, most: int
) -> None:
    members = members_of(method, dropout=True)
    if method == "soft_prompt":  # all words in one language, so that no verbalizer's words differ
        members = [(name, {**options, "prompt_encoder": "embedding"}, *rest) for name, options, *rest in members]  # type: ignore[misc]
    assert copies_of_update(members[:2], architecture, kind) == most
    assert copies_of_update(members, architecture, kind) == most


def copies_of_prediction(members: Sequence[Member], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """From where to where, of each copy of a step in prediction."""
    learners, made = learners_away(members, "xlm-roberta", "token"), list[tuple[str, str]]()

    def send(buffer: Tensor, device: torch.device) -> Tensor:
        made.append((buffer.device.type, device.type))
        return torch.zeros(buffer.shape, dtype=buffer.dtype, device=device)

    monkeypatch.setattr(moving, "_sent", send)
    for learner in learners:
        learner.turn(training=False)
    asked = [(predictor.Asked(n, "en", each.tokenized("dev", "en")), 0) for n, each in enumerate(learners)]
    with torch.inference_mode(), NothingFromLists():
        predictor._predict_step(learners, asked)
    assert all(part.labels for part, _ in asked)
    return made


def test_a_step_of_prediction_waits_once_whatever_the_number_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    for num_members in (2, 8):
        members = members_of("prompt_tuning", dropout=False)[:num_members]
        assert copies_of_prediction(members, monkeypatch) == [("cpu", "meta"), ("meta", "cpu")]
