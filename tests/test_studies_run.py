"""Every study of a paper and every ablation, run whole at toy size: tiny models, a few rows, two updates a trial."""

from __future__ import annotations

import itertools
import json
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
from tunekit.sweep import Sweep, load_sweep
from tunekit.tasks.tagging import PANX_LABELS, UDPOS_LABELS

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(
    path for folder in ("papers", "ablations") for path in (ROOT / "search_spaces" / folder).glob("*.yaml")
)
MODELS = {
    "google-bert/bert-base-multilingual-cased": "bert",
    "FacebookAI/xlm-roberta-base": "xlm-roberta",
    "google/mt5-base": "mt5",
    **{f"facebook/xglm-{size}": "xglm" for size in ("564M", "1.7B", "2.9B", "4.5B", "7.5B")},
    "bigscience/bloomz-7b1": "bloom",
    "bigscience/mt0-xxl": "mt5",
}
LABELS: dict[str, tuple[str, ...]] = {
    "panx": PANX_LABELS,
    "udpos": UDPOS_LABELS,
    "xnli": ("contradiction", "entailment", "neutral"),
    "pawsx": ("0", "1"),
}
ANSWERS = ("wrong", "right", "maybe")
"""The label words of soft prompts and of cloze questions about pairs."""
TARGETS = ("de", "ar", "zh")
PLAIN = ("country", "company", "man", "group", "nothing", "red", "eat", "two", "blue", "run", "six", "the")
SMALL: dict[str, Any] = {
    "epochs": 1,
    "updates_per_epoch": 2,
    "batch_size": 4,
    "layers": 1,
    "alignment_languages": ["de"],
    "alignment_batch_size": 2,
}
"""What becomes of these keys wherever a file sets them; what varies between arms stays as it is."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rows of each task in each split, in XTREME's layout, in every language that a study may ask for."""
    folder = tmp_path_factory.mktemp("xtreme")
    for task, labels in LABELS.items():
        (folder / task).mkdir()
        turn = itertools.cycle(labels)
        if task in ("panx", "udpos"):
            text = "\n".join("".join(f"{word}\t{next(turn)}\n" for word in ("man", "eat", "red")) for _ in range(10))
        else:
            pairs = itertools.islice(
                itertools.permutations(PLAIN, 2), 24
            )  # parallel text is more than what is held out
            text = "".join(f"the {one}\teat {other}\t{next(turn)}\n" for one, other in pairs)
        for split, languages in (
            ("train", ("en", "de", "zh")),
            ("dev", ("en", "de", "zh")),
            ("test", ("en", *TARGETS)),
        ):
            for language in languages:
                (folder / task / f"{split}-{language}.tsv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fixed few-shot draws of XNLI with 1 and 2 shots, translated."""
    folder = tmp_path_factory.mktemp("draws")
    for language, split, shots in itertools.product(("en", "de"), ("train", "dev"), (1, 2)):
        rows = [
            {"lang": language, "sentence1": "the man", "sentence2": "eat two", "gold": label}
            for label in LABELS["xnli"] * shots
        ]
        path = folder / language / f"{split}-{shots}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny random model of each architecture, whose tokenizer has all label words."""
    words = [*ENTITIES.values(), *PARTS_OF_SPEECH.values(), *ANSWERS, *PLAIN]
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
            given = {"name": block["backbone"]} if isinstance(block["backbone"], str) else block["backbone"]
            name = given["name"]
            block["backbone"] = {**given, "name": f"tiny-{name.rpartition('/')[2]}", "path": str(models[MODELS[name]])}
        if "task" in block:
            targets = [name for name in TARGETS if name in block["task"]["target_languages"]]
            block["task"] |= {"target_languages": targets[:1], "data_dir": str(data)}
        if "shots" in block:
            block["shots"] = [1, 2]
        fixed = block.get("fixed", {})
        for key in fixed.keys() & SMALL.keys():
            fixed[key] = SMALL[key] if fixed[key] is not None else None
        for key in fixed.keys() & {"alignment_size", "alignment_updates"}:  # what differs must go on to differ
            fixed[key] = int(fixed[key] ** 0.3)
        if block.get("method") == "pct":  # its own words are numbers of XLM-R's vocabulary
            block["fixed"] = {**fixed, "verbalizer": dict(zip(LABELS["xnli"], ANSWERS, strict=True))}
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


CASES = [
    (path, protocol)
    for path in STUDIES
    for protocol in yaml.safe_load(path.read_text(encoding="utf-8")).get("protocols", {None: {}})
]


def run(content: dict[str, Any], folder: Path, *overrides: str) -> tuple[Sweep, str]:
    """Run a whole sweep, each of whose arms must end on test; gives also the text of its report."""
    file = folder / "toy.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    sweep = load_sweep(file, overrides=list(overrides))
    finish = run_sweep(sweep, folder / "sweep", Execution(in_process=True))
    assert not finish.problems and finish.num_failed == 0
    record = replay(folder / "sweep")
    assert {arm.name for arm in sweep.arms} == {t.arm for t in record.trials.values() if t.test_scores is not None}
    written = reports.write(record, folder / "report")
    return sweep, next(file for file in written if file.suffix == ".md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("path", "protocol"), CASES, ids=lambda value: getattr(value, "stem", value) or "default")
def test_a_study_runs_whole_and_its_report_names_the_protocol(
    path: Path, protocol: str | None, data: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    content = shrunk(yaml.safe_load(path.read_text(encoding="utf-8")), data, models)
    if "references" in content:  # their paths are relative to the study's own folder
        content["references"] = str(path.parent / content["references"])
    sweep, text = run(content, tmp_path, *([] if protocol is None else [f"protocol={protocol}"]))
    headings = [line for line in text.splitlines() if line.startswith("## ") and ": test " in line]
    assert headings
    label = "protocol" if protocol is None else f"(protocol: {protocol})"
    assert all((label in heading) == (protocol is not None) for heading in headings)
    if path.parent.name == "ablations" and path.stem.startswith("xglm_"):
        assert {arm.task.name for arm in sweep.arms} == LABELS.keys(), "each ablation ran on all of the paper's tasks"


@pytest.mark.parametrize("file", ["papers/mpt_xnli.yaml", "ablations/mpt_corpus.yaml", "fewshot_nli.yaml"])
def test_a_few_shot_study_runs_on_the_fixed_draws_too(
    file: str, data: Path, draws: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """As the files' heads say: ``--set task.draw=files --set task.fewshot_dir=DIR``."""
    content = yaml.safe_load((ROOT / "search_spaces" / file).read_text(encoding="utf-8"))
    content["backbone"] = "FacebookAI/xlm-roberta-base"
    content = shrunk(content, data, models)
    for arm in content["arms"].values():
        if arm.get("fixed", {}).get("alignment") == "pawsx":
            arm["fixed"] |= {"alignment": "fewshot", "alignment_size": None}
    sweep, _ = run(content, tmp_path, "task.draw=files", f"task.fewshot_dir={draws}")
    assert {arm.task.shots for arm in sweep.arms} == {1, 2}


@pytest.mark.parametrize("kind", ["token", "pair"])
def test_a_study_of_xglm_runs_on_a_task_of_ones_own(
    kind: str, data: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """The paper's open question of other tasks, as the README says it."""
    given = "udpos" if kind == "token" else "xnli"
    path = ROOT / "search_spaces" / "papers" / f"xglm_{given}.yaml"
    content = shrunk(yaml.safe_load(path.read_text(encoding="utf-8")), data, models)
    del content["task"]["data_dir"]
    files = data / given / "{split}-{language}.tsv"
    own = ["task.name=mine", f"task.kind={kind}", f"task.files={files}", "task.target_languages=[ar]"]
    sweep, text = run(content, tmp_path, *own)
    assert {arm.task.name for arm in sweep.arms} == {"mine"}
    assert "mine: test" in text
