"""`tracking` of a sweep file: which trackers are told what happens. None of it is part of a trial's identity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from tunekit.errors import ConfigError, nearest, quoted, require
from tunekit.redaction import without_secrets
from tunekit.schema import Values, coerce
from tunekit.sweep.source import Source, known_keys

TRACKERS = ("tensorboard", "mlflow", "wandb")
"""In the order in which they are told."""

T = TypeVar("T")

_PERSON = re.compile(r"://[^/\s]*@")
"""A name, or a name and a password, inside an address."""


@dataclass(frozen=True, kw_only=True)
class MlflowConfig:
    """Where MLflow keeps runs."""

    uri: str | None = None
    """A server or a database, as MLflow takes it, with ``$VARIABLES``; None: ``$MLFLOW_TRACKING_URI``, else
    ``mlflow.db`` beside the sweep's folder."""
    experiment: str | None = None
    """Where the sweep's runs are put; None: the experiment ``tunekit``."""

    def __post_init__(self) -> None:
        _require_text("uri", self.uri)
        _require_text("experiment", self.experiment)
        if self.uri is not None and (_PERSON.search(self.uri) or without_secrets(self.uri) != self.uri):
            shown = _PERSON.sub("://[hidden]@", without_secrets(self.uri))
            raise ConfigError(
                f"uri is {quoted(shown)}, with a name, a password or a token in it; this file is kept in the journal: "
                "write the address into a variable of the environment and $NAME_OF_IT here"
            )


@dataclass(frozen=True, kw_only=True)
class WandbConfig:
    """Where Weights & Biases keeps runs."""

    project: str | None = None
    """None: ``$WANDB_PROJECT``, else ``tunekit``."""
    entity: str | None = None
    """A person or a team; None: ``$WANDB_ENTITY``, else the owner of the key."""
    mode: Literal["online", "offline"] | None = None
    """``offline`` writes folders that ``wandb sync`` sends later; None: ``$WANDB_MODE``, else ``online``."""

    def __post_init__(self) -> None:
        _require_text("project", self.project)
        _require_text("entity", self.entity)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """The trackers of a sweep; None is one that is not told."""

    tensorboard: bool = True
    """Event files in the sweep's own folder."""
    mlflow: MlflowConfig | None = None
    wandb: WandbConfig | None = None

    def __iter__(self) -> Iterator[str]:
        """The names of those that are told."""
        return (name for name in TRACKERS if getattr(self, name) not in (None, False))


def read_tracking(content: Values, source: Source) -> TrackingConfig:
    """The file's `tracking`: a name, a list of names, or a block with options; TensorBoard alone where it has none.

    Raises:
        ConfigError: an unknown tracker or option, or a password in an address.
    """
    value = content.get("tracking")
    if value is None:
        return TrackingConfig()
    if isinstance(value, Mapping):
        return _of_block(value, source)
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ConfigError(
            f"{source.at('tracking')}: expected a list of trackers or a block with their options, got {quoted(value)}; "
            "write [] for none"
        )
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(
                f"{source.at('tracking')}: unknown tracker {quoted(name)}; {nearest(str(name), TRACKERS)}"
            )
    return TrackingConfig(
        tensorboard="tensorboard" in names,
        mlflow=MlflowConfig() if "mlflow" in names else None,
        wandb=WandbConfig() if "wandb" in names else None,
    )


def _of_block(block: Values, source: Source) -> TrackingConfig:
    """Trackers with options; ``tensorboard`` has none and stays on unless it is false."""
    known_keys(block, TRACKERS, source, ("tracking",))
    is_on = coerce(bool, block.get("tensorboard", True), source.at("tracking", "tensorboard"))
    return TrackingConfig(
        tensorboard=is_on,
        mlflow=_tracker(MlflowConfig, block, "mlflow", source),
        wandb=_tracker(WandbConfig, block, "wandb", source),
    )


def _tracker(kind: type[T], block: Values, name: str, source: Source) -> T | None:
    """What a block says of a tracker: ``mlflow:`` or ``mlflow: true`` is one without options, ``false`` is none."""
    options = block.get(name, False)
    return None if options is False else source.build(kind, None if options is True else options, "tracking", name)


def _require_text(key: str, value: str | None) -> None:
    require(value is None or bool(value.strip()), key, value, "some text, or left out")
