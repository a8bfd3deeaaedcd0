"""README's table of what serves what: up to date, true of the tiny models too, and every hole refused by a check."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import served_table
import test_methods
import yaml
from served_table import ARCHITECTURES, README, REMEDY, TASKS

from tunekit.check import check
from tunekit.errors import ConfigError
from tunekit.registry import METHODS
from tunekit.sweep import load_sweep

TINY = {"BERT": "bert", "XLM-R": "xlm-roberta", "XGLM": "xglm", "BLOOM": "bloom", "mT5": "mt5"}
TOYS = {"pair": "toy_pair", "token": "toy_tagging"}


def test_the_table_in_the_readme_is_what_the_methods_really_serve() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(served_table.BEGIN) == text.count(served_table.END) == 1
    assert text == served_table.written(text), f"out of date; rewrite it by: {REMEDY}"


def test_every_cell_of_the_table_is_held_to_the_contract_and_no_hole_is() -> None:
    holes = {(name, TINY[architecture], kind) for name, architecture, kind in served_table.holes()}
    cells = set(itertools.product(METHODS, TINY.values(), TASKS)) - holes
    assert set(test_methods.SERVED) == cells


@pytest.mark.parametrize(("name", "architecture", "kind"), served_table.holes())
def test_every_hole_is_refused_by_check_with_a_sentence(
    name: str, architecture: str, kind: str, tmp_path: Path
) -> None:
    backbone = ARCHITECTURES[architecture]
    content = {
        "task": {
            "name": TOYS[kind],
            "source_language": "evin",
            "max_train_examples": 20,
            "max_dev_examples": 20,
            "max_test_examples": 20,
        },
        "backbone": backbone,
        "arms": {"only": {"method": name}},
        "search": {"num_trials": 1},
    }
    path = tmp_path / "hole.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as refused:
        check(load_sweep(path))
    message = str(refused.value)
    assert f"arms.only.method: method {name} serves" in message, message
    assert f"{backbone!r} is" in message or f"{TOYS[kind]!r} is a {kind} task" in message, message
