"""The one way from a trial's configuration to its method."""

from __future__ import annotations

from collections.abc import Mapping

from tunekit import schema
from tunekit.backbone import Backbone
from tunekit.errors import ConfigError, quoted
from tunekit.methods.base import Method, Setting
from tunekit.registry import METHODS, lookup
from tunekit.tasks import Task
from tunekit.trial import TrainingConfig, TrialConfig

__all__ = ["build", "input_positions", "method_class", "methods_in_peft", "pack_options", "trains_backbone"]


def build(config: TrialConfig, *, backbone: Backbone, task: Task) -> Method:
    """The method that `config` names, with its options, on `backbone` for `task`.

    Args:
        config: the trial.
        backbone: its weights are set to trained or frozen; it may lie on the meta device (to count parameters).
        task: its kind, labels and languages are used.

    Raises:
        ConfigError: no such method, wrong options or training settings, or the method cannot serve task or backbone.
    """
    method, options = _checked(config)
    setting = Setting(
        backbone=backbone,
        task=task,
        training=config.training,
        word_piece=config.backbone.word_piece,
        segmentation=config.backbone.segmentation,
    )
    return method(options, setting)


def trains_backbone(config: TrialConfig) -> bool:
    """Whether the weights of the backbone are trained in this trial.

    Raises:
        ConfigError: no such method, or wrong options or training settings.
    """
    method, options = _checked(config)
    return method.trains(options)


def pack_options(config: TrialConfig) -> Mapping[str, object] | None:
    """What all members of a pack must have in common with this trial beside backbone and method; None: not packable.

    Raises:
        ConfigError: no such method, or wrong options or training settings.
    """
    method, options = _checked(config)
    packs = method.is_trained and not method.trains(options) and method.packs(options)
    return method.pack_options(options) if packs else None


def input_positions(config: TrialConfig) -> int:
    """Prompt positions of each row that go through every layer as tokens do.

    Raises:
        ConfigError: no such method, or wrong options or training settings.
    """
    method, options = _checked(config)
    return method.input_positions(options)


def method_class(name: str) -> type[Method]:
    """The class of the method called `name`.

    Raises:
        ConfigError: there is none, or what is found is no method.
    """
    found = lookup("method", name)
    if not isinstance(found, type) or not issubclass(found, Method):
        raise ConfigError(f"method {name!r} is {found!r}, which is no subclass of tunekit.methods.Method")
    return found


def methods_in_peft() -> tuple[str, ...]:
    """Names of the methods whose trained parameters peft can load."""
    return tuple(name for name in METHODS if method_class(name).peft_adapter is not Method.peft_adapter)


def _checked(config: TrialConfig) -> tuple[type[Method], object]:
    """The method's class and its options."""
    method = method_class(config.method)
    options: object = schema.build(method.Config, config.options, f"{config.method}: options")
    _refuse_without_effect(config, method)
    return method, options


def _refuse_without_effect(config: TrialConfig, method: type[Method]) -> None:
    """Raise a ConfigError for a setting of the optimiser or its schedule that the method ignores."""
    given, default = schema.to_json(config.training), schema.to_json(TrainingConfig())
    ignored = {**default, **method.training_defaults()}
    for name, value in given.items():
        if name not in method.training_parameters() and value != ignored[name]:
            raise ConfigError(
                f"training: {name} is {quoted(value)}, but {config.method} trains nothing, so it must be "
                f"{ignored[name]!r}"
            )
