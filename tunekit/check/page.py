"""The page that ``tunekit check FILE`` prints: what would run, on what, and what it would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.check.data_page import data_page
from tunekit.check.findings import ArmCheck, Span, SweepCheck
from tunekit.check.limits import budget_in_words, budget_needed, disk_in_words
from tunekit.check.packing import packing_in_words
from tunekit.check.published import published_lines
from tunekit.sweep import Spent, Sweep
from tunekit.wording import count, duration, listed, parameters, plural, share, short


def render(check: SweepCheck, *, in_full: bool = False) -> RenderableType:
    """The page as something that a rich Console prints, in a terminal or into a file.

    Args:
        check: what was found.
        in_full: show what was read of each split and language.
    """
    sweep = check.sweep
    parts: list[RenderableType] = [
        Text.assemble((f"{sweep.name}: {_verdict(check)}", "bold")),
        _section(_plan(check)),
        Text("Data", style="bold"),
        _section(_data_lines(check)),
        *(data_page(reading, in_full=in_full, is_only=len(check.readings) == 1) for reading in check.readings),
        Text("Arms", style="bold"),
        _arms(check),
        Text("Spaces", style="bold"),
        _section(_spaces(check)),
        Text("Estimate", style="bold"),
        _section(_estimate(check)),
    ]
    if check.notes:
        notes = "\n".join(f"- {note}" for note in check.notes)
        parts += [Text("Worth knowing", style="bold"), Padding(Text(notes), (0, 0, 1, 2))]
    return Group(*parts)


def _verdict(check: SweepCheck) -> str:
    if check.lacks_data:
        return "nothing is wrong in what could be read; its data could not be, and a sweep needs them"
    return "nothing is wrong"


def _section(lines: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(text))
    return Padding(table, (0, 0, 1, 2))


def _plan(check: SweepCheck) -> list[tuple[str, str]]:
    sweep = check.sweep
    most = "up to " if sweep.finalise.race is not None else ""
    final = f" and {most}{check.num_final_trials} to finalise" if check.num_final_trials else ""
    return [
        ("trials", f"{count(check.num_search_trials)} to search{final}, in {plural(len(check.arms), 'arm')}"),
        ("search", _search(sweep)),
        ("stopping", _stopping(sweep)),
        ("finalise", _finalise(sweep)),
        ("selection", _selection(sweep)),
        ("resources", f"a trial takes {_resources(sweep)}"),
        ("packing", packing_in_words(sweep, check.arms)),
        ("budget", budget_in_words(sweep)),
        ("disk", disk_in_words(check)),
        ("tracking", listed(list(sweep.tracking)) or "nobody else is told"),
        *(("published", text) for text in published_lines(sweep)),
    ]


def _search(sweep: Sweep) -> str:
    searcher = f"{sweep.search.searcher} (seed {sweep.search.seed}), {sweep.points_in_words()}"
    drawn = f", on each of {plural(len(sweep.draws), 'draw')} of the data: {listed(sweep.draws)}" if sweep.draws else ""
    if all(arm.searches_seed for arm in sweep.arms):
        return f"{searcher}, each with a seed of its own{drawn}"
    return f"{searcher}, each on {plural(len(sweep.seeds), 'seed')}: {listed(sweep.seeds)}{drawn}"


def _stopping(sweep: Sweep) -> str:
    scheduler = sweep.scheduler
    if scheduler.name == "none":
        return "no trial is stopped early"
    after = f"from epoch {scheduler.grace_period} on"
    if scheduler.name == "median":
        return f"median, {after}, against at least {scheduler.min_trials} other trials"
    return f"{scheduler.name}, {after}, one in {scheduler.reduction_factor} goes on at each rung"


def _finalise(sweep: Sweep) -> str:
    if sweep.finalise.top == 0:
        return "nothing is finalised, so test is never scored"
    best = "best point" if sweep.finalise.top == 1 else f"{sweep.finalise.top} best points"
    drawn = f" and draws {listed(sweep.final_draws)}" if sweep.final_draws else ""
    race = sweep.finalise.race
    raced = f", then a race on up to {race.max_seeds} seeds for a winner within {race.delta:g}" if race else ""
    return f"the {best} of each arm on seeds {listed(sweep.finalise.seeds)}{drawn}{raced}, then test, once"


def _selection(sweep: Sweep) -> str:
    if sweep.selection == "source_dev":
        return "dev score of the source language; target languages stay unseen"
    return "mean dev score over the target languages, which every table then says"


def _resources(sweep: Sweep) -> str:
    resources = sweep.resources
    gpu = f", {resources.gpu:g} GPU" if resources.gpu else ", no GPU"
    memory = f", {resources.memory / 2**30:.3g} GiB" if resources.memory else ""
    return f"{resources.cpu:g} CPU{gpu}{memory}"


def _data_lines(check: SweepCheck) -> list[tuple[str, str]]:
    reasons = dict.fromkeys(arm.data.absence for arm in check.arms if arm.data.absence)
    return [*_data_of_arms(check), *(("not read", reason) for reason in reasons)]


def _data_of_arms(check: SweepCheck) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for arm in check.arms:
        found.setdefault(_data(arm), []).append(arm.arm.name)
    if len(found) == 1:
        return [(check.arms[0].arm.task.name, text) for text in found]
    return [(listed(arms), f"{check.sweep.arm(arms[0]).task.name}: {text}") for text, arms in found.items()]


def _data(arm: ArmCheck) -> str:
    data, task = arm.data, arm.arm.task
    absent = "not read; as documented: " if data.absence else ""
    languages = list(data.num_test_examples)
    shots = f"{plural(task.shots, 'shot')} a class: " if task.shots else ""
    unit = "sentences" if data.kind == "token" else "pairs"
    tests = f"test {count(sum(data.num_test_examples.values()))} in {plural(len(languages), 'language')}"
    return (
        f"{absent}{shots}train {count(data.num_train_examples)} and dev {count(data.num_dev_examples)} {unit} "
        f"in {task.source_language}; {tests} ({' '.join(languages)}); {plural(len(data.labels), 'label')}, "
        f"scored by {data.metric}"
    )


def _arms(check: SweepCheck) -> RenderableType:
    titles = ("arm", "trials", "trained parameters", "of the backbone", "updates", "a trial", "all trials")
    rows = [
        (
            arm.arm.name,
            f"{count(arm.num_search_trials)} + {arm.num_final_trials}",
            _span(arm.num_trainable, count),
            _span(arm.trainable_share, share),
            _span(arm.num_updates, count),
            _span(arm.trial_hours, _time),
            _span(arm.hours, _time),
        )
        for arm in check.arms
    ]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="dim")
    for title, *cells in zip(titles, *rows, strict=True):
        widest = max(len(word) for cell in (title, *cells) for word in cell.split())  # a number is never cut
        table.add_column(title, justify="left" if title == "arm" else "right", min_width=widest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 1))


def _spaces(check: SweepCheck) -> list[tuple[str, str]]:
    """Each space once, with the arms that share it."""
    found: dict[str, list[str]] = {}
    for arm in check.arms:
        found.setdefault("\n".join(_space(arm)), []).append(arm.arm.name)
    return [("\n".join(arms), text) for text, arms in found.items()]


def _space(arm: ArmCheck) -> Iterator[str]:
    yield f"{arm.arm.method} on {arm.arm.backbone.name}"
    width = max((len(dimension.name) for dimension in arm.arm.space), default=0)
    for dimension in arm.arm.space:
        yield f"{dimension.name:{width}}  {dimension}"
    for setting in arm.arm.enqueue:
        yield f"tried first: {parameters(setting)}"
    if arm.arm.fixed:
        yield f"fixed: {parameters(arm.arm.fixed)}"


def _estimate(check: SweepCheck) -> list[tuple[str, str]]:
    lines = [("in all", _total(check)), *(("budget", text) for text in budget_needed(check))]
    for arm in {arm.arm.backbone.name: arm for arm in check.arms}.values():
        size = f"{count(arm.num_backbone_parameters)} parameters, {arm.shape_basis}; tokens are {arm.tokens_basis}"
        lines.append((arm.arm.backbone.name, size))
    lines += [("rate", basis) for basis in dict.fromkeys(arm.rate.basis for arm in check.arms)]
    flops = Span.over([end for arm in check.arms for end in (arm.trial_flops.low, arm.trial_flops.high)])
    formula = (
        "2 operations for each weight and token forward, 4 more where the backbone is trained, 2 more where only "
        "prompts are: "
        f"{_span(flops, _operations)} a trial. Right within a factor of two or so"
    )
    return [*lines, ("formula", formula)]


def _total(check: SweepCheck) -> str:
    stopping = "" if check.sweep.scheduler.name == "none" else " before early stopping"
    total = f"at most {_span(check.search_hours, _time)} of search{stopping}"
    allowed = check.sweep.budget.left_s(Spent(), check.sweep.rates, part=1) / 3600
    if allowed < check.search_hours.high + check.final_hours.high:
        total += f", of which the budget allows {_time(allowed)}, finalising included"
    if check.num_final_trials:
        total += f"; {_span(check.final_hours, _time)} to finalise"
    return f"{total}. One trial after the other; workers share it"


def _span(span: Span, show: Callable[[float], str]) -> str:
    low, high = show(span.low), show(span.high)
    if low == high:
        return low
    number, _, unit = low.rpartition(" ")
    return f"{number} to {high}" if number and high.endswith(f" {unit}") else f"{low} to {high}"


def _operations(flops: float) -> str:
    for size, unit in ((1e15, "PFLOP"), (1e12, "TFLOP")):
        if flops >= size:
            return f"{short(flops / size)} {unit}"
    return f"{short(flops / 1e9)} GFLOP"


def _time(hours: float) -> str:
    return duration(max(1.0, 3600 * hours))
