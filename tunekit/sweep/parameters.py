"""Which parameters an arm's method has, and how params become a TrialConfig. Loads the code of methods."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Protocol

from tunekit.errors import ConfigError, quoted
from tunekit.registry import lookup
from tunekit.schema import Values, build, to_json
from tunekit.sweep.types import Arm, Selection, Sweep
from tunekit.trial import BackboneConfig, TrainingConfig, TrialConfig

BACKBONE_PARAMETERS = ("dtype", "word_piece")
"""Fields of BackboneConfig that may stand in `fixed` and `space` like any parameter."""


def trial_config(
    sweep: Sweep, arm: Arm, params: Mapping[str, object], seed: int, *, draw: int | None = None
) -> TrialConfig:
    """Everything resolved for one trial of `arm`.

    Args:
        sweep: of the arm.
        arm: whose method, task and backbone.
        params: what is searched, without the seed.
        seed: of the trial.
        draw: `TaskConfig.draw_seed`; None: the arm's own.

    Raises:
        ConfigError: a value that the method or training refuses.
    """
    if draw is not None:
        arm = dataclasses.replace(arm, task=dataclasses.replace(arm.task, draw_seed=draw))
    return resolve(arm, {**arm.fixed, **params}, seed=seed, selection=sweep.selection)


def resolve(arm: Arm, values: Values, *, seed: int, selection: Selection) -> TrialConfig:
    """The TrialConfig of `arm` with flat parameter `values` sorted to method, training and backbone.

    Raises:
        ConfigError: a value that the method or training refuses.
    """
    method = method_class(arm.method)
    options = {name: value for name, value in values.items() if name in field_names(method.Config)}
    training = {name: value for name, value in values.items() if name in method.training_parameters()}
    backbone = {name: value for name, value in values.items() if name in BACKBONE_PARAMETERS}
    where = f"arm {arm.name}"
    return TrialConfig(
        task=arm.task,
        backbone=build(BackboneConfig, {**to_json(arm.backbone), **backbone}, where),
        method=arm.method,
        options=to_json(build(method.Config, options, where)),
        training=build(TrainingConfig, {**method.training_defaults(), **training}, where),
        seed=seed,
        selection=selection,
    )


class MethodClass(Protocol):
    """What a sweep needs to know of a method: these attributes of its class, a ``tunekit.methods.Method``."""

    Config: type
    is_trained: bool

    def training_parameters(self) -> tuple[str, ...]:
        """The fields of TrainingConfig that have an effect on it."""

    def training_defaults(self) -> dict[str, object]:
        """Training settings whose default is another than TrainingConfig's."""


def method_class(name: str) -> MethodClass:
    """The class of the method called `name`.

    Raises:
        ConfigError: there is no such method, or what is found is none.
    """
    found: MethodClass = lookup("method", name)
    lacking = [
        key for key in ("Config", "is_trained", "training_parameters", "training_defaults") if not hasattr(found, key)
    ]
    problem = f"it lacks {', '.join(lacking)}" if lacking else None
    if problem is None and not (isinstance(found, type) and dataclasses.is_dataclass(found.Config)):
        problem = "it is no class whose Config is a dataclass"
    if problem is not None:
        raise ConfigError(f"method {quoted(name)} is {quoted(found)}, which is no Method: {problem}")
    return found


def field_names(cls: type) -> tuple[str, ...]:
    """Names of a dataclass's fields, in order."""
    return tuple(f.name for f in dataclasses.fields(cls))


def parameter_hints(method: str) -> dict[str, object]:
    """Type of every flat parameter that has an effect on an arm of `method`, by name.

    Raises:
        ConfigError: the method has a field that training has too.
    """
    found = method_class(method)
    backbone_hints = typing.get_type_hints(BackboneConfig)
    hints = {name: backbone_hints[name] for name in BACKBONE_PARAMETERS}
    for cls in (TrainingConfig, found.Config):
        for name, hint in typing.get_type_hints(cls).items():
            if name in hints:
                raise ConfigError(
                    f"method {method!r}: its field {name!r} is already a parameter of every method; rename it"
                )
            if name in field_names(cls):
                hints[name] = hint
    without_effect = set(field_names(TrainingConfig)) - set(found.training_parameters())
    return {name: hint for name, hint in hints.items() if name not in without_effect}
