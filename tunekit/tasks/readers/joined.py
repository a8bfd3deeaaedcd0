"""Several data sets of the hub as one: some languages of a task are in one of them, others in another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunekit.tasks.examples import Example, Split
from tunekit.tasks.readers.hub import Hub
from tunekit.tasks.readers.parsed import ReadingNotes


@dataclass(frozen=True)
class Joined:
    """A split in a language is that of each part that has it, one after the other in the order of the parts."""

    parts: tuple[Hub, ...]
    remarks: Mapping[str, str] = field(default_factory=dict)
    """What a person should know of a language, by language."""

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """Every example of the parts that have the split in the language.

        Raises:
            DataAbsent: the hub cannot be reached.
            DataError: a data set is not what it was.
        """
        return [example for part in self._having(split, language) for example in part.read(split, language)]

    def languages(self, split: Split) -> Sequence[str]:
        """Languages that have the split in some part."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.languages(split)))

    def place(self, split: Split, language: str) -> str:
        """The places of the parts that have the split in the language."""
        return " and ".join(part.place(split, language) for part in self._having(split, language))

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """The part that holds the example, and the example's number there. Reads again, for messages only."""
        *others, last = self._having(split, language)
        for part in others:
            size = len(part.read(split, language))
            if index < size:
                return part.locate(split, language, index, word)
            index -= size
        return last.locate(split, language, index, word)

    def fingerprint(self, split: Split, language: str) -> None:
        """None: the examples are digested, as those of each part."""

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """What was left out of the parts together, what was decided about each, and the remark on the language."""
        left_out, notes = Counter[str](), list[str]()
        for part in self._having(split, language):
            found = part.reading(split, language)
            left_out.update(found.left_out)
            notes += found.notes
        if language in self.remarks:
            notes.append(self.remarks[language])
        return ReadingNotes(self.place(split, language), left_out, tuple(notes))

    def _having(self, split: Split, language: str) -> list[Hub]:
        return [part for part in self.parts if language in part.languages(split)]
