"""``report.md``: what was found, how it was chosen, what it cost, and how to do it again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from tunekit import languages
from tunekit.markdown import plain
from tunekit.reports.caveats import caveats
from tunekit.reports.files import save
from tunekit.reports.published import ScoreTable, score_tables
from tunekit.reports.render import groups, sections
from tunekit.reports.render.formats import metric_name
from tunekit.reports.render.published_rows import footnotes
from tunekit.reports.results import Comparison, SweepResult
from tunekit.storage import AnyPath
from tunekit.sweep.types import Sweep
from tunekit.wording import names, parameters, plural


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``report.md`` into `out`."""
    return [save(out / "report.md", render(result))]


def render(result: SweepResult) -> str:
    """The whole report as Markdown that also reads well as plain text."""
    parts = [
        f"# Sweep {plain(result.sweep.name)}",
        _opening(result),
        *_caveats(result),
        "## How the reported points were chosen",
        selection(result),
    ]
    for comparison in result.comparisons:
        parts += _comparison(result, comparison)
    parts += ["## The search, arm by arm", _searched_with(result), *_arms(result)]
    parts += ["## Trials that did not complete", *_incomplete(result)]
    parts += ["## Doing it again", *_reproduction(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(result: SweepResult) -> str:
    record = result.record
    trials = record.trials.values()
    state = "Finished" if result.is_finished else "**Unfinished**"
    scored = sum(trial.test_scores is not None for trial in trials)
    protocol = result.sweep.protocol
    return (
        f"{state}; {plural(len(result.arms), 'arm')}, {plural(len(trials), 'trial')}, {scored} of them scored on test."
        + (f" Protocol: **{protocol}**." if protocol else "")
        + f" Launched {record.launched_at or 'never'}, last event {record.last_event_at or 'none'} (UTC)."
        " Scores are × 100, everywhere in this file; `results.csv` holds them as fractions."
    )


def _caveats(result: SweepResult) -> list[str]:
    found = caveats(result)
    return ["## Before you quote a number", "\n".join(f"- {text}" for text in found)] if found else []


def selection(result: SweepResult) -> str:
    """The selection rule in words."""
    sweep, finalise = result.sweep, result.sweep.finalise
    sources = names(dict.fromkeys(plain(arm.source) for arm in result.arms))
    if result.is_target_dev:
        objective = "**the mean dev score over the TARGET languages** (`selection: target_dev`)"
        dev = "Dev of every target language was read during the search; this is not zero-shot model selection."
    else:
        objective = f"the dev score in the source language ({sources})"
        dev = f"Dev in {sources} is the only dev that was read; the target languages were seen on test alone."
    searched = f"A point's score in the search is its mean over {_on(sweep.seeds, sweep.draws)}."
    if len(sweep.seeds) == 1 and len(sweep.draws) < 2:
        searched = f"In the search each point ran on {_on(sweep.seeds, sweep.draws)} alone."
    if any(arm.arm.searches_seed for arm in result.arms):
        searched = f"In the search each point ran on {_on((), sweep.draws, 'the seed that it drew')}."
    final = _on(finalise.seeds, sweep.final_draws)
    last = (
        f"The best {plural(finalise.top, 'point')} of each arm were then trained on {final};"
        " the one with the highest mean over these is reported, with the scores of these trials only. Test was scored"
        " once a trial, at its best dev epoch, when its point was finalised, and took no part in any choice."
        if finalise.top
        else "No point was finalised: `finalise: {top: 0}`."
    )
    return (
        f"Objective: {objective}, each trial at its best epoch. {searched} {last} {dev}"
        " Being the highest of several, the dev score of a chosen point flatters it; its test score does not."
    )


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {names(seeds)}"


def _on(seeds: tuple[int, ...], draws: tuple[int, ...], seeds_in_words: str | None = None) -> str:
    drawn = f" on each of the {plural(len(draws), 'draw')} {names(draws)} of the data" if len(draws) > 1 else ""
    return (seeds_in_words or _seeds(seeds)) + (drawn or (f" on draw {draws[0]} of the data" if draws else ""))


def _comparison(result: SweepResult, comparison: Comparison) -> Iterator[str]:
    loud = ", selected on TARGET dev" if result.is_target_dev else ""
    if result.sweep.protocol is not None:
        loud += f" (protocol: {result.sweep.protocol})"
    metric = metric_name(comparison.metric)
    has_final = any(arm.best is not None for arm in comparison.arms)
    yield f"## {plain(comparison.task)}: " + (f"test {metric}{loud}" if has_final else f"dev {metric}, not test{loud}")
    main, *beside = score_tables(comparison, result.sweep.references)
    if has_final:
        yield sections.transfer(comparison, main)
        unit = "trials (seeds × draws of the data)" if any(arm.has_draws for arm in comparison.arms) else "seeds"
        yield (
            f"Mean ± sample standard deviation (n - 1) over n {unit}. zero_shot: the mean over the target languages,"
            f" taken for each {unit[:-1] if unit == 'seeds' else 'trial'}, then over them. transfer_gap: source minus"
            " zero_shot, likewise. majority: train's most frequent label everywhere (of equally frequent ones the"
            " mean; for entities: none found)."
        )
        yield from _spread(comparison)
        yield _footnotes(comparison, main)
        yield sections.above_majority(comparison)
        for table in beside:
            yield f"The same points by test {metric_name(table.metric)}, which selected nothing:"
            yield sections.transfer(comparison, table)
            yield _footnotes(comparison, table)
        yield "The points in these tables:" if beside else "The points in this table:"
        yield sections.best_points(comparison)
    if any(arm.best is None for arm in comparison.arms):
        why = "dev, not test; no point finalised" if result.is_finished else "dev, not test; sweep unfinished"
        yield f"Best point of each arm's search ({why}):"
        yield sections.dev_scores(comparison)
    if main.published and not has_final:
        yield "Published figures stand beside test scores, which are not there yet; `references.csv` holds them."
    yield from _by_language(comparison)
    yield "### Budget and size"
    yield sections.budget(comparison)
    yield (
        "Trials, time and updates are of the search, stopped and failed trials included; final trials are the"
        " replicates that only finalising asked for. Time is training and dev evaluation in whole epochs, summed over"
        " trials. Trainable: of the reported point, head included."
    )
    yield sections.spending(comparison, result.sweep.budget)
    yield (
        "Hours of workers as trials reported them (epochs and test; loading and idle workers are not in them), for the"
        " search, finalising and test together; GPU-hours count the GPUs of a trial. Each arm has an equal share of the"
        " budget, and what one arm leaves no other gets."
    )
    yield "### Data"
    yield sections.data(comparison)


def _spread(comparison: Comparison) -> Iterator[str]:
    """Where the spread comes from, if the data was drawn several times."""
    if not any(arm.has_draws for arm in comparison.arms):
        return
    yield "Where that spread comes from:"
    yield sections.spread_parts(comparison)
    yield (
        "Standard deviations between seeds, between draws, and of what neither explains (crossed random effects,"
        " estimated by the analysis of variance; what would be negative is 0). All n trials of an arm share the few"
        " draws, so that the standard error of the mean is not std / √n but the one given here."
    )


def _by_language(comparison: Comparison) -> Iterator[str]:
    """How the scores go with what is known of the languages."""
    by_groups = groups.by_groups(comparison)
    if by_groups:
        yield "### By resource class and script"
        yield from by_groups
        yield f"Means over the target languages of a group, each as zero_shot is; {languages.SOURCE}."
    tokens = groups.tokens(comparison)
    if tokens:
        yield "### Tokens a word"
        yield tokens
        yield (
            "Tokens of the whole test texts, without special ones, and test scores. Words are those that the data give;"
            " of pairs, what white space parts, and where a language does not part its words, tokens a character."
        )
        yield groups.finer(comparison)


def _footnotes(comparison: Comparison, table: ScoreTable) -> str:
    if not table.published:
        return ""
    rows = zip(table.published, footnotes(comparison, table), strict=True)
    notes = [f"- [{number}] {plain(row.name)}: {note}" for number, (row, note) in enumerate(rows, start=1)]
    head = (
        "Rows marked published are not of this sweep: others' figures, as they were published, with other settings and"
        " budgets. They take part in no choice, rank or mean of ours; zero_shot is their mean over the target languages"
        " of this table, where all of them are there."
    )
    return "\n".join([head, "", *notes])


def _searched_with(result: SweepResult) -> str:
    search, scheduler = result.sweep.search, result.sweep.scheduler
    rule = "no early stopping"
    if scheduler.name == "median":
        rule = f"early stopping by `median` (from epoch {scheduler.grace_period}, {scheduler.min_trials} trials)"
    elif scheduler.name != "none":
        factor = scheduler.reduction_factor
        rule = f"early stopping by `{scheduler.name}` (from epoch {scheduler.grace_period}, one in {factor} goes on)"
    return f"Searcher `{search.searcher}` (seed {search.seed}), {result.sweep.points_in_words()}; {rule}."


def _arms(result: SweepResult) -> Iterator[str]:
    for arm in result.arms:
        yield f"### {plain(arm.name)}"
        if arm.arm.fixed:
            yield f"Fixed: {plain(parameters(arm.arm.fixed))}."
        yield sections.space(arm) if arm.arm.space else "Nothing was searched."
        if arm.leader is not None:
            yield f"The {sections.NUM_TOP} best points by dev (←: reported):" if arm.best else "The best points by dev:"
            yield sections.top(arm)
            yield sections.drawn_again(arm)
        elif not arm.trials:
            yield "No trial has been run."
        else:
            yield "No point is COMPLETE."


def _incomplete(result: SweepResult) -> Iterator[str]:
    lines = list(sections.stopped(result))
    if lines:
        yield "\n".join(f"- {line}" for line in lines)
    failed = sections.failures(result)
    retried = [trial for trial in result.record.trials.values() if trial.earlier_failures]
    if retried:
        reasons = dict.fromkeys(reason for trial in retried for reason in trial.earlier_failures)
        why = "; ".join(plain(reason) for reason in list(reasons)[:3])
        yield f"{plural(len(retried), 'trial')} had FAILED and were taken up again. Why they had: {why}."
    running = [trial for trial in result.record.trials.values() if trial.state == "RUNNING"]
    if running:
        yield f"{plural(len(running), 'trial')} RUNNING, or waiting to go on from the last checkpoint."
    yield failed or "No trial FAILED."


def _reproduction(result: SweepResult) -> Iterator[str]:
    record, sweep = result.record, result.sweep
    interruptions = sum(trial.num_interruptions for trial in record.trials.values())
    draws = dict.fromkeys((*sweep.draws, *sweep.final_draws))
    resumed = plural(max(0, record.num_launches - 1), "time")
    file = f"{sweep.name}.yaml"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items()) or "not recorded"
    yield "\n".join(
        [
            f"- The sweep: save the block below as `{file}`, then `tunekit sweep {file}`.",
            "- The best trial of an arm: `tunekit trial best_config.<arm>.yaml`.",
            f"- This report: `tunekit report {sweep.name}`.",
            *_where_published_figures_are(sweep),
            f"- Seeds: search {names(sweep.seeds)}; final {names(sweep.finalise.seeds)}; searcher {sweep.search.seed}.",
            *([f"- Draws of the data: {names(draws)}."] if draws else []),
            f"- Versions (of the last launch): {versions}.",
            f"- Resumed {resumed}; {plural(interruptions, 'trial interruption')}"
            " (an interrupted trial goes on after its last whole epoch).",
        ]
    )
    definition = _definition_yaml(result)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", definition)), default=0))
    yield f"{fence}yaml\n{definition}{fence}"


def _where_published_figures_are(sweep: Sweep) -> list[str]:
    if not sweep.references:
        return []
    return ["- The published figures: `references.csv`, which the key `references` of a sweep file may name."]


def _definition_yaml(result: SweepResult) -> str:
    content = dict(result.sweep.definition)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
