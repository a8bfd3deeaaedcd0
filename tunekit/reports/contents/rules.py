"""How points were drawn, stopped and chosen, in words."""

from __future__ import annotations

from tunekit.markdown import plain
from tunekit.reports.results import SweepResult
from tunekit.sweep import Sweep
from tunekit.wording import names, percent, plural, share


def selection(result: SweepResult) -> str:
    """The selection rule, in Markdown."""
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
    final = _on(finalise.seeds, sweep.final_draws) + _race(result)
    last = (
        f"The best {plural(finalise.top, 'point')} of each arm were then trained on {final};"
        " the one with the highest mean over these is reported, with the scores of these trials only; one that failed"
        " on a seed stands behind those that failed on fewer. Test was scored once a trial, at its best dev epoch, when"
        " its point was finalised, and took no part in any choice."
        if finalise.top
        else "No point was finalised: `finalise: {top: 0}`."
    )
    return (
        f"Objective: {objective}, each trial at its best epoch. {searched} {last} {dev}"
        f" Being the highest of several, the dev score of a chosen point flatters it; {_of_test(sweep)}."
    )


def _of_test(sweep: Sweep) -> str:
    """How far the choice by dev flatters test."""
    again = [seed for seed in sweep.finalise.seeds if seed in sweep.seeds]
    if not again:
        return "its test score does not"
    return (
        f"its test score does so only as far as the runs on {_seeds(tuple(again))}, which the search chose by their dev"
        " score, were lucky on test as well; seeds that are in `finalise` alone are free of that"
    )


def _race(result: SweepResult) -> str:
    """What a race adds to the seeds on which points are trained."""
    finalise = result.sweep.finalise
    race = finalise.race
    if race is None:
        return ""
    return (
        f", and the leader and those that may be better by more than {percent(race.delta, decimals=2)} on further"
        f" seeds, at most {race.max_seeds}, until the chance that another is better by that was below"
        f" {share(1 - race.confidence)}; the winner then ran on {plural(finalise.num_confirming, 'new seed')}"
    )


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {names(seeds)}"


def _on(seeds: tuple[int, ...], draws: tuple[int, ...], seeds_in_words: str | None = None) -> str:
    drawn = f" on each of the {plural(len(draws), 'draw')} {names(draws)} of the data" if len(draws) > 1 else ""
    return (seeds_in_words or _seeds(seeds)) + (drawn or (f" on draw {draws[0]} of the data" if draws else ""))


def searched_with(result: SweepResult) -> str:
    """The searcher and the scheduler, in Markdown."""
    search, scheduler = result.sweep.search, result.sweep.scheduler
    rule = "no early stopping"
    if scheduler.name == "median":
        trials = plural(scheduler.min_trials, "trial")
        rule = f"early stopping by `median` (from epoch {scheduler.grace_period}, {trials})"
    elif scheduler.name != "none":
        factor = scheduler.reduction_factor
        rule = f"early stopping by `{scheduler.name}` (from epoch {scheduler.grace_period}, one in {factor} goes on)"
    return f"Searcher `{search.searcher}` (seed {search.seed}), {result.sweep.points_in_words()}; {rule}."
