"""Keys of a task's configuration that make no sense, alone or together."""

from __future__ import annotations

from collections import Counter

from tunekit.errors import ConfigError, require
from tunekit.trial import TaskConfig


def check_keys(config: TaskConfig) -> None:
    """Raise a ConfigError where a size, the shots or the languages of any task make no sense."""
    if config.data_name is not None and not config.data_name.strip():
        raise ConfigError("task: data_name is empty, must be a name such as 'cleaned'; leave it out to give none")
    for key in ("max_train_examples", "max_dev_examples", "max_test_examples", "shots"):
        value = getattr(config, key)
        require(value is None or value >= 1, f"task: {key}", value, "at least 1")
    for key in ("max_train_examples", "max_dev_examples"):
        if config.shots is not None and getattr(config, key) is not None:
            raise ConfigError(f"task: {key} has no effect with shots, which sets the size of train and dev; drop one")
    if config.draw == "files" and config.shots is None:
        raise ConfigError("task: draw is 'files', so shots must say which draw, such as 16")
    if config.scheme is not None and config.kind == "pair":
        raise ConfigError(f"task: scheme is {config.scheme!r}, which has no effect on kind pair; it is for words")
    if config.scheme == "none" and config.metric == "f1":
        raise ConfigError("task: metric is 'f1', which counts entities, but scheme is 'none'; drop one of them")
    targets = (config.source_language, *config.target_languages)
    twice = [name for name, count in Counter(targets).items() if count > 1]
    if twice:
        raise ConfigError(
            f"task: {twice[0]!r} is named twice among source_language and target_languages; once is right"
        )


def refuse_own_keys(config: TaskConfig) -> None:
    """Raise a ConfigError where a built-in task is given a key that only a task of the user's own files has."""
    unset = TaskConfig(name=config.name)
    for key in ("metric", "columns", "separator", "comment", "header", "scheme", "null_labels"):
        if getattr(config, key) != getattr(unset, key):
            raise ConfigError(f"task: {key} has no effect on {config.name!r}; it is for a task of your own (with kind)")
