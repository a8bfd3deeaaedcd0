"""Tensors go to a device together."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tunekit.backbone import Inputs, RowKeys, moving
from tunekit.backbone.inputs import padded
from tunekit.backbone.moving import moved


@dataclass(frozen=True)
class Holder:
    inputs: Inputs
    scores: Tensor
    names: tuple[str, ...]
    keys: RowKeys | None = None


def holder(size: int) -> Holder:
    inputs = padded([tuple(range(length)) for length in range(1, size + 1)], pad_id=0)
    return Holder(inputs, torch.arange(size).double() / 3, ("a",) * size, RowKeys(torch.arange(size) - 2))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All buffers that are sent: to a device which stands for a GPU, but whose numbers can be read."""
    found: list[Tensor] = []

    def send(buffer: Tensor, device: torch.device) -> Tensor:
        assert device.type == "meta"
        found.append(buffer)
        return buffer.clone()

    monkeypatch.setattr(moving, "_sent", send)
    return found


@pytest.mark.parametrize("num_things", [1, 2, 16])
def test_things_go_in_one_copy_for_each_number_format_however_many_they_are(
    num_things: int, sent: list[Tensor]
) -> None:
    moved([holder(1 + i) for i in range(num_things)], "meta")
    assert sorted(str(buffer.dtype) for buffer in sent) == ["torch.float64", "torch.int64"]


def test_what_arrives_is_what_was_sent(sent: list[Tensor]) -> None:
    things = [holder(3), holder(1), holder(2)]
    for mine, theirs in zip(things, moved(things, "meta"), strict=True):
        assert mine is not theirs and mine.names == theirs.names and mine.keys and theirs.keys
        pairs = [(mine.inputs.input_ids, theirs.inputs.input_ids), (mine.scores, theirs.scores)]
        pairs += [(mine.inputs.attention_mask, theirs.inputs.attention_mask), (mine.keys.keys, theirs.keys.keys)]
        for left, right in pairs:
            assert left.dtype == right.dtype and torch.equal(left, right)
        assert theirs.inputs.token_type_ids is None and theirs.keys.columns is None
    (turned,) = moved([torch.arange(6).view(2, 3).T], "meta")
    assert torch.equal(turned, torch.arange(6).view(2, 3).T)


def test_on_a_cpu_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_copied", None)
    things = [holder(3), holder(1)]
    assert all(mine is theirs for mine, theirs in zip(things, moved(things, "cpu"), strict=True))
