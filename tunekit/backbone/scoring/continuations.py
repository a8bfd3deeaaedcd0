"""How likely strings of tokens are to follow a text, each text being computed once for all candidates.

Shapes: B texts, Q questions, K candidates, R stems, T tokens of the longest stem, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunekit.backbone import t5
from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import Inputs
from tunekit.backbone.scoring.candidates import CandidateTree, TokenIds, per_token, score
from tunekit.backbone.scoring.shared import Part, encode_after

MAX_SEEN = 2**27
"""Numbers in one layer's keys of what several rows of stems see, repeated for each: 512 MiB in fp32."""
MIN_SAVED = 256
"""Tokens of padding that are worth another pass through the model."""


def continuation_scores(
    backbone: Backbone, inputs: Inputs, candidates: Sequence[TokenIds], *, normalise: bool = False
) -> Tensor:
    """How likely each candidate string of tokens is to follow each text: log-likelihoods [B, K], in fp32.

    A causal model goes on from the row's last token; of an encoder-decoder the decoder writes the candidate given the
    encoded row. If all candidates are single tokens, only their rows of the vocabulary are read, and the scores are
    log-likelihoods but for a number common to the row, which no softmax over the candidates sees.

    Args:
        backbone: a causal model or an encoder-decoder.
        inputs: the texts.
        candidates: K strings of tokens, none empty.
        normalise: divide each score by the candidate's number of tokens.

    Raises:
        ConfigError: the backbone is an encoder, or has no language-model head.
    """
    backbone.require_family("causal", "encoder-decoder", purpose="the likelihood of what follows a text")
    if backbone.is_causal:
        scores = _causal_scores(backbone, [], inputs, candidates)
    else:
        scores = _decoder_scores(backbone, inputs, candidates)
    return per_token(scores, candidates) if normalise else scores


def continuation_scores_shared(
    backbone: Backbone,
    sentences: Inputs,
    questions: Inputs,
    *,
    owners: Tensor,
    candidates: Sequence[TokenIds],
    normalise: bool = False,
) -> Tensor:
    """`continuation_scores` [Q, K] after questions, each sentence being encoded once for all of its questions.

    Args:
        backbone: a causal model.
        sentences: as `encode_shared` takes them.
        questions: the texts that follow the sentences.
        owners: [Q], for each question the row of its sentence.
        candidates: K strings of tokens, none empty.
        normalise: divide each score by the candidate's number of tokens.

    Raises:
        ConfigError: the backbone is not a causal model, or has no language-model head.
    """
    backbone.require_family("causal", purpose="the likelihood of what follows a shared sentence")
    sentence = encode_after(backbone, [], sentences)[1]
    lengths = questions.attention_mask.sum(1).tolist()
    groups = groups_by_length(lengths)
    found = []
    for group in groups:
        rows, width = torch.tensor(group, device=owners.device), lengths[group[0]]
        some = Inputs(questions.input_ids[rows, :width], questions.attention_mask[rows, :width])
        found.append(_causal_scores(backbone, [(sentence, owners[rows])], some, candidates))
    order = torch.tensor([row for group in groups for row in group], device=owners.device)
    scores = torch.cat(found)[order.argsort()]
    return per_token(scores, candidates) if normalise else scores


def groups_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Rows in groups, longest first, so that each further pass through the model saves `MIN_SAVED` tokens of padding.

    >>> groups_by_length([3, 2, 3, 2]), groups_by_length([2, 200, 2])
    ([[0, 2, 1, 3]], [[1], [0, 2]])
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    groups: list[list[int]] = []
    for place, row in enumerate(order):
        width = lengths[groups[-1][0]] if groups else 0
        if not groups or (width - lengths[row]) * (len(order) - place) >= MIN_SAVED:
            groups.append([])
        groups[-1].append(row)
    return groups


def scores_after(backbone: Backbone, parts: Sequence[Part], last: Tensor, candidates: Sequence[TokenIds]) -> Tensor:
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


def _causal_scores(backbone: Backbone, parts: Sequence[Part], inputs: Inputs, candidates: Sequence[TokenIds]) -> Tensor:
    """Log-likelihoods [B, K] of the candidates after rows that may themselves go on from others."""
    hidden, context = encode_after(backbone, parts, inputs)
    rows = torch.arange(len(hidden), device=hidden.device)
    last = hidden[rows, inputs.attention_mask.sum(1) - 1]
    return scores_after(backbone, [*parts, (context, rows)], last, candidates)


def _decoder_scores(backbone: Backbone, inputs: Inputs, candidates: Sequence[TokenIds]) -> Tensor:
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
