"""Whether what a trial reads is still what it read before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunekit.errors import DataChanged

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
