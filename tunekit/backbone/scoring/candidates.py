"""Candidate strings of tokens as a tree, and their scores: what several of them begin with is computed once.

Shapes: B texts, K candidates, R stems, T tokens of the longest stem, N nodes (distinct beginnings that a token of a
candidate follows; the empty one is the text's own last state), W pairs of a node and a token that follows it, D width,
V entries in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tunekit.backbone.inputs import Inputs, padded
from tunekit.backbone.vocabulary import Vocabulary

TokenIds = tuple[int, ...]
"""A string of tokens."""


class CandidateTree:
    """Candidates by what they share.

    Args:
        candidates: strings of tokens, none empty.

    Raises:
        ValueError: no candidates, or an empty one.
    """

    def __init__(self, candidates: Sequence[TokenIds]) -> None:
        if not candidates or not all(candidates):
            raise ValueError("candidates must be one or several strings of at least one token")
        self.candidates = [tuple(candidate) for candidate in candidates]
        self.nodes: list[TokenIds] = list(dict.fromkeys(c[:i] for c in self.candidates for i in range(len(c))))
        self.stems = [n for n in self.nodes if n and not any(o != n and o[: len(n)] == n for o in self.nodes)]

    @property
    def is_flat(self) -> bool:
        """Whether each candidate is a single token."""
        return len(self.nodes) == 1

    def stem_rows(self, device: torch.device) -> Inputs:
        """The stems, [R, T], that the model reads after each text."""
        return padded(self.stems, pad_id=self.stems[0][0]).to(device)  # unattended to, so any token will do

    def node_states(self, last: Tensor, stems: Tensor) -> Tensor:
        """States [B, N, D] that predict what follows each node, of the text's [B, D] and the stems' [B, R, T, D]."""
        states = []
        for node in self.nodes:
            row = next((i for i, stem in enumerate(self.stems) if node and stem[: len(node)] == node), None)
            states.append(last if row is None else stems[:, row, len(node) - 1])
        return torch.stack(states, dim=1)

    def steps(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """For each token of each candidate its node, itself, and the candidate: each [W]."""
        index = {node: i for i, node in enumerate(self.nodes)}
        steps = [(index[c[:i]], token, k) for k, c in enumerate(self.candidates) for i, token in enumerate(c)]
        nodes, tokens, owners = torch.tensor(steps, device=device).unbind(1)
        return nodes, tokens, owners


def score(vocabulary: Vocabulary, last: Tensor, read: Callable[[Inputs], Tensor], tree: CandidateTree) -> Tensor:
    """Log-likelihoods [B, K] of the candidates, in fp32; of single tokens, vocabulary logits.

    Args:
        vocabulary: the head.
        last: [B, D], the states that predict the first token after each text.
        read: gives the states [B, R, T, D] of stems [R, T] after each text; not called for a flat tree.
        tree: the candidates.
    """
    if tree.is_flat:
        ids = torch.tensor([token for (token,) in tree.candidates], device=last.device)
        return vocabulary.logits(vocabulary.transform(last), ids)
    stems = read(tree.stem_rows(last.device))
    states = vocabulary.transform(tree.node_states(last, stems))
    nodes, tokens, owners = tree.steps(last.device)
    partition = vocabulary.log_partition(states.flatten(0, 1)).view(states.shape[:2])
    log_likelihoods = vocabulary.logits_of(states[:, nodes], tokens) - partition[:, nodes]
    return log_likelihoods.new_zeros(len(last), len(tree.candidates)).index_add(1, owners, log_likelihoods)


def per_token(scores: Tensor, candidates: Sequence[TokenIds]) -> Tensor:
    """Scores [B, K] divided by each candidate's number of tokens."""
    return scores / torch.tensor([len(candidate) for candidate in candidates], device=scores.device)
