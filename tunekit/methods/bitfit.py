"""BitFit (Ben Zaken et al. 2022, arXiv:2106.10199): of the backbone only the bias terms are trained, and a linear head.

Every linear layer and every normalisation y = f(x) + b gets a trained b that starts at the backbone's own; all else
is frozen. These biases are the method's own copies in fp32; the backbone itself stays as it is. As in the paper all
biases are trained, the attention's key biases included, although a softmax does not feel them.

Deliberate differences: a linear head reads the last hidden states, as in the other methods. T5 models have no
biases at all; there every linear layer gets one that starts at zero, the only way in which BitFit can be asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tunekit.backbone import LayerChange, RowKeys
from tunekit.errors import require
from tunekit.methods.parts.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class BitFitConfig:
    """Options of BitFit."""

    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""
    backbone_dropout: float = 0.0
    """Dropout inside the frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")


@dataclass(frozen=True)
class OwnBias:
    """Puts a trained bias in place of a layer's own, or of none."""

    bias: Tensor
    """[out]"""
    frozen: Tensor | None
    """The backbone's own."""

    def __call__(self, read: Tensor, given: Tensor, keys: RowKeys | None) -> Tensor:
        moved = self.bias if self.frozen is None else self.bias - self.frozen
        return (given + moved).to(given.dtype)


class BitFit(AdapterMethod[BitFitConfig]):
    """All bias terms, everything else frozen."""

    Config: ClassVar[type] = BitFitConfig

    def make_parameters(self) -> Mapping[str, nn.Parameter]:
        return {f"{name}.bias": _own_bias(module) for name, module in self._biased_layers()}

    def changes(self) -> Mapping[str, LayerChange]:
        return {
            name: OwnBias(self.parameters_of(name)["bias"], module._parameters.get("bias"))
            for name, module in self._biased_layers()
        }

    def _biased_layers(self) -> list[tuple[str, nn.Module]]:
        """Layers of the body that get a bias, by name."""
        return [
            (name, module)
            for name, module in self.backbone.model.named_modules()
            if isinstance(module, nn.Linear) or isinstance(module._parameters.get("bias"), nn.Parameter)
        ]


def _own_bias(module: nn.Module) -> nn.Parameter:
    """A trainable bias that starts as the one `module` has, or at zero."""
    weight, old = module.get_parameter("weight"), module._parameters.get("bias")
    device = "meta" if weight.device.type == "meta" else "cpu"
    start = torch.zeros(len(weight)) if old is None else old.detach()
    return nn.Parameter(start.to(device, torch.float32, copy=True))
