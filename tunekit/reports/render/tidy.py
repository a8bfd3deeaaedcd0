"""``results``, ``trials`` and ``curves``, each as CSV and as Parquet: one row for each score, trial and epoch.

The two formats have the same columns and rows. In Parquet they have types; in CSV what is not there is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunekit.reports.files import save, save_bytes
from tunekit.reports.render.csv_text import csv_text
from tunekit.reports.results import SweepResult
from tunekit.reports.rows import Type, curves, results, trials
from tunekit.storage import AnyPath

if TYPE_CHECKING:
    import pyarrow


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``results.csv``, ``results.parquet`` and their neighbours into `out`."""
    written = []
    for rows in (results(result), trials(result), curves(result)):
        text = csv_text(list(rows.types), rows.rows)
        written.append(save(out / f"{rows.name}.csv", text))
        written.append(save_bytes(out / f"{rows.name}.parquet", parquet_bytes(text, rows.types)))
    return written


def to_csv(result: SweepResult) -> str:
    """The text of ``results.csv``."""
    rows = results(result)
    return csv_text(list(rows.types), rows.rows)


def parquet_bytes(text: str, types: Mapping[str, Type]) -> bytes:
    """The content of a Parquet file: what a CSV file says, with types; what is empty there is null.

    It is read from its text because pyarrow, where it is given lists, loads pandas to see whether they are its own.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    content = text.encode("utf-8", "backslashreplace")
    found = arrow_csv.read_csv(
        pyarrow.BufferReader(content),
        read_options=arrow_csv.ReadOptions(block_size=len(content) + 1, use_threads=False),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: _arrow(kind) for name, kind in types.items()},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    stream = pyarrow.BufferOutputStream()
    parquet.write_table(found, stream)
    written: bytes = stream.getvalue().to_pybytes()
    return written


def _arrow(kind: Type) -> pyarrow.DataType:
    import pyarrow

    types: Mapping[Type, pyarrow.DataType] = {
        "text": pyarrow.string(),
        "whole": pyarrow.int64(),
        "real": pyarrow.float64(),
        "yes_or_no": pyarrow.bool_(),
    }
    return types[kind]
