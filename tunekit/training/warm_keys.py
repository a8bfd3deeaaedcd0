"""Short names of what a worker's cache holds, so that a dispatcher can tell which trials a worker is warm for.

Pure functions of the configuration, without torch: dispatcher and worker work out the same keys on their own.
"""

from __future__ import annotations

import dataclasses
import hashlib

from tunekit.schema import canonical_json
from tunekit.trial import BackboneConfig, Locations, TaskConfig


def task_key(config: TaskConfig, locations: Locations) -> str:
    """The key of a task: ``task:`` and 12 hex digits over its configuration and the places of its data."""
    places = dataclasses.replace(locations, backbone_path=None, cache_dir=None, device=None)
    return f"task:{digest([config, places])}"


def backbone_key(config: BackboneConfig, locations: Locations) -> str:
    """The key of a backbone: ``backbone:`` and 12 hex digits over its name, number format, place and device."""
    place = [locations.backbone_path, locations.cache_dir, locations.device]
    return f"backbone:{digest([config.name, config.revision, config.dtype, place])}"


def digest(value: object) -> str:
    """12 hex digits that tell one JSON value from another."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]
