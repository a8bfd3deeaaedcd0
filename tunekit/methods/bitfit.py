"""BitFit (Ben Zaken et al. 2022, arXiv:2106.10199): of the backbone only the bias terms are trained, and a linear head.

Every linear layer and every normalisation y = f(x) + b gets a trained b that starts at the backbone's own; all else
is frozen. These biases are the method's own copies in fp32, in a copy of the backbone that shares its
weights (`parts.adapter`); the backbone itself stays as it is. As in the paper all biases are trained, the attention's
key biases included, although a softmax does not feel them.

Deliberate differences: a linear head reads the last hidden states, as in the other methods. T5 models have no
biases at all; there every linear layer gets one that starts at zero, the only way in which BitFit can be asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tunekit.errors import require
from tunekit.methods.parts.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class BitFitConfig:
    """Options of BitFit."""

    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""

    def __post_init__(self) -> None:
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")


class BitFit(AdapterMethod[BitFitConfig]):
    """All bias terms, everything else frozen."""

    Config: ClassVar[type] = BitFitConfig

    def add_parameters(self, model: nn.Module) -> Mapping[str, nn.Parameter]:
        added = {}
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) or isinstance(module._parameters.get("bias"), nn.Parameter):
                added[f"{name}.bias"] = _own_bias(module)
        return added


class _Rounded(nn.Module):
    """Read a trained fp32 parameter in the number format that the frozen layer computes in."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, bias: Tensor) -> Tensor:
        """The rounded bias."""
        return bias.to(self.dtype)


def _own_bias(module: nn.Module) -> nn.Parameter:
    """Give `module` a trainable bias in place of the one it has, or of none."""
    weight = module.get_parameter("weight")
    old = module._parameters.get("bias")
    bias = nn.Parameter(torch.zeros_like(weight[:, 0]) if old is None else old.detach().clone())
    bias.data = bias.data.to(torch.float32)
    module.register_parameter("bias", bias)
    if weight.dtype != torch.float32:
        parametrize.register_parametrization(module, "bias", _Rounded(weight.dtype), unsafe=True)
    return bias
