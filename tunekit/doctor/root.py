"""The folder of the sweeps: whether files there can be written, renamed, locked and made to grow safely."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tunekit import storage
from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.doctor.machine import disk
from tunekit.errors import ConfigError, StorageError
from tunekit.storage import AnyPath

CURE = "choose another --root, or repair that disk"
NUM_APPENDS = 5
SLOW_APPEND_S = 0.2
"""From there on the journal itself costs time that is felt: a trial writes one line each epoch."""
TEXT = "written by tunekit doctor; may be deleted\n"


def root(patient: Patient) -> Iterator[Finding]:
    """Everything that the journal and checkpoints ask of the folder."""
    place = storage.place(patient.root)
    if not isinstance(place, Path):
        yield from bucket(place)
        return
    if place.exists() and not place.is_dir():
        yield wrong("root", f"{place} is a file", "name a folder with --root")
        return
    with scratch(place) as folder:
        assert isinstance(folder, Path)
        yield writes(folder)
        yield locks(folder)
        yield grows(folder)
    yield disk("room", place, "free some space there, or choose another --root")


def bucket(place: AnyPath) -> Iterator[Finding]:
    """Everything that the journal and checkpoints ask of an object store."""
    try:
        storage.require_place(place)
    except ConfigError as error:
        yield wrong("root", str(error), "right would be --root s3://BUCKET/PREFIX with a bucket that is yours")
        return
    with scratch(place) as folder:
        yield writes(folder)
        yield creates(folder)


def creates(folder: AnyPath) -> Finding:
    """Whether of two conditional writes of one object the second is refused, which keeps a second driver out."""
    cure = "use a store with conditional writes, as those of Amazon and Google are"
    try:
        path = folder / "once"
        assert not isinstance(path, Path)
        is_kept = storage.create(path, b"first") and not storage.create(path, b"second")
    except StorageError as error:
        return wrong("journal", str(error), cure)
    if not is_kept:
        return wrong("journal", "an object can be made twice, so two drivers could write one journal", cure)
    return ok("journal", "an object is made once, which keeps a second driver out")


@contextmanager
def scratch(place: AnyPath) -> Iterator[AnyPath]:
    """A folder of our own in `place`, or where `place` would be made; gone at the end.

    Raises:
        StorageError: it cannot be made.
    """
    there = storage.nearest_folder(place) if isinstance(place, Path) else place
    folder = storage.make_folder(there / f".tunekit-doctor-{uuid.uuid4().hex}")
    try:
        yield folder
    finally:
        storage.remove_folder(folder)


def writes(folder: AnyPath) -> Finding:
    """Whether a file can be written whole, renamed, read and deleted."""
    first, second = folder / "first", folder / "second"
    try:
        storage.write_text(first, TEXT)
        storage.write_text(second, "")
        storage.rename(first, second)
        is_same = storage.read_text(second) == TEXT and not first.exists()
        storage.remove(second)
    except StorageError as error:
        return wrong("root", str(error), CURE)
    if not is_same:
        return wrong("root", f"a file in {folder.parent} was renamed and is not what was written", CURE)
    return ok("root", f"files in {folder.parent} can be written, renamed and deleted")


def locks(folder: Path) -> Finding:
    """Whether a lock keeps a second driver out."""
    place = folder / "lock"
    cure = "mount it with locks (NFS: version 4, without nolock), or choose another --root"
    try:
        with closing(storage.Lock(place)):
            try:
                storage.Lock(place).close()
            except BlockingIOError:
                return ok("locks", "a second driver is kept out")
    except StorageError as error:
        return wrong("locks", str(error), cure)
    return wrong("locks", "two processes can hold one lock, so two drivers could write one journal", cure)


def grows(folder: Path) -> Finding:
    """Whether a file can grow, and how long a line takes until it is on the disk."""
    taken = []
    try:
        with closing(storage.AppendFile(folder / "journal")) as file:
            for _ in range(NUM_APPENDS):
                start = time.perf_counter()
                file.append(TEXT.encode())
                taken.append(time.perf_counter() - start)
        whole = storage.read_text(folder / "journal") == TEXT * NUM_APPENDS
    except StorageError as error:
        return wrong("journal", str(error), CURE)
    if not whole:
        return wrong("journal", "lines that were appended are not what is read", CURE)
    return paced(statistics.median(taken))


def paced(seconds: float) -> Finding:
    """What one line of the journal costs."""
    said = f"a line is on the disk after {seconds * 1000:.1f} ms"
    return warning("journal", said, "a faster disk would help") if seconds > SLOW_APPEND_S else ok("journal", said)
