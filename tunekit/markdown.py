"""Names and values from outside inside Markdown: they are shown as they are and do nothing."""

from __future__ import annotations

import re

from tunekit.wording import one_line


def plain(text: object, *, limit: int = 200) -> str:
    """A name or a value from outside as Markdown that shows it as it is, in one line: no markup, no HTML, no link.

    It is cut at `limit` characters.
    """
    flat = one_line(str(text), limit=limit)
    flat = re.sub("&(?=#?[0-9A-Za-z]+;)", "&amp;", flat)
    flat = re.sub("<(?=[A-Za-z/!?])", "&lt;", flat)  # before anything else it is a sign like others
    return re.sub(r"([*`]|\\(?=[!-/:-@\[-`{-~])|\](?=\())", r"\\\1", flat)


def unmarked(markdown: str) -> str:
    """What `plain` made, as it was."""
    return re.sub(r"\\([*`\\\]])", r"\1", markdown).replace("&lt;", "<").replace("&amp;", "&")


def code(text: object) -> str:
    """`text` as Markdown code, whatever backticks it holds."""
    plain = one_line(str(text))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    return f"{fence} {plain} {fence}" if len(fence) > 1 else f"`{plain}`"
