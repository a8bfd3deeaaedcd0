"""What ``tunekit check`` says of published figures: how many there are, of what, and which stand in no table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tunekit.sweep import Sweep
from tunekit.wording import listed, plural


def published_lines(sweep: Sweep) -> Iterator[str]:
    """A line for each method, backbone, task, metric and split of the sweep's `references`, and one for other tasks."""
    groups: dict[tuple[str, ...], list[str]] = {}
    others: Counter[str] = Counter()
    tasks = {arm.task.name for arm in sweep.arms}
    for each in sweep.references:
        if each.task not in tasks:
            others[each.task] += 1
            continue
        what = f"{each.method}, {each.backbone}" if each.backbone else each.method
        groups.setdefault((what, each.task, each.metric, each.split), []).append(each.language)
    for (what, task, metric, split), languages in groups.items():
        text = f"{what}: {task}, {metric} on {split}, {plural(len(languages), 'language')}"
        yield f"{text}{_without_column(sweep, task, languages)}"
    if others:
        found = listed(f"{name} ({plural(number, 'figure')})" for name, number in others.items())
        yield f"no arm is on {found}: they stand in references.csv alone"


def _without_column(sweep: Sweep, task: str, languages: list[str]) -> str:
    tasks = [arm.task for arm in sweep.arms if arm.task.name == task]
    known = {name for each in tasks for name in (each.source_language, *each.target_languages)}
    unknown = [language for language in languages if language not in known]
    return f"; no column has {listed(unknown)}" if unknown else ""
