"""Whether trials read the bytes that their sweep began with."""

from __future__ import annotations

from tunekit.errors import DataChanged
from tunekit.sweep import Arm
from tunekit.trial import TrialFacts


class Fingerprints:
    """What the trials of each arm have read, known from the first that said so."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def require_same(self, arm: Arm, facts: TrialFacts) -> None:
        """Take what a trial of `arm` reads.

        Raises:
            DataChanged: an earlier one has read other bytes; says what changed, and where it is.
        """
        known = self._known.setdefault(arm.name, {})
        for key, fingerprint in facts.fingerprints.items():
            before = known.setdefault(key, fingerprint)
            if before != fingerprint:
                raise DataChanged(
                    f"{what_was_read(arm, key)} changed since the sweep began: its fingerprint was {before} and is now "
                    f"{fingerprint} (arm {arm.name!r}). Put it back as it was and resume, or start a new sweep under "
                    "another --name"
                )


def what_was_read(arm: Arm, key: str) -> str:
    """What a fingerprint's key means for a reader: data or backbone, and where it is."""
    where, task = arm.locations, arm.task.name
    kind, _, rest = key.partition("/")
    if kind == "backbone":
        return f"the backbone {arm.backbone.name!r} ({where.backbone_path or 'from the hub, or made here'})"
    if kind == "parallel":
        corpus, _, language = rest.partition("/")
        folder = {"files": where.parallel_dir, "fewshot": where.fewshot_dir}.get(corpus, where.data_dir)
        return f"the parallel text {corpus!r} in {language!r} ({folder or 'from the hub, or made here'})"
    files = where.files if isinstance(where.files, str) else None
    return f"{kind} of {task!r} in {rest!r} ({files or where.data_dir or 'from the hub, or made here'})"
