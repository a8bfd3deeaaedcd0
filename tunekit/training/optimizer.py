"""AdamW over the trained parameters of a method, at the rates that the schedule gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tunekit.training.schedule import learning_rate
from tunekit.trial import TrainingConfig

BETAS = (0.9, 0.999)
"""Decay of the two moments."""


@dataclass(frozen=True)
class _Term:
    """A parameter with a gradient, and how it is to be changed."""

    parameter: Tensor
    gradient: Tensor
    number: int
    """Steps of the parameter, this one included."""
    state: dict[str, Tensor]
    """``step``, ``exp_avg`` and ``exp_avg_sq``."""
    rate: float
    decay: float
    epsilon: float


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
        self._numbers: dict[Tensor, int] = {}
        self._peaks = [peak for peak, _ in grouped]
        self._adamw = torch.optim.AdamW(
            [
                {"params": found, "weight_decay": 0.0 if is_vector else training.weight_decay}
                for (_, is_vector), found in grouped.items()
            ],
            lr=training.learning_rate,
            betas=BETAS,
            eps=training.adam_epsilon,
            fused=device.type in ("cpu", "cuda"),
        )

    def clear(self) -> None:
        """Forget all gradients."""
        self._adamw.zero_grad(set_to_none=True)

    @property
    def gradients(self) -> list[Tensor]:
        """Of the parameters that have one."""
        return [parameter.grad for parameter in self._parameters.values() if parameter.grad is not None]

    def clip(self, norm: float) -> None:
        """Scale the gradients, whose norm is `norm`, down to the norm that training allows."""
        limit = self._training.max_grad_norm
        if limit and norm > limit:
            torch._foreach_mul_(self.gradients, limit / norm)

    def set_rates(self, update: int, num_updates: int) -> None:
        """Have the next step use the rates of `update` (0-based) among `num_updates`."""
        for group, peak in zip(self._adamw.param_groups, self._peaks, strict=True):
            group["lr"] = learning_rate(update, num_updates, self._training, peak)

    def step(self) -> None:
        """Change the parameters."""
        self._adamw.step()

    def terms(self) -> Iterator[_Term]:
        """What a step needs to know of each parameter that has a gradient."""
        for group in self._adamw.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state, number = self._moments(parameter), self._next_number(parameter)
                    rates = (group["lr"], group["weight_decay"], group["eps"])
                    yield _Term(parameter, parameter.grad, number, state, *rates)

    def _moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """The parameter's state, as torch's AdamW keeps it."""
        state: dict[str, Tensor] = self._adamw.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    def _next_number(self, parameter: Tensor) -> int:
        """Count a step of the parameter, here too: to read it from a GPU would take a wait."""
        if parameter not in self._numbers:
            self._numbers[parameter] = int(self._adamw.state[parameter]["step"])
        self._numbers[parameter] += 1
        return self._numbers[parameter]

    def state(self) -> dict[str, Any]:
        """Moments and step counts, as a checkpoint holds them."""
        return self._adamw.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._adamw.load_state_dict(dict(state))
        self._numbers.clear()


def norms(optimizers: Sequence[Optimizer]) -> Tensor:
    """The norm of all gradients of each optimiser: [K]."""
    gradients = [optimizer.gradients for optimizer in optimizers]
    flat = [gradient for found in gradients for gradient in found]
    if not flat:
        return torch.zeros(len(optimizers))
    squares = torch.stack(torch._foreach_norm(flat)).square()
    return torch.stack([part.sum() for part in torch.split(squares, [len(found) for found in gradients])]).sqrt()


def step_together(steps: Sequence[tuple[Optimizer, tuple[int, int]]], norms: Sequence[float]) -> None:
    """Clip the gradients of each optimiser, and change its parameters, in a few calls for all of them.

    Args:
        steps: each optimiser with the update and the number of updates that its rates go by.
        norms: of the gradients of each.
    """
    for (optimizer, place), norm in zip(steps, norms, strict=True):
        optimizer.clip(norm)
        optimizer.set_rates(*place)
    terms = [term for optimizer, _ in steps for term in optimizer.terms()]
    if terms:
        _adamw(terms)


def step_alone(optimizer: Optimizer, place: tuple[int, int], norm: float) -> None:
    """The same for one optimiser, in torch's own fused step: faster where a whole backbone is trained."""
    optimizer.clip(norm)
    optimizer.set_rates(*place)
    optimizer.step()


@torch.no_grad()
def _adamw(terms: Sequence[_Term]) -> None:
    """The step of torch's AdamW, each parameter at its own rate."""
    parameters = [term.parameter for term in terms]
    gradients = [term.gradient for term in terms]
    first, second, counts = ([term.state[key] for term in terms] for key in ("exp_avg", "exp_avg_sq", "step"))
    torch._foreach_add_(counts, 1)
    numbers = [term.number for term in terms]
    torch._foreach_mul_(parameters, [1 - term.rate * term.decay for term in terms])
    torch._foreach_lerp_(first, gradients, 1 - BETAS[0])
    torch._foreach_mul_(second, BETAS[1])
    torch._foreach_addcmul_(second, gradients, gradients, 1 - BETAS[1])
    spread = torch._foreach_sqrt(second)
    torch._foreach_div_(spread, [(1 - BETAS[1] ** number) ** 0.5 for number in numbers])
    torch._foreach_add_(spread, [term.epsilon for term in terms])
    rates = [-term.rate / (1 - BETAS[0] ** number) for term, number in zip(terms, numbers, strict=True)]
    torch._foreach_addcdiv_(parameters, first, spread, rates)
