"""Where trials run: in this process, or as Ray Tune trainables on one machine or many.

Both ways drive the same :class:`tunekit.search.Search`; the driver writes the journal, workers only send messages.
"""

from tunekit.execution.jobs import Job, SweepInterrupted, perform, trial_folder
from tunekit.execution.launch import Execution, Finish, run_sweep, stored_sweep

__all__ = ["Execution", "Finish", "Job", "SweepInterrupted", "perform", "run_sweep", "stored_sweep", "trial_folder"]
