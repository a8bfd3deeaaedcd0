"""Dropout that depends on nothing but the row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_backbone import some_inputs
from test_backbone_vocabulary import ENCODERS
from tiny_models import ARCHITECTURES, backbone_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tunekit.backbone import Inputs, RowKeys, in_company
from tunekit.backbone.row_dropout import SITES_AT_ONCE, RowDropout, dropped, row_keys

KEYS = row_keys(0, "labelled", 0, 8)


def mask(seed: int = 0, stream: str = "labelled", update: int = 0, site: int = 0) -> Tensor:
    """Zeros and ones as numbers, [8, 40, 64]."""
    kept = dropped(torch.ones(8, 40, 64), 0.3, row_keys(seed, stream, update, 8), site=site)
    return (kept > 0).double()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_rate_is_the_one_asked_for(p: float) -> None:
    found = (dropped(torch.ones(64, 40, 64), p, row_keys(1, "side", 2, 64), site=3) == 0).double().mean()
    assert abs(found - p) < 5 * (p * (1 - p) / (64 * 40 * 64)) ** 0.5


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": "side"}, {"update": 1}, {"site": 1}, {"site": 2}])
def test_masks_of_different_keys_and_sites_are_independent(other: dict[str, int]) -> None:
    a, b = mask().flatten(), mask(**other).flatten()  # type: ignore[arg-type]
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.04


def test_masks_are_the_same_for_ever() -> None:
    found = dropped(torch.ones(8, 3, 5), 0.5, KEYS, site=(1 << 30) + 7).flatten() > 0
    number = sum(1 << place for place, kept in enumerate(found.tolist()) if kept)
    assert number == 0x78478253DFFCECFEA287894E8023CE


@pytest.mark.parametrize("dim", range(3))
def test_neighbours_in_one_mask_are_independent(dim: int) -> None:
    whole = mask()
    n = whole.shape[dim]
    a, b = whole.narrow(dim, 0, n - 1).flatten(), whole.narrow(dim, 1, n - 1).flatten()
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.04


def test_padding_company_order_and_steps_change_no_bit() -> None:
    states = torch.randn(8, 12, 16)
    whole, order = dropped(states, 0.4, KEYS, site=5), torch.tensor([3, 0, 7])
    assert torch.equal(dropped(states[order, :9], 0.4, KEYS[order], site=5), whole[order, :9])
    rows, columns = torch.tensor([2, 2, 6]), torch.tensor([11, 0, 4])
    assert torch.equal(dropped(states[rows, columns], 0.4, KEYS[rows], site=5, columns=columns), whole[rows, columns])
    assert torch.equal(row_keys(0, "labelled", 0, 3), KEYS[:3])


def test_rows_have_their_own_rates_and_rate_0_changes_no_bit() -> None:
    states, rates = torch.randn(8, 12, 16), torch.tensor([0.0, 0.5] * 4)
    found = dropped(states, rates, KEYS, site=1)
    assert torch.equal(found[::2], states[::2])
    assert torch.equal(found[1::2], dropped(states[1::2], 0.5, KEYS[1::2], site=1))


def test_gradients_pass_where_states_are_kept() -> None:
    states = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: dropped(x, 0.5, KEYS[:3], site=0), states)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_backbone_reads_a_row_alone_as_it_reads_it_in_company(architecture: str) -> None:
    backbone, wide = backbone_of(architecture, dropout=0.3).train(), some_inputs((7, 4, 6), width=12)
    with RowDropout(KEYS[:3]) as mode:
        together = backbone.encode(wide)
    assert mode.num_sites >= 4
    assert (together - backbone.eval().encode(wide)).abs().max() > 0.1
    backbone.train()
    for row, length in enumerate((7, 4, 6)):
        with RowDropout(KEYS[[row]]):
            alone = backbone.encode(Inputs(wide.input_ids[[row], :length], wide.attention_mask[[row], :length]))
        torch.testing.assert_close(together[[row], :length], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_backbone_knows_whether_its_model_drops_anything(architecture: str, rate: float) -> None:
    backbone = backbone_of(architecture, dropout=rate).train()
    with RowDropout(KEYS[:3]) as mode:
        backbone.encode(some_inputs((7, 4, 6)))
    assert backbone.has_dropout == (mode.num_sites > 0) == (rate > 0)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_the_last_layer_at_positions_read_drops_what_the_whole_drops(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture, dropout=0.3).train(), some_inputs((7, 4, 6))
    rows, columns = torch.tensor([2, 0, 0]), torch.tensor([1, 6, 0])
    with RowDropout(KEYS[:3]):
        whole = backbone.encode(inputs)[rows, columns]
    with RowDropout(KEYS[:3], positions=(rows, columns)):
        read = backbone.encode_at(inputs, rows, columns)
    torch.testing.assert_close(read, whole, atol=1e-5, rtol=0)


class Operations(TorchDispatchMode):
    """Counts what a GPU would be launched for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(num_sites: int, rate: float | Tensor) -> int:
    states = torch.ones(8, 12, 16)
    with Operations() as found, RowDropout(KEYS, rate=rate):
        for _ in range(num_sites):
            states = torch.nn.functional.dropout(states, 0.3)
    return found.count


@pytest.mark.parametrize("rate", [0.3, torch.full((8,), 0.3)])
def test_a_further_site_takes_few_operations(rate: float | Tensor) -> None:
    assert operations(9, rate) - operations(1, rate) <= 8 * 17
    assert operations(1, rate) <= 100


def test_sites_computed_together_are_those_computed_alone() -> None:
    states, numbers = torch.randn(8, 12, 16), range(2 * SITES_AT_ONCE + 1)
    with RowDropout(KEYS, first_column=5):
        together = [torch.nn.functional.dropout(states, 0.3) for _ in numbers]
    alone = [dropped(states, 0.3, KEYS, site=site, columns=torch.arange(5, 17)) for site in numbers]
    assert torch.equal(torch.stack(together), torch.stack(alone))


@pytest.mark.parametrize("are_positions", [False, True])
def test_keys_in_company_draw_what_they_draw_alone(are_positions: bool) -> None:
    columns = torch.arange(8) % 5 if are_positions else None
    alone = [
        RowKeys(keys, None if columns is None else columns[: len(keys)]) for keys in (KEYS[:3], KEYS[:8], KEYS[5:])
    ]
    together = in_company([alone[0], None, *alone[1:]])
    assert together.pop(1) is None
    for site, width in (("head", 4), ("lora 1", 6), ("head", 6)):
        for one, other in zip(alone, together, strict=True):
            states = torch.randn(len(one.keys), *(() if are_positions else (width,)), 16)
            assert other is not None and torch.equal(
                other.dropped(states, 0.3, site=site), one.dropped(states, 0.3, site=site)
            )
            with Operations() as found:
                other.dropped(states, 0.3, site=site)
            assert found.count <= 30, "the others have computed it"
