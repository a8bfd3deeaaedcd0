"""Journals made by hand: sweeps as a driver would have written them, without training anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunekit.journal import SCHEMA, Event, Journal, SweepRecord
from tunekit.schema import build, to_json
from tunekit.sweep import Source, parse_sweep, resolved
from tunekit.trial import (
    BackboneConfig,
    EpochReport,
    Outcome,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
    TrialFacts,
)

VERSIONS = {"tunekit": "0.1.0", "python": "3.12.1", "torch": "2.13.0"}
TASK = {"name": "udpos", "source_language": "en", "target_languages": ["de", "zh"], "data_dir": "/data/xtreme"}
SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}


def definition(**changes: Any) -> dict[str, Any]:
    """The content of a small sweep file: one arm `finetune` on udpos, two final seeds."""
    content: dict[str, Any] = {
        "name": "small",
        "task": dict(TASK),
        "backbone": {"name": "mini", "path": "/models/mini"},
        "arms": {"finetune": {"method": "finetune", "space": SPACE}},
        "fixed": {"epochs": 2},
        "search": {"searcher": "random", "num_trials": 2, "seed": 0},
        "seeds": [10],
        "finalise": {"top": 1, "seeds": [10, 42]},
    }
    return {**content, **changes}


class WrittenAtOnce(Journal):
    """A journal whose events are on the disk as soon as they are appended."""

    def append(self, kind: str, **content: object) -> Event:
        """Append the event and flush it."""
        event = super().append(kind, **content)
        self.flush()
        return event


class JournalBuilder:
    """Writes the events of a sweep into `folder`, as a driver does.

    Args:
        folder: the sweep's.
        content: its definition.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.content = dict(content)
        self.journal = WrittenAtOnce(folder)
        sweep = parse_sweep(self.content, Source("test"), folders_must_exist=False)
        metrics = {"panx": "f1"}
        arms = (replace(arm, metric=arm.task.metric or metrics.get(arm.task.name, "accuracy")) for arm in sweep.arms)
        described = resolved(replace(sweep, arms=tuple(arms)))
        self.journal.append("launched", definition=self.content, sweep=described, versions=VERSIONS, schema=SCHEMA)
        self._numbers: dict[str, int] = {}
        self.draw: int | None = None
        """Of the trials made next; None: the sweep's first, if it has draws."""

    @property
    def record(self) -> SweepRecord:
        """What the events add up to."""
        return self.journal.record

    def config(self, arm: str, params: Mapping[str, Any], seed: int) -> TrialConfig:
        """The TrialConfig of an arm's trial; parameters that training does not know go to the method's options."""
        raw = self.content["arms"][arm.partition("@")[0]]
        task = {**self.content["task"], **raw.get("task", {})}
        task.pop("data_dir", None)
        if "@" in arm:
            task["shots"] = int(arm.partition("@")[2])
        draws = self.content.get("draws") or [None]
        task["draw_seed"] = draws[0] if self.draw is None else self.draw
        values = {**self.content.get("fixed", {}), **raw.get("fixed", {}), **params}
        values.pop("seed", None)
        known = TrainingConfig.__dataclass_fields__
        return TrialConfig(
            task=build(TaskConfig, task, "test"),
            backbone=BackboneConfig(name="mini", dtype=values.pop("dtype", "fp32")),
            method=raw["method"],
            options={key: value for key, value in values.items() if key not in known},
            training=build(TrainingConfig, {k: v for k, v in values.items() if k in known}, "test"),
            seed=seed,
            selection=self.content.get("selection", "source_dev"),
        )

    def create(
        self, arm: str, params: Mapping[str, Any], *, seed: int = 10, number: int | None = None, phase: str = "search"
    ) -> str:
        """A trial that a worker has taken up; `number` None draws a new point. Gives the trial_id."""
        if number is None:
            number = self._numbers.get(arm, 0)
        self._numbers[arm] = max(number + 1, self._numbers.get(arm, 0))
        config = self.config(arm, params, seed)
        self.journal.append(
            "created",
            trial_id=config.trial_id,
            arm=arm,
            number=number,
            point_id=config.point_id,
            seed=seed,
            params=dict(params),
            config=to_json(config),
            phase=phase,
            sampler={},
        )
        self.start(config.trial_id)
        return config.trial_id

    def start(self, trial_id: str, **facts: Any) -> None:
        """A worker takes the trial up and says what it found; `facts` are fields of TrialFacts."""
        config = self.record.trials[trial_id].config
        language = config["task"]["source_language"]
        known: dict[str, Any] = {
            "fingerprints": {"backbone": "b0", f"train/{language}": "0123", f"dev/{language}": "4567"},
            "num_trainable_parameters": 41_600_000 if config["method"] == "finetune" else 154_000,
            "num_backbone_parameters": 41_594_112,
            "num_train_examples": 600,
            "num_train_rows": 640,
            "num_updates_per_epoch": 40,
            "majority": {f"dev/{language}/accuracy": 0.25},
            "device": "cpu (x86_64)",
            "versions": {"torch": "2.13.0"},
        }
        found = TrialFacts(**{**known, **facts})
        attempt = self.record.trials[trial_id].num_attempts + 1
        self.journal.append("started", trial_id=trial_id, attempt=attempt, worker="worker-0", facts=found)

    def report(
        self, trial_id: str, values: Sequence[float], *, metric: str = "accuracy", duration_s: float = 60.0
    ) -> None:
        """Epochs 1, 2, ... with these dev objectives."""
        config = self.record.trials[trial_id].config
        task = config["task"]
        source = config["selection"] == "source_dev"
        languages = [task["source_language"]] if source else [task["source_language"], *task["target_languages"]]
        for epoch, value in enumerate(values, start=1):
            metrics = {"train/loss": 1.0 / epoch}
            for language in languages:
                own = value if source or language != task["source_language"] else value + 0.05
                metrics |= {f"dev/{language}/{metric}": own, f"dev/{language}/other": own / 2}
            report = EpochReport(epoch=epoch, value=value, metrics=metrics, duration_s=duration_s)
            self.journal.append("reported", trial_id=trial_id, report=report, decision={"stop": False})

    def finish(self, trial_id: str, state: Any = "COMPLETE", *, reason: str | None = None, **facts: Any) -> None:
        """End a trial with what it has reported; `facts` are what it found when it started, if not the usual."""
        if facts:
            self.start(trial_id, **facts)
        trial = self.record.trials[trial_id]
        best = max(trial.reports.values(), key=lambda report: report.value, default=None)
        outcome = Outcome(
            state=state,
            value=best.value if best and state != "FAILED" else None,
            best_epoch=best.epoch if best and state != "FAILED" else None,
            metrics=best.metrics if best and state != "FAILED" else {},
            num_updates=40 * len(trial.reports) if state != "PRUNED" else 0,
            duration_s=trial.duration_s,
            reason=reason,
        )
        self.journal.append("finished", trial_id=trial_id, outcome=outcome)

    def test(
        self, trial_id: str, scores: Mapping[str, float], *, majority: float = 0.2, metric: str = "accuracy"
    ) -> None:
        """Test scores by language."""
        found = {f"test/{language}/{metric}": score for language, score in scores.items()}
        found |= {f"test/{language}/other": score / 2 for language, score in scores.items()}
        floors = {f"majority/{language}/{metric}": majority for language in scores}
        self.journal.append("tested", trial_id=trial_id, scores=found, baselines=floors, num_examples={})

    def complete(self, arm: str, params: Mapping[str, Any], value: float, **where: Any) -> str:
        """A COMPLETE trial that came to `value` in its second and last epoch."""
        metric = where.pop("metric", "accuracy")
        trial_id = self.create(arm, params, **where)
        self.report(trial_id, [value - 0.1, value], metric=metric)
        self.finish(trial_id)
        return trial_id

    def finalised(
        self, arm: str, params: Mapping[str, Any], runs: Mapping[int, tuple[float, Mapping[str, float]]], **more: Any
    ) -> list[str]:
        """A point whose trials are COMPLETE and tested; the first run is the search's.

        Args:
            arm: of which arm.
            params: the point.
            runs: dev objective and test scores by language, for each seed.
            more: `metric` and `majority`.
        """
        metric, majority = more.get("metric", "accuracy"), more.get("majority", 0.2)
        number = self._numbers.get(arm, 0)
        ids = []
        for index, (seed, (value, scores)) in enumerate(runs.items()):
            phase = "finalise" if index else "search"
            ids.append(self.complete(arm, params, value, seed=seed, number=number, phase=phase, metric=metric))
            self.test(ids[-1], scores, majority=majority, metric=metric)
        return ids


def cells(markdown: str, first: str, *, header: Iterable[str] = ()) -> dict[str, str]:
    """One row of a Markdown table by its column names: the first row that starts with `first` under a `header`.

    Args:
        markdown: a document with tables.
        first: the row's first cell.
        header: column names that the table must have.
    """
    columns: list[str] = []
    previous = ""
    for line in markdown.splitlines():
        row = [cell.strip().removeprefix("**").removesuffix("**") for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| :") or line.startswith("|:"):
            columns = [cell.strip() for cell in previous.strip().strip("|").split(" | ")]
        elif line.startswith("|") and columns and row[0] == first and set(header) <= set(columns):
            return dict(zip(columns, row, strict=True))
        elif not line.startswith("|"):
            columns = []
        previous = line
    raise AssertionError(f"no row {first!r} under {list(header)} in\n{markdown}")
