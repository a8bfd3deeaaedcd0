"""A table of how much each pair of arms differs, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunekit.reports.best import ZERO_SHOT
from tunekit.reports.marks import how_tested, uncompared
from tunekit.reports.results import Comparison, SweepResult
from tunekit.reports.significance import Difference, Differences, differences
from tunekit.reports.tables import Cell, Column, Table, table_name
from tunekit.wording import names

SIGNIFICANT = "*"
MOST_ROWS = 40
"""On a page. Where there are more, those of single languages stand in a file alone."""
UNLIKE = (
    "Means over translations of each other that have unlike numbers of examples: their languages are resampled one by"
    " one, and so their intervals are too narrow."
)
COLUMNS = (
    Column(key="one", title="arm"),
    Column(key="other", title="against"),
    Column(key="language", title="in"),
    Column(key="difference", title="difference", kind="difference"),
    Column(key="low", title="95 % from", kind="difference"),
    Column(key="high", title="to", kind="difference"),
    Column(key="p", title="p", kind="p"),
    Column(key="p_holm", title="p (Holm)", kind="p"),
    Column(key="num_tests", title="tests", kind="count"),
    Column(key="num_examples", title="examples", kind="count"),
    Column(key="num_seeds", title="seeds", kind="count"),
    Column(key="num_draws", title="draws", kind="count"),
    Column(key="covers", title="covers"),
)


def tables(result: SweepResult, comparison: Comparison) -> tuple[Table, ...]:
    """All differences of a comparison; where they fill more than a page, first those on the mean; none if none is."""
    found = differences(result)
    own = [each for each in found.found if (each.task, each.source) == (comparison.task, comparison.source)]
    if not own:
        return ()
    whole = _table(found, comparison, own, "differences")
    if len(own) <= MOST_ROWS:
        return (whole,)
    means = [each for each in own if each.language is None]
    return (_table(found, comparison, means, "differences_on_the_mean"), whole)


def not_compared(result: SweepResult, comparison: Comparison) -> Iterator[str]:
    """Which pairs of arms were not compared, and why, in plain sentences."""
    reasons: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for each in uncompared(differences(result), comparison):
        reasons.setdefault((each.reason, each.languages), []).append(f"{each.one} with {each.other}")
    for (reason, languages), pairs in reasons.items():
        where = f" in {names(languages)}" if languages else ""
        yield f"Not compared{where}: {'; '.join(pairs)} ({reason})."


def _table(found: Differences, comparison: Comparison, own: Sequence[Difference], name: str) -> Table:
    unlike = any(each.is_mean_of_unlike for each in own)
    left_out = dict.fromkeys(each.left_out for each in own if each.left_out)
    return Table(
        name=table_name(name, comparison.task, comparison.source),
        title=f"{comparison.task}: differences between arms",
        columns=COLUMNS,
        rows=tuple(_row(each) for each in own),
        notes=(
            f"Arm minus the other on test, with its 95 % confidence interval. {SIGNIFICANT}: significant at 5 % after"
            f" Holm's correction ({how_tested(found, own)}). Languages are not corrected for each other.",
            *(f"Left out: {text}." for text in left_out),
            *([UNLIKE] if unlike else []),
        ),
    )


def _row(each: Difference) -> tuple[Cell, ...]:
    values = (
        each.one, each.other, each.language or ZERO_SHOT, each.difference, each.low, each.high, each.p, each.p_holm,
        each.num_tests, each.num_examples, each.num_seeds, each.num_draws, each.covers,
    )  # fmt: skip
    cells = [Cell(value=value) for value in values]
    if each.is_significant:
        cells[3] = Cell(value=each.difference, marks=(SIGNIFICANT,))
    if each.language is None and len(each.languages) > 1:
        cells[2] = Cell(value=ZERO_SHOT, title=f"the mean over {names(each.languages)}")
    return tuple(cells)
