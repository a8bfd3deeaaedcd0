"""What rows of one table read or ran on differently: data, backbones, versions, code and devices.

A row is an arm; where trials of one arm differ, they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from tunekit.markdown import code, plain
from tunekit.reports.results import ArmResult, Comparison, SweepResult
from tunekit.trial import TrialFacts
from tunekit.wording import listed, names, plural

SPLITS = ("train", "dev", "test", "train and dev")
"""The last is of journals of schema 1, which have one fingerprint for both."""
CODE_KEYS = ("tunekit_code", "method_code")
"""Versions that are digests of source files."""
COMMIT_KEYS = {"tunekit_commit", "folder_commit"}
"""Versions that are commits of git."""


def different_data(comparison: Comparison) -> Iterator[str]:
    """What trials of one arm, or arms of one table, read differently."""
    for arm in comparison.arms:
        yield from _changed_data(arm)
    groups: dict[object, list[ArmResult]] = {}
    for arm in comparison.arms:  # fixed draws of other sizes are other files, and the table says so
        groups.setdefault((arm.task.shots, "files") if arm.task.draw == "files" else None, []).append(arm)
    for split in SPLITS:
        for arms in [comparison.arms] if split == "test" else groups.values():
            yield from _different_split(split, arms)
    yield from _different_parallel_text(comparison.arms)
    yield from _different_backbones(comparison.arms)


def _changed_data(arm: ArmResult) -> Iterator[str]:
    read: dict[str, Counter[str]] = {}
    for facts in arm.all_facts:
        for key, fingerprint in facts.fingerprints.items():
            read.setdefault(key, Counter())[fingerprint] += 1
    for key, found in read.items():
        if len(found) > 1:
            what = "backbone" if key == "backbone" else "data"
            prints = names(f"{code(each)} ({plural(found[each], 'trial')})" for each in sorted(found))
            yield f"**The {what} changed** while {plain(arm.name)} ran: of {plain(key)} its trials saw {prints}."


def _different_split(split: str, arms: Sequence[ArmResult]) -> Iterator[str]:
    apart: dict[tuple[str, ...], list[str]] = {}
    for key, by_arm in _prints(arms).items():
        kind, _, language = key.partition("/")
        if kind == split and len(set(by_arm.values())) > 1:
            apart.setdefault(_sides(by_arm), []).append(language)
    for sides, languages in apart.items():
        where = f"data in {names(map(plain, languages))}" if languages != [""] else "data"
        graver = ", so their scores there are not comparable" if split == "test" else ""
        yield f"**Different data**: {_against('read other', split, where, sides)}{graver}."


def _different_parallel_text(arms: Sequence[ArmResult]) -> Iterator[str]:
    for key, by_arm in _prints(arms).items():
        if key.startswith("parallel/") and len(set(by_arm.values())) > 1:
            text = f"text ({plain(key.removeprefix('parallel/'))})"
            yield f"**Different data**: {_against('read other', 'parallel', text, _sides(by_arm))}."


def _different_backbones(arms: Sequence[ArmResult]) -> Iterator[str]:
    alike: dict[tuple[str, str | None], list[ArmResult]] = {}
    for arm in arms:
        alike.setdefault((arm.arm.backbone.name, arm.arm.backbone.revision), []).append(arm)
    for (name, _), users in alike.items():
        by_arm = _prints(users).get("backbone", {})
        if len(set(by_arm.values())) > 1:
            found = _against("ran on other", "files of", plain(name), _sides(by_arm))
            yield f"**Different backbones** of one name: {found}."


def _prints(arms: Iterable[ArmResult]) -> dict[str, dict[str, str]]:
    """Fingerprints by what they are of, and by arm: those of the trial that stands for it."""
    found: dict[str, dict[str, str]] = {}
    for arm in arms:
        for key, fingerprint in (arm.facts.fingerprints if arm.facts else {}).items():
            found.setdefault(key, {})[plain(arm.name)] = fingerprint
    return found


def _sides(by_arm: Mapping[str, str]) -> tuple[str, ...]:
    """The arms that have one fingerprint, for each of them."""
    sides: dict[str, list[str]] = {}
    for arm, fingerprint in by_arm.items():
        sides.setdefault(fingerprint, []).append(arm)
    return tuple(names(arms) for arms in sides.values())


def _against(did: str, kind: str, what: str, sides: Sequence[str]) -> str:
    """Such as ``a read other test data in fr than b and c``."""
    first, *others = sides
    return f"{first} {did} {kind} {what} than {', and other than '.join(others)}"


def different_machines(comparison: Comparison) -> Iterator[str]:
    """Versions, code, devices and number formats that the trials of a table do not share."""
    keys = dict.fromkeys(chain.from_iterable(facts.versions for arm in comparison.arms for facts in arm.all_facts))
    for key in keys:
        what = f"versions of {key}" if key not in CODE_KEYS else _CODE[key]
        yield from _unlike(comparison, what, lambda facts, key=key: facts.versions.get(key))  # type: ignore[misc]
    yield from _unlike(comparison, "devices", lambda facts: facts.device or None)
    formats = {
        plain(arm.name): sorted({str(t.config["backbone"]["dtype"]) for t in arm.trials}) for arm in comparison.arms
    }
    if len(set(chain.from_iterable(formats.values()))) > 1:
        shown = "; ".join(f"{name}: {names(found)}" for name, found in formats.items() if found)
        yield f"Trials computed in different number formats: {shown}."


_CODE = {"tunekit_code": "source files of tunekit", "method_code": "source files of their method"}


def _unlike(comparison: Comparison, what: str, of: Callable[[TrialFacts], str | None]) -> Iterator[str]:
    found = {plain(arm.name): Counter(v for facts in arm.all_facts if (v := of(facts))) for arm in comparison.arms}
    if what == _CODE["method_code"]:  # of another method it is another file
        found = {name: values for name, values in found.items() if len(values) > 1}
    if len({value for values in found.values() for value in values}) < 2:
        return
    groups: dict[str, list[str]] = {}
    for name, values in found.items():
        if values:
            groups.setdefault(_in_trials(values), []).append(name)
    shown = "; ".join(f"{listed(arms)}: {value}" for value, arms in groups.items())
    effect = "so their times and last digits differ" if what == "devices" else "so results may differ"
    yield f"Trials ran on different {what}, {effect}: {shown}."


def _in_trials(values: Counter[str]) -> str:
    """One value, or each with the number of trials that have it."""
    if len(values) == 1:
        return next(iter(values))
    return names(f"{value} in {plural(values[value], 'trial')}" for value in sorted(values))


def different_drivers(result: SweepResult) -> Iterator[str]:
    """Versions of what draws and stops trials, where a sweep was gone on with under other ones."""
    launches = result.record.launches
    # What trials say of themselves is told with them.
    told = {key for trial in result.record.trials.values() if trial.facts for key in trial.facts.versions}
    told |= COMMIT_KEYS  # many a commit leaves the code as it was; its digest tells
    changed = []
    for key in dict.fromkeys(chain.from_iterable(launches)):
        seen = list(dict.fromkeys(versions[key] for versions in launches if key in versions))
        if len(seen) > 1 and key not in told:
            changed.append(f"{key} {', then '.join(seen)}")
    if changed:
        yield f"**The sweep was gone on with by other software** than launched it: {'; '.join(changed)}."
