"""Rows that grow step by step: what has been read is kept, so that no token is read twice.

Shapes: B rows, K candidates, n tokens read at a time, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import padded
from tunekit.backbone.scoring.candidates import TokenIds
from tunekit.backbone.scoring.continuations import scores_after
from tunekit.backbone.scoring.shared import Context, Part, encode_after


def context_of(backbone: Backbone, text: TokenIds) -> Context:
    """One text, read once, for any number of rows to go on from. The backbone is causal."""
    return encode_after(backbone, [], padded([text], backbone.pad_id).to(backbone.device))[1]


class GrowingRows:
    """Rows of a causal model that go on from one text, are read on and asked what may follow, again and again.

    Args:
        backbone: a causal one.
        start: what all of them go on from; None is nothing.
        texts: the rows' first tokens; they are read together with what `read` gets first.
    """

    def __init__(self, backbone: Backbone, start: Context | None, texts: Sequence[TokenIds]) -> None:
        self._backbone, self._start = backbone, start
        self._unread: list[TokenIds] = list(texts)
        self._own: Context | None = None
        self._last: Tensor | None = None

    def read(self, strings: Sequence[TokenIds]) -> None:
        """Read on: B strings of tokens, with at least one token each the first time and before `scores`."""
        backbone = self._backbone
        whole = [(*a, *b) for a, b in zip(self._unread, strings, strict=True)]
        rows = padded(whole, backbone.pad_id).to(backbone.device)
        self._unread = [()] * len(strings)
        hidden, context = encode_after(self._backbone, self._parts(len(strings)), rows)
        numbers = torch.arange(len(strings), device=hidden.device)
        self._last = hidden[numbers, rows.attention_mask.sum(1) - 1]
        self._own = context if self._own is None else _joined(self._own, context)

    def keep(self, num_rows: int) -> None:
        """Go on with the first `num_rows` rows only."""
        self._unread = self._unread[:num_rows]
        if self._own is not None and self._last is not None:
            layers = tuple((keys[:num_rows], values[:num_rows]) for keys, values in self._own.layers)
            self._own = Context(layers, self._own.mask[:num_rows])
            self._last = self._last[:num_rows]

    def scores(self, candidates: Sequence[TokenIds]) -> Tensor:
        """How likely each candidate is to follow each row, as `continuation_scores` says: [B, K]."""
        if self._last is None:
            raise RuntimeError("nothing has been read yet")
        return scores_after(self._backbone, self._parts(len(self._last)), self._last, candidates)

    def _parts(self, num_rows: int) -> list[Part]:
        device = self._backbone.device
        parts: list[Part] = []
        if self._start is not None:
            parts.append((self._start, torch.zeros(num_rows, dtype=torch.long, device=device)))
        if self._own is not None:
            parts.append((self._own, torch.arange(num_rows, device=device)))
        return parts


def _joined(first: Context, second: Context) -> Context:
    """Rows and what they were read on by, as one."""
    layers = tuple(
        (torch.cat([keys, more_keys], dim=-2), torch.cat([values, more_values], dim=-2))
        for (keys, values), (more_keys, more_values) in zip(first.layers, second.layers, strict=True)
    )
    return Context(layers, torch.cat([first.mask, second.mask], dim=1))
