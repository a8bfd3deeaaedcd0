"""Reader of JSON lines: one object for each example."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tunekit.errors import DataError, nearest
from tunekit.tasks.examples import Example, Kind, PairExample, TokenExample
from tunekit.tasks.readers.layout import ROLES
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.rows import clean_label, rows_of, short


def jsonl(path: Path, kind: Kind, columns: Sequence[str] = ()) -> Parsed:
    """Pairs as ``{"sentence1": .., "sentence2": .., "label": ..}``, sentences as ``{"words": [..], "labels": [..]}``.

    Args:
        path: the file; blank lines are skipped, and so is a sentence of no words.
        kind: what an object holds.
        columns: the keys read (words, labels / first text, second text, label); default their usual names. A label
            may be text, a whole number, which becomes text, or null, which becomes an empty label.

    Raises:
        DataError: a line is not an object, lacks a key, or a value has the wrong type.
    """
    parsed = Parsed()
    chosen: list[list[str]] = []
    for number, row in enumerate(rows_of(path), 1):
        if not row.strip():
            continue
        place = f"{path}:{number}"
        content = _object(place, row)
        keys = _keys(place, content, kind, columns)
        if keys not in chosen:
            chosen.append(keys)
        example = _example(place, kind, [content[key] for key in keys])
        if example is None:
            parsed.left_out["sentences without words"] += 1
        else:
            parsed.examples.append(example)
            parsed.lines.append((number,) * (len(example.words) if isinstance(example, TokenExample) else 1))
    parsed.notes += [
        "keys: " + ", ".join(f"{role} {key!r}" for role, key in zip(ROLES[kind], keys, strict=True)) for keys in chosen
    ]
    return parsed


def _object(place: str, row: str) -> dict[str, object]:
    try:
        content = json.loads(row)
        json.dumps(content, ensure_ascii=False).encode()  # no tokenizer takes half of a surrogate pair
    except UnicodeEncodeError:
        raise DataError(
            f"{place}: half of a surrogate pair (such as \\ud83d) stands alone; it is no character"
        ) from None
    except ValueError as error:
        raise DataError(f"{place}: not JSON: {error}") from None
    except RecursionError:
        raise DataError(f"{place}: lists or objects are nested too deep in {short(row)}") from None
    if not isinstance(content, dict):
        hint = "; pandas writes one on each line with lines=True" if isinstance(content, list) else ""
        raise DataError(f"{place}: expected an object such as {{...}}, got {row[:60]!r}{hint}")
    return content


def _keys(place: str, content: dict[str, object], kind: Kind, columns: Sequence[str]) -> list[str]:
    choices = [(name,) for name in columns] if columns else list(ROLES[kind].values())
    keys = []
    for names in choices:
        name = next((name for name in names if name in content), None)
        if name is None:
            raise DataError(f"{place}: no key {names[0]!r}; {nearest(names[0], content)}")
        keys.append(name)
    return keys


def _example(place: str, kind: Kind, values: list[object]) -> Example | None:
    if kind == "pair":
        return PairExample(_text(place, values[0]), _text(place, values[1]), _label(place, values[2]))
    words, labels = (_list(place, value) for value in values)
    if len(words) != len(labels):
        raise DataError(f"{place}: {len(words)} words but {len(labels)} labels; each word needs one label")
    found = TokenExample(tuple(_word(place, word) for word in words), tuple(_label(place, label) for label in labels))
    return found if words else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: expected a text, got {_shown(value)}")
    return value


def _list(place: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise DataError(f"{place}: expected a list with one entry for each word, got {str(value)[:60]!r}")
    return value


def _word(place: str, value: object) -> str:
    if not isinstance(value, str) or not value or any(sign in value for sign in "\t\n\r"):
        raise DataError(f"{place}: expected a word, got {_shown(value)}")
    return value


def _label(place: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{place}: label is {_shown(value)}, must be text or a whole number")
    return clean_label(str(value))
