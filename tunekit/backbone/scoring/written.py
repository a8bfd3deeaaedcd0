"""How likely one given text is that a decoder writes, with gradients: what a generating model is trained by.

Shapes: B texts, T tokens of the longest string, M tokens of all strings, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunekit.backbone import t5
from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import Inputs, padded
from tunekit.backbone.scoring.candidates import TokenIds


def written_log_likelihood(backbone: Backbone, inputs: Inputs, strings: Sequence[TokenIds]) -> Tensor:
    """Log-likelihood, summed over all tokens of all strings (a scalar, fp32), of each string after its own text.

    Args:
        backbone: an encoder-decoder.
        inputs: the texts [B, L], which the encoder reads.
        strings: what the decoder writes after each, its end included if it is to be learnt; none empty.

    Raises:
        ConfigError: the backbone is none, or has no language-model head.
    """
    backbone.require_family("encoder-decoder", purpose="the likelihood of a written text")
    model, targets = backbone.model, padded(strings, backbone.pad_id).to(backbone.device)
    with backbone.precision():
        memory = t5.encode(model, backbone.embed(inputs.input_ids), inputs.attention_mask)
        start = t5.start_of(model, len(strings))
        shown = torch.cat([start, backbone.embed(targets.input_ids[:, :-1])], dim=1)
        states = t5.decode(model, shown[:, None], memory)[:, 0].float()
    is_written = targets.attention_mask.bool()
    vocabulary = backbone.vocabulary
    transformed = vocabulary.transform(states[is_written])
    scores = vocabulary.logits_of(transformed, targets.input_ids[is_written])
    return (scores - vocabulary.log_partition(transformed)).sum()
