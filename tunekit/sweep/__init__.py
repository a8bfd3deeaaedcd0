"""What to search: YAML -> Sweep (arms, space, budget) with strict keys; params -> TrialConfig."""

from tunekit.sweep.budget import BudgetConfig, Limit, Rates, Spent
from tunekit.sweep.dimensions import Dimension
from tunekit.sweep.finalise import FinaliseConfig, RaceConfig
from tunekit.sweep.parameters import parameter_hints, resolve, trial_config
from tunekit.sweep.paths import paths_in, with_paths
from tunekit.sweep.reader import content_as_written, load_sweep, parse_sweep
from tunekit.sweep.resolved import from_resolved, resolved
from tunekit.sweep.source import Source, located
from tunekit.sweep.trackers import TRACKERS, MlflowConfig, TrackingConfig, WandbConfig
from tunekit.sweep.types import (
    Arm,
    Reference,
    ResourcesConfig,
    SchedulerConfig,
    SearchConfig,
    StorageConfig,
    Sweep,
    crossed,
)
from tunekit.sweep.yaml_text import read_yaml

__all__ = [
    "TRACKERS",
    "Arm",
    "BudgetConfig",
    "Dimension",
    "FinaliseConfig",
    "Limit",
    "MlflowConfig",
    "RaceConfig",
    "Rates",
    "Reference",
    "ResourcesConfig",
    "SchedulerConfig",
    "SearchConfig",
    "Source",
    "Spent",
    "StorageConfig",
    "Sweep",
    "TrackingConfig",
    "WandbConfig",
    "content_as_written",
    "crossed",
    "from_resolved",
    "load_sweep",
    "located",
    "parameter_hints",
    "parse_sweep",
    "paths_in",
    "read_yaml",
    "resolve",
    "resolved",
    "trial_config",
    "with_paths",
]
