"""Published figures in a sweep: read strictly, kept in the journal, shown beside ours and mixed into nothing."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from builders import JournalBuilder, cells, definition
from rich.console import Console
from sweep_driver import tiny_sweep

from tunekit import reports
from tunekit.check.published import published_lines
from tunekit.errors import ConfigError
from tunekit.execution import Execution, run_sweep
from tunekit.execution.launch import stored_sweep
from tunekit.journal import replay
from tunekit.sweep import Reference, Source, Sweep, load_sweep, parse_sweep

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TUNEKIT_SHARED", ROOT.parent / "shared"))
RECOVERED = SHARED / "papers_pt_baseline.md"
SHIPPED = ROOT / "search_spaces" / "references" / "prompt_tuning_topro.csv"

HEADER = "method,language,metric,split,value,source"
ROW = "PT,de,accuracy,test,0.86,Tu et al. 2022"
SWEEP = """\
task: {name: udpos, target_languages: [de, zh]}
backbone: bert-base-multilingual-cased
arms:
  finetune: {method: finetune, space: {learning_rate: [1.0e-5, 2.0e-5]}}
references: published.csv
"""
RATE = {"learning_rate": 1e-3}
TABLE = ("n", "zero_shot")


def read(folder: Path, text: str, sweep: str = SWEEP, *overrides: str) -> Sweep:
    (folder / "published.csv").write_text(text, encoding="utf-8")
    (folder / "mine.yaml").write_text(sweep, encoding="utf-8")
    return load_sweep(folder / "mine.yaml", overrides=overrides)


def refused(folder: Path, text: str, sweep: str = SWEEP) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, sweep)
    return str(caught.value)


# -- what a file may say ---------------------------------------------------------------------------------------------


def test_a_row_is_kept_as_it_stands(tmp_path: Path) -> None:
    text = (
        "source,task,method,backbone,language,metric,split,value,spread,n\n"
        '"Tu et al., table 2",udpos,PT,mBERT,de,f1,dev,0.8603,0.0048,5\n'
        "a preprint,,FT,,lt,accuracy,unknown,1,,\n"
    )
    assert read(tmp_path, text).references == (
        Reference(
            method="PT", language="de", metric="f1", split="dev", value=0.8603, source="Tu et al., table 2",
            task="udpos", backbone="mBERT", spread=0.0048, n=5,
        ),
        Reference(
            method="FT", language="lt", metric="accuracy", split="unknown", value=1.0, source="a preprint",
            task="udpos",
        ),
    )  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "", "\n\n"])
def test_line_ends_empty_lines_and_a_byte_order_mark_change_nothing(end: str, tmp_path: Path) -> None:
    plain = read(tmp_path, f"{HEADER}\n{ROW}\n").references
    assert read(tmp_path, f"\ufeff{HEADER}{end or chr(10)}{ROW}{end}").references == plain


def test_several_files_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text(f"{HEADER}\n{ROW.replace('PT', 'FT')}\n")
    sweep = read(tmp_path, f"{HEADER}\n{ROW}\n", SWEEP.replace("published.csv", "[more.csv, published.csv]"))
    assert [each.method for each in sweep.references] == ["FT", "PT"]


@pytest.mark.parametrize("language", ["de", "lt", "ceb", "zh-Hant", "pt-BR", "sr-Latn-RS"])
def test_a_code_of_iso_639_is_a_language(language: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"{HEADER}\n{ROW.replace('de', language, 1)}\n").references[0].language == language


def test_a_language_of_the_sweep_may_have_any_name(tmp_path: Path) -> None:
    sweep = SWEEP.replace("[de, zh]", "[de, Deutsch_alt]")
    assert read(tmp_path, f"{HEADER}\n{ROW.replace('de', 'Deutsch_alt', 1)}\n", sweep).references


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,language,metric,split,value\n", "published.csv:1: no column 'source'"),
        ("method,language,metric,split\n", "published.csv:1: no column 'value', 'source'"),
        (f"{HEADER},Spread\n", "published.csv:1: unknown column 'Spread'; did you mean 'spread'?"),
        (f"{HEADER},year\n", "published.csv:1: unknown column 'year'"),
        (f"{HEADER},value\n", "published.csv:1: column 'value' stands twice"),
        (HEADER.replace(",", ";"), "published.csv:1: the heading is .*; separate the columns by commas"),
        ("", "published.csv: holds no figures"),
        (f"{HEADER}\n", "published.csv: holds no figures"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('0.86', '86')}", "published.csv:3: value: 86 is not a .* 0.86 for 86 %"),
        (f"{HEADER}\n{ROW.replace('0.86', '860')}", "published.csv:2: value: 860 is not a fraction from 0 to 1$"),
        (f"{HEADER}\n{ROW.replace('0.86', '-0.1')}", "published.csv:2: value: '-0.1' is not a number"),
        (f"{HEADER}\n{ROW.replace('0.86', 'nan')}", "published.csv:2: value: 'nan' is not a number"),
        (f"{HEADER}\n{ROW.replace('0.86', '0.8_6')}", "published.csv:2: value: '0.8_6' is not a number"),
        (f"{HEADER}\n{ROW.replace('0.86', '86 %')}", "published.csv:2: value: '86 %' is not a number"),
        (f"{HEADER}\n{ROW.replace('0.86', '٠.٨')}", "published.csv:2: value: .* is not a number"),
        (f"{HEADER}\n{ROW.replace('0.86', '0,86')}", "published.csv:2: 7 cells under 6 columns.*decimal point"),
        (f"{HEADER}\n{ROW.replace('0.86', '')}", "published.csv:2: value is empty.*leave the row out"),
        (f"{HEADER}\n{ROW.replace('Tu et al. 2022', '')}", "published.csv:2: source is empty; say where"),
        (f"{HEADER}\n{ROW.replace('Tu et al. 2022', ' ')}", "published.csv:2: source: ' ' has blanks around it"),
        (f"{HEADER}\n{ROW.replace('de', ' de', 1)}", "published.csv:2: language: ' de' has blanks .* 'de'"),
        (f"{HEADER}\n{ROW.replace('de', 'De', 1)}", "published.csv:2: language: 'De' is .* did you mean 'de'"),
        (f"{HEADER}\n{ROW.replace('de', 'jp', 1)}", "published.csv:2: language: 'jp' is neither"),
        (f"{HEADER}\n{ROW.replace('de', 'German', 1)}", "published.csv:2: language: 'German' is neither"),
        (f"{HEADER}\n{ROW.replace('de', 'avg.', 1)}", "published.csv:2: language: 'avg.' is neither .*a mean over"),
        (f"{HEADER}\n{ROW.replace('accuracy', 'Accuracy')}", "published.csv:2: metric: 'Accuracy' must be lower-case"),
        (f"{HEADER}\n{ROW.replace('test', 'tset')}", "published.csv:2: split: 'tset' .*did you mean 'test'"),
        (f"{HEADER}\n{ROW.replace('test', 'train')}", "published.csv:2: split: 'train' is no split of a score"),
        (f"{HEADER}\n\n{ROW}\n{ROW}", "published.csv:4: PT udpos de .* stands at .*published.csv:3 already"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('0.86', '0.9')}", "published.csv:3: .* already"),
        (f'{HEADER}\n{ROW}\n"PT', "published.csv:3: not CSV"),
        (f'{HEADER}\n"P\nT",{ROW[3:]}', r"published.csv:2: method: 'P\\nT' holds a control sign"),
        (f"{HEADER}\n{ROW}{'!' * 500}", "published.csv:2: source: .* has 514 signs; write at most 500"),
        (f"{HEADER},n\n{ROW},0", "published.csv:2: n: '0' is not a number of runs"),
        (f"{HEADER},n\n{ROW},5.0", "published.csv:2: n: '5.0' is not a number of runs"),
        (f"{HEADER},spread,n\n{ROW},0.1,1", "published.csv:2: spread: 0.1 with n = 1"),
        (f"{HEADER},spread\n{ROW},1.18", "published.csv:2: spread: 1.18 is not a fraction .* 0.0118 for 1.18 %"),
        (f"{HEADER},task\n{ROW},udpso", "published.csv:2: task: 'udpso' is no task .*did you mean 'udpos'"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_in_a_file_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(tmp_path, text))


def test_a_figure_that_two_files_give_is_refused_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text(f"{HEADER}\n{ROW}\n")
    message = refused(tmp_path, f"{HEADER}\n{ROW}\n", SWEEP.replace("published.csv", "[published.csv, more.csv]"))
    assert "more.csv:2: " in message and "published.csv:2 already" in message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    read(tmp_path, f"{HEADER}\n{ROW}\n")
    (tmp_path / "published.csv").write_bytes(f"{HEADER}\n{ROW}é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"published\.csv: cannot be read: it is not UTF-8"):
        load_sweep(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("missing.csv", "mine.yaml:5: references: .*missing.csv: no such file .* folder of the sweep file"),
        (".", "mine.yaml:5: references: .*is a folder"),
        ("5", "mine.yaml:5: references: expected a CSV file or a list of them, got 5"),
        ("{a: b}", "mine.yaml:5: references: expected a CSV file"),
        ("['']", "mine.yaml:5: references: a path is empty"),
        ("[1]", r"mine.yaml:5: references\[0\]: expected text"),
    ],
)
def test_a_key_that_names_no_file_is_refused_with_its_line(value: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(tmp_path, HEADER, SWEEP.replace("published.csv", value)))


def test_where_arms_are_on_several_tasks_each_row_says_which(tmp_path: Path) -> None:
    sweep = SWEEP.replace(
        "references", "  other: {method: finetune, task: {name: panx}, space: {epochs: [1, 2]}}\nreferences"
    )
    assert "published.csv:2: task: nothing says" in refused(tmp_path, f"{HEADER}\n{ROW}\n", sweep)
    assert read(tmp_path, f"{HEADER},task\n{ROW},panx\n", sweep).references[0].task == "panx"


# -- where a file is -------------------------------------------------------------------------------------------------


def test_a_path_is_relative_to_the_sweep_file_and_on_the_command_line_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "own.csv").write_text(f"{HEADER}\n{ROW.replace('PT', 'own')}\n")
    monkeypatch.chdir(tmp_path / "here")
    assert read(tmp_path, f"{HEADER}\n{ROW}\n").references[0].method == "PT"
    assert read(tmp_path, f"{HEADER}\n{ROW}\n", SWEEP, "references=own.csv").references[0].method == "own"


def test_a_definition_is_read_again_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = read(Path(), f"{HEADER}\n{ROW}\n")
    monkeypatch.chdir("/")
    assert parse_sweep(sweep.definition, Source("journal")) == sweep


def test_a_variable_in_a_path_stays_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGURES", str(tmp_path))
    sweep = read(tmp_path, f"{HEADER}\n{ROW}\n", SWEEP.replace("published.csv", "$FIGURES/published.csv"))
    assert sweep.definition["references"] == ["$FIGURES/published.csv"]
    monkeypatch.delenv("FIGURES")
    with pytest.raises(ConfigError, match="'FIGURES' is not set"):
        load_sweep(tmp_path / "mine.yaml")


# -- what they may not decide ----------------------------------------------------------------------------------------


def test_they_enter_no_identity(tmp_path: Path) -> None:
    sweep = read(tmp_path, f"{HEADER}\n{ROW}\n")
    without = read(tmp_path, HEADER, SWEEP.replace("references: published.csv\n", ""))
    assert without.references == () and "references" not in without.definition
    assert sweep.identity() == without.identity()


def test_figures_may_be_added_changed_and_lost_between_launches(backbone: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "published.csv", tmp_path / "run"
    content = dict(tiny_sweep(backbone, num_trials=1, epochs=1).definition)
    run_sweep(parse_sweep(content, Source("tiny.yaml")), folder, Execution(in_process=True))
    before = list(replay(folder).trials)
    for value in ("0.25", "0.5"):
        file.write_text(f"{HEADER}\nPT,xx,accuracy,test,{value},a paper\n")
        sweep = parse_sweep({**content, "references": str(file)}, Source("tiny.yaml"))
        run_sweep(sweep, folder, Execution(in_process=True))
    file.unlink()
    stored, execution = stored_sweep(folder)
    run_sweep(stored, folder, execution)
    record = replay(folder)
    assert [each.value for each in record.sweep.references] == [0.5]
    assert list(record.trials) == before
    reports.write(record, tmp_path / "out")
    row = cells((tmp_path / "out/report.md").read_text(), "published: PT [1]", header=TABLE)
    assert (row["xx"], row["zero_shot"], row["n"]) == ("50.0", "50.0", "–")


# -- reports ---------------------------------------------------------------------------------------------------------


def journal(folder: Path, text: str, **changes: Any) -> JournalBuilder:
    """One finalised arm on udpos in en, de and zh, beside the figures of `text`, whose file is gone."""
    file = folder / "published.csv"
    file.write_text(text, encoding="utf-8")
    sweep = JournalBuilder(folder / "run", definition(references=str(file), **changes))
    file.unlink()
    return sweep


def finished(folder: Path, text: str) -> JournalBuilder:
    sweep = journal(folder, text)
    scores = {"en": 0.88, "de": 0.60, "zh": 0.40}
    sweep.finalised("finetune", RATE, {10: (0.9, scores), 42: (0.9, scores)})
    return sweep


def written(sweep: JournalBuilder) -> str:
    reports.write(sweep.record, sweep.journal.folder.report)
    return (sweep.journal.folder.report / "report.md").read_text(encoding="utf-8")


def shown(sweep: JournalBuilder) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as capture:
        console.print(reports.summary(sweep.record))
    return capture.get()


def figures(split: str = "test", metric: str = "accuracy", **values: float) -> str:
    """Figures of PT by language."""
    rows = (f"PT,{name},{metric},{split},{value},a | paper *2022*,0.01,5" for name, value in values.items())
    return "\n".join([f"{HEADER},spread,n", *rows])


def test_published_rows_stand_last_and_are_marked_with_their_metric_split_and_source(tmp_path: Path) -> None:
    markdown = written(finished(tmp_path, figures(en=0.95, de=0.86, zh=0.64)))
    row = cells(markdown, "published: PT [1]", header=TABLE)
    assert (row["n"], row["en (source)"], row["de"], row["zh"]) == ("5", "95.0 ± 1.0", "86.0 ± 1.0", "64.0 ± 1.0")
    assert (row["zero_shot"], row["transfer_gap"]) == ("75.0", "20.0")
    assert r"- [1] PT: metric accuracy, split test, n = 5. Source: a | paper \*2022\*." in markdown
    first = [line.split("|")[1].strip() for line in markdown.splitlines() if line.startswith("|")]
    assert first.index("finetune") < first.index("majority") < first.index("published: PT [1]")


def test_ours_stay_as_they_are_without_published_rows(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    beside, alone = (finished(tmp_path / name, figures(en=0.99, de=0.99, zh=0.99)) for name in "ab")
    alone.journal.append("amended", definition={}, sweep={**alone.record.resolved, "references": []})
    one, other = written(beside), written(alone)
    for name in ("finetune", "majority"):
        assert cells(one, name, header=TABLE) == cells(other, name, header=TABLE)
    assert "published" not in other
    results = [(sweep.journal.folder.report / "results.csv").read_text() for sweep in (beside, alone)]
    assert results[0] == results[1]


def test_a_mean_is_shown_where_every_target_has_a_figure_and_else_a_dash(tmp_path: Path) -> None:
    text = figures(en=0.95, de=0.86) + "\nFT,de,accuracy,test,0.9,b,,\nFT,zh,accuracy,test,0.7,b,,\n"
    markdown = written(finished(tmp_path, text))
    row = cells(markdown, "published: PT [1]", header=TABLE)
    assert (row["zh"], row["zero_shot"], row["transfer_gap"]) == ("–", "–", "–")
    row = cells(markdown, "published: FT [2]", header=TABLE)
    assert (row["n"], row["en (source)"], row["zero_shot"], row["transfer_gap"]) == ("–", "–", "80.0", "–")


@pytest.mark.parametrize(
    ("metric", "split", "said"),
    [
        ("accuracy", "test", "PT"),
        ("accuracy", "dev", "PT (split dev, not test)"),
        ("token_f1", "test", "PT (metric token_f1, not accuracy)"),
        ("f1", "unknown", "PT (metric f1, not accuracy; split unknown, not test)"),
    ],
)
def test_a_row_says_in_what_it_differs_from_its_table(metric: str, split: str, said: str, tmp_path: Path) -> None:
    sweep = finished(tmp_path, figures(split, metric, en=0.95))
    assert cells(written(sweep), f"published: {said} [1]", header=TABLE)["en (source)"] == "95.0 ± 1.0"
    assert f"[1] published: {said}: metric {metric}, split {split}, n = 5." in shown(sweep)


def test_figures_in_a_secondary_metric_stand_in_a_table_of_that_metric_beside_our_own(tmp_path: Path) -> None:
    sweep = finished(tmp_path, figures("test", "other", en=0.5, de=0.25))
    markdown = written(sweep)
    main, beside = markdown.split("The same points by test other × 100, which selected nothing:")
    assert "published" not in main.partition("## udpos")[2]
    assert cells(beside, "finetune", header=TABLE)["en (source)"] == "44.0 ± 0.0"
    assert cells(beside, "published: PT [1]", header=TABLE)["en (source)"] == "50.0 ± 1.0"
    assert "udpos: test other × 100" in shown(sweep)


def test_udpos_has_a_table_of_seqeval_f1_without_any_figures(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    trials = [sweep.complete("finetune", RATE, 0.9), sweep.complete("finetune", RATE, 0.9, seed=42, number=0)]
    for trial in trials:
        scores = {f"test/{name}/{metric}": 0.5 for name in ("en", "de", "zh") for metric in ("accuracy", "seqeval_f1")}
        sweep.journal.append("tested", trial_id=trial, scores=scores, baselines={}, num_examples={})
    assert "The same points by test seqeval F1 of the tags × 100, which selected nothing:" in written(sweep)


def test_languages_and_tasks_without_a_column_are_named(tmp_path: Path) -> None:
    text = "\n".join(
        f"{line},{'task' if not n else 'udpos'}" for n, line in enumerate(figures(en=0.9, lt=0.8).split("\n"))
    )
    sweep = finished(tmp_path, f"{text}\nPT,de,f1,dev,0.5,a,,,panx")
    assert "No column here: lt." in written(sweep)
    assert list(published_lines(sweep.record.sweep)) == [
        "PT: udpos, accuracy on test, 2 languages; no column has lt",
        "no arm is on panx (1 figure): they stand in references.csv alone",
    ]


def test_before_test_is_scored_the_report_says_where_the_figures_are(tmp_path: Path) -> None:
    sweep = journal(tmp_path, figures(en=0.95))
    sweep.complete("finetune", RATE, 0.9)
    assert "Published figures stand beside test scores, which are not there yet" in written(sweep)
    assert "published" not in shown(sweep)


@pytest.mark.parametrize("number", [1, 9])
def test_the_terminal_shows_them_below_ours_and_apart(number: int, tmp_path: Path) -> None:
    text = figures(en=0.95, de=0.86, zh=0.64)
    rows = [text.replace("PT,", f"PT{n},").split("\n")[1:] for n in range(number)]
    console = shown(finished(tmp_path, "\n".join([text.split("\n")[0], *(line for row in rows for line in row)])))
    ours, _, published = console.partition("Published, not of this sweep")
    assert "finetune" in ours and "75.0" in published and "75.0" not in ours
    assert f"[{number}] published: PT{number - 1}: metric accuracy, split test, n = 5." in published


def test_the_figures_are_written_to_a_file_of_their_own_that_can_be_named_again(tmp_path: Path) -> None:
    sweep = finished(tmp_path, figures(en=0.95, lt=0.86))
    written(sweep)
    file = sweep.journal.folder.report / "references.csv"
    again = parse_sweep(definition(references=str(file)), Source("again"), folders_must_exist=False)
    assert again.references == sweep.record.sweep.references
    assert "PT" not in (sweep.journal.folder.report / "results.csv").read_text()


def test_a_report_without_figures_has_no_such_file_and_empties_an_old_one(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path / "run", definition())
    out = tmp_path / "out"
    assert not (reports.write(sweep.record, out).folder / "references.csv").exists()
    (out / "references.csv").write_text("old")
    reports.write(sweep.record, out)
    assert len((out / "references.csv").read_text().splitlines()) == 1


# -- the recovered baseline ------------------------------------------------------------------------------------------


def shipped() -> list[dict[str, str]]:
    with SHIPPED.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def recovered() -> Callable[[], str]:
    if not RECOVERED.is_file():
        pytest.skip(f"no {RECOVERED}: set TUNEKIT_SHARED to the folder that holds it")
    return lambda: RECOVERED.read_text(encoding="utf-8")


BACKBONES = {"mBERT": "bert-base-multilingual-cased", "XLM-R": "xlm-roberta-base"}


@pytest.mark.parametrize(("title", "task"), [("UDPOS", "udpos"), ("PAN-X", "panx")])
@pytest.mark.parametrize("model", BACKBONES)
def test_the_recovered_baseline_is_shipped_number_by_number(
    title: str, task: str, model: str, backbone: str, recovered: Callable[[], str]
) -> None:
    block = re.search(
        rf"^{title} PT {model} \(n=(\d+) .*\n(.*)\n.*average excl\. en ([\d.]+)", recovered(), re.MULTILINE
    )
    assert block
    expected = dict(item.split(" ") for item in block[2].split("; "))
    rows = {row["language"]: row for row in shipped() if (row["task"], row["backbone"]) == (task, BACKBONES[model])}
    assert {
        name: f"{100 * float(row['value']):.2f}±{100 * float(row['spread']):.2f}" for name, row in rows.items()
    } == expected
    assert len(rows) == int(block[1]) and {row["n"] for row in rows.values()} == {"5"}
    mean = fmean(100 * float(row["value"]) for name, row in rows.items() if name != "en")
    assert mean == pytest.approx(float(block[3]), abs=0.006)


@pytest.mark.parametrize(("name", "place"), [("mbert", 0), ("xlmr", 1)])
def test_the_single_rows_are_shipped_apart_and_say_that_their_settings_are_unknown(
    name: str, place: int, recovered: Callable[[], str]
) -> None:
    (line,) = re.findall(r"unlabelled single rows.*?: (en .*)", recovered())
    expected = {item.split(" ")[0]: float(item.split(" ")[1].split("/")[place]) for item in line.split("; ")}
    rows = [row for row in shipped() if row["method"].endswith(f"single unlabelled row {name}")]
    assert {row["language"]: float(row["value"]) * 100 for row in rows} == pytest.approx(expected)
    assert all("settings unknown" in row["source"] and (row["n"], row["spread"]) == ("1", "") for row in rows)


def test_no_shipped_figure_is_given_as_one_of_the_papers_tables() -> None:
    rows = shipped()
    assert len(rows) == 2 * (38 + 48) + 2 * 38
    assert all(row["source"].endswith("no table of the paper") for row in rows)
    assert {(row["task"], row["metric"], row["split"]) for row in rows} == {
        ("panx", "f1", "dev"), ("udpos", "seqeval_f1", "test"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["panx", "udpos"])
def test_the_studies_of_topro_name_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = ROOT / "search_spaces" / "papers" / f"topro_{name}.yaml"
    assert len(load_sweep(file).references) == len(shipped())
    assert yaml.safe_load(file.read_text())["references"].startswith("../references/")
