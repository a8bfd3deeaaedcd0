"""The part of a check's page that shows what was read: an example, its labels, counts, lengths and repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.check.layout import MAX_WORDS, Columns, Tagged, more, part_of, shortened, visible
from tunekit.check.reading import PartReading, Reading, RowLimit, Spellings
from tunekit.check.spelling import Spelling
from tunekit.languages import separates_words
from tunekit.tasks import Example, PairExample
from tunekit.wording import NOTHING, count, listed, plural

MAX_ROWS = 6
"""Splits and languages that stand each in a row of their own; of more, the targets' tests are put together."""
MAX_LABELS = 12
"""Labels that have a column of their own, the most frequent first."""
NUM_LANGUAGES = 3
"""Languages whose unknown words are shown; the others are counted."""
NAME_CELLS = 18
"""Columns of the terminal for a split and a language."""


def data_page(reading: Reading, *, in_full: bool = False, is_only: bool = True) -> RenderableType:
    """What was read of one task.

    Args:
        reading: the facts.
        in_full: each split and language, every label and every unknown word that is known.
        is_only: no other task is on the page, so that its name need not be said.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, content in _rows(reading, in_full=in_full, is_only=is_only):
        grid.add_row(name, Text(content) if isinstance(content, str) else content)
    return Padding(grid, (0, 0, 1, 2))


def _rows(reading: Reading, *, in_full: bool, is_only: bool) -> Iterator[tuple[str, RenderableType]]:
    if not is_only:
        yield "task", f"{visible(reading.name)}, as {reading.reader} reads it"
    for part in reading.parts if in_full else reading.parts[:1]:
        yield part.name if in_full else "first", _first(part.first)
    if reading.why or reading.scheme != "none":
        yield "scored", _scored(reading)
    groups = [[part] for part in reading.parts] if in_full else _grouped(reading)
    yield "labels", _label_table(reading, groups, in_full=in_full)
    for name, found in (("read as", _decided(reading)), ("left out", _left_out(reading))):
        if found:
            yield name, found
    for spellings in reading.spellings:
        yield "sizes", _size_table(reading, spellings, groups)
        unknown = _unknown(reading, spellings, in_full=in_full)
        if unknown:
            yield "unknown", unknown
    repeats = _repeats(reading)
    if repeats:
        yield "repeats", repeats
    if not in_full and (len(groups) < len(reading.parts) or len(reading.labels) > MAX_LABELS):
        yield "", Text("each split, language and label: tunekit check FILE --data", style="dim")


def _first(example: Example) -> RenderableType:
    if not isinstance(example, PairExample):
        return Tagged(example.words, example.labels)
    texts = [_opening(text) for text in (example.text_a, example.text_b)]
    return Text("\n".join([*texts, f"label: {shortened(example.label)}"]), overflow="fold")


def _opening(text: str) -> str:
    """The first words of a text."""
    words = visible(text).split(" ")
    shown = shortened(" ".join(words[: 2 * MAX_WORDS]), 300)
    left = len(words) - 2 * MAX_WORDS
    return f'"{shown}"' if left <= 0 else f'"{shown}" {more(left, "word")}'


def _scored(reading: Reading) -> str:
    scheme = "" if reading.scheme == "none" else f"; its labels are {reading.scheme}"
    why = f": {visible(reading.why)}" if reading.why else ""
    return f"by {reading.metric}{why}{scheme}"


Parts = Sequence[PartReading]
"""Splits and languages that share a row."""


def _grouped(reading: Reading) -> list[Parts]:
    """Each part alone, or where they are many the targets' parts of a split together."""
    if len(reading.parts) <= MAX_ROWS:
        return [[part] for part in reading.parts]
    groups: dict[tuple[str, bool], list[PartReading]] = {}
    for part in reading.parts:
        groups.setdefault((part.split, part.language == reading.source), []).append(part)
    return list(groups.values())


def _name(group: Parts) -> str:
    if len(group) == 1:
        return shortened(group[0].name, NAME_CELLS)
    return f"{group[0].split}, {len(group)} others"


def _label_table(reading: Reading, groups: Sequence[Parts], *, in_full: bool) -> RenderableType:
    """Labels from the most frequent in train to the rarest; those that train lacks come last."""
    found = Counter({label: 0 for label in reading.labels})
    for part in reading.parts:
        found.update(dict.fromkeys(part.labels, 0))
    found.update(reading.parts[0].labels)
    labels = [label for label, _ in found.most_common()]
    shown = labels if in_full or len(labels) <= MAX_LABELS else labels[: MAX_LABELS - 1]
    header = ["", *map(shortened, shown)]
    rows = []
    for group in groups:
        counts: Counter[str] = Counter()
        for part in group:
            counts.update(part.labels)
        rows.append([_name(group), *(count(counts[label]) for label in shown)])
        if len(shown) < len(labels):
            rows[-1].append(count(counts.total() - sum(counts[label] for label in shown)))
    if len(shown) < len(labels):
        header.append(f"and {len(labels) - len(shown)} more")
    return Columns(header, rows)


def _decided(reading: Reading) -> str:
    """What the readers decided, each saying once; with the splits and languages where they do not share it."""
    found: dict[str, list[str]] = {}
    for part in reading.parts:
        for note in part.notes:
            found.setdefault(visible(note), []).append(part.name)
    shared = len(reading.parts)
    return "\n".join(note if len(parts) == shared else f"{_listed(parts)}: {note}" for note, parts in found.items())


def _left_out(reading: Reading) -> str:
    found: dict[str, list[str]] = {}
    for part in reading.parts:
        said = listed(_counted(number, what) for what, number in part.left_out.items() if number)
        if said:
            found.setdefault(said, []).append(part.name)
    return "\n".join(f"{_listed(parts)}: {said}" for said, parts in found.items())


def _counted(number: int, what: str) -> str:
    """A number of things that are named in the plural.

    >>> _counted(1, "sentences without words"), _counted(1200, "header rows")
    ('1 sentence without words', '1,200 header rows')
    """
    noun, without, rest = visible(what).partition(" without ")
    if " and " in noun:
        return f"{count(number)} {visible(what)}"
    return f"{plural(number, noun.removesuffix('s'))}{without}{rest}"


def _listed(parts: Sequence[str]) -> str:
    """Names of splits and languages; many are counted."""
    shown = [shortened(name, NAME_CELLS) for name in parts[:MAX_ROWS]]
    return listed(shown) if len(parts) <= MAX_ROWS else f"{listed(shown)} and {len(parts) - MAX_ROWS} more"


def _size_table(reading: Reading, spellings: Spellings, groups: Sequence[Parts]) -> RenderableType:
    limits = spellings.limits
    shown = limits if len(limits) <= 2 else [limits[0], limits[-1]]
    is_counted = next(iter(spellings.parts.values())).unit == "tokens"
    header = ["", f"{reading.unit}s", "words", "median", "99 %", "longest"]
    if is_counted:
        header.insert(3, "tokens a word")
        header += [*(f"over {row.tokens}" for row in shown), "unknown"]
    header.append("in train")
    rows = []
    for group in groups:
        found = [spellings.parts[part.split, part.language] for part in group]
        row = [_name(group), count(sum(p.num_examples for p in group)), count(sum(p.num_words for p in group))]
        row += [_tokens_a_word(spellings, group)] if is_counted else []
        row += [_ends(getattr(each, name) for each in found) for name in ("median", "p99", "longest")]
        if is_counted:
            row += [part_of(max(each.beyond[limit.limit] for each in found)) for limit in shown]
            row.append(part_of(_unknown_share(found)))
        rows.append([*row, _in_train(group)])
    return Group(Columns(header, rows), Text(_basis(reading, spellings), style="dim"))


def _tokens_a_word(spellings: Spellings, group: Parts) -> str:
    """The ratio of a part, or the least and the most of several; a character each where words are not parted."""
    ratios: dict[str, list[float]] = {"": [], " a character": []}
    for part in group:
        found = spellings.parts[part.split, part.language].granularity
        if found is not None:
            are_words = found.are_words_given or separates_words(part.language)
            ratios["" if are_words else " a character"].append(found.per_word if are_words else found.per_character)
    shown = []
    for unit, values in ratios.items():
        ends = dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))) if values else {}
        shown += [f"{'-'.join(ends)}{unit}"] if ends else []
    return ", ".join(shown)


def _basis(reading: Reading, spellings: Spellings) -> str:
    """What the columns of the table of sizes mean."""
    measured = spellings.parts.values()
    if next(iter(measured)).unit == "words":
        return f"lengths in words, the tokenizer of {spellings.backbone} not being on this machine"
    is_sample = any(
        spellings.parts[part.split, part.language].num_measured < part.num_examples for part in reading.parts
    )
    largest = max(each.num_measured for each in measured)
    sample = f", from {largest} {reading.unit}s of a split and its longest" if is_sample else ""
    said = f"lengths in tokens of {spellings.backbone}, special ones included{sample}"
    over = "; ".join(_over(row, reading, is_alone=len(spellings.limits) == 1) for row in spellings.limits)
    unknown = "words" if reading.kind == "token" else "pieces of text"
    finer = "".join(f"; {_finer(spellings, language)}" for language in spellings.splits)
    return f"{said}{finer}; {over}; unknown: {unknown} that it cannot spell"


def _finer(spellings: Spellings, language: str) -> str:
    """How the pieces of a language are split further, and how many of those drawn cannot be."""
    found = [each.granularity for (_, name), each in spellings.parts.items() if name == language and each.granularity]
    drawn, whole = sum(each.num_split + each.num_whole for each in found), sum(each.num_whole for each in found)
    chance = f"with probability {spellings.splits[language]:g}"
    return f"in {language} pieces are split further {chance}: of {count(drawn)} drawn {count(whole)} stay whole"


def _over(row: RowLimit, reading: Reading, *, is_alone: bool) -> str:
    """What the column of a limit counts."""
    what = "words that are read in further windows" if reading.kind == "token" else "tokens that are cut"
    arms = "" if is_alone else f" in {listed(row.arms)}"
    taken = row.limit.max_length - row.tokens
    template = f" (max_length {row.limit.max_length}, of which a template takes {taken})" if taken else ""
    return f"over {row.tokens}: {what}{arms}{template}"


def _ends(values: Iterator[int]) -> str:
    """One number, or the least and the most of several."""
    found = sorted(values)
    return count(found[0]) if found[0] == found[-1] else f"{count(found[0])}-{count(found[-1])}"


def _unknown_share(found: Sequence[Spelling]) -> float:
    return sum(each.num_unknown for each in found) / max(1, sum(each.num_spelled for each in found))


def _in_train(group: Parts) -> str:
    if group[0].split == "train":
        return NOTHING
    found = sum(part.num_in_train for part in group)
    return f"{count(found)} ({part_of(found / sum(part.num_examples for part in group))})" if found else "0"


def _unknown(reading: Reading, spellings: Spellings, *, in_full: bool) -> str:
    """What the tokenizer has no tokens for, by split and language, the most first."""
    noun = "word" if reading.kind == "token" else "token"
    found = [(each.unknown_share, name, each) for name, each in spellings.parts.items() if each.num_unknown]
    found.sort(key=lambda item: -item[0])
    lines = [
        f"{split} {language}: {plural(each.num_unknown, noun)} of {count(each.num_spelled)} ({part_of(part)}): "
        f"{' '.join(map(shortened, each.unknown))}"
        for part, (split, language), each in (found if in_full else found[:NUM_LANGUAGES])
    ]
    if len(lines) < len(found):
        lines.append(f"and in {len(found) - len(lines)} more")
    return "\n".join(lines)


def _repeats(reading: Reading) -> str:
    """How much of train repeats itself."""
    train = reading.parts[0]
    if not train.num_in_train:
        return ""
    part = part_of(train.num_in_train / train.num_examples)
    return f"{count(train.num_in_train)} of {plural(train.num_examples, reading.unit)} of train repeat another ({part})"
