"""The small Markdown of a report's texts as HTML: paragraphs, lists, bold and code. All else is shown as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_TOKEN = re.compile(
    r"""\\(?P<escaped>[!-/:-@\[-`{-~])          # what `tunekit.markdown.plain` kept from being markup
      | (?P<fence>`+)(?P<code>.+?)(?<!`)(?P=fence)(?!`)
      | (?P<bold>\*\*)
      | (?P<entity>&(?:\#\w+|\w+);)""",
    re.VERBOSE | re.DOTALL,
)


def blocks(markdown: str) -> Markup:
    """Paragraphs and lists, as ``<p>`` and ``<ul>``."""
    return Markup("\n").join(_block(block) for block in re.split(r"\n\s*\n", markdown.strip()) if block.strip())


def _block(block: str) -> Markup:
    lines = block.split("\n")
    if not all(line.startswith("- ") for line in lines):
        return Markup("<p>{}</p>").format(inline(block))
    items = (Markup("<li>{}</li>").format(inline(line.removeprefix("- "))) for line in lines)
    return Markup("<ul>{}</ul>").format(Markup("").join(items))


def inline(markdown: str) -> Markup:
    """The text of a line: bold and code as they are meant, and all else escaped."""
    found = list(_pieces(markdown))
    if found.count(None) % 2:  # two stars without their like are two stars
        last = len(found) - 1 - found[::-1].index(None)
        found[last] = Markup("**")
    parts, is_bold = [], False
    for piece in found:
        if piece is None:
            is_bold = not is_bold
            piece = Markup("<strong>") if is_bold else Markup("</strong>")
        parts.append(piece)
    return Markup("").join(parts)


def _pieces(markdown: str) -> Iterator[Markup | None]:
    """Escaped pieces in their order; None where bold begins or ends."""
    end = 0
    for token in _TOKEN.finditer(markdown):
        yield escape(markdown[end : token.start()])
        end = token.end()
        if token["bold"]:
            yield None
        elif token["fence"]:
            code = token["code"]
            inner = code[1:-1] if len(code) > 2 and code[0] == code[-1] == " " else code
            yield Markup("<code>{}</code>").format(inner)
        else:
            yield escape(token["escaped"] or html.unescape(token["entity"]))
    yield escape(markdown[end:])
