"""Protocols of a sweep file: one is chosen, changes what it names, and is named in what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import JournalBuilder, definition

from tunekit.errors import ConfigError
from tunekit.reports.render.markdown import render
from tunekit.reports.results import read
from tunekit.sweep import Source, Sweep, load_sweep, parse_sweep

PROTOCOLS: dict[str, Any] = {
    "equal": None,
    "published": {
        "fixed": {"updates_per_epoch": None},
        "arms": {"topro": {"fixed": {"epochs": 10}, "space": {"learning_rate": [1.0e-5]}}},
        "finalise": {"seeds": [7]},
    },
}
CONTENT: dict[str, Any] = {
    "task": {"name": "udpos", "target_languages": ["de"]},
    "backbone": "mini",
    "arms": {"finetune": {"method": "finetune"}, "topro": {"method": "topro", "fixed": {"batch_size": 32}}},
    "fixed": {"epochs": 5, "updates_per_epoch": 100},
    "space": {"learning_rate": {"low": 1.0e-6, "high": 1.0e-4}},
    "finalise": {"top": 2, "seeds": [1, 2]},
    "protocol": "equal",
    "protocols": PROTOCOLS,
}


def load(tmp_path: Path, *overrides: str, **changes: Any) -> Sweep:
    path = tmp_path / "study.yaml"
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value != "left out"}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_sweep(path, overrides=overrides)


def test_the_chosen_protocol_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    equal, published = load(tmp_path), load(tmp_path, "protocol=published")
    assert equal.protocol == "equal" and published.protocol == "published"
    assert equal.arm("topro").fixed == {"epochs": 5, "updates_per_epoch": 100, "batch_size": 32}
    assert published.arm("topro").fixed == {"epochs": 10, "updates_per_epoch": None, "batch_size": 32}
    assert published.arm("finetune").fixed == {"epochs": 5, "updates_per_epoch": None}
    assert [d.choices for d in published.arm("topro").space] == [(1e-5,)]
    assert published.arm("finetune").space == equal.arm("finetune").space
    assert (published.finalise.top, published.finalise.seeds) == (2, (7,))


def test_two_protocols_of_a_file_have_two_names_unless_a_name_is_given(tmp_path: Path) -> None:
    names = [load(tmp_path, *more).name for more in ((), ("protocol=published",), ("name=mine", "protocol=published"))]
    assert names == ["study-equal", "study-published", "mine"]


def test_the_command_line_wins_over_a_protocol(tmp_path: Path) -> None:
    sweep = load(tmp_path, "protocol=published", "fixed.updates_per_epoch=7", "arms.topro.fixed.epochs=3")
    assert sweep.arm("topro").fixed["updates_per_epoch"] == 7
    assert sweep.arm("topro").fixed["epochs"] == 3


@pytest.mark.parametrize("more", [(), ("protocol=published",), ("protocol=published", "fixed.updates_per_epoch=7")])
def test_a_resolved_sweep_read_again_is_the_same(tmp_path: Path, more: tuple[str, ...]) -> None:
    sweep = load(tmp_path, *more)
    again = parse_sweep(sweep.definition, Source("again"))
    assert again == sweep
    assert "protocols" not in sweep.definition


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "publishd"}, r"study.yaml:\d+: protocol: 'publishd' is not one of `protocols`; .*published"),
        ({"protocol": "left out"}, "protocols: none is chosen; write `protocol:` with one of equal, published"),
        ({"protocol": 3}, "protocol: expected a name, got 3"),
        ({"protocols": {}}, "protocols: expected `name: {what differs}`"),
        ({"protocols": {"equal": {"seed": 3}}}, "protocols.equal.seed: unknown key 'seed'"),
        ({"protocols": {"equal": {"task": {"name": "panx"}}}}, "protocols.equal.task: unknown key 'task'"),
        ({"protocols": {"equal": {"arms": {"toprow": {}}}}}, "unknown key 'toprow'.*topro"),
        ({"protocols": {"equal": {"arms": {"topro": {"method": "icl"}}}}}, "unknown key 'method'"),
        ({"protocols": {"equal": {"fixed": {"epoch": 3}}}}, "no arm has a parameter 'epoch'"),
        ({"protocols": {"equal": None, "other": {"arms": {"nobody": {}}}}}, "unknown key 'nobody'"),
    ],
)
def test_a_protocol_that_cannot_be_is_one_clear_error(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **changes)


@pytest.mark.parametrize("protocol", [None, "published"])
def test_a_report_names_the_protocol_at_its_top_and_over_every_table(tmp_path: Path, protocol: str | None) -> None:
    builder = JournalBuilder(tmp_path, definition(**({"protocol": protocol} if protocol else {})))
    builder.finalised("finetune", {"learning_rate": 1e-3}, {10: (0.8, {"en": 0.8, "de": 0.6, "zh": 0.5})})
    text = render(read(builder.record))
    (heading,) = (line for line in text.splitlines() if line.startswith("## ") and ": test " in line)
    assert heading.endswith(" (protocol: published)") == (protocol is not None)
    assert ("Protocol: **published**." in text) == (protocol is not None)


def test_protocols_may_be_named_by_numbers(tmp_path: Path) -> None:
    numbered = {2023: None, 2024: {"fixed": {"epochs": 3}}}
    assert load(tmp_path, protocols=numbered, protocol="2024").arms[0].fixed["epochs"] == 3
    for chosen, said in (("left out", "none is chosen.*2023, 2024"), ("2025", "'2025' is not one of")):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path, protocols=numbered, protocol=chosen)
