"""Where soft prompts come from: trained pseudo-tokens, read by an encoder.

Shapes: P prompt positions, D the backbone's width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from tunekit.methods.parts.head import INITIAL_STD

__all__ = ["EncoderKind", "PromptEncoder"]

EncoderKind = Literal["lstm", "embedding"]


class PromptEncoder(nn.Module):
    """The source prompt p_S [P, D].

    ``lstm``: p_S = W2 ReLU(W1 [h_fwd; h_bwd] + b1) + b2 over the states h of a bidirectional LSTM of width D that reads
    P trained pseudo-tokens (W1 is D x 2D, W2 is D x D). The tokens start at N(0, 1), the rest as torch starts such
    layers. ``embedding``: the tokens themselves, which start at N(0, 0.02).

    Args:
        kind: see above.
        length: P.
        width: D.
        device: where the parameters are made.
    """

    def __init__(self, kind: EncoderKind, length: int, width: int, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(length, width, device=device))
        nn.init.normal_(self.tokens, std=INITIAL_STD if kind == "embedding" else 1.0)
        self.lstm: nn.LSTM | None = None
        if kind == "lstm":
            self.lstm = nn.LSTM(width, width, bidirectional=True, device=device)
            self.project = nn.Sequential(
                nn.Linear(2 * width, width, device=device), nn.ReLU(), nn.Linear(width, width, device=device)
            )

    def forward(self) -> Tensor:
        """The prompt [P, D]."""
        if self.lstm is None:
            return self.tokens
        states: Tensor = self.project(self.lstm(self.tokens)[0])
        return states
