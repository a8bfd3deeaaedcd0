"""Labels that were meant to be something else: what an entity tag, an ``O`` or no label at all was mistyped as."""

from __future__ import annotations

import re

OUTSIDE_SLIPS = ("o", "0", "Ｏ", "О", "Ο", "o-", "O-", "-O", "OO")
"""Meant as O: a small letter, a zero, a wide, a Cyrillic and a Greek letter, and more."""
PARTS_OF_SPEECH = frozenset(
    ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "CONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PRT", "PUNCT",
     "SCONJ", "SYM", "VERB", "NN", "NNS", "NNP", "VB", "VBD", "VBZ", "JJ", "RB", "IN", "DT")
)  # fmt: skip
_OTHER_SIGN_MARK = re.compile(r"[BIESLUM][:./|=~\u2010-\u2015\u2212]\S+")
_OTHER_SIGN = re.compile(r"[BIESLUM]\s*[_:./|=~\u2010-\u2015\u2212 -]\s*\S+")
_OTHER_SIGN_LAST = re.compile(r"\S+[:./|=~\u2010-\u2015\u2212][BIESLUM]")
_WRAPPED = re.compile(r"[^\w\s]+(?P<tag>[BIESLUM][-_]\w+)[^\w\s]*")
_BRACKET = re.compile(r"\(.*\*.*|\*\)+")
_LOWER = re.compile(r"[biesluml][-_]\S+")
_GLUED = re.compile(r"(?P<word>\S+?)(?P<tag>[BIESLUM][-_][A-Z][A-Za-z_]*)")
_NO_TYPE = re.compile(r"[BIESLUM][-_]?")
_OTHER_MARK = re.compile(r"(?P<mark>[A-Z])-\S+")


def is_slip(label: str) -> bool:
    """Whether a label was probably meant as another: as ``O``, or as a tag such as ``B-PER``."""
    if any(form.fullmatch(label) for form in (_OTHER_SIGN_MARK, _OTHER_SIGN_LAST, _WRAPPED, _BRACKET)):
        return True
    glued = _GLUED.fullmatch(label)
    is_glued = glued is not None and not glued["word"][-1].isupper()  # not such a type as WEB-SITE
    return label in OUTSIDE_SLIPS or bool(_LOWER.fullmatch(label)) or is_glued


def is_cut_wrongly(label: str) -> bool:
    """Whether a sign at its end shows that a label was not cut out of its line as it should be."""
    return label[:1].isalpha() and label[-1] in ",;\"'"


def is_no_type(label: str) -> bool:
    """Whether a label is no name for a type of entities: a number, a sign, or a part of speech."""
    return not label[:1].isalpha() or label in PARTS_OF_SPEECH


def cause_of(label: str, style: str) -> str:
    """Why a label is no entity tag, with its likely cause.

    Args:
        label: the label.
        style: how the other tags are written, such as ``B-PER`` (or ``PER``, types without a mark).
    """
    if label in OUTSIDE_SLIPS:
        return f"is nearly O: was it meant as O (U+004F)? It is {' '.join(f'U+{ord(sign):04X}' for sign in label)}"
    if is_cut_wrongly(label):
        return f"ends in {label[-1]!r}: is the separator of the columns another? (separator says which)"
    right = "types such as PER, or O" if style == "PER" else f"tags such as {style}, or O"
    return f"is no entity tag, but the labels are {right}; {_likely(label, style)}"


def _likely(label: str, style: str) -> str:
    if _LOWER.fullmatch(label):
        return f"was it meant as {label[0].upper()}{label[1]}{label[2:].upper()}, in capital letters?"
    if _NO_TYPE.fullmatch(label):
        return "its type is missing"
    if _OTHER_SIGN.fullmatch(label):
        return f"another sign stands between mark and type; was it meant as {label[0]}-{label[2:].strip()}?"
    if _OTHER_SIGN_LAST.fullmatch(label):
        return f"another sign stands between type and mark; was it meant as {label[-1]}-{label[:-2]}?"
    wrapped = _WRAPPED.fullmatch(label)
    if wrapped:
        return f"signs stand around the tag {wrapped['tag']!r}"
    if _BRACKET.fullmatch(label):
        return "brackets with * mark spans of words in CoNLL-2005 and 2012; write tags such as B-PER, I-PER and O"
    glued = _GLUED.fullmatch(label)
    if glued:
        return f"is the word {glued['word']!r} glued to its tag {glued['tag']!r}, without the separator?"
    if style == "PER":
        return "say scheme: or metric: accuracy if it is none"
    mark = _OTHER_MARK.fullmatch(label)
    if mark:
        return f"the mark {mark['mark']!r} is not known (marks: B, I, E, S, L, U, M)"
    return "write metric: accuracy if the labels mark no entities (or scheme: none)"
