"""What one trial is: strict reading of its values, helpful refusals, and a name that only results can change."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from fakes import load_words
from hypothesis import given
from hypothesis import strategies as st

from tunekit.errors import ConfigError, nearest, quoted, require
from tunekit.registry import lookup
from tunekit.schema import build, canonical_json, coerce, to_json
from tunekit.trial import BackboneConfig, EpochReport, Locations, Outcome, TaskConfig, TrainingConfig, TrialConfig


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    rate: float = 0.5
    name: str = "x"
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    items: tuple[str, ...] = ()
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        require(self.size > 0, "size", self.size, "greater than 0")


def trial(**changes: Any) -> TrialConfig:
    """One trial, with fields changed."""
    values: dict[str, Any] = {
        "task": TaskConfig(name="udpos", target_languages=("de", "fr"), max_train_examples=600),
        "backbone": BackboneConfig(name="xlm-roberta-base"),
        "method": "ptuning_v2",
        "options": {"prompt_length": 16, "projection": False},
        "training": TrainingConfig(learning_rate=1e-2, epochs=3),
        "seed": 10,
    }
    return TrialConfig(**{**values, **changes})


# -- build and coerce ------------------------------------------------------------------------------------------------


def test_values_become_a_dataclass_of_exact_types() -> None:
    made = build(Outer, {"size": 2, "rate": 1, "items": ["p", "q"], "inner": {"depth": 3}}, "file")
    assert made == Outer(size=2, rate=1.0, items=("p", "q"), inner=Inner(depth=3))
    assert type(made.rate) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "file: missing key 'size'"),
        ({"size": 1, "siez": 2}, "file: unknown key 'siez'; did you mean 'size'? (valid: "),
        ({"size": 0}, "file: size is 0, must be greater than 0"),
        ({"size": 1.0}, "file: size: expected a whole number, got 1.0 (float)"),
        ({"size": True}, "file: size: expected a whole number, got True (bool)"),
        ({"size": None}, "file: size: expected a whole number, got None"),
        ({"size": 1, "rate": "1e-4"}, "got '1e-4' (str); YAML reads 1e-4 as text: write 1.0e-4"),
        ({"size": 1, "rate": "5E-05"}, "YAML reads 5E-05 as text: write 5.0e-5"),
        ({"size": 1, "rate": "fast"}, "file: rate: expected a number, got 'fast' (str)"),
        ({"size": 1, "rate": float("nan")}, "file: rate: nan is not a finite number"),
        ({"size": 1, "rate": True}, "file: rate: expected a number, got True"),
        ({"size": "1e3"}, "YAML reads 1e3 as text: write 1000"),
        ({"size": 1, "flag": 1}, "file: flag: expected true or false, got 1"),
        ({"size": 1, "name": False}, "YAML reads no, off, yes and on as true or false: put the word in quotes"),
        ({"size": 1, "name": 5}, "file: name: expected text, got 5 (int)"),
        ({"size": 1, "kind": "c"}, "file: kind: 'c' is not a valid choice; (valid: a, b)"),
        ({"size": 1, "kind": False}, "file: kind: False is not a valid choice"),
        ({"size": 1, "items": "pq"}, "file: items: expected a list, got 'pq'"),
        ({"size": 1, "items": ["p", 5]}, "file: items[1]: expected text, got 5"),
        ({"size": 1, "inner": {"deph": 1}}, "file: inner: unknown key 'deph'; did you mean 'depth'?"),
        ({"size": 1, "inner": 5}, "file: inner: expected keys and values, got 5"),
        ([1], "file: expected keys and values, got [1]"),
    ],
)
def test_a_wrong_value_is_one_clear_message(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, values, "file")
    assert message in str(caught.value)
    assert str(caught.value).startswith("file: ")


def test_an_optional_value_may_be_none() -> None:
    assert build(Outer, {"size": 1, "limit": None}, "file").limit is None
    assert build(Outer, {"size": 1, "limit": 3}, "file").limit == 3
    with pytest.raises(ConfigError, match="limit: expected a whole number, got 'x'"):
        build(Outer, {"size": 1, "limit": "x"}, "file")


def test_false_is_no_zero_and_true_no_one() -> None:
    assert coerce(Literal[0, 1], 1, "key") == 1
    with pytest.raises(ConfigError):
        coerce(Literal[0, 1], True, "key")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0, must be greater than 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"updates_per_epoch": 0}, "updates_per_epoch is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_length": 7}, "max_length is 7, must be at least 8 tokens"),
        ({"warmup_fraction": 1.1}, "warmup_fraction is 1.1, must be between 0 and 1"),
        ({"final_rate_fraction": 1.5}, "final_rate_fraction is 1.5, must be between 0 and 1"),
        (
            {"final_rate_fraction": 0.1, "schedule": "constant"},
            "final_rate_fraction is 0.1, must be 0.0 with schedule: constant",
        ),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"adam_epsilon": 0.0}, "adam_epsilon is 0.0"),
        ({"max_grad_norm": -1.0}, "max_grad_norm is -1.0"),
    ],
)
def test_every_range_of_training_is_kept(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="must be") as caught:
        TrainingConfig(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        trial(),
        EpochReport(epoch=1, value=0.5, metrics={"dev/en/f1": 0.5}, duration_s=1.5),
        Outcome(state="FAILED", value=None, reason="loss became nan"),
        TaskConfig(name="own", kind="pair", columns=("0", "1", "2")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_read_again_gives_the_same_value(value: Any) -> None:
    assert build(type(value), json.loads(json.dumps(to_json(value))), "file") == value


# -- names -----------------------------------------------------------------------------------------------------------


def test_the_nearest_valid_name_is_offered() -> None:
    assert nearest("fintune", ["lora", "finetune"]) == "did you mean 'finetune'? (valid: finetune, lora)"
    assert nearest("zzz", ["lora", "finetune"]) == "(valid: finetune, lora)"


def test_a_registered_name_or_a_dotted_one_is_found() -> None:
    assert lookup("task", "fakes:load_words") is load_words
    with pytest.raises(ConfigError, match=r"unknown method 'fintune'; did you mean 'finetune'\?.*or a dotted"):
        lookup("method", "fintune")
    with pytest.raises(ConfigError, match="cannot load method 'json:nothing'"):
        lookup("method", "json:nothing")
    with pytest.raises(ConfigError, match="cannot load method 'no_such_package:Method'"):
        lookup("method", "no_such_package:Method")


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("task", "os:system"),
        ("task", "shutil:rmtree"),
        ("task", "os:rename"),
        ("task", "json:loads"),
        ("task", "tunekit.storage:read_text"),
        ("task", "tunekit.errors:MOST"),
        ("task", "tunekit.tasks.corpora:files"),
        ("task", "tunekit.trial:TaskConfig"),
        ("parallel corpus", "fakes:load_words"),
        ("backbone", "os:remove"),
    ],
)
def test_what_a_dotted_name_leads_to_is_never_called_if_it_is_of_another_kind(registry: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"which makes no {registry}: a function .* is expected"):
        lookup(registry, name)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("class Own(\n", "broken.py:1: "),
        ("x = 1\ny = x / 0\n", "broken.py:2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "broken.py:2: SystemExit: 3"),
        ("import nowhere_at_all\n", "broken.py:1: No module named 'nowhere_at_all'"),
        ("Other = 1\n", "has no attribute 'Own'"),
        ("raise ValueError('x' * 5000)\n", "broken.py:1: ValueError: xxx"),
    ],
    ids=["syntax", "an error", "an exit", "an import", "no attribute", "a long error"],
)
@pytest.mark.parametrize("registry", ["method", "task"])
def test_a_module_that_cannot_be_imported_is_named_with_its_line(
    registry: str, source: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(ConfigError, match=f"cannot load {registry} 'broken:Own' from 'broken:Own': ") as caught:
        lookup(registry, "broken:Own")
    assert part in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["", "x" * 400, "x" * 400 + ":y", "a b:c", ":x", "x:", "..x:y", "a\0b:c", "json:a\nb"])
def test_a_name_that_leads_nowhere_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lookup("task", name)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 900


# -- quoting ---------------------------------------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_a_quoted_value_is_its_repr_cut_at_the_limit(value: Any) -> None:
    whole = repr(value)
    assert quoted(value, 10**6) == whole
    cut = quoted(value, 20)
    assert cut == whole if len(whole) <= 20 else len(cut) == 20 and cut.endswith("…")


def test_quoting_looks_at_no_more_of_a_value_than_it_shows() -> None:
    class Watched(list[Any]):
        seen = 0

        def __iter__(self) -> Any:
            for item in super().__iter__():
                Watched.seen += 1
                yield item

    nested: Any = 1
    for _ in range(100_000):
        nested = [nested]
    for value in (Watched([1] * 10**6), [Watched([1] * 1000)] * 1000, nested, 10**5000, "x" * 10**6, {1: nested}):
        assert len(quoted(value)) <= 200
    assert Watched.seen < 300


def test_a_list_of_valid_names_ends_somewhere() -> None:
    assert nearest("x", [f"name{n}" for n in range(10_000)]).endswith(" more)")
    assert len(nearest("x" * 10**6, [f"name{n}" for n in range(10_000)])) < 1200
    assert len(nearest("x", ["y" * 10_000, "z"])) < 1200


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_whole_number_that_no_float_holds_is_refused(value: int) -> None:
    with pytest.raises(ConfigError, match="is too large for a number"):
        build(Outer, {"size": 1, "rate": value}, "file")


# -- identity --------------------------------------------------------------------------------------------------------


def test_the_name_of_a_trial_never_changes() -> None:
    """A frozen value: if this fails, finished trials of every user would be run again. Raise SCHEMA_VERSION instead."""
    assert trial().trial_id == "1a324b7dd100"
    assert trial().point_id == "72c8a6e7d132"


def test_the_order_of_keys_does_not_change_a_name() -> None:
    turned = trial(options={"projection": False, "prompt_length": 16})
    assert turned.trial_id == trial().trial_id
    read_again = build(TrialConfig, dict(reversed(to_json(trial()).items())), "file")
    assert read_again.trial_id == trial().trial_id


def test_a_point_is_its_trials_without_the_seed() -> None:
    assert trial(seed=1).trial_id != trial(seed=2).trial_id
    assert trial(seed=1).point_id == trial(seed=2).point_id


def test_a_point_is_its_trials_without_the_draw_of_the_data() -> None:
    draws = [trial(task=TaskConfig(name="udpos", shots=4, draw_seed=draw)) for draw in (None, 0, 1)]
    assert len({config.trial_id for config in draws}) == 3
    assert len({config.point_id for config in draws}) == 1
    other = trial(task=TaskConfig(name="udpos", shots=4, sample_seed=1))
    assert other.point_id != draws[0].point_id


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "prompt_tuning"},
        {"options": {"prompt_length": 17, "projection": False}},
        {"selection": "target_dev"},
        {"training": TrainingConfig(learning_rate=1e-2, epochs=3, adam_epsilon=1e-6)},
        {"backbone": BackboneConfig(name="xlm-roberta-base", revision="abc")},
        {"task": TaskConfig(name="udpos", target_languages=("fr", "de"), max_train_examples=600)},
    ],
)
def test_whatever_can_change_a_result_changes_the_name(changes: dict[str, Any]) -> None:
    assert trial(**changes).trial_id != trial().trial_id
    assert trial(**changes).point_id != trial().point_id


def test_no_path_device_or_worker_is_part_of_a_trial() -> None:
    def names(value: Any) -> set[str]:
        if not isinstance(value, Mapping):
            return set()
        return set(value) | {name for inner in value.values() for name in names(inner)}

    elsewhere = {field.name for field in dataclasses.fields(Locations)}
    assert not names(to_json(trial())) & (elsewhere | {"resources", "workers", "gpu", "cpu"})


def test_numbers_are_spelt_alike_whether_written_whole_or_not() -> None:
    one = build(TrainingConfig, {"learning_rate": 1}, "file")
    other = build(TrainingConfig, {"learning_rate": 1.0}, "file")
    assert canonical_json(one) == canonical_json(other)


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_canonical_json_is_one_spelling_for_one_value(values: dict[str, Any]) -> None:
    text = canonical_json(values)
    assert text == canonical_json(dict(reversed(values.items())))
    assert json.loads(text) == values


def test_what_is_not_a_number_has_no_name() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"rate": float("nan")})
