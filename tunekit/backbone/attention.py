"""Attention as all backbones compute it: torch's own, in fp32 where a CPU trains in bf16.

On a CPU the backward pass of torch's fused attention takes three times as long in bf16 as in fp32, conversion
included, and is most of an update's time. The forward pass alone is faster in bf16, so evaluation keeps it. In fp32,
and on any other device, nothing changes.

XGLM and BLOOM multiply matrices in their own code and do not come here.

Shapes: B rows, H heads, L queries, S what they see, Dh width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

IMPLEMENTATION = "tunekit_sdpa"
"""Name of this attention among transformers'."""

Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""From queries, keys, values and a mask to what the queries make of the values."""


def attend(
    queries: Tensor, seen: tuple[Tensor, Tensor], mask: Tensor | None, *, dropout: float = 0.0, scale: float
) -> Tensor:
    """What queries make of the keys and values they see: [B, H, L, Dh], in the queries' number format.

    Args:
        queries: [B, H, L, Dh].
        seen: keys and values, each [B, H, S, Dh].
        mask: True (bool) at what may be seen, or numbers to add to the scores; its shape expands to [B, H, L, S].
            None: all may be seen.
        dropout: rate at which attention probabilities are dropped.
        scale: factor of the scores.
    """

    def compute(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(queries.dtype)
        return nn.functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=scale)

    return _in_suitable_format(compute, (queries, *seen), mask)


def use_in(model: PreTrainedModel) -> None:
    """Let a model of transformers that computes attention by torch's call do it as `attend` does.

    Any other model, such as one whose config asks for ``eager``, stays as it is.
    """
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(IMPLEMENTATION)


def _in_suitable_format(compute: Attention, states: tuple[Tensor, Tensor, Tensor], mask: Tensor | None) -> Tensor:
    """Attention in fp32 if this is training in bf16 on a CPU.

    That is decided by whether gradients are recorded at all, not by who needs them: no row's states depend on the rows
    beside it.
    """
    queries = states[0]
    if not (queries.device.type == "cpu" and queries.dtype == torch.bfloat16 and torch.is_grad_enabled()):
        return compute(*states, mask)
    queries_, keys, values = (part.float() for part in states)
    with torch.autocast("cpu", enabled=False):  # which would turn them to bf16 again
        wide = compute(queries_, keys, values, mask if mask is None or mask.dtype == torch.bool else mask.float())
    return wide.to(queries.dtype)


_transformers_attention = cast(Callable[..., tuple[Tensor, None]], sdpa_attention_forward)


def _of_transformers(module: nn.Module, *given: Tensor, **settings: object) -> tuple[Tensor, None]:
    """Transformers' own attention by torch's call; `given` are queries, keys, values and a mask, which may be None."""

    def compute(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        return _transformers_attention(module, queries, keys, values, mask, **settings)[0]

    queries, keys, values, mask = given
    return _in_suitable_format(compute, (queries, keys, values), mask), None


AttentionInterface.register(IMPLEMENTATION, _of_transformers)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
