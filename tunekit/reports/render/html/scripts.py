"""The scripts of the page, and the policy that lets a browser run these and nothing else, and load nothing at all.

Plotly's own file is taken from its Python package, so that both have one version. It is packed (gzip, base64), which
every browser since 2023 can undo, and so the page is 3 MB smaller.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache

from markupsafe import Markup

from tunekit.reports.figures.figure import Figure


@cache
def plotly() -> tuple[str, str]:
    """Plotly's script, packed, and its source expression for a policy."""
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(script, 6, mtime=0)).decode(), source_expression(script)


def source_expression(script: bytes) -> str:
    """How a policy names a script by its content (Content Security Policy Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def policy(*scripts: str) -> str:
    """The policy of the page: `scripts`, source expressions, may run; styles stand in the page; nothing is loaded."""
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(scripts) or "'none'",
        "style-src": "'unsafe-inline'",  # plotly writes the style of each element
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{key} {value}" for key, value in rules.items())


def figure_data(figure: Figure) -> Markup:
    """What plotly is told, as JSON inside a ``<script>`` element, which it cannot end."""
    text = json.dumps(figure.drawing, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
