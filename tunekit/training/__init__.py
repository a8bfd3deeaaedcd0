"""One trial, trained and scored in one folder. Knows nothing of Ray, of searches or of other trials.

Names are imported when they are first used: `messages`, `pack_keys`, `pack_size`, `schedule` and
`warm_keys` need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunekit.training.caches import WorkerCache
    from tunekit.training.checkpoints import CheckpointMissing
    from tunekit.training.messages import TrialMessage
    from tunekit.training.pack import Pack
    from tunekit.training.schedule import planned_updates, updates_per_epoch
    from tunekit.training.trial_loop import perform, run_trial
    from tunekit.training.trial_run import TrialRun

_MODULES = {
    "CheckpointMissing": "checkpoints",
    "Pack": "pack",
    "TrialMessage": "messages",
    "TrialRun": "trial_run",
    "WorkerCache": "caches",
    "perform": "trial_loop",
    "planned_updates": "schedule",
    "run_trial": "trial_loop",
    "updates_per_epoch": "schedule",
}

__all__ = [
    "CheckpointMissing",
    "Pack",
    "TrialMessage",
    "TrialRun",
    "WorkerCache",
    "perform",
    "planned_updates",
    "run_trial",
    "updates_per_epoch",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
