"""Products by another library: the same numbers but for rounding, and linear layers in every other respect."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import ARCHITECTURES, backbone_of
from torch import nn

from tunekit.backbone import Inputs, linear

LARGE = (5, 205, 256, 160)
"""Rows in two dimensions, width in, width out: just above `linear.MIN_MULTIPLICATIONS`."""

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which oneDNN is faster, whatever this one is."""
    monkeypatch.setattr(linear, "is_onednn_faster", lambda: True)


@pytest.fixture
def layer(faster: None) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(LARGE[2], LARGE[3]))
    linear.replace_linear_layers(made)
    (found,) = made
    assert isinstance(found, linear.OneDnnLinear)
    return found


def _plain(layer: nn.Linear) -> nn.Linear:
    made = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    made.load_state_dict(layer.state_dict())
    return made


@needs_onednn
@pytest.mark.parametrize("has_bias", [True, False])
def test_product_and_gradients_are_those_of_a_linear_layer(faster: None, has_bias: bool) -> None:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(LARGE[2], LARGE[3], bias=has_bias))
    plain = _plain(made[0])
    linear.replace_linear_layers(made)
    rows = torch.randn(LARGE[:3])
    results = []
    for each in (made[0], plain):
        own = rows.clone().requires_grad_()
        product = each(own)
        (product.sin() * 3).sum().backward()
        results.append([product, own.grad, *(parameter.grad for parameter in each.parameters())])
    assert linear._suits(rows, made[0].weight)
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(made[0](rows), results[1][0])


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

    monkeypatch.setattr(linear, "_multiply", refuse)
    layer(torch.randn(2, LARGE[2]))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(LARGE[:3]))
    copy.deepcopy(layer).bfloat16()(torch.randn(LARGE[:3]).bfloat16())


def test_a_replaced_layer_is_a_linear_layer_to_everybody_else(layer: nn.Linear) -> None:
    assert isinstance(layer, nn.Linear)
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert torch.equal(pickle.loads(pickle.dumps(layer)).weight, layer.weight)
    assert repr(layer) == f"OneDnnLinear(in_features={LARGE[2]}, out_features={LARGE[3]}, bias=True)"


def test_a_layer_is_replaced_around_the_parameters_that_it_has(faster: None) -> None:
    first, second = nn.Linear(3, 4).eval(), nn.Linear(4, 3, bias=False).requires_grad_(False)
    made = nn.ModuleDict({"a": nn.Sequential(first, nn.ReLU()), "b": second, "again": first})
    names, stream = list(made.state_dict()), torch.get_rng_state()
    linear.replace_linear_layers(made)
    assert type(first) is nn.Linear, "the layer itself is left alone"
    assert made["a"][0] is made["again"], "a layer that stands at two places stays one"  # type: ignore[index]
    assert made["a"][0].weight is first.weight and made["a"][0].bias is first.bias  # type: ignore[index]
    assert made["b"].weight is second.weight and made["b"].bias is None
    assert not made["again"].training and made["b"].training
    assert list(made.state_dict()) == names
    assert torch.equal(torch.get_rng_state(), stream), "no weights are drawn"
    before = list(made.modules())
    linear.replace_linear_layers(made)
    assert list(made.modules()) == before, "what is replaced stays"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_backbone_keeps_its_names_and_its_answers(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = backbone_of(architecture)
    monkeypatch.setattr(linear, "is_onednn_faster", lambda: True)
    replaced = backbone_of(architecture)
    assert not any(type(module) is nn.Linear for module in replaced.modules())
    assert any(type(module) is linear.OneDnnLinear for module in replaced.modules())
    assert [name for name, _ in replaced.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in replaced.named_modules()] == [name for name, _ in plain.named_modules()]
    replaced.load_state_dict(plain.state_dict())
    twin = copy.deepcopy(replaced)
    assert all(type(twin.get_submodule(n)) is type(m) for n, m in replaced.named_modules())
    inputs = Inputs(torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.long))
    expected = plain.encode(inputs)
    assert torch.equal(replaced.encode(inputs), expected), "small products are torch's own"
    assert torch.equal(twin.encode(inputs), expected)


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "is_onednn_faster", lambda: False)
    made = nn.Sequential(nn.Linear(3, 3))
    linear.replace_linear_layers(made)
    assert type(made[0]) is nn.Linear
