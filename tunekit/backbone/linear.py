"""Large matrix products on an AMD processor by oneDNN, which is quicker there than torch's choice.

On a CPU torch multiplies fp32 matrices with MKL, which on AMD leaves half of AVX-512 unused; oneDNN, which torch ships
as well, uses all of it. Products differ in rounding only. Which library multiplies depends on the processor and on
the sizes, never on a measurement, so a trial repeats bit for bit on one machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LEAST_WORK = 2**25
"""Multiplications of the smallest product given to oneDNN; preparing a product of a new shape costs it 0.3 ms."""


def quicken(module: nn.Module) -> None:
    """Let the linear layers inside `module` multiply by oneDNN where that is quicker; nothing else about them changes.

    They stay ``nn.Linear`` with the same parameters and names, so checkpoints and adapters know no difference.
    """
    if not onednn_is_quicker():
        return
    for child in module.modules():
        if type(child) is nn.Linear:
            child.__class__ = QuickLinear


@cache
def onednn_is_quicker() -> bool:
    """Whether this machine's processor is an AMD with AVX-512, and torch has what is needed."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    onednn: Any = torch.backends.mkldnn  # torch leaves it untyped
    is_known = onednn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return is_known and "AuthenticAMD" in facts and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class QuickLinear(nn.Linear):
    """A linear layer whose product is oneDNN's if it is large, in fp32 and on a CPU, and torch's own if not."""

    def forward(self, input: Tensor) -> Tensor:
        """``input @ weight.T + bias``: [..., in] to [..., out]."""
        if not _suits(input, self.weight):
            return super().forward(input)
        rows = input.reshape(-1, input.shape[-1])
        multiply = _Product.apply if torch.is_grad_enabled() else _multiply
        product: Tensor = multiply(rows, self.weight, self.bias)
        return product.view(*input.shape[:-1], self.out_features)


def _suits(input: Tensor, weight: Tensor) -> bool:
    return (
        input.dtype == weight.dtype == torch.float32
        and input.device.type == weight.device.type == "cpu"
        and input.numel() * len(weight) >= LEAST_WORK
        and not torch.is_autocast_enabled("cpu")
    )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    """`_multiply` with its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _multiply(rows, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _multiply(gradient, weight.t()) if needs_rows else None,
            _multiply(gradient.t(), rows.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )
