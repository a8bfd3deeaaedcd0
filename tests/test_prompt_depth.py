"""P-tuning v2 in the first layers only: the others compute what they would without any prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_methods import FAMILIES_ONCE, make, predictions, rows_of, trained
from tiny_models import backbone_of, examples_of

from tunekit.backbone import Backbone, t5
from tunekit.backbone.prefix_layers import prompted_layers
from tunekit.errors import ConfigError

every_architecture = pytest.mark.parametrize("architecture", FAMILIES_ONCE)
hooked = pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "xglm", "bloom"])


def deep(architecture: str, layers: int | None, kind: str = "token", **options: Any) -> Any:
    return make("ptuning_v2", backbone_of(architecture), kind, layers=layers, prompt_length=3, **options).eval()


def strong(method: Any) -> Any:
    """With a prompt that no layer could fail to feel."""
    with torch.no_grad():
        method.prompt.table.normal_(std=3.0, generator=torch.Generator().manual_seed(0))
    return method


def second_layer(backbone: Backbone) -> torch.nn.Module:
    model: Any = backbone.model
    return (
        next(getattr(model, name) for name in ("layers", "h") if hasattr(model, name))[1]
        if not hasattr(model, "encoder")
        else model.encoder.layer[1]
    )


@hooked
@pytest.mark.parametrize("kind", ["token", "pair"])
def test_the_layers_behind_the_prompt_compute_what_they_would_without_any(architecture: str, kind: str) -> None:
    method = strong(deep(architecture, 1, kind))
    inputs = method.collate(rows_of(method, examples_of(kind))).inputs
    seen: list[torch.Tensor] = []
    second_layer(method.backbone).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found = method.backbone.encode(inputs, prefix=method.prefix(1))
    plain = backbone_of(architecture)
    second_layer(plain).register_forward_pre_hook(lambda _, args: (seen[0], *args[1:]))
    expected = plain.encode(inputs)
    real = inputs.attention_mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=2e-5, rtol=0)
    unprompted = method.backbone.encode(inputs)
    assert (found - unprompted)[real].abs().max() > 1e-2, "the first layer feels the prompt"


def test_in_mt5_too() -> None:
    method = strong(deep("mt5", 1))
    backbone, inputs = method.backbone, method.collate(rows_of(method, examples_of("token"))).inputs
    layers = method.prefix(1).layers(len(inputs.input_ids), torch.float32)
    assert [keys.shape[-2] for keys, _ in layers] == [3, 0, 3, 0]
    embedded = backbone.embed(inputs.input_ids)
    memory = t5.encode(backbone.model, embedded, inputs.attention_mask, layers[:2])
    stack, allowed = t5.model_of(backbone.model).encoder, inputs.attention_mask[:, None, None].bool()
    first, second = stack.block
    hidden = t5._self_attention(
        first.layer[0], embedded, t5._bias(stack, (embedded.shape[1], allowed), layers), layers[0]
    )
    hidden = first.layer[-1](hidden)
    hidden = t5._self_attention(second.layer[0], hidden, t5._bias(stack, (embedded.shape[1], allowed), None), None)
    hidden = stack.final_layer_norm(second.layer[-1](hidden))
    crossing = t5.model_of(backbone.model).decoder.block[0].layer[1].EncDecAttention
    torch.testing.assert_close(memory.layers[0][0], t5.heads(crossing, crossing.k(hidden)), atol=1e-5, rtol=0)


@every_architecture
def test_all_layers_by_number_are_all_layers(architecture: str) -> None:
    one, other = deep(architecture, 2), deep(architecture, None)
    rows = rows_of(one, examples_of("token"))
    torch.testing.assert_close(one.logits(one.collate(rows)), other.logits(other.collate(rows)))
    assert one.prompt.prompted is None


@every_architecture
@pytest.mark.parametrize("kind", ["token", "pair"])
def test_what_is_read_does_not_depend_on_how_many_positions_are_read_or_on_padding(
    architecture: str, kind: str
) -> None:
    method = strong(deep(architecture, 1, kind))
    rows = rows_of(method, examples_of(kind))
    batch = method.collate(rows)
    together = method.logits(batch)
    torch.testing.assert_close(
        torch.cat([method.logits(method.collate([r])) for r in rows]), together, atol=3e-5, rtol=0
    )
    states = method.backbone.encode(batch.inputs, prefix=method.prefix(len(rows)))[batch.read_rows, batch.read_columns]
    torch.testing.assert_close(method.head(states), together, atol=3e-5, rtol=0)


@every_architecture
@pytest.mark.parametrize("projection", [False, True])
def test_a_shallow_prompt_learns_and_leaves_the_backbone_as_it_was(architecture: str, projection: bool) -> None:
    method = deep(architecture, 1, projection=projection, prefix_dropout=0.1)
    size = 2 * 32 if architecture != "mt5" else 2 * 2 * 4 * 6
    assert method.prompt().keys.shape[0] == (2 if architecture == "mt5" else 1)
    assert projection or method.prompt.table.numel() == 3 * size
    before = {name: p.clone() for name, p in method.backbone.named_parameters()}
    hooks = [len(module._forward_pre_hooks) for module in method.backbone.modules()]
    batch = method.collate(rows_of(method, examples_of("token")))
    optimizer = torch.optim.AdamW(trained(method).values(), lr=3e-2, weight_decay=0.0)
    method.train()
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = method.loss(batch) / batch.num_labels
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert min(losses) < 0.75 * losses[0]
    assert all(parameter.grad.abs().max() > 0 for parameter in trained(method).values())
    assert all(torch.equal(p, before[name]) for name, p in method.backbone.named_parameters())
    assert not any(hooks)
    assert len(predictions(method, examples_of("token"))) == 8


def test_both_stacks_of_mt5_are_prompted_alike() -> None:
    assert prompted_layers(backbone_of("mt5").model, 1) == (True, False, True, False)
    assert prompted_layers(backbone_of("xglm").model, 1) == (True, False)


@pytest.mark.parametrize(
    ("layers", "message"), [(0, "layers is 0, must be at least 1"), (3, "layers is 3, must be at most 2")]
)
def test_more_layers_than_there_are_or_none_are_refused(layers: int, message: str) -> None:
    for architecture in FAMILIES_ONCE:
        with pytest.raises(ConfigError, match=message):
            deep(architecture, layers)


def test_peft_has_nothing_like_it() -> None:
    deep("bert", 2).peft_adapter()
    with pytest.raises(ConfigError, match="peft prompts every layer, so it has nothing like layers: 1"):
        deep("bert", 1).peft_adapter()
