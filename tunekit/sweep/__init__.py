"""What to search: YAML -> Sweep (arms, space, budget) with strict keys; params -> TrialConfig."""

from tunekit.sweep.reader import load_sweep, parse_sweep
from tunekit.sweep.source import Source, read_yaml
from tunekit.sweep.types import (
    Arm,
    BudgetConfig,
    Dimension,
    FinaliseConfig,
    ResourcesConfig,
    SchedulerConfig,
    SearchConfig,
    Sweep,
    parameter_hints,
    resolve,
)

__all__ = [
    "Arm",
    "BudgetConfig",
    "Dimension",
    "FinaliseConfig",
    "ResourcesConfig",
    "SchedulerConfig",
    "SearchConfig",
    "Source",
    "Sweep",
    "load_sweep",
    "parameter_hints",
    "parse_sweep",
    "read_yaml",
    "resolve",
]
