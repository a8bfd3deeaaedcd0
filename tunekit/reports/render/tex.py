"""A text inside LaTeX: it is shown as it is and does nothing, with pdflatex and no further package.

Letters with accents are written with LaTeX's own accents. Letters that no font of pdflatex has (most scripts) are
written as their numbers in Unicode; :func:`unwritten` says which they were.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tunekit.wording import one_line

_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "{''}",
    "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$", "√": r"$\surd$",
    "←": r"$\leftarrow$", "→": r"$\rightarrow$", "·": r"$\cdot$", "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$",
    "–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "‘": "{`}", "“": "{``}", "”": "{''}", "\u00a0": "~",
    "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}", "ø": r"{\o}", "Ø": r"{\O}",
    "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "¡": "{!`}", "¿": "{?`}", "§": r"\S{}",
}  # fmt: skip
"""``[`` and ``*`` would be read as options of the line break before them."""
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip


def tex(text: str) -> str:
    """`text`, in one line, as LaTeX that shows it.

    >>> print(tex("a_b & 5 % in Zürich"), tex("中文"))
    a\\_b \\& 5 \\% in Z\\"{u}rich U+4E2D U+6587
    """
    flat = unicodedata.normalize("NFC", one_line(text, limit=len(text) + 1))
    written: list[str] = []
    for before, sign in zip(f" {flat}", flat, strict=False):
        if _is_unknown(sign):
            written.append(" " * _is_unknown(before) + f"U+{ord(sign):04X}")
        else:
            written.append("{}" * (sign == before and sign in "-'") + _known(sign))
    return "".join(written)


def unwritten(texts: Iterable[str]) -> dict[str, str]:
    """The words of `texts` in which a letter is written as its number, by how they are written."""
    words = dict.fromkeys(word for text in texts for word in re.findall(r"[^\s:;,()\[\]]+", text))
    return {tex(word): word for word in words if any(map(_is_unknown, unicodedata.normalize("NFC", word)))}


def _known(sign: str) -> str:
    if sign in _SIGNS or sign.isascii():
        return _SIGNS.get(sign, sign)
    base, *accents = list(unicodedata.normalize("NFD", sign))
    for accent in accents:
        base = f"\\{_ACCENTS[accent]}{{{base}}}"
    return base


def _is_unknown(sign: str) -> bool:
    if sign in _SIGNS or sign.isascii():
        return False
    base, *accents = list(unicodedata.normalize("NFD", sign))
    return not (base.isascii() and accents and all(accent in _ACCENTS for accent in accents))


def comment(text: str) -> str:
    """`text` as a line of comment."""
    return f"% {one_line(text, limit=1000)}"
