"""What there is to choose from, for ``tunekit list``."""

from __future__ import annotations

import ast
from pathlib import Path

from tunekit.cli.exits import DONE, UNFINISHED
from tunekit.cli.found_sweeps import FoundSweep, found_sweeps
from tunekit.cli.next_command import how_to_begin
from tunekit.errors import ConfigError, nearest
from tunekit.registry import METHODS, TASKS
from tunekit.storage import AnyPath
from tunekit.wording import plural

SEARCHERS = {
    "tpe": "tree-structured Parzen estimator, multivariate; the default",
    "random": "independent draws",
    "grid": "every combination, in a shuffled order",
    "qmc": "scrambled Sobol sequence",
    "cmaes": "CMA-ES; numbers only, choices are drawn at random",
    "gp": "Gaussian process with expected improvement",
    "nsga2": "genetic algorithm, population of 10",
}
SCHEDULERS = {
    "asha": "asynchronous successive halving: one in reduction_factor goes on at each rung",
    "hyperband": "the same, in several brackets with different grace periods",
    "median": "stops trials below the median of the other trials' running means",
    "none": "no early stopping; the default",
}


def listing(what: str, root: AnyPath) -> tuple[list[str], int]:
    """Lines of ``name  what it is``, and the exit code.

    Raises:
        ConfigError: there is no such list.
    """
    tables = {"methods": METHODS, "tasks": TASKS, "searchers": SEARCHERS, "schedulers": SCHEDULERS}
    if what == "sweeps":
        return _sweeps(root)
    if what not in tables:
        raise ConfigError(f"cannot list {what!r}; {nearest(what, [*tables, 'sweeps'])}")
    table = tables[what]
    width = max(map(len, table))
    is_described = what in ("searchers", "schedulers")
    texts = (text if is_described else _first_line(text) for text in table.values())
    return [f"{name:{width}}  {text}" for name, text in zip(table, texts, strict=True)], DONE


def _first_line(target: str) -> str:
    """The first line of the docstring of ``module:attribute`` in tunekit, read without importing what it needs."""
    module, _, attribute = target.partition(":")
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0].replace("``", "")
    return ""


def _sweeps(root: AnyPath) -> tuple[list[str], int]:
    found = found_sweeps(root)
    if not found:
        return [how_to_begin(root)], DONE
    width = max(len(sweep.folder.name) for sweep in found)
    lines = [f"{sweep.folder.name:{width}}  {_how_far(sweep)}" for sweep in found]
    return lines, UNFINISHED if any(sweep.problem for sweep in found) else DONE


def _how_far(sweep: FoundSweep) -> str:
    record = sweep.record
    if record is None:
        return f"cannot be read: {sweep.problem}"
    finished = sum(trial.state != "RUNNING" for trial in record.trials.values())
    arms = ", ".join(record.definition.get("arms", {}))
    last = "running now" if sweep.is_running else f"last event {record.last_event_at}"
    return f"{arms}  {plural(finished, 'trial')} finished, {last}"
