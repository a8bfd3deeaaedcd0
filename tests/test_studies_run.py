"""Every study of tagging and of XGLM, run whole at toy size: tiny models, ten sentences, two updates a trial."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from spelling import spelling
from tiny_models import config_of

from tunekit import reports
from tunekit.backbone.architectures import ARCHITECTURES
from tunekit.backbone.loading import language_models
from tunekit.execution import Execution, run_sweep
from tunekit.journal import replay
from tunekit.methods.parts.label_words import ENTITIES, PARTS_OF_SPEECH
from tunekit.methods.parts.language_model_words import words_by_name
from tunekit.sweep import Source, parse_sweep
from tunekit.tasks.tagging import PANX_LABELS, UDPOS_LABELS

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(
    path
    for folder in ("papers", "ablations")
    for family in ("topro", "xglm")
    for path in (ROOT / "search_spaces" / folder).glob(f"{family}_*.yaml")
)
MODELS = {
    "google-bert/bert-base-multilingual-cased": "bert",
    "FacebookAI/xlm-roberta-base": "xlm-roberta",
    "google/mt5-base": "mt5",
    "facebook/xglm-564M": "xglm",
    "bigscience/bloomz-7b1": "bloom",
    "bigscience/mt0-xxl": "mt5",
}
LABELS: dict[str, tuple[str, ...]] = {
    "panx": PANX_LABELS,
    "udpos": UDPOS_LABELS,
    "xnli": ("contradiction", "entailment", "neutral"),
    "pawsx": ("0", "1"),
}
PLAIN = ("country", "company", "man", "group", "nothing", "red", "eat", "two", "blue", "run", "six", "the")
SMALL = {"epochs": 1, "updates_per_epoch": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten rows of each task in each split, in XTREME's layout, in every language that a study may ask for."""
    folder = tmp_path_factory.mktemp("xtreme")
    for task, labels in LABELS.items():
        (folder / task).mkdir()
        turn = itertools.cycle(labels)
        if task in ("panx", "udpos"):
            text = "\n".join("".join(f"{word}\t{next(turn)}\n" for word in ("man", "eat", "red")) for _ in range(10))
        else:
            text = "".join(f"the man\teat two\t{next(turn)}\n" for _ in range(10))
        for split, language in (("train", "en"), ("dev", "en"), ("test", "en"), ("test", "de"), ("test", "ar")):
            (folder / task / f"{split}-{language}.tsv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny random model of each architecture, whose tokenizer has all label words."""
    words = [*ENTITIES.values(), *PARTS_OF_SPEECH.values(), *PLAIN]
    for is_causal in (False, True):
        for named in words_by_name(UDPOS_LABELS, is_causal=is_causal).values():
            words += named.values()
    made = {}
    for architecture in sorted(set(MODELS.values())):
        folder = made[architecture] = tmp_path_factory.mktemp(architecture)
        tokenizer = spelling(architecture, words)
        size = {} if architecture in ("bloom", "mt5") else {"max_position_embeddings": 320}
        shape = config_of(architecture, vocab_size=len(tokenizer), **size)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            language_models[ARCHITECTURES[architecture].family].from_config(shape).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return made


def shrunk(content: dict[str, Any], data: Path, models: Mapping[str, Path]) -> dict[str, Any]:
    """The same study with tiny models, two languages, one point and two updates."""
    for block in _blocks(content):
        if "backbone" in block:
            name = block["backbone"] if isinstance(block["backbone"], str) else block["backbone"]["name"]
            block["backbone"] = {"name": f"tiny-{MODELS[name]}", "path": str(models[MODELS[name]])}
        if "task" in block:
            block["task"] |= {"target_languages": ["de" if "de" in block["task"]["target_languages"] else "ar"]}
            block["task"] |= {"data_dir": str(data)}
        for key in block.get("fixed", {}).keys() & SMALL.keys():
            block["fixed"][key] = SMALL[key] if block["fixed"][key] is not None else None
        if "batch_size" in block.get("space", {}):
            block["space"]["batch_size"] = [4]
            for point in block.get("enqueue", []):
                point.pop("batch_size", None)
    content["search"]["num_trials"] = 1
    content["finalise"]["seeds"] = content["seeds"] = [10]
    content["resources"] = {"cpu": 1}
    return content


def _blocks(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that may hold settings."""
    yield content
    yield from content["arms"].values()
    for protocol in content.get("protocols", {}).values():
        yield protocol
        yield from protocol.get("arms", {}).values()


CASES = [(path, None) for path in STUDIES] + [
    (path, "published") for path in STUDIES if "protocols:" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize(("path", "protocol"), CASES, ids=lambda value: getattr(value, "stem", value) or "default")
def test_a_study_runs_whole_and_its_report_names_the_protocol(
    path: Path, protocol: str | None, data: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    content = shrunk(yaml.safe_load(path.read_text(encoding="utf-8")), data, models)
    if protocol is not None:
        content["protocol"] = protocol
    sweep = parse_sweep({**content, "name": "toy"}, Source(str(path)))
    finish = run_sweep(sweep, tmp_path / "sweep", Execution(in_process=True))
    assert not finish.problems and finish.num_failed == 0
    record = replay(tmp_path / "sweep")
    assert {arm.name for arm in sweep.arms} == {t.arm for t in record.trials.values() if t.test_scores is not None}
    written = reports.write(record, tmp_path / "report")
    text = next(file for file in written if file.suffix == ".md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ") and ": test " in line]
    assert headings
    label = f"(protocol: {content['protocol']})" if "protocol" in content else "protocol"
    assert all((label in heading) == ("protocol" in content) for heading in headings)
