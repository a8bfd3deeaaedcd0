"""report.html: one file that loads nothing, whose numbers are those of results.csv, and that shows texts as texts."""

from __future__ import annotations

import base64
import dataclasses
import fnmatch
import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import report_numbers
from builders import JournalBuilder, definition
from markupsafe import Markup
from report_sweep import HOSTILE, LANGUAGES, rich_sweep

from tunekit import reports
from tunekit.reports.contents import tables
from tunekit.reports.figures.figure import Figure, drawing
from tunekit.reports.figures.importance import Importances
from tunekit.reports.figures.studies import StudyCopy, evenly
from tunekit.reports.render.html import markup, page
from tunekit.reports.render.html.scripts import figure_data, policy
from tunekit.reports.results import SweepResult, read
from tunekit.reports.worklog import busy_s, by_worker, spells
from tunekit.search.frozen import frozen_trial
from tunekit.storage import SweepFolder
from tunekit.sweep import Dimension

ROOT = Path(__file__).resolve().parents[1]
LOADS = {"src", "srcset", "data", "poster", "action", "background", "formaction"}
"""Attributes by which an element loads something, or sends something."""
REFERS = ("aria-labelledby", "data-of", "data-copies")
"""Attributes that name another element."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal made by hand need not survive a power cut."""
    monkeypatch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)


class Page(HTMLParser):
    """What stands in a page: its elements, the text of some, and its tables."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.shown = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append((dict(attrs), ""))
        elif tag == "caption":
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
            return
        if "style" in self._open:
            return
        self.shown += data
        if "caption" in self._open:
            self.captions[-1] += data
        elif {"th", "td"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        """The attributes of elements with these names."""
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A sweep with something of everything; module-wide, since nothing changes it."""
    folder = tmp_path_factory.mktemp("rich")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)
        sweep = rich_sweep(folder)
    return read(sweep.record, SweepFolder(folder))


@pytest.fixture(scope="module")
def text(rich: SweepResult) -> str:
    return page.render(rich)


@pytest.fixture(scope="module")
def found(text: str) -> Page:
    return Page(text)


def test_the_scores_of_the_page_are_those_of_results_csv(rich: SweepResult, found: Page, tmp_path: Path) -> None:
    reports.write(rich.record, tmp_path)
    grids = [grid for grid in found.tables if {"zero_shot", "transfer_gap"} <= set(grid[0])]
    assert len(grids) == 1
    report_numbers.assert_same(report_numbers.numbers(grids[0]), tmp_path / "results.csv", "udpos", "accuracy")


def test_every_table_of_the_report_stands_on_the_page_cell_by_cell(rich: SweepResult, found: Page) -> None:
    by_title = dict(zip(found.captions, found.tables, strict=True))
    for table in tables(rich):
        assert len(by_title[table.title]) == 1 + len(table.rows), table.title
        assert by_title[table.title][0] == [column.title for column in table.columns]


def test_the_page_loads_nothing_and_runs_only_scripts_that_its_policy_names(found: Page) -> None:
    for tag, attributes in found.elements:
        loads = {
            key: value for key, value in attributes.items() if key in ("src", "srcset", "data", "poster", "action")
        }
        assert not loads, f"<{tag}> loads {loads}"
        if tag in ("a", "link"):
            assert str(attributes["href"]).startswith("#" if tag == "a" else "data:"), attributes
        assert not any(key.startswith("on") for key in attributes), f"<{tag}> has a handler: {attributes}"
    allowed = next(str(each["content"]) for each in found.named("meta") if each.get("http-equiv"))
    assert "default-src 'none'" in allowed and "unsafe-eval" not in allowed
    programs = [text for attributes, text in found.scripts if "type" not in attributes]
    assert len(programs) == 1
    digest = base64.b64encode(hashlib.sha256(programs[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in allowed


def test_the_style_loads_nothing(text: str) -> None:
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style and "http" not in style


def test_texts_from_outside_are_shown_as_texts(found: Page) -> None:
    assert HOSTILE in " ".join(found.shown.split())
    assert not found.named("img")
    assert all("alert" not in program for attributes, program in found.scripts if "type" not in attributes)


def test_figure_data_cannot_end_its_script_element() -> None:
    told = drawing([{"x": [1]}], {}, hover="</script><b>")
    data = figure_data(Figure(name="x", title="x", alt="x", drawing=told))
    assert "<" not in data and json.loads(data) == told


def test_the_name_of_a_sweep_from_elsewhere_is_shown_as_it_is(rich: SweepResult) -> None:
    sweep = dataclasses.replace(rich.sweep, name="</title><b>")
    text = page.render(dataclasses.replace(rich, sweep=sweep, arms=()))
    assert "<h1>Sweep &lt;/title&gt;&lt;b&gt;</h1>" in text and "</title><b>" not in text


def test_plotly_shows_names_from_outside_and_obeys_none() -> None:
    told = drawing([{"name": "<a href='x'>a</a>", "x": [1.0], "hovertemplate": "<b>theirs</b>"}], {"title": "no"})
    assert told["data"][0]["name"] == "&lt;a href='x'&gt;a&lt;/a&gt;"
    assert told == {"data": [{"name": told["data"][0]["name"], "x": [1]}], "layout": {}}


def test_each_figure_is_what_plotly_can_draw(rich: SweepResult, found: Page) -> None:
    from plotly.graph_objects import Figure as Drawing

    told = [json.loads(text) for attributes, text in found.scripts if attributes.get("type") == "application/json"]
    assert len(told) == len(found.named("figure")) > 10
    for each in told:
        assert Drawing(each).data, each["layout"]


def test_each_figure_says_in_words_what_it_shows(found: Page) -> None:
    plots = [each for each in found.named("div") if each.get("class") == "plot"]
    assert len(plots) == len(found.named("figure"))
    for each in plots:
        assert each["role"] == "img"
        assert len(str(each["aria-label"])) > 60
    assert len(found.named("details")) >= len(plots)


def test_headings_go_down_one_level_at_a_time(found: Page) -> None:
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_ids_are_unique_and_references_find_them(found: Page) -> None:
    ids = [each["id"] for _, each in found.elements if "id" in each]
    assert len(ids) == len(set(ids))
    wanted = {str(each["href"]).removeprefix("#") for each in found.named("a")}
    wanted |= {
        each[key] for _, each in found.elements for key in ("aria-labelledby", "data-of", "data-copies") if key in each
    }
    assert wanted <= set(ids)


def test_tables_have_captions_and_headings_with_a_scope(found: Page) -> None:
    assert len(found.captions) == len(found.tables) and all(found.captions)
    assert all(each.get("scope") in ("col", "row") for each in found.named("th"))
    regions = [each for each in found.named("div") if each.get("role") == "region"]
    assert all(each["tabindex"] == "0" and ({"aria-label", "aria-labelledby"} & each.keys()) for each in regions)


def test_the_winners_card_has_the_command_and_the_file(found: Page, rich: SweepResult) -> None:
    for arm in ("finetune", "ptuning_v2"):
        assert f"tunekit trial best_config.{arm}.yaml" in found.shown
        assert reports.best_config_yaml(rich.record, arm) in found.shown


def test_the_same_sweep_gives_the_same_page(rich: SweepResult, text: str) -> None:
    assert page.render(read(rich.record, rich.folder)) == text


def test_a_sweep_without_a_single_report_has_a_page(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(name="empty"))
    text = page.render(read(sweep.record))
    assert "<h1>Sweep empty</h1>" in text
    assert 'id="plotly"' not in text, "plotly's script is left out where there is nothing to draw"
    assert len(text) < 60_000


def test_a_wide_choice_keeps_its_ends_and_its_number() -> None:
    assert evenly(range(100), 4) == [0, 33, 66, 99]
    assert evenly([1, 2], 4) == [1, 2]


def test_a_picture_of_many_points_keeps_the_best_and_says_what_it_leaves_out(rich: SweepResult) -> None:
    arm = rich.arm("finetune")
    copy = StudyCopy(arm, 6)
    assert len(copy.points) == 6 and arm.leader is not None
    assert arm.leader.number in {point.number for point in StudyCopy(arm, 11).points}
    assert copy.left_out == ("Shown are 6 of 16 points: the best 10, and an even choice of the others.",)
    assert not StudyCopy(arm, 16).left_out
    numbers = [trial.number for trial in copy.complete]
    assert set(numbers) <= {point.number for point in copy.points}


def test_a_point_outside_of_its_space_is_left_out_of_pictures_and_said(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"searcher": "random", "num_trials": 3, "seed": 0}))
    for rate in (1e-3, 2e-3, 5.0):
        sweep.complete("finetune", {"learning_rate": rate}, 0.7)
    copy = StudyCopy(read(sweep.record).arm("finetune"), 10)
    assert [trial.number for trial in copy.complete] == [0, 1]
    assert copy.notes == ("Left out, since their values are outside of the space: 1 point.",)


def test_a_choice_that_is_a_list_becomes_a_trial_of_optuna(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    sweep.complete("finetune", {"verbalizer": ["yes", "no"]}, 0.7)
    dimension = Dimension(name="verbalizer", kind="choice", choices=(["yes", "no"], ["true", "false"]))
    arm = dataclasses.replace(sweep.record.sweep.arms[0], space=(dimension,))
    trial = frozen_trial(arm, sweep.record.arm("finetune").points[0])
    assert trial.params == {"verbalizer": '["yes","no"]'}


def test_studies_hold_scores_times_100(rich: SweepResult) -> None:
    arm = rich.arm("finetune")
    assert arm.leader is not None and arm.leader.value is not None
    assert StudyCopy(arm, 100).study.best_value == pytest.approx(100 * arm.leader.value)


def test_importances_are_those_of_optuna_and_add_up_to_one(rich: SweepResult) -> None:
    found = Importances(rich.arm("finetune"))
    assert set(found.shares) == {"learning_rate", "batch_size"}
    assert sum(found.shares.values()) == pytest.approx(1)
    figure = found.figure("x")
    assert figure is not None and "rough guide" in " ".join(figure.notes)


def test_too_few_points_have_no_importances_and_the_page_says_why(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    sweep.complete("finetune", {"learning_rate": 1e-3}, 0.7)
    found = Importances(read(sweep.record).arm("finetune"))
    assert not found.shares and found.figure("x") is None
    assert found.why_none.startswith("Too few COMPLETE points to say which parameter matters: 1,")


def test_the_time_line_has_a_spell_for_each_time_that_a_worker_took_a_trial_up(rich: SweepResult) -> None:
    found = spells(rich)
    num_trials = len(rich.record.trials)
    assert len(found) == num_trials
    assert {spell.what for spell in found} == {"search", "finalise"}
    assert list(by_worker(found)) == ["worker-0"]
    assert busy_s(found) <= (found[-1].end - found[0].start).total_seconds() + 1e-6


def test_seconds_at_work_are_counted_once_for_trials_that_ran_together() -> None:
    from datetime import UTC, datetime, timedelta

    from tunekit.reports.worklog import Spell

    start = datetime(2026, 1, 1, tzinfo=UTC)
    given: Sequence[tuple[int, int]] = [(0, 10), (5, 8), (20, 30), (9, 12)]
    made = [
        Spell(
            worker="a", start=start + timedelta(seconds=one), end=start + timedelta(seconds=other), arm="x",
            trial_id="t", what="search",
        )
        for one, other in given
    ]  # fmt: skip
    assert busy_s(made) == 22


def test_a_sweep_without_its_folder_has_no_time_line(rich: SweepResult) -> None:
    assert spells(read(rich.record)) == []


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("plain & <b>", "plain &amp; &lt;b&gt;"),
        ("**bold** and `a<b`", "<strong>bold</strong> and <code>a&lt;b</code>"),
        (r"\*\*stars\*\* and \`tick", "**stars** and `tick"),
        ("&lt;script> &amp;lt;", "&lt;script&gt; &amp;lt;"),
        ("`` a`b ``", "<code>a`b</code>"),
        ("one ** alone", "one ** alone"),
        ('"quoted"', "&#34;quoted&#34;"),
    ],
)
def test_markdown_of_the_contents_becomes_what_it_means_and_no_more(markdown: str, html: str) -> None:
    assert markup.inline(markdown) == Markup(html)


def test_paragraphs_and_lists_are_told_apart() -> None:
    assert markup.blocks("one\n\n- a\n- b") == "<p>one</p>\n<ul><li>a</li><li>b</li></ul>"


def test_a_policy_without_scripts_allows_none() -> None:
    assert "script-src 'none'" in policy()


def test_what_the_page_is_made_of_is_shipped_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["tunekit.reports.render.html"]
    folder = ROOT / "tunekit/reports/render/html"
    files = [path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
    assert files and all(any(fnmatch.fnmatch(name, pattern) for pattern in patterns) for name in files)


def test_all_languages_stand_in_the_heat_map(found: Page) -> None:
    told: list[dict[str, Any]] = [json.loads(t) for a, t in found.scripts if a.get("type") == "application/json"]
    heat = next(each["data"][0] for each in told if each["data"][0].get("type") == "heatmap")
    assert heat["x"] == ["en", *LANGUAGES]
    assert len(heat["z"]) == 2 and all(len(row) == 1 + len(LANGUAGES) for row in heat["z"])


@pytest.mark.slow
def test_the_page_of_a_thousand_trials_stays_below_6_megabytes(tmp_path: Path) -> None:
    from simulation import run, simulated_sweep

    record = run(simulated_sweep(search={"searcher": "random", "num_trials": 500, "seed": 3}), tmp_path, num_workers=8)
    assert len(record.trials) >= 1000
    assert len(page.render(read(record, SweepFolder(tmp_path))).encode()) < 6_000_000
