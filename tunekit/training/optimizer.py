"""AdamW over the trained parameters of a method, at the rates that the schedule gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tunekit.training.schedule import learning_rate
from tunekit.trial import TrainingConfig


class Optimizer:
    """AdamW with decay on matrices only, and peak rates of their own for some parameters.

    Fused kernels work element by element, so they add in no order at all. A parameter without a gradient stays as it
    is, and so do its moments.

    Args:
        parameters: the trained ones by name; not empty.
        training: rates, schedule, decay, clipping.
        rates: peak rates of parameters that have one of their own, by how their names begin.
        device: where the parameters are.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        training: TrainingConfig,
        rates: Mapping[str, float],
        device: torch.device,
    ) -> None:
        self._parameters, self._training = parameters, training
        grouped: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in parameters.items():
            peak = next((rate for start, rate in rates.items() if name.startswith(start)), training.learning_rate)
            grouped.setdefault((peak, parameter.ndim < 2), []).append(parameter)
        self._peaks = [peak for peak, _ in grouped]
        self._adamw = torch.optim.AdamW(
            [
                {"params": found, "weight_decay": 0.0 if is_vector else training.weight_decay}
                for (_, is_vector), found in grouped.items()
            ],
            lr=training.learning_rate,
            eps=training.adam_epsilon,
            fused=device.type in ("cpu", "cuda"),
        )

    def clear(self) -> None:
        """Forget all gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def clip(self) -> Tensor:
        """Clip the gradients to the norm that training allows; gives the norm that they had, a scalar."""
        return nn.utils.clip_grad_norm_(self._parameters.values(), self._training.max_grad_norm or math.inf)

    def step(self, update: int, num_updates: int) -> None:
        """Change the parameters at the rates of `update` (0-based) among `num_updates`."""
        for group, peak in zip(self._adamw.param_groups, self._peaks, strict=True):
            group["lr"] = learning_rate(update, num_updates, self._training, peak)
        self._adamw.step()

    def state(self) -> dict[str, Any]:
        """Moments and step counts, as a checkpoint holds them."""
        return self._adamw.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._adamw.load_state_dict(dict(state))
