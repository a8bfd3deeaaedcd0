"""An earlier address of :mod:`tunekit.tasks.readers.hub`, kept for scripts that import from it."""

from tunekit.tasks.readers.hub import Hub, Rows

__all__ = ["Hub", "Rows"]
