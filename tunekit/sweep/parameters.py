"""Which parameters an arm's method has, and how params become a TrialConfig. Loads the code of methods."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping

from tunekit.errors import ConfigError
from tunekit.registry import lookup
from tunekit.schema import Values, build, to_json
from tunekit.sweep.types import Arm, Selection, Sweep
from tunekit.trial import EVALUATION_FIELDS, BackboneConfig, TrainingConfig, TrialConfig

BACKBONE_PARAMETERS = ("dtype", "word_piece")
"""Fields of BackboneConfig that may stand in `fixed` and `space` like any parameter."""


def trial_config(sweep: Sweep, arm: Arm, params: Mapping[str, object], seed: int) -> TrialConfig:
    """Everything resolved for one trial of `arm`; `params` must not hold the seed.

    Raises:
        ConfigError: a value that the method or training refuses.
    """
    return resolve(arm, {**arm.fixed, **params}, seed=seed, selection=sweep.selection)


def resolve(arm: Arm, values: Values, *, seed: int, selection: Selection) -> TrialConfig:
    """The TrialConfig of `arm` with flat parameter `values` sorted to method, training and backbone.

    Raises:
        ConfigError: a value that the method or training refuses.
    """
    method_fields = field_names(method_config_class(arm.method))
    training_fields = training_parameters(arm.method)
    options = {name: value for name, value in values.items() if name in method_fields}
    training = {name: value for name, value in values.items() if name in training_fields}
    backbone = {name: value for name, value in values.items() if name in BACKBONE_PARAMETERS}
    where = f"arm {arm.name}"
    return TrialConfig(
        task=arm.task,
        backbone=build(BackboneConfig, {**to_json(arm.backbone), **backbone}, where),
        method=arm.method,
        options=to_json(build(method_config_class(arm.method), options, where)),
        training=build(TrainingConfig, training if is_trained(arm.method) else {**training, "epochs": 1}, where),
        seed=seed,
        selection=selection,
    )


def method_config_class(method: str) -> type:
    """The ``Config`` dataclass of a method, found by name.

    Raises:
        ConfigError: there is no such method, or what is found is none.
    """
    found = lookup("method", method)
    if not all(hasattr(found, attribute) for attribute in ("Config", "kinds", "trains_backbone")):
        raise ConfigError(
            f"method {method!r} is {found!r}, which is no Method: it lacks Config, kinds or trains_backbone"
        )
    config_class: type = found.Config
    return config_class


def is_trained(method: str) -> bool:
    """Whether a method has anything to train.

    Raises:
        ConfigError: there is no such method.
    """
    return bool(getattr(lookup("method", method), "is_trained", True))


def training_parameters(method: str) -> tuple[str, ...]:
    """The fields of TrainingConfig that have an effect on a method; its `epochs` is 1 where nothing is trained.

    Raises:
        ConfigError: there is no such method.
    """
    return field_names(TrainingConfig) if is_trained(method) else EVALUATION_FIELDS


def field_names(cls: type) -> tuple[str, ...]:
    """Names of a dataclass's fields, in order."""
    return tuple(f.name for f in dataclasses.fields(cls))


def parameter_hints(method: str) -> dict[str, object]:
    """Type of every flat parameter that has an effect on an arm of `method`, by name.

    Raises:
        ConfigError: the method has a field that training has too.
    """
    config_class = method_config_class(method)
    backbone_hints = typing.get_type_hints(BackboneConfig)
    hints = {name: backbone_hints[name] for name in BACKBONE_PARAMETERS}
    for cls in (TrainingConfig, config_class):
        for name, hint in typing.get_type_hints(cls).items():
            if name in hints:
                raise ConfigError(
                    f"method {method!r}: its field {name!r} is already a parameter of every method; rename it"
                )
            if name in field_names(cls):
                hints[name] = hint
    without_effect = set(field_names(TrainingConfig)) - set(training_parameters(method))
    return {name: hint for name, hint in hints.items() if name not in without_effect}
