"""An earlier address of :mod:`tunekit.trial`, kept for scripts that import from it."""

from tunekit.trial import (
    BackboneConfig,
    EpochReport,
    FinalScores,
    Locations,
    Outcome,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
    TrialFacts,
)

__all__ = [
    "BackboneConfig",
    "EpochReport",
    "FinalScores",
    "Locations",
    "Outcome",
    "TaskConfig",
    "TrainingConfig",
    "TrialConfig",
    "TrialFacts",
]
