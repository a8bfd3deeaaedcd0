"""What YAML 1.1 makes of a single value that looks like something else: refused, with what to write instead.

PyYAML reads ``1:30`` as 90, ``010`` as 8, ``1_0`` as 10 and ``no`` as false. A number counts only if it stands there
as everybody reads it: in decimal.
"""

from __future__ import annotations

import math
import re
from datetime import date

import yaml

from tunekit.errors import MOST

_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS = {"true", "false", "yes", "no", "on", "off"}
_NOTHING = ("", "~", "null", "Null", "NULL")
MOST_DIGITS = 19
"""A whole number with more of them is beyond 2^63."""


def kind_of(node: yaml.Node) -> str:
    """``str``, ``int``, ``float``, ``bool``, ``null``, ``timestamp``, ``merge``, ... as YAML reads it."""
    return str(node.tag).removeprefix(_TAG)


def shown(text: str) -> str:
    """A scalar as it stands in the file, not too much of it."""
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def problem_of_value(node: yaml.ScalarNode, *, may_be_date: bool = False) -> str | None:
    """Why a value may not stand so, and what to write; None if all is well.

    Args:
        node: as PyYAML composed it.
        may_be_date: where a date is taken as the text that it is.
    """
    text = str(node.value)
    match kind_of(node):
        case "str":
            return _problem_of_text(text)
        case "int":
            return _problem_of_whole(text)
        case "float":
            return _problem_of_fraction(text)
        case "bool":
            return None if text.lower() in _WORDS else f"{shown(text)} is neither true nor false"
        case "null":
            return None if text in _NOTHING else f"{shown(text)} is not null"
        case "timestamp":
            is_plain = may_be_date and _is_date(text)
            return None if is_plain else f"YAML reads {shown(text)} as a date: put it in quotes, '{shown(text)}'"
        case "merge" | "value":
            return f"{text} means something to YAML: put it in quotes, '{text}'"
    return f"not valid YAML here: the tag {shown(node.tag)} has no place in this file"


def problem_of_key(node: yaml.Node) -> str | None:
    """Why a key may not stand so, and what to write; None if all is well."""
    if not isinstance(node, yaml.ScalarNode):
        return "not valid YAML here: a key must be a word, not a list or a mapping"
    text, kind = str(node.value), kind_of(node)
    if kind == "bool":
        return f"YAML reads the key {text!r} as true or false: put it in quotes, {text!r}"
    if kind == "null":
        return f"YAML reads the key {text} as nothing: put it in quotes, '{text}'" if text else "a key is missing"
    problem = problem_of_value(node, may_be_date=True) if kind != "merge" else None
    if problem is None and (kind == "float" or text.startswith("+")) and kind != "str":
        return f"YAML reads the key {shown(text)} as a number: put it in quotes, '{shown(text)}'"
    return problem


def _problem_of_text(text: str) -> str | None:
    if "\0" in text:
        return f"{shown(repr(text))} holds a NUL character, which no name and no path may"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return f"{shown(repr(text))} holds half of a character (a lone surrogate)"
    return None


def _problem_of_whole(text: str) -> str | None:
    plain = text.replace("_", "").lower()
    digits = plain.lstrip("+-")
    if _WHOLE.fullmatch(text):
        too_large = len(digits) > MOST_DIGITS or int(digits) > 2**63
        return f"{shown(text)} is too large: a whole number is at most 2^63" if too_large else None
    if len(text) > MOST:
        return f"{shown(text)} is no number in decimal"
    base = _base_of(digits)
    if base is None:
        return f"{text} is not a whole number"
    value = yaml.SafeLoader("").construct_yaml_int(yaml.ScalarNode(_TAG + "int", text))
    if base == 60:
        return f"YAML reads {text} as {value} (in base 60): write {value}, {_sixtieths(text, value)}"
    if base == 10:
        return f"YAML reads {text} as {value} (without its _): write {value}, or '{text}' for a text"
    meant = f", {digits.lstrip('0')} if that is meant" if base == 8 else ""
    return f"YAML reads {text} as {value} (in base {base}): write {value}{meant}, or '{text}' for a text"


def _base_of(digits: str) -> int | None:
    """The base in which YAML 1.1 reads a whole number without its sign and its ``_``; None if it is none."""
    forms = ((2, "0b[01]+"), (16, "0x[0-9a-f]+"), (60, r"[0-9]+(:[0-5]?[0-9])+"), (8, "0[0-7]+"), (10, "[0-9]+"))
    return next((base for base, form in forms if re.fullmatch(form, digits)), None)


def _sixtieths(text: str, value: float) -> str:
    """What else may be meant by ``1:30``: hours and minutes as a decimal number, or the text itself."""
    return f"{value / 60 ** text.count(':'):.6g} if hours and minutes are meant, or '{text}' for a text"


def _problem_of_fraction(text: str) -> str | None:
    plain = text.replace("_", "").lower()
    if _DECIMAL.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            return f"{shown(text)} is too large for a number"
        is_lost = value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
        return f"{shown(text)} is too small for a number: write 0.0 if nothing is meant" if is_lost else None
    if plain.lstrip("+-") in (".inf", ".nan"):
        return f"YAML reads {text} as {plain.replace('.', '')}, which is not a finite number: write a number"
    if re.fullmatch(r"[-+]?[0-9]+(:[0-5]?[0-9])+\.[0-9]*", plain) and len(text) <= MOST:
        node = yaml.ScalarNode(_TAG + "float", text)
        value = yaml.SafeLoader("").construct_yaml_float(node)
        return f"YAML reads {text} as {value!r} (in base 60): write {value!r}, {_sixtieths(text, value)}"
    right = plain.lstrip("+").lstrip("0")
    if _DECIMAL.fullmatch(right):
        right = f"0{right}" if right.startswith(".") else right
        return f"{shown(text)} is no number in plain decimal: write {shown(right)}, or '{shown(text)}' for a text"
    return f"{shown(text)} is not a number"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
