"""Tables of what a sweep ran on: software, machines, and the bytes that it read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.tables import Column, Table, plain_row
from tunekit.trial import TrialFacts
from tunekit.wording import names

WHAT = {
    "tunekit_code": "source files of tunekit",
    "method_code": "source files of a method",
    "tunekit_commit": "commit of tunekit",
    "folder_commit": "commit of the folder it was started in",
}
"""Keys of versions that are digests of files or commits, and what they are of."""
DIGITS = 12
"""Of a fingerprint: as many tell files apart."""


def environment(result: SweepResult) -> Iterator[Table]:
    """Software, hardware and fingerprints, each with the number of trials; those of which nothing is known left out."""
    yield from filter(None, (_software(result), _hardware(result), _fingerprints(result)))


def _software(result: SweepResult) -> Table | None:
    launches = Counter(each for versions in result.record.launches for each in versions.items())
    trials = Counter(each for _, facts in _facts(result) for each in facts.versions.items())
    keys = dict.fromkeys(key for key, _ in (*launches, *trials))
    found = [each for key in keys for each in dict.fromkeys((*launches, *trials)) if each[0] == key]
    rows = [(WHAT.get(key, key), version, launches[key, version], trials[key, version]) for key, version in found]
    return _table(
        "software",
        "Versions",
        (
            Column(key="what", title="software"),
            Column(key="version", title="version", kind="code"),
            Column(key="launches", title="launches", kind="count"),
            Column(key="trials", title="trials", kind="count"),
        ),
        rows,
        "Launches: of the driver that searched with it. Trials: that trained with it; one that went on with another"
        " version counts for both. Source files are told by a digest; -dirty: files of the commit were changed.",
    )


def _hardware(result: SweepResult) -> Table | None:
    found: dict[tuple[str, int], Counter[str]] = {}
    for arm, facts in _facts(result):
        if facts.device:
            found.setdefault((facts.device, facts.num_threads), Counter())[arm.name] += 1
    rows = [(device, threads or None, names(arms), arms.total()) for (device, threads), arms in found.items()]
    return _table(
        "hardware",
        "Machines",
        (
            Column(key="device", title="device"),
            Column(key="threads", title="threads", kind="count"),
            Column(key="arms", title="arms"),
            Column(key="trials", title="trials", kind="count"),
        ),
        rows,
    )


def _fingerprints(result: SweepResult) -> Table | None:
    found: dict[tuple[str, str], Counter[str]] = {}
    for arm, facts in _facts(result):
        for key, fingerprint in facts.fingerprints.items():
            found.setdefault((key, fingerprint), Counter())[arm.name] += 1
    rows = [(key, prints[:DIGITS], names(arms), arms.total()) for (key, prints), arms in sorted(found.items())]
    return _table(
        "fingerprints",
        "What was read",
        (
            Column(key="what", title="what"),
            Column(key="fingerprint", title="fingerprint", kind="code"),
            Column(key="arms", title="arms"),
            Column(key="trials", title="trials", kind="count"),
        ),
        rows,
        f"The first {DIGITS} digits of SHA-256 over the bytes, or of the commit of a hub id. Where one name has two"
        " rows, their trials read other bytes.",
    )


def _facts(result: SweepResult) -> Iterator[tuple[ArmResult, TrialFacts]]:
    return ((arm, facts) for arm in result.arms for facts in arm.all_facts)


def _table(
    name: str, title: str, columns: tuple[Column, ...], rows: Sequence[tuple[str | int | None, ...]], *notes: str
) -> Table | None:
    if not rows:
        return None
    cells = tuple(plain_row(row) for row in rows)
    return Table(name=name, title=title, columns=columns, rows=cells, notes=notes)
