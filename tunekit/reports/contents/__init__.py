"""What a report says, in its order, before it has a format: every format is made from :func:`sections`."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.markdown import plain
from tunekit.reports.analysis import Section as Analysed
from tunekit.reports.analysis import analyse
from tunekit.reports.caveats import caveats
from tunekit.reports.contents import comparisons, environment, failures, points, repeating, rules, winners
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.tables import Section, Table, named_apart
from tunekit.wording import parameters, plural

MOST_ROWS = 60
"""On a page."""
MOST_IN_A_SENTENCE = 5000
"""Characters; what is longer is cut."""


def sections(result: SweepResult) -> tuple[Section, ...]:
    """All of it: the first has the sweep's name, those without content are left out. Made once of a result."""
    return result.once("sections", lambda: tuple(section for section in _sections(result) if section.parts))


def tables(result: SweepResult) -> list[Table]:
    """Every table in it, each by a name of its own."""
    return named_apart(table for section in sections(result) for table in section.tables)


def _sections(result: SweepResult) -> Iterator[Section]:
    yield Section(key="top", title=f"Sweep {result.sweep.name}", parts=tuple(_opening(result)), level=1)
    found = "\n".join(f"- {text}" for text in caveats(result))
    yield Section(key="caveats", title="Before you quote a number", parts=(found,) if found else ())
    yield Section(key="selection", title="How the reported points were chosen", parts=(rules.selection(result),))
    yield winners.section(result)
    for comparison in result.comparisons:
        yield from comparisons.sections(result, comparison)
    yield _analysis("across", analyse(result).across)
    yield _analysis("errors", analyse(result).errors)
    yield Section(key="search", title="The search, arm by arm", parts=(rules.searched_with(result),))
    yield from map(_arm, result.arms)
    yield Section(key="failures", title="Trials that did not complete", parts=tuple(_incomplete(result)))
    yield Section(key="environment", title="What it ran on", parts=tuple(environment.environment(result)))
    yield Section(key="again", title="Doing it again", parts=repeating.reproduction(result))


def _opening(result: SweepResult) -> Iterator[str]:
    doubt = winners.not_told(result)
    if doubt:
        yield doubt
    record = result.record
    trials = record.trials.values()
    state = "Finished" if result.is_finished else "**Unfinished**"
    scored = sum(trial.test_scores is not None for trial in trials)
    protocol = result.sweep.protocol
    yield (
        f"{state}; {plural(len(result.arms), 'arm')}, {plural(len(trials), 'trial')}, {scored} of them scored on test."
        + (f" Protocol: **{protocol}**." if protocol else "")
        + f" Launched {record.launched_at or 'never'}, last event {record.last_event_at or 'none'} (UTC)."
        " Scores are × 100, everywhere in this file; `results.csv` holds them as fractions."
    )


def _analysis(key: str, found: Analysed) -> Section:
    """A section of the analysis; tables that are longer than a page stand in files."""
    parts: list[str | Table] = []
    for table in found.tables:
        parts += [f"{plain(table.title)}:", table] if len(table.rows) <= MOST_ROWS else []
    files = tuple(table for table in found.tables if len(table.rows) > MOST_ROWS)
    lines = [f"{plain(table.title)}: `tables/{table.name}.csv`." for table in files]
    lines += [plain(note, limit=MOST_IN_A_SENTENCE) for note in dict.fromkeys(found.notes)]
    if lines:
        parts.append("\n".join(f"- {line}" for line in lines))
    return Section(key=key, title=found.title, parts=tuple(parts), files=files)


def _arm(arm: ArmResult) -> Section:
    parts: list[str | Table] = [f"Fixed: {plain(parameters(arm.arm.fixed))}."] if arm.arm.fixed else []
    parts.append(points.space(arm) if arm.arm.space else "Nothing was searched.")
    if arm.leader is not None:
        reported = f"The {points.NUM_TOP} best points by dev ({points.REPORTED}: reported):"
        parts += [reported if arm.best else "The best points by dev:", points.top(arm)]
    else:
        parts.append("No point is COMPLETE." if arm.trials else "No trial has been run.")
    return Section(key=f"arm-{arm.name}", title=arm.name, parts=tuple(parts), level=3)


def _incomplete(result: SweepResult) -> Iterator[str | Table]:
    lines = list(failures.stopped(result))
    if lines:
        yield "\n".join(f"- {line}" for line in lines)
    retried = [trial for trial in result.record.trials.values() if trial.earlier_failures]
    if retried:
        reasons = dict.fromkeys(reason for trial in retried for reason in trial.earlier_failures)
        why = "; ".join(plain(reason) for reason in list(reasons)[:3])
        yield f"{plural(len(retried), 'trial')} had FAILED and were taken up again. Why they had: {why}."
    running = [trial for trial in result.record.trials.values() if trial.state == "RUNNING"]
    if running:
        yield f"{plural(len(running), 'trial')} RUNNING, or waiting to go on from the last checkpoint."
    yield failures.failures(result) or "No trial FAILED."
