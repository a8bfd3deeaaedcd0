"""``references.csv``: the published figures of a sweep, in the form in which a sweep file can name them again."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.reports.files import save
from tunekit.reports.render.csv_text import csv_text
from tunekit.reports.results import SweepResult
from tunekit.schema import to_json
from tunekit.storage import AnyPath
from tunekit.sweep.types import Reference

COLUMNS = ("task", "method", "backbone", "language", "metric", "split", "value", "spread", "n", "source")
"""Values and spreads are fractions. None of these figures stands in ``results.csv``."""


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``references.csv`` into `out` if the sweep has published figures, or had some when it was last written."""
    path, references = out / "references.csv", result.sweep.references
    return [save(path, to_csv(references))] if references or path.exists() else []


def to_csv(references: Sequence[Reference]) -> str:
    """The text of ``references.csv``: a heading and a line for each figure, in the order of their files."""
    return csv_text(COLUMNS, (to_json(reference) for reference in references))
