"""Published figures beside ours: grouped into rows, and which table each row belongs to.

They are no results of the sweep: no choice, mean or caveat reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tunekit.reports.results import Comparison
from tunekit.reports.scores import Spread
from tunekit.sweep.types import Reference

BESIDE = {"udpos": ("seqeval_f1",)}
"""Secondary metrics that have a table of their own even without published figures, by task."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row: a method on a backbone, in one metric, split and source."""

    method: str
    backbone: str | None
    metric: str
    split: str
    source: str
    figures: Mapping[str, Reference]
    """By language."""

    @property
    def name(self) -> str:
        """Method and backbone."""
        return f"{self.method}, {self.backbone}" if self.backbone else self.method

    def score(self, language: str) -> Spread | None:
        """The figure of a language, with its own spread; None if there is none."""
        found = self.figures.get(language)
        return None if found is None else Spread(mean=found.value, std=found.spread, n=found.n or 1)

    def zero_shot(self, targets: Sequence[str]) -> float | None:
        """The mean over `targets`; None unless there are targets and each has a figure."""
        found = [self.figures[language].value for language in targets if language in self.figures]
        return fmean(found) if found and len(found) == len(targets) else None

    def transfer_gap(self, source: str, targets: Sequence[str]) -> float | None:
        """Source minus zero-shot mean, where both are there."""
        mean = self.zero_shot(targets)
        return self.figures[source].value - mean if mean is not None and source in self.figures else None

    @property
    def runs(self) -> str:
        """How many runs the figures are means of: ``5``, ``3 to 5``, or empty where it is not known."""
        known = sorted({figure.n for figure in self.figures.values() if figure.n is not None})
        if not known or any(figure.n is None for figure in self.figures.values()):
            return ""
        return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """One table of test scores: a metric, and the published rows under it."""

    metric: str
    published: tuple[Published, ...]

    def label(self, row: Published) -> str:
        """How the table calls a published row: what it is, and in what it differs from the table."""
        differs = [f"metric {row.metric}, not {self.metric}"] if row.metric != self.metric else []
        differs += [f"split {row.split}, not test"] if row.split != "test" else []
        apart = f" ({'; '.join(differs)})" if differs else ""
        return f"published: {row.name}{apart}"


def score_tables(comparison: Comparison, references: Sequence[Reference]) -> list[ScoreTable]:
    """The tables of a comparison, that of its main metric first.

    A published row stands in the table of its own metric where our arms were scored by that; else in the first one.
    """
    rows = _grouped([each for each in references if each.task == comparison.task])
    scored = _metrics_scored(comparison)
    wanted = {row.metric for row in rows} | set(BESIDE.get(comparison.task, ()))
    beside = [metric for metric in scored if metric in wanted and metric != comparison.metric]
    first = tuple(row for row in rows if row.metric not in beside)
    others = (ScoreTable(metric=name, published=tuple(r for r in rows if r.metric == name)) for name in beside)
    return [ScoreTable(metric=comparison.metric, published=first), *others]


def languages_left_out(row: Published, comparison: Comparison) -> list[str]:
    """Languages that have a figure and no column."""
    return [language for language in row.figures if language not in comparison.languages]


def _metrics_scored(comparison: Comparison) -> list[str]:
    """Every metric of which some reported point has a test score, in the order of the task."""
    trials = [trial for arm in comparison.arms if arm.best is not None for trial in arm.best.trials]
    keys = (key for trial in trials for key in trial.test_scores or {} if key.startswith("test/"))
    return list(dict.fromkeys(key.rpartition("/")[2] for key in keys))


def _grouped(references: Sequence[Reference]) -> list[Published]:
    groups: dict[tuple[str, str | None, str, str, str], dict[str, Reference]] = {}
    for each in references:
        key = (each.method, each.backbone, each.metric, each.split, each.source)
        groups.setdefault(key, {})[each.language] = each
    return [
        Published(method=method, backbone=backbone, metric=metric, split=split, source=source, figures=figures)
        for (method, backbone, metric, split, source), figures in groups.items()
    ]
