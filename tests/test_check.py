"""What a check finds: everything that cannot run, before anything does, and honest numbers for the rest."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
import tiny_models
import torch
import yaml
from rich.console import Console

from tunekit.backbone import describe
from tunekit.check import ArmCheck, Span, SweepCheck, check, render
from tunekit.check.cost import multiplied_weights
from tunekit.check.limits import disk_need, notes_of_disk
from tunekit.check.text import measure, tokenizer_of
from tunekit.errors import ConfigError, DataError
from tunekit.sweep import Sweep, load_sweep, trial_config
from tunekit.tasks.examples import labels_of
from tunekit.training import TrialRun, WorkerCache, run_trial
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrialConfig

RATE = 1e9
"""Operations a second that tests give, so that nothing depends on the machine."""

Reader = Callable[..., Sweep]


@pytest.fixture
def read(tmp_path: Path, backbone: Path) -> Reader:
    """A sweep on generated words: two arms, three points each, keys replaced as the test says."""

    def read(**changes: Any) -> Sweep:
        content = {
            "task": {"name": "fakes:load_words", "target_languages": ["fr", "de"]},
            "backbone": str(backbone),
            "arms": {
                "plain": {"method": "finetune", "space": {"batch_size": [4, 8]}},
                "deep": {"method": "ptuning_v2", "space": {"prompt_length": {"low": 2, "high": 8}}},
            },
            "fixed": {"epochs": 3, "max_length": 16},
            "search": {"num_trials": 3},
            "finalise": {"top": 2, "seeds": [10, 42]},
            **changes,
        }
        path = tmp_path / "words.yaml"
        kept = {key: value for key, value in content.items() if value is not None}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
        return load_sweep(path)

    return read


def one_arm(**arm: Any) -> dict[str, Any]:
    return {"only": {"method": "ptuning_v2", **arm}}


def page(found: SweepCheck, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(render(found))
    return stream.getvalue()


def checked(sweep: Sweep) -> ArmCheck:
    """The check of a sweep's only arm."""
    (arm,) = check(sweep, flops_per_s=RATE).arms
    return arm


# -- what would run --------------------------------------------------------------------------------------------------


def test_trials_are_points_times_seeds_and_finalising_is_counted_apart(read: Reader) -> None:
    found = check(read(seeds=[10, 11]), flops_per_s=RATE)
    numbers = [(arm.num_points, arm.num_search_trials, arm.num_final_trials) for arm in found.arms]
    assert numbers == [(2, 4, 4), (3, 6, 4)]
    assert (found.num_search_trials, found.num_final_trials) == (10, 8)


def test_a_grid_and_a_budget_bound_the_trials(read: Reader) -> None:
    grid = check(read(search={"searcher": "grid", "num_trials": 5}), flops_per_s=RATE)
    assert [arm.num_points for arm in grid.arms] == [2, 5]
    found = check(read(budget={"trials": 7}, seeds=[1, 2]), flops_per_s=RATE)
    assert [arm.num_search_trials for arm in found.arms] == [4, 4], "a point that is begun runs on all its seeds"


def test_a_searched_seed_gives_each_point_one_trial(read: Reader) -> None:
    found = checked(read(arms=one_arm(space={"seed": {"low": 0, "high": 99}})))
    assert (found.num_points, found.num_search_trials) == (3, 3)


def test_trainable_parameters_are_counted_over_the_whole_space(read: Reader) -> None:
    plain, deep = check(read(), flops_per_s=RATE).arms
    head = 16 * 3 + 3
    assert deep.num_trainable == Span(low=2 * 2 * 2 * 16 + head, high=8 * 2 * 2 * 16 + head)
    assert plain.num_trainable == Span(
        low=plain.num_backbone_parameters + head, high=plain.num_backbone_parameters + head
    )
    assert deep.trainable_share.high == deep.num_trainable.high / deep.num_backbone_parameters


def test_the_published_size_of_a_prompt_is_found_without_a_network(read: Reader) -> None:
    arm = one_arm(fixed={"prompt_length": 15, "max_length": 16, "epochs": 1})
    found = checked(read(arms=arm, backbone="facebook/xglm-564M", fixed=None))
    head = 1024 * 3 + 3
    assert found.num_trainable == Span(low=737_280 + head, high=737_280 + head)
    assert found.num_backbone_parameters == 564_463_616
    assert "the hub was not asked" in found.shape_basis
    assert "1.4 per word" in found.tokens_basis


def test_updates_are_those_that_training_makes(read: Reader, tmp_path: Path) -> None:
    sweep = read()
    plain, deep = check(sweep, flops_per_s=RATE).arms
    assert plain.num_updates == Span(low=3 * 6, high=3 * 11), "44 sentences in batches of 8 or 4"
    assert deep.num_updates == Span(low=3 * 3, high=3 * 3)
    config = trial_config(sweep, sweep.arms[0], {"batch_size": 4}, 1)
    where, cache = {"folder": tmp_path / "trial", "locations": sweep.arms[0].locations}, WorkerCache()
    outcome = run_trial(config, cache=cache, **where)
    facts = TrialRun(config, cache=cache, tokens_per_step=sweep.resources.tokens_per_step, **where).facts
    assert outcome.num_updates == plain.num_updates.high
    assert facts.num_trainable_parameters == plain.num_trainable.low


def test_long_sentences_are_counted_as_the_windows_that_they_become(read: Reader) -> None:
    short = checked(read(arms=one_arm(fixed={"max_length": 8, "batch_size": 1, "epochs": 1})))
    whole = checked(read(arms=one_arm(fixed={"max_length": 32, "batch_size": 1, "epochs": 1})))
    assert whole.num_updates.low == 44
    assert short.num_updates.low > 44


def test_dev_data_are_those_that_select(read: Reader) -> None:
    assert checked(read(arms=one_arm())).data.num_dev_examples == 20
    found = checked(read(arms=one_arm(), selection="target_dev"))
    assert found.data.num_dev_examples == 60
    assert found.data.num_test_examples == {"en": 16, "fr": 16, "de": 16}
    assert (found.data.kind, found.data.metric, found.data.labels) == ("token", "accuracy", ("A", "B", "C"))


# -- what it would cost ----------------------------------------------------------------------------------------------


def pieces(config: TrialConfig, sweep: Sweep, split: Any) -> int:
    """Pieces of a split, special ones included, counted by hand: each word of the tiny world is one piece."""
    task = WorkerCache().task(config.task, sweep.arms[0].locations).task
    return sum(len(labels_of(example)) + 2 for example in task.examples(split, "en"))


@pytest.mark.parametrize(("method", "training"), [("finetune", 6), ("ptuning_v2", 4)])
def test_operations_follow_the_formula(read: Reader, method: str, training: int, backbone: Path) -> None:
    sweep = read(arms={"only": {"method": method}}, fixed={"epochs": 3, "max_length": 32})
    config = trial_config(sweep, sweep.arms[0], {}, 0)
    weights = multiplied_weights(describe(config.backbone, Locations(backbone_path=str(backbone))))
    expected = 3 * weights * (training * pieces(config, sweep, "train") + 2 * pieces(config, sweep, "dev"))
    assert checked(sweep).trial_flops == Span(low=expected, high=expected)


def test_input_prompts_go_through_the_layers_and_cost_like_text(read: Reader) -> None:
    space = {"prompt_length": {"low": 1, "high": 21}}
    deep = checked(read(arms={"only": {"method": "ptuning_v2", "space": space}}))
    shallow = checked(read(arms={"only": {"method": "prompt_tuning", "space": space}}))
    assert deep.trial_flops.low == deep.trial_flops.high
    assert shallow.trial_flops.high > 2 * shallow.trial_flops.low


def test_embedding_tables_are_looked_up_and_not_multiplied() -> None:
    backbone = describe(BackboneConfig(name="xlm-roberta-base"), Locations())
    assert multiplied_weights(backbone) == pytest.approx(85e6, rel=0.01)
    for architecture in tiny_models.ARCHITECTURES:
        tiny = tiny_models.backbone_of(architecture)
        assert multiplied_weights(tiny) < tiny.num_parameters() - 344 * 32 + 1


def test_hours_are_operations_at_the_rate_for_every_trial(read: Reader) -> None:
    sweep = read(arms=one_arm(space={"batch_size": [4, 5, 6]}), seeds=[10])
    slow, fast = (check(sweep, flops_per_s=rate).arms[0] for rate in (1e3, 1e6))
    assert slow.trial_hours.high == pytest.approx(slow.trial_flops.high / 1e3 / 3600, rel=1e-3)
    assert slow.search_hours.high == pytest.approx(3 * slow.trial_hours.high)
    assert slow.final_hours.high > 2 * slow.trial_hours.high, "seed 42 is new to both points, and test is scored"
    assert fast.search_hours.high < slow.search_hours.high


def test_finalising_on_the_seeds_of_the_search_trains_nothing_again(read: Reader) -> None:
    again = checked(read(arms=one_arm(), finalise={"top": 1, "seeds": [10]}))
    assert 0 < again.final_hours.high < again.trial_hours.high
    nothing = checked(read(arms=one_arm(), finalise={"top": 0}))
    assert nothing.final_hours == Span(low=0, high=0)


def test_the_rate_is_measured_on_this_machine_and_leaves_the_threads_alone(read: Reader) -> None:
    threads = torch.get_num_threads()
    (first, _) = check(read(resources={"cpu": 2})).arms
    assert torch.get_num_threads() == threads
    assert "measured here on 2 threads for a feed-forward block of width 16" in first.rate.basis
    assert first.rate.flops_per_s > 0


def test_no_gpu_time_is_spent_and_the_page_says_so(read: Reader) -> None:
    (first, _) = check(read(resources={"gpu": 0.5})).arms
    assert first.rate.flops_per_s == 10e12
    assert "assumed" in first.rate.basis


# -- what cannot run -------------------------------------------------------------------------------------------------


def refusal(sweep: Sweep, kind: type[ConfigError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        check(sweep, flops_per_s=RATE)
    return str(caught.value)


def test_a_prompt_that_leaves_no_room_for_the_text_is_found_at_the_corner(read: Reader) -> None:
    space = {"prompt_length": {"low": 2, "high": 40}, "max_length": [16, 32]}
    message = refusal(read(arms=one_arm(space=space), fixed=None))
    assert "arms.only.space.prompt_length: prompt_length + max_length is 40 + 32 = 72" in message
    assert (
        "has 64 positions: use prompt_length at most 32 or max_length at most 24 (at prompt_length=40, max_length=32)"
        in message
    )


def test_corners_too_many_to_combine_still_show_the_largest(read: Reader) -> None:
    choices = {"schedule": ["linear", "constant"], "word_piece": ["first", "last", "mean", "first_text"]}
    more = {"dtype": ["fp32", "bf16"], "projection": [True, False], "epochs": [1, 2], "batch_size": [1, 2]}
    space = {**choices, **more, "prompt_length": {"low": 2, "high": 40}, "max_length": [16, 32]}
    assert "40 + 32 = 72" in refusal(read(arms=one_arm(space=space), fixed=None))


def test_a_condition_keeps_settings_apart_that_never_meet(read: Reader) -> None:
    space = {
        "projection": [True, False],
        "projection_size": {"choices": [4, 8], "when": {"projection": True}},
    }
    found = checked(read(arms=one_arm(space=space)))
    assert found.num_trainable.high > found.num_trainable.low


def test_an_unknown_language_is_named_with_its_arm(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "panx").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "panx" / f"{split}-en.tsv").write_text("Rome\tB-LOC\nis\tO\n\n")
    task = {"name": "panx", "data_dir": str(tmp_path)}
    assert len(check(read(task=task), flops_per_s=RATE).arms) == 2
    message = refusal(read(task={**task, "target_languages": ["eng"]}))
    assert "words.yaml:1: task: arm 'plain': " in message
    assert "unknown language 'eng'; did you mean 'en'?" in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "holds no examples"),
        ("Rome\tB-LOC\nis O\n", "test-en.tsv:2"),
        ("Rome\tB-CITY\n", "'B-CITY'"),
        (None, "no test data in 'en'"),
    ],
    ids=["empty", "broken line", "label not in the inventory", "missing"],
)
def test_broken_data_are_found_before_any_worker_starts(
    read: Reader, tmp_path: Path, content: str | None, part: str
) -> None:
    (tmp_path / "panx").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "panx" / f"{split}-en.tsv").write_text("Rome\tB-LOC\nis\tO\n\n")
    if content is not None:
        (tmp_path / "panx" / "test-en.tsv").write_text(content)
    message = refusal(read(task={"name": "panx", "data_dir": str(tmp_path)}), DataError)
    assert "words.yaml:1: task: arm 'plain': " in message
    assert part in message


def test_a_method_that_cannot_serve_the_task_is_refused(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.methods.finetune import Finetune

    sweep = read()
    monkeypatch.setattr(Finetune, "kinds", frozenset({"pair"}))
    message = refusal(sweep)
    assert "arms.plain.method: method finetune serves pair tasks; 'fakes:load_words' is a token task" in message


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_is_no_backbone_is_refused(read: Reader, tmp_path: Path, missing: str) -> None:
    folder = fakes.save_backbone(tmp_path / "torn")
    (folder / missing).unlink()
    message = refusal(read(backbone=str(folder)))
    assert "backbone: arm 'plain': backbone 'torn': " in message


def test_a_backbone_that_no_method_can_serve_is_refused(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "config.json").write_text('{"model_type": "t5"}')
    assert "architecture 't5', which is not supported" in refusal(read(backbone=str(tmp_path / "t5")))


def test_data_and_backbones_shared_by_arms_are_read_once(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit import tasks

    def load(config: TaskConfig, locations: Locations) -> tasks.Task:
        loaded.append(config)
        return real(config, locations)

    loaded: list[TaskConfig] = []
    real = tasks.load
    monkeypatch.setattr(tasks, "load", load)
    check(read(), flops_per_s=RATE)
    assert len(loaded) == 1
    check(read(arms={"a": {"method": "finetune"}, "b": {"method": "finetune", "shots": 2}}), flops_per_s=RATE)
    assert len(loaded) == 3


# -- data that are not on this machine -------------------------------------------------------------------------------

PANX = {"name": "panx", "target_languages": ["de", "zh"]}
MULTILINGUAL = "xlm-roberta-base"


def test_data_on_a_hub_that_cannot_be_reached_are_counted_as_documented(read: Reader) -> None:
    found = check(read(task=PANX, backbone=MULTILINGUAL), flops_per_s=RATE, may_lack_data=True)
    plain, _ = found.arms
    assert (plain.data.num_train_examples, plain.data.num_dev_examples) == (20_000, 10_000)
    assert plain.data.num_test_examples == {"en": 10_000, "de": 10_000, "zh": 10_000}
    assert plain.num_updates == Span(low=3 * 2_500, high=3 * 5_000)
    assert found.lacks_data
    shown = " ".join(page(found, width=300).split())
    assert "words: nothing is wrong in what could be read; its data could not be, and a sweep needs them" in shown
    assert "panx not read; as documented: train 20,000 and dev 10,000 sentences in en" in shown
    assert "not read google/xtreme (PAN-X.en, train): cannot be loaded from the Hugging Face hub" in shown


def test_a_sweep_does_not_start_on_data_that_are_not_there(read: Reader) -> None:
    assert "cannot be loaded from the Hugging Face hub" in refusal(read(task=PANX), DataError)


def test_a_folder_that_is_not_there_does_not_hide_what_else_is_wrong(read: Reader, tmp_path: Path) -> None:
    task = {**PANX, "data_dir": str(tmp_path / "nowhere"), "target_languages": ["da"]}
    found = check(read(task=task, backbone=MULTILINGUAL), flops_per_s=RATE, may_lack_data=True)
    assert found.arms[0].data.absence == (
        f"data_dir: no folder '{tmp_path}/nowhere/panx'; it should hold <split>-<language>.tsv files"
    )
    arms = one_arm(fixed={"prompt_length": 500})
    with pytest.raises(ConfigError, match="500 \\+ 16 = 516"):
        check(read(task=task, backbone=MULTILINGUAL, arms=arms), flops_per_s=RATE, may_lack_data=True)


def test_a_language_that_the_hub_lacks_is_refused_without_it(read: Reader) -> None:
    with pytest.raises(ConfigError, match="unknown language 'da'"):
        check(read(task={"name": "panx", "target_languages": ["da"]}), flops_per_s=RATE, may_lack_data=True)


def test_a_folder_without_the_files_is_broken_and_not_absent(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "panx").mkdir()
    with pytest.raises(DataError, match=r"no <split>-<language>\.tsv"):
        check(read(task={**PANX, "data_dir": str(tmp_path)}), flops_per_s=RATE, may_lack_data=True)


def test_few_shot_data_that_are_absent_are_as_many_as_the_shots_say(read: Reader, tmp_path: Path) -> None:
    task = {"name": "xnli", "target_languages": ["de"]}
    files = {**task, "draw": "files", "fewshot_dir": str(tmp_path / "nowhere")}
    for each in (task, files):
        found = check(read(task=each, backbone=MULTILINGUAL, shots=16), flops_per_s=RATE, may_lack_data=True)
        data = found.arms[0].data
        assert (data.num_train_examples, data.num_dev_examples) == (48, 48)
        assert data.num_test_examples == {"en": 5_010, "de": 5_010}
        assert data.absence is not None


def test_absent_parallel_text_is_noted_and_looked_for_once(read: Reader) -> None:
    fixed = {"alignment": "pawsx", "alignment_size": 2_000, "max_length": 64}
    arms = {"only": {"method": "mpt", "fixed": {**fixed, "epochs": 1}, "space": {"alpha": [0.1, 0.5]}}}
    task = {"name": "xnli", "target_languages": ["de", "fr"]}
    sweep = read(task=task, backbone=MULTILINGUAL, arms=arms, fixed=None, shots=4)
    found = check(sweep, flops_per_s=RATE, may_lack_data=True)
    (note,) = (note for note in found.notes if note.startswith("parallel text was not read: "))
    assert "google-research-datasets/paws-x" in note
    assert note in " ".join(page(found, 300).split())


def cloze_arms(**fixed: Any) -> dict[str, Any]:
    return {"only": {"method": "topro", "fixed": {"max_length": 128, "epochs": 1, **fixed}}}


def test_a_method_that_asks_about_each_word_is_counted_in_questions(read: Reader) -> None:
    def of(arms: dict[str, Any]) -> ArmCheck:
        sweep = read(task=PANX, backbone=MULTILINGUAL, arms=arms, fixed=None)
        return check(sweep, flops_per_s=RATE, may_lack_data=True).arms[0]

    plain = of({"only": {"method": "finetune", "fixed": {"epochs": 1}}})
    asked, shared = of(cloze_arms()), of(cloze_arms(share_sentence=True))
    words = 8
    assert asked.num_updates.low == words * plain.num_updates.low
    assert shared.num_updates.low == plain.num_updates.low, "a row of it is a sentence"
    assert plain.trial_flops.low < shared.trial_flops.low < asked.trial_flops.low


def test_tokens_of_questions_are_estimated_within_a_third(shared: Path) -> None:
    from tunekit.methods import Setting
    from tunekit.methods.topro import ToPro, ToProConfig
    from tunekit.tasks import load
    from tunekit.trial import TrainingConfig

    locations = Locations(data_dir=str(shared / "data/xtreme"), backbone_path=str(shared / "models/mini-xlmr"))
    task = load(TaskConfig(name="panx"), locations)
    config = BackboneConfig(name="mini-xlmr")
    backbone = describe(config, locations)
    found = []
    for tokenizer in (None, tokenizer_of(config, locations)):
        backbone.tokenizer = tokenizer
        setting = Setting(backbone=backbone, task=task, training=TrainingConfig(), word_piece="first_text")
        method = ToPro(ToProConfig(multi_token="mean"), setting)
        found.append(measure(task.examples("dev", "en"), method, "en"))
    estimated, counted = found
    assert estimated.num_rows == counted.num_rows
    assert estimated.num_tokens == pytest.approx(counted.num_tokens, rel=0.33)


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_page_says_what_would_run_and_at_what_cost(read: Reader) -> None:
    shown = page(check(read(scheduler={"name": "asha", "grace_period": 1}), flops_per_s=RATE), width=200)
    for part in (
        "words: nothing is wrong",
        "5 to search and 8 to finalise, in 2 arms",
        "tpe (seed 0), 3 points per arm, but plain 2 points (its space has no more), each on 1 seed: 10",
        "asha, from epoch 1 on, one in 3 goes on at each rung",
        "the 2 best points of each arm on seeds 10, 42, then test, once",
        "train 44 and dev 20 sentences in en; test 48 in 3 languages (en fr de); 3 labels, scored by accuracy",
        "one of 4, 8",
        "2 to 8 (int)",
        "fixed: epochs 3, max_length 16",
        "1 GFLOP/s, as given",
        "counted by its own tokenizer on a sample",
        "before early stopping",
    ):
        assert part in shown, part
    assert "Worth knowing" not in shown


def test_a_page_of_80_columns_says_all_that_a_wide_one_says(read: Reader) -> None:
    arms = {
        "finetune": {"method": "finetune", "shots": [8, 16]},
        "ptuning_v2": {"method": "ptuning_v2", "shots": [8, 16], "space": {"prompt_length": {"low": 8, "high": 40}}},
    }
    found = check(read(backbone="xlm-roberta-base", arms=arms), flops_per_s=RATE)
    narrow, wide = ({word for word in page(found, width).split() if "─" not in word} for width in (80, 300))
    assert narrow == wide
    assert "277,455,363" in narrow
    assert max(map(len, page(found, 80).splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"scheduler": {"name": "asha", "grace_period": 3}}, "asha never stops a trial: its grace_period is 3"),
        ({"finalise": {"top": 5}}, "finalise.top is 5, but an arm of 3 points has no more"),
        (
            {"arms": one_arm(space={"batch_size": [1, 2]}, enqueue=[{"batch_size": 1}] * 4)},
            "of 4 enqueued settings only the first 2 are tried",
        ),
        ({"arms": one_arm()}, "nothing is searched: it is one point; more trials of it are more `seeds`"),
        ({"budget": {"hours": 1e-6}}, "its share of the budget, 5e-07 hours of a worker, is less than one trial ("),
        (
            {"budget": {"hours": 0.08, "reserve": 0.7}},
            "its share of the budget, 0.012 h of search, may end the search after about 1 of 2 trials",
        ),
    ],
)
def test_what_is_allowed_and_yet_odd_is_worth_a_note(read: Reader, changes: dict[str, Any], note: str) -> None:
    found = check(read(**changes), flops_per_s=1e6)
    assert note in "\n".join(found.notes)
    assert "Worth knowing" in page(found)


def test_the_page_says_whether_a_budget_suffices_and_what_the_disk_will_hold(read: Reader, tmp_path: Path) -> None:
    budget = {"hours": 1, "money": 0.09, "price_per_hour": 1.5, "reserve": 0.3}
    found = check(read(budget=budget), flops_per_s=1e6, root=tmp_path / "not" / "yet")
    text = " ".join(page(found, width=400).split())
    assert "1 worker-hours, 0.09 of money, shared equally by the arms; the search leaves 30% to" in text
    assert "1 worker-hours: suffices for all trials" in text
    assert "0.09 of money: does not suffice for all trials" in text
    plain, deep = (4 * int(arm.num_trainable.high) for arm in found.arms)
    need = disk_need(found.sweep, found.arms)
    assert (need.kept, need.per_trial) == (4 * (plain + deep), 10 * max(plain, deep)), "two points on two seeds"
    assert f"{need.in_words()} (trained parameters of the best trials of each arm, never a frozen backbone)" in text
    assert "are free" in text and not any("disk" in note for note in found.notes)
    everything = check(read(storage={"keep": "all"}), flops_per_s=1e6)
    assert disk_need(everything.sweep, everything.arms).kept == (2 + 2) * plain + (3 + 2) * deep
    assert list(notes_of_disk(found.sweep, found.arms, 1000))


@pytest.mark.parametrize("method", ["ptuning_v2", "prompt_tuning", "lora", "bitfit", "adapter"])
@pytest.mark.parametrize(
    ("backbone", "rate", "is_told"),
    [
        ("bigscience/bloom-560m", 0.1, True),
        ("bigscience/bloom-560m", 0.0, False),
        ("facebook/xglm-564M", 0.1, False),
        ("google/mt5-base", 0.1, False),
        ("xlm-roberta-base", 0.1, False),
    ],
)
def test_dropout_inside_a_backbone_that_has_none_is_worth_a_note(
    read: Reader, method: str, backbone: str, rate: float, is_told: bool
) -> None:
    arms = {"one": {"method": method, "fixed": {"backbone_dropout": rate}}}
    found = check(read(backbone=backbone, arms=arms), flops_per_s=RATE)
    assert any("backbone_dropout has no effect" in note for note in found.notes) == is_told


def test_pairs_that_are_cut_are_counted(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "xnli").mkdir()
    rows = "".join(f"{'w1 ' * 30}\tw2\t{label}\n" for label in ("entailment", "neutral", "contradiction"))
    for split in ("train", "dev", "test"):
        (tmp_path / "xnli" / f"{split}-en.tsv").write_text(rows)
    found = check(read(task={"name": "xnli", "data_dir": str(tmp_path)}), flops_per_s=RATE)
    assert "up to 100% of the training pairs are longer than max_length and are cut" in found.notes
    assert "train 3 and dev 3 pairs in en" in page(found)


def test_the_mini_model_on_real_data_is_checked(shared: Path, read: Reader) -> None:
    task = {
        "name": "udpos",
        "data_dir": str(shared / "data/xtreme"),
        "target_languages": ["zh"],
        "max_train_examples": 600,
    }
    backbone = shared / "models/mini-xlmr"
    arms = {
        "plain": {"method": "finetune"},
        "deep": {"method": "ptuning_v2", "fixed": {"prompt_length": 16}},
    }
    found = check(read(task=task, backbone=str(backbone), arms=arms, fixed={"epochs": 3}), flops_per_s=RATE)
    plain, deep = found.arms
    assert plain.num_backbone_parameters == 41_414_400
    assert plain.num_updates == Span(low=3 * 38, high=3 * 38)
    assert deep.num_trainable.low == 16 * 12 * 2 * 384 + 384 * 17 + 17


# -- packing -----------------------------------------------------------------------------------------------------------

PACKED = "fakes:PackedPTuningV2"


def _packing(found: SweepCheck) -> str:
    lines = page(found, width=400).splitlines()
    return next(" ".join(line.split()[1:]) for line in lines if line.split()[:1] == ["packing"])


def test_the_page_says_which_arms_are_packed_and_how_many_at_once(read: Reader) -> None:
    arms = {
        "plain": {"method": "finetune"},
        "one": {"method": PACKED, "space": {"prompt_length": {"low": 2, "high": 8}}},
        "two": {"method": PACKED, "fixed": {"projection": True}},
        "three": {"method": PACKED, "space": {"projection": [True, False]}},
    }
    found = check(read(arms=arms, resources={"pack": 5}), flops_per_s=RATE)
    assert _packing(found) == (
        "a worker trains together, of one, three (where its options allow it) up to 5 trials; plain, two one at a time"
    )


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({}, "a worker trains together, of arm up to 8 trials"),
        ({"pack": 1}, "a pack of one; a worker trains one trial at a time"),
        ({"pack": False}, "off; a worker trains one trial at a time"),
        ({"gpu": 1}, "a worker trains together, of arm 4 to 64 trials, as speed and memory are measured to allow"),
    ],
)
def test_the_page_says_what_packing_will_do_on_a_cpu_and_a_gpu(
    read: Reader, resources: dict[str, Any], words: str
) -> None:
    arms = {"arm": {"method": PACKED}}
    assert _packing(check(read(arms=arms, resources=resources), flops_per_s=RATE)) == words


def test_large_batches_are_packed_by_fewer(read: Reader) -> None:
    arms = {"arm": {"method": PACKED, "space": {"batch_size": [4, 64]}}}
    words = _packing(check(read(arms=arms), flops_per_s=RATE))
    assert words == "a worker trains together, of arm 4 to 8 trials, by their batch sizes and lengths"


def test_a_sweep_of_methods_that_train_the_backbone_packs_nothing(read: Reader) -> None:
    found = check(read(arms={"plain": {"method": "finetune"}}), flops_per_s=RATE)
    assert _packing(found) == "no arm's trials can be packed; a worker trains one trial at a time"
