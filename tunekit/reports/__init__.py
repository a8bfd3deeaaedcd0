"""What a person reads: made from a sweep's journal alone, without torch and without Ray.

Adding a report is one file with ``write(result, out) -> list[AnyPath]`` and one line in :data:`REPORTS`.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.journal import SweepRecord
from tunekit.storage import AnyPath, SweepFolder
from tunekit.wording import plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tunekit.reports.across import Compared

REPORTS: dict[str, str] = {
    "report": "tunekit.reports.render.markdown:write",
    "page": "tunekit.reports.render.html.page:write",
    "latex": "tunekit.reports.render.latex:write",
    "results": "tunekit.reports.render.tidy:write",
    "tables": "tunekit.reports.render.table_files:write",
    "references": "tunekit.reports.render.references:write",
    "best_config": "tunekit.reports.render.best_config:write",
}
"""Every report by name. Values: ``(SweepResult, AnyPath) -> list[AnyPath]`` writes into a folder, names its files."""

MOST_NAMES = 6
"""Files of one report that are named."""


@dataclass(frozen=True)
class ReportFiles:
    """What :func:`write` wrote."""

    folder: AnyPath
    written: Mapping[str, tuple[AnyPath, ...]]
    """Files by the name of the report that wrote them, in the order of :data:`REPORTS`."""

    @property
    def files(self) -> tuple[AnyPath, ...]:
        """All of them."""
        return tuple(path for paths in self.written.values() for path in paths)

    def __iter__(self) -> Iterator[AnyPath]:
        return iter(self.files)

    def __str__(self) -> str:
        """A line for each report with its files, the first by its path; of a folder within it their number."""
        lines = [", ".join(self._names(paths)) for paths in self.written.values() if paths]
        return "\n".join(["written:", *(f"  {self.folder}/{line}" for line in lines)])

    def _names(self, paths: Sequence[AnyPath]) -> Iterator[str]:
        here = [path.name for path in paths if path.parent == self.folder]
        yield from here[:MOST_NAMES]
        if len(here) > MOST_NAMES:
            yield f"and {plural(len(here) - MOST_NAMES, 'more file')}"
        for name, number in Counter(path.parent.name for path in paths if path.parent != self.folder).items():
            yield f"{name}/ ({plural(number, 'file')})"


def write(
    record: SweepRecord, out: AnyPath, folder: SweepFolder | None = None, *, languages: Path | None = None
) -> ReportFiles:
    """Write every report of :data:`REPORTS` into the folder `out`, which is made; older ones are replaced.

    Args:
        record: the sweep, in any state.
        out: where to.
        folder: of the sweep, whose predictions tell which differences are significant; None: the journal alone is read.
        languages: a CSV file of figures of languages; see :func:`tunekit.reports.language_facts.read_facts`.

    Raises:
        ConfigError: `languages` cannot be read, or is of none of the sweep's languages; names file and line.
        StorageError: `out` cannot be written.
    """
    from tunekit.reports.language_facts import read_facts
    from tunekit.reports.results import read

    result, written = read(record, folder, language_facts=read_facts(languages) if languages else None), {}
    for name, target in REPORTS.items():
        module, _, attribute = target.partition(":")
        written[name] = tuple(getattr(importlib.import_module(module), attribute)(result, out))
    return ReportFiles(out, written)


def best_config_yaml(record: SweepRecord, arm: str | None = None) -> str:
    """The best configuration of an arm as a YAML text that ``tunekit trial`` runs.

    Args:
        record: the sweep, in any state.
        arm: which arm; may be left out where there is one only.

    Raises:
        ConfigError: there is no such arm, several to choose from, or no COMPLETE point in it.
    """
    from tunekit.errors import ConfigError
    from tunekit.reports.render.best_config import to_yaml
    from tunekit.reports.results import read

    result = read(record)
    if arm is None and len(result.arms) != 1:
        known = ", ".join(each.name for each in result.arms) or "none"
        raise ConfigError(f"sweep {result.sweep.name!r} has {len(result.arms)} arms; choose one with --arm: {known}")
    return to_yaml(result, result.arm(arm) if arm is not None else result.arms[0])


def summary(record: SweepRecord) -> RenderableType:
    """The result of a sweep in a screenful; see :func:`tunekit.reports.terminal.summary`."""
    from tunekit.reports.render import terminal

    return terminal.summary(record)


def compared(sweeps: Sequence[tuple[SweepRecord, SweepFolder]]) -> Compared:
    """The arms of several sweeps side by side; see :func:`tunekit.reports.across.compared`."""
    from tunekit.reports import across

    return across.compared(sweeps)


def comparison_page(found: Compared) -> RenderableType:
    """What :func:`compared` found, for the terminal."""
    from tunekit.reports.render import compared as rendered

    return rendered.on_terminal(found)


def write_comparison(found: Compared, out: AnyPath) -> list[AnyPath]:
    """Write what :func:`compared` found into `out`: ``compare.md`` and ``compare.csv``.

    Raises:
        StorageError: `out` cannot be written.
    """
    from tunekit.reports.render import compared as rendered

    return rendered.write(found, out)


def require_whole(record: SweepRecord) -> None:
    """Read everything that a report would read.

    Raises:
        ConfigError: the record does not hold a whole sweep. Of a damaged journal, whatever else its content causes.
    """
    from tunekit.reports.results import read

    read(record)


def status_table(
    records: Sequence[tuple[str, SweepRecord | str]], *, running: Collection[str] = frozenset(), options: str = ""
) -> RenderableType:
    """How far sweeps are; see :func:`tunekit.reports.terminal.status_table`."""
    from tunekit.reports.render import terminal

    return terminal.status_table(records, running=running, options=options)
