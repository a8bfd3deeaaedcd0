"""Scores of texts beyond plain encoding: shared sentences, and how likely strings of tokens are to follow a text.

Functions over a :class:`~tunekit.backbone.Backbone`, which knows nothing of them.
"""

from __future__ import annotations

from tunekit.backbone.scoring.candidates import TokenIds, per_token
from tunekit.backbone.scoring.continuations import continuation_scores, continuation_scores_shared
from tunekit.backbone.scoring.growing_decoder import GrowingDecoder
from tunekit.backbone.scoring.growing_rows import GrowingRows, context_of
from tunekit.backbone.scoring.shared import Context, encode_shared
from tunekit.backbone.scoring.written import written_log_likelihood

__all__ = [
    "Context",
    "GrowingDecoder",
    "GrowingRows",
    "TokenIds",
    "context_of",
    "continuation_scores",
    "continuation_scores_shared",
    "encode_shared",
    "per_token",
    "written_log_likelihood",
]
