"""An earlier address of :mod:`tunekit.journal.points`, kept for scripts that import from it."""

from tunekit.journal.points import Point, top_points

__all__ = ["Point", "top_points"]
