"""LoRA, BitFit and bottleneck adapters: what they do to the layers of a frozen backbone, and what they leave alone."""

from __future__ import annotations

import copy
from typing import Any

import peft
import pytest
import torch
from test_methods import FAMILIES_ONCE, make, rows_of, trained
from tiny_models import backbone_of, examples_of

from tunekit.backbone import Backbone, Reading, describe, read
from tunekit.methods import Method, count_parameters
from tunekit.methods.lora import peft_config
from tunekit.trial import BackboneConfig, Locations

every_architecture = pytest.mark.parametrize("architecture", FAMILIES_ONCE)
every_method = pytest.mark.parametrize("name", ["lora", "bitfit", "adapter"])


def known(name: str) -> Backbone:
    return describe(BackboneConfig(name=name), Locations())


def inputs_of(method: Method) -> Any:
    return method.collate(rows_of(method, examples_of("token"))).inputs


def states_of(method: Any, inputs: Any) -> torch.Tensor:
    """Last hidden states [B, L, D] of all positions, as the method reads them."""
    num_rows, length = inputs.input_ids.shape
    rows, columns = torch.arange(num_rows).repeat_interleave(length), torch.arange(length).repeat(num_rows)
    reading = Reading(inputs=inputs, rows=rows, columns=columns, changes=method.changes())
    return read(method.backbone, [reading])[0].view(num_rows, length, -1)


def disturb(method: Method) -> None:
    """Move every trained parameter."""
    with torch.no_grad():
        for parameter in trained(method).values():
            parameter.add_(torch.randn_like(parameter))


@every_method
@every_architecture
def test_training_starts_from_the_backbone_itself(name: str, architecture: str) -> None:
    method = make(name, backbone_of(architecture)).eval()
    inputs = inputs_of(method)
    torch.testing.assert_close(states_of(method, inputs), method.backbone.encode(inputs), atol=1e-6, rtol=0)


@every_method
@every_architecture
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_is_trained_changes_the_copy_and_not_the_backbone(name: str, architecture: str, dtype: str) -> None:
    method = make(name, backbone_of(architecture, dtype=dtype)).eval()
    inputs = inputs_of(method)
    before = method.backbone.encode(inputs)
    disturb(method)
    assert torch.equal(method.backbone.encode(inputs), before)
    real = inputs.attention_mask.bool()
    assert (states_of(method, inputs) - before)[real].abs().amax(-1).min() > 1e-3


@every_method
def test_two_methods_on_one_backbone_do_not_feel_each_other(name: str) -> None:
    backbone = backbone_of("xlm-roberta")
    one, other = make(name, backbone).eval(), make(name, backbone).eval()
    inputs = inputs_of(one)
    before = states_of(one, inputs)
    disturb(other)
    assert torch.equal(states_of(one, inputs), before)


@every_method
def test_the_backbone_has_the_same_modules_afterwards_and_no_hook(name: str) -> None:
    backbone = backbone_of("bert")
    before = list(backbone.modules())
    method = make(name, backbone).train()
    method.loss(method.collate(rows_of(method, examples_of("token")))).backward()
    assert list(backbone.modules()) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())
    assert all(parameter.grad is None for parameter in backbone.parameters())


@every_method
def test_parameters_follow_their_method_to_other_devices(name: str) -> None:
    method = make(name, backbone_of("bert")).to("meta")
    assert {parameter.device.type for parameter in method.parameters()} == {"meta"}


@every_architecture
@pytest.mark.parametrize("targets", ["query_value", "attention", "linear"])
def test_lora_computes_what_peft_computes(architecture: str, targets: Any) -> None:
    method = make("lora", backbone_of(architecture), targets=targets, rank=3, lora_alpha=5.0).eval()
    disturb(method)
    twin = copy.deepcopy(method.backbone)
    config = peft_config(method.config, twin.model.config.model_type)
    peft.inject_adapter_in_model(config, twin.model)
    ours = dict(method.adapter.named_parameters())
    theirs = {name: p for name, p in twin.model.named_parameters() if "lora_" in name}
    assert ours.keys() == theirs.keys()
    with torch.no_grad():
        for name, parameter in theirs.items():
            parameter.copy_(ours[name])
    inputs = inputs_of(method)
    real = inputs.attention_mask.bool()
    torch.testing.assert_close(states_of(method, inputs)[real], twin.encode(inputs)[real], atol=1e-5, rtol=1e-5)


def test_lora_on_xlm_r_base_has_the_parameters_of_its_formula() -> None:
    backbone = known("FacebookAI/xlm-roberta-base")
    a_layer = 2 * 768 * 8
    for targets, num_adapted in {"query_value": 2, "attention": 4}.items():
        groups = count_parameters(make("lora", backbone, targets=targets)).groups
        assert groups["adapter"] == 12 * num_adapted * a_layer
    linear = count_parameters(make("lora", backbone, targets="linear")).groups["adapter"]
    assert linear == 12 * (4 * a_layer + 2 * (768 + 3072) * 8)


def test_bitfit_on_multilingual_bert_trains_every_bias_and_no_more() -> None:
    backbone = known("google-bert/bert-base-multilingual-cased")
    biases = [p.numel() for name, p in backbone.model.named_parameters() if name.endswith("bias")]
    assert count_parameters(make("bitfit", backbone)).groups["adapter"] == sum(biases)


def test_bitfit_gives_mt5_a_bias_for_every_linear_layer() -> None:
    method = make("bitfit", backbone_of("mt5"))
    layers = [m for m in method.backbone.model.modules() if isinstance(m, torch.nn.Linear)]
    added = dict(method.adapter.named_parameters())
    assert sorted(p.numel() for p in added.values()) == sorted(layer.out_features for layer in layers)
    assert all(not p.any() for p in added.values())


def test_adapters_on_xlm_r_base_have_the_parameters_of_their_formula() -> None:
    backbone = known("FacebookAI/xlm-roberta-base")
    one = 2 * 768 * 64 + 64 + 768
    for placement, num_sites in {"houlsby": 24, "pfeiffer": 12}.items():
        groups = count_parameters(make("adapter", backbone, placement=placement)).groups
        assert groups["adapter"] == num_sites * one


@every_architecture
def test_adapters_stand_after_every_attention_and_feed_forward_part(architecture: str) -> None:
    def sites(placement: str) -> int:
        names = trained(make("adapter", backbone_of(architecture), placement=placement))
        return sum(name.endswith(".down.weight") for name in names)

    num_attentions = 3 if architecture == "mt5" else 1  # a layer of the decoder attends to its text and to itself
    num_stacks = 2 if architecture == "mt5" else 1
    assert sites("pfeiffer") == 2 * num_stacks
    assert sites("houlsby") == 2 * num_attentions + sites("pfeiffer")


@every_architecture
def test_an_adapted_layer_adds_what_its_perceptron_makes_of_its_output(architecture: str) -> None:
    method = make("adapter", backbone_of(architecture), bottleneck_size=3, placement="pfeiffer").eval()
    inputs = inputs_of(method)
    disturb(method)
    name, change = next(iter(method.changes().items()))
    weights = {key: parameter.detach() for key, parameter in change.parameters.items()}
    hidden: list[torch.Tensor] = []
    handle = method.backbone.model.get_submodule(name).register_forward_hook(lambda *seen: hidden.append(seen[2]))
    states_of(method, inputs)
    handle.remove()
    inner = torch.relu(hidden[0] @ weights["down.weight"].T + weights["down.bias"])
    expected = hidden[0] + inner @ weights["up.weight"].T + weights["up.bias"]
    torch.testing.assert_close(change(hidden[0], hidden[0], None).detach(), expected.detach())


def test_adapters_carry_the_names_of_the_layers_that_they_stand_in() -> None:
    names = trained(make("lora", backbone_of("bert"), rank=2)).keys()
    assert "adapter.encoder.layer.0.attention.self.query.lora_A.default.weight" in names
    names = trained(make("bitfit", backbone_of("bert", dtype="bf16"))).keys()
    assert "adapter.encoder.layer.0.attention.self.query.bias" in names
