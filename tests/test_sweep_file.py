"""Sweep files: what they may say, what becomes of it, and one clear message for everything else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunekit.errors import ConfigError, quoted
from tunekit.registry import METHODS
from tunekit.schema import to_json
from tunekit.sweep import Dimension, Source, Sweep, load_sweep, parse_sweep, trial_config
from tunekit.sweep.dimensions import points_of, space_size

EXAMPLE = """\
task: {name: udpos, source_language: en, target_languages: [de, fr, fi, tr, zh], data_dir: data/xtreme, max_train_examples: 1000}
backbone: xlm-roberta-base
arms:
  finetune:   {method: finetune,   space: {learning_rate: {low: 1.0e-5, high: 1.0e-4, log: true}}}
  ptuning_v2: {method: ptuning_v2, space: {learning_rate: {low: 5.0e-5, high: 5.0e-2, log: true}, prompt_length: {low: 8, high: 50, type: int}, batch_size: {choices: [64, 128]}},
               enqueue: [{learning_rate: 1.0e-2, prompt_length: 16, batch_size: 64}]}
fixed: {epochs: 5, max_length: 128}        # for every arm; an arm's own `fixed` wins
search: {searcher: tpe, num_trials: 40, seed: 0}
scheduler: {name: asha, grace_period: 1, reduction_factor: 3}
seeds: [10]                                # every trial of the search runs on each
finalise: {top: 3, seeds: [10, 42, 421]}
resources: {cpu: 1, gpu: 0}
budget: {hours: 8}
"""  # noqa: E501

SMALL = """\
task: {name: udpos, target_languages: [de]}
backbone: bert-base-multilingual-cased
arms:
  deep:
    method: ptuning_v2
    space:
      learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}
      projection: [true, false]
      projection_size: {choices: [64, 128], when: {projection: true}}
fixed:
  epochs: 3
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    """Reads a sweep file of the given text, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, *overrides: str, name: str | None = None) -> Sweep:
        Path("mine.yaml").write_text(text, encoding="utf-8")
        return load_sweep("mine.yaml", overrides=overrides, name=name)

    return read


@pytest.fixture
def refusal(read: Callable[..., Sweep]) -> Callable[..., str]:
    """The message with which a sweep file is refused."""

    def refusal(text: str, *overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, *overrides)
        return str(caught.value)

    return refusal


def small(**changes: Any) -> str:
    """`SMALL` with top-level keys replaced, or taken out by None."""
    content = {**yaml.safe_load(SMALL), **changes}
    return yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)


def of_space(**space: Any) -> str:
    """A sweep file with one arm, of P-tuning v2, that searches `space`."""
    return small(arms={"deep": {"method": "ptuning_v2", "space": space}}, fixed=None)


# -- what a file says ------------------------------------------------------------------------------------------------


def test_the_documented_example_is_read_as_it_says(read: Callable[..., Sweep]) -> None:
    sweep = read(EXAMPLE)
    assert sweep.name == "mine"
    assert [arm.name for arm in sweep.arms] == ["finetune", "ptuning_v2"]
    assert sweep.arm("finetune").task.target_languages == ("de", "fr", "fi", "tr", "zh")
    assert sweep.arm("finetune").fixed == {"epochs": 5, "max_length": 128}
    assert [str(d) for d in sweep.arm("ptuning_v2").space] == [
        "5e-05 to 0.05 (float, log)",
        "8 to 50 (int)",
        "one of 64, 128",
    ]
    assert sweep.arm("ptuning_v2").enqueue == ({"learning_rate": 0.01, "prompt_length": 16, "batch_size": 64},)
    assert (sweep.search.searcher, sweep.search.num_trials, sweep.search.seed) == ("tpe", 40, 0)
    assert (sweep.scheduler.name, sweep.scheduler.grace_period) == ("asha", 1)
    assert (sweep.seeds, sweep.finalise.seeds, sweep.finalise.top) == ((10,), (10, 42, 421), 3)
    assert (sweep.resources.gpu, sweep.budget.hours) == (0, 8.0)


def test_the_reader_does_not_look_at_the_data(read: Callable[..., Sweep]) -> None:
    assert read(EXAMPLE, "task.data_dir=/there/is/nothing").arms[0].locations.data_dir == "/there/is/nothing"


def test_params_and_a_seed_become_a_whole_trial(read: Callable[..., Sweep]) -> None:
    sweep = read(EXAMPLE)
    config = trial_config(
        sweep, sweep.arm("ptuning_v2"), {"learning_rate": 0.01, "prompt_length": 16, "batch_size": 64}, 42
    )
    assert (config.seed, config.method, config.backbone.name) == (42, "ptuning_v2", "xlm-roberta-base")
    assert config.options["prompt_length"] == 16
    assert config.options["projection"] is False, "defaults are part of a trial's identity"
    assert (config.training.learning_rate, config.training.epochs, config.training.batch_size) == (0.01, 5, 64)


def test_what_an_arm_says_wins_over_what_the_file_says_of_all(read: Callable[..., Sweep]) -> None:
    arms = {
        "a": {"method": "finetune", "fixed": {"learning_rate": 1e-5}},
        "b": {"method": "finetune", "space": {"epochs": [1, 2]}, "task": "panx", "backbone": "other/bert"},
        "c": {"method": "finetune"},
    }
    sweep = read(small(arms=arms, space={"learning_rate": [1e-3, 1e-4]}, fixed={"epochs": 7}))
    a, b, c = sweep.arms
    assert (a.fixed, a.space) == ({"epochs": 7, "learning_rate": 1e-5}, ())
    assert (b.fixed, {d.name for d in b.space}) == ({}, {"learning_rate", "epochs"})
    assert (b.task.name, b.task.target_languages, b.backbone.name) == ("panx", ("de",), "other/bert")
    assert (c.fixed, c.task.name, [d.name for d in c.space]) == ({"epochs": 7}, "udpos", ["learning_rate"])


def test_a_shared_parameter_goes_to_the_arms_that_have_it(read: Callable[..., Sweep]) -> None:
    arms = {"plain": {"method": "finetune"}, "deep": {"method": "ptuning_v2"}}
    sweep = read(small(arms=arms, fixed={"prompt_length": 5, "epochs": 2}, space={"projection": [True, False]}))
    assert sweep.arm("plain").fixed == {"epochs": 2}
    assert sweep.arm("plain").space == ()
    assert sweep.arm("deep").fixed == {"prompt_length": 5, "epochs": 2}


def test_a_list_of_shots_makes_an_arm_of_each(read: Callable[..., Sweep]) -> None:
    sweep = read(small(shots=[16, 64]))
    assert [(arm.name, arm.task.shots) for arm in sweep.arms] == [("deep@16", 16), ("deep@64", 64)]
    own = {"deep": {"method": "ptuning_v2", "shots": [1]}, "plain": {"method": "finetune", "shots": 8}}
    sweep = read(small(shots=[16, 64], arms=own))
    assert [(arm.name, arm.task.shots) for arm in sweep.arms] == [("deep@1", 1), ("plain", 8)]


def test_backbone_parameters_are_searched_like_any_other(read: Callable[..., Sweep]) -> None:
    sweep = read(of_space(word_piece=["first", "first_text"], dtype=["fp32", "bf16"]))
    config = trial_config(sweep, sweep.arms[0], {"word_piece": "first", "dtype": "bf16"}, 1)
    assert (config.backbone.word_piece, config.backbone.dtype) == ("first", "bf16")


def test_memory_is_read_in_binary_units(read: Callable[..., Sweep], refusal: Callable[..., str]) -> None:
    assert read(small(resources={"memory": "1.5 GiB"})).resources.memory == 3 * 2**29
    assert read(small(resources={"memory": 1000})).resources.memory == 1000
    assert "'8GB' is not a size" in refusal(small(resources={"memory": "8GB"}))


# -- overrides -------------------------------------------------------------------------------------------------------


def test_any_key_can_be_overridden_from_the_command_line(read: Callable[..., Sweep]) -> None:
    sweep = read(
        EXAMPLE,
        "search.num_trials=8",
        "seeds=[1, 2]",
        "arms.finetune.space.learning_rate.high=3.0e-4",
        "backbone.dtype=bf16",
        "scheduler={name: none}",
        "task.target_languages=[sw]",
        name="other",
    )
    assert (sweep.name, sweep.search.num_trials, sweep.seeds) == ("other", 8, (1, 2))
    assert sweep.arms[0].space[0].high == 3e-4
    assert (sweep.arms[0].backbone.name, sweep.arms[0].backbone.dtype) == ("xlm-roberta-base", "bf16")
    assert sweep.scheduler.name == "none"
    assert sweep.arms[1].task.target_languages == ("sw",)
    assert sweep.definition["search"]["num_trials"] == 8


def test_an_override_can_go_below_a_bare_name(read: Callable[..., Sweep]) -> None:
    assert read(small(task="udpos"), "task.target_languages=[de]").arms[0].task.target_languages == ("de",)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("search.num_trials", "expected KEY=VALUE"),
        ("=8", "expected KEY=VALUE"),
        ("search..num_trials=8", "expected KEY=VALUE"),
        ("search={a: [}", "is not valid YAML"),
        ("seeds.0=1", "'seeds' is [10], which has no keys below it"),
        (
            "search.num_trails=8",
            "--set 'search.num_trails=8': search.num_trails: unknown key 'num_trails'; did you mean",
        ),
        ("search.num_trials=many", "--set 'search.num_trials=many': search.num_trials: expected a whole number"),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(refusal: Callable[..., str], override: str, part: str) -> None:
    assert part in refusal(small(seeds=[10]), override)


# -- conditions, enqueued settings, grids ----------------------------------------------------------------------------


def test_a_conditional_parameter_comes_after_its_condition(read: Callable[..., Sweep]) -> None:
    space = {"projection_size": {"choices": [64, 128], "when": {"projection": True}}, "projection": [True, False]}
    first, second = read(of_space(**space)).arms[0].space
    assert (first.name, second.name) == ("projection", "projection_size")
    assert second.is_active({"projection": True})
    assert not second.is_active({"projection": False})
    assert not second.is_active({})


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ({"projektion": True}, "did you mean 'projection'?"),
        ({"projection": "yes"}, "`when` can never hold: projection is never one of ['yes']"),
        ({"projection_size": 64}, "`when` names projection_size"),
        ([1], "expected {other_parameter: value or list}"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(refusal: Callable[..., str], when: Any, part: str) -> None:
    space = {"projection": [True, False], "projection_size": {"choices": [64], "when": when}}
    message = refusal(of_space(**space))
    assert part in message
    assert "arms.deep.space.projection_size" in message


def test_conditions_in_a_circle_are_refused(refusal: Callable[..., str]) -> None:
    space = {
        "projection": {"choices": [True], "when": {"projection_size": 64}},
        "projection_size": {"choices": [64], "when": {"projection": True}},
    }
    assert "not in a circle" in refusal(of_space(**space))


def enqueued(read: Callable[..., Sweep], setting: dict[str, Any], **space: Any) -> Any:
    text = small(arms={"deep": {"method": "ptuning_v2", "space": space, "enqueue": [setting]}}, fixed=None)
    return read(text).arms[0].enqueue[0]


def test_enqueued_settings_take_the_type_of_the_space(read: Callable[..., Sweep]) -> None:
    setting = enqueued(
        read,
        {"prompt_length": 16.0, "learning_rate": 1, "weight_decay": 0},
        prompt_length={"low": 8, "high": 50},
        learning_rate={"low": 0.5, "high": 2.0},
        weight_decay={"choices": [0.0, 0.1]},
    )
    assert setting == {"prompt_length": 16, "learning_rate": 1.0, "weight_decay": 0.0}
    assert [type(value) for value in setting.values()] == [int, float, float]


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ({"prompt_length": 7}, "7 lies outside the space: 8 to 50 (int, step 2)"),
        ({"prompt_length": 9}, "9 lies outside the space: 8 to 50 (int, step 2)"),
        ({"prompt_length": 16.5}, "16.5 lies outside the space"),
        ({"prompt_length": True}, "True lies outside the space"),
        ({"batch_size": True}, "True lies outside the space: one of 1, 64"),
        ({"learning_rate": "1e-4"}, "YAML reads 1e-4 as text: write 1.0e-4"),
        ({"promt_length": 8}, "unknown key 'promt_length'; did you mean 'prompt_length'?"),
        ({"projection_size": 64, "projection": False}, "'projection_size' has no effect where projection is False"),
    ],
)
def test_an_enqueued_setting_outside_the_space_is_refused(
    read: Callable[..., Sweep], setting: dict[str, Any], part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        enqueued(
            read,
            setting,
            prompt_length={"low": 8, "high": 50, "step": 2},
            learning_rate={"choices": [1e-4, 1e-3]},
            batch_size=[1, 64],
            projection=[True, False],
            projection_size={"choices": [64], "when": {"projection": True}},
        )
    assert part in str(caught.value)
    assert "mine.yaml:" in str(caught.value)
    assert "arms.deep.enqueue.0" in str(caught.value)


def test_a_grid_has_every_combination_once(read: Callable[..., Sweep]) -> None:
    space = {
        "projection": [True, False],
        "projection_size": {"choices": [64, 128], "when": {"projection": True}},
        "prompt_length": {"low": 8, "high": 13, "step": 5},
    }
    text = of_space(**space)
    sweep = read(text, "search.searcher=grid", "search.num_trials=100")
    points = list(sweep.arms[0].grid())
    assert len(points) == sweep.num_points(sweep.arms[0]) == 6
    assert {"projection": False, "prompt_length": 13} in points
    assert all("projection_size" not in point for point in points if not point["projection"])
    assert read(text, "search.searcher=grid", "search.num_trials=4").num_points(sweep.arms[0]) == 4


def test_a_grid_of_floats_stays_inside_its_range() -> None:
    dimension = Dimension(name="weight_decay", kind="float", low=0.1, high=0.3, step=0.1)
    assert tuple(dimension.grid()) == (0.1, 0.2, 0.3)
    assert all(map(dimension.contains, dimension.grid()))
    assert not dimension.contains(0.15)


def test_a_huge_grid_is_counted_no_further_than_it_is_searched(read: Callable[..., Sweep]) -> None:
    axes = ("prompt_length", "batch_size", "projection_size", "max_length")
    space = {name: {"low": 128, "high": 1127} for name in axes}
    assert read(of_space(**space), "search.searcher=grid", "search.num_trials=7").search.num_trials == 7


def test_the_grid_searcher_needs_a_finite_space(refusal: Callable[..., str]) -> None:
    message = refusal(SMALL, "search.searcher=grid")
    assert "arms.deep: space.learning_rate: the grid searcher needs `choices` or a `step`" in message
    assert "the grid searcher needs a space" in refusal(of_space(), "search.searcher=grid")


def test_a_setting_is_inactive_through_the_conditions_of_its_condition(read: Callable[..., Sweep]) -> None:
    space = {
        "schedule": ["linear", "constant"],
        "projection": {"choices": [True, False], "when": {"schedule": "linear"}},
        "projection_size": {"choices": [64], "when": {"projection": True}},
    }
    assert enqueued(read, {"projection_size": 64}, **space) == {"projection_size": 64}, "the searcher fills in the rest"
    with pytest.raises(ConfigError, match="'projection_size' has no effect where schedule is 'constant'"):
        enqueued(read, {"schedule": "constant", "projection_size": 64}, **space)


# -- one clear message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("serch: {num_trials: 4}", ["mine.yaml:12: serch: unknown key 'serch'; did you mean 'search'?"]),
        ("search: {num_trails: 4}", ["mine.yaml:12: search.num_trails: unknown key", "did you mean 'num_trials'?"]),
        ("search:\n  num_trials: 0", ["mine.yaml:13: search.num_trials", "num_trials is 0, must be at least 1"]),
        ("search: {num_trials: 4.0}", ["search.num_trials: expected a whole number, got 4.0 (float)"]),
        ("search: {searcher: tpee}", ["search.searcher: 'tpee' is not a valid choice; did you mean 'tpe'?"]),
        ("search: tpe", ["mine.yaml:12: search: expected keys and values, got 'tpe'"]),
        ("scheduler: {name: ahsa}", ["did you mean 'asha'?"]),
        ("scheduler: {name: asha, grace_period: 0}", ["grace_period is 0, must be at least 1 epoch"]),
        ("selection: test", ["selection: 'test' is not a valid choice", "source_dev, target_dev"]),
        ("seeds: 10", ["seeds: expected a list, got 10"]),
        ("seeds: []", ["must be at least one seed"]),
        ("seeds: [1, 1]", ["none repeated"]),
        ("seeds: [-1]", ["whole numbers from 0 to 4294967295"]),
        ("finalise: {seeds: [4294967296]}", ["whole numbers from 0 to 4294967295"]),
        ("resources: half", ["resources: expected keys and values, got 'half'"]),
        ("resources: {cpu: 0}", ["cpu is 0.0, must be greater than 0"]),
        ("resources: {gpu: 1.5}", ["gpu is 1.5", "whole number if more than 1"]),
        ("budget: {hours: 8h}", ["budget.hours: expected a number, got '8h'"]),
        ("budget: {hours: .inf}", ["budget.hours: YAML reads .inf as inf, which is not a finite number"]),
        ("budget: {trials: 0}", ["trials is 0, must be at least 1"]),
        ("shots: []", ["shots: expected a number or a list of numbers, got an empty list"]),
        ("shots: [16, 16]", ["there is an arm 'deep@16' already"]),
        ("shots: [all]", ["shots: expected a whole number, got 'all'"]),
        ("shots: 0", ["shots is 0, must be at least 1"]),
        ("name: a/b", ["'a/b' cannot name a folder"]),
        ("name: yes", ["name: expected text, got True", "put the word in quotes"]),
        ("space: [learning_rate]", ["space: expected keys and values, got ['learning_rate']"]),
        ("space: {promt_length: [1]}", ["no arm has a parameter 'promt_length'; did you mean 'prompt_length'?"]),
        ("space: {epochs: [1]}\nsearch: {}", ["'epochs' is both fixed and searched"]),
    ],
)
def test_a_mistake_at_the_top_is_one_clear_message(refusal: Callable[..., str], text: str, parts: list[str]) -> None:
    message = refusal(SMALL + text)
    assert message.startswith("mine.yaml:")
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        (None, ["arms.deep: expected keys and values, got None"]),
        ({}, ["missing key 'method'", ", ".join(sorted(METHODS))]),
        ({"method": "fintune"}, ["unknown method 'fintune'; did you mean 'finetune'?"]),
        ({"method": "os:path"}, ["is no Method"]),
        ({"method": "nowhere.at.all:Method"}, ["cannot load method"]),
        ({"method": 5}, ["arms.deep.method: expected text, got 5"]),
        ({"method": "finetune", "spce": {}}, ["arms.deep.spce: unknown key 'spce'; did you mean 'space'?"]),
        ({"method": "finetune", "fixed": {"prompt_length": 3}}, ["unknown parameter 'prompt_length'"]),
        ({"method": "finetune", "fixed": 3}, ["arms.deep.fixed: expected keys and values, got 3"]),
        ({"method": "finetune", "fixed": {"seed": 3}}, ["a seed is not fixed here; write `seeds: [3]`"]),
        ({"method": "finetune", "fixed": {"epochs": [1, 2]}}, ["what is searched goes under `space`"]),
        ({"method": "finetune", "space": {"epochs": 3}}, ["a single value goes under `fixed`"]),
        ({"method": "finetune", "space": {"epochs": {"low": 1, "hihg": 3}}}, ["did you mean 'high'?"]),
        ({"method": "finetune", "space": {"epochs": {"low": 1}}}, ["missing key 'high'"]),
        ({"method": "finetune", "space": {"epochs": {"low": 3, "high": 3}}}, ["low 3 must be less than high 3"]),
        ({"method": "finetune", "space": {"epochs": {"low": 1.5, "high": 3}}}, ["expected a whole number, got 1.5"]),
        ({"method": "finetune", "space": {"epochs": {"low": 1, "high": 3, "type": "float"}}}, ["type 'float' does"]),
        ({"method": "finetune", "space": {"epochs": {"low": 1, "high": 3, "step": 5}}}, ["step 5 must be"]),
        ({"method": "finetune", "space": {"epochs": {"low": 0, "high": 3, "log": True}}}, ["needs low > 0 (is 0)"]),
        (
            {"method": "finetune", "space": {"epochs": {"low": 1, "high": 3, "log": True, "step": 1}}},
            ["no step (is 1)"],
        ),
        ({"method": "finetune", "space": {"epochs": {"low": 1, "high": 3, "log": "yes"}}}, ["expected true or false"]),
        ({"method": "finetune", "space": {"epochs": {"low": 0, "high": 3}}}, ["epochs is 0, must be at least 1"]),
        (
            {"method": "finetune", "space": {"epochs": {"choices": [], "low": 1}}},
            ["low has no effect beside `choices`"],
        ),
        ({"method": "finetune", "space": {"epochs": {"choices": 3}}}, ["epochs.choices: expected a list, got 3"]),
        ({"method": "finetune", "space": {"epochs": []}}, ["must be at least one value"]),
        ({"method": "finetune", "space": {"epochs": [1, 1]}}, ["none repeated"]),
        ({"method": "finetune", "space": {"schedule": {"low": 1, "high": 2}}}, ["takes `choices`, not a range"]),
        ({"method": "finetune", "space": {"learning_rate": {"low": "1e-5", "high": 1}}}, ["write 1.0e-5"]),
        ({"method": "finetune", "space": {"learning_rate": ["1e-5"]}}, ["choices[0]", "write 1.0e-5"]),
        ({"method": "finetune", "space": {"seed": {"low": -1, "high": 5}}}, ["-1 to 5 are no seeds"]),
        ({"method": "finetune", "enqueue": {"epochs": 3}}, ["enqueue: expected a list of settings"]),
        ({"method": "finetune", "backbone": 5}, ["arms.deep.backbone: expected keys and values, got 5"]),
        ({"method": "finetune", "backbone": "./nowhere"}, ["no folder '", "nowhere'"]),
        ({"method": "finetune", "backbone": {"name": "x", "path": 5}}, ["backbone.path: expected text, got 5"]),
        ({"method": "finetune", "backbone": {"name": "x", "dtpe": "bf16"}}, ["did you mean 'dtype'?"]),
        ({"method": "finetune", "backbone": {"name": "x", "dtype": "fp16"}}, ["backbone.dtype: 'fp16' is not a valid"]),
        ({"method": "finetune", "task": {"name": "udps"}}, ["unknown task 'udps'; did you mean 'udpos'?"]),
        ({"method": "finetune", "task": [1]}, ["arms.deep.task: expected keys and values, got [1]"]),
        ({"method": "finetune", "task": {"target_languages": ["de", False]}}, ["target_languages[1]", "in quotes"]),
        ({"method": "finetune", "task": {"target_languages": ["fr", "fr"]}}, ["'fr' is named twice"]),
        ({"method": "finetune", "task": {"source_language": "de"}}, ["'de' is named twice"]),
        ({"method": "finetune", "task": {"data_dir": 5}}, ["arms.deep.task.data_dir: expected text, got 5"]),
        ({"method": "finetune", "task": {"files": [1]}}, ["task.files: expected text, got [1]"]),
        (
            {"method": "finetune", "task": {"files": {"train": {"en": 1}}}},
            ["task.files.train.en: expected text, got 1"],
        ),
    ],
)
def test_a_mistake_in_an_arm_is_one_clear_message(refusal: Callable[..., str], arm: Any, parts: list[str]) -> None:
    message = refusal(small(arms={"deep": arm}, fixed=None))
    assert message.startswith("mine.yaml:")
    assert [part for part in parts if part not in message] == []


def test_a_message_names_the_line_of_the_very_key(refusal: Callable[..., str]) -> None:
    text = SMALL.replace("low: 1.0e-3", "low: 1e-3")
    assert refusal(text).startswith(
        "mine.yaml:7: arms.deep.space.learning_rate.low: expected a number, got '1e-3' (str)"
    )


@pytest.mark.parametrize("arms", [None, {}, [], "finetune", ["finetune"]])
def test_a_file_without_arms_is_refused(refusal: Callable[..., str], arms: Any) -> None:
    text = small(arms=None, fixed=None) + f"arms: {json.dumps(arms)}\n"
    assert "arms" in refusal(text)


def test_an_arm_is_named_so_that_it_can_name_a_folder(refusal: Callable[..., str]) -> None:
    assert "'../x' cannot name an arm" in refusal(small(arms={"../x": {"method": "finetune"}}))


def test_a_missing_backbone_is_missed(refusal: Callable[..., str]) -> None:
    assert "backbone: missing; write a hub id, a folder, or one of" in refusal(small(backbone=None))


def test_a_corner_of_the_space_that_training_refuses_is_found(refusal: Callable[..., str]) -> None:
    message = refusal(of_space(max_length=[32, 4]))
    assert "max_length is 4, must be at least 8" in message


def test_a_step_must_hold_the_longest_row_of_every_trial(
    read: Callable[..., Sweep], refusal: Callable[..., str]
) -> None:
    text = of_space(max_length=[32, 16384])
    assert "tokens_per_step is 8192, must be at least max_length (16384) of arm 'deep'" in refusal(text)
    assert read(text, "resources.tokens_per_step=16384").resources.tokens_per_step == 16384
    assert "--set 'resources.tokens_per_step=64': resources.tokens_per_step: tokens_per_step is 64, must be" in refusal(
        text, "resources.tokens_per_step=64"
    )


@pytest.mark.parametrize("place", ["fixed", "arms.deep.fixed", "arms.deep.space"])
def test_tokens_per_step_is_a_resource_and_no_parameter(refusal: Callable[..., str], place: str) -> None:
    value = "[64, 128]" if place.endswith("space") else "4096"
    message = refusal(SMALL, f"{place}.tokens_per_step={value}")
    assert f"{place}.tokens_per_step: 'tokens_per_step' is no parameter but a resource" in message
    assert "write it as resources.tokens_per_step" in message


def test_tokens_per_step_does_not_change_a_trials_name(read: Callable[..., Sweep]) -> None:
    names = set()
    for tokens in (2048, 8192):
        sweep = read(SMALL, f"resources.tokens_per_step={tokens}")
        names.add(trial_config(sweep, sweep.arms[0], {}, 10).trial_id)
    assert len(names) == 1


def test_a_searched_seed_leaves_no_seeds_to_list(read: Callable[..., Sweep], refusal: Callable[..., str]) -> None:
    text = of_space(seed={"low": 0, "high": 1000})
    assert read(text).arms[0].searches_seed
    assert "`seed` is searched, so `seeds` has no effect" in refusal(text, "seeds=[1]")


def test_a_selection_on_targets_needs_targets(refusal: Callable[..., str]) -> None:
    assert "needs target_languages" in refusal(small(selection="target_dev", task={"name": "udpos"}))


def test_a_budget_must_buy_each_arm_a_trial(refusal: Callable[..., str]) -> None:
    message = refusal(small(shots=[1, 2, 4]), "budget.trials=2")
    assert "budget.trials: 2 is less than one trial for each of 3 arms" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected keys and values, found nothing"),
        ("- a\n- b\n", "expected keys and values, found a list"),
        ("a: [1\nb: 2\n", "mine.yaml:2:2: not valid YAML"),
        ("a: b: c\n", "mine.yaml:1:5: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "mine.yaml:5: key 'b.c' stands here a second time (first in line 3)"),
        ("no: 1\n", "YAML reads the key 'no' as true or false: put it in quotes"),
        ("? [a, b]\n: 1\n", "not valid YAML"),
        ("a: !!python/object:os.system 1\n", "not valid YAML"),
        ("a: 2024-13-45\n", "mine.yaml:1: a: YAML reads 2024-13-45 as a date"),
        ("a: &a [*a]\n", "not valid YAML"),
        ("a: \x07\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_one_clear_message(refusal: Callable[..., str], text: str, part: str) -> None:
    message = refusal(text)
    assert message.startswith("mine.yaml")
    assert part in message


def test_a_file_that_cannot_be_read_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_sweep(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_sweep(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: Größe".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_sweep(tmp_path / "latin.yaml")


# -- paths, round trip, identity -------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_folder_where_the_command_runs(
    read: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/data")
    (tmp_path / "models" / "mini").mkdir(parents=True)
    arms = {
        "a": {"method": "finetune"},
        "b": {
            "method": "finetune",
            "task": {"data_dir": "$PLACE/x", "data_name": "x"},
            "backbone": {"name": "models/mini/"},
        },
        "c": {"method": "finetune", "backbone": {"name": "XLM-R", "path": "models/mini"}},
        "d": {
            "method": "finetune",
            "task": {"name": "own", "kind": "token", "files": {"train": {"en": "my/en.tsv"}, "dev": "my/{language}"}},
        },
    }
    task = {"name": "udpos", "data_dir": "data/xtreme", "fewshot_dir": "~/draws"}
    sweep = read(small(arms=arms, task=task, backbone="models/mini"))
    a, b, c, d = sweep.arms
    assert a.locations.data_dir == str(tmp_path / "data/xtreme")
    assert a.locations.fewshot_dir == "~/draws"
    assert a.locations.here().fewshot_dir == str(Path.home() / "draws")
    assert (b.locations.data_dir, b.locations.here().data_dir) == ("$PLACE/x", "/data/x")
    assert {arm.locations.backbone_path for arm in (a, b, c)} == {str(tmp_path / "models/mini")}
    assert [arm.backbone.name for arm in (a, b, c)] == ["mini", "mini", "XLM-R"]
    assert d.locations.files == {
        "train": {"en": str(tmp_path / "my/en.tsv")},
        "dev": str(tmp_path / "my/{language}"),
    }
    monkeypatch.chdir("/")
    assert parse_sweep(sweep.definition, Source("journal")) == sweep


@pytest.mark.parametrize("changes", [{}, {"shots": [4, 8]}, {"name": 2024}, {"resources": {"memory": "2 GiB"}}])
def test_a_definition_read_again_gives_the_same_sweep(read: Callable[..., Sweep], changes: dict[str, Any]) -> None:
    sweep = read(small(**changes))
    stored = json.loads(json.dumps(to_json(sweep.definition), allow_nan=False))
    again = parse_sweep(stored, Source("journal"))
    assert again == sweep
    assert again.definition == sweep.definition
    assert again.identity() == sweep.identity()


def test_a_date_as_a_name_can_be_written_into_the_journal(read: Callable[..., Sweep]) -> None:
    sweep = read(SMALL + "name: 2024-01-31\n")
    assert json.loads(json.dumps(sweep.definition))["name"] == sweep.name == "2024-01-31"


@pytest.mark.parametrize(
    "override",
    [
        "task.data_dir=/elsewhere",
        "task.cache_dir=/elsewhere",
        "resources={cpu: 4, gpu: 0.5, memory: 2 GiB, retries: 0}",
        "budget={hours: 3, trials: 100}",
        "search.num_trials=99",
        "finalise={top: 5, seeds: [1]}",
        "name=renamed",
    ],
)
def test_where_and_how_much_is_run_does_not_change_what_a_sweep_is(read: Callable[..., Sweep], override: str) -> None:
    assert read(SMALL, override).identity() == read(SMALL).identity()


@pytest.mark.parametrize(
    "override",
    [
        "seeds=[11]",
        "search.seed=1",
        "search.searcher=random",
        "scheduler.name=asha",
        "selection=target_dev",
        "fixed.epochs=4",
        "task.target_languages=[fr]",
        "backbone=other",
        "arms.deep.method=prompt_tuning",
        "arms.deep.space.learning_rate.high=0.2",
        "arms.deep.enqueue=[{learning_rate: 0.01}]",
        "arms.more={method: finetune}",
    ],
)
def test_what_is_run_and_how_it_scores_makes_another_sweep(read: Callable[..., Sweep], override: str) -> None:
    if "prompt_tuning" in override:
        small_space = "arms.deep.space={learning_rate: [0.1]}"
        assert read(SMALL, small_space, override).identity() != read(SMALL, small_space).identity()
    else:
        assert read(SMALL, override).identity() != read(SMALL).identity()


def test_paths_and_resources_do_not_change_the_name_of_a_trial(read: Callable[..., Sweep]) -> None:
    params = {"learning_rate": 0.01, "projection": False}
    plain = read(SMALL)
    moved = read(SMALL, "task.data_dir=/elsewhere", "resources.cpu=4", "search.num_trials=3", "name=other")
    ids = {trial_config(sweep, sweep.arms[0], params, 1).trial_id for sweep in (plain, moved)}
    assert len(ids) == 1


def test_an_arm_is_found_by_name(read: Callable[..., Sweep]) -> None:
    sweep = read(SMALL)
    assert sweep.arm("deep") is sweep.arms[0]
    with pytest.raises(ConfigError, match=r"no arm 'depe'; did you mean 'deep'\?"):
        sweep.arm("depe")


# -- two places under one name ---------------------------------------------------------------------------------------


def _two_arms(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    arm = {"method": "finetune", "space": {"learning_rate": [1e-4, 1e-3]}}
    return {"task": "udpos", "backbone": "toy-bert", "arms": {"one": {**arm, **one}, "other": {**arm, **other}}}


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (
            {"backbone": "a/model"},
            {"backbone": "b/model"},
            r"backbone_path: .*a/model' and .*b/model'.*backbone: \{name:",
        ),
        ({"task": {"data_dir": "a"}}, {"task": {"data_dir": "b"}}, r"data_dir: .* task: \{data_name: ANOTHER"),
        ({"task": {"data_dir": "a"}}, {}, r"data_dir: .* and None"),
        ({"task": {"parallel_dir": "a"}}, {"task": {"parallel_dir": "b"}}, "parallel_dir"),
    ],
)
def test_two_arms_that_read_different_places_under_one_name_are_refused_with_the_cure(
    one: dict[str, Any], other: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a/model", "b/model"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"arms 'one' and 'other' read different places under one name.*{message}"):
        parse_sweep(_two_arms(one, other), Source("two.yaml"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"backbone": {"name": "a", "path": "a/model"}}, {"backbone": {"name": "b", "path": "b/model"}}),
        ({"backbone": "a/model"}, {"backbone": "b/model", "method": "bitfit"}),
        ({"task": {"data_dir": "a"}}, {"task": {"data_dir": "b", "data_name": "second"}}),
        ({"backbone": "a/model"}, {"backbone": "a/model"}),
    ],
)
def test_two_arms_of_one_place_or_of_two_names_may_stand_together(
    one: dict[str, Any], other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a/model", "b/model"):
        (tmp_path / folder).mkdir(parents=True)
    assert len(parse_sweep(_two_arms(one, other), Source("two.yaml")).arms) == 2


# -- what YAML reads in another way than it looks --------------------------------------------------------------------

TRAPS = {
    "1:30": "YAML reads 1:30 as 90 (in base 60): write 90, 1.5 if hours and minutes are meant, or '1:30' for a text",
    "-2:00:00": "YAML reads -2:00:00 as -7200 (in base 60)",
    "1:30.5": "YAML reads 1:30.5 as 90.5 (in base 60): write 90.5",
    "010": "YAML reads 010 as 8 (in base 8): write 8, 10 if that is meant, or '010' for a text",
    "0x1F": "YAML reads 0x1F as 31 (in base 16): write 31",
    "0b11": "YAML reads 0b11 as 3 (in base 2): write 3",
    "1_0": "YAML reads 1_0 as 10 (without its _): write 10",
    "1_0.5": "1_0.5 is no number in plain decimal: write 10.5",
    "01.5": "01.5 is no number in plain decimal: write 1.5",
    ".inf": "YAML reads .inf as inf, which is not a finite number",
    "-.INF": "YAML reads -.INF as -inf",
    ".nan": "YAML reads .nan as nan",
    "1.0e+999": "1.0e+999 is too large for a number",
    "1.0e-999": "1.0e-999 is too small for a number",
    "9223372036854775809": "is too large: a whole number is at most 2^63",
    "9" * 400: "is too large: a whole number is at most 2^63",
    "2024-01-31": "YAML reads 2024-01-31 as a date: put it in quotes, '2024-01-31'",
    "2024-01-31 10:00:00": "as a date",
    "!!timestamp x": "YAML reads x as a date",
    "!!int x": "x is not a whole number",
    "!!float x": "x is not a number",
    "!!bool x": "x is neither true nor false",
    "!!binary eA==": "has no place in this file",
    "!!set {a}": "has no place in this file",
    "=": "= means something to YAML",
    '"\\0"': "holds a NUL character",
    '"\\uD800"': "half of a character",
}


@pytest.mark.parametrize(("value", "part"), TRAPS.items(), ids=[value[:20] for value in TRAPS])
def test_a_value_that_yaml_reads_in_another_way_than_it_looks_is_refused(
    refusal: Callable[..., str], value: str, part: str
) -> None:
    for text, overrides, place in (
        (f"{SMALL}budget: {{hours: {value}}}\n", (), "mine.yaml:12: budget.hours: "),
        (f"{SMALL}budget:\n- {value}\n", (), "mine.yaml:13: budget.0: "),
        (SMALL, (f"budget.hours={value}",), "--set 'budget.hours="),
    ):
        message = refusal(text, *overrides)
        assert message.startswith(place)
        assert part in message
        assert len(message) < 500


@pytest.mark.parametrize("value", ["0o10", "1e-4", "12e03", "1_000.0e5x", "08", "-.5", "'8'"])
def test_text_that_looks_like_a_number_is_refused_where_one_is_wanted(refusal: Callable[..., str], value: str) -> None:
    message = refusal(f"{SMALL}budget: {{hours: {value}}}\n")
    assert message.startswith("mine.yaml:12: budget.hours: expected a number, got '")
    written = {"0o10": "write 8", "1e-4": "write 1.0e-4", "08": "write 8.0", "-.5": "write -5.0e-1", "'8'": "write 8.0"}
    assert written.get(value, "") in message or "drop the quotes" in message


@pytest.mark.parametrize(("value", "hours"), [("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("1.5e+1", 15.0), ("+3", 3.0)])
def test_a_number_in_decimal_is_read_as_it_stands(read: Callable[..., Sweep], value: str, hours: float) -> None:
    assert read(f"{SMALL}budget: {{hours: {value}}}\n").budget.hours == hours


def test_text_may_hold_what_would_be_a_trap_alone(read: Callable[..., Sweep]) -> None:
    task = "{name: udpos, target_languages: [de, 'no', y, n], data_dir: 2024-01-31/010}"
    sweep = read(SMALL.replace("{name: udpos, target_languages: [de]}", task))
    assert sweep.arms[0].task.target_languages == ("de", "no", "y", "n")
    assert (sweep.arms[0].locations.data_dir or "").endswith("/2024-01-31/010")


@pytest.mark.parametrize("word", ["no", "on", "yes", "Off", "null", "~", ""])
def test_a_language_that_yaml_takes_for_something_else_is_refused(refusal: Callable[..., str], word: str) -> None:
    message = refusal(SMALL.replace("[de]", f"[fr, de, {word or 'null'}]"))
    assert message.startswith("mine.yaml:1: task.target_languages[2]: expected text, got ")
    assert "put the word in quotes" in message


@pytest.mark.parametrize("key", ["null", "~", "no", "On", "1_0", "010", "1.50", "1:30", "+5", "? [a]\n  "])
def test_a_key_that_yaml_takes_for_something_else_is_refused(refusal: Callable[..., str], key: str) -> None:
    message = refusal(f"{SMALL}budget:\n  {key}: 1\n")
    assert message.startswith("mine.yaml:13: ")
    assert "YAML" in message


def test_small_aliases_and_merges_work_and_keep_their_lines(
    read: Callable[..., Sweep], refusal: Callable[..., str]
) -> None:
    text = SMALL.replace("arms:\n  deep:", "arms:\n  deep: &deep").replace("fixed:\n", "  more: {<<: *deep}\nfixed:\n")
    sweep = read(text)
    assert sweep.arm("more").space == sweep.arm("deep").space
    assert refusal(text.replace("1.0e-3", "1_0")).startswith("mine.yaml:7: arms.deep.space.learning_rate.low: ")


def test_what_the_command_line_sets_is_set_in_one_place_where_an_alias_stands_in_two(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        SMALL.replace("arms:\n  deep:", "arms:\n  deep: &deep").replace("fixed:\n", "  more: *deep\nfixed:\n")
    )
    sweep = load_sweep(path, overrides=["arms.deep.space.learning_rate.low=2.0e-3"])
    lows = {arm.name: next(each.low for each in arm.space if each.name == "learning_rate") for arm in sweep.arms}
    assert (lows["deep"], lows["more"]) == (2e-3, 1e-3)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &a [*a]\n", "mine.yaml:1: not valid YAML here: an alias contains itself"),
        ("a: 1\nb: &b {c: {d: *b}}\n", "mine.yaml:2: not valid YAML here: an alias contains itself"),
        ("a: &a {? *a : 1}\n", "mine.yaml:1: not valid YAML"),
        ("a: &a\n  <<: *a\n", "an alias contains itself"),
        (BOMB, "mine.yaml:6: not valid YAML here: its aliases make more than 100000 values"),
        (MERGED, "its aliases make more than 100000 values"),
        ("a: " + "[" * 60 + "]" * 60, "mine.yaml:1: not valid YAML here: more than 50 levels"),
        ("a: " + "[" * 100_000, "mine.yaml:1: not valid YAML here: nested too deeply"),
        ("a: {<<: 1}\n", "<< takes a mapping"),
    ],
    ids=[
        "itself",
        "itself below",
        "itself as a key",
        "itself merged",
        "bomb",
        "merges",
        "deep",
        "deeper",
        "merge of 1",
    ],
)
def test_an_alias_or_a_depth_that_no_machine_holds_is_refused_at_once(
    refusal: Callable[..., str], text: str, part: str
) -> None:
    assert part in refusal(text)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\nb", "x" * 151, "", ".", "..", "a\0b", "é"])
def test_a_name_that_could_leave_its_folder_or_not_be_one_is_refused(refusal: Callable[..., str], name: str) -> None:
    for text in (small(arms={name: {"method": "finetune"}}, fixed=None), small(name=name)):
        message = refusal(text)
        assert message.startswith("mine.yaml:")
        assert len(message) < 500
        assert "\n" not in message


@pytest.mark.parametrize("name", ["../x", "a/b", "a\nb", "x" * 101, "", "..", "\x1b[31m", "\u202eab"])
def test_a_language_that_cannot_be_a_part_of_a_files_name_is_refused(refusal: Callable[..., str], name: str) -> None:
    for task in ({"target_languages": ["de", name]}, {"source_language": name}):
        message = refusal(small(task={"name": "udpos", **task}))
        assert f"task.{next(iter(task))}: {next(iter(task))} is {quoted(name)}, must be a code such as en" in message


def test_a_message_quotes_only_the_beginning_of_a_long_value(refusal: Callable[..., str]) -> None:
    values = [list(range(100_000)), {str(n): n for n in range(100_000)}, "x" * 100_000]
    for value in values:
        with pytest.raises(ConfigError) as caught:
            parse_sweep({"arms": value}, Source("mine.yaml"))
        assert len(str(caught.value)) < 600
    assert len(refusal(SMALL, f"fixed.epochs={'x' * 5000}")) < 700
    assert len(refusal(SMALL, f"{'k' * 5000}=1")) < 1200


# -- how many points a space has -------------------------------------------------------------------------------------


def test_the_points_of_a_space_are_counted_as_they_are_listed() -> None:
    """Random small spaces with conditions on conditions, against going through all combinations."""
    draw = random.Random(3)
    for _ in range(200):
        space: list[Dimension] = []
        for index in range(draw.randint(0, 5)):
            kind = draw.choice(["choice", "int", "float"])
            values: dict[str, Any] = {"low": 0, "high": draw.randint(1, 4), "step": draw.choice([None, 1, 2])}
            if kind == "choice":
                values = {"choices": tuple(range(draw.randint(1, 3)))}
            elif kind == "float":
                values = {"low": 0.0, "high": 1.0, "step": draw.choice([0.25, 0.3])}
            parents = draw.sample(space, k=min(len(space), draw.randint(0, 2)))
            when = {p.name: tuple(draw.sample(list(p.grid()), k=1)) for p in parents}
            space.append(Dimension(name=f"p{index}", kind=kind, when=when, **values))  # type: ignore[arg-type]
        listed = [json.dumps(point) for point in points_of(space, {})]
        assert len(listed) == len(set(listed)) == space_size(space)


def test_a_space_too_large_to_list_is_counted_all_the_same(read: Callable[..., Sweep]) -> None:
    top = 2**63 - 1
    arm = read(of_space(batch_size={"low": 8, "high": top}, prompt_length=[4, 8])).arms[0]
    assert arm.size == 2 * (top - 7)
    when = {"projection": True}
    space = {"projection": [True, False], "learning_rate": {"low": 0.1, "high": 0.5, "when": when}}
    assert read(of_space(**space)).arms[0].size == float("inf")


@pytest.mark.parametrize("searcher", ["tpe", "random", "grid", "qmc", "cmaes", "gp", "nsga2"])
def test_every_searcher_ends_with_the_space(read: Callable[..., Sweep], searcher: str) -> None:
    text = of_space(batch_size=[8, 16])
    sweep = read(text, f"search.searcher={searcher}", "search.num_trials=8")
    assert sweep.num_points(sweep.arms[0]) == 2
    assert sweep.points_in_words() == "2 points per arm (the space has no more)"
    assert read(text, "search.num_trials=1").points_in_words() == "1 point per arm"
