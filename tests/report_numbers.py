"""The numbers that a reader sees in a report's score tables, against those that results.csv gives by another way.

`expected` counts from results.csv alone. `from_markdown` and `from_latex` read tables as they were written; another
format is read into the same `Numbers`, through `numbers`, and held against the same by `assert_same`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

Numbers = dict[tuple[str, str], str]
"""By row (an arm, ``majority``) and column (``n``, a language, ``zero_shot``, ``transfer_gap``): ``86.0±2.8``."""


def shown(values: Sequence[float]) -> str:
    """Mean and sample deviation of fractions, as tables show them, without blanks."""
    std = f"±{100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):z.1f}{std}"


def expected(results: Path, task: str, metric: str) -> Numbers:
    """What the table of `metric` on `task` must show of each arm, counted from the file ``results.csv``."""
    with results.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test" and row["is_best_point"] == "True"]
    rows = [row for row in rows if (row["task"], row["metric"]) == (task, metric)]
    found: Numbers = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        trials = list(dict.fromkeys(row["trial_id"] for row in own))
        found[arm, "n"] = str(len(trials))
        for language in dict.fromkeys(row["language"] for row in own):
            found[arm, language] = shown([float(row["value"]) for row in own if row["language"] == language])
        means = [_mean(own, trial, "target") for trial in trials]
        found[arm, "zero_shot"] = shown(means)
        found[arm, "transfer_gap"] = shown(
            [_mean(own, trial, "source") - mean for trial, mean in zip(trials, means, strict=True)]
        )
    return found


def _mean(rows: Sequence[Mapping[str, str]], trial: str, role: str) -> float:
    return fmean(float(row["value"]) for row in rows if row["trial_id"] == trial and row["role"] == role)


def numbers(grid: Sequence[Sequence[str]]) -> Numbers:
    """A table as text, its heading first, with arms as rows or as columns."""
    lines = [[cell.strip() for cell in line] for line in grid]
    if "zero_shot" not in lines[0] and "n" not in lines[0]:
        lines = [list(line) for line in zip(*lines, strict=True)]
    columns = [name.removesuffix("(source)").strip() for name in lines[0]]
    return {
        (line[0], column): normal(cell)
        for line in lines[1:]
        for column, cell in zip(columns[1:], line[1:], strict=True)
    }


def normal(cell: str) -> str:
    """A cell without what stands around its number: bold, marks, blanks."""
    found = re.search(r"(-?\d[\d,.]*)(?:\s*(±)\s*([\d.]+))?", cell.replace("−", "-"))
    return "–" if found is None else "".join(part or "" for part in found.groups())


def from_markdown(text: str) -> list[Numbers]:
    """Every table of scores in a Markdown document."""
    grids: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            grids.append([])
        elif not re.fullmatch(r"[|:\- ]+", line):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            grids[-1].append([re.sub(r"\\([|*`\\])", r"\1", cell.strip()) for cell in cells])
    return [numbers(grid) for grid in grids if grid and {"zero_shot", "transfer_gap"} <= set(grid[0])]


def from_latex(text: str) -> dict[str, Numbers]:
    """Every table of a LaTeX file, by its caption; blocks of one caption are one table."""
    found: dict[str, Numbers] = {}
    for environment in re.findall(r"\\begin\{table\*\}.*?\\end\{table\*\}", text, re.DOTALL):
        caption = re.search(r"\\caption\{(.*)\}", environment)
        assert caption is not None
        title = re.sub(r" \(\d+ of \d+\)", "", _plain(caption[1])).removesuffix(".")
        for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", environment, re.DOTALL):
            lines = [line.removesuffix(r"\\") for line in body.splitlines() if line.endswith(r"\\")]
            grid = [[_plain(cell) for cell in re.split(r"(?<!\\)&", line)] for line in lines]
            for key, value in numbers(grid).items():
                assert found.setdefault(title, {}).setdefault(key, value) == value, f"two values of {key}"
    return found


def _plain(latex: str) -> str:
    text = latex.replace(r"$\pm$", "±").replace(r"$\times$", "×").replace("$-$", "-").replace("--", "–")
    text = re.sub(r"\\textbf\{(.*?)\}", r"\1", text).replace(r"\scriptsize", "")
    text = re.sub(r"\$\^\{.*?\}\$", "", text)
    return re.sub(r"[{}]", "", re.sub(r"\\([_%&#$])", r"\1", text)).strip()


def assert_same(found: Mapping[tuple[str, str], str], results: Path, task: str, metric: str) -> None:
    """Hold what a table shows against results.csv, number by number: nothing else, nothing less."""
    wanted = expected(results, task, metric)
    assert wanted, f"results.csv has no scores of {task} by {metric}"
    arms = {arm for arm, _ in wanted}
    columns = {column for _, column in wanted}
    seen = {key: value for key, value in found.items() if key[0] in arms and key[1] in columns}
    without_score = {key for key in seen if key not in wanted}
    assert {seen.pop(key) for key in without_score} <= {"–"}
    assert seen == wanted
