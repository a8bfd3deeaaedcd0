"""One label for each word: named entities (PAN-X) scored by entity F1, and parts of speech (UDPOS) scored by accuracy.

From `data_dir` (``<task>/<split>-<language>.tsv``: a word, a tab and its tag on each line, a blank line between
sentences) or from the Hugging Face hub: google/xtreme, and for the languages that XTREME-R adds WikiANN (PAN-X) and
Universal Dependencies 2.7 (UDPOS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tunekit.errors import ConfigError
from tunekit.tasks.examples import Example, TokenExample
from tunekit.tasks.keys import refuse_own_keys
from tunekit.tasks.readers import treebanks
from tunekit.tasks.readers.hub import Hub, Rows, sentences
from tunekit.tasks.readers.joined import Joined
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.sources import Files, Source, in_folder
from tunekit.tasks.readers.words import conll
from tunekit.tasks.task import Task
from tunekit.trial import Locations, TaskConfig

PANX_LABELS = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
XTREME_PANX = (
    "af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja",
    "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi",
    "yo", "zh",
)  # fmt: skip
"""Languages of google/xtreme on the hub."""
WIKIANN_PANX = ("az", "gu", "lt", "pa", "pl", "qu", "ro", "uk")
"""Those that XTREME-R adds; they are in WikiANN, from which XTREME's are taken."""
PANX_LANGUAGES = tuple(sorted((*XTREME_PANX, *WIKIANN_PANX)))
UDPOS_LABELS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
)  # fmt: skip
XTREME_UDPOS = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "kk": "Kazakh", "ko": "Korean", "mr": "Marathi", "nl": "Dutch", "pt": "Portuguese", "ru": "Russian",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "ur": "Urdu",
    "vi": "Vietnamese", "yo": "Yoruba", "zh": "Chinese",
}  # fmt: skip
"""Languages of google/xtreme on the hub, and their names there."""


def without_language(parsed: Parsed, language: str) -> Parsed:
    """The sentences without the language that WikiANN writes before each word (``en:word``), the same for any source.

    A sentence carries it if more than half of all words do, or if it has two words or more and all of them do. In such
    a sentence each word loses it that has it; a word that is nothing else (``en:``) stays as it is.
    """
    prefix = f"{language}:"
    rows = [cast(TokenExample, example) for example in parsed.examples]
    num_marked = sum(word.startswith(prefix) for row in rows for word in row.words)
    if not num_marked:
        return parsed
    is_everywhere = 2 * num_marked > sum(len(row.words) for row in rows)
    examples: list[Example] = []
    num_cut = 0
    for row in rows:
        if is_everywhere or (len(row.words) > 1 and all(word.startswith(prefix) for word in row.words)):
            words = tuple(word.removeprefix(prefix) or word for word in row.words)
            num_cut += sum(map(str.__ne__, words, row.words))
            row = TokenExample(words, row.labels)
        examples.append(row)
    note = f"{prefix!r} is taken off {num_cut} words; {num_marked - num_cut} words that begin with it are kept whole"
    return replace(parsed, examples=examples, notes=[*parsed.notes, note])


def _panx_file(path: Path, language: str) -> Parsed:
    return without_language(conll(path, width=2), language)


def _panx_rows(rows: Rows, language: str, place: str) -> Parsed:
    return without_language(sentences("tokens", "ner_tags")(rows, language, place), language)


def _udpos_file(path: Path, language: str) -> Parsed:
    return conll(path, width=2)


@dataclass(frozen=True)
class _Known:
    labels: tuple[str, ...]
    metric: str
    hub: Joined
    parse: Callable[[Path, str], Parsed]


PANX = _Known(
    labels=PANX_LABELS,
    metric="f1",
    hub=Joined(
        (
            Hub("google/xtreme", {code: f"PAN-X.{code}" for code in XTREME_PANX}, _panx_rows),
            Hub("unimelb-nlp/wikiann", {code: code for code in WIKIANN_PANX}, _panx_rows),
        )
    ),
    parse=_panx_file,
)
_XTREME_UDPOS_HUB = Hub(
    "google/xtreme",
    {code: f"udpos.{name}" for code, name in XTREME_UDPOS.items()},
    sentences("tokens", "pos_tags"),
    missing={"train": ("th", "tl", "yo"), "dev": ("kk", "th", "tl", "yo")},
)
UDPOS = _Known(
    labels=UDPOS_LABELS,
    metric="accuracy",
    hub=Joined((_XTREME_UDPOS_HUB, *treebanks.HUBS), treebanks.REMARKS),
    parse=_udpos_file,
)
UDPOS_LANGUAGES = tuple(sorted(UDPOS.hub.languages("test")))


def load_panx(config: TaskConfig, locations: Locations) -> Task:
    """PAN-X: places, organisations and persons in Wikipedia, as BIO tags; micro F1 over entities."""
    return _load(config, locations, PANX)


def load_udpos(config: TaskConfig, locations: Locations) -> Task:
    """UDPOS: the 17 universal parts of speech; accuracy over words, macro F1 and seqeval's F1 beside it."""
    return _load(config, locations, UDPOS)


def _load(config: TaskConfig, locations: Locations, known: _Known) -> Task:
    refuse_own_keys(config)
    if config.draw == "files":
        raise ConfigError(f"task {config.name}: draw is 'files', which only xnli and pawsx read; 'sampled' draws here")
    source: Source = known.hub
    if locations.data_dir is not None:
        source = Files(in_folder(Path(locations.data_dir).expanduser() / config.name), known.parse)
    return Task.of(config, source, kind="token", labels=known.labels, metric=known.metric)
