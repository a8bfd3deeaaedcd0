"""Whether what a trial reads is still what it read before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tunekit import backbone as backbones
from tunekit.errors import DataChanged
from tunekit.schema import canonical_json
from tunekit.storage import file_digest
from tunekit.tasks import Task
from tunekit.trial import BackboneConfig, Locations

MAX_NAMED = 3
"""Changed things that a message spells out; the others are counted."""


def require_unchanged(
    before: Mapping[str, str], now: Mapping[str, str], *, problem: str, place: Callable[[str], str]
) -> None:
    """Refuse other bytes than before.

    Args:
        before: fingerprints by what they are of, such as ``train/en`` or ``backbone``.
        now: the same, taken now.
        problem: how the message begins, such as ``last.pt was trained on other data``.
        place: where the thing of a fingerprint is, such as a file's path.

    Raises:
        DataChanged: names what changed, and where it is.
    """
    changed = [key for key in dict.fromkeys((*before, *now)) if before.get(key) != now.get(key)]
    if not changed:
        return
    named = ", ".join(
        f"{key} in {place(key)} (fingerprint {before.get(key, 'none')}, now {now.get(key, 'none')})"
        for key in changed[:MAX_NAMED]
    )
    more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
    raise DataChanged(
        f"{problem}: {named}{more}; put back what was there, or delete the trial's folder to train it anew"
    )


# TODO replaced by the functions of the rooms tasks and backbone


def of_task(task: Task, *, target_dev: bool = False) -> dict[str, str]:
    """Until ``Task.fingerprints`` is there."""
    if hasattr(task, "fingerprints"):
        found: dict[str, str] = task.fingerprints(target_dev=target_dev)
        return found
    config = task.config
    keys = [("train", config.source_language), ("dev", config.source_language), ("test", config.source_language)]
    keys += [("test", name) for name in config.target_languages]
    keys += [("dev", name) for name in config.target_languages if target_dev]
    return {
        f"{split}/{name}": hashlib.sha256(
            canonical_json(task.examples(split, name)).encode()  # type: ignore[arg-type]
        ).hexdigest()[:16]
        for split, name in keys
    }


def of_parallel(task: Task, corpus: str, language: str) -> str:
    """Until ``ParallelText.fingerprint`` is there."""
    text = task.parallel_text
    if hasattr(text, "fingerprint"):
        return str(text.fingerprint(corpus, language))
    return hashlib.sha256(canonical_json(text.pairs(corpus, language)).encode()).hexdigest()[:16]


def of_backbone(config: BackboneConfig, locations: Locations) -> str:
    """Until ``backbone.fingerprint`` is there."""
    if hasattr(backbones, "fingerprint"):
        return str(backbones.fingerprint(config, locations))
    folder = Path(locations.backbone_path or config.name)
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors"))
    return hashlib.sha256(canonical_json([file_digest(path) for path in files]).encode()).hexdigest()[:16]


def place_of(task: Task, key: str, locations: Locations) -> str:
    """Until ``Task.where`` is there."""
    if key == "backbone":
        return locations.backbone_path or "its place"
    if hasattr(task, "where"):
        return str(task.where(key))
    return task.config.name
