"""report.html in a real browser: from a file, narrow and wide, light and dark, on paper, and for a screen reader."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_sweep import rich_sweep

from tunekit.reports.contents import sections
from tunekit.reports.render.html import page
from tunekit.reports.results import read
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Section, Table
from tunekit.storage import SweepFolder

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DRAWN = "html[data-drawn=yes]"
GRAVE = ("serious", "critical")
MARGIN_PX = 1
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)
        sweep = rich_sweep(folder)
    result = read(sweep.record, SweepFolder(folder))
    wide = Section(key="wide", title="A table wider than any page", parts=(_wide_table(),))
    result.once("sections", lambda: (*sections(read(sweep.record)), wide))
    (path,) = page.write(result, folder)
    return Path(str(path)).as_uri()


def _wide_table() -> Table:
    """Forty languages of long names, each cell with a spread and a mark."""
    cell = Cell(value=Spread(mean=0.5, std=0.1, n=3), is_best=True, marks=("†",), remark="(2 of 3)")
    columns = [Column(key=f"language_{number}", title=f"language {number}", kind="score") for number in range(40)]
    return Table(
        name="wide",
        title="Scores in forty languages, " + "and so on, " * 20,
        columns=(Column(key="arm", title="arm"), *columns),
        rows=((Cell(value="a-name-without-any-place-to-break-it" * 3), *[cell] * 40),),
        notes=("†: cannot be told from the best.",),
    )


class Opened:
    """A page, and what it said and asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def __enter__(self) -> Opened:
        self.page.wait_for_selector(DRAWN, state="attached")
        return self

    def __exit__(self, *ended: object) -> None:
        self.context.close()

    def number(self, script: str) -> float:
        """What a script in the page gives."""
        return float(self.page.evaluate(script))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_opens_from_a_file_alone_and_can_be_read(browser: Any, address: str, width: int, scheme: Any) -> None:
    with Opened(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme) as opened:
        assert not opened.errors
        assert [url for url in opened.requests if not url.startswith("data:")] == [address]
        assert opened.number("document.querySelectorAll('.plot:not(:has(.main-svg))').length") == 0
        assert opened.number("document.querySelectorAll('.plot').length") > 10
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        root = "document.documentElement"
        assert opened.number(f"{root}.scrollWidth") <= opened.number(f"{root}.clientWidth")
        opened.page.evaluate(axe.AXE_SCRIPT)
        found = opened.page.evaluate("axe.run({exclude: '.plot > *'}, {resultTypes: ['violations']})")[
            "violations"
        ]  # to a reader it is one picture
        grave = {each["id"]: [node["html"] for node in each["nodes"]][:3] for each in found if each["impact"] in GRAVE}
        assert not grave


def test_buttons_change_the_colours_and_copy_a_command(browser: Any, address: str) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with Opened(browser, address, color_scheme="light", permissions=allowed) as opened:
        texts = "[...document.querySelectorAll('.main-svg text')].map(each => [!!each.closest('.heatmaplayer'), each])"
        fills = f"{texts}.map(([inCell, each]) => [inCell, getComputedStyle(each).fill])"
        cells = {fill for is_in_cell, fill in opened.page.evaluate(fills) if is_in_cell}
        assert len(cells) > 1, "a text on a cell is dark or light, as the cell asks for"
        assert opened.page.text_content("#theme") == "Colours: automatic"
        for name in ("light", "dark"):
            opened.page.click("#theme")
            assert opened.page.text_content("#theme") == f"Colours: {name}"
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        others = {fill for is_in_cell, fill in opened.page.evaluate(fills) if not is_in_cell}
        assert others == {"rgb(228, 232, 236)"}, "plots follow"
        opened.page.click(".card .copy")
        opened.page.wait_for_selector(".card .copy:has-text('Copied')")
        assert opened.page.evaluate("navigator.clipboard.readText()") == "tunekit trial best_config.finetune.yaml"


def test_without_scripts_tables_and_words_stay(browser: Any, address: str) -> None:
    with browser.new_context(offline=True, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        assert page.is_visible("table")
        assert page.is_visible("noscript p")
        assert not page.is_visible(".plot")
        page.click("figure details summary")
        assert page.is_visible("figure details p")


def test_the_page_can_be_printed_with_every_picture_inside_the_paper(
    browser: Any, address: str, tmp_path: Path
) -> None:
    with Opened(browser, address, color_scheme="dark") as opened:
        opened.page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
        assert (tmp_path / "report.pdf").stat().st_size > 50_000
        opened.page.emulate_media(media="print")
        opened.page.set_viewport_size({"width": 700, "height": 1000})
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        widest = opened.number(
            "Math.max(...[...document.querySelectorAll('.main-svg')].map(e => e.getBoundingClientRect().right))"
        )
        assert widest <= 700 + MARGIN_PX
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
