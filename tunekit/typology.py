"""Families of languages, and how far apart their grammars are.

`family` and `genus` are the usual classification of encyclopedias and handbooks; a genus is a branch about as old as
Germanic or Slavic. What is disputed is not taken for granted: there is no Altaic here (Turkic, Mongolic, Japonic and
Koreanic are families), Japonic and Koreanic are counted as one branch each, and Basque is alone. Niger-Congo,
Sino-Tibetan and Austroasiatic are taken as most handbooks take them, though their inner branches are debated. Planned
languages (Esperanto) and creoles (Haitian) have no family here.

`distance` is not kept here: the package ``urielplus`` (an extra of tunekit) computes it from the syntactic features of
URIEL, the database of lang2vec (Littell et al. 2017, *URIEL and lang2vec*, EACL; Khan et al. 2025, *URIEL+*, COLING).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from tunekit.languages import table_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from urielplus.urielplus_querying import URIELPlusQuerying

__all__ = ["INSTALL", "LEAST_SHARED", "SOURCE", "distance", "family", "genus", "no_distances", "num_shared"]

INSTALL = "pip install 'tunekit[typology]'"
SOURCE = "URIEL (Littell et al. 2017) as the package urielplus (Khan et al. 2025) has it"
"""Where distances come from, in a line."""
LEAST_SHARED = 30
"""Two languages of which fewer features are both known have no distance: of so few it would be noise."""

_TABLE = """
Indo-European
  Germanic: af afr, da dan, de deu, en eng, fo fao, is isl, lb ltz, nb nob, nl nld, nn nno, no nor, sv swe
  Romance: ca cat, es spa, fr fra, gl glg, it ita, pt por, ro ron
  Italic: la lat
  Slavic: be bel, bg bul, bs bos, cs ces, hr hrv, mk mkd, pl pol, ru rus, sk slk, sl slv, sr srp, uk ukr
  Baltic: lt lit, lv lav
  Celtic: cy cym, ga gle
  Greek: el ell
  Armenian: hy hye
  Albanian: sq sqi
  Iranian: fa fas, ps pus, tg tgk
  Indo-Aryan: bn ben, gu guj, hi hin, mr mar, ne nep, pa pan, sa san, si sin, ur urd
Uralic
  Finnic: et est, fi fin
  Ugric: hu hun
Turkic
  Turkic: az aze, kk kaz, ky kir, tr tur, ug uig, uz uzb
Mongolic
  Mongolic: mn mon
Japonic
  Japonic: ja jpn
Koreanic
  Koreanic: ko kor
Sino-Tibetan
  Sinitic: yue yue, zh zho
  Tibetic: bo bod
  Lolo-Burmese: my mya
Kra-Dai
  Tai: lo lao, th tha
Austroasiatic
  Vietic: vi vie
  Khmer: km khm
Austronesian
  Malayic: id ind, ms msa
  Javanese: jv jav
  Sundanese: su sun
  Philippine: ceb ceb, tl tgl
Dravidian
  South Dravidian: kn kan, ml mal, ta tam
  South-Central Dravidian: te tel
Afro-Asiatic
  Semitic: am amh, ar ara, he heb, mt mlt, ti tir
  Cushitic: so som
  Chadic: ha hau
Niger-Congo
  Bantu: rw kin, sw swa, tn tsn, xh xho, zu zul
  Yoruboid: yo yor
  Senegambian: wo wol
Kartvelian
  Kartvelian: ka kat
Basque
  Basque: eu eus
Quechuan
  Quechuan: qu que
Tupian
  Tupi-Guarani: gn grn
-
  -: eo epo, ht hat
"""
"""Families, below each its genera, and of those the languages: our code and that of ISO 639-3."""


@dataclass(frozen=True)
class _Language:
    family: str | None
    genus: str | None
    iso_639_3: str


def _read(table: str) -> dict[str, _Language]:
    found, family = {}, None
    for line in table.strip().splitlines():
        name, is_genus, languages = line.strip().partition(":")
        if not is_genus:
            family = None if name == "-" else name
            continue
        for pair in languages.split(","):
            code, iso_639_3 = pair.split()
            found[code] = _Language(family, None if name == "-" else name, iso_639_3)
    return found


_KNOWN = _read(_TABLE)


def family(language: str) -> str | None:
    """The family of a language code such as ``en`` or ``zh-Hant``; None if it is unknown, or if it has none.

    >>> family("sw"), family("zh-Hant"), family("xx")
    ('Niger-Congo', 'Sino-Tibetan', None)
    """
    found = _KNOWN.get(table_code(language))
    return found.family if found else None


def genus(language: str) -> str | None:
    """The branch of its family, as old as Germanic; None as in `family`.

    >>> genus("de"), genus("hi"), genus("eo")
    ('Germanic', 'Indo-Aryan', None)
    """
    found = _KNOWN.get(table_code(language))
    return found.genus if found else None


def distance(language: str, other: str) -> float | None:
    """How far apart the grammars of two languages are, 0 (alike) to 1 (nothing in common), in steps of 0.0001.

    The syntactic distance of URIEL+: over the features that are known of both, each 1 or 0, the angle between the two
    rows of features, 2 / pi * arccos(cosine). Nothing is filled in. It rests on no network and on no chance.

    Returns:
        None if a language is unknown, if fewer than `LEAST_SHARED` features are known of both, or if there are no
        distances at all (`no_distances`).
    """
    codes = _codes(language, other)
    if codes is None:
        return None
    if codes[0] == codes[1]:
        return 0.0
    return _distance(*sorted(codes)) if (num_shared(language, other) or 0) >= LEAST_SHARED else None


def num_shared(language: str, other: str) -> int | None:
    """How many syntactic features are known of both languages; None if a language is unknown, or as in `distance`."""
    codes, features = _codes(language, other), _features()
    if codes is None or isinstance(features, str) or not features.places.keys() >= set(codes):
        return None
    one, two = (features.is_known[features.places[code]] for code in codes)
    return int((one & two).sum())


def no_distances() -> str:
    """Why there are no distances, a sentence; empty if there are."""
    found = _features()
    return found if isinstance(found, str) else ""


def _codes(language: str, other: str) -> tuple[str, str] | None:
    found = [_KNOWN.get(table_code(each)) for each in (language, other)]
    return (found[0].iso_639_3, found[1].iso_639_3) if found[0] and found[1] else None


@dataclass(frozen=True, kw_only=True)
class _Features:
    """The syntactic features of our languages."""

    places: dict[str, int]
    """Row of each language, by its ISO 639-3 code."""
    is_known: NDArray[np.bool_]
    """[languages, features]"""
    querying: URIELPlusQuerying


@cache
def _distance(one: str, other: str) -> float | None:
    features = _features()
    if isinstance(features, str):
        return None
    with _quiet():
        return float(features.querying.new_distance("syntactic", one, other))


@cache
def _features() -> _Features | str:
    """What the package knows of our languages, read once in a second or two; or why it cannot be read.

    Its class ``URIELPlus`` would copy its database within the installed package first and set up logging: so the class
    that computes distances is given the database as it was shipped, cut down to our languages and to syntax, where a
    feature holds if any of its sources says so.
    """
    try:
        import numpy as np
        from urielplus import urielplus_querying

        shipped = Path(urielplus_querying.__file__).parent / "database/original_uriel/features.npz"
        with np.load(shipped, allow_pickle=False) as arrays:
            names, codes, data = (arrays[key] for key in ("feats", "langs", "data"))
    except ImportError:
        return f"Distances of languages are left out: they need the package urielplus ({INSTALL})."
    except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
        version = metadata.version("urielplus")
        return f"Distances of languages are left out: urielplus {version} holds no database that can be read ({error})."
    columns = np.flatnonzero(np.char.startswith(names, "S_"))
    rows = np.flatnonzero(np.isin(codes, [each.iso_639_3 for each in _KNOWN.values()]))
    values = data[np.ix_(rows, columns)].max(axis=2, keepdims=True).astype(np.float64)  # -1 where no source knows
    ours = {"feats": names[columns], "langs": codes[rows], "data": values, "sources": np.array(["any"])}
    querying = urielplus_querying.URIELPlusQuerying(*([array] * 4 for array in ours.values()), codes="Iso")
    places = {str(code): place for place, code in enumerate(codes[rows])}
    return _Features(places=places, is_known=values[..., 0] >= 0, querying=querying)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lines in the log: the package tells each step to the root logger, and would so set it up."""
    root, level, handler = logging.getLogger(), logging.root.manager.disable, logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(level)
        root.removeHandler(handler)
