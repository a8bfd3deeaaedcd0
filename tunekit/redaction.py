"""Secrets in texts that others wrote: an error of a library may quote an address with a token, or a whole request.

What becomes a reason in the journal, a line in a log or a page for a person goes through :func:`without_secrets`. It
knows secrets by three signs: the value of an environment variable whose name speaks of one, the place where the text
has it (an address, a header, a key with its value), and the form of well-known tokens. A secret without any of these
signs is not found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

SHORTEST = 6
"""Characters. The value of a variable that is shorter, such as ``1`` or ``none``, is a word rather than a secret."""

SPEAKS_OF_ONE = re.compile(r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|ACCESS_?KEY|(^|_)KEY$|(^|_)AUTH$")
"""In the name of an environment variable."""

SPEAKS_OF_NONE = re.compile(r"PATH$|FILE$|DIR$|MODE$|PARALLELISM$|URL$|_URI$|TIMEOUT|METHOD$|SOCK$|EXPIR|TOKENIZERS")
"""In the name of a variable that holds a place or a switch, whatever else the name says."""

_ALWAYS = (
    r"[\w.-]*(?:secret|passw(?:or)?d|api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|private[_-]?key"
    r"|(?:access|auth|refresh|session|security)[_-]?token|[_-]signature|[_-]credential|awsaccesskeyid)"
)
"""A key whose value is a secret."""
_SOMETIMES = r"(?:[\w.-]*[_-])?token"
"""A key whose value is a secret, or a piece of a text."""
_QUOTE = r"(?:b(?=['\"]))?+['\"]?+"
_VALUE = r"[^\s'\",;&)}\]#]"
_SCHEME = r"\b[a-z][a-z0-9+.-]{0,20}://"

# What is kept of each stands in a group; the lengths have bounds so that a huge text takes no time that is felt.
_PRIVATE_KEY = r"()-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \2-----|\Z)"
_PASSWORD_IN_ADDRESS = rf"({_SCHEME})[^\s/:@'\"<>]{{0,300}}:(?!\d{{1,5}}/)[^\s@'\"<>]{{1,300}}(?=@)"  # not :PORT/
_TOKEN_IN_ADDRESS = rf"({_SCHEME})(?!\[hidden\])[^\s/:@'\"<>]{{16,300}}(?=@)"  # a shorter one is a person's name
_HEADER = (
    rf"(\b(?:authorization|cookie)\b['\"]?\s*[:=]\s*{_QUOTE}(?:(?:bearer|basic|token|digest|negotiate)\s+)?+)"
    rf"(?!\[hidden\]){_VALUE}+"
)
_BEARER = r"(\b(?:bearer|basic)\s+)(?=[\w.~+/-]{0,100}[\d=])[\w.~+/=-]{12,}"
_KEY = rf"((?<![\w.-]){_ALWAYS}(?:['\"]\s*[:=]|\s*=)\s*{_QUOTE})(?!\[hidden\]){_VALUE}{{4,}}"
_KEY_IN_PROSE = (
    rf"((?<![\w.-])(?:{_ALWAYS}|{_SOMETIMES})['\"]?\s*[:=]\s*{_QUOTE})(?!\[hidden\])"
    rf"(?={_VALUE}{{0,100}}\d){_VALUE}{{8,}}"
)
_PARAMETER = r"([?&](?:sig|signature|key|code|auth|token)=)(?!\[hidden\])[^\s&'\"#]{4,}"
_KNOWN_FORM = (
    r"()\b(?:(?:hf|api_org)_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{20,}|ya29\.[\w-]{20,}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,}"
    r"|sk-[A-Za-z0-9_-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_SIGNS = [
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (_PRIVATE_KEY, _PASSWORD_IN_ADDRESS, _TOKEN_IN_ADDRESS, _HEADER, _BEARER, _KEY, _KEY_IN_PROSE)
]
_SIGNS += [re.compile(_PARAMETER, re.IGNORECASE), re.compile(_KNOWN_FORM)]


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` with secrets replaced by a word that says so; any other text stays as it is.

    Args:
        text: of anybody.
        environment: variables whose values are looked for, where their names speak of a secret; this process's.

    >>> without_secrets("GET https://me:pass@hub.example/x?token=abc12345 failed", {})
    'GET https://[hidden]@hub.example/x?token=[hidden] failed'
    >>> without_secrets("no access for c0ffee-c0ffee", {"MY_TOKEN": "c0ffee-c0ffee"})
    'no access for [MY_TOKEN]'
    """
    for value, name in _values(os.environ if environment is None else environment):
        text = text.replace(value, f"[{name}]")
    for sign in _SIGNS:
        text = sign.sub(r"\1[hidden]", text)
    return text


def _values(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Secret values with the names of their variables, longer ones first: one may be a part of another."""
    found = [(value.strip(), name) for name, value in environment.items() if holds_secret(name)]
    return sorted((pair for pair in found if len(pair[0]) >= SHORTEST), key=lambda pair: -len(pair[0]))


def holds_secret(variable: str) -> bool:
    """Whether the name of an environment variable says that its value is a secret.

    >>> holds_secret("AWS_SECRET_ACCESS_KEY"), holds_secret("RAY_AUTH_TOKEN_PATH"), holds_secret("HOME")
    (True, False, False)
    """
    name = variable.upper()
    return bool(SPEAKS_OF_ONE.search(name)) and not SPEAKS_OF_NONE.search(name)
