"""Tasks: examples, labels, languages and metrics. Nothing here knows a model.

`load` gives a :class:`Task` for XTREME's xnli, pawsx, panx and udpos (a local folder or the Hugging Face hub), for
the generated toy world, and for files of the user's own.
"""

from __future__ import annotations

from tunekit.errors import ConfigError
from tunekit.registry import lookup
from tunekit.tasks.examples import Example, PairExample, Split, TokenExample
from tunekit.tasks.own import load_own
from tunekit.tasks.parallel import ParallelText
from tunekit.tasks.parallel_pairs import ParallelPair
from tunekit.tasks.task import Task
from tunekit.trial import Locations, TaskConfig

__all__ = ["Example", "PairExample", "ParallelPair", "ParallelText", "Split", "Task", "TokenExample", "load"]


def load(config: TaskConfig, locations: Locations) -> Task:
    """The task that `config` names; nothing is read yet.

    Raises:
        ConfigError: an unknown task, keys that do not go together, or a path with a variable that is not set.
    """
    task: Task
    locations = locations.here()
    if config.kind is not None:
        task = load_own(config, locations)
    elif locations.files is not None:
        raise ConfigError(f"task {config.name!r} has files but no kind; say kind: token or kind: pair")
    else:
        task = lookup("task", config.name)(config, locations)
    task.parallel_text = ParallelText(config, locations)
    return task
