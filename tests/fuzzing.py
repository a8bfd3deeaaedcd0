"""Random damage to every kind of file that tunekit reads: a valid result or a `TunekitError` comes out, nothing else.

A `Kind` knows valid inputs and how they are read; `attack` damages them, reads the result and gives what went wrong:
another exception, a hang, or a promise of the kind that does not hold. Everything follows from a seed and a number, so
that a fault can be shown again. Used by ``test_fuzz.py`` (few inputs) and ``benchmarks/fuzz.py`` (many).
"""

from __future__ import annotations

import json
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from builders import JournalBuilder, definition

from tunekit import tasks
from tunekit.cli.single_trial import load_trial
from tunekit.errors import TunekitError
from tunekit.journal import FILE_NAME, Journal, read_events, replay
from tunekit.sweep import load_sweep
from tunekit.sweep.reference_rows import SPLITS, read_rows
from tunekit.tasks import Task, TokenExample
from tunekit.tasks.examples import labels_of
from tunekit.training import checkpoints
from tunekit.trial import EpochReport, Locations, TaskConfig

TIME_LIMIT_S = 20
"""An input that takes longer hangs."""

Read = Callable[[Path, bytes], object]
"""``(path, valid) -> anything``: reads the damaged file at `path`, made from `valid`; raises what goes wrong."""


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    file: str
    """Its name on the disk, whose suffix may decide how it is read."""
    valid: Sequence[bytes]
    read: Read
    words: Sequence[bytes] = ()
    """What is put in here and there, such as the format's own marks."""


@dataclass(frozen=True)
class Fault:
    """What went wrong with one input."""

    kind: str
    seed: int
    number: int
    what: str
    data: bytes = field(repr=False)


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    num_inputs: int = 0
    num_read: int = 0
    """Read as something valid; the others were refused by a `TunekitError`."""
    faults: list[Fault] = field(default_factory=list)


def attack(kind: Kind, folder: Path, *, seed: int, num_inputs: int) -> Tally:
    """Read `num_inputs` damaged files of a kind in `folder`."""
    tally = Tally()
    for number in range(num_inputs):
        generator = random.Random(f"{kind.name} {seed} {number}")
        valid = generator.choice(list(kind.valid))
        data = damaged(valid, generator, kind.words)
        path = folder / kind.file
        path.write_bytes(data)
        tally.num_inputs += 1
        what = _what_goes_wrong(kind, path, valid, tally)
        if what is not None:
            tally.faults.append(Fault(kind.name, seed, number, what, data))
    return tally


def _what_goes_wrong(kind: Kind, path: Path, valid: bytes, tally: Tally) -> str | None:
    try:
        with _time_limit():
            kind.read(path, valid)
    except TunekitError as error:
        return _complaint(str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error)[-3:]).strip()
    tally.num_read += 1
    return None


def _complaint(message: str) -> str | None:
    """What is wrong with an error's message, which a person is to read."""
    if len(message) > 3000:
        return f"a message of {len(message)} characters: {message[:200]}"
    return None if message.strip() else "an empty message"


class _time_limit:
    """Raise a TimeoutError inside after `TIME_LIMIT_S`."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.alarm(TIME_LIMIT_S)

    def __exit__(self, *details: object) -> None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self._before)

    @staticmethod
    def _ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not read after {TIME_LIMIT_S} s")


def damaged(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    """`data` after one to four changes."""
    for _ in range(generator.randint(1, 4)):
        data = generator.choice(_CHANGES)(data, generator, words)
    return data


def _flip(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << generator.randrange(8))]) + data[at + 1 :]


def _cut_out(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    start, end = _span(data, generator)
    return data[:start] + data[end:]


def _cut_off(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    return data[: generator.randint(0, len(data))]


def _repeat(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    start, end = _span(data, generator)
    return data[:end] + data[start:end] * generator.choice((1, 1, 2, 50)) + data[end:]


def _move(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    start, end = _span(data, generator)
    rest = data[:start] + data[end:]
    at = generator.randint(0, len(rest))
    return rest[:at] + data[start:end] + rest[at:]


def _insert(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    at = generator.randint(0, len(data))
    new = generator.choice([*_ODD, *words]) if generator.random() < 0.8 else generator.randbytes(3)
    return data[:at] + new + data[at:]


def _replace(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    start, end = _span(data, generator, longest=12)
    return data[:start] + generator.choice([*_ODD, *words]) + data[end:]


def _move_line(data: bytes, generator: random.Random, words: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(generator.randrange(len(lines)))
    for _ in range(generator.choice((0, 1, 2))):
        lines.insert(generator.randint(0, len(lines)), line)
    return b"".join(lines)


def _span(data: bytes, generator: random.Random, longest: int = 200) -> tuple[int, int]:
    start = generator.randint(0, len(data))
    return start, min(len(data), start + generator.randint(0, longest))


_CHANGES = (_flip, _cut_out, _cut_off, _repeat, _move, _insert, _insert, _replace, _replace, _move_line)
_ODD = (
    b"", b" ", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xb2\x80", b'"', b"'",
    b"#", b"-", b"_", b",", b":", b"[", b"]", b"{", b"}", b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 400,
    b"1:30", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\x1b[31m", b"<script>", b"|", b"x" * 300,
    b"[" * 2000,
)  # fmt: skip


def kinds(folder: Path) -> Iterator[Kind]:
    """Every kind; `folder` holds what they need."""
    yield _sweeps()
    yield _trials()
    yield _references()
    yield _journal(folder / "journal")
    yield from _data()
    yield _checkpoints(folder / "checkpoint.pt")


_SWEEP = """\
name: small
task: {name: toy_tagging, source_language: alo, target_languages: [bera], max_train_examples: 40}
backbone: toy-bert
arms:
  finetune: {method: finetune, space: {learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}}}
  pt:
    method: ptuning_v2
    space:
      prompt_length: {low: 4, high: 8, type: int}
      projection: {choices: [true, false]}
      projection_size: {choices: [16, 32], when: {projection: true}}
    enqueue: [{prompt_length: 4, projection: false}]
fixed: {epochs: 2, max_length: 64, learning_rate: 5.0e-4}
search: {searcher: tpe, num_trials: 4, seed: 0}
scheduler: {name: asha, grace_period: 1, reduction_factor: 3}
seeds: [10, 42]
finalise: {top: 1, seeds: [10, 42, 421]}
resources: {cpu: 1, gpu: 0, memory: 2 GiB}
budget: {trials: 10, hours: 1.5}
"""
_YAML_WORDS = (
    b"&a ", b"*a", b"<<: *a", b"!!timestamp x", b"!!python/object:os.system x", b"? ", b"- ", b"|", b">", b"010",
    b"0x1F", b"1_0", b"~", b"yes", b"no", b".inf", b"2024-13-45", b"choices", b"when", b"step: 0", b"seed",
    b"os:system", b"---\n", b"...\n", b"&a [*a]", b"%YAML 1.1\n", b"'", b"1e-4", b"100000000000000000000",
)  # fmt: skip


def _sweeps() -> Kind:
    return Kind("sweep file", "sweep.yaml", [_SWEEP.encode()], lambda path, _: load_sweep(path), _YAML_WORDS)


def _references() -> Kind:
    text = (
        "method,language,metric,split,value,source,task,backbone,spread,n\n"
        'PT,de,f1,dev,0.86,"Tu et al., table 2",panx,mBERT,0.01,5\n'
        'FT,zh-Hant,accuracy,test,1,"a ""report""",,,,\n'
    )

    def read(path: Path, _: bytes) -> None:
        for row in (found.figure for found in read_rows(path, str(path))):
            assert 0 <= row.value <= 1 and row.method and row.source and row.split in SPLITS
            assert row.n is None or row.n >= 1

    words = (b'"', b'""', b",", b";", b"\r", b"\x00", b"nan", b"1e999", b"-0", b"0x1", b"1_0", b"86", b"\xef\xbb\xbf")
    return Kind("published figures", "published.csv", [text.encode()], read, words)


def _trials() -> Kind:
    text = (
        "task: {name: toy_pair, source_language: alo, target_languages: [bera]}\nbackbone: {name: toy-bert}\n"
        "method: lora\noptions: {rank: 4}\ntraining: {learning_rate: 1.0e-3, epochs: 1}\nseed: 10\n"
        "locations: {device: cpu}\n"
    )
    return Kind("trial file", "trial.yaml", [text.encode()], lambda path, _: load_trial(path), _YAML_WORDS)


def _journal(folder: Path) -> Kind:
    """Its promise: what is accepted is a beginning of what was written, and what is refused is left as it is."""
    folder.mkdir()
    builder = JournalBuilder(folder, definition())
    builder.finalised("finetune", {"learning_rate": 1e-3}, {10: (0.5, {"en": 0.5}), 42: (0.4, {"en": 0.4})})
    trial = builder.create("finetune", {"learning_rate": 1e-4})
    builder.report(trial, [0.1])
    builder.journal.close()
    valid = (folder / FILE_NAME).read_bytes()
    events = list(read_events(folder / FILE_NAME))

    def read(path: Path, _: bytes) -> None:
        before = path.read_bytes()
        try:
            replay(path)
            found = list(read_events(path))
            assert found == events[: len(found)], "a line was accepted that no driver wrote there"
            with Journal(path.parent) as journal:
                assert journal.num_events == len(found)
        except TunekitError:
            assert path.read_bytes() == before, "what cannot be read was changed"
            raise

    words = (b'"event":"created"', b'"sum":"00000000"', b'{"event":"resumed"}\n')
    return Kind("journal", FILE_NAME, [valid], read, words)


_WORDS = """\
# sent_id = 1
1\tThe\tO\t-\t-
2\tHague\tB-LOC\t-\t-

# sent_id = 2
1\tAnna\tB-PER\t-\t-
2\tMaria\tI-PER\t-\t-
3\t.\tO\t-\t-
"""
_CONLLU = """\
# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
3\tal\ta\tADP\t_\t_\t4\tcase\t_\t_
3.1\tx\tx\tX\t_\t_\t_\t_\t_\t_
4\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_

# sent_id = 2
1\tSí\tsí\tINTJ\t_\t_\t0\troot\t_\t_
"""
_JSON_WORDS = "\n".join(
    json.dumps({"words": words, "labels": labels})
    for words, labels in ((["a", "b"], ["O", "B-X"]), (["猫"], ["O"]), (["c", "d", "e"], ["B-X", "I-X", "O"]))
)
_PAIRS = "sentence1\tsentence2\tlabel\nIt rains.\tThe sun shines.\tcontradiction\nA dog\tAn animal\tentailment\n"
_JSON_PAIRS = "\n".join(
    json.dumps({"sentence1": a, "sentence2": b, "label": label}) for a, b, label in (("a", "b", 0), ("c", "d", 1))
)


def _data() -> Iterator[Kind]:
    """Their promise: what is read makes sense, and perfect predictions of it score 1."""
    columns = ("EU B-ORG\nrejects O\n\nLondon B-LOC\ncalls O\n", "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n")
    tabs = (
        "EU\tB-ORG\nrejects\tO\n\nLondon\tB-LOC\ncalls\tO\n",
        "word\ttag\nthe\tDET\ncat\tNOUN\n\nruns\tVERB\n",
        _WORDS,
    )
    commas = ("Sentence #,Word,POS,Tag\nSentence: 1,The,DT,O\n,EU,NNP,B-ORG\nSentence: 2,A,DT,O\n",)
    labels = (b"B-", b"I-PER", b"O", b"\tO", b"E-X", b"U-X", b"-DOCSTART-", b"# id = 1", b"1\t", b"NOUN", b"word\ttag")
    yield _data_kind("words between blanks", "words.conll", "token", columns, labels)
    yield _data_kind("words between tabs", "words.tsv", "token", tabs, labels)
    yield _data_kind("words between commas", "words.csv", "token", commas, labels)
    yield _data_kind("CoNLL-U", "words.conllu", "token", (_CONLLU,), (b"1\t", b"3-4\t", b"# text = x\n", *labels))
    yield _data_kind("words as JSON lines", "words.jsonl", "token", (_JSON_WORDS,), (b'["a"]', b'"words"', b"\\ud83d"))
    marks = (b"entailment", b"\t-\n", b"\tNS\t", b'"', b"label", b'\\"')
    yield _data_kind("pairs between tabs", "pairs.tsv", "pair", (_PAIRS,), marks)
    yield _data_kind("pairs between commas", "pairs.csv", "pair", (_PAIRS.replace("\t", ","),), marks)
    yield _data_kind("pairs as JSON lines", "pairs.jsonl", "pair", (_JSON_PAIRS,), (b'"label": -1', b"1.5", *marks))


def _data_kind(name: str, file: str, kind: Any, texts: Sequence[str], words: Sequence[bytes]) -> Kind:
    config = TaskConfig(name="mine", kind=kind)

    def read(path: Path, _: bytes) -> None:
        files = {split: {"en": str(path)} for split in ("train", "dev", "test")}
        task = tasks.load(config, Locations(files=files))
        task.validate()
        task.fingerprints()
        task.majority("test", "en")
        _make_sense(task)

    return Kind(name, file, [text.encode() for text in texts], read, words)


def _make_sense(task: Task) -> None:
    examples = task.examples("test", "en")
    right = [list(labels_of(e)) if isinstance(e, TokenExample) else labels_of(e)[0] for e in examples]
    scores = task.score(examples, right)  # type: ignore[arg-type]
    assert scores[task.metric] == 1.0, f"the right labels score {scores}"
    for example in examples:
        labels = labels_of(example)
        assert labels and all(label == label.strip() and label for label in labels), example
        assert not any(mark in label for label in labels for mark in "\n\r\t"), example
        if isinstance(example, TokenExample):
            assert len(example.words) == len(labels) and all(example.words), example
            assert not any(mark in word for mark in "\n\t" for word in example.words), example
    assert set(chain.from_iterable(map(labels_of, examples))) == set(task.labels)


def _checkpoints(path: Path) -> Kind:
    """Their promise: a damaged file is passed over, or what comes out is bit for bit what went in."""
    generator = torch.Generator().manual_seed(0)
    saved = checkpoints.Checkpoint(
        trial_id="t1",
        fingerprints={"backbone": "b0"},
        epoch=1,
        history=(EpochReport(epoch=1, value=0.5, metrics={"dev/en/accuracy": 0.5}, duration_s=1.0),),
        peak_memory_bytes=1,
        parameters={"a": torch.randn(300, 10, generator=generator), "b": torch.randn(7, generator=generator)},
    )
    checkpoints.save(path, saved)

    def read(path: Path, _: bytes) -> None:
        found = checkpoints.load(path)
        if found is None:
            return
        assert (found.trial_id, found.epoch, found.history) == (saved.trial_id, saved.epoch, saved.history)
        assert found.parameters is not None and saved.parameters is not None
        for name, tensor in saved.parameters.items():
            assert torch.equal(found.parameters[name], tensor), f"other values in {name}"

    return Kind("checkpoint", "last.pt", [path.read_bytes()], read, (b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02"))
