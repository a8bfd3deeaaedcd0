"""From the source prompt to the prompt of a target language, both [P, D]: MPT's translators.

The paper compares linear1, linear2 (the best), lstm1, lstm2, transformer1 and transformer2; the others are ours. The
number is the depth. ``registry.TRANSLATORS`` names each kind, and a dotted ``package.module:attribute`` leads to one
of the user's own: it is called like the classes here, ``(width, hidden_size=..., num_heads=..., device=...)``, and
gives a module from [P, D] to [P, D].

Shapes: P prompt positions, D the backbone's width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from tunekit.errors import ConfigError
from tunekit.registry import lookup

__all__ = ["Translation", "TranslatorStart", "make_translator"]

CALLED_WITH = "(width, hidden_size=..., num_heads=..., device=...)"

TranslatorStart = Literal["published", "source"]
"""Where a translator starts: as torch starts its layers, or as the source prompt itself."""


@runtime_checkable
class StartsAtZero(Protocol):
    """A translator that can be made to give zeros, from where it still learns."""

    def start_at_zero(self) -> None:
        """Set the weights of the last layer to zero, in place."""


class Perceptron(nn.Module):
    """``linearN``: N linear layers with ReLU between them; linear2 is W2 ReLU(W1 p + b1) + b2.

    Args:
        width: D.
        hidden_size: width of the layers between.
        num_heads: not used.
        depth: N.
        device: where the parameters are made.
    """

    def __init__(
        self, width: int, *, hidden_size: int, num_heads: int, depth: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise([width, *[hidden_size] * (depth - 1), width]):
            layers += [nn.ReLU()] * bool(layers)
            layers.append(nn.Linear(size_in, size_out, device=device))
        self.layers = nn.Sequential(*layers)

    def forward(self, prompt: Tensor) -> Tensor:
        """The translation [P, D] of `prompt` [P, D]."""
        translated: Tensor = self.layers(prompt)
        return translated

    def start_at_zero(self) -> None:
        """Set the last layer to zero, in place."""
        _zero(self.layers[-1])


class Residual(nn.Module):
    """``residual``, ``residual2``: blocks that add a linear2 to what they get.

    Args:
        width: D.
        hidden_size: width of each block's hidden layer.
        num_heads: not used.
        depth: number of blocks.
        device: where the parameters are made.
    """

    def __init__(
        self, width: int, *, hidden_size: int, num_heads: int, depth: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        block = partial(Perceptron, width, hidden_size=hidden_size, num_heads=num_heads, depth=2, device=device)
        self.blocks = nn.ModuleList(block() for _ in range(depth))

    def forward(self, prompt: Tensor) -> Tensor:
        """The translation [P, D] of `prompt` [P, D]."""
        for block in self.blocks:
            prompt = prompt + block(prompt)
        return prompt


class Recurrent(nn.Module):
    """``lstmN``: a bidirectional LSTM of N layers, each direction of width D / 2, so that its states are the prompt.

    Args:
        width: D; even.
        hidden_size: not used.
        num_heads: not used.
        depth: N.
        device: where the parameters are made.
    """

    def __init__(
        self, width: int, *, hidden_size: int, num_heads: int, depth: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.layers = nn.LSTM(width, width // 2, depth, bidirectional=True, device=device)

    def forward(self, prompt: Tensor) -> Tensor:
        """The translation [P, D] of `prompt` [P, D]."""
        translated: Tensor = self.layers(prompt)[0]
        return translated

    def start_at_zero(self) -> None:
        """Set what the last layer's cells take in to zero, in place; its states then are zero."""
        last = f"_l{self.layers.num_layers - 1}"
        with torch.no_grad():
            for name, parameter in self.layers.named_parameters():
                if last in name:
                    parameter.zero_()


class Transformer(nn.Module):
    """``transformerN``: N encoder layers as torch builds them, without dropout and without positions.

    Args:
        width: D.
        hidden_size: width of each layer's perceptron.
        num_heads: of each layer's attention; it divides D.
        depth: N.
        device: where the parameters are made.
    """

    def __init__(
        self, width: int, *, hidden_size: int, num_heads: int, depth: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        layer = partial(nn.TransformerEncoderLayer, width, num_heads, hidden_size, dropout=0.0, device=device)
        self.layers = nn.Sequential(*(layer() for _ in range(depth)))

    def forward(self, prompt: Tensor) -> Tensor:
        """The translation [P, D] of `prompt` [P, D]."""
        translated: Tensor = self.layers(prompt)
        return translated

    def start_at_zero(self) -> None:
        """Set gain and bias of the last normalisation to zero, in place."""
        _zero(cast(nn.TransformerEncoderLayer, self.layers[-1]).norm2)


class Attention(nn.Module):
    """``attention``, ``attention2``: layers of self-attention over the prompt's positions, and nothing else.

    Args:
        width: D.
        hidden_size: not used.
        num_heads: it divides D.
        depth: number of layers.
        device: where the parameters are made.
    """

    def __init__(
        self, width: int, *, hidden_size: int, num_heads: int, depth: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.MultiheadAttention(width, num_heads, device=device) for _ in range(depth))

    def forward(self, prompt: Tensor) -> Tensor:
        """The translation [P, D] of `prompt` [P, D]."""
        for layer in self.layers:
            prompt, _ = layer(prompt, prompt, prompt, need_weights=False)
        return prompt

    def start_at_zero(self) -> None:
        """Set the last layer's projection of what was attended to to zero, in place."""
        _zero(cast(nn.MultiheadAttention, self.layers[-1]).out_proj)


class Translation(nn.Module):
    """A translator together with its start.

    ``published``: p_T = f(p_S). ``source``: p_T = p_S + f(p_S), where f begins as zero, so that p_T begins as p_S;
    residual blocks have such a sum already and each begins as zero.

    Args:
        translator: f.
        start: see above.
        name: of f, for the message.

    Raises:
        ConfigError: f is one of the user's own that cannot begin as zero.
    """

    def __init__(self, translator: nn.Module, start: TranslatorStart, *, name: str) -> None:
        super().__init__()
        self.translator = translator
        self._adds_source = start == "source" and not isinstance(translator, Residual)
        if start == "published":
            return
        for part in translator.blocks if isinstance(translator, Residual) else [translator]:
            if not isinstance(part, StartsAtZero):
                raise ConfigError(
                    f"translator_start is 'source', but the translator {name!r} has no method start_at_zero, so it "
                    "cannot begin as the source prompt; use translator_start: published"
                )
            part.start_at_zero()

    def forward(self, prompt: Tensor) -> Tensor:
        """The target prompt [P, D] of a source prompt [P, D]."""
        translated: Tensor = self.translator(prompt)
        return prompt + translated if self._adds_source else translated


linear1, linear2, linear3, linear4 = (partial(Perceptron, depth=depth) for depth in (1, 2, 3, 4))
lstm1, lstm2, lstm3 = (partial(Recurrent, depth=depth) for depth in (1, 2, 3))
transformer1, transformer2, transformer3 = (partial(Transformer, depth=depth) for depth in (1, 2, 3))
residual, residual2 = (partial(Residual, depth=depth) for depth in (1, 2))
attention, attention2 = (partial(Attention, depth=depth) for depth in (1, 2))


def make_translator(
    name: str, start: TranslatorStart, *, width: int, hidden_size: int, num_heads: int, device: torch.device | str
) -> Translation:
    """A fresh translator.

    Args:
        name: one of ``registry.TRANSLATORS``, or a dotted ``package.module:attribute``.
        start: see `Translation`.
        width: D.
        hidden_size: of layers between.
        num_heads: of attention.
        device: where the parameters are made.

    Raises:
        ConfigError: no such kind, it makes no module, or it cannot start as asked.
    """
    factory: Callable[..., object] = lookup("translator", name)
    try:
        made = factory(width, hidden_size=hidden_size, num_heads=num_heads, device=device)
    except TypeError as error:
        raise ConfigError(f"translator {name!r} is called with {CALLED_WITH}, and refuses: {error}") from error
    if not isinstance(made, nn.Module):
        raise ConfigError(f"translator {name!r} makes {made!r}, which is no torch.nn.Module")
    return Translation(made, start, name=name)


def _zero(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
