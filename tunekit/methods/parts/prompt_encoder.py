"""Where soft prompts come from: trained pseudo-tokens, read by an encoder, and translated for another language.

Shapes: P prompt positions, D the backbone's width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from tunekit.methods.parts.head import INITIAL_STD

__all__ = ["TRANSLATORS", "EncoderKind", "PromptEncoder", "Translator", "TranslatorKind"]

EncoderKind = Literal["lstm", "embedding"]
TranslatorKind = Literal["linear1", "linear2", "lstm1", "lstm2", "transformer1", "transformer2"]
TRANSLATORS: tuple[TranslatorKind, ...] = ("linear1", "linear2", "lstm1", "lstm2", "transformer1", "transformer2")


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


class Translator(nn.Module):
    """From the source prompt to the prompt of a target language, both [P, D].

    ``linear1``: W1 p + b1. ``linear2``: W2 ReLU(W1 p + b1) + b2, which the paper found best. ``lstm1``, ``lstm2``: a
    bidirectional LSTM of one or two layers, each direction of width D / 2, so that its states are the prompt.
    ``transformer1``, ``transformer2``: encoder layers as torch builds them, without dropout and without positions.

    Args:
        kind: see above.
        width: D; even.
        hidden_size: width of the hidden layer of ``linear2`` and of a transformer's perceptron.
        num_heads: of a transformer's attention; it divides D.
        device: where the parameters are made.
    """

    def __init__(
        self,
        kind: TranslatorKind,
        width: int,
        *,
        hidden_size: int,
        num_heads: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        shape, num_layers = kind[:-1], int(kind[-1])
        self._is_recurrent = shape == "lstm"
        self.layers: nn.Module
        if shape == "linear":
            sizes = [width, *[hidden_size] * (num_layers - 1), width]
            layers: list[nn.Module] = []
            for size_in, size_out in pairwise(sizes):
                layers += [nn.ReLU()] * bool(layers)
                layers.append(nn.Linear(size_in, size_out, device=device))
            self.layers = nn.Sequential(*layers)
        elif shape == "lstm":
            self.layers = nn.LSTM(width, width // 2, num_layers, bidirectional=True, device=device)
        else:
            self.layers = nn.Sequential(
                *(
                    nn.TransformerEncoderLayer(width, num_heads, hidden_size, dropout=0.0, device=device)
                    for _ in range(num_layers)
                )
            )

    def forward(self, prompt: Tensor) -> Tensor:
        """The target prompt [P, D] of a source prompt [P, D]."""
        found = self.layers(prompt)
        translated: Tensor = found[0] if self._is_recurrent else found
        return translated
