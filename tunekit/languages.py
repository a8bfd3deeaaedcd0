"""What is known of languages: how they are written, and how much data there is for them.

`script` is the ISO 15924 code of the script that a language is mostly written in: the likely script of Unicode's CLDR.
`resource_class` is the class of Joshi et al. 2020, "The State and Fate of Linguistic Diversity and Inclusion in the NLP
World" (ACL 2020), from 0, no data at all, to 5, much labelled and unlabelled data; their list is published as
``lang2tax.txt`` at microsoft.github.io/linguisticdiversity. A language that is not in the table, or of which the list
has no one class, is unknown; nothing is guessed.
"""

from __future__ import annotations

import re

__all__ = ["SCRIPTS", "SOURCE", "resource_class", "script", "separates_words", "table_code"]

SOURCE = "classes 0 to 5 of Joshi et al. 2020 (arXiv:2004.09095), scripts of Unicode CLDR"
"""Where the table comes from, in a line."""

_TABLE = """
af Latn 3, am Ethi 2, ar Arab 5, az Latn 1, be Cyrl 3, bg Cyrl 3, bn Beng 3, bo Tibt 1, bs Latn 3, ca Latn 4,
ceb Latn 3, cs Latn 4, cy Latn 1, da Latn 3, de Latn 5, el Grek 3, en Latn 5, eo Latn 1, es Latn 5, et Latn 3,
eu Latn 4, fa Arab 4, fi Latn 4, fo Latn 1, fr Latn 5, ga Latn 2, gl Latn 3, gn Latn 1, gu Gujr 1, ha Latn 2,
he Hebr 3, hi Deva 4, hr Latn 4, ht Latn 2, hu Latn 4, hy Armn 1, id Latn 3, is Latn 2, it Latn 4, ja Jpan 5,
jv Latn 1, ka Geor 3, kk Cyrl 3, km Khmr 1, kn Knda 1, ko Kore 4, ky Cyrl 1, la Latn 3, lb Latn 1, lo Laoo 2,
lt Latn 3, lv Latn 3, mk Cyrl 1, ml Mlym 1, mn Cyrl 1, mr Deva 2, ms Latn 3, mt Latn 2, my Mymr 1, nb Latn 1,
ne Deva 1, nl Latn 4, nn Latn 1, no Latn 1, pa Guru 2, pl Latn 4, ps Arab -, pt Latn 4, qu Latn 1, ro Latn 3,
ru Cyrl 4, rw Latn 1, sa Deva 2, si Sinh -, sk Latn 3, sl Latn 3, so Latn 1, sq Latn 1, sr Cyrl 4, su Latn 1,
sv Latn 4, sw Latn 2, ta Taml 3, te Telu 1, tg Cyrl 1, th Thai 3, ti Ethi 2, tl Latn 3, tn Latn 2, tr Latn 4,
ug Arab 1, uk Cyrl 3, ur Arab 3, uz Latn 3, vi Latn 4, wo Latn 2, xh Latn 2, yo Latn 2, yue Hant -, zh Hans 5,
zu Latn 2
"""
SCRIPTS = {
    "Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
    "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi",
    "Hans": "Han, simplified", "Hant": "Han, traditional", "Hebr": "Hebrew", "Jpan": "Japanese", "Khmr": "Khmer",
    "Knda": "Kannada", "Kore": "Korean", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam", "Mymr": "Myanmar",
    "Sinh": "Sinhala", "Taml": "Tamil", "Telu": "Telugu", "Thai": "Thai", "Tibt": "Tibetan",
}  # fmt: skip
"""Scripts by their codes."""
_OTHER_CODES = {"fil": "tl", "in": "id", "iw": "he", "cmn": "zh"}
"""Further codes of a language in the table."""
_WITHOUT_SPACES = frozenset({"Hans", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"})
"""Scripts whose texts do not part words by white space."""
_KNOWN = {code: (script, level) for code, script, level in (row.split() for row in _TABLE.strip().split(","))}


def table_code(language: str) -> str:
    """The code by which tables of languages have a language: in lower case, without script and region.

    >>> table_code("zh-Hant"), table_code("fil"), table_code("xx")
    ('zh', 'tl', 'xx')
    """
    code = re.split("[-_]", language.lower())[0]
    return _OTHER_CODES.get(code, code)


def _row(language: str) -> tuple[str, str] | None:
    return _KNOWN.get(table_code(language))


def script(language: str) -> str | None:
    """The script, one of `SCRIPTS`, of a language code such as ``en`` or ``zh-Hant``; None if it is unknown.

    >>> script("ru"), script("zh-Hant"), script("xx")
    ('Cyrl', 'Hant', None)
    """
    parts = re.split("[-_]", language)[1:]
    named = next((part.title() for part in parts if part.title() in SCRIPTS), None)
    found = _row(language)
    return named or (found[0] if found else None)


def resource_class(language: str) -> int | None:
    """The class of a language by its resources, 0 to 5; None if it is unknown.

    >>> resource_class("en"), resource_class("sw"), resource_class("xx")
    (5, 2, None)
    """
    found = _row(language)
    return int(found[1]) if found and found[1] != "-" else None


def separates_words(language: str) -> bool:
    """Whether white space parts the words of a text; a language of unknown script is taken to do so.

    >>> separates_words("de"), separates_words("ja")
    (True, False)
    """
    return script(language) not in _WITHOUT_SPACES
