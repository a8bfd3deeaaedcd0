"""What a comparison of sweeps says, in its order, before it has a format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tunekit.markdown import plain
from tunekit.reports.across.reading import Compared, Group
from tunekit.reports.across.settings import reservations
from tunekit.reports.best import ZERO_SHOT
from tunekit.reports.contents import significance
from tunekit.reports.contents.points import dev_scores
from tunekit.reports.headline import headline
from tunekit.reports.marks import uncompared
from tunekit.reports.significance import differences as differences_of
from tunekit.reports.tables import Cell, Column, Section, Table, plain_row, table_name
from tunekit.reports.words import metric_name, searched
from tunekit.wording import names, plural

MOST_IN_A_NOTE = 5000
"""Characters; what is longer is cut."""


def sections(found: Compared) -> tuple[Section, ...]:
    """All of it, the first with the sweeps' names."""
    labels = names(member.label for member in found.members)
    bullets = "\n".join(f"- {text}" for text in reservations(found))
    return (
        Section(key="top", title=f"Sweeps {labels} side by side", parts=(_opening(), sweeps(found)), level=1),
        *([Section(key="caveats", title="Before you quote a number", parts=(bullets,))] if bullets else []),
        *(_section(found, group) for group in found.groups),
    )


def _opening() -> str:
    return (
        "All arms of a table were scored on the same tests; sweeps that were not are refused. Scores are × 100;"
        " `compare.csv` holds them as fractions."
    )


def sweeps(found: Compared) -> Table:
    """Which sweeps, and how far each of them is."""
    rows = []
    for member in found.members:
        result = member.result
        state = "finished" if result.is_finished else "unfinished"
        texts = (member.label, state, result.stopped_by_budget or None, result.record.launched_at)
        software = result.record.versions.get("tunekit")
        arms = names(arm.name for arm in result.arms)
        rows.append(tuple(Cell(value=v) for v in (*texts, len(result.record.trials), software, arms)))
    return Table(
        name="sweeps",
        title="The sweeps",
        columns=(
            Column(key="sweep", title="sweep"),
            Column(key="state", title="state"),
            Column(key="stopped", title="stopped early"),
            Column(key="launched", title="launched (UTC)"),
            Column(key="trials", title="trials", kind="count"),
            Column(key="tunekit", title="tunekit"),
            Column(key="arms", title="arms"),
        ),
        rows=tuple(rows),
    )


def title(found: Compared, group: Group) -> str:
    """The heading of a table: task, metric, and what the mean is over."""
    comparison, loud = group.comparison, ", selected on TARGET dev" if found.result.is_target_dev else ""
    if all(arm.best is None for arm in comparison.arms):
        return f"{comparison.task}: dev {metric_name(comparison.metric)}, not test{loud}"
    return f"{comparison.task}: test {metric_name(comparison.metric)}{loud} ({_mean(group)})"


def _mean(group: Group) -> str:
    if not group.shared:
        return f"no {ZERO_SHOT} mean: no target language is common to all arms"
    number = plural(len(group.shared), "common target language" if group.comparison.further else "target language")
    return f"{ZERO_SHOT}: the mean over {number}"


def _section(found: Compared, group: Group) -> Section:
    parts: list[str | Table] = []
    scores = score_tables(found, group)
    if scores:
        parts.append(scores[0])
        tested = list(differences(found, group))
        if any(isinstance(part, Table) for part in tested):  # else a note of the scores says why not
            parts += tested
        parts += [part for table in scores[1:] for part in (f"{table.title}, which selected nothing:", table)]
        parts += ["The points in these tables:", points(group)]
    if any(arm.best is None for arm in group.comparison.arms):
        parts += ["Best point of the search of each arm without finalised points (dev, not test):"]
        parts += [dev_scores(group.comparison)]
    key = f"{group.comparison.task}-{group.comparison.source}"
    return Section(key=key, title=title(found, group), parts=tuple(parts))


def score_tables(found: Compared, group: Group) -> tuple[Table, ...]:
    """Arms × languages by the main metric, then by others; none while nothing is finalised."""
    tables = headline(found.result, group.comparison)
    if tables is None:
        return ()
    further = group.comparison.further
    note = (
        f"{ZERO_SHOT} here: the mean over {', '.join(group.shared) or 'no language'}, the target languages of all arms;"
        f" {', '.join(further)}: not all arms have {'it' if len(further) == 1 else 'them'}, so not in the mean."
    )
    first = replace(tables.main, title=title(found, group))
    return tuple(
        replace(table, notes=(note, *table.notes) if further else table.notes) for table in (first, *tables.beside)
    )


def differences(found: Compared, group: Group) -> Iterator[str | Table]:
    """How much arms differ, pair by pair, and what was not compared."""
    yield from significance.tables(found.result, group.comparison)
    of_arms = dict.fromkeys(each.counts.reason for each in group.read if each.counts.reason is not None)
    if of_arms:
        yield f"Not tested for differences: {plain('; '.join(of_arms), limit=MOST_IN_A_NOTE)}."
    pairs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for each in uncompared(differences_of(found.result), group.comparison):
        if not set(each.reason.split("; ")) & set(of_arms):
            pairs.setdefault((each.reason, each.languages), []).append(f"{each.one} with {each.other}")
    for (reason, languages), listed in pairs.items():
        where = f" in {names(languages)}" if languages else ""
        yield plain(f"Not tested{where}: {'; '.join(listed)} ({reason}).", limit=MOST_IN_A_NOTE)


def points(group: Group) -> Table:
    """Which point each row shows, of which sweep, and what its method trains on."""
    rows = []
    for arm in group.comparison.arms:
        if arm.best is not None:
            cells = (arm.name, group.owners[arm.name].label, arm.arm.method, arm.arm.backbone.name, arm.best.number)
            rows.append(plain_row((*cells, arm.best.dev, searched(arm.best.params))))
    return Table(
        name=table_name("points", group.comparison.task, group.comparison.source),
        title="The points",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="sweep", title="sweep"),
            Column(key="method", title="method", kind="code"),
            Column(key="backbone", title="backbone", kind="code"),
            Column(key="point", title="point", kind="count"),
            Column(key="dev", title="dev", kind="score"),
            Column(key="params", title="params"),
        ),
        rows=tuple(rows),
    )
