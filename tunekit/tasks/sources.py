"""An earlier address of :mod:`tunekit.tasks.readers.sources`, kept for scripts that import from it."""

from tunekit.tasks.readers.sources import Files, Source, by_mapping, by_pattern, in_folder

__all__ = ["Files", "Source", "by_mapping", "by_pattern", "in_folder"]
