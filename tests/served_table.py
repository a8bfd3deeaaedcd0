"""Which method serves which backbones and kinds of task, found by making each of them; and README's table of it.

python tests/served_table.py           print the table
python tests/served_table.py --write   put it into README.md
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tunekit import methods
from tunekit.backbone import Backbone, describe
from tunekit.check.absent import stand_in
from tunekit.errors import ConfigError
from tunekit.methods import Method
from tunekit.registry import METHODS, lookup
from tunekit.tasks import ParallelPair, ParallelText
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

README = Path(__file__).resolve().parents[1] / "README.md"
REMEDY = "python tests/served_table.py --write"
BEGIN, END = f"<!-- made by: {REMEDY} -->\n", "<!-- end of what is made -->\n"

ARCHITECTURES = {
    "BERT": "google-bert/bert-base-multilingual-cased",
    "XLM-R": "FacebookAI/xlm-roberta-base",
    "XGLM": "facebook/xglm-564M",
    "BLOOM": "bigscience/bloom-560m",
    "mT5": "google/mt5-small",
}
"""A backbone of each, of the shapes that tunekit knows by heart."""
TASKS = {"pair": "xnli", "token": "udpos"}


class AnyText(ParallelText):
    """Parallel text in whatever language."""

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """One pair."""
        return (ParallelPair(("word", "word"), ("word", "word")),)


@cache
def empty_backbone(architecture: str) -> Backbone:
    """Without weights and tokenizer."""
    return describe(BackboneConfig(name=ARCHITECTURES[architecture]), Locations())


def refusal(name: str, architecture: str, kind: str) -> str | None:
    """Why a method with its default options cannot serve a task of this kind on this architecture; None if it can."""
    config, nowhere = TaskConfig(name=TASKS[kind], target_languages=("de",)), Locations()
    task = stand_in(config, nowhere)
    task.parallel_text = AnyText(config, nowhere)
    backbone = empty_backbone(architecture)
    trial = TrialConfig(
        task=config,
        backbone=BackboneConfig(name=backbone.name),
        method=name,
        training=TrainingConfig(**methods.method_class(name).training_defaults()),
        seed=0,
    )
    try:
        methods.build(trial, backbone=backbone, task=task)
    except ConfigError as error:
        return str(error)
    return None


def holes() -> list[tuple[str, str, str]]:
    """Method, architecture and kind of task that do not go together."""
    every = ((name, architecture, kind) for name in METHODS for architecture in ARCHITECTURES for kind in TASKS)
    return [cell for cell in every if refusal(*cell) is not None]


def table() -> str:
    """The table in Markdown."""
    head = ["method", "what it is", *ARCHITECTURES]
    lines = [head, ["---"] * len(head), *map(list, _rows())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _rows() -> Iterator[tuple[str, ...]]:
    refused = set(holes())
    for name in METHODS:
        cells = [
            ", ".join(kind for kind in TASKS if (name, architecture, kind) not in refused) or "–"
            for architecture in ARCHITECTURES
        ]
        yield (f"`{name}`", _described(lookup("method", name)), *cells)


def _described(cls: type[Method]) -> str:
    """The first line of the class's docstring, and the paper that its module names."""
    line = (inspect.getdoc(cls) or "").partition("\n")[0].rstrip(".")
    paper = re.search(r"arXiv:(\d{4}\.\d{5})", sys.modules[cls.__module__].__doc__ or "")
    return f"{line} ([{paper[1]}](https://arxiv.org/abs/{paper[1]}))" if paper else line


def written(readme: str) -> str:
    """`readme` with the table as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table(), end="")
