"""A sweep in other tools' words: TensorBoard, MLflow, Weights & Biases.

The journal stays the only truth. Each tracker is told what the journal holds, as it grows or afterwards, and holds each
step once whatever was killed meanwhile. None is waited for: see :mod:`tunekit.tracking.courier`.
"""

from tunekit.tracking.telling import following, send
from tunekit.tracking.trackers import places, require_installed, usable

__all__ = ["following", "places", "require_installed", "send", "usable"]
