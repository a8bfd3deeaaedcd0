"""What ``tunekit check`` says of published figures: how many there are, of what, and which stand in no table."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.sweep import Reference, Sweep
from tunekit.wording import count, listed, plural


def published_lines(sweep: Sweep) -> Iterator[str]:
    """A line for each method, backbone, task, metric and split of the sweep's `references`."""
    groups: dict[tuple[str, ...], list[Reference]] = {}
    for each in sweep.references:
        what = f"{each.method}, {each.backbone}" if each.backbone else each.method
        groups.setdefault((what, each.task, each.metric, each.split), []).append(each)
    for (what, task, metric, split), figures in groups.items():
        text = f"{what}: {task}, {metric} on {split}, {plural(len(figures), 'language')}"
        yield f"{text}{_without_column(sweep, task, figures)}"


def _without_column(sweep: Sweep, task: str, figures: list[Reference]) -> str:
    arms = [arm.task for arm in sweep.arms if arm.task.name == task]
    if not arms:
        return "; no arm is on this task, so they stand in references.csv alone"
    known = {name for arm in arms for name in (arm.source_language, *arm.target_languages)}
    unknown = [each.language for each in figures if each.language not in known]
    return f"; no column has {listed(unknown)} ({count(len(unknown))})" if unknown else ""
