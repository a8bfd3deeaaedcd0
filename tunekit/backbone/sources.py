"""Where a backbone is read from: a folder on this machine or a repository of the hub, at one commit."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar, cast

from safetensors import SafetensorError
from transformers import logging as transformers_logging
from transformers.utils.hub import cached_file

from tunekit.errors import ConfigError
from tunekit.patience import closed_door, passing, persist
from tunekit.registry import BACKBONES, lookup
from tunekit.trial import BackboneConfig, Locations

T = TypeVar("T")


class ReadingArguments(TypedDict, total=False):
    """What transformers' ``from_pretrained`` is called with beside the place itself."""

    revision: str
    local_files_only: bool
    trust_remote_code: bool


class _Logging(Protocol):
    """The part of transformers' logging that is used here; transformers leaves it untyped."""

    def get_verbosity(self) -> int: ...
    def set_verbosity(self, verbosity: int) -> None: ...
    def set_verbosity_error(self) -> None: ...
    def is_progress_bar_enabled(self) -> bool: ...
    def enable_progress_bar(self) -> None: ...
    def disable_progress_bar(self) -> None: ...


_logging = cast(_Logging, transformers_logging)


def source_of(config: BackboneConfig, locations: Locations) -> Path | str:
    """A folder that holds a model, or a hub id. A toy backbone that is not there yet is built.

    Raises:
        ConfigError: there is no such folder, or it has no config.json.
    """
    locations = locations.here()
    if locations.backbone_path is not None:
        folder = Path(locations.backbone_path)
    elif config.name in BACKBONES:
        folder = Path(lookup("backbone", config.name)(locations))
    elif Path(config.name).is_absolute() or config.name.startswith((".", "~")) or config.name.count("/") > 1:
        folder = Path(config.name).expanduser()
    else:
        return config.name
    if not folder.is_dir():
        raise ConfigError(f"backbone {config.name!r}: there is no folder {str(folder)!r}")
    if not (folder / "config.json").is_file():
        have = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ConfigError(f"backbone {config.name!r}: {str(folder)!r} has no config.json (it holds: {have})")
    return folder


def arguments_for(config: BackboneConfig, source: Path | str, *, local_only: bool = False) -> ReadingArguments:
    """How transformers is to read `source`: a folder without any network, a hub id at one commit; never its code.

    Where nothing is said of code, transformers asks on the terminal whether to run it. The architectures that are
    supported need none.

    Raises:
        OSError: the hub id is unknown, or neither the hub nor a copy on this machine can be reached.
    """
    if isinstance(source, Path):
        return {"local_files_only": True, "trust_remote_code": False}
    commit = commit_of(source, config.revision, local_only=local_only)
    return {"revision": commit, "local_files_only": local_only, "trust_remote_code": False}


def commit_of(hub_id: str, revision: str | None, *, local_only: bool = False) -> str:
    """The commit that a revision of a hub repository resolves to.

    The hub is asked once per process, so that everything that a process reads is of one commit. Where it cannot be
    reached, or with `local_only`, this is the commit of the copy on this machine.

    Raises:
        OSError: the hub id or the revision is unknown, or neither the hub nor a copy can be reached.
    """
    return _cached_commit(hub_id, revision or "main") if local_only else _commit(hub_id, revision or "main")


@cache
def _commit(hub_id: str, revision: str) -> str:
    return _commit_in_path(cached_file(hub_id, "config.json", revision=revision), hub_id)


def _cached_commit(hub_id: str, revision: str) -> str:
    return _commit_in_path(cached_file(hub_id, "config.json", revision=revision, local_files_only=True), hub_id)


def _commit_in_path(path: str | None, hub_id: str) -> str:
    """The hub's files are kept as ``.../snapshots/<commit>/config.json``."""
    if path is None:
        raise OSError(f"{hub_id} has no config.json")
    return Path(path).parent.name


def until_read(read: Callable[[], T], config: BackboneConfig, source: Path | str) -> T:
    """What `read` gives; tried again where the hub, or the share that a folder lies on, fails for a while.

    Raises:
        OSError: it did not pass.
    """
    doing = f"read backbone {config.name!r} from {source}"
    return persist(read, partial(passing, doing=doing), errors=Exception)


@contextmanager
def loading_errors(config: BackboneConfig, source: Path | str, *, what: str = "it") -> Iterator[None]:
    """Turn what goes wrong inside transformers into one clear message, and keep its reports off the screen.

    Args:
        config: the backbone.
        source: what is read in the block.
        what: the part of it that is read, as the message calls it.

    Raises:
        ConfigError: the block raised an error of a file, of the hub or of what a file holds.
        MemoryError: memory does not suffice.
    """
    verbosity = _logging.get_verbosity()
    shows_progress = _logging.is_progress_bar_enabled()
    _logging.set_verbosity_error()
    if isinstance(source, Path):
        _logging.disable_progress_bar()
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "custom code" in reason:
            raise ConfigError(
                f"backbone {config.name!r}: {str(source)!r} brings code of its own, which tunekit never runs; "
                "a backbone of an architecture that transformers itself has is needed"
            ) from None
        if "can't allocate memory" in reason or getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError(
                f"backbone {config.name!r} does not fit into what is free of the memory: {reason}"
            ) from None
        if isinstance(source, Path):
            right = "a folder in the hub's format holds config.json, model.safetensors and tokenizer.json"
        else:
            right = (
                closed_door(error)
                or "is it a Hugging Face hub id, and can the hub be reached? A local folder also works"
            )
        message = f"backbone {config.name!r}: cannot load {what} from {str(source)!r}: {reason}; {right}"
        raise ConfigError(message) from error
    finally:
        _logging.set_verbosity(verbosity)
        if shows_progress:
            _logging.enable_progress_bar()
