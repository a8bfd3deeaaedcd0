"""Tables of a report: every format shows the numbers of results.csv, and says what is best and how sure that is."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import SPACE, TASK, JournalBuilder, cells, definition
from pyarrow import parquet
from report_numbers import assert_same, from_latex, from_markdown
from test_significance import alike, sweep_of

from tunekit import reports
from tunekit.reports.contents import sections, tables
from tunekit.reports.headline import headline
from tunekit.reports.marks import LIKE_BEST, UNTESTED
from tunekit.reports.render import latex, markdown
from tunekit.reports.render.formats import cell_text, value_text
from tunekit.reports.render.table_files import to_csv
from tunekit.reports.render.tex import tex, unwritten
from tunekit.reports.results import SweepResult, read
from tunekit.reports.rows import trials
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Kind, Table, Value, named_apart

RATE = {"learning_rate": 1e-3}
SEEDS = (10, 42)
LANGUAGES = tuple(
    re.findall(r"\w+", "de zh ar ru fr hi es ja sw ta tr vi th ko bg el eu fa fi he hu id it kk mr nl pt te ur yo")
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal made by hand need not survive a power cut."""
    monkeypatch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)


def _score(arm: int, language: int, seed: int) -> float:
    """Some score; no two are equal."""
    return ((arm * 37 + language * 101 + seed * 13) % 997) / 1000


def _sweep(folder: Path, num_arms: int, targets: Sequence[str], **task: Any) -> JournalBuilder:
    arms = {f"arm_{place}": {"method": "finetune", "space": SPACE} for place in range(num_arms)}
    content = definition(
        arms=arms,
        task={**TASK, "target_languages": list(targets), **task},
        search={"searcher": "random", "num_trials": 1, "seed": 0},
    )
    sweep = JournalBuilder(folder, content)
    for place, arm in enumerate(arms):
        runs = {
            seed: (0.9, {name: _score(place, at, seed) for at, name in enumerate(["en", *targets])}) for seed in SEEDS
        }
        sweep.finalised(arm, {"learning_rate": 1e-3 * (place + 1)}, runs)
    return sweep


def _scored(folder: Path, scores: Mapping[str, Mapping[str, float]], **changes: Any) -> SweepResult:
    """Arms with these test scores by language, one seed each."""
    arms = {name: {"method": "finetune", "space": SPACE} for name in scores}
    sweep = JournalBuilder(folder, definition(**{"arms": arms, "finalise": {"top": 1, "seeds": [10]}, **changes}))
    for place, (arm, found) in enumerate(scores.items()):
        sweep.finalised(arm, {"learning_rate": 1e-3 * (place + 1)}, {10: (0.9, found)})
    return read(sweep.record)


def _main(result: SweepResult) -> Table:
    found = headline(result, result.comparisons[0])
    assert found is not None
    return found.main


def _by_arm(table: Table) -> dict[str, dict[str, Cell]]:
    keys = [column.key for column in table.columns]
    return {str(row[0].value): dict(zip(keys, row, strict=True)) for row in table.rows}


# -- every format shows the same -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_arms", "targets"),
    [(1, LANGUAGES[:1]), (3, LANGUAGES[:4]), (3, LANGUAGES), (9, LANGUAGES), (2, LANGUAGES[:9])],
    ids=["one language", "arms as rows", "languages as rows", "blocks on several pages", "nine languages"],
)
def test_markdown_and_latex_match_results_csv_number_by_number(
    num_arms: int, targets: tuple[str, ...], tmp_path: Path
) -> None:
    sweep = _sweep(tmp_path / "run", num_arms, targets)
    out = tmp_path / "report"
    reports.write(sweep.record, out)
    (in_markdown,) = from_markdown((out / "report.md").read_text(encoding="utf-8"))
    in_latex = from_latex((out / "tables.tex").read_text(encoding="utf-8"))
    assert list(in_latex) == ["udpos: test accuracy × 100"]
    for found in (in_markdown, *in_latex.values()):
        assert_same(found, out / "results.csv", "udpos", "accuracy")
        assert {value for (row, column), value in found.items() if row == "majority" and column in targets} == {"20.0"}


def test_a_number_that_differs_is_seen(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path / "run", 2, LANGUAGES[:2])
    out = tmp_path / "report"
    reports.write(sweep.record, out)
    (found,) = from_markdown((out / "report.md").read_text(encoding="utf-8"))
    assert_same(found, out / "results.csv", "udpos", "accuracy")
    for key in (("arm_1", "zh"), ("arm_0", "zero_shot"), ("arm_0", "n")):
        with pytest.raises(AssertionError):
            assert_same({**found, key: "1.0"}, out / "results.csv", "udpos", "accuracy")
        with pytest.raises(AssertionError):
            assert_same({k: v for k, v in found.items() if k != key}, out / "results.csv", "udpos", "accuracy")


def test_the_table_of_another_metric_matches_too(tmp_path: Path) -> None:
    figures = tmp_path / "published.csv"
    figures.write_text("method,language,metric,split,value,source\nPT,de,other,test,0.5,a & b_c\n")
    sweep = JournalBuilder(tmp_path / "run", definition(references=str(figures)))
    sweep.finalised("finetune", RATE, {seed: (0.9, {"en": 0.9, "de": 0.5, "zh": seed / 100}) for seed in SEEDS})
    out = tmp_path / "report"
    reports.write(sweep.record, out)
    main, beside = from_markdown((out / "report.md").read_text(encoding="utf-8"))
    in_latex = from_latex((out / "tables.tex").read_text(encoding="utf-8"))
    assert list(in_latex) == ["udpos: test accuracy × 100", "udpos: test other × 100"]
    for found, metric in zip((main, beside, *in_latex.values()), ("accuracy", "other") * 2, strict=True):
        assert_same(found, out / "results.csv", "udpos", metric)
    assert beside["published: PT [1]", "de"] == "50.0"
    assert r"{[}1{]} PT: metric other, split test, number of runs not given. Source: a \& b\_c." in latex.render(
        read(sweep.record)
    )


def test_each_table_is_a_csv_of_plain_numbers(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path / "run", 2, LANGUAGES[:2])
    out = tmp_path / "report"
    reports.write(sweep.record, out)
    names = {path.stem for path in (out / "tables").iterdir()}
    assert {"scores_udpos_en_accuracy", "budget_udpos_en", "cost_udpos_en", "software", "fingerprints"} <= names
    with (out / "tables" / "scores_udpos_en_accuracy.csv").open(encoding="utf-8", newline="") as stream:
        first, *_, last = csv.DictReader(stream)
    values = [_score(0, 1, seed) for seed in SEEDS]
    assert float(first["de"]) == pytest.approx(sum(values) / 2) and first["de_n"] == "2"
    assert (last["arm"], last["de"], last["de_std"]) == ("majority", "0.2", "")
    assert {row["de_mark"] for row in csv.DictReader((out / "tables/scores_udpos_en_accuracy.csv").open())} >= {"best"}


def test_tables_of_one_name_have_files_of_their_own() -> None:
    table = Table(name="a", title="", columns=(), rows=())
    assert [each.name for each in named_apart([table, table, table])] == ["a", "a_2", "a_3"]


def test_files_of_tables_that_are_no_more_go_from_the_sweeps_own_folder_alone(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path / "run", 1, LANGUAGES[:1])
    folder = sweep.journal.folder
    for out in (folder.report, tmp_path / "elsewhere"):
        (out / "tables").mkdir(parents=True)
        (out / "tables" / "mine.csv").write_text("1")
        reports.write(sweep.record, out, folder)
    assert not (folder.report / "tables" / "mine.csv").exists()
    assert (tmp_path / "elsewhere" / "tables" / "mine.csv").exists()


# -- rows for machines -----------------------------------------------------------------------------------------------


def test_parquet_holds_the_rows_of_the_csv_files_with_types(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path / "run", 2, LANGUAGES[:2])
    reports.write(sweep.record, tmp_path)
    for name in ("results", "trials", "curves"):
        found = parquet.read_table(tmp_path / f"{name}.parquet")
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert found.column_names == list(rows[0])
        read_back = [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in found.to_pylist()
        ]
        assert read_back == rows and rows
    schema = parquet.read_schema(tmp_path / "results.parquet")
    types = {name: str(schema.field(name).type) for name in ("value", "seed", "is_best_point", "language", "shots")}
    assert types == {
        "value": "double",
        "seed": "int64",
        "is_best_point": "bool",
        "language": "string",
        "shots": "int64",
    }


def test_every_trial_has_a_row_with_what_it_was_given_and_what_became_of_it(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 3}))
    sweep.complete("finetune", {**RATE, "batch_size": 8, "template": "a"}, 0.8)
    failed = sweep.create("finetune", {**RATE, "batch_size": 16, "template": "b"})
    sweep.report(failed, [0.3])
    sweep.finish(failed, "FAILED", reason="nan\nat 5")
    sweep.create("finetune", {"learning_rate": 2, "batch_size": 16})
    found = trials(read(sweep.record))
    first, second, third = found.rows
    assert (first["state"], first["dev"], first["best_epoch"], first["duration_s"]) == ("COMPLETE", 0.8, 2, 120.0)
    assert (second["state"], second["dev"], second["reason"], second["num_updates"]) == ("FAILED", 0.3, "nan\nat 5", 40)
    assert (third["state"], third["dev"], third["num_epochs"]) == ("RUNNING", None, 0) and "param_template" not in third
    kinds = {name: found.types[f"param_{name}"] for name in ("learning_rate", "batch_size", "template")}
    assert kinds == {"learning_rate": "real", "batch_size": "whole", "template": "text"}


@pytest.mark.parametrize("value", [2**70, "café", [1, "a"], True, None])
def test_whatever_a_parameter_is_parquet_is_written(value: object, tmp_path: Path) -> None:
    from tunekit.reports.render.csv_text import csv_text
    from tunekit.reports.render.tidy import parquet_bytes

    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 2}))
    for params in ({**RATE, "option": value}, {"learning_rate": 2e-3}):
        sweep.complete("finetune", params, 0.8)
    found = trials(read(sweep.record))
    (tmp_path / "x.parquet").write_bytes(parquet_bytes(csv_text(list(found.types), found.rows), found.types))
    rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert rows[1]["param_option"] is None and len(rows) == 2
    assert len(list(csv.DictReader(csv_text(list(found.types), found.rows).splitlines()))) == 2


# -- what is best, and how sure that is ------------------------------------------------------------------------------


def test_the_best_of_a_column_is_bold_and_equal_numbers_are_equally_best(tmp_path: Path) -> None:
    scores = {
        "one": {"en": 0.9, "de": 0.60001, "zh": 0.5},
        "two": {"en": 0.8, "de": 0.60002, "zh": 0.7},
        "three": {"en": 0.7, "de": 0.55, "zh": 0.6},
    }
    result = _scored(tmp_path, scores)
    rows = _by_arm(_main(result))
    best = {key: {arm for arm, row in rows.items() if row[key].is_best} for key in ("en", "de", "zh", "zero_shot")}
    assert best == {"en": {"one"}, "de": {"one", "two"}, "zh": {"two"}, "zero_shot": {"two"}}
    assert not any(row["transfer_gap"].is_best or row["n"].is_best for row in rows.values())
    text = markdown.render(result)
    assert re.search(r"^\| one +\| +1 \| +\*\*90\.0\*\* \| \*\*60\.0\*\* \| +50\.0 \|", text, re.MULTILINE)
    assert r"one & 1 & \textbf{90.0} & \textbf{60.0} & 50.0 &" in latex.render(result)


def test_a_single_arm_is_not_the_best_of_anything(tmp_path: Path) -> None:
    table = _main(_scored(tmp_path, {"one": {"en": 0.9, "de": 0.6, "zh": 0.5}}))
    assert not any(cell.is_best for row in table.rows for cell in row)
    assert not any("Bold" in note for note in table.notes)


def test_published_figures_and_the_majority_are_never_the_best(tmp_path: Path) -> None:
    figures = tmp_path / "published.csv"
    figures.write_text("method,language,metric,split,value,source\nPT,de,accuracy,test,0.99,a\n")
    found = {"one": {"en": 0.1, "de": 0.1, "zh": 0.1}, "two": {"en": 0.1, "de": 0.15, "zh": 0.1}}
    table = _main(_scored(tmp_path / "run", found, references=str(figures)))
    assert table.rules == (2, 3)
    rows = _by_arm(table)
    assert rows["two"]["de"].is_best and not rows["majority"]["de"].is_best
    assert not rows["published: PT [1]"]["de"].is_best


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"target_languages": ["de"]}, "No best in zh and zero_shot"),
        ({"max_test_examples": 50}, "No best in en, de, zh and zero_shot"),
    ],
)
def test_where_arms_were_scored_on_other_test_data_there_is_no_best(
    other: dict[str, Any], said: str, tmp_path: Path
) -> None:
    arms = {
        "one": {"method": "finetune", "space": SPACE},
        "two": {"method": "finetune", "space": SPACE, "task": {**TASK, **other}},
    }
    scores = {"one": {"en": 0.9, "de": 0.6, "zh": 0.5}, "two": {"en": 0.8, "de": 0.7}}
    table = _main(_scored(tmp_path, scores, arms=arms))
    assert any(note.startswith(said) for note in table.notes), table.notes


def test_unequal_budgets_stand_beside_the_scores_and_equal_ones_below(tmp_path: Path) -> None:
    arms = {"one": {"method": "finetune", "space": SPACE}, "two": {"method": "ptuning_v2", "space": SPACE}}
    sweep = JournalBuilder(tmp_path, definition(arms=arms, finalise={"top": 1, "seeds": [10]}))
    for arm in arms:
        sweep.finalised(arm, RATE, {10: (0.9, {"en": 0.9, "de": 0.6, "zh": 0.5})})
    equal = _main(read(sweep.record))
    assert not any(column.key.startswith("search") for column in equal.columns)
    assert "Budget of the search: one and two: 1 trial, 80 updates, 2 min." in equal.notes
    sweep.complete("two", {"learning_rate": 2e-3}, 0.5)
    rows = _by_arm(_main(read(sweep.record)))
    beside = [(row["search_trials"].value, row["search_updates"].value) for row in (rows["one"], rows["two"])]
    assert beside == [(1, 80), (2, 160)]
    assert rows["majority"]["search_trials"].value is None


def test_arms_that_cannot_be_told_from_the_best_are_marked_with_the_test_and_n(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"good": alike(0.8), "alike": alike(0.8, shift=3), "bad": alike(0.5)})
    table = _main(result)
    rows = _by_arm(table)
    for key in ("en", "de", "zh", "zero_shot"):
        assert [rows[arm][key].marks for arm in ("good", "alike", "bad")] == [(), (LIKE_BEST,), ()]
    (note,) = (note for note in table.notes if note.startswith(LIKE_BEST))
    for said in ("paired bootstrap", "2,000 resamples", "n = 300 examples", "5 seeds and 1 draw", "Holm for 3 tests"):
        assert said in note
    assert cells(markdown.render(result), "alike", header=("n", "zero_shot"))["de"].endswith(f"± 0.8 {LIKE_BEST}")
    assert r"{\scriptsize$\pm$0.8}$^{\dagger}$" in latex.render(result)


def test_what_was_not_compared_with_the_best_is_marked_as_such_and_not_taken_for_worse(tmp_path: Path) -> None:
    found = {"good": alike(0.8), "other": alike(0.6), "bad": alike(0.5)}
    rows = _by_arm(_main(sweep_of(tmp_path / "one", found, without=["other"])))
    assert rows["other"]["de"].marks == (UNTESTED,) and rows["bad"]["de"].marks == ()
    result = sweep_of(tmp_path / "none", found, without=list(found))
    table = _main(result)
    assert not any(cell.marks for row in table.rows for cell in row)
    assert any(note.startswith("Which arms differ was not tested: ") for note in table.notes)


def test_differences_of_arms_have_a_table_with_intervals_and_corrected_p_values(tmp_path: Path) -> None:
    result = sweep_of(tmp_path, {"good": alike(0.8), "bad": alike(0.5)})
    row = cells(markdown.render(result), "good", header=("against", "p (Holm)"))
    assert (row["against"], row["in"], row["difference"], row["p (Holm)"]) == (
        "bad",
        "zero_shot",
        r"+30.0 \*",
        "< 0.001",
    )
    assert float(row["95 % from"]) < 30 < float(row["to"]) and row["examples"] == "300"


def test_differences_in_many_languages_stand_in_a_file_and_those_on_the_mean_on_the_page(tmp_path: Path) -> None:
    counted = {
        arm: {
            seed: {name: [(1, 1, 1)] * (20 - place) + [(0, 1, 1)] * (5 + place) for name in ("en", *LANGUAGES)}
            for seed in SEEDS
        }
        for place, arm in enumerate(("one", "two", "three"))
    }
    result = sweep_of(tmp_path, counted, task={**TASK, "target_languages": list(LANGUAGES)})
    (section,) = (section for section in sections(result) if section.key == "udpos-en-differences")
    shown, whole = section.tables
    assert len(shown.rows) == 3 and len(whole.rows) == 3 * (2 + len(LANGUAGES))
    assert f"`tables/{whole.name}.csv`" in markdown.render(result)
    assert whole.name in {table.name for table in tables(result)}


def test_the_first_line_says_where_a_choice_cannot_be_told_from_noise(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 2, "seeds": [10, 42]}))
    for place, (low, high) in enumerate(((0.80, 0.90), (0.81, 0.88))):
        scores = {"en": 0.9, "de": 0.6, "zh": 0.5}
        sweep.finalised("finetune", {"learning_rate": 1e-3 * (place + 1)}, {10: (low, scores), 42: (high, scores)})
    text = markdown.render(read(sweep.record))
    assert text.split("\n\n")[1].startswith("**The choice of a point cannot be told from noise** in finetune")
    assert cells(text, "finetune", header=("chosen from",))["not told from points"] == "1"


def test_an_arm_with_one_point_in_all_chose_nothing_and_is_not_doubted(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 1}))
    sweep.finalised("finetune", RATE, {10: (0.9, {"en": 0.9, "de": 0.6, "zh": 0.5})})
    assert "noise" not in markdown.render(read(sweep.record)).split("\n\n")[1]


def test_the_rule_of_a_race_is_said_in_words(tmp_path: Path) -> None:
    race = {"max_seeds": 6, "delta": 0.01, "confidence": 0.9}
    sweep = JournalBuilder(tmp_path, definition(finalise={"top": 2, "seeds": [10, 42], "race": race}))
    assert (
        "trained on seeds 10 and 42, and the leader and those that may be better by more than 1.00 on further seeds, at"
        " most 6, until the chance that another is better by that was below 10 %; the winner then ran on 2 new seeds;"
    ) in markdown.render(read(sweep.record))


# -- LaTeX -----------------------------------------------------------------------------------------------------------

NASTY = [
    "a_b & 5 % of $x$ #1 ~ ^ \\input{y} {z}", "[x] *y* <z> |w| \"q\" `b` 'c' --- d--e", "Zürich Łódź São smørrebrød",
    "中文 Ελληνικά русский العربية हिन्दी 🙂", "é ế ş ţ ő ȧ", "\x1b[31m\u202e\x00",
]  # fmt: skip
LETTERS = (r"\documentclass[twocolumn]{article}", r"\usepackage{booktabs}", r"\begin{document}")


def _compiled(folder: Path, body: str) -> str:
    """The log of pdflatex on a page with `body`."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine (Debian: texlive-latex-base)")
    (folder / "page.tex").write_text("\n".join([*LETTERS, body, r"\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, errors="replace", check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("num_arms", "targets"), [(3, LANGUAGES[:4]), (3, LANGUAGES), (9, LANGUAGES)], ids=["rows", "turned", "blocks"]
)
def test_the_latex_tables_compile_with_booktabs_alone_and_fit_the_page(
    num_arms: int, targets: tuple[str, ...], tmp_path: Path
) -> None:
    text = latex.render(read(_sweep(tmp_path / "run", num_arms, targets, name="wörter_中文", kind="token").record))
    assert "% Needs \\usepackage{booktabs}, and nothing else." in text and "tunekit report small" in text
    assert "stands for wörter_中文" in text
    wide = r"\setlength{\textwidth}{455pt}\setlength{\columnsep}{10pt}"
    log = _compiled(tmp_path, rf"{wide}{text}")
    assert "Overfull" not in log and "too large" not in log and "Missing character" not in log


def test_whatever_a_name_is_latex_shows_it_and_does_nothing(tmp_path: Path) -> None:
    rows = "\n".join(rf"{tex(text)} & {tex(text)} \\" for text in NASTY)
    _compiled(tmp_path, rf"\begin{{tabular}}{{ll}} \toprule {rows} \bottomrule \end{{tabular}}")


def test_letters_that_pdflatex_lacks_are_numbers_and_said() -> None:
    assert tex("zh_中") == r"zh\_U+4E2D"
    assert tex("Zürich") == r"Z\"{u}rich"
    assert unwritten(["a中 b", "c (中文)"]) == {"aU+4E2D": "a中", "U+4E2D U+6587": "中文"}
    assert all(sign.isascii() for text in NASTY for sign in tex(text))


def test_before_test_is_scored_there_is_no_table_and_the_file_says_so(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition())
    sweep.complete("finetune", RATE, 0.9)
    text = latex.render(read(sweep.record))
    assert "No arm has test scores yet." in text and "UNFINISHED" in text and r"\begin" not in text


# -- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("score", 0.8567, "85.7"),
        ("score", Spread(mean=0.8567, std=0.01, n=2), "85.7 ± 1.0"),
        ("score", Spread(mean=0.8567, std=None, n=1), "85.7"),
        ("score", -1e-5, "0.0"),
        ("difference", 0.012, "+1.2"),
        ("difference", -0.012, "-1.2"),
        ("difference", 0.0001, "+0.01"),
        ("difference", -0.0001, "-0.01"),
        ("difference", 0.00001, "0.0"),
        ("difference", Spread(mean=0.012, std=0.003, n=2), "+1.2 ± 0.3"),
        ("number", 1234.567, "1,234.57"),
        ("number", -0.001, "0.00"),
        ("count", 12345, "12,345"),
        ("count", "3 to 5", "3 to 5"),
        ("share", 0.00369245, "0.3692 %"),
        ("hours", 5400.0, "1.50"),
        ("duration", 90.0, "90 s"),
        ("bytes", 3 * 2**29, "1.5 GiB"),
        ("money", 1234.5, "1,234.50"),
        ("p", 0.0123, "0.012"),
        ("p", 1e-9, "< 0.001"),
        ("score", None, "–"),
    ],
)
def test_a_value_is_written_as_its_kind_asks(kind: Kind, value: Value, shown: str) -> None:
    assert value_text(value, kind) == shown


def test_a_cell_says_its_remark_and_its_marks_in_every_format() -> None:
    cell = Cell(value=0.5, remark="a character", marks=("†", "*"), is_best=True)
    table = Table(name="t", title="", columns=(Column(key="x", title="x", kind="number"),), rows=((cell,),))
    assert cell_text(cell, table.columns[0]) == "0.50 a character †*"
    assert r"**0.50 a character †\***" in markdown.table_text(table)
    assert to_csv(table) == "x,x_mark\n0.5,best † * a character\n"


def test_what_a_sweep_ran_on_is_counted_by_trials(tmp_path: Path) -> None:
    sweep = JournalBuilder(tmp_path, definition(search={"num_trials": 3}))
    for place, torch in enumerate(("2.12", "2.13", "2.13")):
        trial = sweep.create("finetune", {"learning_rate": 1e-3 * (place + 1)})
        sweep.start(trial, versions={"torch": torch}, device="NVIDIA H100", num_train_tokens=1000)
        sweep.report(trial, [0.5, 0.6])
    text = markdown.render(read(sweep.record))
    assert cells(text, "NVIDIA H100", header=("device",))["trials"] == "3"
    assert cells(text, "train/en", header=("fingerprint",))["fingerprint"] == "`0123`"
    software = {
        row[1].value: row[3].value
        for table in tables(read(sweep.record))
        if table.name == "software"
        for row in table.rows
    }
    assert (software["2.12"], software["2.13"]) == (1, 2)
    assert cells(text, "finetune", header=("training tokens",))["training tokens"] == "6,000"


def test_what_is_made_of_a_result_is_made_once_and_not_taken_for_that_of_another(tmp_path: Path) -> None:
    result = _scored(tmp_path, {"one": {"en": 0.9, "de": 0.6, "zh": 0.5}, "two": {"en": 0.8, "de": 0.7, "zh": 0.4}})
    assert sections(result) is sections(result)
    other = replace(result, arms=result.arms[:1])
    assert "arm-two" not in {section.key for section in sections(other)}


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_a_line_break_of_any_kind_inside_a_cell_ends_no_row(end: str) -> None:
    from tunekit.reports.render.csv_text import csv_text
    from tunekit.reports.render.tidy import parquet_bytes

    text = csv_text(["reason", "n"], [{"reason": f"loading{end}failed", "n": 1}])
    assert [row["reason"] for row in csv.DictReader(io.StringIO(text))] == ["loading\nfailed"]
    found = parquet.read_table(io.BytesIO(parquet_bytes(text, {"reason": "text", "n": "whole"})))
    assert found.to_pylist() == [{"reason": "loading\nfailed", "n": 1}]


def test_a_sentence_that_a_spreadsheet_would_compute_stands_behind_an_apostrophe() -> None:
    columns = (Column(key="text", title="text"), Column(key="gain", title="gain", kind="score"))
    rows = ((Cell(value='=HYPERLINK("http://x")'), Cell(value=-0.5)), (Cell(value="-"), Cell(value=None)))
    text = to_csv(Table(name="samples", title="", columns=columns, rows=rows))
    assert text.splitlines()[1].startswith("\"'=HYPERLINK") and text.splitlines()[1].endswith(",-0.5")
    assert text.splitlines()[2].startswith("-,")
