"""A backbone without its pretraining: the same shape and tokenizer, weights drawn anew."""

from __future__ import annotations

import torch

from tunekit.backbone.encoder import Backbone
from tunekit.backbone.loading import language_models
from tunekit.backbone.vocabulary import taken_apart


def draw_weights(backbone: Backbone) -> None:
    """Replace all weights of `backbone`, its language-model head included, in place, by ones drawn as before
    pretraining.

    The draw is transformers' own for this architecture, from torch's global generator of the CPU. On the meta device
    nothing happens.
    """
    if backbone.device.type == "meta":
        return
    model = language_models[backbone.family].from_config(backbone.model.config, trust_remote_code=False)
    body, head = taken_apart(model)
    pairs = [(backbone.model, body)]
    if backbone.vocabulary_head is not None:
        pairs.append((backbone.vocabulary_head, head))  # type: ignore[arg-type]
    with torch.no_grad():
        for mine, drawn in pairs:
            fresh = dict(drawn.named_parameters())
            for name, parameter in mine.named_parameters():
                parameter.copy_(fresh[name])
