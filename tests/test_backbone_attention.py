"""Attention in the number format that suits the machine, and the numbers that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from test_backbone import some_inputs, some_prefix
from test_backbone_vocabulary import ENCODERS
from tiny_models import ARCHITECTURES, backbone_of, language_model_of
from torch import Tensor, nn

from tunekit.backbone import Backbone, attention
from tunekit.backbone.attention import IMPLEMENTATION, attend
from tunekit.backbone.vocabulary import taken_apart

OURS = (*ENCODERS, "mt5")
"""Architectures whose attention is torch's call."""


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.dtype]]:
    """Number formats in which torch computed attention meanwhile."""
    found, compute = [], nn.functional.scaled_dot_product_attention

    def watch(queries: Tensor, *rest: object, **settings: object) -> Tensor:
        found.append(queries.dtype)
        return compute(queries, *rest, **settings)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(nn.functional, "scaled_dot_product_attention", watch)
        yield found


@contextmanager
def plain_attention(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attention in the format that the states have, as torch computes it of itself."""
    with monkeypatch.context() as patch:
        patch.setattr(attention, "_in_suitable_format", lambda compute, states, mask: compute(*states, mask))
        yield


def states_and_gradients(backbone: Backbone) -> list[Tensor]:
    """States of the text's tokens, and the gradients of a prefix."""
    prefix, inputs = some_prefix(backbone), some_inputs()
    states = backbone.encode(inputs, prefix=prefix)[inputs.attention_mask.bool()]
    torch.manual_seed(0)
    (states * torch.randn(states.shape)).sum().backward()
    assert prefix.keys.grad is not None and prefix.values.grad is not None
    return [states.detach(), prefix.keys.grad, prefix.values.grad]


def frozen(architecture: str, dtype: str = "fp32") -> Backbone:
    backbone = backbone_of(architecture, dtype=dtype)
    backbone.set_trained(False)
    return backbone


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoder_uses_this_attention_and_one_that_asks_for_another_keeps_that(architecture: str) -> None:
    assert backbone_of(architecture).model.config._attn_implementation == IMPLEMENTATION
    body, _ = taken_apart(language_model_of(architecture))
    body.set_attn_implementation("eager")
    assert Backbone("tiny", body).model.config._attn_implementation == "eager"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_fp32_states_and_gradients_are_those_of_torchs_attention_bit_for_bit(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = frozen(architecture)
    found = states_and_gradients(backbone)
    if backbone.family == "encoder":
        backbone.model.set_attn_implementation("sdpa")
    with plain_attention(monkeypatch):
        expected = states_and_gradients(backbone)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("architecture", OURS)
@pytest.mark.parametrize("trained", [False, True])
def test_bf16_on_a_cpu_attends_in_fp32_while_gradients_are_recorded_and_only_then(
    architecture: str, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = backbone_of(architecture, dtype="bf16"), some_inputs()
    backbone.set_trained(trained)
    prefix = some_prefix(backbone)
    rows, columns = torch.tensor([0, 1]), torch.tensor([2, 0])
    with watched(monkeypatch) as formats:
        backbone.encode(inputs, prefix=prefix)
        backbone.encode_at(inputs, rows, columns)  # in which nothing needs a gradient
    assert len(formats) >= 4
    assert set(formats) == {torch.float32}
    for without in (torch.no_grad, torch.inference_mode):
        with watched(monkeypatch) as formats, without():
            backbone.encode_at(inputs, rows, columns, prefix=prefix)
        assert torch.bfloat16 in formats or trained, "under autocast the call itself turns them to bf16"


def distance(found: Tensor, exact: Tensor) -> float:
    return ((found.float() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bf16_states_and_gradients_agree_with_fp32_to_the_precision_of_bf16(architecture: str) -> None:
    exact, found = (states_and_gradients(frozen(architecture, dtype)) for dtype in ("fp32", "bf16"))
    for one, other in zip(found, exact, strict=True):
        assert 0 < distance(one, other) < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_attention_of_bf16_states_is_closer_to_fp32_than_torchs_own_and_so_are_its_gradients(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(seed)
    given, weights = [torch.randn(8, 4, 40, 32).bfloat16() for _ in range(3)], torch.randn(8, 4, 40, 32)

    def results(dtype: torch.dtype) -> list[Tensor]:
        queries, keys, values = (part.to(dtype).requires_grad_() for part in map(Tensor.clone, given))
        mixed = attend(queries, (keys, values), None, scale=0.3)
        return [mixed.detach(), *torch.autograd.grad((mixed.float() * weights).sum(), (queries, keys, values))]

    exact, found = results(torch.float32), results(torch.bfloat16)
    with plain_attention(monkeypatch):
        rough = results(torch.bfloat16)
    for one, other, right in zip(found, rough, exact, strict=True):
        assert 0 < distance(one, right) < distance(other, right)


MASKS: dict[str, Callable[[], Tensor | None]] = {
    "none": lambda: None,
    "bool": lambda: torch.arange(6)[None, None, None] < torch.tensor([6, 3])[:, None, None, None],
    "fp32 bias": lambda: torch.randn(1, 4, 5, 6),
    "bf16 bias": lambda: torch.randn(2, 4, 5, 6).bfloat16(),
    "forbidding bias": lambda: torch.zeros(5, 6).masked_fill(torch.ones(5, 6).triu(1).bool(), -3e38)[None, None],
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("records", [True, False])
def test_every_kind_of_mask_gives_what_attention_in_fp64_gives(kind: str, dtype: torch.dtype, records: bool) -> None:
    torch.manual_seed(3)
    queries, keys, values = (torch.randn(2, 4, n, 8).to(dtype) for n in (5, 6, 6))
    mask = MASKS[kind]()
    scores = (queries.double() @ keys.double().transpose(-1, -2)) * 0.3
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()
    with torch.set_grad_enabled(records):
        found = attend(queries, (keys, values), mask, scale=0.3)
    assert found.dtype == dtype
    close = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found.double(), scores.softmax(-1) @ values.double(), atol=close, rtol=close)
