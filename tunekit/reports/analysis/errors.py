"""Tables of errors, from the predictions that are kept beside the journal."""

from __future__ import annotations

from tunekit.reports.analysis.circumstances import length_table, repeated_table
from tunekit.reports.analysis.confusions import label_table, of_entities, of_labels, top_table
from tunekit.reports.analysis.entities import Inventory
from tunekit.reports.analysis.kept import Kept
from tunekit.reports.analysis.mistakes import entity_tables, label_errors_table
from tunekit.reports.analysis.naming import keys_of
from tunekit.reports.analysis.samples import sample_table
from tunekit.reports.tables import Table


def tables(kept: Kept, key: str) -> list[Table]:
    """What there is of the errors of a comparison, in this order; none where nothing could be read."""
    if not kept.arms:
        return []
    keys = keys_of([answers.arm for answers in kept.arms])
    if kept.style is not None and kept.is_entities:
        confusions = of_entities(kept, Inventory.of(kept.labels, kept.style))
        by_language = entity_tables(kept, confusions, key)
    else:
        confusions = of_labels(kept)
        by_language = [label_errors_table(kept, confusions, key)]
    found = [top_table(kept, confusions, key), label_table(kept, confusions, key), *by_language]
    found.append(length_table(kept, keys, key))
    if not kept.is_pairs:
        found.append(repeated_table(kept, keys, key))
    samples = sample_table(kept, keys, key)
    return [*found, samples] if samples is not None else found
