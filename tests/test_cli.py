"""The command line: a frozen surface, pages that read well, and a sweep's whole life on the tiny world."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from command_line import SWEEP, CommandLine
from local_cluster import free_port

from tunekit import registry
from tunekit.cli import app, listing
from tunekit.cli.help_pages import flowing
from tunekit.execution import Execution
from tunekit.journal import FILE_NAME, SCHEMA, Journal, read_events, replay
from tunekit.methods import Batch
from tunekit.methods.finetune import Finetune
from tunekit.storage import SweepFolder, holder_of
from tunekit.version import __version__

SURFACE = {
    "check": "FILE --set --data",
    "sweep": "FILE --name --set --trials --dry-run --root=runs --workers --address --in-process",
    "resume": "NAME --trials --retry-failed --root=runs --workers --address --in-process",
    "trial": "CONFIG.yaml --out --test",
    "status": "[NAME] --root=runs",
    "watch": "NAME --root=runs --every=2.0 --once",
    "report": "NAME --out --languages --root=runs",
    "compare": "NAME --out --root=runs",
    "best": "NAME --arm --root=runs",
    "export": "NAME --arm --out --root=runs",
    "dashboard": "NAME --root=runs --port=8080 --export",
    "track": "NAME --to --root=runs",
    "doctor": "--root=runs --address --json",
    "launch": "FILE --cluster=cluster.yaml --name --set --trials --root=/shared/runs --workers --no-data --dry-run",
    "submit": "FILE --address --cluster --name --set --trials --root=/shared/runs --workers --no-data --dry-run",
    "logs": "NAME --follow --address --cluster",
    "stop": "NAME --address --cluster --dry-run",
    "fetch": "NAME --to --checkpoints --address --cluster --root --dry-run",
    "list": "WHAT --root=runs",
    "render kuberay": "FILE --out --name --set --dry-run --workers --gpus --cpus --image --namespace=default "
    "--root=/shared/runs --storage --storage-size --storage-class --env --secret --node-selector --service-account",
    "render slurm": "FILE --out --name --set --dry-run --workers --nodes --gpus --cpus --time --warning=180 "
    "--root=runs --partition --account --setup --share-nodes",
}
"""Every command with its arguments, its options and their defaults. Scripts rely on it: extend it, change nothing."""


class Impatient(Finetune):
    """Fine-tuning during which somebody stops the sweep, once: at the third batch after `signal_number` is set."""

    signal_number: signal.Signals | None = None
    num_losses = 0

    def loss(self, batch: Batch) -> torch.Tensor:
        cls = type(self)
        cls.num_losses += 1
        if cls.signal_number is not None and cls.num_losses >= 3:
            number, cls.signal_number = cls.signal_number, None
            os.kill(os.getpid(), number)
        return super().loss(batch)


class Repaired(Finetune):
    """Fine-tuning whose loss is not a number while `is_broken`."""

    is_broken = True

    def loss(self, batch: Batch) -> torch.Tensor:
        loss = super().loss(batch)
        return loss * float("nan") if type(self).is_broken else loss


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:
    """A folder in which the tiny world's sweep was run, as `words` under runs/. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("tiny").symlink_to(backbone)
        Path("words.yaml").write_text(SWEEP)
        from tunekit.cli.sweep_run import run
        from tunekit.sweep import load_sweep

        assert run(load_sweep("words.yaml"), SweepFolder(Path("runs/words")), Execution(in_process=True)) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def after(finished: Path, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line where that sweep was run."""
    monkeypatch.chdir(finished)
    return tunekit


# -- the surface -----------------------------------------------------------------------------------------------------


def _commands() -> dict[str, Any]:
    """Every command by its name; one of a group has the group's name before its own."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {key}": one for key, one in inner.items()}
    return found


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar) if parameter.required else f"[{parameter.metavar}]"
    default = parameter.default
    return str(parameter.opts[0]) + (f"={default}" if default not in (None, False, ()) else "")


def test_the_surface_is_frozen() -> None:
    found = {name: " ".join(map(_spelled, command.params)) for name, command in _commands().items()}
    assert found == SURFACE


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["", *SURFACE])
def test_every_page_of_help_fits_and_cuts_nothing(
    command: str, width: int, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = tunekit(*command.split(), "--help")
    assert page.code == 0
    assert page.err == ""
    lines = page.out.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in page.out
    assert "[not dim]" not in page.out, "markup is rendered"
    prose = [line for line in lines if line.startswith(" ") and len(line.strip()) > 40]
    assert prose, "a page explains itself"
    said = " ".join(page.out.split())
    for parameter in _commands()[command].params if command else ():
        assert parameter.help and parameter.help.rstrip(".").split("(")[0][:20] in said
        assert "<bool>" not in page.out


@pytest.mark.parametrize("command", SURFACE)
def test_a_paragraph_of_help_is_as_wide_as_the_terminal(
    command: str, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hard breaks from the source: every line but a paragraph's last has no room for the next word."""
    monkeypatch.setenv("COLUMNS", "80")
    page = tunekit(*command.split(), "--help").out
    prose = page.partition("╭")[0].splitlines()
    for line, following in pairwise(prose):
        if line.strip() and following.strip() and not line.startswith("   "):
            assert len(line.rstrip()) + 1 + len(following.split()[0]) > 78, line


def test_paragraphs_flow_and_examples_stay(tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("", *SURFACE):
        page = tunekit(*command.split(), "--help").out
        prose = page.partition("╭")[0].splitlines()
        assert not [line for line in prose if line.count("tunekit ") > 1 and "`" not in line], "one example a line"
    assert flowing("One\ntwo.\n\n  a command\n  another\n\nThree\nfour.") == (
        "One two.\n\n[not dim]  a command\n  another[/]\n\n[not dim]Three four.[/]"
    )


def test_without_a_word_there_is_help_and_no_error(tunekit: CommandLine) -> None:
    alone = tunekit()
    assert alone.code == 0
    assert alone.out.strip() == tunekit("--help").out.strip()
    assert "tunekit sweep search_spaces/quickstart.yaml" in alone.out
    assert tunekit("-h").out == tunekit("--help").out


def test_the_version_is_a_line(tunekit: CommandLine) -> None:
    assert tunekit("--version").out == f"tunekit {__version__}\n"


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["methods", "tasks", "searchers", "schedulers"])
def test_a_list_says_of_every_name_what_it_is(what: str, tunekit: CommandLine) -> None:
    known = {"methods": registry.METHODS, "tasks": registry.TASKS, "searchers": listing.SEARCHERS}
    names = known.get(what, listing.SCHEDULERS)
    listed = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in tunekit("list", what).out.splitlines())
    assert set(listed) == set(names)
    for name, text in listed.items():
        assert len(text) > 15, f"{name} is not explained"
        assert "`" not in text


def test_searchers_and_schedulers_are_those_that_a_sweep_file_accepts() -> None:
    import typing

    from tunekit.sweep import SchedulerConfig, SearchConfig

    assert set(listing.SEARCHERS) == set(typing.get_args(typing.get_type_hints(SearchConfig)["searcher"]))
    assert set(listing.SCHEDULERS) == set(typing.get_args(typing.get_type_hints(SchedulerConfig)["name"]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--help", "Exit codes"),
        ("list methods", "ptuning_v2"),
        ("list sweeps", "6 trials finished"),
        ("status", "words"),
        ("status words", "tunekit report words"),
        ("report words --out {out}", "zero_shot"),
        ("watch words", "tunekit report words"),
        ("best words --arm finetune", "learning_rate"),
        ("dashboard words --export {out}/studies.db", "words/ptuning_v2"),
    ],
)
def test_looking_at_a_sweep_loads_nothing_that_trains(words: str, said: str, finished: Path, tmp_path: Path) -> None:
    """Each of these libraries costs a second or more; distances of languages are asked of one that needs pandas."""
    heavy = {"torch", "ray", "transformers", "datasets", *(() if "dashboard" in words else ("optuna",))}
    heavy |= set() if words.startswith("report") else {"pandas"}
    code = (
        f"import sys\nfrom tunekit.cli import main\nsys.argv = {['tunekit', *words.format(out=tmp_path).split()]}\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"assert not {heavy} & sys.modules.keys(), {heavy} & sys.modules.keys()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=finished, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


TRAINING_LIBRARIES = {"torch", "ray", "transformers", "datasets", "tokenizers", "peft", "safetensors", "sentencepiece"}
"""What a machine needs to train, and not to look."""


def test_a_machine_without_torch_and_ray_reports_a_sweep(finished: Path, tmp_path: Path) -> None:
    """The sweep's folder is a copy: what was run elsewhere is looked at here."""
    for name in ("words", "again"):
        shutil.copytree(finished / "runs" / "words", tmp_path / "runs" / name)
    look = ["list sweeps", "status words", "best words --arm finetune", "report words", "track words --to tensorboard"]
    look += ["compare words again", "watch words --once"]
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {TRAINING_LIBRARIES}:\n"
        "            raise ModuleNotFoundError(f'{name} is not on this machine', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from tunekit.cli import main\n"
        f"for words in {look}:\n"
        "    sys.argv = ['tunekit', *words.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        assert not ended.code, words\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for said in ("6 trials finished", "learning_rate", "zero_shot", "report.md", "tensorboard: 6 trials"):
        assert said in done.stdout
    assert "unavailable" not in done.stdout + (tmp_path / "runs/words/report/report.md").read_text()


def test_sweeps_are_listed_with_how_far_they_are(after: CommandLine) -> None:
    assert re.fullmatch(r"words  finetune, ptuning_v2  6 trials finished, last event .*\n", after("list", "sweeps").out)
    assert "no sweeps under elsewhere" in after("list", "sweeps", "--root", "elsewhere").out


# -- a sweep's life --------------------------------------------------------------------------------------------------


def test_a_sweep_has_its_event_files_and_track_makes_them_again(finished: Path, tunekit: CommandLine) -> None:
    shutil.copytree(finished / "runs", "runs")
    events = {path.relative_to("runs"): path.read_bytes() for path in Path("runs").rglob("*tfevents*")}
    assert len(events) == 7, "one for each trial, and one for the columns of the HPARAMS tab"
    shutil.rmtree("runs/words/tensorboard")
    told = tunekit("track", "words")
    assert (told.code, told.err) == (0, "")
    assert told.out == "tensorboard: 6 trials; tensorboard --logdir runs/words/tensorboard\n"
    assert {path.relative_to("runs"): path.read_bytes() for path in Path("runs").rglob("*tfevents*")} == events
    assert "did you mean 'mlflow'" in tunekit("track", "words", "--to", "mflow").err


def test_a_sweep_is_launched_extended_and_never_run_twice(tunekit: CommandLine) -> None:
    first = tunekit("sweep", "words.yaml", "--in-process")
    assert first.code == 0, first
    assert first.err == ""
    assert "words: finetune, ptuning_v2; 2 points per arm, in this process" in first.out
    assert "finetune    2/2    COMPLETE" in first.out
    assert "zero_shot" in first.out and "runs/words/report/report.md" in first.out
    trials = set(replay(Path("runs/words")).trials)

    again = tunekit("sweep", "words.yaml", "--in-process")
    assert again.code == 0
    assert "going on: 6 trials finished before" in again.out
    assert set(replay(Path("runs/words")).trials) == trials

    more = tunekit("resume", "words", "--trials", "3")
    assert more.code == 0, more
    record = replay(Path("runs/words"))
    assert trials < set(record.trials)
    assert [len({t.number for t in record.arm(arm).trials}) for arm in ("finetune", "ptuning_v2")] == [3, 3]
    finished = [
        event["trial_id"] for event in read_events(Path("runs/words") / FILE_NAME) if event["event"] == "finished"
    ]
    assert len(finished) == len(set(finished)) == len(record.trials)


def test_a_changed_file_is_refused_and_the_key_is_named(after: CommandLine) -> None:
    Path("other.yaml").write_text(SWEEP.replace("epochs: 2", "epochs: 3"))
    before = (Path("runs/words") / FILE_NAME).read_bytes()
    refused = after("sweep", "other.yaml", "--name", "words", "--in-process")
    assert refused.code == 2
    assert "runs/words holds another sweep of this name. What differs:\n" in refused.err
    assert "\n  arms.finetune.fixed.epochs: was 2, is now 3\n" in refused.err
    assert "another --name" in refused.err
    assert "search.seed: was 1, is now 2" in after("sweep", "words.yaml", "--in-process", "--set", "search.seed=2").err
    assert (Path("runs/words") / FILE_NAME).read_bytes() == before


def test_a_dry_run_says_what_would_run_and_leaves_nothing(tunekit: CommandLine) -> None:
    dry = tunekit("sweep", "words.yaml", "--dry-run", "--trials", "7")
    assert dry.code == 0
    assert "words: nothing is wrong" in dry.out
    assert "14 to search" in dry.out
    assert not Path("runs").exists()
    assert "14 to search" in tunekit("check", "words.yaml", "--set", "search.num_trials=7").out


def test_a_check_shows_what_was_read_and_with_data_each_split_and_language(tunekit: CommandLine) -> None:
    brief, whole = tunekit("check", "words.yaml"), tunekit("check", "words.yaml", "--data")
    assert (brief.code, whole.code) == (0, 0)
    (first,) = (line for line in brief.out.splitlines() if line.split()[:1] == ["first"])
    assert re.fullmatch(r"( +w\d+)+", first.partition("first")[2].rstrip())
    assert not any(line.startswith("  test xx  w") for line in brief.out.splitlines())
    assert any(line.startswith("  test xx ") for line in whole.out.splitlines())


def test_a_sweep_gone_on_with_by_other_code_says_so_in_its_report(
    tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.training import versions

    versions.versions.cache_clear()
    assert tunekit("sweep", "words.yaml", "--in-process", "--trials", "1").code == 0
    report = Path("runs/words/report/report.md")
    assert "different source files" not in report.read_text()
    monkeypatch.setattr(versions, "package_digest", lambda: "0123456789ab")
    versions.versions.cache_clear()
    try:
        assert tunekit("resume", "words", "--trials", "2").code == 0
    finally:
        versions.versions.cache_clear()
    assert "Trials ran on different source files of tunekit, so results may differ: " in report.read_text()
    assert "0123456789ab in " in report.read_text()


def test_arms_whose_test_files_differ_are_named_in_the_report(tunekit: CommandLine) -> None:
    arms = []
    for name in "ab":
        arms.append(
            f'{name}: {{method: finetune, task: {{data_name: {name}, files: "{name}/{{split}}-{{language}}.tsv"}}}}'
        )
        Path(name).mkdir()
        for split in ("train-en", "dev-en", "test-en", "test-fr"):
            other = name if split == "test-fr" else ""
            rows = "".join(f"w{n}\t{'AB'[n % 2]}\n" for n in range(8 + (other == "b")))
            (Path(name) / f"{split}.tsv").write_text(rows)
    Path("mine.yaml").write_text(
        "task: {name: mine, kind: token, target_languages: [fr]}\nbackbone: tiny\narms:\n  "
        + "\n  ".join(arms)
        + "\nfixed: {epochs: 1, max_length: 16}\nsearch: {num_trials: 1}\nfinalise: {top: 1, seeds: [10]}\n"
    )
    swept = tunekit("sweep", "mine.yaml", "--in-process")
    assert swept.code == 0, swept.err
    report = Path("runs/mine/report/report.md").read_text()
    assert (
        "**Different data**: a read other test data in fr than b, so their scores there are not comparable." in report
    )
    assert report.count("Different data") == 1


def test_failed_trials_end_in_exit_code_1(tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "fakes:Diverging"'))
    failed = tunekit("sweep", "words.yaml", "--in-process")
    assert failed.code == 1
    assert "FAILED: loss became nan" in failed.out
    again = "tunekit resume words --retry-failed"
    assert f"error: 2 trials failed; the report says why. Try them again with: {again}\n" in failed.err
    told = tunekit("report", "words")
    assert told.code == 0
    assert re.search(r"en \(source\) +– +\d+\.\d", told.out), "the arm that did well keeps its numbers"


def test_failed_trials_are_tried_again_where_that_is_asked_for(tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "test_cli:Repaired"'))
    Repaired.is_broken = True
    assert tunekit("sweep", "words.yaml", "--in-process").code == 1
    failed = {trial.trial_id for trial in replay(Path("runs/words")).trials.values() if trial.state == "FAILED"}
    assert len(failed) == 2
    Repaired.is_broken = False
    assert tunekit("resume", "words").code == 1, "nobody asked for it"
    retried = tunekit("resume", "words", "--retry-failed")
    assert retried.code == 0, retried
    assert "going on: 3 trials finished before; 2 trials that failed will be tried again" in retried.out
    record = replay(Path("runs/words"))
    assert {record.trials[trial_id].state for trial_id in failed} == {"COMPLETE"}
    assert all("nan" in record.trials[trial_id].earlier_failures[0] for trial_id in failed)
    assert "tried again" not in tunekit("resume", "words", "--retry-failed").out, "nothing is left to try"


def test_a_sweep_that_was_not_launched_yet_is_none(tunekit: CommandLine) -> None:
    Path("runs/early").mkdir(parents=True)
    (Path("runs/early") / FILE_NAME).touch()
    assert tunekit("status").out == "no sweeps under runs; start one with: tunekit sweep FILE\n"
    assert tunekit("list", "sweeps").out == tunekit("status").out
    assert tunekit("report", "early").code == 2


def test_the_status_is_told_of_one_of_all_and_of_none(after: CommandLine) -> None:
    one = after("status", "words").out
    assert re.search(r"finetune +2/2 +2 +0 +0 +0 +2/2", one)
    assert "tunekit report words" in one
    assert after("status").out.split() == one.split() or "words" in after("status").out
    assert after("status", "runs/words").code == 0
    assert "no sweeps under elsewhere; start one with: tunekit sweep FILE" in after("status", "--root", "elsewhere").out


def test_the_status_says_what_runs_now_and_how_to_go_on_elsewhere(
    tunekit: CommandLine, finished: Path, tmp_path: Path
) -> None:
    root = finished / "runs"
    said = " ".join(tunekit("status", "--root", root).out.split())  # a long path has a line of its own
    assert f"tunekit report words --root {root}" in said
    with Journal(root / "words"):
        assert holder_of(SweepFolder(root / "words").lock)
        assert "running now" in tunekit("status", "words", "--root", root).out
    assert holder_of(SweepFolder(root / "words").lock) is None


def test_the_report_goes_where_it_is_told(after: CommandLine, tmp_path: Path) -> None:
    told = after("report", "words", "--out", tmp_path / "mine")
    assert told.code == 0
    assert "zero_shot" in told.out
    for name in ("report.md", "results.csv", "best_config.finetune.yaml", "best_config.ptuning_v2.yaml"):
        assert (tmp_path / "mine" / name).is_file()
        assert name in told.out
    assert f"{tmp_path / 'mine' / 'report.md'}" in told.out


def test_a_report_takes_figures_of_languages_and_refuses_a_wrong_file(after: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("language,gib\nxx,0.5\n", encoding="utf-8")
    assert after("report", "words", "--out", tmp_path / "mine", "--languages", path).code == 0
    path.write_text("language,gib\nxx,much\n", encoding="utf-8")
    told = after("report", "words", "--languages", path)
    assert told.code == 2 and f"{path}:2: gib: 'much' is not a number" in " ".join(told.err.split())


@pytest.mark.parametrize("arm", ["finetune", "ptuning_v2"])
def test_the_best_configuration_runs_alone_to_the_same_score(arm: str, after: CommandLine, tmp_path: Path) -> None:
    printed = after("best", "words", "--arm", arm)
    assert printed.code == 0
    (tmp_path / "best.yaml").write_text(printed.out)
    said = re.search(r"This file is trial (\w+): seed (\d+)", printed.out)
    assert said
    known = replay(Path("runs/words")).trials[said[1]]
    assert yaml.safe_load(printed.out)["seed"] == known.seed

    alone = after("trial", tmp_path / "best.yaml", "--out", tmp_path / "alone", "--test")
    assert alone.code == 0, alone
    assert f"trial {known.trial_id}: " in alone.out
    assert f"best dev {100 * (known.value or 0):.2f}" in alone.out
    outcome = json.loads((tmp_path / "alone" / "outcome.json").read_text())["outcome"]
    assert outcome["value"] == known.value
    assert known.test_scores is not None
    for key, score in known.test_scores.items():
        assert re.search(rf"{key} +{100 * score:.2f}", alone.out)


def test_the_best_of_several_arms_must_be_chosen(after: CommandLine) -> None:
    several = after("best", "words")
    assert several.code == 2
    assert "choose one with --arm: finetune, ptuning_v2" in several.err
    assert several.out == ""
    wrong = after("best", "words", "--arm", "ptuning")
    assert wrong.code == 2
    assert "no arm 'ptuning'; did you mean 'ptuning_v2'?" in wrong.err


def _exported(folder: Path) -> str:
    """The trial that an exported adapter is of, by its README."""
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
    }
    found = re.search(r"trial (\w{12})", (folder / "README.md").read_text())
    assert found
    return found[1]


def test_what_is_exported_of_a_sweep_is_the_trial_that_best_prints(after: CommandLine, tmp_path: Path) -> None:
    best = re.search(r"This file is trial (\w+)", after("best", "words", "--arm", "ptuning_v2").out)
    assert best
    told = after("export", "words", "--arm", "ptuning_v2", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert _exported(tmp_path / "out") == best[1]
    assert str(tmp_path / "out" / "adapter_model.safetensors") in told.out
    again = after("export", Path("runs/words/trials") / best[1], "--out", tmp_path / "again")
    assert again.code == 0, again.err
    for name in ("adapter_config.json", "adapter_model.safetensors", "head.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_trial_run_alone_is_exported_from_wherever_it_is(
    after: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = after("best", "words", "--arm", "ptuning_v2").out
    (tmp_path / "best.yaml").write_text(re.sub("backbone_path: .*", "backbone_path: tiny", text))
    assert after("trial", tmp_path / "best.yaml", "--out", tmp_path / "alone").code == 0
    monkeypatch.chdir(tmp_path)
    told = after("export", tmp_path / "alone")
    assert told.code == 0, told.err
    assert _exported(tmp_path / "alone" / "export")


def test_what_cannot_be_exported_is_said_in_one_line(after: CommandLine, tmp_path: Path) -> None:
    several = after("export", "words")
    assert several.code == 2
    assert "choose one with --arm: finetune, ptuning_v2" in several.err
    whole = after("export", "words", "--arm", "finetune")
    assert whole.code == 2
    assert "peft has nothing like 'finetune'" in whole.err
    trial = next(Path("runs/words/trials").iterdir())
    idle = after("export", trial, "--arm", "finetune")
    assert (idle.code, idle.err) == (2, f"error: --arm has no effect on one trial, {trial}\n")
    assert not Path("runs/words/export").exists()


def test_an_unknown_sweep_names_the_nearest(after: CommandLine) -> None:
    for command in ("resume", "report", "status", "watch", "best", "export", "dashboard"):
        told = after(command, "wrods")
        assert told.code == 2
        assert told.err == "error: no sweep 'wrods' under runs; did you mean 'words'? (valid: words)\n"


def test_a_sweep_and_its_copy_are_compared_example_by_example(after: CommandLine, tmp_path: Path) -> None:
    shutil.copytree("runs/words", tmp_path / "copied")
    compared = after("compare", "words", tmp_path / "copied", "--out", tmp_path / "out")
    assert compared.code == 0, compared.err
    assert "words/finetune" in compared.out and "copied/finetune" in compared.out
    pair = next(
        line
        for line in (tmp_path / "out/compare.md").read_text().splitlines()
        if "| words/finetune" in line and "copied/finetune" in line
    )
    assert " 0.0 " in pair, "nothing but the name differs"


# -- stopped half-way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stopped_sweep_says_how_to_go_on_and_does(number: signal.Signals, tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "test_cli:Impatient"'))
    handler = signal.getsignal(number)
    Impatient.num_losses, Impatient.signal_number = 0, number
    stopped = tunekit("sweep", "words.yaml", "--in-process", "--root", "my runs")
    assert stopped.code == 1
    assert "Traceback" not in stopped.out + stopped.err
    assert signal.getsignal(number) is handler
    lines = stopped.err.splitlines()
    assert lines[0] == "error: interrupted"
    assert lines[1] == "Nothing finished is lost. Go on with: tunekit resume words --root 'my runs'"
    states = [trial.state for trial in replay(Path("my runs/words")).trials.values()]
    assert "RUNNING" in states

    gone_on = tunekit(*shlex.split(lines[1].partition("tunekit ")[2]))
    assert gone_on.code == 0, gone_on
    assert "in this process" in gone_on.out, "it is run as it was"
    assert "going on: 0 trials finished before" in gone_on.out
    record = replay(Path("my runs/words"))
    assert all(trial.state == "COMPLETE" for trial in record.trials.values())
    assert len(record.trials) == 6


def test_ctrl_c_while_the_command_line_is_still_being_imported_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])}
    command = [sys.executable, "-c", "from tunekit.cli import main; main()", "list"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "error: interrupted\n")


def test_a_trial_stopped_alone_says_so_and_goes_on(tunekit: CommandLine) -> None:
    one = {"method": "test_cli:Impatient", "task": {"name": "fakes:load_words"}, "backbone": {"name": "tiny"}}
    one |= {"training": {"epochs": 2, "max_length": 16}, "seed": 1, "locations": {"backbone_path": "tiny"}}
    Path("one.yaml").write_text(json.dumps(one))
    Impatient.num_losses, Impatient.signal_number = 0, signal.SIGTERM
    stopped = tunekit("trial", "one.yaml")
    assert stopped.code == 1
    assert stopped.err == "error: interrupted\nThe same command goes on from the last epoch.\n"
    assert tunekit("trial", "one.yaml").code == 0


def test_stopped_before_the_start_there_is_nothing_to_resume(
    tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunekit.check.check", interrupt)
    stopped = tunekit("sweep", "words.yaml", "--in-process")
    assert stopped.code == 1
    assert stopped.err == "error: interrupted\nNothing was started; the same command starts it.\n"
    assert not Path("runs").exists()
    checked = tunekit("check", "words.yaml")
    assert (checked.code, checked.err) == (1, "error: interrupted\n")


def test_a_failure_of_our_own_making_keeps_its_traceback_in_the_log(
    tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("tunekit.execution.run_sweep", fail)
    failed = tunekit("sweep", "words.yaml", "--in-process")
    assert failed.code == 1
    assert "error: RuntimeError: a bug (the traceback is in runs/words/logs/driver.log)" in failed.err


def test_a_full_or_closed_disk_is_one_line(tunekit: CommandLine) -> None:
    Path("runs").mkdir()
    Path("runs/words").write_text("a file where the folder should be")
    told = tunekit("sweep", "words.yaml", "--in-process")
    assert told.code == 1
    assert re.search(r"error: cannot write runs/words/logs\S*: Not a directory", told.err)
    assert "Traceback" not in told.err


def test_a_trial_started_by_nohup_outlives_its_terminal(tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "test_cli:Impatient"'))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Impatient.num_losses, Impatient.signal_number = 0, signal.SIGHUP
        assert tunekit("sweep", "words.yaml", "--in-process").code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class Stubborn(Finetune):
    """Fine-tuning that does not let go when it is stopped, until it was told `num_signals` times."""

    def loss(self, batch: Batch) -> torch.Tensor:
        num_signals = int(os.environ["NUM_SIGNALS"])
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            for _ in range(num_signals - 1):
                os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(batch)


@pytest.mark.parametrize("num_signals", [1, 2, 3, 4])
def test_however_often_it_is_stopped_a_sweep_ends_in_one_sentence(
    num_signals: int, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "test_cli:Stubborn"'))
    monkeypatch.setenv("NUM_SIGNALS", str(num_signals))
    with _started(tmp_path, "sweep", "words.yaml", "--in-process") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == "error: interrupted\nNothing finished is lost. Go on with: tunekit resume words\n"
    assert "Traceback" not in out


# -- whatever the terminal and the files are -------------------------------------------------------------------------

DAMAGES = {
    "not JSON": b"{nonsense\n",
    "not text": b"\xff\xfe\x00" * 20 + b"\n",
    "no launch": b'{"event": "resumed", "time": "2026-01-01T00:00:00+00:00"}\n',
    "a list": b"[[[]]]\n",
    "an escape": b'{"event": "\\u001b[31mred", "time": "now"}\n',
}


def test_a_damaged_journal_hides_no_other_sweep(finished: Path, tunekit: CommandLine) -> None:
    shutil.copytree(finished / "runs", "runs")
    for name, content in DAMAGES.items():
        folder = Path("runs", f"bad {name}")
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(content + b'{"event": "more"}\n')
    for command in ("status", "list sweeps"):
        told = tunekit(*command.split())
        assert (told.code, told.err) == (1, "")
        rows = {name: next(line for line in told.out.splitlines() if f"bad {name} " in line) for name in DAMAGES}
        assert all("cannot be read: " in row for row in rows.values()), told.out
        whole = next(line for line in told.out.splitlines() if line.strip().startswith("words"))
        assert "cannot be read" not in whole
        assert "\x1b" not in told.out
    for name in DAMAGES:
        told = tunekit("status", f"bad {name}")
        assert told.code != 0 and told.err.startswith("error: ") and "\x1b" not in told.err


def test_what_a_terminal_would_obey_is_shown_instead(finished: Path, tunekit: CommandLine) -> None:
    name = "a\x1b[31mred\x07\x9b2J"
    shutil.copytree(finished / "runs/words", Path("runs", name))
    shutil.copytree(finished / "runs/words", Path("runs/words"))
    for words in (["status"], ["status", name], ["list", "sweeps"], ["status", f"no{name}"], ["report", name]):
        told = tunekit(*words)
        assert not set("\x1b\x07\x9b") & set(told.out + told.err), words
        assert r"a\x1b[31mred" in told.out + told.err, words


@pytest.mark.parametrize("words", ["list methods", "status", "status words", "--help", "best words --arm finetune"])
def test_a_reader_that_has_left_is_no_fault(words: str, finished: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", "from tunekit.cli import main; main()", *words.split()]
    done = subprocess.run(command, cwd=finished, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_sweep_whose_reader_has_left_goes_on(tunekit: CommandLine, tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from tunekit.cli import main; main()", "sweep", "words.yaml", "--in-process"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(trial.state == "COMPLETE" for trial in replay(Path("runs/words")).trials.values())


@pytest.mark.parametrize("words", ["status", "status words", "report words --out {out}", "check words.yaml"])
def test_a_terminal_that_knows_ascii_alone_is_served_too(words: str, finished: Path, tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    environment = {**os.environ, "PYTHONPATH": path, **locale}
    command = [sys.executable, "-c", "from tunekit.cli import main; main()", *words.format(out=tmp_path).split()]
    done = subprocess.run(command, cwd=finished, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and done.stdout and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", ["status", "list sweeps", "sweep words.yaml --in-process", "status words", "report words"]
)
def test_a_root_that_is_no_folder_is_one_line(words: str, tunekit: CommandLine) -> None:
    Path("file").write_text("a file")
    told = tunekit(*words.split(), "--root", "file")
    assert told.code == 2 and told.err.startswith("error: ") and "file" in told.err and "Traceback" not in told.err
    missing = tunekit(*words.split(), "--root", "nowhere") if not words.startswith("sweep") else told
    assert "nowhere" in missing.out + missing.err or words.startswith("sweep")


# -- where it runs ---------------------------------------------------------------------------------------------------

CLUSTER = Execution(address="10.0.0.1:6379", workers=3)


@pytest.mark.parametrize(
    ("last", "options", "expected"),
    [
        (CLUSTER, "", CLUSTER),
        (CLUSTER, "--workers 8", Execution(address="10.0.0.1:6379", workers=8)),
        (CLUSTER, "--address auto", Execution(address="auto", workers=3)),
        (CLUSTER, "--address local --workers 1", Execution(workers=1)),
        (CLUSTER, "--in-process", Execution(in_process=True)),
        (Execution(in_process=True), "", Execution(in_process=True)),
        (Execution(in_process=True), "--workers 2", Execution(workers=2)),
        (Execution(in_process=True), "--address auto", Execution(address="auto")),
    ],
)  # fmt: skip
def test_resume_runs_where_it_ran_unless_told_otherwise(
    last: Execution, options: str, expected: Execution, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.execution import SweepInterrupted
    from tunekit.schema import to_json
    from tunekit.sweep import load_sweep, resolved

    found = []

    def run_sweep(sweep: Any, folder: Path, execution: Execution, **_: Any) -> None:
        found.append(execution)
        raise SweepInterrupted("enough")

    with Journal(Path("runs/words")) as journal:
        loaded = load_sweep("words.yaml")
        content = {"sweep": resolved(loaded), "definition": dict(loaded.definition), "versions": {}}
        journal.append("launched", schema=SCHEMA, execution=to_json(last), **content)
    monkeypatch.setattr("tunekit.execution.run_sweep", run_sweep)
    told = tunekit("resume", "words", *options.split())
    assert found == [expected]
    assert told.code == 1
    assert "error: enough\nNothing finished is lost. Go on with: tunekit resume words\n" in told.err


def test_a_sweep_runs_where_its_own_words_say(tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.cli.run_commands import execution_of

    assert execution_of(None, in_process=False, address=None, workers=None) == Execution()
    assert execution_of(None, in_process=False, address="local", workers=2) == Execution(workers=2)
    assert execution_of(None, in_process=False, address="auto", workers=None) == Execution(address="auto")


@pytest.mark.ray
@pytest.mark.slow
def test_on_ray_ctrl_c_says_how_to_go_on_and_it_does(tmp_path: Path, backbone: Path) -> None:
    (tmp_path / "tiny").symlink_to(backbone)
    (tmp_path / "words.yaml").write_text(SWEEP)
    with _started(tmp_path, "sweep", "words.yaml", "--workers", "2", "--set", "fixed.epochs=25") as process:
        journal = tmp_path / "runs/words" / FILE_NAME
        _wait_for(lambda: journal.exists() and b'"reported"' in journal.read_bytes(), process)
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1, (out, err)
    assert err.splitlines()[-1] == "Nothing finished is lost. Go on with: tunekit resume words"
    assert "Traceback" not in out + err
    with _started(tmp_path, "resume", "words") as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    assert "on Ray at this machine" in out
    last = [event["execution"] for event in read_events(journal) if "execution" in event][-1]
    assert last == {"in_process": False, "address": None, "workers": 2}


# -- optuna-dashboard ------------------------------------------------------------------------------------------------


def test_the_studies_load_with_optuna(after: CommandLine, tmp_path: Path) -> None:
    import optuna

    told = after("dashboard", "words", "--export", tmp_path / "studies.db")
    assert told.code == 0
    record = replay(Path("runs/words"))
    for arm in ("finetune", "ptuning_v2"):
        assert f"words/{arm}  in sqlite:///{tmp_path / 'studies.db'}" in told.out
        study = optuna.load_study(study_name=f"words/{arm}", storage=f"sqlite:///{tmp_path / 'studies.db'}")
        searched = [trial for trial in record.arm(arm).trials if trial.phase == "search"]
        assert [trial.value for trial in study.trials] == [trial.value for trial in searched]
        assert [trial.params for trial in study.trials] == [trial.params for trial in searched]
        assert study.best_value == max(trial.value or 0 for trial in searched)


def test_the_dashboard_answers_on_its_port(finished: Path) -> None:
    port = free_port()
    with _started(finished, "dashboard", "words", "--port", str(port)) as process:
        page = _fetch(f"http://127.0.0.1:{port}/", process)
        assert b"<html" in page.lower()
        studies = json.loads(_fetch(f"http://127.0.0.1:{port}/api/studies", process))["study_summaries"]
        assert {study["study_name"] for study in studies} == {"words/finetune", "words/ptuning_v2"}
        for study in studies:
            detail = json.loads(_fetch(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}", process))
            found = {each["number"]: (each["state"], each["values"]) for each in detail["trials"]}
            arm = replay(finished / "runs" / "words").arm(study["study_name"].removeprefix("words/"))
            searched = [trial for trial in arm.trials if trial.phase == "search"]
            assert found == {trial.number: ("Complete", [trial.value]) for trial in searched}
            assert [each["number"] for each in detail["best_trials"]] == [arm.top(1)[0].number]
        with _started(finished, "dashboard", "words", "--port", str(port)) as second:
            _, err = second.communicate(timeout=180)
        assert (second.returncode, err) == (2, f"error: --port {port} cannot be used: {ADDRESS_IN_USE}\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


ADDRESS_IN_USE = "Address already in use; choose another one"


def _fetch(address: str, process: subprocess.Popen[str]) -> bytes:
    found: list[bytes] = []

    def answers() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=10) as response:
                found.append(response.read())
        except OSError:
            return False
        return True

    _wait_for(answers, process)
    return found[0]


def _wait_for(condition: Any, process: subprocess.Popen[str], *, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the awaited moment never came"
        time.sleep(0.05)


class _started:
    """``tunekit`` in a process group of its own, killed at the end if it still lives."""

    def __init__(self, folder: Path, *words: str) -> None:
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tunekit.cli import main; main()", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
