"""One trial, trained and scored in one folder. Knows nothing of Ray, of searches or of other trials."""

from tunekit.training.caches import Worker
from tunekit.training.checkpoints import CheckpointMissing
from tunekit.training.schedule import planned_updates, updates_per_epoch
from tunekit.training.trial_run import FinalScores, TrialRun, run_trial

__all__ = [
    "CheckpointMissing",
    "FinalScores",
    "TrialRun",
    "Worker",
    "planned_updates",
    "run_trial",
    "updates_per_epoch",
]
