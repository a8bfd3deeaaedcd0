"""Universal Dependencies 2.7 from the hub: the treebanks of the languages that XTREME-R adds to XTREME's UDPOS.

As in XTREME, a language's split is the splits of all its treebanks, one after the other by the treebanks' names. The
data set's own configurations need a script, which `datasets` no longer runs; the hub keeps their rows as Parquet files
in a branch of its own, one folder for each treebank.

A row lists more than the words that have a part of speech: also the form that is written where several words are one
(``upos`` is ``_``), and words that are understood but not written (empty nodes). Neither has a head, so neither is
taken; google/xtreme on the hub leaves such forms out too, while XTREME's scripts put them in place of their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tunekit.tasks.examples import Split, TokenExample
from tunekit.tasks.readers.hub import Hub, Rows, column, label_name, label_names
from tunekit.tasks.readers.parsed import Parsed

REPOSITORY = "universal-dependencies/universal_dependencies"
PARQUET = "refs/convert/parquet"
"""The branch that the hub itself writes."""
WRITTEN_TOGETHER = "forms of several words, which follow one by one"
NOT_WRITTEN = "words that are not in the text"


def words_with_heads(rows: Rows, language: str, place: str) -> Parsed:
    """The words of each sentence and their parts of speech; what else the rows list is counted."""
    names = label_names(rows, "upos", place)
    columns = (cast("Sequence[Sequence[object]]", column(rows, name, place)) for name in ("tokens", "upos", "head"))
    parsed = Parsed()
    for forms, values, heads in zip(*columns, strict=True):
        words, labels = list[str](), list[str]()
        for form, value, head in zip(forms, values, heads, strict=True):
            label = label_name(names, value, place)
            if str(head).isdecimal():
                words.append(str(form))
                labels.append(label)
            else:
                parsed.left_out[WRITTEN_TOGETHER if label == "_" else NOT_WRITTEN] += 1
        if words:
            parsed.examples.append(TokenExample(tuple(words), tuple(labels)))
        else:
            parsed.left_out["sentences without words"] += 1
    return parsed


def _treebanks(names: str, missing: Mapping[Split, Sequence[str]] | None = None) -> Hub:
    treebanks = {name.partition("_")[0]: name for name in names.split()}
    return Hub(REPOSITORY, treebanks, words_with_heads, missing=missing or {}, revision=PARQUET)


HUBS = (
    _treebanks("lt_alksnis pl_lfg ro_nonstandard uk_iu wo_wtb"),
    _treebanks("lt_hse pl_pdb ro_rrt", {"dev": ("lt",), "test": ("lt",)}),
    _treebanks("pl_pud ro_simonero", {"train": ("pl",), "dev": ("pl",)}),
)
"""Every treebank of these languages; each hub has one of a language."""
REMARKS = {
    "lt": "lt_hse is in train alone: on the hub its dev and test hold its train sentences, so they are not read",
}
