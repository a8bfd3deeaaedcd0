"""Sequences of labels that are grown word by word, of which the likeliest few are kept.

Shapes: B rows, K sequences kept for each, Y labels, n words so far.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Beams:
    """The likeliest sequences of labels of several rows, the longest rows first.

    A row's sequences stand beside one another: number k of row b is number ``b * K + k`` of all. There is one of each
    row at first, and never more than there are labels to choose from.

    Args:
        num_rows: B.
        num_beams: K at most.
        device: where scores are.
    """

    def __init__(self, num_rows: int, num_beams: int, *, device: torch.device | str = "cpu") -> None:
        self._num_beams = num_beams
        self._totals = torch.zeros(num_rows, 1, device=device)
        self._labels = torch.zeros(num_rows, 1, 0, dtype=torch.long, device=device)
        self._scores: Tensor | None = None
        self.best: list[tuple[Tensor, Tensor]] = []
        """Of the rows that are done, in their order: labels [n] on the CPU and scores [n, Y] of the likeliest
        sequence."""

    def keep(self, num_rows: int) -> int:
        """Go on with the first `num_rows` rows, the others being done; gives the number of their sequences."""
        if self._scores is not None:
            done = [(self._labels[row, 0].cpu(), self._scores[row, 0]) for row in range(num_rows, len(self._totals))]
            self.best = done + self.best
            self._scores = self._scores[:num_rows]
        self._totals, self._labels = self._totals[:num_rows], self._labels[:num_rows]
        return self._totals.numel()

    def last_labels(self) -> list[list[int]]:
        """The label that each sequence of each row ends with; 0 where it has none yet."""
        if not self._labels.shape[-1]:
            return [[0] for _ in self._totals]
        found: list[list[int]] = self._labels[:, :, -1].tolist()
        return found

    def grow(self, scores: Tensor) -> Tensor:
        """Add one label to every sequence, and keep the likeliest of each row, in falling order.

        Args:
            scores: [B x K, Y], of each label after each sequence; they are normalised over the labels.

        Returns:
            For each sequence kept, the number of the one that it goes on from.
        """
        num_rows, width = self._totals.shape
        step = scores.log_softmax(-1).view(num_rows, width, -1)
        num_labels = step.shape[-1]
        totals = (self._totals[:, :, None] + step).flatten(1)
        self._totals, chosen = totals.topk(min(self._num_beams, totals.shape[1]))
        parents, labels = chosen // num_labels, chosen % num_labels
        rows = torch.arange(num_rows, device=parents.device)[:, None]
        self._labels = torch.cat([self._labels[rows, parents], labels[:, :, None]], dim=2)
        new = step[rows, parents][:, :, None]
        self._scores = new if self._scores is None else torch.cat([self._scores[rows, parents], new], dim=2)
        return (rows * width + parents).flatten()
