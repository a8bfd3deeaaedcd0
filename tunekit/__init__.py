"""tunekit: distributed hyperparameter search for cross-lingual prompt learning.

The public calls, each loaded when it is first used::

    import tunekit

    sweep = tunekit.load_sweep("search_spaces/quickstart.yaml")
    tunekit.run_sweep(sweep, Path("runs/quickstart"), tunekit.Execution(in_process=True))
    record = tunekit.replay(Path("runs/quickstart"))
    tunekit.write_reports(record, Path("runs/quickstart/report"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tunekit.version import __version__

if TYPE_CHECKING:
    from tunekit.check import check as check_sweep
    from tunekit.errors import ConfigError, DataError, StorageError, TunekitError
    from tunekit.execution import Execution, run_sweep
    from tunekit.journal import SweepRecord, replay
    from tunekit.reports import write as write_reports
    from tunekit.sweep import Sweep, load_sweep
    from tunekit.training import run_trial
    from tunekit.trial import TrialConfig

__all__ = [
    "ConfigError",
    "DataError",
    "Execution",
    "StorageError",
    "Sweep",
    "SweepRecord",
    "TrialConfig",
    "TunekitError",
    "__version__",
    "check_sweep",
    "load_sweep",
    "replay",
    "run_sweep",
    "run_trial",
    "write_reports",
]

_HOMES = {
    **dict.fromkeys(("ConfigError", "DataError", "StorageError", "TunekitError"), "errors"),
    **dict.fromkeys(("Execution", "run_sweep"), "execution"),
    **dict.fromkeys(("SweepRecord", "replay"), "journal"),
    **dict.fromkeys(("Sweep", "load_sweep"), "sweep"),
    "TrialConfig": "trial",
    "check_sweep": "check",
    "run_trial": "training",
    "write_reports": "reports",
}
"""Where each public name lives."""
_NAMES = {"check_sweep": "check", "write_reports": "write"}
"""What it is called there, if it is not called the same."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), _NAMES.get(name, name))
