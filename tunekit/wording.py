"""How numbers, durations, parameters and lists are written for people: one function for each, used everywhere.

Scores are fractions in [0, 1] inside tunekit and become percentages here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tunekit.redaction import without_secrets

NOTHING = "–"
"""Stands where a table has no value."""


def count(number: float | None) -> str:
    """A number rounded to a whole one, with thousands set apart; :data:`NOTHING` for None.

    >>> count(12345), count(None)
    ('12,345', '–')
    """
    return NOTHING if number is None else f"{round(number):,}"


def plural(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> plural(1, "trial"), plural(2000, "trial")
    ('1 trial', '2,000 trials')
    """
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def short(number: float) -> str:
    """A number with one decimal below ten, and none from there on.

    >>> short(2.34), short(2345.6)
    ('2.3', '2,346')
    """
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def percent(score: float | None, *, decimals: int = 1) -> str:
    """A score, a fraction, as a percentage without its sign; :data:`NOTHING` for None.

    >>> percent(0.8567), percent(0.8567, decimals=2), percent(-1e-9), percent(None)
    ('85.7', '85.67', '0.0', '–')
    """
    return NOTHING if score is None else f"{100 * score:z.{decimals}f}"


def share(fraction: float) -> str:
    """A part of a whole, with four digits that count.

    >>> share(0.00369245), share(1.0)
    ('0.3692 %', '100 %')
    """
    return f"{100 * fraction:.4g} %"


def duration(seconds: float) -> str:
    """An amount of time in the unit that needs few digits: seconds, minutes, hours or days.

    >>> [duration(seconds) for seconds in (90, 5400, 9000, 180_000)]
    ['90 s', '90 min', '2.5 h', '2.1 days']
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{short(seconds / 86400)} days"


def in_bytes(num_bytes: float) -> str:
    """A number of bytes in the unit that needs few digits.

    >>> [in_bytes(number) for number in (512, 1536, 300 * 2**20, 1010 * 2**20, 3 * 2**29, 5 * 2**40)]
    ['512 B', '1.5 KiB', '300 MiB', '1010 MiB', '1.5 GiB', '5 TiB']
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if num_bytes >= 100 else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:,.4g} TiB"


def clock(seconds: float) -> str:
    """Time as it passes: ``1:02:03``, or ``2:03`` below an hour.

    >>> clock(3723), clock(123.9)
    ('1:02:03', '2:03')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def names(items: Iterable[object]) -> str:
    """A list inside a sentence.

    >>> names("a"), names("ab"), names("abc")
    ('a', 'a and b', 'a, b and c')
    """
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def listed(items: Iterable[object]) -> str:
    """A list outside a sentence.

    >>> listed([10, 42, 421])
    '10, 42, 421'
    """
    return ", ".join(str(item) for item in items)


def parameter(value: object) -> str:
    """The value of one parameter, a number to four digits that count.

    >>> parameter(0.00123456), parameter(True)
    ('0.001235', 'True')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def parameters(values: Mapping[str, object], *, join: str = " ", between: str = ", ") -> str:
    """Parameters in one line.

    Args:
        values: by name.
        join: stands between a name and its value.
        between: stands between two parameters.

    >>> parameters({"learning_rate": 0.001, "batch_size": 8})
    'learning_rate 0.001, batch_size 8'
    """
    return between.join(f"{name}{join}{parameter(value)}" for name, value in values.items())


MOST_IN_A_MESSAGE = 4
"""So many times its limit of a message is looked at; a library can quote a whole file."""


def printable(text: str, *, limit: int = 4000) -> str:
    """A message from outside as text that any file and terminal takes, without secrets, a page or two at most.

    >>> printable("caf\\udce9 is gone"), printable("abcdef", limit=3)
    ('caf\\\\udce9 is gone', 'abc ... and 3 more characters')
    """
    most = limit * MOST_IN_A_MESSAGE
    kept = without_secrets(text[:most])  # before it is cut to its limit: half a secret is not known for one
    found = kept.encode("utf-8", "backslashreplace").decode()
    left = len(found) + len(text[most:]) - limit
    return f"{found[:limit]} ... and {count(left)} more characters" if left > 0 else found


_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would obey instead of showing it: control characters, changes of direction; half characters."""


def visible(text: str) -> str:
    """`text` with what a terminal would obey spelled out; line feeds and tabs stay.

    >>> visible("red: \\x1b[31m")
    'red: \\\\x1b[31m'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str, *, limit: int = 200) -> str:
    """`text` without line breaks, cut at `limit` characters; what is no character to be seen is spelled out.

    >>> one_line("lost: no\\n  space left", limit=14)
    'lost: no spac…'
    """
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def shortened(name: str, *, limit: int) -> str:
    """A name in one line, with its middle left out beyond `limit` characters: names often differ at their end.

    >>> shortened("topro-with-shared-sentences@16", limit=16)
    'topro-wit…ces@16'
    """
    flat, end = one_line(name, limit=10 * limit), limit * 2 // 5
    return flat if len(flat) <= limit else f"{flat[: limit - end - 1]}…{flat[-end:]}"
