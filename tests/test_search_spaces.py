"""Every sweep file under search_spaces/: it loads, it can be drawn from, and it is checked without data or weights."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from tunekit.check import ArmCheck, SweepCheck, check, render
from tunekit.registry import METHODS, lookup
from tunekit.search.study import ArmStudy
from tunekit.sweep import Sweep, load_sweep, trial_config
from tunekit.tasks.classification import PAWSX_LANGUAGES, XNLI_LANGUAGES
from tunekit.tasks.tagging import PANX_LANGUAGES, UDPOS_LANGUAGES

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "search_spaces").rglob("*.yaml"))
STUDIES = [file for file in FILES if re.search("/(papers|ablations)/", file)]
PAPERS = [file for file in STUDIES if "/papers/" in file]
TOPRO = [file for file in STUDIES if "/topro_" in file]
XGLM = [file for file in PAPERS if "/xglm_" in file]

HUB_LANGUAGES = {
    "xnli": XNLI_LANGUAGES,
    "pawsx": PAWSX_LANGUAGES,
    "panx": PANX_LANGUAGES,
    "udpos": UDPOS_LANGUAGES,
}
XGLM_LANGUAGES = (
    "en", "ru", "zh", "de", "es", "fr", "ja", "it", "pt", "el", "ko", "fi", "id", "tr", "ar", "vi", "th", "bg", "ca",
    "hi", "et", "bn", "ta", "ur", "sw", "te", "eu", "my", "ht", "qu",
)  # fmt: skip
"""Those that the model's card lists."""


def each(files: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=lambda file: file.removeprefix("search_spaces/"))


@cache
def sweep_of(file: str) -> Sweep:
    overrides = []
    if file.endswith("quickstart.yaml"):
        overrides = ["backbone=xlm-roberta-base"]  # its own is pretrained when it is first asked for
    return load_sweep(ROOT / file, overrides=overrides)


@cache
def checked(file: str) -> SweepCheck:
    return check(sweep_of(file), flops_per_s=1e13, may_lack_data=True)


def text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def trained(file: str) -> list[ArmCheck]:
    return [arm for arm in checked(file).arms if lookup("method", arm.arm.method).is_trained]


@each(FILES)
def test_every_sweep_file_gives_whole_trials_at_what_its_searcher_draws(file: str) -> None:
    sweep = sweep_of(file)
    for arm in sweep.arms:
        study = ArmStudy(sweep, arm)
        for number in range(2):
            params, _ = study.ask(number)
            config = trial_config(sweep, arm, params, seed=10)
            assert {d.name for d in arm.space if d.is_active(params)} == set(params)
            assert len(config.trial_id) == 12


@each(FILES)
def test_every_sweep_file_is_checked_without_data_network_or_weights(file: str) -> None:
    found = checked(file)
    assert [arm.arm.name for arm in found.arms] == [arm.name for arm in sweep_of(file).arms]
    assert found.num_search_trials > 0
    for arm in found.arms:
        is_trained = lookup("method", arm.arm.method).is_trained
        assert (arm.num_trainable.low > 0) == (arm.num_updates.low > 0) == is_trained
        assert arm.num_backbone_parameters > 1e8, "the shape of a real model"
        assert arm.hours.high > 0
    stream = io.StringIO()
    Console(file=stream, width=200).print(render(found))
    for part in ("to search and", "trained parameters", "of the backbone", "Estimate"):
        assert part in stream.getvalue()


@each(STUDIES)
def test_the_study_of_a_paper_says_its_question_and_what_is_known_of_it(file: str) -> None:
    head = re.match(r"(?:#.*\n)+", text_of(file))
    assert head
    words = " ".join(line.removeprefix("#").strip() for line in head[0].splitlines())
    for part in ("arXiv:", "nknown", "Our choice: ", f"tunekit sweep {file}"):
        assert part in words, part
    assert any(part in words for part in ("qual budgets", "Nothing is trained", "Two protocols"))


@each(STUDIES)
def test_the_arms_of_one_backbone_make_equally_many_updates_on_labelled_rows(file: str) -> None:
    by_group: dict[tuple[object, ...], set[float]] = {}
    for arm in trained(file):
        group = (arm.arm.backbone.name, arm.arm.task.name, arm.arm.task.shots)
        side = arm.num_side_updates
        by_group.setdefault(group, set()).update((arm.num_updates.low - side.low, arm.num_updates.high - side.high))
    assert all(len(updates) == 1 for updates in by_group.values()), by_group


@each(STUDIES)
def test_all_arms_of_a_study_get_equally_many_points_to_try(file: str) -> None:
    assert len({arm.num_points for arm in checked(file).arms}) == 1


@each(PAPERS)
def test_every_arm_of_a_paper_tries_a_known_setting_first(file: str) -> None:
    sweep = sweep_of(file)
    for arm in sweep.arms:
        assert arm.enqueue, arm.name
        params, _ = ArmStudy(sweep, arm).ask(0)
        assert arm.enqueue[0].items() <= params.items()


@each(STUDIES)
def test_the_languages_of_a_study_are_on_the_hub(file: str) -> None:
    for arm in sweep_of(file).arms:
        languages = (arm.task.source_language, *arm.task.target_languages)
        assert set(languages) <= set(HUB_LANGUAGES[arm.task.name]), arm.name


@each(XGLM)
def test_xglm_is_asked_in_all_the_languages_of_the_task_that_it_was_pretrained_on(file: str) -> None:
    (task,) = {arm.task for arm in sweep_of(file).arms}
    known = [name for name in HUB_LANGUAGES[task.name] if name in XGLM_LANGUAGES and name != "en"]
    assert sorted(task.target_languages) == sorted(known)


@each(XGLM)
def test_xglm_is_searched_in_the_published_ranges_on_three_seeds(file: str) -> None:
    sweep = sweep_of(file)
    space = {dimension.name: dimension for dimension in sweep.arm("ptuning_v2").space}
    assert (space["learning_rate"].low, space["learning_rate"].high) == (5e-5, 5e-2)
    assert (space["prompt_length"].low, space["prompt_length"].high) == (8, 50)
    assert all({d.name: d for d in arm.space}["batch_size"].choices == (64, 128) for arm in sweep.arms)
    assert len(sweep.seeds) == 3


@pytest.mark.parametrize(("name", "vanilla", "topro"), [("panx", 3_125, 25_065), ("udpos", 3_325, 58_625)])
def test_topro_is_run_under_two_protocols_whose_budgets_are_as_published_or_equal(
    name: str, vanilla: int, topro: int
) -> None:
    """As published but for an epoch's last batch, which is smaller and which the paper leaves out."""
    file = f"search_spaces/papers/topro_{name}.yaml"
    published = load_sweep(ROOT / file, overrides=["protocol=published"])
    assert (sweep_of(file).protocol, published.protocol) == ("equal", "published")
    assert {sweep_of(file).name, published.name} == {f"topro_{name}-equal", f"topro_{name}-published"}
    assert "--set protocol=published" in text_of(file)
    updates = {
        arm.arm.name: arm.num_updates.high for arm in check(published, may_lack_data=True, flops_per_s=1e13).arms
    }
    for model in ("mbert", "xlmr"):
        assert updates[f"finetune_{model}"] == vanilla
        assert updates[f"topro_{model}"] == pytest.approx(topro, rel=0.03), "rows are estimated from words without data"
    fixed = {arm.name: arm.fixed for arm in published.arms}
    assert all(values["updates_per_epoch"] is None for values in fixed.values())
    assert [fixed[f"{method}_mt5"]["epochs"] for method in ("generate_tags", "topro")] == [
        10,
        10 if name == "panx" else 5,
    ]
    assert [fixed[f"{method}_mt5"]["batch_size"] for method in ("generate_tags", "topro")] == [96, 96]


@each([file for file in STUDIES if "/ablations/xglm_" in file])
def test_an_ablation_of_xglm_covers_its_four_tasks_alike(file: str) -> None:
    arms: dict[str, set[str]] = {}
    for arm in sweep_of(file).arms:
        arms.setdefault(arm.task.name, set()).add(arm.name.removesuffix(f"_{arm.task.name}"))
    assert arms.keys() == {"xnli", "pawsx", "panx", "udpos"}
    assert len({frozenset(names) for names in arms.values()}) == 1


@each(XGLM)
def test_one_arm_of_xglm_trains_at_most_the_published_share_head_included_and_one_position_more_would_not(
    file: str,
) -> None:
    (arm,) = (each for each in checked(file).arms if each.arm.name == "ptuning_v2_0.13")
    assert arm.num_backbone_parameters == 564_463_616
    one_position = 2 * 24 * 1024
    assert arm.num_trainable.high <= 0.0013 * arm.num_backbone_parameters < arm.num_trainable.high + one_position
    said = f"{arm.num_trainable.high:,} parameters, {100 * arm.num_trainable.high / 564_463_616:.4f} %"
    assert said in " ".join(line.removeprefix("# ") for line in text_of(file).splitlines())


def test_the_published_share_of_xglm_is_that_of_the_prompt_length_tried_first() -> None:
    first = sweep_of("search_spaces/papers/xglm_xnli.yaml").arm("ptuning_v2").enqueue[0]
    one_position = 2 * 24 * 1024
    assert round(100 * first["prompt_length"] * one_position / 564_463_616, 4) == 0.1306


@each(TOPRO)
def test_topro_is_finalised_on_the_five_seeds_of_its_paper(file: str) -> None:
    assert sweep_of(file).finalise.seeds == (10, 42, 421, 520, 1218)


def test_topro_is_compared_in_every_language_of_its_paper() -> None:
    assert (len(PANX_LANGUAGES), len(UDPOS_LANGUAGES)) == (48, 38)
    for name, languages in (("panx", PANX_LANGUAGES), ("udpos", UDPOS_LANGUAGES)):
        for arm in sweep_of(f"search_spaces/papers/topro_{name}.yaml").arms:
            assert {"en", *arm.task.target_languages} == set(languages)


def test_mpt_is_compared_at_every_number_of_shots_from_1_to_256() -> None:
    arms = sweep_of("search_spaces/papers/mpt_xnli.yaml").arms
    shots: dict[str, list[int | None]] = {}
    for arm in arms:
        shots.setdefault(arm.name.split("@")[0], []).append(arm.task.shots)
    assert shots.keys() == {"finetune", "soft_prompt", "pct", "mpt", "mpt_without_corpus"}
    assert all(numbers == [2**power for power in range(9)] for numbers in shots.values())


@each(FILES)
def test_a_frozen_backbone_drops_as_published_in_the_studies_of_papers_and_nowhere_else(file: str) -> None:
    for arm in sweep_of(file).arms:
        params, _ = ArmStudy(sweep_of(file), arm).ask(0)
        options = trial_config(sweep_of(file), arm, params, seed=10).options
        if hasattr(options, "backbone_dropout"):
            is_frozen = getattr(options, "freeze_backbone", True)
            assert options.backbone_dropout == (0.1 if is_frozen and file in STUDIES else 0.0), arm.name


def test_every_method_of_the_papers_stands_in_some_study() -> None:
    used = {arm.method for file in STUDIES for arm in sweep_of(file).arms}
    assert used == set(METHODS)


def test_every_study_stands_in_the_readmes_table_and_under_its_paper() -> None:
    table = text_of("README.md").partition("\n## Which file is which\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", table, re.MULTILINE)
    ]
    families = {"ToPro": "topro", "XGLM": "xglm", "MPT": "mpt"}
    family, found = "", set()
    for paper, question, files in rows[2:]:
        family = families[paper.split()[0]] if paper else family
        links = re.findall(r"\[(\w+)\]\((search_spaces/\w+/(\w+)\.yaml)\)", files)
        assert question and links, files
        for shown, file, name in links:
            assert shown == name and name.startswith(family), file
            found.add(file)
    assert found == set(STUDIES)
