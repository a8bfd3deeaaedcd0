"""What is run, read and told only with its owner's knowledge: code, credentials, ports and what variables hold."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import SWEEP, CommandLine
from test_execution import HERE

from tunekit.backbone import load
from tunekit.backbone.tokenizers import load_tokenizer
from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME
from tunekit.trial import BackboneConfig, Locations, path_here

# -- code that a model brings ----------------------------------------------------------------------------------------

CODE = """\
open({marker!r}, 'w').close()
from transformers import BertConfig as C, BertForMaskedLM as M, BertTokenizer as T
"""
ELSEWHERE = {"AutoConfig": "you/it--code.C"}
MAP = {"AutoConfig": "code.C", "AutoModel": "code.M", "AutoModelForMaskedLM": "code.M"}
BRINGS = {
    "a known architecture": ("config.json", {"auto_map": MAP}, None),
    "an unknown architecture": ("config.json", {"auto_map": MAP, "model_type": "own"}, "brings code of its own"),
    "code of another repository": (
        "config.json",
        {"auto_map": ELSEWHERE, "model_type": "own"},
        "code",
    ),
    "a tokenizer": ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["code.T", "code.T"]}}, None),
    "a kernel of the hub": ("config.json", {"attn_implementation": "you/kernel"}, "asks for code from the hub"),
    "an attention that is not there": ("config.json", {"attn_implementation": "flash_attention_2"}, "FlashAttention"),
}


def _brings(kind: str, backbone: Path) -> str | None:
    """Makes the folder `model`, whose code leaves the file `ran`; gives what must be said of it."""
    name, content, said = BRINGS[kind]
    shutil.copytree(backbone, "model")
    file = Path("model", name)
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    Path("model/code.py").write_text(CODE.format(marker=str(Path("ran").absolute())))
    return said


@pytest.mark.parametrize("kind", BRINGS)
def test_no_command_runs_code_that_a_model_brings_or_asks_whether_it_may(
    kind: str, tunekit: CommandLine, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> str:
        Path("asked").touch()
        return "y"

    monkeypatch.setattr("builtins.input", ask)
    said = _brings(kind, backbone)
    Path("words.yaml").write_text(SWEEP.replace("backbone: tiny", "backbone: ./model"))
    one: dict[str, Any] = {"method": "finetune", "task": {"name": "fakes:load_words"}, "backbone": {"name": "model"}}
    one |= {"training": {"epochs": 1, "max_length": 16}, "seed": 1, "locations": {"backbone_path": "model"}}
    Path("one.yaml").write_text(json.dumps(one))
    for words in (
        "check words.yaml",
        "sweep words.yaml --in-process",
        "trial one.yaml",
        "export words --arm ptuning_v2",
    ):
        told = tunekit(*words.split())
        assert not Path("ran").exists() and not Path("asked").exists()
        assert "Traceback" not in told.err
        if said is None:
            assert told.code == 0, told
        elif words.startswith(("check", "sweep")):
            assert told.code == 2 and said in told.err, told


@pytest.mark.parametrize("kind", ["a known architecture", "an unknown architecture", "a tokenizer"])
def test_loading_a_model_by_hand_runs_no_code_of_it_either(
    kind: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = _brings(kind, backbone)
    config, places = BackboneConfig(name="model"), Locations(backbone_path="model")
    with pytest.raises(ConfigError, match=said) if said else contextlib.nullcontext():
        load(config, places)
    with contextlib.suppress(ConfigError):
        load_tokenizer(config, Path("model"))
    assert not Path("ran").exists()


@pytest.mark.parametrize("value", ["true", "false", "null"])
def test_the_key_that_would_allow_it_is_refused_with_the_reason(value: str, tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(
        SWEEP.replace("backbone: tiny", f"backbone: {{name: tiny, path: tiny, trust_remote_code: {value}}}")
    )
    told = tunekit("check", "words.yaml")
    assert told.code == 2
    assert "words.yaml:2: backbone.trust_remote_code: no such key: tunekit never runs code" in told.err


# -- code of one's own -----------------------------------------------------------------------------------------------

OWN = "from pathlib import Path\nPath({marker!r}).touch()\nfrom tunekit.methods.finetune import Finetune as F\n"


@pytest.fixture
def own(tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The file of a method's module that the sweep file names, `mine.inner.methods:F`; it leaves a mark."""
    folder = tmp_path / "mine" / "inner"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    (folder / "methods.py").write_text(OWN.format(marker=str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", 'method: "mine.inner.methods:F"'))
    yield folder / "methods.py"
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_commands_that_import_code_of_ones_own_say_so_before_it_runs(
    own: Path, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[bool] = []
    from tunekit.cli.own_code import Notice

    said = Notice.__call__

    def note(self: Notice, module: str) -> None:
        before.append(Path("ran").exists())
        said(self, module)

    monkeypatch.setattr(Notice, "__call__", note)
    line = f"imports code of yours: mine.inner.methods (from {own})\n"
    for words in ("check words.yaml", "sweep words.yaml --in-process", "resume words", "export words --arm ptuning_v2"):
        _forget()
        Path("ran").unlink(missing_ok=True)
        before.clear()
        told = tunekit(*words.split())
        assert told.code == 0, told
        if Path("ran").exists():
            assert not before[0], words
            assert (told.out + told.err).count(line) == 1
            assert line in (told.err if words.startswith("export") else told.out)
        else:
            assert words.startswith("export"), words
    best = tunekit("best", "words", "--arm", "finetune").out
    Path("best.yaml").write_text(best)
    _forget()
    told = tunekit("trial", "best.yaml")
    assert (told.code, told.out.count(line)) == (0, 1)


def test_a_sweep_can_be_looked_at_when_its_code_is_gone(own: Path, tunekit: CommandLine) -> None:
    assert tunekit("sweep", "words.yaml", "--in-process").code == 0
    _forget()
    own.write_text("raise RuntimeError('this was imported')")
    Path("ran").unlink()
    looks = ["status", "status words", "report words", "best words --arm finetune", "list sweeps"]
    for words in [*looks, "dashboard words --export studies.db"]:
        told = tunekit(*words.split())
        assert told.code == 0, told
        assert "imports code" not in told.out + told.err
        assert not any(name.partition(".")[0] == "mine" for name in sys.modules) and not Path("ran").exists()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("mine.nothing:F", "imports code of yours: mine.nothing (from nowhere"),
        ("no_such_package.a.b:F", "imports code of yours: no_such_package.a.b (from nowhere"),
        ("json:F", "imports code of yours: json (from "),
    ],
)
def test_what_is_not_a_method_is_said_and_refused(method: str, said: str, own: Path, tunekit: CommandLine) -> None:
    Path("words.yaml").write_text(SWEEP.replace("method: finetune", f'method: "{method}"'))
    told = tunekit("check", "words.yaml")
    assert told.code == 2 and said in told.out and "words.yaml:5: arms.finetune.method" in told.err, told


# -- variables in paths ----------------------------------------------------------------------------------------------


def test_what_a_variable_holds_stands_in_no_file_of_a_sweep(
    tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbone: Path
) -> None:
    secret = tmp_path / "canary"
    secret.mkdir()
    (secret / "tiny").symlink_to(backbone)
    for name in ("train.en", "dev.en", "test.en", "test.xx"):
        (secret / f"{name}.tsv").write_text("w1\tA\nw2\tB\n\nw3\tA\n\nw1\tB\n")
    monkeypatch.setenv("PLACE", str(secret))
    task = 'task: {name: mine, kind: token, files: "$PLACE/{split}.{language}.tsv", target_languages: [xx]}'
    text = SWEEP.replace(SWEEP.splitlines()[0], task).replace("backbone: tiny", "backbone: ${PLACE}/tiny")
    Path("words.yaml").write_text(text)
    assert tunekit("sweep", "words.yaml", "--in-process").code == 0
    assert tunekit("report", "words").code == 0
    for file in (path for path in Path("runs").rglob("*") if path.is_file()):
        assert b"canary" not in file.read_bytes(), file
    best = yaml.safe_load(tunekit("best", "words", "--arm", "finetune").out)
    assert best["backbone"]["name"] == "tiny"
    assert best["locations"]["backbone_path"] == "${PLACE}/tiny"
    Path("best.yaml").write_text(tunekit("best", "words", "--arm", "finetune").out)
    assert tunekit("trial", "best.yaml").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert tunekit("resume", "words", "--root", tmp_path / "runs", "--trials", "3").code == 0
    monkeypatch.delenv("PLACE")
    told = tunekit("resume", "words", "--root", tmp_path / "runs", "--trials", "4")
    assert told.code == 2 and "the environment variable 'PLACE' is not set here" in told.err


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("backbone: tiny", "backbone: $NOWHERE/tiny", "words.yaml:2: backbone: '$NOWHERE/tiny'"),
        ("backbone: tiny", "backbone: {name: a, path: 'models/${NOWHERE}'}", "words.yaml:2: backbone: "),
        (
            "target_languages: [xx]",
            "target_languages: [xx], data_dir: $NOWHERE",
            "words.yaml:1: task.data_dir: '$NOWHERE'",
        ),
        ("target_languages: [xx]", "files: {train: {en: '$NOWHERE/x'}}", "words.yaml:1: task.files"),
    ],
)
def test_a_variable_that_is_not_set_is_named(
    old: str, new: str, where: str, tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    Path("words.yaml").write_text(SWEEP.replace(old, new))
    told = tunekit("check", "words.yaml")
    assert told.code == 2 and where in told.err, told
    assert "the environment variable 'NOWHERE' is not set here" in told.err


def test_a_path_is_filled_in_as_a_shell_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "/a")
    monkeypatch.setenv("HOME", "/home/me")
    assert [path_here(path) for path in ("$A/b", "${A}b", "~/x", "x$A", "/x")] == [
        "/a/b",
        "/ab",
        "/home/me/x",
        "x/a",
        "/x",
    ]


# -- a Ray of our own ------------------------------------------------------------------------------------------------

SECRETS: tuple[str, ...] = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "HF_TOKEN",
)
SECRETS += ("HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_KEY")


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_ray_of_our_own_tells_nobody_its_secrets_listens_to_this_machine_alone_and_ends_in_words(
    backbone: Path, tmp_path: Path
) -> None:
    from tunekit.execution.ray_look import lets_strangers_in

    (tmp_path / "tiny").symlink_to(backbone)
    (tmp_path / "words.yaml").write_text(SWEEP)
    folder = Path(tempfile.mkdtemp(prefix="tk-"))  # short: Ray puts sockets in there
    home = folder / "home"
    (home / ".ray").mkdir(parents=True, mode=0o755)
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    own = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH_")}
    environment = {**own, "PYTHONPATH": path, "HOME": str(home), "RAY_TMPDIR": str(folder)}
    environment |= dict.fromkeys(SECRETS, "canary")
    words = ["sweep", "words.yaml", "--workers", "1", "--set", "fixed.epochs=3000"]
    command = [sys.executable, "-c", "from tunekit.cli import main; main()", *words]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as driver:
            journal = tmp_path / "runs/words" / FILE_NAME
            _wait_for(lambda: journal.exists() and b'"reported"' in journal.read_bytes(), driver)
            places = _listening(driver.pid)
            let_in = lets_strangers_in(_head(driver.pid))
            driver.send_signal(signal.SIGTERM)
            out, err = driver.communicate(timeout=120)
        assert not let_in, "it asks for its token"
        assert len(places) >= 6 and all(place.is_loopback for place in places), places
        assert driver.returncode == 1, (out, err)
        assert err == "error: interrupted\nNothing finished is lost. Go on with: tunekit resume words\n"
        token = home / ".ray" / "auth_token"
        assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        files = [file for place in (folder, tmp_path / "runs") for file in place.rglob("*") if file.is_file()]
        assert any("runtime_env" in file.name for file in files), "Ray's logs are among them"
        assert not [file for file in files if b"canary" in file.read_bytes()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 200
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)


def _head(ancestor: int) -> str:
    """The address of the Ray that a process has started, as one of its own processes was told it."""
    from local_cluster import family

    for pid in family(ancestor):
        with contextlib.suppress(OSError):
            told = re.search(rb"--gcs-address=([\d.:]+)", Path(f"/proc/{pid}/cmdline").read_bytes())
            if told:
                return told[1].decode()
    raise AssertionError("no Ray is running")


def _listening(ancestor: int) -> list[Any]:
    """The addresses on which a process and its descendants listen."""
    from ipaddress import ip_address

    from test_ray_cluster import family

    sockets = {}
    for name, size in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            place, state, inode = (line.split()[index] for index in (1, 3, 9))
            raw = bytes.fromhex(place.partition(":")[0])
            packed = b"".join(raw[i : i + 4][::-1] for i in range(0, size, 4))
            address = ip_address(packed)
            if state == "0A":
                sockets[inode] = getattr(address, "ipv4_mapped", None) or address
    found = []
    for pid in family(ancestor):
        with contextlib.suppress(OSError):
            links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            found += [sockets[link[8:-1]] for link in links if link.startswith("socket:[") and link[8:-1] in sockets]
    return found


@pytest.mark.parametrize(
    ("mode", "environment"),
    [
        (0o644, {}),
        (0o666, {}),
        (0o600, {}),
        (None, {}),
        (0o644, {"RAY_AUTH_TOKEN_PATH": "elsewhere"}),
        (None, {"RAY_AUTH_MODE": "disabled"}),
    ],
)
def test_rays_token_is_for_its_owner_alone(
    mode: int | None, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.execution.ray_start import keep_token_private

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray" / "auth_token"
    if mode is not None:
        token.parent.mkdir(mode=0o755)
        token.write_text("f00d")
        token.chmod(mode)
    keep_token_private()
    if "RAY_AUTH_TOKEN_PATH" in environment:
        assert token.stat().st_mode & 0o777 == mode, "another token is used"
    elif "RAY_AUTH_MODE" in environment:
        assert not token.exists()
    else:
        assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert token.read_text() == "f00d" if mode is not None else len(token.read_text()) == 64


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_signal_while_ray_starts_is_answered_when_it_has_started_and_the_third_at_once(
    number: signal.Signals, times: int
) -> None:

    from tunekit.execution.ray_start import signals_kept

    came: list[str] = []
    before = signal.signal(number, lambda *_: came.append("answered"))
    try:
        with signals_kept():
            from ray._private import utils

            utils.set_sigterm_handler(lambda *_: came.append("Ray's own"))  # type: ignore[no-untyped-call]
            for _ in range(times):
                signal.raise_signal(number)
            came.append("started")
        assert came[:2] == (["started", "answered"] if times < 3 else ["answered", "started"])
    finally:
        signal.signal(number, before)


AFTER_RAY = """
import os, signal, sys, threading
import ray
from tunekit.execution.ray_start import shut_down, signals_kept

came = []
signal.signal(signal.SIGTERM, lambda *_: came.append("answered"))
with signals_kept():
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
if sys.argv[1] == "while it ends":
    kill_all_processes = ray._private.worker._global_node.kill_all_processes

    def killed_within(**options):
        os.kill(os.getpid(), signal.SIGTERM)
        kill_all_processes(**options)
        assert not came, "not before the processes are gone"

    ray._private.worker._global_node.kill_all_processes = killed_within
shut_down()
if sys.argv[1] == "afterwards":
    os.kill(os.getpid(), signal.SIGTERM)
print(came, ray.is_initialized())
"""


@pytest.mark.ray
@pytest.mark.parametrize("when", ["while it ends", "afterwards"])
def test_sigterm_is_answered_as_before_when_ray_has_ended(when: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_RAY, when], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['answered'] False"), done.stderr
