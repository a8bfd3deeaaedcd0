"""One trial as the journal tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tunekit.schema import JsonObject, Values
from tunekit.segmentation import Granularity
from tunekit.trial import EpochReport, Outcome, Replicate, TrialFacts


@dataclass(slots=True)
class TrialRecord:
    """One trial as the journal tells it. Mutated only by :class:`tunekit.journal.record.SweepRecord`."""

    trial_id: str
    arm: str
    number: int
    """Which point of its arm this is, in the order in which the searcher drew them; replicates share it."""
    point_id: str
    seed: int
    params: JsonObject
    """What the search chose (the seed too, where it is searched)."""
    config: Values
    """The whole resolved TrialConfig as JSON."""
    phase: str
    """``search``, or ``finalise`` for a replicate that only the final evaluation asked for."""
    created_at: str
    state: str = "RUNNING"
    reports: dict[int, EpochReport] = field(default_factory=dict)
    decisions: dict[int, Values] = field(default_factory=dict)
    num_attempts: int = 0
    """At training it; a COMPLETE trial is started once more to be tested."""
    num_interruptions: int = 0
    num_deaths: int = 0
    """Attempts since its last report that ended with the driver's own process, and nobody could say why."""
    num_shared_deaths: int = 0
    """The same for a process that ran other trials too, any of which may have ended it."""
    facts: TrialFacts | None = None
    """What it said when it last started."""
    earlier_facts: list[TrialFacts] = field(default_factory=list)
    """What earlier attempts had said that reported epochs too, where they ran on another device or other software."""
    outcome: Outcome | None = None
    earlier_failures: list[str] = field(default_factory=list)
    """Why it had FAILED before it was taken up again."""
    test_scores: dict[str, float] | None = None
    """``test/<language>/<metric>``, once the point is finalised."""
    baselines: dict[str, float] = field(default_factory=dict)
    """``majority/<language>/<metric>``: always predicting train's most frequent label."""
    num_test_examples: dict[str, int] = field(default_factory=dict)
    """Test sentences or pairs by language."""
    num_test_labels: dict[str, int] = field(default_factory=dict)
    """Test words or pairs by language; empty in journals that did not say."""
    unseen_test_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    """By language the test labels that train lacks, each with its words or pairs."""
    granularity: dict[str, Granularity] = field(default_factory=dict)
    """How finely test texts are written in tokens, by language; empty in journals that did not say."""

    @property
    def draw(self) -> int | None:
        """`TaskConfig.draw_seed` of its configuration."""
        found: int | None = (self.config.get("task") or {}).get("draw_seed")
        return found

    @property
    def replicate(self) -> Replicate:
        """What tells it from the other trials of its point."""
        return Replicate(self.seed, self.draw)

    @property
    def value(self) -> float | None:
        """The best dev objective of a COMPLETE trial, else None."""
        return self.outcome.value if self.outcome is not None and self.state == "COMPLETE" else None

    @property
    def duration_s(self) -> float:
        """Seconds of training and dev evaluation reported so far, summed over epochs."""
        return sum(report.duration_s for report in self.reports.values())

    @property
    def best_so_far(self) -> float | None:
        """The best dev objective reported yet, whatever the state."""
        return max((report.value for report in self.reports.values()), default=None)

    @property
    def reached(self) -> float | None:
        """The best dev objective of a trial that has ended: what it had reached, if it was stopped or failed."""
        if self.state in ("RUNNING", "COMPLETE"):
            found = self.value
        else:
            found = self.outcome.value if self.outcome is not None else None
            found = self.best_so_far if found is None else found
        return found if found is not None and math.isfinite(found) else None

    @property
    def num_epochs(self) -> int:
        """The epochs that it trains if it is not stopped."""
        return int(self.config["training"]["epochs"])

    @property
    def reason(self) -> str | None:
        """Why it FAILED or was PRUNED."""
        return self.outcome.reason if self.outcome is not None else None
