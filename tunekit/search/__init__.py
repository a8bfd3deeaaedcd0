"""What to try next: ask and tell over Optuna studies rebuilt from the journal; early stopping rebuilt from it too."""

from tunekit.search.assignment import Assignment
from tunekit.search.engine import Search
from tunekit.search.finalising import LoadCost
from tunekit.search.schedulers import Curve, Decision, decide

__all__ = ["Assignment", "Curve", "Decision", "LoadCost", "Search", "decide"]
