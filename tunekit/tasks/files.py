"""The readers of text files, each from a path to `Parsed`, at one address that scripts can rely on."""

from tunekit.tasks.readers.conllu import CONLLU_FIELDS, conllu
from tunekit.tasks.readers.layout import ROLES, UNSAID, Layout, Said
from tunekit.tasks.readers.pairs import csv_pairs, tsv_pairs
from tunekit.tasks.readers.parsed import Parsed, ReadingNotes
from tunekit.tasks.readers.rows import readable, rows_of
from tunekit.tasks.readers.words import conll, csv_tokens

__all__ = [
    "CONLLU_FIELDS",
    "ROLES",
    "UNSAID",
    "Layout",
    "Parsed",
    "ReadingNotes",
    "Said",
    "conll",
    "conllu",
    "csv_pairs",
    "csv_tokens",
    "readable",
    "rows_of",
    "tsv_pairs",
]
