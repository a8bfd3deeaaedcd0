"""A sweep sent to a cluster, without a cluster: what goes along, under which name, what is refused, what comes home."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import SWEEP, CommandLine

from tunekit import storage
from tunekit.cluster import code, fetching, launching, places, remembered, shipping
from tunekit.cluster.jobs import Job, Submission
from tunekit.cluster.ray_jobs import Unreachable
from tunekit.cluster.sending import send
from tunekit.errors import ClusterError, ConfigError, StorageError
from tunekit.storage import Lock, SweepFolder, snapshot
from tunekit.sweep import load_sweep

URL = "http://10.0.0.12:8265"
ROOT = "/shared/runs"


@dataclass
class FakeJobs:
    """A cluster that runs nothing: each job has the state that it is given, and what was asked for is kept."""

    address: str = URL
    listed: list[Job] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    shipped: dict[str, bytes] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    first_state: str = "RUNNING"
    text: str = "said\n"
    pieces: Callable[[], Iterator[str]] = lambda: iter(())

    def submit(
        self, job_id: str, entrypoint: str, *, runtime_env: Mapping[str, object], metadata: Mapping[str, str]
    ) -> None:
        self.submitted.append(
            {"id": job_id, "entrypoint": entrypoint, "runtime_env": dict(runtime_env), "metadata": dict(metadata)}
        )
        with zipfile.ZipFile(str(runtime_env["working_dir"])) as package:
            self.shipped = {name: package.read(name) for name in package.namelist()}
        self.listed.append(Job(id=job_id, status=self.first_state, metadata=metadata))

    def all(self) -> Sequence[Job]:
        return self.listed

    def job(self, job_id: str) -> Job:
        return next(job for job in self.listed if job.id == job_id)

    def stop(self, job_id: str) -> None:
        self.stopped.append(job_id)
        self.listed = [replace(job, status="STOPPED") if job.id == job_id else job for job in self.listed]

    def log(self, job_id: str) -> str:
        return self.text

    def follow(self, job_id: str) -> Iterator[str]:
        return self.pieces()

    def forget(self, job_id: str) -> None:
        self.listed = [job for job in self.listed if job.id != job_id]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeJobs:
    """What every address leads to; what is remembered of submissions is this test's own."""
    fake = FakeJobs()
    monkeypatch.setattr(launching, "RayJobs", lambda address: replace_address(fake, address))
    monkeypatch.setenv("TUNEKIT_CACHE", str(tmp_path / "cache"))
    for name in remembered.ADDRESS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return fake


def replace_address(fake: FakeJobs, address: str) -> FakeJobs:
    fake.address = address
    return fake


# -- submit ------------------------------------------------------------------------------------------------------------


def test_a_submitted_sweep_is_a_job_whose_shell_gives_way_to_the_driver(
    tunekit: CommandLine, cluster: FakeJobs
) -> None:
    done = tunekit("submit", "words.yaml", "--address", URL, "--root", ROOT, "--workers", "3", "--trials", "5")
    assert done.code == 0, done
    [job] = cluster.submitted
    assert job["id"] == "tunekit-words-1"
    assert job["entrypoint"] == (
        "exec python -m tunekit sweep sweep.yaml --name words --address auto --root /shared/runs --workers 3"
    )
    assert int(job["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 60, "time to end in good order"
    for command in ("logs words --follow", "stop words", "fetch words"):
        assert f"tunekit {command}" in done.out
    assert yaml.safe_load(cluster.shipped["sweep.yaml"])["search"]["num_trials"] == 5


def test_what_is_shipped_reads_on_the_cluster_as_the_same_trials(
    tunekit: CommandLine, cluster: FakeJobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tunekit("submit", "words.yaml", "--address", URL).code == 0
    names = cluster.shipped
    assert "tunekit/cli/app.py" in names and "fakes.py" in names and "files/0/tiny/config.json" in names
    assert not [name for name in names if name.endswith(".pyc") or "/." in name or name.startswith(("/", "."))]
    node = tmp_path / "node"
    for name, content in names.items():
        (node / name).parent.mkdir(parents=True, exist_ok=True)
        (node / name).write_bytes(content)
    here = load_sweep("words.yaml")
    monkeypatch.chdir(node)
    monkeypatch.setenv("PWD", str(node))
    there = load_sweep("sweep.yaml", name="words")
    assert there.identity() == here.identity()
    assert there.arms[0].locations.here().backbone_path == str(node / "files/0/tiny")


def test_a_sweep_that_runs_is_refused_and_one_that_ended_is_taken_up_again(
    tunekit: CommandLine, cluster: FakeJobs
) -> None:
    words = ("submit", "words.yaml", "--address", URL, "--root", ROOT)
    assert tunekit(*words).code == 0
    refused = tunekit(*words)
    assert refused.code == 2
    assert "RUNNING" in refused.err and "tunekit-words-1" in refused.err and ROOT in refused.err
    for number, state in enumerate(("FAILED", "STOPPED", "SUCCEEDED"), 2):
        cluster.listed[-1] = replace(cluster.listed[-1], status=state)
        assert tunekit(*words).code == 0
        assert cluster.submitted[-1]["id"] == f"tunekit-words-{number}"
    assert len({job["entrypoint"] for job in cluster.submitted}) == 1, "to go on is the same command"


def test_a_job_that_does_not_start_is_an_error_with_its_last_lines(tunekit: CommandLine, cluster: FakeJobs) -> None:
    cluster.first_state, cluster.text = "FAILED", "exec: python: not found\n"
    done = tunekit("submit", "words.yaml", "--address", URL)
    assert done.code == 1
    assert "did not start" in done.err and "python: not found" in done.err


def test_a_dry_run_says_what_would_be_done_and_reaches_for_no_cluster(
    tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launching, "RayJobs", None)
    monkeypatch.setenv("TUNEKIT_CACHE", str(tmp_path / "cache"))
    Path("cluster.yaml").write_text("cluster_name: x\n")
    for verb, where in (("submit", ("--address", URL)), ("launch", ("--cluster", "cluster.yaml"))):
        done = tunekit(verb, "words.yaml", *where, "--dry-run")
        assert done.code == 0, done
        said = done.out
        assert "exec python -m tunekit sweep sweep.yaml --name words --address auto --root /shared/runs" in said
        assert re.search(r"tunekit +\d\.\d+ MiB +\d+ files", said) and re.search(r"backbone .*4 files .*/tiny", said)
        assert re.search(r"code .*1 file .*fakes\.py", said) and "packed" in said and "nothing was done" in said
    assert "ray up --yes cluster.yaml" in said and "ray dashboard cluster.yaml --port PORT" in said
    assert not (tmp_path / "cache" / "submitted").exists() and not Path("runs").exists()


@pytest.mark.parametrize(
    ("dashboard", "said", "is_brought_up"),
    [
        ("echo 'Head node of cluster (x) not found!'; exit 1", "bringing it up: ray up", True),
        ("echo ssh: connection timed out; exit 255", "connection timed out", False),
        ("sleep 60", "no dashboard answers", False),
    ],
)
def test_only_a_cluster_without_a_head_is_brought_up_since_that_ends_all_jobs(
    dashboard: str, said: str, is_brought_up: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = launching.Commands(file=storage.write_text(tmp_path / "cluster.yaml", "cluster_name: x\n"))
    told, ran = list[str](), list[list[str]]()

    def command_line(words: list[str]) -> list[str]:
        ran.append(words)
        return ["sh", "-c", dashboard if words[1] == "dashboard" else "true"]

    def nobody(address: str) -> None:
        raise Unreachable(f"{address}: nothing answers")

    monkeypatch.setattr(launching, "command_line", command_line)
    monkeypatch.setattr(launching, "RayJobs", nobody)
    monkeypatch.setattr(launching, "LOOK_S", 0.5)
    with pytest.raises(ClusterError) as caught, launching.brought_up(commands, told.append):
        pass
    assert said in f"{told} {caught.value}"
    assert (commands.up in ran) is is_brought_up


@pytest.mark.parametrize("where", [(), ("--address", URL, "--cluster", "cluster.yaml")])
def test_which_cluster_is_meant_must_be_clear(where: tuple[str, ...], tunekit: CommandLine, cluster: FakeJobs) -> None:
    done = tunekit("submit", "words.yaml", *where)
    assert done.code == 2
    assert "--address" in done.err and not cluster.submitted


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("runs", "absolute path that all nodes share"),
        ("/shared/../etc", "absolute path"),
        ("s3://key:hidden@bucket/runs", "holds a user name or a secret"),
        ("s3://bucket/runs?secret_key=hidden", "holds a user name or a secret"),
    ],
)
def test_a_root_that_loses_results_or_tells_a_secret_is_refused(root: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        Submission(name="words", root=root)
    assert "hidden" not in str(refused.value)
    assert Submission(name="words", root="s3://bucket/runs").entrypoint.endswith("--root s3://bucket/runs")


def test_nothing_secret_of_this_machine_goes_along(
    tunekit: CommandLine, cluster: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {name: secrets.token_hex(32) for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN")}
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    Path(".env").write_text(hidden["HF_TOKEN"])
    assert tunekit("submit", "words.yaml", "--address", URL).code == 0
    sent = json.dumps(cluster.submitted).encode() + b"".join(cluster.shipped.values())
    kept = b"".join(path.read_bytes() for path in Path("cache/submitted").iterdir())
    for value in hidden.values():
        assert value.encode() not in sent + kept


def test_a_name_that_a_shell_would_obey_stays_a_name() -> None:
    submission = Submission(name="a", root="/shared/$(touch x); runs")
    assert shlex.split(submission.entrypoint)[-1] == "/shared/$(touch x); runs"


# -- what is shipped ---------------------------------------------------------------------------------------------------


def _sweep(tmp_path: Path, task: Mapping[str, object], **more: object) -> Any:
    content = {**yaml.safe_load(SWEEP), "task": dict(task), **more}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    return load_sweep(file, folders_must_exist=False)


def test_of_a_data_folder_only_the_tasks_and_languages_of_the_sweep_are_shipped(tmp_path: Path) -> None:
    for name in ("udpos/train-en.tsv", "udpos/test-fr.tsv", "udpos/test-de.tsv", "panx/train-en.tsv", "udpos/README"):
        path = tmp_path / "xtreme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\tb\n")
    task = {"name": "udpos", "target_languages": ["fr"], "data_dir": str(tmp_path / "xtreme")}
    placed = places.place(_sweep(tmp_path, task, backbone="xlm-roberta-base"))
    [item] = placed.items
    inside = "files/0/xtreme/udpos/"
    assert set(item.files) == {f"{inside}README", f"{inside}train-en.tsv", f"{inside}test-fr.tsv"}
    assert placed.definition["task"]["data_dir"] == "$PWD/files/0/xtreme"
    assert placed.definition["backbone"] == "xlm-roberta-base", "the hub's names stay"


def test_files_of_ones_own_keep_their_pattern(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("train-en.conllu", "dev-en.conllu", "notes.txt"):
        (tmp_path / "mine" / name).write_text("x")
    task = {"name": "mine", "kind": "token", "files": str(tmp_path / "mine" / "{split}-{language}.conllu")}
    placed = places.place(_sweep(tmp_path, task))
    assert set(placed.items[0].files) == {"files/0/train-en.conllu", "files/0/dev-en.conllu"}
    assert placed.definition["task"]["files"] == "$PWD/files/0/{split}-{language}.conllu"


def test_paths_of_the_cluster_are_left_alone_and_said(tmp_path: Path) -> None:
    (tmp_path / "xtreme").mkdir()
    for data_dir, why in (
        ("/shared/data/xtreme", "is not on this machine"),
        ("$DATA/xtreme", "is filled in on the cluster"),
        ("~/data/xtreme", "is filled in on the cluster"),
    ):
        placed = places.place(_sweep(tmp_path, {"name": "udpos", "data_dir": data_dir}, backbone="/shared/models/x"))
        assert placed.items == ()
        assert placed.definition["task"]["data_dir"] == data_dir
        assert any(line.startswith(f"{data_dir}: {why}") for line in placed.left)
        assert any(line.startswith("/shared/models/x: is not on this machine") for line in placed.left)
    placed = places.place(_sweep(tmp_path, {"name": "udpos", "data_dir": str(tmp_path / "xtreme")}), with_data=False)
    assert placed.items == () and any("--no-data" in line for line in placed.left)


def test_a_backbone_takes_one_set_of_weights_along(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "tokenizer.json", ".cache"):
        (folder / name).write_text("x")
    placed = places.place(_sweep(tmp_path, {"name": "udpos"}, backbone=str(folder)))
    names = {Path(name).name for name in placed.items[0].files}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}
    assert placed.definition["backbone"] == "$PWD/files/0/model", "its last part is its name"


def test_what_is_too_large_is_refused_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE

    assert shipping.MOST_BYTES < DASHBOARD_CLIENT_MAX_SIZE
    monkeypatch.setattr(shipping, "MOST_BYTES", 5000)
    (tmp_path / "big").write_bytes(os.urandom(9000))
    item = places.Item(what="backbone", source=str(tmp_path / "big"), files={"files/0/big": tmp_path / "big"})
    with (
        pytest.raises(ConfigError, match=r"(?s)too large.*backbone +8\.79 KiB.*storage that all nodes share.*\$DATA"),
        shipping.packed(shipping.Shipment(items=(item,))),
    ):
        pass


def test_the_same_files_are_the_same_package(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 1000)
    shipment = shipping.Shipment(
        items=(places.Item(what="data", source="a", files={"a": tmp_path / "a"}),), sweep_file=b"b"
    )
    with shipping.packed(shipment) as first, shipping.packed(shipment) as second:
        assert first.read_bytes() == second.read_bytes(), "so Ray uploads it once"


def test_code_of_ones_own_is_taken_with_what_it_imports_and_installed_packages_are_named() -> None:
    import fakes  # noqa: F401

    found = {Path(item.source).name for item in code.local_code(["fakes", "yaml", "tunekit.methods.lora"])}
    assert "fakes.py" in found and "command_line.py" in found, "a module that lies beside it and is loaded"
    assert not {"yaml", "tunekit"} & found
    assert code.installed(["yaml.representer", "fakes"]) == ("yaml",)


def test_an_arm_that_cannot_be_checked_here_hides_no_mistake_of_another(
    tunekit: CommandLine, cluster: FakeJobs
) -> None:
    content = yaml.safe_load(Path("words.yaml").read_text())
    content["arms"]["finetune"]["backbone"] = "/shared/models/large"
    Path("words.yaml").write_text(yaml.safe_dump(content))
    done = tunekit("submit", "words.yaml", "--address", URL)
    assert done.code == 0, done
    assert "arm finetune is checked only on the cluster: there is no folder /shared/models/large here" in done.out
    content["arms"]["ptuning_v2"]["space"]["prompt_length"] = {"low": 2, "high": 900}
    Path("words.yaml").write_text(yaml.safe_dump(content))
    refused = tunekit("submit", "words.yaml", "--address", URL, "--name", "other")
    assert refused.code == 2 and "prompt_length" in refused.err, refused
    assert len(cluster.submitted) == 1


# -- logs, stop, and which cluster -------------------------------------------------------------------------------------


def test_a_cluster_is_remembered_and_said(tunekit: CommandLine, cluster: FakeJobs) -> None:
    assert tunekit("logs", "words").code == 2
    tunekit("submit", "words.yaml", "--address", URL, "--root", ROOT)
    said = tunekit("logs", "words")
    assert (said.code, said.out) == (0, "said\n")
    assert URL in said.err and "last submitted" in said.err
    elsewhere = tunekit("logs", "words", "--address", "http://other:8265")
    assert "http://other:8265 (--address)" in elsewhere.err


def test_the_environment_comes_before_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_CACHE", str(tmp_path))
    remembered.remember("words", remembered.Remembered(address=URL, root=ROOT, command="x"))
    both = {"RAY_ADDRESS": "http://ray:1", "RAY_API_SERVER_ADDRESS": "http://api:1"}
    ask = {"address": None, "cluster": None}
    assert remembered.way_to("words", **ask, environment=both).address == "http://api:1"
    found = remembered.way_to("words", **ask, environment={"RAY_ADDRESS": "http://ray:1"})
    assert found.in_words == "http://ray:1 ($RAY_ADDRESS)"
    assert remembered.way_to("words", **ask, environment={}).address == URL
    with pytest.raises(ConfigError, match="'others' was not submitted from this machine"):
        remembered.way_to("others", **ask, environment={})


def test_following_ends_with_the_state_of_the_job(tunekit: CommandLine, cluster: FakeJobs) -> None:
    tunekit("submit", "words.yaml", "--address", URL)
    cluster.pieces = lambda: iter(["epoch 1\nepo", "ch 2\n\x1b[2J"])
    for state, code_ in (("SUCCEEDED", 0), ("FAILED", 1)):
        cluster.listed[-1] = replace(cluster.listed[-1], status=state)
        done = tunekit("logs", "words", "--follow")
        assert done.code == code_ and state in done.err
        assert done.out == "epoch 1\nepoch 2\n\\x1b[2J", "a terminal obeys nothing in it"


def test_a_stop_waits_and_says_how_to_go_on(tunekit: CommandLine, cluster: FakeJobs) -> None:
    tunekit("submit", "words.yaml", "--address", URL, "--root", ROOT, "--set", "search.seed=3")
    dry = tunekit("stop", "words", "--dry-run")
    assert "would be sent SIGTERM" in dry.out and not cluster.stopped
    done = tunekit("stop", "words")
    assert done.code == 0 and cluster.stopped == ["tunekit-words-1"]
    assert f"tunekit submit words.yaml --address {URL} --root {ROOT} --set search.seed=3" in done.out
    again = tunekit("stop", "words")
    assert again.code == 0 and "had ended before (STOPPED)" in again.out and len(cluster.stopped) == 1


def test_a_sweep_that_nobody_submitted_is_said_with_the_nearest(tunekit: CommandLine, cluster: FakeJobs) -> None:
    tunekit("submit", "words.yaml", "--address", URL)
    done = tunekit("stop", "wrods", "--address", URL)
    assert done.code == 2 and "did you mean 'words'" in done.err


# -- fetch -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> SweepFolder:
    """A sweep's folder that is being written."""
    folder = tmp_path / "there" / "words"
    for name, content in {
        "journal.jsonl": b'{"n": 1}\n{"n": 2}\n{"n"',
        "lock": b"somebody",
        "sweep.yaml": b"a: 1\n",
        "logs/driver.log": b"x" * 300_000,
        "trials/ab/best.pt": os.urandom(300_000),
        "trials/ab/outcome.json": b"{}",
        "trials/ab/.last.pt.12.tmp": b"half",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return SweepFolder(folder)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


WITHOUT_CHECKPOINTS = {"journal.jsonl", "sweep.yaml", "logs/driver.log", "trials/ab/outcome.json"}


def _cut(text: str, length: int) -> Iterator[str]:
    return (text[start : start + length] for start in range(0, len(text), length))


def test_a_sweep_comes_through_the_log_of_a_job_whole(
    source: SweepFolder, tunekit: CommandLine, cluster: FakeJobs, tmp_path: Path
) -> None:
    printed: list[str] = ["Running entrypoint ..."]
    send(source, printed.append, checkpoints=True)
    text = "".join(f"{line}\n" for line in printed)
    cluster.pieces = lambda: _cut(text, 70_001)
    done = tunekit("fetch", "words", "--address", URL, "--root", "/there", "--checkpoints")
    assert done.code == 0, done
    target = Path("runs/words")
    assert _names(target) == WITHOUT_CHECKPOINTS | {"trials/ab/best.pt"}
    assert (target / "trials/ab/best.pt").read_bytes() == (source.path / "trials/ab/best.pt").read_bytes()
    assert (target / "journal.jsonl").read_bytes() == b'{"n": 1}\n{"n": 2}\n', "up to its last whole line"
    [job] = cluster.submitted
    assert job["entrypoint"] == "exec python -m tunekit.cluster.sending /there words --checkpoints"
    assert cluster.stopped == [job["id"]], "so that it empties its log"
    assert "tunekit report words" in done.out


@pytest.mark.parametrize("damage", ["cut", "flipped", "refused"])
def test_what_does_not_arrive_whole_is_not_written(damage: str, source: SweepFolder, tmp_path: Path) -> None:
    printed: list[str] = []
    send(source, printed.append, checkpoints=True)
    if damage == "cut":
        printed = [*printed[:-1], "Killed"]
    elif damage == "flipped":
        head, middle, *rest = printed
        printed = [head, middle[:-9] + ("A" if middle[-9] != "A" else "B") + middle[-8:], *rest]
    else:
        printed = ["tunekit-snapshot-1 refused \"no sweep 'words'\""]
    fake, target = FakeJobs(), SweepFolder(tmp_path / "here" / "words")
    fake.pieces = lambda: iter("\n".join(printed))
    expected = {
        "cut": (ClusterError, "Killed"),
        "flipped": (ClusterError, "digests differ"),
        "refused": (ConfigError, "no sweep"),
    }
    with pytest.raises(expected[damage][0], match=expected[damage][1]):
        fetching.fetch(fake, "words", "/there", target, checkpoints=False)
    assert not target.path.exists()
    assert fake.stopped


def test_a_root_that_is_seen_here_is_copied_and_brought_up_to_date(source: SweepFolder, tunekit: CommandLine) -> None:
    root = str(source.path.parent)
    assert "would be copied" in tunekit("fetch", "words", "--root", root, "--dry-run").out
    assert not Path("runs").exists()
    done = tunekit("fetch", "words", "--root", root)
    assert done.code == 0, done
    assert _names(Path("runs/words")) == WITHOUT_CHECKPOINTS
    Path("runs/words/report").mkdir()
    Path("runs/words/report/mine").write_text("x")
    source.journal.write_bytes(b'{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    assert tunekit("fetch", "words", "--root", root).code == 0
    assert Path("runs/words/journal.jsonl").read_bytes().count(b"\n") == 3
    assert Path("runs/words/report/mine").exists(), "what was made here stays"


def test_a_home_folder_of_the_cluster_is_not_looked_for_in_the_one_here(
    source: SweepFolder, tunekit: CommandLine, cluster: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(source.path.parent))
    done = tunekit("fetch", "words", "--root", "~", "--dry-run")
    assert done.code == 2 and "--address" in done.err, done
    done = tunekit("fetch", "words", "--root", "~", "--address", URL, "--dry-run")
    assert "tunekit.cluster.sending '~' words" in done.out, done


def test_fetching_writes_over_no_other_sweep(source: SweepFolder, tmp_path: Path) -> None:
    target = SweepFolder(tmp_path / "here")
    target.path.mkdir()
    for journal, said in (
        (b'{"n": 1}\n{"n": 2}\n{"n": 3}\n', "is further than the one to fetch"),
        (b'{"n": 9}\n', "is another one of that name"),
    ):
        target.journal.write_bytes(journal)
        with pytest.raises(ConfigError, match=f"{said}.*--to DIR"):
            fetching.copy(source, target, checkpoints=False)
        assert _names(target.path) == {"journal.jsonl"} and target.journal.read_bytes() == journal
    target.journal.unlink()
    lock = Lock(target.lock)
    try:
        with pytest.raises(ConfigError, match="runs there now"):
            fetching.copy(source, target, checkpoints=False)
    finally:
        lock.close()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "link"])
def test_a_snapshot_cannot_write_outside_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry, io.BytesIO())
        archive.addfile(tarfile.TarInfo("journal.jsonl"), io.BytesIO())
    with pytest.raises(StorageError, match="no file of a sweep's folder"):
        snapshot.read_snapshot(path, SweepFolder(tmp_path / "in" / "sweep"))
    assert not (tmp_path / "in").exists()


def test_the_journal_is_written_last(source: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    for name in ("write_with", "write_bytes"):
        real = getattr(snapshot, name)

        def noted(path: Path, *rest: Any, real: Any = real) -> Path:
            written.append(path.name)
            found: Path = real(path, *rest)
            return found

        monkeypatch.setattr(snapshot, name, noted)
    fetching.copy(source, SweepFolder(tmp_path / "here"), checkpoints=False)
    assert written[-1] == "journal.jsonl" and len(written) == len(WITHOUT_CHECKPOINTS)
