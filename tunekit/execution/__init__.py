"""Where trials run: in this process, or as Ray Tune trainables on one machine or many.

Both ways drive the same :class:`tunekit.search.Search`; the driver writes the journal, workers only send messages.
"""

import os

# Ray reads these once, when it is first imported; the modules that import it are all in here.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

from tunekit.execution.launch import Execution, Finish, run_sweep, stored_sweep
from tunekit.execution.protocol import Job, SweepInterrupted

__all__ = ["Execution", "Finish", "Job", "SweepInterrupted", "run_sweep", "stored_sweep"]
