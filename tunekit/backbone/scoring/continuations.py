"""How likely strings of pieces are to follow a text.

Candidates are read as a tree: what several of them begin with is computed once, and the text once for all of them.
Shapes: B texts, K candidates, R stems, T pieces of the longest stem, N nodes (distinct beginnings that a piece of a
candidate follows; the empty one is the text's own last state), W pairs of a node and a piece that follows it, D width,
V entries in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunekit.backbone import t5
from tunekit.backbone.inputs import Inputs, padded
from tunekit.backbone.scoring.shared import Part, encode_after
from tunekit.backbone.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tunekit.backbone.encoder import Backbone

Pieces = tuple[int, ...]
MAX_SEEN = 2**27
"""Numbers in one layer's keys of what several rows of stems see, repeated for each: 512 MiB in fp32."""
LEAST_SAVED = 256
"""Pieces of padding that are worth another pass through the model."""


class CandidateTree:
    """Candidates by what they share.

    Args:
        candidates: strings of pieces, none empty.

    Raises:
        ValueError: no candidates, or an empty one.
    """

    def __init__(self, candidates: Sequence[Pieces]) -> None:
        if not candidates or not all(candidates):
            raise ValueError("candidates must be one or several strings of at least one piece")
        self.candidates = [tuple(candidate) for candidate in candidates]
        self.nodes: list[Pieces] = list(dict.fromkeys(c[:i] for c in self.candidates for i in range(len(c))))
        self.stems = [n for n in self.nodes if n and not any(o != n and o[: len(n)] == n for o in self.nodes)]

    @property
    def is_flat(self) -> bool:
        """Whether each candidate is a single piece."""
        return len(self.nodes) == 1

    def stem_rows(self, device: torch.device) -> Inputs:
        """The stems, [R, T], that the model reads after each text."""
        return padded(self.stems, pad_id=self.stems[0][0]).to(device)  # unattended to, so any piece will do

    def node_states(self, last: Tensor, stems: Tensor) -> Tensor:
        """States [B, N, D] that predict what follows each node, of the text's [B, D] and the stems' [B, R, T, D]."""
        states = []
        for node in self.nodes:
            row = next((i for i, stem in enumerate(self.stems) if node and stem[: len(node)] == node), None)
            states.append(last if row is None else stems[:, row, len(node) - 1])
        return torch.stack(states, dim=1)

    def steps(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """For each piece of each candidate its node, itself, and the candidate: each [W]."""
        index = {node: i for i, node in enumerate(self.nodes)}
        steps = [(index[c[:i]], piece, k) for k, c in enumerate(self.candidates) for i, piece in enumerate(c)]
        nodes, pieces, owners = torch.tensor(steps, device=device).unbind(1)
        return nodes, pieces, owners


def score(vocabulary: Vocabulary, last: Tensor, read: Callable[[Inputs], Tensor], tree: CandidateTree) -> Tensor:
    """Log-likelihoods [B, K] of the candidates, in fp32; of single pieces, vocabulary logits.

    Args:
        vocabulary: the head.
        last: [B, D], the states that predict the first piece after each text.
        read: gives the states [B, R, T, D] of stems [R, T] after each text; not called for a flat tree.
        tree: the candidates.
    """
    if tree.is_flat:
        ids = torch.tensor([piece for (piece,) in tree.candidates], device=last.device)
        return vocabulary.logits(vocabulary.transform(last), ids)
    stems = read(tree.stem_rows(last.device))
    states = vocabulary.transform(tree.node_states(last, stems))
    nodes, pieces, owners = tree.steps(last.device)
    partition = vocabulary.log_partition(states.flatten(0, 1)).view(states.shape[:2])
    log_likelihoods = vocabulary.logits_of(states[:, nodes], pieces) - partition[:, nodes]
    return log_likelihoods.new_zeros(len(last), len(tree.candidates)).index_add(1, owners, log_likelihoods)


def causal_scores(backbone: Backbone, parts: Sequence[Part], inputs: Inputs, candidates: Sequence[Pieces]) -> Tensor:
    """Log-likelihoods [B, K] of the candidates after rows that may themselves go on from others."""
    hidden, context = encode_after(backbone, parts, inputs)
    rows = torch.arange(len(hidden), device=hidden.device)
    last = hidden[rows, inputs.attention_mask.sum(1) - 1]
    return scores_after(backbone, [*parts, (context, rows)], last, candidates)


def scores_after(backbone: Backbone, parts: Sequence[Part], last: Tensor, candidates: Sequence[Pieces]) -> Tensor:
    """Log-likelihoods [B, K] of the candidates after rows that `parts` hold whole and that end in the states `last`."""
    num_rows = len(last)

    def read(stems: Inputs) -> Tensor:
        num_stems = len(stems.input_ids)
        num_seen = num_stems * sum(context.mask.shape[1] for context, _ in parts) * backbone.hidden_size
        found = []
        for rows in torch.split(torch.arange(num_rows, device=last.device), max(1, MAX_SEEN // num_seen)):
            repeated = Inputs(stems.input_ids.repeat(len(rows), 1), stems.attention_mask.repeat(len(rows), 1))
            texts = rows.repeat_interleave(num_stems)
            found.append(encode_after(backbone, [(context, owners[texts]) for context, owners in parts], repeated)[0])
        after = torch.cat(found)
        return after.view(num_rows, num_stems, *after.shape[1:])

    return score(backbone.vocabulary, last, read, CandidateTree(candidates))


def shared_scores(
    backbone: Backbone, sentences: Inputs, *, questions: Inputs, owners: Tensor, candidates: Sequence[Pieces]
) -> Tensor:
    """Log-likelihoods [Q, K] of the candidates after questions, each sentence being read once for all of its own."""
    sentence = encode_after(backbone, [], sentences)[1]
    lengths = questions.attention_mask.sum(1).tolist()
    groups = alike(lengths)
    found = []
    for group in groups:
        rows, width = torch.tensor(group, device=owners.device), lengths[group[0]]
        some = Inputs(questions.input_ids[rows, :width], questions.attention_mask[rows, :width])
        found.append(causal_scores(backbone, [(sentence, owners[rows])], some, candidates))
    order = torch.tensor([row for group in groups for row in group], device=owners.device)
    return torch.cat(found)[order.argsort()]


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Rows in groups, longest first, so that going through the model once more saves `LEAST_SAVED` pieces of padding.

    >>> alike([3, 2, 3, 2]), alike([2, 200, 2])
    ([[0, 2, 1, 3]], [[1], [0, 2]])
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    groups: list[list[int]] = []
    for place, row in enumerate(order):
        width = lengths[groups[-1][0]] if groups else 0
        if not groups or (width - lengths[row]) * (len(order) - place) >= LEAST_SAVED:
            groups.append([])
        groups[-1].append(row)
    return groups


def decoder_scores(backbone: Backbone, inputs: Inputs, candidates: Sequence[Pieces]) -> Tensor:
    """Log-likelihoods [B, K] of the candidates as what the decoder writes, given the encoded text."""
    model, num_texts = backbone.model, len(inputs.input_ids)
    with backbone.precision():
        memory = t5.encode(model, backbone.embed(inputs.input_ids), inputs.attention_mask)
        start = t5.start_of(model, num_texts)[:, None]
        last = t5.decode(model, start, memory)[:, 0, 0].float()

    def read(stems: Inputs) -> Tensor:
        num_stems = len(stems.input_ids)
        strings = backbone.embed(stems.input_ids).expand(num_texts, -1, -1, -1)
        rows = torch.cat([start.expand(-1, num_stems, -1, -1), strings], dim=2)
        with backbone.precision():
            return t5.decode(model, rows, memory)[:, :, 1:].float()

    return score(backbone.vocabulary, last, read, CandidateTree(candidates))


def per_piece(scores: Tensor, candidates: Sequence[Pieces]) -> Tensor:
    """Scores [B, K] divided by each candidate's number of pieces."""
    return scores / torch.tensor([len(candidate) for candidate in candidates], device=scores.device)
