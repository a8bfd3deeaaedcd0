"""What a reader must know before quoting a table: everything that makes its numbers fewer, softer or not comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tunekit.markdown import code, plain
from tunekit.reports.best import SAMPLE_KEYS
from tunekit.reports.budgets import unequal_budgets
from tunekit.reports.differences import different_data, different_drivers, different_machines
from tunekit.reports.results import ArmResult, Comparison, SweepResult
from tunekit.wording import count, names, one_line, percent, plural

SPLITS = ("train", "dev", "test")
MOST_LABELS = 5
"""Labels that are named; the rest is counted."""


def caveats(result: SweepResult) -> list[str]:
    """One Markdown sentence or two for each reservation, the gravest first; none if there is nothing to say."""
    return [*caveats_of_selection(result), *caveats_of_sweep(result), *caveats_of_tables(result.comparisons)]


def caveats_of_sweep(result: SweepResult) -> list[str]:
    """Those that concern a sweep as a whole, its selection rule left out."""
    return [
        *_stopped(result),
        *_unfinished(result),
        *_extended(result),
        *_without_result(result),
        *different_drivers(result),
    ]


def caveats_of_tables(comparisons: Sequence[Comparison]) -> list[str]:
    """Those that concern rows of tables, whichever sweeps they come from."""
    about_a_table: tuple[Callable[[Comparison], Iterable[str]], ...] = (
        _missing_seeds, _unequal_budgets, _different_tests, _unseen_labels, _below_majority, different_data,
        _cut_pairs, different_machines, _samples,
    )  # fmt: skip
    tasks: dict[str, list[str]] = {}
    for about in about_a_table:
        for comparison in comparisons:
            for text in about(comparison):
                tasks.setdefault(text, []).append(plain(comparison.task))
    several = len(comparisons) > 1
    return [f"{', '.join(where)}: {text}" if several else text for text, where in tasks.items()]


def caveats_of_selection(result: SweepResult) -> Iterator[str]:
    """What its selection rule does to scores."""
    if result.is_target_dev:
        yield (
            "**Selected on TARGET-language dev.** Labelled data of the target languages chose the hyperparameters, the"
            " epoch and the point, so no score here is zero-shot in earnest. Do not set them beside tables selected on"
            " source dev."
        )


def _stopped(result: SweepResult) -> Iterator[str]:
    if result.stopped_by_budget is None:
        return
    parts = []
    for arm in result.arms:
        state = arm.progress
        if state.lacks_budget:
            cut = [f"{state.num_points} of {state.num_points_asked} points"]
            cut += [f"{plural(state.num_paused, 'trial')} interrupted"] if state.num_paused else []
            cut += [f"{plural(state.num_final_cut, 'final trial')} not scored"] if state.num_final_cut else []
            parts.append(f"{plain(arm.name)} {', '.join(cut)}")
    text = result.stopped_by_budget
    yield f"**{text[0].upper()}{text[1:]}** ({'; '.join(parts)}). With a larger one the same command goes on."


def _unfinished(result: SweepResult) -> Iterator[str]:
    if result.is_finished:
        if result.sweep.finalise.top == 0:
            yield "**Dev, not test.** The sweep finalises no point (`finalise: {top: 0}`), so test was never scored."
        return
    parts = []
    for arm in result.arms:
        state = arm.progress
        final = f", {state.num_final} of {state.num_final_asked} final trials" if state.num_final_asked else ""
        parts.append(f"{plain(arm.name)} {state.num_points} of {state.num_points_asked} points{final}")
    stopped = result.record.stop_reason
    why = f" It was stopped: {plain(one_line(stopped, limit=300))}." if stopped is not None else ""
    yield f"**The sweep is unfinished** ({'; '.join(parts)}): best points and scores may still change.{why}"


def _extended(result: SweepResult) -> Iterator[str]:
    phases = [trial.phase for trial in result.record.trials.values()]  # in the order of creation, whatever clocks said
    late = [phase for phase in phases[phases.index("finalise") :] if phase == "search"] if "finalise" in phases else []
    if late:
        yield (
            f"The search was extended after test had been scored ({plural(len(late), 'search trial')} later). No choice"
            " here reads test, but whoever extended it may have."
        )


def _without_result(result: SweepResult) -> Iterator[str]:
    for arm in result.arms:
        if arm.best is None and arm.leader is None and arm.trials:
            failed = arm.num_searched("FAILED")
            ended = f"{failed} of {plural(len(arm.searched), 'search trial')} FAILED"
            yield f"**{plain(arm.name)} has no result**: none of its points is COMPLETE ({ended})."


def _missing_seeds(comparison: Comparison) -> Iterator[str]:
    for arm in comparison.arms:
        if arm.best is not None and arm.best.missing:
            wanted = len(arm.best.trials) + len(arm.best.missing)
            reasons = {key: plain(one_line(reason, limit=120)) for key, reason in arm.best.missing.items()}
            why = "; ".join(f"seed {replicate}: {reason}" for replicate, reason in reasons.items())
            lost, num = ("trials" if arm.has_draws else "seeds"), len(arm.best.trials)
            yield f"**Missing {lost}**: {plain(arm.name)} has n = {num} of {wanted} ({why})."
        others = [final for final in arm.tested if final.missing and final is not arm.best]
        if others:
            found = names(f"{final.number} (n = {len(final.trials)})" for final in others)
            yield f"{plain(arm.name)}: seeds are also missing in finalised points that are not reported: {found}."


def _unequal_budgets(comparison: Comparison) -> Iterator[str]:
    unequal = [
        f"{budget.title} {', '.join(f'{plain(name)} {budget.written(name)}' for name in budget.known)}"
        + (f" ({budget.factor:.1f} ×)" if budget.factor is not None else "")
        for budget in unequal_budgets(comparison)
    ]
    if unequal:
        yield f"**Unequal budgets**: {'; '.join(unequal)}."


def _different_tests(comparison: Comparison) -> Iterator[str]:
    targets = {plain(arm.name): ", ".join(map(plain, arm.targets)) or "none" for arm in comparison.arms}
    if len(set(targets.values())) > 1:
        yield f"**Different target languages**, so zero-shot means are not comparable: {by_value(targets)}."
    tests = {plain(arm.name): ", ".join(f"{k} {getattr(arm.task, k)}" for k in SAMPLE_KEYS) for arm in comparison.arms}
    sampled = any(arm.task.max_test_examples for arm in comparison.arms)
    if sampled and len(set(tests.values())) > 1:
        yield f"**Different test samples**: {by_value(tests)}."


def by_value(values: Mapping[str, object]) -> str:
    """``a, b: x; c: y`` for arms a and b with x, and c with y."""
    groups: dict[object, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return "; ".join(f"{', '.join(arms)}: {value}" for value, arms in groups.items())


def _unseen_labels(comparison: Comparison) -> Iterator[str]:
    """Words (or pairs) of test whose label train lacks; said once for arms in which they are the same."""
    found: dict[str, list[str]] = {}
    for arm in comparison.arms:
        text = _unseen_of(arm)
        if text:
            found.setdefault(text, []).append(arm.name)
    for text, arms in found.items():
        where = "" if len(arms) == len(comparison.arms) else f"{names(arms)}: "
        yield f"{where}**Test has labels that train lacks**: {text}. Nothing could learn them, so they count as errors."


def _unseen_of(arm: ArmResult) -> str:
    trial = next((trial for final in arm.tested for trial in final.trials if trial.unseen_test_labels), None)
    if trial is None:
        return ""
    unit = "pairs" if trial.num_test_labels == trial.num_test_examples else "words"
    parts = []
    for language, labels in trial.unseen_test_labels.items():
        often = sorted(labels, key=lambda label: (-labels[label], label))
        shown = [*map(code, often[:MOST_LABELS])] + [f"{len(often) - MOST_LABELS} more"] * (len(often) > MOST_LABELS)
        whole = trial.num_test_labels.get(language, 0)
        parts.append(f"{language} {count(sum(labels.values()))} of {count(whole)} {unit} ({names(shown)})")
    return "; ".join(parts)


def _below_majority(comparison: Comparison) -> Iterator[str]:
    for arm in comparison.arms:
        if arm.best is None:
            continue
        below, close = [], []
        for language in comparison.languages:
            score = arm.best.score(language, comparison.metric)
            floor = arm.best.majority(language, comparison.metric)
            if score is None or floor is None:
                continue
            text = f"{plain(language)} ({percent(score.mean)} against {percent(floor)})"
            if score.mean <= floor:
                below.append(text)
            elif score.mean - (score.std or 0.0) <= floor:
                close.append(text)
        if below:
            yield f"**Not above majority**: {plain(arm.name)} in {names(below)}."
        if close:
            yield f"{plain(arm.name)} is above majority by less than one standard deviation in {names(close)}."


def _cut_pairs(comparison: Comparison) -> Iterator[str]:
    for arm in comparison.arms:
        facts = arm.facts
        if facts is not None and facts.num_train_truncated:
            length = arm.trials[0].config["training"]["max_length"]
            cut, whole = facts.num_train_truncated, facts.num_train_examples
            yield f"{plain(arm.name)}: {cut} of {whole} training pairs were cut at {length} tokens."


def _samples(comparison: Comparison) -> Iterator[str]:
    limits = {}
    for arm in comparison.arms:
        stated = [f"{split} {count(n)}" for split in SPLITS if (n := getattr(arm.task, f"max_{split}_examples"))]
        if arm.task.shots:
            stated.insert(0, f"{arm.task.shots} shots per class in train and dev")
        limits[plain(arm.name)] = ", ".join(stated) or "none"
    bests = [arm for arm in comparison.arms if arm.best is not None]
    has_draws = bool(bests) and all(arm.has_draws for arm in bests)
    if set(limits.values()) != {"none"}:
        text = next(iter(limits.values())) if len(set(limits.values())) == 1 else by_value(limits)
        yield (
            f"Samples, not whole splits; at most, a language: {text} (sentences or pairs). ± is over training seeds"
            f" {'and draws of train and dev' if has_draws else 'on one draw of the data'}, and does not cover other"
            f" {'samples of test' if has_draws else 'draws'}."
        )
