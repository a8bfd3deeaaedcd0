"""Whatever is wrong is one clear error, exit code 2, before anything is started or written.

Every case goes through the command line's own door. A message names file, line or key, the value, and what is right.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from command_line import SWEEP, CommandLine, Result

from tunekit.errors import TunekitError
from tunekit.journal import replay
from tunekit.methods.finetune import Finetune
from tunekit.storage import read_json

OWN = 'task: {name: mine, kind: token, files: "data/{split}.{language}.tsv", target_languages: [xx]}'
WORLD = SWEEP.splitlines()[0]
XTREME = "task: {name: udpos, data_dir: xtreme, target_languages: [de]}"
RATE = "learning_rate: {low: 1.0e-4, high: 3.0e-2, log: true}"
TAGGED = "Ada\tB-PER\nis\tO\nin\tO\nRome\tB-LOC\n"
SENTENCES = "w1\tA\nw2\tB\n\nw3\tC\n"


class PairsOnly(Finetune):
    """A method that serves no tagging task."""

    kinds = frozenset({"pair"})


@pytest.fixture
def tunekit(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbone: Path
) -> Iterator[CommandLine]:
    """The command line in a fresh folder that holds a backbone, files of one's own and an XTREME layout."""
    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(backbone)
    for folder in ("data", "xtreme/udpos"):
        Path(folder).mkdir(parents=True)
    for name in ("train.en", "dev.en", "test.en", "test.xx"):
        Path(f"data/{name}.tsv").write_text(SENTENCES)
    for name in ("train-en", "dev-en", "test-en", "test-de"):
        Path(f"xtreme/udpos/{name}.tsv").write_text("w1\tNOUN\nw2\tVERB\n\nw3\tADJ\n")
    Path("torn_method.py").write_text("# mine\nclass Own(:\n")
    Path("ending_method.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield CommandLine(capfd, monkeypatch)
    assert not Path("runs").exists(), "something was started or written"


def is_one_clear_error(result: Result, *parts: str) -> None:
    assert result.code == 2, result
    assert "Traceback" not in result.out + result.err
    assert result.err.startswith("error: ")
    assert len(result.err.splitlines()) <= 2, "one line, and perhaps where to read on"
    assert len(result.err) < 2000
    for part in parts:
        assert part in result.err


@dataclass(frozen=True)
class Wrong:
    """The tiny world's sweep file with `old` replaced by `new`, and parts of the message it must give."""

    old: str
    new: str
    parts: tuple[str, ...]


def wrong(old: str, new: str, *parts: str) -> Wrong:
    return Wrong(old, new, parts)


CONTENT = {
    "an unknown key": wrong("search:", "serach:", "words.yaml:11: serach: unknown key 'serach'", "mean 'search'?"),
    "an unknown key of an arm": wrong("    space", "    spcae", "words.yaml:6: arms.finetune.spcae", "mean 'space'?"),
    "an unknown key of a range": wrong(
        "{low: 2,", "{lwo: 2,", "words.yaml:9: arms.ptuning_v2.space.prompt_length: unknown key 'lwo'", "mean 'low'?"
    ),
    "an unknown key of a block": wrong(
        "num_trials", "num_trails", "words.yaml:11: search.num_trails: unknown key", "mean 'num_trials'?"
    ),
    "a parameter that no arm has": wrong(
        "{epochs: 2", "{epoch: 2", "words.yaml:10: fixed.epoch: no arm has a parameter 'epoch'", "mean 'epochs'?"
    ),
    "a parameter that this arm does not have": wrong(
        "batch_size: [4, 8]",
        "prompt_length: [4, 8]",
        "words.yaml:6: arms.finetune.space.prompt_length: unknown parameter 'prompt_length'",
    ),
    "a word for a number": wrong(
        "epochs: 2", "epochs: two", "words.yaml:10: fixed.epochs: expected a whole number, got 'two' (str)"
    ),
    "a fraction for a whole number": wrong("epochs: 2", "epochs: 2.5", "words.yaml:10: fixed.epochs", "2.5 (float)"),
    "a number in quotes": wrong("epochs: 2", "epochs: '2'", "words.yaml:10: fixed.epochs", "drop the quotes"),
    "a list for a value": wrong(
        "epochs: 2", "epochs: [1, 2]", "words.yaml:10: fixed.epochs", "what is searched goes under `space`"
    ),
    "yes for a number": wrong("epochs: 2", "epochs: yes", "words.yaml:10: fixed.epochs", "got True (bool)"),
    "1e-4 in a range": wrong(
        "low: 1.0e-4",
        "low: 1e-4",
        "words.yaml:6: arms.finetune.space.learning_rate.low: expected a number, got '1e-4' (str)",
        "YAML reads 1e-4 as text: write 1.0e-4",
    ),
    "1e-4 as a fixed value": wrong(
        "epochs: 2", "learning_rate: 1e-4", "words.yaml:10: fixed.learning_rate", "write 1.0e-4"
    ),
    "Norwegian": wrong(
        "[xx]", "[xx, no]", "words.yaml:1: task.target_languages[1]", "False (bool)", "put the word in quotes"
    ),
    "a word for a list": wrong("[xx]", "xx", "words.yaml:1: task.target_languages: expected a list, got 'xx'"),
    "the source language among the targets": wrong(
        "[xx]", "[xx, en]", "words.yaml:1: task.target_languages: 'en' is named twice"
    ),
    "an unknown method": wrong(
        "method: finetune", "method: fintune", "words.yaml:5: arms.finetune.method", "mean 'finetune'?", "ptuning_v2"
    ),
    "a method that cannot be imported": wrong(
        "method: finetune",
        'method: "nowhere.at:All"',
        "words.yaml:5: arms.finetune.method",
        "No module named 'nowhere'",
    ),
    "a method that is none": wrong(
        "method: finetune", 'method: "json:dumps"', "words.yaml:5: arms.finetune.method", "which is no Method"
    ),
    "no method": wrong("    method: finetune\n", "", "words.yaml:4: arms.finetune: missing key 'method'"),
    "a method that does not serve the task": wrong(
        "method: finetune",
        'method: "test_bad_input:PairsOnly"',
        "words.yaml:5: arms.finetune.method",
        "serves pair tasks; 'fakes:load_words' is a token task",
    ),
    "an unknown task": wrong(WORLD, "task: {name: udpso}", "words.yaml:1: task: unknown task 'udpso'", "mean 'udpos'?"),
    "a task that is a command of the system": wrong(
        "fakes:load_words", "os:system", "words.yaml:1: task", "a function (TaskConfig, Locations) -> Task"
    ),
    "a task that deletes folders": wrong("fakes:load_words", "shutil:rmtree", "words.yaml:1: task", "makes no task"),
    "a method whose module is no Python": wrong(
        "method: finetune", 'method: "torn_method:Own"', "words.yaml:5: arms.finetune.method", "torn_method.py:2: "
    ),
    "a method whose module ends the process": wrong(
        "method: finetune", 'method: "ending_method:Own"', "words.yaml:5", "ending_method.py:1: SystemExit: 0"
    ),
    "hours and minutes": wrong(
        "seeds: [10]\n", "budget: {hours: 1:30}\n", "words.yaml:12: budget.hours", "1:30 as 90", "1.5 if hours"
    ),
    "an octal number": wrong("epochs: 2", "epochs: 010", "words.yaml:10: fixed.epochs", "010 as 8", "write 8, 10"),
    "a number of 400 digits": wrong("epochs: 2", f"epochs: {'9' * 400}", "words.yaml:10: fixed.epochs", "is too large"),
    "a number of 10,000 digits": wrong("epochs: 2", f"epochs: {'9' * 10_000}", "words.yaml:10: fixed", "is too large"),
    "an alias that holds itself": wrong("[4, 8]", "&a [4, *a]", "words.yaml:6: not valid YAML", "contains itself"),
    "a template of a megabyte": wrong("epochs: 2", f"epochs: {'x' * 10**6}", "words.yaml:10: fixed.epochs: expected"),
    "a backbone with a long name": wrong("backbone: tiny", f"backbone: {'x' * 300}", "words.yaml:2: backbone"),
    "a folder with a long name": wrong(
        "[xx]}", f"[xx], data_dir: a/{'x' * 300}}}", "words.yaml:1: task.data_dir", "a part longer than 255 bytes"
    ),
    "a task that cannot be imported": wrong(
        "fakes:load_words", "fakes:load_wrods", "words.yaml:1: task", "has no attribute 'load_wrods'"
    ),
    "an unknown searcher": wrong(
        "searcher: random", "searcher: randm", "words.yaml:11: search.searcher: 'randm'", "mean 'random'?"
    ),
    "an unknown scheduler": wrong(
        "seeds: [10]\n", "scheduler: {name: ahsa}\n", "words.yaml:12: scheduler.name: 'ahsa'", "mean 'asha'?"
    ),
    "no trials": wrong("num_trials: 2", "num_trials: 0", "words.yaml:11: search.num_trials", "must be at least 1"),
    "a negative batch size": wrong(
        "[4, 8]", "[-4, 8]", "words.yaml:6: arms.finetune.space.batch_size: batch_size is -4, must be at least 1"
    ),
    "a negative batch size for all": wrong(
        "epochs: 2", "batch_size: -4", "words.yaml:10: fixed.batch_size: arm 'ptuning_v2': batch_size is -4"
    ),
    "an end of a range that the method refuses": wrong(
        "batch_size: [4, 8]",
        "head_dropout: {low: 0.0, high: 1.5}",
        "words.yaml:6: arms.finetune.space.head_dropout: head_dropout is 1.5, must be from 0 to below 1",
    ),
    "a range upside down": wrong("{low: 2, high: 8}", "{low: 8, high: 2}", "words.yaml:9", "must be less than"),
    "a grid of a range without steps": wrong("searcher: random", "searcher: grid", "words.yaml:4", "`step`"),
    "seeds twice": wrong("seeds: [10]\n", "seeds: [10, 10]\n", "words.yaml:12: seeds", "none repeated"),
    "a setting outside of its space": wrong(
        "    space: {prompt", "    enqueue: [{prompt_length: 9}]\n    space: {prompt", "prompt_length: 9 lies outside"
    ),
    "a key twice": wrong(
        "seeds: [10]\n", "seeds: [10]\nseeds: [42]\n", "words.yaml:13: key 'seeds'", "second time (first in line 12)"
    ),
    "a file that breaks off": wrong(
        SWEEP[SWEEP.index("{low: 2,") :], "{low: 2,", "words.yaml:9:", "not valid YAML", "is the end missing?"
    ),
    "a tab": wrong("    method: finetune", "\tmethod: finetune", "words.yaml:5:1: not valid YAML"),
    "an empty file": wrong(SWEEP, "", "words.yaml: expected keys and values, found nothing"),
    "a list": wrong(SWEEP, "- a\n", "words.yaml: expected keys and values, found a list"),
    "one configuration instead of a sweep": wrong(
        SWEEP, "method: finetune\ntraining: {}\n", "run it by: tunekit trial words.yaml"
    ),
    "a prompt and a text longer than the positions": wrong(
        "high: 8}",
        "high: 60}",
        "words.yaml:9: arms.ptuning_v2.space.prompt_length: prompt_length + max_length is 60 + 16 = 76",
        "'tiny' has 64 positions",
        "prompt_length at most 48",
    ),
    "a text longer than the positions": wrong(
        "max_length: 16", "max_length: 512", "words.yaml:10: fixed.max_length", "is 512, must be at most 64"
    ),
    "a text too short to be one": wrong("max_length: 16", "max_length: 4", "words.yaml:10", "max_length is 4"),
    "a share of several GPUs": wrong("seeds: [10]\n", "resources: {gpu: 1.5}\n", "words.yaml:12: resources.gpu"),
    "a size in other units": wrong("seeds: [10]\n", "resources: {memory: 8 GB}\n", "words.yaml:12", "'8 GB'", "GiB"),
    "a budget that is not a trial each": wrong("seeds: [10]\n", "budget: {trials: 1}\n", "words.yaml:12: budget"),
    "no such folder of a backbone": wrong("backbone: tiny", "backbone: ./tyni", "words.yaml:2: backbone: no folder"),
    "no such number format": wrong(
        "backbone: tiny", "backbone: {name: tiny, dtype: fp16}", "words.yaml:2: backbone.dtype: 'fp16'", "mean 'bf16'?"
    ),
    "a hub that cannot be reached": wrong(
        "backbone: tiny", "backbone: no/such", "words.yaml:2: backbone", "'no/such'", "can the hub be reached?"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTENT.values(), ids=CONTENT)
def test_what_is_wrong_in_a_sweep_file_is_named_before_anything_starts(case: Wrong, tunekit: CommandLine) -> None:
    assert SWEEP.count(case.old) >= 1
    Path("words.yaml").write_text(SWEEP.replace(case.old, case.new, 1))
    is_one_clear_error(tunekit("sweep", "words.yaml"), *case.parts)


@dataclass(frozen=True)
class Broken:
    """A task line, what is written over its files (None deletes one), and parts of the message that must follow."""

    task: str
    files: dict[str, str | bytes | None]
    parts: tuple[str, ...] = field(default=())


DATA = {
    "labels of dev most of which train lacks": Broken(
        OWN,
        {"data/dev.en.tsv": "w1\tA\nw2\tD\nw3\tE\n"},
        ("data/dev.en.tsv:2: label 'D' never occurs in train, nor do most labels of this split", "dev.en.tsv:3)"),
    ),
    "labels of a target's test all of which train lacks": Broken(
        OWN, {"data/test.xx.tsv": "w1\tX\n\nw2\tD\n"}, ("data/test.xx.tsv:1: label 'X' never occurs in train",)
    ),
    "a label of train that the task does not have": Broken(
        XTREME,
        {"xtreme/udpos/train-en.tsv": "w0\tVERB\nw1\tNUON\n"},
        ("train-en.tsv:2: label 'NUON' is not a label of udpos", "did you mean 'NOUN'?"),
    ),
    "a label that differs in case": Broken(
        OWN, {"data/test.xx.tsv": "w1\tA\n\nw2\tb\n"}, ("data/test.xx.tsv:3: label 'b' differs from 'B' only in",)
    ),
    "a mark of a missing label": Broken(
        OWN, {"data/dev.en.tsv": "w1\tA\nw2\t_\n"}, ("dev.en.tsv:2: label '_' says that there is no label", "drop")
    ),
    "a small o among entity tags": Broken(
        OWN, {"data/train.en.tsv": TAGGED.replace("O\n", "o\n", 1)}, ("train.en.tsv:2: label 'o' is nearly O",)
    ),
    "a word glued to its tag": Broken(
        OWN,
        {"data/train.en.tsv": TAGGED.replace("Rome\tB-LOC", "in\tRomeB-LOC")},
        ("train.en.tsv:4: label 'RomeB-LOC' is no entity tag", "the word 'Rome' glued to its tag 'B-LOC'"),
    ),
    "f1 of labels that are no entities": Broken(
        OWN.replace("kind:", "metric: f1, kind:"), {}, ("metric is f1, which counts entities", "metric: accuracy")
    ),
    "a scheme that the labels do not follow": Broken(
        OWN.replace("kind:", "scheme: bilou, kind:"),
        {"data/train.en.tsv": TAGGED.replace("B-LOC", "S-LOC")},
        ("train.en.tsv:4: label 'S-LOC' has a mark that scheme bilou has not", "bioes BEIS"),
    ),
    "an empty file": Broken(OWN, {"data/train.en.tsv": ""}, ("data/train.en.tsv: the file holds no examples",)),
    "a file of blank lines": Broken(OWN, {"data/test.xx.tsv": "\n\n"}, ("data/test.xx.tsv: the file holds no",)),
    "a broken line": Broken(
        OWN, {"data/train.en.tsv": "w1\tA\nw2\n"}, ("data/train.en.tsv:2: 1 column in 'w2', must be 2",)
    ),
    "bytes that are no text": Broken(
        OWN, {"data/train.en.tsv": b"w1\tA\n\xff\tB\n"}, ("data/train.en.tsv:2: byte 0xff is not UTF-8",)
    ),
    "a missing file": Broken(OWN, {"data/dev.en.tsv": None}, ("no dev data in 'en'",)),
    "a language without files": Broken(
        OWN.replace("[xx]", "[xx, yy]"),
        {},
        ("words.yaml:1: task: arm 'finetune': mine: unknown language 'yy'", "en, xx"),
    ),
    "an unknown language": Broken(
        XTREME.replace("[de]", "[dee]"), {}, ("udpos: unknown language 'dee'; did you mean 'de'?",)
    ),
    "a language that the hub lacks": Broken(
        "task: {name: xnli, target_languages: [xx]}", {}, ("xnli: unknown language 'xx'", "ar, bg, de")
    ),
    "a missing folder": Broken(XTREME.replace("xtreme", "xtrem"), {}, ("data_dir: no folder", "<split>-<language>")),
    "files without a kind": Broken(OWN.replace("kind: token, ", ""), {}, ("unknown task 'mine'", "add `kind: token`")),
    "a kind without files": Broken("task: {name: mine, kind: token}", {}, ("files must say where its files are",)),
    "an unknown kind": Broken(OWN.replace("token", "tokens"), {}, ("task.kind: 'tokens'", "mean 'token'?")),
    "an unknown metric": Broken(
        OWN.replace("kind:", "metric: acc, kind:"), {}, ("metric is 'acc'", "did you mean 'accuracy'?")
    ),
    "a pattern without a place for the split": Broken(OWN.replace("{split}", "all"), {}, ("has no {split}",)),
    "more shots than there are": Broken(
        'task: {name: mine, kind: pair, files: "data/{split}.{language}.tsv", shots: 2}',
        {f"data/{split}.en.tsv": "a\tb\tyes\nc\td\tyes\ne\tf\tno\n" for split in ("train", "dev", "test")},
        ("shots is 2, but in mine train of 'en' 'no' has 1; take at most 1 shots",),
    ),
}


@pytest.mark.parametrize("case", DATA.values(), ids=DATA)
def test_what_is_wrong_in_the_data_is_named_before_anything_starts(case: Broken, tunekit: CommandLine) -> None:
    for name, content in case.files.items():
        if content is None:
            Path(name).unlink()
        else:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    Path("words.yaml").write_text(SWEEP.replace(WORLD, case.task))
    is_one_clear_error(tunekit("sweep", "words.yaml"), "words.yaml:1: task", *case.parts)


@pytest.mark.parametrize("family", ["gpt2", "t5", "llama"])
def test_a_backbone_that_no_method_can_serve_is_refused(family: str, tunekit: CommandLine) -> None:
    Path(family).mkdir()
    Path(family, "config.json").write_text(json.dumps({"model_type": family}))
    Path("words.yaml").write_text(SWEEP.replace("backbone: tiny", f"backbone: ./{family}"))
    parts = ("words.yaml:2: backbone", f"architecture '{family}', which is not supported", "bert, bloom")
    is_one_clear_error(tunekit("sweep", "words.yaml"), *parts)


@pytest.mark.parametrize(
    ("lacking", "part"),
    [
        ("config.json", "has no config.json"),
        ("*.safetensors", "holds no weights"),
        ("token*", "holds no tokenizer"),
        ("*", "has no config.json (it holds: nothing)"),
    ],
)
def test_a_folder_that_lacks_a_part_of_a_backbone_is_refused(
    lacking: str, part: str, tunekit: CommandLine, backbone: Path
) -> None:
    shutil.copytree(backbone, "torn", ignore=shutil.ignore_patterns(lacking))
    Path("words.yaml").write_text(SWEEP.replace("backbone: tiny", "backbone: ./torn"))
    is_one_clear_error(tunekit("sweep", "words.yaml"), "words.yaml:2: backbone", part)


WORDS = {
    "no such file": ("sweep words.yml", "words.yml: no such file"),
    "a folder for a file": ("sweep tiny", "tiny: is a folder"),
    "an override without a value": ("sweep words.yaml --set nonsense", "--set 'nonsense': expected KEY=VALUE"),
    "an override without a key": ("sweep words.yaml --set =3", "--set '=3': expected KEY=VALUE"),
    "an override of an unknown key": (
        "sweep words.yaml --set search.num_trails=3",
        "--set 'search.num_trails=3': search.num_trails: unknown key 'num_trails'; did you mean 'num_trials'?",
    ),
    "an override below a value": ("sweep words.yaml --set seeds.a=3", "--set 'seeds.a=3': 'seeds' is [10]"),
    "an override that is no YAML": ("sweep words.yaml --set seeds=[1", "--set 'seeds=[1': '[1' is not valid YAML"),
    "an override with 1e-4": ("sweep words.yaml --set fixed.learning_rate=1e-4", "write 1.0e-4"),
    "an override out of range": ("sweep words.yaml --set fixed.epochs=0", "--set 'fixed.epochs=0': fixed.epochs"),
    "no trials": ("sweep words.yaml --trials 0", "--trials is 0, must be at least 1"),
    "no workers": ("sweep words.yaml --workers 0", "--workers is 0, must be at least 1"),
    "a word for a number": ("sweep words.yaml --trials two", "--trials"),
    "workers in one process": (
        "sweep words.yaml --in-process --workers 2",
        "--workers has no effect with --in-process",
    ),
    "a cluster in one process": ("sweep words.yaml --in-process --address auto", "--address has no effect"),
    "a name that is no folder": ("sweep words.yaml --name a/b", "'a/b' cannot name a folder"),
    "a file for a root": ("sweep words.yaml --in-process --root words.yaml", "--root words.yaml is a file"),
    "an unknown command": ("swep words.yaml", "Did you mean 'sweep'?"),
    "an unknown option": ("sweep words.yaml --trails 3", "--trails"),
    "no file": ("sweep", "Missing argument 'FILE'"),
    "an unknown list": ("list method", "cannot list 'method'; did you mean 'methods'?"),
    "a configuration that is missing": ("trial best.yaml", "best.yaml: no such file"),
    "a sweep instead of one configuration": ("trial words.yaml", "run it with: tunekit sweep words.yaml"),
    "an unknown sweep to resume": ("resume wrods", "no sweep 'wrods'; there are none under runs"),
    "an unknown sweep to report": ("report wrods", "no sweep 'wrods'"),
    "an unknown sweep to show": ("status wrods", "no sweep 'wrods'"),
    "an unknown sweep to take the best of": ("best wrods", "no sweep 'wrods'"),
    "an unknown sweep to look into": ("dashboard wrods", "no sweep 'wrods'"),
}


@pytest.mark.parametrize(("words", "part"), WORDS.values(), ids=WORDS)
def test_what_is_wrong_on_the_command_line_is_named(words: str, part: str, tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP)
    is_one_clear_error(tunekit(*words.split()), part)


@pytest.mark.parametrize("words", ["check words.yaml", "sweep words.yaml --dry-run", "sweep words.yaml --in-process"])
def test_each_command_that_reads_a_sweep_file_refuses_it_alike(words: str, tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("high: 8}", "high: 60}"))
    is_one_clear_error(tunekit(*words.split()), "words.yaml:9: arms.ptuning_v2.space.prompt_length", "= 76")


CONFIGURATION = {
    "method": "finetune",
    "task": {"name": "fakes:load_words"},
    "backbone": {"name": "tiny"},
    "training": {"epochs": 1, "max_length": 16},
    "seed": 1,
    "locations": {"backbone_path": "tiny"},
}

TRIALS = {
    "an unknown key": ({"sede": 1}, "one.yaml: unknown key 'sede'; did you mean 'seed'?"),
    "an unknown option": ({"options": {"dropout": 0.1}}, "one.yaml:1: options: unknown key 'dropout'"),
    "a wrong type": ({"training": {"epochs": "two"}}, "one.yaml:1: training: epochs: expected a whole number"),
    "a wrong value": ({"training": {"epochs": 0}}, "one.yaml:1: training: epochs is 0, must be at least 1"),
    "an unknown method": ({"method": "fintune"}, "did you mean 'finetune'?"),
    "an unknown task": ({"task": {"name": "udpso"}}, "did you mean 'udpos'?"),
    "no seed": ({"seed": None}, "seed"),
    "a text longer than the positions": ({"training": {"max_length": 65}}, "max_length is 65, must be at most 64"),
    "no backbone": ({"locations": {"backbone_path": "tyni"}}, "tyni"),
    "a language": ({"task": {"name": "udpos", "source_language": "xq"}}, "unknown language 'xq'"),
}


@pytest.mark.parametrize(("change", "part"), TRIALS.values(), ids=TRIALS)
def test_what_is_wrong_in_one_configuration_is_named(
    change: dict[str, object], part: str, tunekit: CommandLine
) -> None:
    Path("one.yaml").write_text(json.dumps({**CONFIGURATION, **change}))
    is_one_clear_error(tunekit("trial", "one.yaml"), part)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("epochs: 1", "epochs: 0b1", "one.yaml:4: training.epochs: YAML reads 0b1 as 1 (in base 2)"),
        ("epochs: 1", "epochs: 1_0", "one.yaml:4: training.epochs: YAML reads 1_0 as 10"),
        ("epochs: 1", "learning_rate: 1e-4", "one.yaml:4: training: learning_rate: expected a number, got '1e-4'"),
        ("epochs: 1", "epochs: '2'", "one.yaml:4: training: epochs: expected a whole number"),
        ("seed: 1", "seed: 1:30", "one.yaml:5: seed: YAML reads 1:30 as 90"),
        ("seed: 1", "null: 1", "one.yaml:5: YAML reads the key null as nothing"),
        ("load_words}", "load_words, target_languages: [no]}", "one.yaml:2: task: target_languages[0]: expected text"),
        (
            "load_words}",
            "load_words, target_languages: ['a/b']}",
            "one.yaml:2: task: target_languages is 'a/b'",
        ),
    ],
)
def test_what_yaml_reads_otherwise_is_refused_in_one_configuration_too(
    old: str, new: str, part: str, tunekit: CommandLine
) -> None:
    lines = [
        "method: finetune",
        "task: {name: fakes:load_words}",
        "backbone: {name: tiny}",
        "training: {epochs: 1}",
        "seed: 1\n",
    ]
    text = "\n".join(lines)
    assert old in text
    Path("one.yaml").write_text(text.replace(old, new))
    is_one_clear_error(tunekit("trial", "one.yaml"), part)


@pytest.mark.parametrize("row", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_nested_deeper_than_python_reads_is_no_traceback(row: str, tunekit: CommandLine) -> None:
    for name in ("train.en", "dev.en", "test.en", "test.xx"):
        Path(f"data/{name}.jsonl").write_text(row + "\n")
    Path("words.yaml").write_text(SWEEP.replace(WORLD, OWN.replace(".tsv", ".jsonl")))
    is_one_clear_error(tunekit("check", "words.yaml"), "words.yaml:1: task", "train.en.jsonl:1: ")
    Path("nested").mkdir()
    Path("nested/outcome.json").write_text(row)
    assert read_json(Path("nested/outcome.json")) is None
    Path("nested/journal.jsonl").write_text(row + "\n")
    with pytest.raises(TunekitError, match=r"journal.jsonl:1: "):
        replay(Path("nested/journal.jsonl"))
