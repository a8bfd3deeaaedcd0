"""Analysis across languages and of errors: small cases whose numbers can be checked by hand."""

from __future__ import annotations

import doctest
import logging
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import SPACE, JournalBuilder, definition
from scipy import stats

from tunekit import languages, reports, typology
from tunekit.errors import ConfigError
from tunekit.predictions import TestExamples, TestPredictions, load_predictions, numbered, save, save_examples
from tunekit.reports import analysis
from tunekit.reports.analysis.circumstances import KINDS, kinds_of
from tunekit.reports.analysis.correlation_table import CLEAR
from tunekit.reports.analysis.entities import ALONE, BORDER, BOTH, RIGHT, TYPE, Entities, Inventory
from tunekit.reports.analysis.kept import Asked
from tunekit.reports.analysis.relations import LEAST_LANGUAGES, given, pearson, spearman
from tunekit.reports.language_facts import read_facts
from tunekit.reports.results import SweepResult, read
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Table
from tunekit.segmentation import Granularity
from tunekit.tasks import PairExample, TokenExample
from tunekit.tasks.metrics import entity_counts
from tunekit.tasks.schemes import Style, Tags

A = {"learning_rate": 1e-3}
ARMS = {"finetune": {"method": "finetune", "space": SPACE}, "other": {"method": "ptuning_v2", "space": SPACE}}
Rows = Sequence[TokenExample | PairExample]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal made by hand need not survive a power cut."""
    monkeypatch.setattr("tunekit.storage.locks.os.fsync", lambda descriptor: None)


def _task(targets: Sequence[str], name: str = "udpos") -> dict[str, Any]:
    return {"name": name, "source_language": "en", "target_languages": list(targets), "data_dir": "/data/xtreme"}


def _sweep(
    folder: Path, scores: Mapping[str, Mapping[int, Mapping[str, float]]], *, task: str = "udpos", **changes: Any
) -> JournalBuilder:
    """A sweep whose arms have these test scores, by arm, seed and language; the first language is the source."""
    first = next(iter(next(iter(scores.values())).values()))
    content = definition(arms=ARMS, task=_task(list(first)[1:], task), **changes)
    sweep = JournalBuilder(folder, content)
    metric = "f1" if task == "panx" else "accuracy"
    for arm, by_seed in scores.items():
        sweep.finalised(arm, A, {seed: (0.9, found) for seed, found in by_seed.items()}, metric=metric)
    return sweep


def _result(sweep: JournalBuilder) -> SweepResult:
    return read(sweep.record, sweep.journal.folder)


def _keep(
    sweep: JournalBuilder,
    arm: str,
    seed: int,
    asked: Mapping[str, Rows],
    said: Mapping[str, Any],
    *,
    style: Style = "B-PER",
) -> None:
    """Predictions of an arm's trial beside the journal, as a worker keeps them."""
    trial = next(t for t in sweep.record.trials.values() if t.arm == arm and t.seed == seed)
    folder = sweep.journal.folder.trial(trial.trial_id)
    is_entities = trial.config["task"]["name"] == "panx"
    names, numbers, counts = {}, {}, {}
    rows = [r if isinstance(r, str) else list(r) for answers in said.values() for r in answers]
    labels = tuple(sorted({label for row in rows for label in ([row] if isinstance(row, str) else row)}))
    for language, examples in asked.items():
        kept = TestExamples.of(
            examples, task="t", language=language, metric="f1" if is_entities else "accuracy",
            style=style if is_entities else None,
        )  # fmt: skip
        names[language] = save_examples(folder, kept)
        numbers[language] = numbered(labels, said[language])
        counts[language] = _counts(kept, said[language], style if is_entities else None)
    found = TestPredictions(
        trial_id=trial.trial_id, epoch=2, fingerprints={}, labels=labels, numbers=numbers, counts=counts, examples=names
    )
    save(folder.predictions, found)


def _counts(kept: TestExamples, said: Sequence[Any], style: Style | None) -> list[tuple[int, int, int]]:
    given = [(row,) if isinstance(row, str) else tuple(row) for row in said]
    if style is not None:
        return [(a, b, c) for a, b, c in entity_counts(kept.gold, given, Tags(style))]
    return [(sum(map(str.__eq__, gold, row)), len(gold), len(gold)) for gold, row in zip(kept.gold, given, strict=True)]


def _table(result: SweepResult, name: str) -> Table:
    return next(table for table in analysis.tables(result) if table.name == name)


def _row(table: Table, *first: object) -> dict[str, Any]:
    """The values of the row that begins so, by column."""
    row = next(row for row in table.rows if tuple(cell.value for cell in row[: len(first)]) == first)
    return {column.key: cell.value for column, cell in zip(table.columns, row, strict=True)}


FAR = ("de", "bg", "ru", "tr", "ja", "zh")
"""Targets of which all is known."""


def _gaining(folder: Path, gain: Mapping[str, float], **changes: Any) -> SweepResult:
    """Two arms on two seeds: the second one gains so much in each target language, exactly, on both seeds."""
    base = {seed: {"en": 0.9, **dict.fromkeys(gain, 0.4 + seed / 1000)} for seed in (10, 42)}
    better = {seed: {**found, **{each: found[each] + gain[each] for each in gain}} for seed, found in base.items()}
    return _result(_sweep(folder, {"finetune": base, "other": better}, **changes))


# Languages


@pytest.mark.parametrize("module", [typology, languages])
def test_the_examples_of_the_tables_of_languages_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_a_distance_is_the_angle_between_the_features_that_are_known_of_both() -> None:
    from urielplus import urielplus_querying

    with np.load(Path(urielplus_querying.__file__).parent / "database/original_uriel/features.npz") as shipped:
        names, codes, data = shipped["feats"].tolist(), shipped["langs"].tolist(), shipped["data"]
    columns = [place for place, name in enumerate(names) if name.startswith("S_")]
    for one, other, languages_ in (("eng", "deu", "en de"), ("jpn", "tur", "ja tr"), ("swa", "ara", "sw ar")):
        x, y = (data[codes.index(code)][columns].max(axis=1) for code in (one, other))
        both = (x >= 0) & (y >= 0)
        cosine = (x[both] @ y[both]) / np.linalg.norm(x[both]) / np.linalg.norm(y[both])
        ours = languages_.split()
        assert typology.distance(*ours) == typology.distance(*reversed(ours)) != 0
        assert typology.distance(*ours) == pytest.approx(2 / math.pi * math.acos(cosine), abs=6e-5)
        assert typology.num_shared(*ours) == both.sum()


def test_a_distance_is_zero_to_itself_and_unknown_where_few_features_are_known_of_both() -> None:
    assert typology.distance("tr", "tr") == typology.distance("zh", "zh-Hant") == 0
    shared = typology.num_shared("en", "jv")
    assert shared is not None and 0 < shared < typology.LEAST_SHARED and typology.distance("en", "jv") is None
    assert typology.distance("en", "xx") is None and typology.num_shared("en", "xx") is None


def test_a_distance_leaves_logging_and_the_installed_package_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    import urielplus

    def files() -> set[str]:
        return {path.name for path in Path(urielplus.__path__[0], "database").iterdir()}

    typology._features.cache_clear()
    typology._distance.cache_clear()
    before = files(), list(logging.root.handlers), logging.root.level, logging.root.manager.disable
    assert typology.distance("en", "fi") is not None
    assert before == (files(), list(logging.root.handlers), logging.root.level, logging.root.manager.disable)
    assert "features.npz" not in files() and capfd.readouterr() == ("", "")


def test_without_the_package_distances_are_left_out_and_the_notes_say_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "urielplus", None)
    monkeypatch.setattr(typology, "_features", cache(typology._features.__wrapped__))
    assert typology.distance("en", "de") is None and typology.num_shared("en", "de") is None
    result = _gaining(tmp_path, dict(zip(FAR, (0.1, 0.2, 0.1, 0.2, 0.1, 0.3), strict=True)))
    assert [note for note in analysis.notes(result) if typology.INSTALL in note] == [typology.no_distances()]
    assert {"distance", "features"}.isdisjoint(column.key for column in _table(result, "languages_udpos_en").columns)
    assert "distance" not in {relation.feature for relation in analysis.relations(result)}
    groups = _table(result, "groups_udpos_en")
    assert {row[0].value for row in groups.rows} >= {"script", "family"} and "distance" not in str(groups)
    assert "distance" not in " ".join(note for table in analysis.tables(result) for note in table.notes).lower()


def test_a_language_that_no_table_has_and_one_without_a_family_are_unknown() -> None:
    assert typology.family("xx") is None and typology.genus("xx") is None
    assert typology.family("eo") is None and typology.genus("ht") is None and typology.distance("en", "ht") is not None


def test_every_language_of_one_table_is_in_the_other_and_stands_once() -> None:
    codes = [
        pair.split() for line in typology._TABLE.splitlines() if ":" in line for pair in line.split(":")[1].split(",")
    ]
    assert len(codes) == len({code for code, _ in codes}) == len({iso for _, iso in codes}) == len(typology._KNOWN)
    assert all(len(iso) == 3 and languages.script(code) for code, iso in codes)
    assert typology._KNOWN.keys() == languages._KNOWN.keys()


def test_languages_of_one_genus_are_of_one_family() -> None:
    families: dict[str, set[str | None]] = {}
    for code in typology._KNOWN:
        families.setdefault(typology.genus(code) or "", set()).add(typology.family(code))
    assert all(len(found) == 1 for found in families.values()) and families[""] == {None}


# Gains, groups and correlations


def test_a_gain_is_taken_seed_by_seed_against_the_first_arm_of_the_file(tmp_path: Path) -> None:
    scores = {
        "finetune": {10: {"en": 0.9, "de": 0.5, "ja": 0.2}, 42: {"en": 0.9, "de": 0.7, "ja": 0.2}},
        "other": {10: {"en": 0.9, "de": 0.6, "ja": 0.3}, 42: {"en": 0.9, "de": 0.9, "ja": 0.1}},
    }
    table = _table(_result(_sweep(tmp_path, scores)), "languages_udpos_en")
    assert [column.title for column in table.columns][-1] == "other − finetune"
    gain = _row(table, "de")["gain_other"]
    assert gain == Spread(mean=pytest.approx(0.15), std=pytest.approx(math.sqrt(0.005)), n=2)
    assert _row(table, "ja")["gain_other"].mean == pytest.approx(0)
    assert (_row(table, "ja")["family"], _row(table, "ja")["script"]) == ("Japonic", "Japanese")


def test_arms_without_a_common_seed_have_a_difference_of_means_and_this_is_said(tmp_path: Path) -> None:
    scores = {
        "finetune": {10: {"en": 0.9, "de": 0.5, "ja": 0.2}},
        "other": {42: {"en": 0.9, "de": 0.6, "ja": 0.3}},
    }
    result = _result(_sweep(tmp_path, scores))
    assert _row(_table(result, "languages_udpos_en"), "de")["gain_other"] == Spread(
        mean=pytest.approx(0.1), std=None, n=1
    )
    assert any("share no seed" in note for note in analysis.notes(result))


def test_a_group_has_the_mean_over_its_languages_and_an_unknown_language_a_group_of_its_own(tmp_path: Path) -> None:
    gain = {"de": 0.02, "bg": 0.04, "tr": 0.10, "ja": 0.20, "sw": 0.15, "xx": 0.30}
    table = _table(_gaining(tmp_path, gain), "groups_udpos_en")
    near = _row(table, "distance", "near en")  # de 0.36, bg 0.40; tr 0.68, ja 0.63, sw 0.69
    assert near["languages"] == 2 and near["gain_other"].mean == pytest.approx(0.03)
    assert near["score_finetune"].n == 2 and near["score_other"].mean == pytest.approx(0.4 + 0.026 + 0.03)
    assert _row(table, "distance", "distant from en")["gain_other"].mean == pytest.approx(0.15)
    for view in ("distance", "script", "related", "resources", "family"):
        assert _row(table, view, "unknown")["languages"] == 1
    assert _row(table, "script", "Latin, as the source")["languages"] == 3
    assert _row(table, "family", "Indo-European")["gain_other"].mean == pytest.approx(0.03)


def test_a_correlation_is_scipys_over_the_languages_of_which_the_property_is_known(tmp_path: Path) -> None:
    gain = {"de": 0.02, "bg": 0.04, "ru": 0.01, "tr": 0.10, "ja": 0.20, "zh": 0.05, "xx": 0.9}
    found = {relation.feature: relation for relation in analysis.relations(_gaining(tmp_path, gain))}
    distance = found["distance"]
    x = [typology.distance(each, "en") or 0.0 for each in gain if each != "xx"]
    y = [gain[each] for each in gain if each != "xx"]
    assert distance.n == 6 and distance.unknown == ("xx",) and not distance.reason
    assert [point[1] for point in distance.points] == x and [p[2] for p in distance.points] == pytest.approx(y)
    oracle = stats.pearsonr(x, y)
    interval = oracle.confidence_interval(0.95)
    assert distance.r is not None and distance.rho is not None
    assert (distance.r.value, distance.r.low, distance.r.high) == pytest.approx((oracle.statistic, *interval))
    assert distance.rho.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert distance.rho.low < distance.rho.value < distance.rho.high
    assert (distance.arm, distance.other, distance.genera) == ("other", "finetune", 5)


def test_r_over_genera_counts_each_genus_once(tmp_path: Path) -> None:
    gain = {"bg": 0.04, "ru": 0.02, "uk": 0.03, "tr": 0.10, "ja": 0.20, "zh": 0.05, "de": 0.01}
    found = next(r for r in analysis.relations(_gaining(tmp_path, gain)) if r.feature == "distance")
    slavic = np.mean([[typology.distance(each, "en"), gain[each]] for each in ("bg", "ru", "uk")], axis=0)
    others = [[typology.distance(each, "en"), gain[each]] for each in ("tr", "ja", "zh", "de")]
    oracle = stats.pearsonr(*np.array([slavic, *others]).T)
    assert found.r_genera is not None and found.genera == 5
    assert found.r_genera.value == pytest.approx(oracle.statistic)
    assert (found.r_genera.low, found.r_genera.high) == pytest.approx(oracle.confidence_interval(0.95))


def test_correlations_equal_scipys_on_constructed_data_with_ties() -> None:
    generator = random.Random(3)
    for n in (5, 12, 40):
        x = [float(generator.randrange(4)) for _ in range(n - 1)] + [9.0]
        y = [value + generator.gauss(0, 1) for value in x]
        for confidence in (0.8, 0.95, 0.999):
            oracle = stats.pearsonr(x, y)
            own = pearson(x, y, confidence=confidence)
            interval = oracle.confidence_interval(confidence)
            assert (own.value, own.low, own.high) == pytest.approx((oracle.statistic, *interval))
        assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_intervals_of_correlations_cover_at_about_their_level() -> None:
    generator = np.random.default_rng(5)
    rho, n, times = 0.6, 20, 2000
    within = [0, 0]
    true_rank = 6 / math.pi * math.asin(rho / 2)  # of the bivariate normal distribution
    for _ in range(times):
        x, noise = generator.normal(size=(2, n))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        for place, (estimate, true) in enumerate(((pearson(x, y), rho), (spearman(x, y), true_rank))):
            within[place] += estimate.low <= true <= estimate.high
    assert 0.93 < within[0] / times < 0.97
    assert 0.92 < within[1] / times < 0.98


def test_nothing_is_computed_for_fewer_than_five_languages_and_this_is_said(tmp_path: Path) -> None:
    result = _gaining(tmp_path, {"de": 0.1, "bg": 0.2, "ru": 0.3, "tr": 0.4})
    found = analysis.relations(result)
    assert found and all(relation.r is None and relation.rho is None for relation in found)
    distance = next(relation for relation in found if relation.feature == "distance")
    assert distance.reason == f"4 languages, fewer than {LEAST_LANGUAGES}"
    rows = _table(result, "correlations_udpos_en").rows
    assert any(row[-1].value == f"not computed: {distance.reason}" for row in rows)


def test_equal_gains_have_no_correlation_though_their_rounding_differs(tmp_path: Path) -> None:
    found = analysis.relations(_gaining(tmp_path, dict.fromkeys(FAR, 0.1)))
    assert {relation.reason for relation in found if relation.n == len(FAR)} == {"the same gain in all languages"}


def test_a_correlation_is_marked_only_if_it_stays_clear_of_all_of_them(tmp_path: Path) -> None:
    clear = _gaining(
        tmp_path / "a", {each: (typology.distance(each, "en") or 0) + 0.01 * i for i, each in enumerate(FAR)}
    )
    marked = {relation.feature for relation in analysis.relations(clear) if relation.is_clear_of_all}
    assert "distance" in marked
    table = _table(clear, "correlations_udpos_en")
    row = next(row for row in table.rows if str(row[1].value).startswith("syntactic distance"))
    assert row[3].marks == (CLEAR,) and any(CLEAR in note for note in table.notes)
    faint = _gaining(tmp_path / "b", dict(zip(FAR, (0.1, 0.2, 0.1, 0.2, 0.1, 0.3), strict=True)))
    assert not any(relation.is_clear_of_all for relation in analysis.relations(faint))


def _file(folder: Path, text: str) -> Path:
    path = folder / "languages.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_column_of_the_users_file_is_a_column_and_a_correlation(tmp_path: Path) -> None:
    gain = dict(zip(FAR, (0.1, 0.2, 0.15, 0.2, 0.1, 0.3), strict=True)) | {"yo": 0.4}
    told = {"de": 12.5, "bg": 57.5, "ru": 278.0, "tr": 20.9, "ja": 69.3, "zh": 0.5}
    rows = "".join(f"{language},{size},{place - 3}\n" for place, (language, size) in enumerate(told.items()))
    path = _file(tmp_path, f"\ufefflanguage, XLM-R (GiB) ,script\n{rows}\nen,300.8,\nxx,1e9,7\n")
    sweep = _gaining(tmp_path / "run", gain)
    result = replace(sweep, language_facts=read_facts(path))
    table = _table(result, "languages_udpos_en")
    titles = {column.key: column.title for column in table.columns}
    assert titles["given_xlm_r_gib"] == "XLM-R (GiB)" and (titles["given_script"], titles["script"]) == ("script",) * 2
    assert {each: _row(table, each)["given_xlm_r_gib"] for each in told} == told
    assert (_row(table, "yo")["given_xlm_r_gib"], _row(table, "en")["given_script"]) == (None, None)
    size, place = (r for r in analysis.relations(result) if r.feature.startswith("given_"))
    assert size.title == "log10 of XLM-R (GiB)" and size.unknown == ("yo",) and place.title == "script"
    assert {point[0]: point[1] for point in size.points} == {each: math.log10(told[each]) for each in told}
    assert {point[0]: point[1] for point in place.points} == {each: i - 3 for i, each in enumerate(told)}
    oracle = stats.pearsonr(np.log10(list(told.values())), [gain[each] for each in told])
    assert size.r is not None and size.r.value == pytest.approx(oracle.statistic)
    correlations = _table(result, "correlations_udpos_en")
    assert [row[1].value for row in correlations.rows][-2:] == ["log10 of XLM-R (GiB)", "script"]
    assert any(str(path) in note for note in correlations.notes) and any(str(path) in note for note in table.notes)
    assert any("--languages" in note for note in _table(sweep, "correlations_udpos_en").notes)


def test_a_column_stays_as_it_is_where_it_spans_little_or_is_not_above_zero(tmp_path: Path) -> None:
    path = _file(tmp_path, "language,near,zero,wide\nde,1,0,1\nbg,100,5000,101\nen,1000,1,1\n")
    titles = [given(fact, ["de", "bg"]).title for fact in read_facts(path).facts]
    assert titles == ["near", "zero", "log10 of wide"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("language,gib\nde,1\nsw,1.6 GB\n", "{}:3: gib: '1.6 GB' is not a number"),
        ("language,gib\nde,nan\n", "{}:2: gib: 'nan' is not a number"),
        ("language,gib\nde,1_000\n", "{}:2: gib: '1_000' is not a number"),
        ("language,gib\nde,1e999\n", "{}:2: gib: '1e999' is not a number"),
        ("language,gib\n\nde,1\nfr,2\nde,3\n", "{}:5: 'de' stands at {}:3 already; each language once"),
        ("language,gib\nde,1,5\n", "{}:2: 3 cells under 2 columns"),
        ("language,gib\n ,1\n", "{}:2: language is empty; write a code such as de"),
        ("language,gib\nqq,1\nrr,2\n", "{}:2: none of its languages ('qq', 'rr') is one of the sweep's"),
        ("language\nde\n", "{}:1: no column beside language; add one for each figure"),
        ("Language,gib\nde,1\n", "{}:1: no column 'language' among 'Language', 'gib'"),
        ("language;gib\nde;1\n", "{}:1: the heading is 'language;gib'; separate the columns by commas"),
        ("language,gib,gib\nde,1,1\n", "{}:1: column 'gib' stands twice; once is right"),
        ("language,\nde,1\n", "{}:1: a column is called ''; give each a name"),
        ("language,gib\n", "{}: has no rows below its heading"),
        ('language,gib\nde,"1\n', "{}:2: not CSV"),
        ("", "{}: is empty; it needs a heading such as language,corpus_gib"),
    ],
)
def test_a_wrong_file_of_figures_is_refused_with_its_line_and_what_would_be_right(
    text: str, said: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, text)
    sweep = JournalBuilder(tmp_path / "run", definition(arms=ARMS, task=_task(["de", "fr"])))
    with pytest.raises(ConfigError) as caught:
        reports.write(sweep.record, tmp_path / "out", languages=path)
    assert str(caught.value).startswith(said.replace("{}", str(path)))
    assert not (tmp_path / "out").exists()


def test_a_file_of_figures_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_facts(tmp_path / "none.csv")
    (tmp_path / "some.csv").write_bytes(b"language,gib\nde,\xff\n")
    with pytest.raises(ConfigError, match=r"some\.csv: cannot be read: it is not UTF-8"):
        read_facts(tmp_path / "some.csv")


def test_tokens_a_word_are_one_column_where_arms_write_alike_and_none_where_nobody_says(tmp_path: Path) -> None:
    gain = dict(zip(FAR, (0.1, 0.2, 0.1, 0.2, 0.1, 0.3), strict=True))
    for place, (finer, titles) in enumerate({None: [], 1: ["tokens a word"], 2: ["finetune", "other"]}.items()):
        result = _gaining(tmp_path / str(place), gain)
        for arm in result.arms if finer else ():
            _say_tokens(arm, 12 * finer if arm.name == "other" else 12)
        columns = _table(result, "languages_udpos_en").columns
        assert [c.title.removeprefix("tokens a word: ") for c in columns if c.key.startswith("tokens")] == titles
        relation = next(each for each in analysis.relations(result) if each.feature == "tokens_per_word")
        assert len(relation.points) == (len(FAR) if finer else 0)
        assert all(point[1] == 1.2 * (finer or 0) for point in relation.points)


def _say_tokens(arm: Any, tokens: int) -> None:
    """Every trial of the arm read test texts of ten words in so many tokens."""
    spoken = Granularity(num_tokens=tokens, num_words=10, num_characters=50, are_words_given=True)
    for trial in arm.best.trials:
        object.__setattr__(trial, "granularity", dict.fromkeys(("en", *FAR), spoken))


def test_one_arm_or_one_target_language_is_said_and_is_no_error(tmp_path: Path) -> None:
    alone = _result(_sweep(tmp_path / "a", {"finetune": {10: {"en": 0.9, "de": 0.5, "ja": 0.2}}}))
    assert not analysis.relations(alone) and any("nothing to compare" in note for note in analysis.notes(alone))
    assert [table.name for table in analysis.tables(alone)] == ["languages_udpos_en", "groups_udpos_en"]
    single = _result(_sweep(tmp_path / "b", {"finetune": {10: {"en": 0.9, "de": 0.5}}}))
    assert not analysis.tables(single) and any("two are needed" in note for note in analysis.notes(single))
    empty = _result(JournalBuilder(tmp_path / "c", definition()))
    assert not analysis.tables(empty) and any("no arm" in note for note in analysis.notes(empty))


# Errors


def _tokens(*sentences: str) -> list[TokenExample]:
    """Sentences written as ``word/LABEL word/LABEL``."""
    pairs = [[token.rpartition("/") for token in sentence.split()] for sentence in sentences]
    return [TokenExample(tuple(p[0] for p in row), tuple(p[2] for p in row)) for row in pairs]


def _asked(rows: Sequence[TokenExample], labels: Sequence[str]) -> tuple[Asked, Any]:
    examples = TestExamples.of(rows, task="t", language="en", metric="f1", style="B-PER")
    lengths = np.array([len(row.words) for row in rows])
    gold = np.array([labels.index(label) for row in rows for label in row.labels])
    return Asked(language="en", examples=examples, lengths=lengths, num_words=lengths, gold=gold), gold


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER")


@pytest.mark.parametrize(("style", "labels"), [("B-PER", TAGS), ("PER", ("O", "PER", "LOC"))])
def test_entities_found_with_arrays_are_those_of_the_task(style: str, labels: tuple[str, ...]) -> None:
    generator, inventory = random.Random(1), Inventory.of(labels, style)
    for _ in range(200):
        rows = [[generator.choice(labels) for _ in range(generator.randint(1, 6))] for _ in range(3)]
        asked, gold = _asked([TokenExample(tuple("w" * len(row)), tuple(row)) for row in rows], labels)
        found = Entities.of(gold, asked, inventory)
        expected = []
        for row, start in zip(rows, asked.starts.tolist(), strict=True):
            expected += [(start + a, start + b, kind) for a, b, kind in Tags(style).spans(row)]  # type: ignore[arg-type]
        kinds = [inventory.types[place] for place in found.types]
        assert list(zip(found.starts.tolist(), found.ends.tolist(), kinds, strict=True)) == expected


def test_what_becomes_of_each_entity() -> None:
    gold = "a/B-PER b/I-PER c/O d/B-LOC e/I-LOC f/O g/B-PER h/O i/B-LOC j/I-LOC k/O l/B-PER"
    said = "a/B-PER b/I-PER c/O d/B-PER e/I-PER f/O g/O h/B-LOC i/O j/B-LOC k/B-LOC l/I-LOC"
    inventory = Inventory.of(TAGS, "B-PER")
    asked, true = _asked(_tokens(gold), TAGS)
    _, given = _asked(_tokens(said), TAGS)
    one, other = Entities.of(true, asked, inventory), Entities.of(given, asked, inventory)
    assert one.outcomes(other).tolist() == [RIGHT, TYPE, ALONE, BORDER, BOTH]
    assert other.outcomes(one).tolist() == [RIGHT, TYPE, ALONE, BORDER, BOTH]


def _panx(folder: Path, said: Sequence[str], rows: Sequence[str]) -> SweepResult:
    gold, given = _tokens(*rows), [list(row.labels) for row in _tokens(*said)]
    right, predicted, there = np.sum(
        [entity_counts([e.labels], [g], Tags("B-PER"))[0] for e, g in zip(gold, given, strict=True)], axis=0
    )
    f1 = 2 * right / (predicted + there)
    sweep = _sweep(
        folder, {"finetune": {10: {"en": f1, "de": f1, "ja": f1}}}, task="panx", finalise={"top": 1, "seeds": [10]}
    )
    asked = dict.fromkeys(("en", "de", "ja"), gold)
    _keep(sweep, "finetune", 10, asked, dict.fromkeys(asked, given))
    return _result(sweep)


def test_shares_of_entities_add_up_and_give_the_score_of_the_results(tmp_path: Path) -> None:
    gold = "a/B-PER b/I-PER c/O d/B-LOC e/I-LOC f/O g/B-PER h/O i/B-LOC j/I-LOC k/O l/B-PER"
    said = "a/B-PER b/I-PER c/O d/B-PER e/I-PER f/O g/O h/B-LOC i/O j/B-LOC k/B-LOC l/I-LOC"
    result = _panx(tmp_path, [said], [gold])
    row = _row(_table(result, "entity_errors_by_language_panx_en"), "finetune", "de")
    assert (row["there"], row["predicted"]) == (5, 5)
    shares = [row[key] for key in ("right", "right_words_wrong_type", "right_type_wrong_words", "both_wrong", "missed")]
    assert shares == [0.2] * 5 and row["invented"] == 0.2
    assert row["f1"] == pytest.approx(result.arms[0].best.score("de", "f1").mean)  # type: ignore[union-attr]
    assert _row(_table(result, "entity_errors_panx_en"), "finetune", "all targets")["there"] == 10
    # Of PER 1 of 3 is right and 2 are predicted; of LOC none of 2, and 3 are.
    person = _row(_table(result, "labels_panx_en"), "PER", "finetune")
    assert (person["there"], person["predicted"]) == (6, 4)
    assert (person["precision"], person["recall"], person["f1"]) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    top = _table(result, "confusions_panx_en")
    assert {(row[1].value, row[2].value, row[3].value) for row in top.rows} == {
        ("LOC", "PER", 2), ("PER", "nothing", 2), ("nothing", "LOC", 2)
    }  # fmt: skip


def _random_sweep(folder: Path, task: str, seed: int) -> tuple[SweepResult, JournalBuilder]:
    """Two arms with random answers in three languages; their test scores are those of the answers."""
    generator = random.Random(seed)
    labels = TAGS[:5] if task == "panx" else ("A", "B", "C", "D") if task == "udpos" else ("yes", "no", "maybe")
    languages_ = ("en", "de", "ja")

    def row() -> tuple[str, ...]:
        return tuple(generator.choice(labels) for _ in range(generator.randint(1, 45)))

    asked: dict[str, list[Any]] = {}
    for language in languages_:
        if task == "xnli":
            asked[language] = [
                PairExample("a b " * generator.randint(1, 20), "c", generator.choice(labels)) for _ in range(90)
            ]
        else:
            golds = [row() for _ in range(90)]
            asked[language] = [TokenExample(tuple(generator.choice("uvwxyz") for _ in gold), gold) for gold in golds]
    said = {arm: {each: [_near(e, labels, generator) for e in asked[each]] for each in languages_} for arm in ARMS}
    scores = {arm: {10: {each: _score(asked[each], said[arm][each], task) for each in languages_}} for arm in ARMS}
    sweep = _sweep(folder, scores, task=task, finalise={"top": 1, "seeds": [10]})
    for arm in ARMS:
        _keep(sweep, arm, 10, asked, said[arm])
    return _result(sweep), sweep


def _near(example: Any, labels: Sequence[str], generator: random.Random) -> Any:
    """Mostly right."""
    gold = [example.label] if isinstance(example, PairExample) else example.labels
    given = [label if generator.random() < 0.7 else generator.choice(labels) for label in gold]
    return given[0] if isinstance(example, PairExample) else given


def _score(asked: Sequence[Any], said: Sequence[Any], task: str) -> float:
    kept = TestExamples.of(asked, task="t", language="en", metric="x", style="B-PER")
    right, predicted, there = np.sum(_counts(kept, said, "B-PER" if task == "panx" else None), axis=0)
    return float(2 * right / (predicted + there))


@pytest.mark.parametrize("task", ["panx", "udpos", "xnli"])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_each_table_counts_adds_up_to_the_score_of_the_results(tmp_path: Path, task: str, seed: int) -> None:
    result, _ = _random_sweep(tmp_path, task, seed)
    metric = "f1" if task == "panx" else "accuracy"
    for arm in result.arms:
        assert arm.best is not None
        name = f"entity_errors_by_language_{task}_en" if task == "panx" else f"errors_by_language_{task}_en"
        for language in ("en", "de", "ja"):
            score = arm.best.score(language, metric)
            assert score is not None
            assert _row(_table(result, name), arm.name, language)[metric] == pytest.approx(score.mean)
        rows = [_values(row) for row in _table(result, f"labels_{task}_en").rows if row[1].value == arm.name]
        there, predicted, right = (
            sum(row[2] for row in rows),
            sum(row[3] for row in rows),
            sum(row[5] * row[2] for row in rows),
        )
        whole = _whole(arm.best.trials[0].trial_id, result)
        assert (right, predicted, there) == pytest.approx(tuple(whole))
    lengths = [_values(row) for row in _table(result, f"lengths_{task}_en").rows]
    assert sum(row[2] for row in lengths if row[0] == "targets") == (90 if task == "xnli" else 180)  # ja parts no words


def _values(row: Sequence[Any]) -> list[Any]:
    return [cell.value for cell in row]


def _whole(trial_id: str, result: SweepResult) -> Any:
    """Right, predicted and there in the target languages, as the trial counted them."""
    assert result.folder is not None
    found = load_predictions(result.folder.trial(trial_id).path)
    assert found is not None
    return np.sum([counts for language in ("de", "ja") for counts in found.counts[language]], axis=0)


def test_words_that_occur_again_are_told_apart_by_their_labels() -> None:
    asked, _ = _asked(_tokens("a/O b/O a/O c/B-PER c/O", "d/O b/O"), TAGS)
    found = {kind: np.flatnonzero(row).tolist() for kind, row in zip(KINDS, kinds_of(asked), strict=True)}
    assert list(found.values()) == [[1, 5, 6], [0, 2], [3, 4], [0, 2, 3, 4, 5], [1, 6]]


def test_examples_are_the_same_whenever_they_are_chosen_and_bounded(tmp_path: Path) -> None:
    result, sweep = _random_sweep(tmp_path, "udpos", 4)
    table = _table(result, "examples_udpos_en")
    assert table == _table(_result(sweep), "examples_udpos_en")
    assert 0 < len(table.rows) <= 4 and {row[0].value for row in table.rows} == {"de", "ja"}
    for row in table.rows:
        assert len(str(row[1].value).split()) <= 25 and all(len(str(cell.value)) <= 140 for cell in row)


def test_an_example_shows_the_words_in_which_an_arm_is_wrong(tmp_path: Path) -> None:
    rows = _tokens("der/DET Hund/NOUN bellt/VERB laut/ADV", "ja/INTJ")
    said = {"finetune": [["DET", "NOUN", "VERB", "ADV"], ["INTJ"]], "other": [["DET", "PROPN", "VERB", "ADJ"], ["X"]]}
    scores = {arm: {10: {"en": 0.9, "de": 0.5, "ja": 0.5}} for arm in ARMS}
    sweep = _sweep(tmp_path, scores, finalise={"top": 1, "seeds": [10]})
    for arm in ARMS:
        _keep(sweep, arm, 10, {"de": rows}, {"de": said[arm]})
    row = _row(_table(_result(sweep), "examples_udpos_en"), "de")
    assert (row["text"], row["gold"]) == ("der Hund bellt laut", "Hund: NOUN and laut: ADV")
    assert (row["said_finetune"], row["said_other"]) == ("right", "Hund: PROPN and laut: ADJ")


def test_other_tags_that_mean_the_same_entities_are_no_example_of_an_error(tmp_path: Path) -> None:
    gold = ["a/B-PER b/I-PER c/O d/B-LOC", "e/B-PER f/O g/O h/O"]
    said = ["a/I-PER b/I-PER c/O d/I-LOC", "e/B-PER f/O g/B-LOC h/O"]
    table = _table(_panx(tmp_path, said, gold), "examples_panx_en")
    shown = {tuple(cell.value for cell in row[1:]) for row in table.rows}
    assert shown == {("e f g h", "PER: e", "PER: e and LOC: g")}


def test_what_is_not_kept_is_said_and_never_guessed(tmp_path: Path) -> None:
    result, sweep = _random_sweep(tmp_path, "udpos", 5)
    trial = result.arm("other").best.trials[0]  # type: ignore[union-attr]
    folder = sweep.journal.folder.trial(trial.trial_id)
    found = load_predictions(folder.path)
    assert found is not None
    broken = {**found.numbers, "de": list(found.numbers["de"])[:-1]}
    save(folder.predictions, replace(found, numbers=broken))
    notes = analysis.notes(_result(sweep))
    assert "Errors: of other the answers in de do not fit the kept examples." in notes
    save(folder.predictions, replace(found, examples={}))
    assert any("older version" in note for note in analysis.notes(_result(sweep)))
    folder.predictions.unlink()
    again = _result(sweep)
    assert f"Errors: no predictions of other are kept (trial {trial.trial_id})." in analysis.notes(again)
    assert [column.key for column in _table(again, "lengths_udpos_en").columns][3:] == ["score_finetune"]
    journal_alone = read(sweep.record)
    assert not [table for table in analysis.tables(journal_alone) if table.name.startswith("labels")]
    assert any("only the journal is at hand" in note for note in analysis.notes(journal_alone))


def test_an_arm_that_was_asked_other_examples_has_no_part_in_those_that_are_shown(tmp_path: Path) -> None:
    one, other = _tokens("a/DET b/NOUN c/VERB d/ADV"), _tokens("e/DET f/NOUN g/VERB h/ADV")
    scores = {arm: {10: {"en": 0.9, "de": 0.75, "ja": 0.5}} for arm in ARMS}
    sweep = _sweep(tmp_path, scores, finalise={"top": 1, "seeds": [10]})
    for arm, rows in zip(ARMS, (one, other), strict=True):
        _keep(sweep, arm, 10, {"de": rows}, {"de": [["DET", "NOUN", "VERB", "ADJ"]]})
    result = _result(sweep)
    row = _row(_table(result, "examples_udpos_en"), "de")
    assert (row["text"], row["said_finetune"], row["said_other"]) == ("a b c d", "d: ADJ", None)
    assert _row(_table(result, "errors_by_language_udpos_en"), "other", "de")["accuracy"] == 0.75


def test_a_table_of_errors_names_the_trials_that_it_tells_of(tmp_path: Path) -> None:
    result, _ = _random_sweep(tmp_path, "udpos", 7)
    first = {arm.name: arm.best.trials[0].trial_id for arm in result.arms if arm.best}
    assert len(first) == 2
    for table in analysis.analyse(result).errors.tables:
        assert all(f"{name}: {trial_id} (seed 10)" in table.notes[-1] for name, trial_id in first.items())
        assert "n: 180 examples in 2 languages" in table.notes[-1]


def test_a_result_is_analysed_once(tmp_path: Path) -> None:
    result, _ = _random_sweep(tmp_path, "xnli", 6)
    assert analysis.analyse(result) is analysis.analyse(result)


def test_arms_that_write_tags_in_several_ways_have_their_labels_counted_one_by_one(tmp_path: Path) -> None:
    row, other = _tokens("a/B-PER b/I-PER c/O"), _tokens("a/PER b/PER c/O")
    scores = {10: {"en": 1.0, "de": 1.0, "ja": 1.0}}
    sweep = _sweep(tmp_path, {"finetune": scores, "other": scores}, task="panx", finalise={"top": 1, "seeds": [10]})
    for arm, rows, style in (("finetune", row, "B-PER"), ("other", other, "PER")):
        asked = dict.fromkeys(("en", "de", "ja"), rows)
        said = {language: [list(each.labels) for each in rows] for language in asked}
        _keep(sweep, arm, 10, asked, said, style=style)  # type: ignore[arg-type]
    result = _result(sweep)
    tables = [table.name for table in analysis.tables(result)]
    assert "entity_errors_panx_en" not in tables
    assert _row(_table(result, "labels_panx_en"), "PER", "other")["there"] == 4
    assert any("several ways" in note for note in analysis.analyse(result).errors.notes)
