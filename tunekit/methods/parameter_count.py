"""How much of a method is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tunekit.methods.base import Method

__all__ = ["ParameterCount", "count_parameters"]


@dataclass(frozen=True)
class ParameterCount:
    """How much of a method is trained."""

    trainable: int
    backbone: int
    """Parameters of the backbone, trained or not."""
    groups: Mapping[str, int]
    """Trainable parameters by part: prompt, head, backbone..."""

    def share(self, group: str | None = None) -> float:
        """Trainable parameters (of one group) as a fraction of the backbone's."""
        return (self.trainable if group is None else self.groups.get(group, 0)) / self.backbone


def count_parameters(method: Method) -> ParameterCount:
    """Count the trainable parameters of `method` by part; works on the meta device."""
    groups: Counter[str] = Counter()
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            groups[name.partition(".")[0]] += parameter.numel()
    return ParameterCount(trainable=groups.total(), backbone=method.backbone.num_parameters(), groups=dict(groups))
