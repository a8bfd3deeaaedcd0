"""What packing will do to a sweep, in words: which arms' trials share a worker's passes, and how many at once."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.check.findings import ArmCheck
from tunekit.sweep import Sweep
from tunekit.training.pack_size import FIRST_ON_GPU, MOST_ON_CPU, MOST_ON_GPU, fill
from tunekit.wording import listed


def packing_in_words(sweep: Sweep, arms: Sequence[ArmCheck]) -> str:
    """The line of the page."""
    if sweep.resources.pack == "off":
        return "off; a worker trains one trial at a time"
    packs: dict[str, list[ArmCheck]] = {}
    for arm in arms:
        for key in sorted(key for key in arm.pack_keys if key is not None):
            packs.setdefault(key, []).append(arm)
    if not packs or sweep.resources.pack == 1:
        why = "no arm's trials can be packed" if not packs else "a pack of one"
        return f"{why}; a worker trains one trial at a time"
    groups = [f"{_names(found)} {_number(sweep, found)}" for found in packs.values()]
    alone = [arm.arm.name for arm in arms if arm.pack_keys == {None}]
    rest = [f"{listed(alone)} one at a time"] if alone else []
    return f"a worker trains together, of {'; of '.join(groups)}{''.join(f'; {text}' for text in rest)}"


def _names(arms: Sequence[ArmCheck]) -> str:
    """The arms of one pack; some pack only where an option leaves the backbone frozen."""
    names = [f"{arm.arm.name} (where its options allow it)" if None in arm.pack_keys else arm.arm.name for arm in arms]
    return listed(names)


def _number(sweep: Sweep, arms: Sequence[ArmCheck]) -> str:
    setting = sweep.resources.pack
    if setting != "auto":
        return f"up to {setting} trials"
    if sweep.resources.gpu > 0:
        return f"{FIRST_ON_GPU} to {MOST_ON_GPU} trials, as speed and memory are measured to allow"
    high, low = (
        min(MOST_ON_CPU, fill([tokens]))
        for tokens in (min(arm.update_tokens.low for arm in arms), max(arm.update_tokens.high for arm in arms))
    )
    return f"up to {high} trials" if low == high else f"{low} to {high} trials, by their batch sizes and lengths"
