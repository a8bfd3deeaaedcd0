"""An earlier address of :mod:`tunekit.tasks.readers.files`, kept for scripts that import from it."""

from tunekit.tasks.readers.files import Parsed, conll, conllu, csv_pairs, csv_tokens, tsv_pairs

__all__ = ["Parsed", "conll", "conllu", "csv_pairs", "csv_tokens", "tsv_pairs"]
