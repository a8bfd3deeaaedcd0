"""Large matrix products on an AMD processor by oneDNN, which is faster there than torch's choice.

On a CPU torch multiplies fp32 matrices with MKL, which on AMD leaves half of AVX-512 unused; oneDNN, which torch ships
as well, uses all of it. Products differ in rounding only. Which library multiplies depends on the processor and on
the sizes, never on a measurement, so a trial repeats bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn

MIN_MULTIPLICATIONS = 2**25
"""Of the smallest product given to oneDNN; preparing a product of a new shape costs it 0.3 ms."""


def replace_linear_layers(module: nn.Module) -> None:
    """Put an `OneDnnLinear` in place of each linear layer inside `module`, where this processor gains by it.

    The new layers hold the same parameters under the same names, so checkpoints and adapters know no difference.
    """
    if not is_onednn_faster():
        return
    replacements: dict[nn.Module, OneDnnLinear] = {}
    for name, layer in list(module.named_modules(remove_duplicate=False)):
        if type(layer) is nn.Linear:  # a layer that stands at two places stays one layer
            replacement = replacements.setdefault(layer, OneDnnLinear(layer))
            module.set_submodule(name, replacement, strict=True)


@cache
def is_onednn_faster() -> bool:
    """Whether this machine's processor is an AMD with AVX-512, and torch has what is needed."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    is_available = cast("Callable[[], bool]", torch.backends.mkldnn.is_available)
    is_known = is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return is_known and "AuthenticAMD" in facts and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class OneDnnLinear(nn.Linear):
    """A linear layer whose product is oneDNN's if it is large, in fp32 and on a CPU, and torch's own if not.

    Args:
        layer: gives its parameters, which both share, and its mode (training or not).
    """

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)  # the layer's own would draw new weights, and so move the random stream
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight = layer.weight
        self.register_parameter("bias", layer.bias)
        self.train(layer.training)

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
        and input.numel() * len(weight) >= MIN_MULTIPLICATIONS
        and not torch.is_autocast_enabled("cpu")
    )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class _Context(Protocol):
    """What torch hands from the forward to the backward pass."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Product(torch.autograd.Function):
    """`_multiply` with its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _multiply(rows, weight, bias)

    @staticmethod
    def setup_context(ctx: _Context, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _multiply(gradient, weight.t()) if needs_rows else None,
            _multiply(gradient.t(), rows.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )
