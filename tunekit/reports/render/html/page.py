"""Writes ``report.html``: chapters into a template, with styles and scripts inside, and nothing outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from tunekit.reports.caveats import caveats
from tunekit.reports.figures.figure import Figure
from tunekit.reports.files import save
from tunekit.reports.render.formats import LEFT, value_text
from tunekit.reports.render.html import markup, scripts
from tunekit.reports.render.html.chapters import Contents, chapters, opening
from tunekit.reports.render.html.parts import Chapter, Gallery
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Cell, Column
from tunekit.storage import AnyPath
from tunekit.wording import plural, printable

if TYPE_CHECKING:
    import jinja2

LONG = 24
"""Characters of a cell that wants more room than its heading."""


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``report.html`` into `out`."""
    return [save(out / "report.html", render(result))]


def render(result: SweepResult) -> str:
    """The whole page."""
    contents = Contents(result)
    top = opening(contents)
    found = chapters(result, contents)
    page, code = _environment(), _source("report.js")
    has_figures = any(True for _ in figures(found))
    packed, packed_source = scripts.plotly() if has_figures else ("", "")
    allowed = [scripts.source_expression(code.encode()), *([packed_source] if has_figures else [])]
    text = page.get_template("report.html.jinja").render(
        title=f"Sweep {result.sweep.name}",
        opening=top,
        chapters=found,
        num_caveats=plural(len(caveats(result)), "thing") if caveats(result) else "",
        policy=scripts.policy(*allowed),
        style=Markup(_source("report.css")),
        script=Markup(code),
        plotly=Markup(packed),
    )
    return text + "\n"


def figures(found: list[Chapter]) -> Iterator[Figure]:
    """Every figure of the page, in its order."""
    for chapter in found:
        for block in chapter.blocks:
            for part in block.parts:
                if isinstance(part, Figure):
                    yield part
                elif isinstance(part, Gallery):
                    yield from part.figures


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tunekit.reports.render", "html"),
        autoescape=True,  # whatever a template is called
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "anchor": anchor,
        "blocks": markup.blocks,
        "inline": markup.inline,
        "cell": cell_markup,
        "align": align,
        "is_long": lambda cell: isinstance(cell.value, str) and len(cell.value) > LONG,
        "drawn": scripts.figure_data,
        "kind": lambda part: type(part).__name__,
    }
    return made


@cache
def _source(name: str) -> str:
    """The text of a file beside the template."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def anchor(text: str) -> str:
    """`text` as an element's id: letters and digits as they are, all else as its code."""
    return "".join(sign if re.match(r"[\w-]", sign) else f".{ord(sign):x}" for sign in text)


def align(column: Column) -> str:
    """The class of a column's cells."""
    return "text" if column.kind in LEFT else "number"


def cell_markup(cell: Cell, column: Column) -> Markup:
    """A cell: mean and spread apart, the best in bold, its marks raised, as `formats.cell_text` has them in a line."""
    mean, sign, spread = value_text(cell.value, column.kind).partition(" ± ")
    is_code = column.kind == "code" and isinstance(cell.value, str)
    shown = Markup("<code>{}</code>" if is_code else "{}").format(printable(mean))
    if cell.is_best:
        shown = Markup("<strong>{}</strong>").format(shown)
    if sign:
        shown += Markup(' <span class="spread">±\u00a0{}</span>').format(spread)
    if cell.remark:
        shown += Markup(' <span class="remark">{}</span>').format(cell.remark)
    if cell.marks:
        shown += Markup('<span class="marks">{}</span>').format("".join(cell.marks))
    return shown
