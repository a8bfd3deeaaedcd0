"""An earlier address of :mod:`tunekit.tasks.readers.files`, kept for scripts that import from it."""

from tunekit.tasks.readers.files import conll, conllu, csv_pairs, csv_tokens, tsv_pairs
from tunekit.tasks.readers.parsed import Parsed

__all__ = ["Parsed", "conll", "conllu", "csv_pairs", "csv_tokens", "tsv_pairs"]
