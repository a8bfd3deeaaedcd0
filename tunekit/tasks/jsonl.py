"""An earlier address of :mod:`tunekit.tasks.readers.jsonl`, kept for scripts that import from it."""

from tunekit.tasks.readers.jsonl import jsonl

__all__ = ["jsonl"]
