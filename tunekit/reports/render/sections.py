"""The tables of ``report.md``, one function each; :mod:`tunekit.reports.markdown` puts them in order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tunekit.journal import TrialRecord
from tunekit.markdown import code, plain
from tunekit.reports.published import ScoreTable
from tunekit.reports.render.best_config import file_name
from tunekit.reports.render.formats import markdown_table, searched, spread
from tunekit.reports.render.published_rows import published_rows
from tunekit.reports.results import ArmResult, Comparison, SweepResult
from tunekit.reports.scores import Spread, mean_score
from tunekit.reports.variance import components
from tunekit.sweep import BudgetConfig
from tunekit.trial import Replicate
from tunekit.wording import NOTHING, count, duration, names, parameter, percent, plural, share

SPLITS = ("train", "dev", "test")
NUM_TOP = 5
"""Points an arm that the report lists."""


def transfer(comparison: Comparison, table: ScoreTable) -> str:
    """Arms × languages on test: mean ± std over trials, zero-shot mean, transfer gap; then majority, then published."""
    languages, metric = comparison.languages, table.metric
    header = [
        "arm",
        "n",
        f"{plain(comparison.source)} (source)",
        *map(plain, languages[1:]),
        "zero_shot",
        "transfer_gap",
    ]
    rows = []
    for arm in comparison.arms:
        best = arm.best
        if best is None:
            rows.append([plain(arm.name), "0", *[NOTHING] * (len(languages) + 2)])
            continue
        scores = [spread(best.score(language, metric)) for language in languages]
        zero_shot = best.zero_shot(arm.targets, metric)
        gap = best.transfer_gap(comparison.source, arm.targets, metric)
        rows.append([plain(arm.name), str(len(best.trials)), *scores, spread(zero_shot), spread(gap)])
    rows += [[label, NOTHING, *map(percent, values)] for label, values in majority_rows(comparison, metric)]
    rows += published_rows(comparison, table)
    return markdown_table(header, rows)


def spread_parts(comparison: Comparison) -> str:
    """The spread of the source's score and of zero_shot, split into seed and draw."""
    header = ["arm", "score", "n", "mean", "std", "seeds", "draws", "rest", "draws' share", "standard error"]
    rows = []
    for arm in comparison.arms:
        for label, scores in _scores_by_trial(arm) if arm.best is not None else ():
            values, found = Spread.of(scores.values()), components(scores)
            if values is None:
                continue
            parts = [NOTHING] * 5
            if found is not None:
                numbers = (found.seed, found.draw, found.rest)
                part = NOTHING if found.draw_share is None else share(found.draw_share)
                parts = [*map(percent, numbers), part, percent(found.standard_error)]
            rows.append([plain(arm.name), label, str(values.n), percent(values.mean), percent(values.std), *parts])
    return markdown_table(header, rows, texts=["score"])


def _scores_by_trial(arm: ArmResult) -> Iterator[tuple[str, dict[Replicate, float]]]:
    """The source's score and the zero-shot mean of each reported trial."""
    assert arm.best is not None
    for label, languages in ((plain(arm.source), (arm.source,)), ("zero_shot", arm.targets)):
        found = {trial.replicate: mean_score(trial, languages, arm.metric) for trial in arm.best.trials}
        yield label, {replicate: score for replicate, score in found.items() if score is not None}


def majority_rows(comparison: Comparison, metric: str) -> list[tuple[str, list[float | None]]]:
    """The majority baseline in every column; one row for all arms if they were scored on the same test sets."""
    found: dict[tuple[float | None, ...], list[str]] = {}
    for arm in comparison.arms:
        if arm.best is None or not any(trial.baselines for trial in arm.best.trials):
            continue
        floors = {language: arm.best.majority(language, metric) for language in comparison.languages}
        zero_shot = Spread.of(floors[language] for language in arm.targets)
        source, mean = floors[comparison.source], zero_shot.mean if zero_shot else None
        gap = source - mean if source is not None and mean is not None else None
        found.setdefault((*floors.values(), mean, gap), []).append(arm.name)
    label = "majority" if len(found) == 1 else "majority ({})"
    return [(label.format(plain(", ".join(arms))), list(values)) for values, arms in found.items()]


def above_majority(comparison: Comparison) -> str:
    """Which arms beat the majority baseline in every language that they were scored in; empty if none does."""
    above = [plain(arm.name) for arm in comparison.arms if _is_above_majority(arm, comparison.metric)]
    return f"Above majority in every language: {names(above)}." if above else ""


def _is_above_majority(arm: ArmResult, metric: str) -> bool:
    best = arm.best
    if best is None:
        return False
    pairs = [(best.score(lang, metric), best.majority(lang, metric)) for lang in (arm.source, *arm.targets)]
    return all(score is not None and floor is not None and score.mean > floor for score, floor in pairs)


def dev_scores(comparison: Comparison) -> str:
    """The best point of the search by dev, for the arms that have no finalised point."""
    rows = []
    for arm in (arm for arm in comparison.arms if arm.best is None):
        leader = arm.leader
        if leader is None:
            best = f"; best so far {percent(arm.best_so_far)}" if arm.best_so_far is not None else ""
            rows.append([plain(arm.name), NOTHING, "0", NOTHING, NOTHING, f"no COMPLETE point{best}"])
            continue
        floor = _dev_majority(arm)
        values = Spread.of(leader.counted)
        seeds = str(values.n) if values else "0"
        rows.append(
            [plain(arm.name), str(leader.number), seeds, spread(values), percent(floor), plain(searched(leader.params))]
        )
    return markdown_table(["arm", "point", "n", "dev", "majority", "params"], rows, texts=["params"])


def _dev_majority(arm: ArmResult) -> float | None:
    return arm.facts.majority.get(f"dev/{arm.source}/{arm.metric}") if arm.facts else None


def budget(comparison: Comparison) -> str:
    """What each arm spent, and how much it trains."""
    header = [
        "arm", "points", "trials", "COMPLETE", "PRUNED", "FAILED", "RUNNING", "time", "updates", "final trials",
        "final time", "trainable", "of backbone",
    ]  # fmt: skip
    rows = []
    for arm in comparison.arms:
        finals = [trial for trial in arm.trials if trial.phase == "finalise"]
        states = [arm.num_searched(state) for state in ("COMPLETE", "PRUNED", "FAILED", "RUNNING")]
        rows.append(
            [
                plain(arm.name),
                f"{arm.progress.num_points} of {arm.progress.num_points_asked}",
                count(len(arm.searched)),
                *map(count, states),
                duration(arm.duration_s("search")),
                count(arm.num_updates("search")),
                count(len(finals)),
                duration(arm.duration_s("finalise")),
                *trainable(arm),
            ]
        )
    return markdown_table(header, rows)


def spending(comparison: Comparison, prices: BudgetConfig) -> str:
    """What each arm has used of its share: hours of workers, GPU-hours and money, where they are limited or known."""
    header = ["arm", "hours", "GPU-hours", "money", "search", "finalising", "test", "of its share"]
    rows = []
    for arm in comparison.arms:
        spent, parts = arm.record.spent_in_all, arm.record.spent
        money = prices.price(spent)
        rows.append(
            [
                plain(arm.name),
                f"{spent.worker_s / 3600:.2f}",
                f"{spent.gpu_s / 3600:.2f}" if spent.gpu_s else NOTHING,
                f"{money:,.2f}" if money else NOTHING,
                *(duration(parts[phase].worker_s) for phase in ("search", "finalise", "test")),
                "; ".join(map(str, arm.limits)) or "no limit",
            ]
        )
    return markdown_table(header, rows, texts=["of its share"])


def trainable(arm: ArmResult) -> tuple[str, str]:
    """Trained parameters of the reported point, and their share of the backbone's."""
    facts = arm.facts
    if facts is None or not facts.num_backbone_parameters:
        return NOTHING, NOTHING
    number, whole = facts.num_trainable_parameters, facts.num_backbone_parameters
    return count(number), share(number / whole)


def best_points(comparison: Comparison) -> str:
    """Which point each arm's row shows, how it was trained, and where it came from."""
    rows = []
    for arm in comparison.arms:
        if arm.best is not None:
            trials = ", ".join(f"{trial.replicate}: {code(trial.trial_id)}" for trial in arm.best.trials)
            best_epochs = ", ".join(str(trial.outcome.best_epoch) for trial in arm.best.trials if trial.outcome)
            epochs = f"{best_epochs} of {arm.best.trials[0].config['training']['epochs']}"
            row = [
                plain(arm.name),
                str(arm.best.number),
                spread(arm.best.dev),
                plain(searched(arm.best.params)),
                epochs,
                trials,
            ]
            rows.append([*row, code(file_name(arm.name))])
    header = ["arm", "point", "dev", "params", "best epochs", "seed: trial", "file"]
    return markdown_table(header, rows, texts=["params", "best epochs", "seed: trial", "file"])


def data(comparison: Comparison) -> str:
    """What each arm read."""
    header = ["arm", "method", "backbone", "train examples", "rows", "cut", "shots", "samples", "data"]
    rows = []
    for arm in comparison.arms:
        facts, task = arm.facts, arm.task
        limits = [f"{split} ≤ {count(n)}" for split in SPLITS if (n := getattr(task, f"max_{split}_examples"))]
        seeded = [f"sample_seed {task.sample_seed}"] if limits or task.shots else []
        draws = sorted({t.draw for t in arm.best.trials if t.draw is not None}) if arm.best else []
        seeded += [f"draws {', '.join(map(str, draws))}"] if draws else []
        sizes = (facts.num_train_examples, facts.num_train_rows, facts.num_train_truncated) if facts else (None,) * 3
        numbers = [count(size) for size in sizes]
        read = [count(task.shots), ", ".join(limits + seeded) or "whole splits"]
        prints = sorted({found for facts in arm.all_facts if (found := facts.data_fingerprint)})
        finer = [f"{language} split {each.split:g}" for language, each in (arm.arm.backbone.segmentation or {}).items()]
        backbone = ", ".join([code(arm.arm.backbone.name), *map(plain, finer)])
        what = [plain(arm.name), code(arm.arm.method), backbone]
        rows.append([*what, *numbers, *read, names(map(code, prints)) or NOTHING])
    return markdown_table(header, rows, texts=["method", "backbone", "samples", "data"])


def space(arm: ArmResult) -> str:
    """What was searched and what the reported point has."""
    chosen = arm.best or arm.leader
    rows = []
    for dimension in arm.arm.space:
        value = NOTHING
        if chosen is not None and dimension.name in chosen.params:
            value = parameter(chosen.params[dimension.name])
        rows.append([code(dimension.name), plain(dimension), plain(value)])
    return markdown_table(["parameter", "searched", "best"], rows, texts=["searched", "best"])


def top(arm: ArmResult) -> str:
    """The best points of the search by dev, and what finalising made of them."""
    finals = {final.number: final for final in arm.tested}
    rows = []
    for point in arm.record.top(NUM_TOP):
        values = Spread.of(point.counted)
        final = finals.get(point.number)
        final_dev = f"{spread(final.dev)} (n = {final.dev.n})" if final else NOTHING
        number = f"{point.number} ←" if final is not None and final is arm.best else str(point.number)
        search_dev = [spread(values), str(values.n if values else 0)]
        rows.append([number, *search_dev, final_dev, plain(searched(point.params))])
    return markdown_table(["point", "search dev", "n", "final dev", "params"], rows, texts=["params"])


def drawn_again(arm: ArmResult) -> str:
    """Which of the best points were drawn several times, and what their scores are then; empty if none was."""
    again = [point for point in arm.record.top(NUM_TOP) if point.num_draws > 1]
    if not again:
        return ""
    drawn = names(f"point {point.number} {point.num_draws} times" for point in again)
    states = Counter(trial.state for point in again for trial in point.trials if trial.state != "COMPLETE")
    others = names(f"{number} {state}" for state, number in states.items())
    apart = f" ({others}: those that ended early count what they had reached)" if others else ""
    return f"Drawn again, each time on another seed: {drawn}. Their search dev is the mean over all n trials{apart}."


def stopped(result: SweepResult) -> Iterator[str]:
    """A line for each arm with PRUNED trials: how many, after which epoch."""
    for arm in result.arms:
        pruned = [trial for trial in arm.trials if trial.state == "PRUNED"]
        if pruned:
            epochs = Counter(len(trial.reports) for trial in pruned)
            after = ", ".join(f"{number} after epoch {epoch}" for epoch, number in sorted(epochs.items()))
            by = code(result.sweep.scheduler.name)
            yield f"{plain(arm.name)}: {plural(len(pruned), 'trial')} PRUNED by {by} ({after})."


def failures(result: SweepResult) -> str | None:
    """Failed trials grouped by reason; None if there are none."""
    rows = []
    for trials in failed_alike(result):
        first = trials[0]
        shown = [plain(reason_of(first)), _phases(trials), code(first.trial_id), plain(searched(first.params))]
        rows.append([plain(first.arm), str(len(trials)), *shown])
    header = ["arm", "trials", "reason (of the first)", "phase", "first", "its params"]
    return markdown_table(header, rows, texts=header[2:]) if rows else None


def failed_alike(result: SweepResult) -> list[list[TrialRecord]]:
    """Failed trials by arm and reason, the most frequent first. Reasons that differ only in numbers are one."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for arm in result.arms:
        for trial in arm.trials:
            if trial.state == "FAILED":
                groups.setdefault((arm.name, re.sub(r"\d[\d.e+-]*", "#", reason_of(trial))), []).append(trial)
    return sorted(groups.values(), key=len, reverse=True)


def reason_of(trial: TrialRecord) -> str:
    """Why it failed."""
    return (trial.outcome.reason if trial.outcome else None) or "no reason given"


def _phases(trials: list[TrialRecord]) -> str:
    return names(f"{number} {phase}" for phase, number in Counter(trial.phase for trial in trials).items())
