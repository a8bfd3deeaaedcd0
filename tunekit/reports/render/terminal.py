"""What the terminal shows: the result of a sweep in a screenful, and how far sweeps are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tunekit.journal import SweepRecord
from tunekit.markdown import unmarked
from tunekit.reports.baselines import majority_rows
from tunekit.reports.caveats import caveats
from tunekit.reports.contents.costs import trainable
from tunekit.reports.contents.failures import failed_alike, reason_of
from tunekit.reports.contents.winners import found, not_told
from tunekit.reports.published import score_tables
from tunekit.reports.render.formats import spread, value_text
from tunekit.reports.render.terminal_published import plain_table, published_below
from tunekit.reports.results import ArmResult, Comparison, SweepResult, read
from tunekit.reports.scores import Spread
from tunekit.reports.words import metric_name, searched
from tunekit.wording import NOTHING, duration, one_line, percent, plural

MAX_COLUMNS = 4
"""More arms than these would not fit beside each other."""
MAX_REASONS = 3
"""Why trials failed: so many reasons are shown by status, the most frequent first."""


def summary(record: SweepRecord) -> RenderableType:
    """How sure each choice is, the transfer table of each task, each arm's best parameters and cost, and what to know
    before quoting them."""
    result = read(record)
    parts: list[RenderableType] = _choices(result)
    for comparison in result.comparisons:
        parts += [*scores(result, comparison), best_points(comparison), Text()]
    return Group(*parts, *before_quoting(caveats(result)))


def before_quoting(notes: Sequence[str]) -> list[RenderableType]:
    """What to know before quoting a number; nothing if there is nothing to say."""
    grid = Table.grid(padding=(0, 1))
    for note in notes:
        grid.add_row("•", bold(note))
    return [Text("Before you quote a number", style="bold"), grid] if notes else []


def _choices(result: SweepResult) -> list[RenderableType]:
    """Which point each arm ends with and how sure that is; of many arms only those where it is not."""
    final = [winner for winner in found(result) if winner.is_final]
    if len(final) <= MAX_COLUMNS:
        return [*(Text(one_line(winner.first_line, limit=1000)) for winner in final), *([Text()] if final else [])]
    doubt = not_told(result)
    return [bold(doubt), Text()] if doubt else []


def bold(markdown: str) -> Text:
    """Text whose bold is Markdown's; backticks go, and what was escaped is as it was."""
    text, is_bold = Text(), False
    for piece in re.findall(r"\\[*`\\\]]|\*\*|`|&lt;|&amp;|[^\\*`&]+|.", markdown):
        if piece == "**":
            is_bold = not is_bold
        elif piece != "`":
            text.append(unmarked(piece), style="bold" if is_bold else None)
    return text


def scores(result: SweepResult, comparison: Comparison) -> list[RenderableType]:
    """The transfer table of a comparison below its title; its dev scores, as long as nothing is finalised."""
    loud = ", selected on TARGET dev" if result.is_target_dev else ""
    main, *beside = score_tables(comparison, result.sweep.references)
    if all(arm.best is None for arm in comparison.arms):
        state = "no point finalised" if result.is_finished else "sweep unfinished"
        title = f"dev {metric_name(comparison.metric)} (dev, not test; {state})"
        return [_title(f"{comparison.task}: {title}{loud}"), _dev_table(comparison)]
    parts: list[RenderableType] = []
    for table in (main, *(table for table in beside if table.published)):
        parts.append(_title(f"{comparison.task}: test {metric_name(table.metric)}{loud}"))
        fits = max(len(comparison.arms), len(table.published)) <= MAX_COLUMNS
        parts.append(_languages_table(comparison, table.metric) if fits else _arms_table(comparison, table.metric))
        parts += published_below(comparison, table, by_language=fits)
    return parts


def _title(text: str) -> Text:
    return Text(one_line(text), style="bold")


def _dev_table(comparison: Comparison) -> Table:
    table = plain_table("arm", "point", "dev", "n")
    for arm in comparison.arms:
        values = Spread.of(arm.leader.counted) if arm.leader else None
        point = str(arm.leader.number) if arm.leader else "none COMPLETE"
        table.add_row(Text(one_line(arm.name)), point, spread(values), str(values.n if values else 0))
    return table


def _languages_table(comparison: Comparison, metric: str) -> Table:
    """Languages × arms, which fits a terminal whatever the number of languages."""
    floors = majority_rows(comparison, metric)
    table = plain_table("", *(arm.name for arm in comparison.arms), *(label for label, _ in floors))
    for index, language in enumerate(comparison.languages):
        values = [spread(arm.best.score(language, metric)) if arm.best else NOTHING for arm in comparison.arms]
        label = f"{language} (source)" if language == comparison.source else language
        table.add_row(Text(one_line(label)), *values, *(percent(row[index]) for _, row in floors))
    table.add_section()
    zero_shot = [spread(arm.best.zero_shot(arm.targets, metric)) if arm.best else NOTHING for arm in comparison.arms]
    table.add_row("zero_shot", *zero_shot, *(percent(row[-2]) for _, row in floors), style="bold")
    table.add_row(
        "transfer_gap",
        *(_gap(comparison, arm, metric) for arm in comparison.arms),
        *(percent(r[-1]) for _, r in floors),
    )
    table.add_row(
        "n (trials)" if any(a.has_draws for a in comparison.arms) else "n (seeds)",
        *(str(len(arm.best.trials)) if arm.best else "0" for arm in comparison.arms),
    )
    return table


def _gap(comparison: Comparison, arm: ArmResult, metric: str) -> str:
    return spread(arm.best.transfer_gap(comparison.source, arm.targets, metric)) if arm.best else NOTHING


def _arms_table(comparison: Comparison, metric: str) -> Table:
    """Arms × (source, zero-shot mean, gap), for many arms; the report has every language."""
    table = plain_table("arm", "n", f"{comparison.source} (source)", "zero_shot", "transfer_gap")
    for arm in comparison.arms:
        if arm.best is None:
            table.add_row(Text(one_line(arm.name)), "0", NOTHING, NOTHING, NOTHING)
            continue
        source = spread(arm.best.score(comparison.source, metric))
        zero_shot = spread(arm.best.zero_shot(arm.targets, metric))
        table.add_row(
            Text(one_line(arm.name)), str(len(arm.best.trials)), source, zero_shot, _gap(comparison, arm, metric)
        )
    for label, row in majority_rows(comparison, metric):
        table.add_row(Text(one_line(label)), NOTHING, percent(row[0]), percent(row[-2]), percent(row[-1]))
    return table


def best_points(comparison: Comparison) -> Table:
    """The parameters of each arm's chosen point, and what its search cost."""
    table = Table.grid(padding=(0, 2))
    for arm in comparison.arms:
        chosen = arm.best or arm.leader
        params = one_line(searched(chosen.params), limit=1000) if chosen else "no COMPLETE point"
        states = (("COMPLETE", "complete"), ("PRUNED", "pruned"), ("FAILED", "failed"), ("RUNNING", "running"))
        counts = ", ".join(f"{n} {word}" for state, word in states if (n := arm.num_searched(state)))
        number, share = trainable(arm)
        trained = f"trains {value_text(number, 'count')} ({value_text(share, 'share')} of the backbone)"
        cost = f"{plural(len(arm.searched), 'search trial')} ({counts or 'none'}), {duration(arm.duration_s('search'))}"
        table.add_row(Text(one_line(arm.name), style="bold"), Text(f"{params}\n{cost}; {trained}"))
    return table


def status_table(
    records: Sequence[tuple[str, SweepRecord | str]], *, running: Collection[str] = frozenset(), options: str = ""
) -> RenderableType:
    """How far sweeps are: one row per sweep, or for a single one, one row per arm.

    Args:
        records: name and record of each sweep; a text in place of a record says why there is none.
        running: names of those that a process is running now, which a journal cannot tell.
        options: what a command needs beside the name to find the sweep, such as ``--root elsewhere``.
    """
    (name, first), *others = records
    if not others and not isinstance(first, str):
        return _one_sweep(name, first, next_step=_next(name, read(first), name in running, options))
    table = plain_table("sweep", "done", "running", "pruned", "failed", "last event", "next")
    for name, record in records:
        if isinstance(record, str):
            table.add_row(Text(name), *[NOTHING] * 5, Text(f"cannot be read: {record}"))
            continue
        next_step = _next(name, read(record), name in running, options)
        counts = Counter(trial.state for trial in record.trials.values())
        states = [str(counts[state]) for state in ("COMPLETE", "RUNNING", "PRUNED", "FAILED")]
        table.add_row(Text(name), *states, _age(record), Text(next_step))
    return table


def _one_sweep(name: str, record: SweepRecord, *, next_step: str) -> RenderableType:
    result = read(record)
    table = plain_table("arm", "points", "done", "running", "pruned", "failed", "final", "best dev", "time")
    for arm in result.arms:
        state = arm.progress
        counts = [str(arm.num_searched(s)) for s in ("COMPLETE", "RUNNING", "PRUNED", "FAILED")]
        final = f"{state.num_final}/{state.num_final_asked}" if state.num_final_asked else NOTHING
        spent = duration(arm.duration_s("search") + arm.duration_s("finalise"))
        points = f"{state.num_points}/{state.num_points_asked}"
        best = arm.best_so_far if arm.leader is None else arm.leader.value
        table.add_row(Text(one_line(arm.name)), points, *counts, final, percent(best), spent)
    lines = [f"last event: {record.last_event_at or 'none'} ({_age(record)})"]
    if result.stopped_by_budget is not None:
        lines.append(f"state:      {result.stopped_by_budget}")
    failed = failed_alike(result)
    for trials in failed[:MAX_REASONS]:
        arm_name, reason = one_line(trials[0].arm), one_line(reason_of(trials[0]), limit=300)
        lines.append(
            f"failed:     {plural(len(trials), 'trial')} of {arm_name}, such as {trials[0].trial_id}: {reason}"
        )
    if len(failed) > MAX_REASONS:
        lines.append(f"            {plural(len(failed) - MAX_REASONS, 'more reason')}: see the report")
    if record.stop_reason is not None and not result.is_finished:
        lines.append(f"stopped:    {one_line(record.stop_reason)}")
    lines.append(f"next:       {next_step}")
    return Group(Text(name, style="bold"), table, Text("\n".join(lines)))


def _next(name: str, result: SweepResult, is_running: bool, options: str) -> str:
    if is_running:
        return "running now"
    command = "report" if result.is_finished else "resume"
    return " ".join(["tunekit", command, name, *([options] if options else [])])


def _age(record: SweepRecord) -> str:
    if not record.last_event_at:
        return NOTHING
    then = datetime.fromisoformat(record.last_event_at)
    seconds = max(0.0, (datetime.now(UTC) - then).total_seconds())
    return f"{duration(seconds)} ago"
