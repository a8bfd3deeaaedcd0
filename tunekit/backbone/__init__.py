"""The pretrained model: load it, tokenize for it, run it with a prompt before the text.

The only room that knows transformers' internals. `load` gives a :class:`Backbone` with weights, `describe` the same
shape without any (on the meta device), to count parameters before anything is downloaded.
"""

from __future__ import annotations

from tunekit.backbone.encoder import Backbone
from tunekit.backbone.identity import fingerprint
from tunekit.backbone.inputs import Inputs, Prefix
from tunekit.backbone.kernels import keep_few_kernels
from tunekit.backbone.loading import describe, load
from tunekit.backbone.reading import LayerChange, Reading, RowKeys, in_company, read

__all__ = [
    "Backbone",
    "Inputs",
    "LayerChange",
    "Prefix",
    "Reading",
    "RowKeys",
    "describe",
    "fingerprint",
    "in_company",
    "keep_few_kernels",
    "load",
    "read",
]
