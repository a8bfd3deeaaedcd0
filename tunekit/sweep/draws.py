"""`draws`: the same points on several draws of the data, as `seeds` runs them on several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tunekit.errors import ConfigError, quoted
from tunekit.schema import Values, coerce
from tunekit.sweep.source import Source
from tunekit.sweep.types import Arm, Sweep

__all__ = ["check_final_draws", "read_draws", "with_draws"]


def read_draws(content: Values, source: Source) -> tuple[int, ...]:
    """The file's `draws`; empty where it has none.

    Raises:
        ConfigError: it is no list of different whole numbers.
    """
    if content.get("draws") is None:
        return ()
    draws: tuple[int, ...] = coerce(tuple[int, ...], content["draws"], source.at("draws"))
    if not draws or len(set(draws)) != len(draws):
        raise ConfigError(f"{source.at('draws')}: {quoted(list(draws))} must be at least one draw, none repeated")
    return draws


def with_draws(arms: Iterable[Arm], draws: tuple[int, ...], source: Source) -> tuple[Arm, ...]:
    """The arms, each with the first draw as its task's own, so that all that reads the task reads a draw of it.

    Raises:
        ConfigError: an arm says itself which draw it reads, or reads the same data in every draw.
    """
    if not draws:
        return tuple(arms)
    for arm in arms:
        _require_effect(arm, source, "draws")
        if arm.task.draw_seed is not None:
            raise ConfigError(
                f"{source.at('draws')}: the task of arm {arm.name!r} has a draw_seed ({arm.task.draw_seed}) already;"
                " keep one of them"
            )
    return tuple(replace(arm, task=replace(arm.task, draw_seed=draws[0])) for arm in arms)


def check_final_draws(sweep: Sweep, source: Source) -> None:
    """Raise a ConfigError where the draws of `finalise` cannot be compared with the search's, or have no effect."""
    draws = sweep.finalise.draws
    if draws is None:
        return
    for arm in sweep.arms:
        _require_effect(arm, source, "finalise", "draws")


def _require_effect(arm: Arm, source: Source, *key: str) -> None:
    """Raise a ConfigError where every draw gives `arm` the same data."""
    task = arm.task
    if task.shots is not None and task.draw == "files":
        why = "reads the one draw in fewshot_dir (draw: files); write draw: sampled"
    elif task.shots is None and task.max_train_examples is None:
        why = "reads the whole of train; give `shots`, or `max_train_examples`"
    else:
        return
    raise ConfigError(f"{source.at(*key)}: draws have no effect on arm {arm.name!r}, which {why}, or leave draws out")
