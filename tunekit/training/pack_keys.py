"""Which trials a worker may pack together: those with the same key. Loads the code of methods, but only when called."""

from __future__ import annotations

from tunekit.training.warm_keys import backbone_key, digest
from tunekit.trial import Locations, TrialConfig


def pack_key(config: TrialConfig, locations: Locations) -> str | None:
    """What `config` has in common with the trials that may be packed with it; None: it runs alone.

    ``pack:`` and 12 hex digits over the backbone (name, number format, place, device), the method, and those of its
    options that members must share. Lengths, rates, batch sizes, seeds and tasks may differ.

    Raises:
        ConfigError: no such method, or wrong options.
    """
    from tunekit import methods

    shared = methods.pack_options(config)
    if shared is None:
        return None
    return f"pack:{digest([backbone_key(config.backbone, locations), config.method, shared])}"
