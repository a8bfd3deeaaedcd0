"""Products by another library: the same numbers but for rounding, and linear layers in every other respect."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from tunekit.backbone import linear as products

LARGE = (5, 205, 256, 160)
"""Rows in two dimensions, width in, width out: just above `products.LEAST_WORK`."""

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> nn.Linear:
    monkeypatch.setattr(products, "onednn_is_quicker", lambda: True)
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(LARGE[2], LARGE[3]))
    products.quicken(made)
    (found,) = made
    assert isinstance(found, products.QuickLinear)
    return found


def _plain(layer: nn.Linear) -> nn.Linear:
    made = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    made.load_state_dict(layer.state_dict())
    return made


@needs_onednn
@pytest.mark.parametrize("has_bias", [True, False])
def test_product_and_gradients_are_those_of_a_linear_layer(layer: nn.Linear, has_bias: bool) -> None:
    if not has_bias:
        layer.bias = None
    rows = torch.randn(LARGE[:3])
    results = []
    for each in (layer, _plain(layer)):
        own = rows.clone().requires_grad_()
        product = each(own)
        (product.sin() * 3).sum().backward()
        results.append([product, own.grad, *(parameter.grad for parameter in each.parameters())])
    assert products._suits(rows, layer.weight)
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(layer(rows), results[1][0])


@needs_onednn
def test_a_frozen_layer_passes_the_gradient_on_and_gets_none(layer: nn.Linear) -> None:
    layer.requires_grad_(False)
    rows = torch.randn(LARGE[:3], requires_grad=True)
    layer(rows).sum().backward()
    assert rows.grad is not None
    assert layer.weight.grad is None


@needs_onednn
def test_the_same_product_twice_is_the_same_bit_for_bit(layer: nn.Linear) -> None:
    rows = torch.randn(LARGE[:3])
    assert torch.equal(layer(rows), layer(rows.clone()))


def test_small_bf16_and_autocast_products_stay_with_torch(layer: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("oneDNN was asked")

    monkeypatch.setattr(products, "_multiply", refuse)
    layer(torch.randn(2, LARGE[2]))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(LARGE[:3]))
    copy.deepcopy(layer).bfloat16()(torch.randn(LARGE[:3]).bfloat16())


def test_a_quickened_layer_is_a_linear_layer_to_everybody_else(layer: nn.Linear) -> None:
    assert isinstance(layer, nn.Linear)
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert torch.equal(pickle.loads(pickle.dumps(layer)).weight, layer.weight)


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "onednn_is_quicker", lambda: False)
    made = nn.Sequential(nn.Linear(3, 3))
    products.quicken(made)
    assert type(made[0]) is nn.Linear
