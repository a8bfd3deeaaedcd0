"""What must never happen: code from files, secrets in files, open ports, names that leave their folder, live markup."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from builders import JournalBuilder, definition
from module_graph import ROOT, label, modules, tree
from pyarrow import parquet

from tunekit import redaction, reports, storage
from tunekit.cli.dashboard_server import for_this_machine
from tunekit.errors import ConfigError, TunekitError
from tunekit.journal import Journal
from tunekit.redaction import holds_secret, without_secrets
from tunekit.storage import SweepFolder
from tunekit.wording import printable

# -- code from files ---------------------------------------------------------------------------------------------------

READS_CODE = {
    "cloudpickle",
    "dill",
    "jsonpickle",
    "marshal",
    "shelve",
    "joblib",
}
"""Modules whose readers run what a file says."""
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "execfile"}
RUNS_A_FILE = {
    "pickle.load": "run code",
    "pickle.loads": "run code",
    "pickle.Unpickler": "run code",
    "pd.read_pickle": "run code",
    "pandas.read_pickle": "run code",
    "yaml.load": "make any object",
    "yaml.load_all": "make any object",
    "yaml.unsafe_load": "make any object",
    "yaml.full_load": "make any object",
    "os.system": "run a shell",
    "os.popen": "run a shell",
    "torch.hub.load": "run code from the network",
    "runpy.run_path": "run code",
    "subprocess.getoutput": "run a shell",
}


def _unsafe(code: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything in a module that could run what a file holds."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, f"import {name}") for name in names if name.split(".")[0] in READS_CODE)
        if isinstance(node, ast.Call):
            yield from ((node.lineno, said) for said in _unsafe_call(node))


def _unsafe_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in RUNS_TEXT or name in RUNS_A_FILE:
        yield name
    if options.get("shell", "False") != "False" or options.get("allow_pickle", "False") != "False":
        yield f"{name} with a shell or a pickle"
    if "trust_remote_code" in options and options["trust_remote_code"] != "False":
        yield f"{name} trusts a model's code"
    named = {ast.unparse(argument) for argument in call.args}
    if (name == "torch.load" or "torch.load" in named) and options.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name in ("yaml.load", "load") and "Loader" in options and "Safe" not in options["Loader"]:
        yield f"{name} with a loader that is not safe"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_no_module_can_run_what_a_file_holds(path: Path) -> None:
    allowed = {"yaml.load"} if label(path) == "tunekit/sweep/yaml_text.py" else set()
    found = [f"{label(path)}:{line}: {said}" for line, said in _unsafe(tree(path)) if said not in allowed]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "is_safe"),
    [
        ("torch.load(path)", False),
        ("torch.load(path, weights_only=False)", False),
        ("torch.load(path, weights_only=True)", True),
        ("partial(torch.load, map_location='cpu')", False),
        ("partial(torch.load, map_location='cpu', weights_only=True)", True),
        ("pickle.loads(data)", False),
        ("except_(pickle.UnpicklingError)", True),
        ("import dill", False),
        ("from joblib import load", False),
        ("np.load(path, allow_pickle=True)", False),
        ("yaml.safe_load(text)", True),
        ("yaml.load(text)", False),
        ("eval(text)", False),
        ("model.eval()", True),
        ("subprocess.run('ls', shell=True)", False),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", False),
        ("AutoModel.from_pretrained(name, trust_remote_code=asked)", False),
    ],
)
def test_the_rule_tells_what_runs_code_from_what_does_not(code: str, is_safe: bool) -> None:
    assert (not list(_unsafe(ast.parse(code)))) == is_safe


def test_every_model_and_tokenizer_is_loaded_without_its_code() -> None:
    """transformers asks at the terminal where it is told nothing, so each call must tell it."""
    told = re.compile(r"trust_remote_code=False|\*\*\w*arguments|\*\*\w+")
    loose = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            loads = node.func.attr in ("from_pretrained", "from_config") and re.match(r"Auto|language_models", owner)
            if loads and not told.search(ast.unparse(node)):
                loose.append(f"{label(path)}:{node.lineno}: {ast.unparse(node)}")
    assert not loose, "\n".join(loose)


class _Hostile:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    from tunekit.training import checkpoints

    mark = tmp_path / "ran"
    for name, content in (("pickled", pickle.dumps(_Hostile(mark), protocol=2)), ("zipped", None)):
        path = tmp_path / f"{name}.pt"
        if content is None:
            import torch

            torch.save({"parameters": _Hostile(mark)}, tmp_path / "raw")
            content = (tmp_path / "raw").read_bytes()
        storage.write_sealed(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
        assert checkpoints.load(path) is None
    assert not mark.exists()


def test_weights_of_a_model_that_hold_code_are_refused_and_the_code_does_not_run(
    backbone: Path, tmp_path: Path
) -> None:
    import torch

    from tunekit.backbone import load
    from tunekit.trial import BackboneConfig, Locations

    folder = tmp_path / "model"
    folder.mkdir()
    for file in backbone.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    torch.save({"weight": _Hostile(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises((TunekitError, pickle.UnpicklingError, OSError)):
        load(BackboneConfig(name="model"), Locations(backbone_path=str(folder), device="cpu"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system ''"])
def test_a_sweep_file_that_holds_code_is_refused(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.sweep import load_sweep

    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(f"name: {tag}\narms: {{a: {{method: finetune}}}}\n")
    with pytest.raises(ConfigError):
        load_sweep("mine.yaml")
    assert not Path("ran").exists()


# -- secrets -----------------------------------------------------------------------------------------------------------

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ry"
QUOTED = [
    f"401 for url https://me:{CANARY}@hub.example/api",
    f"401 for url https://{CANARY}@hub.example/api",
    f"s3://AKIAABCDEFGHIJKLMNOP:{CANARY}/x+y@bucket/key",
    f"postgresql+psycopg://user:{CANARY}@db:5432/x",
    f"Authorization: Bearer {CANARY}",
    f"{{'Authorization': 'Bearer {CANARY}', 'x': 1}}",
    f"headers={{'authorization': b'Basic {CANARY}'}}",
    f"-H 'Authorization: token {CANARY}'",
    f"Cookie: {CANARY}",
    f"sent bearer {CANARY}",
    f"https://b.s3.amazonaws.com/k?X-Amz-Credential=x%2F{CANARY}&X-Amz-Signature={CANARY}",
    f"https://storage.googleapis.com/b/k?X-Goog-Signature={CANARY}",
    f"https://x.blob.core.windows.net/c?sv=1&sig={CANARY}",
    f"https://hub.example/?token={CANARY}#x",
    f"aws_secret_access_key = {CANARY}",
    f"AWS_SESSION_TOKEN={CANARY}",
    f'"api_key": "{CANARY}"',
    f"password='{CANARY}'",
    f"client_secret: {CANARY}",
    f"AccountKey={CANARY};EndpointSuffix=x",
    f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    f"the key hf_{CANARY} was refused",
    f"ghp_{CANARY}",
    f"sk-{CANARY}",
    f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.x",
]


@pytest.mark.parametrize("text", QUOTED)
def test_a_secret_is_known_by_its_place_or_its_form(text: str) -> None:
    assert CANARY not in without_secrets(text, {})
    assert "[hidden]" in without_secrets(text, {})
    again = without_secrets(text, {})
    assert without_secrets(again, {}) == again


@pytest.mark.parametrize(
    "text",
    [
        "the token 'x1234567' is not in the vocabulary",
        "lower tokens_per_step (now 16384): the result stays the same",
        "num_tokens=123456789, max_token_length: 12345678",
        "pad_token=<pad>, eos_token: '</s>'",
        "http://127.0.0.1:8265/a@b and git@github.com:x/y and ssh://ubuntu@host",
        "bearer of bad news, basic assumptions",
        "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 79.15 GiB total capacity)",
        "/home/me/.cache/huggingface/hub/models--xlm-roberta-base/snapshots/e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
        "trial 0123456789ab of arm ptuning_v2@16: learning_rate 0.001",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert without_secrets(text, {}) == text


def test_the_value_of_a_secret_variable_is_known_wherever_it_stands() -> None:
    names = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    names += ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY", "WANDB_API_KEY", "AZURE_STORAGE_KEY", "MY_PASSWORD"]
    names += ["RAY_AUTH_TOKEN", "OPENAI_API_KEY", "GITHUB_TOKEN", "AZURE_CLIENT_SECRET"]
    for name in names:
        assert without_secrets("x (canary) y", {name: "canary"}) == f"x ([{name}]) y"
    assert without_secrets("ab abcdefgh", {"A_TOKEN": "abcdef", "B_TOKEN": "abcdefgh"}) == "ab [B_TOKEN]"
    plain = ["HOME", "PATH", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "TOKENIZERS_PARALLELISM", "SSH_AUTH_SOCK"]
    assert not [name for name in plain if holds_secret(name)]
    assert without_secrets("true is yes", {"A_TOKEN": "yes"}) == "true is yes", "a word rather than a secret"


def test_a_huge_text_is_looked_through_in_no_time() -> None:
    pieces = (
        "a",
        "token=",
        "https://",
        "https://a:",
        "x.-_",
        "-----BEGIN PRIVATE KEY-----",
        "bearer ",
        "authorization:",
    )
    for piece in pieces:
        without_secrets(piece * (200_000 // len(piece)), {})


def test_the_examples_of_redaction_hold() -> None:
    found = doctest.testmod(redaction)
    assert (found.failed, found.attempted) == (0, 3)


def test_a_secret_is_hidden_before_a_message_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    assert CANARY[:5] not in printable(f"{'x' * 95}{CANARY}", limit=100)
    assert "more characters" in printable("x" * 1000, limit=100)


@pytest.mark.parametrize("kind", ["interrupted", "finished"])
def test_no_reason_in_a_journal_or_a_report_holds_a_secret(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    built = JournalBuilder(tmp_path, definition(search={"num_trials": 2}))
    trial = built.create("finetune", {"learning_rate": 0.01, "prompt_length": 4})
    reason = f"OSError: https://me:pass-{CANARY}@host says {CANARY}"
    if kind == "finished":
        built.finish(trial, "FAILED", reason=reason)
    else:
        built.journal.append("interrupted", trial_id=trial, reason=reason)
    built.journal.flush()
    assert b"OSError" in built.journal.path.read_bytes()
    assert CANARY.encode() not in built.journal.path.read_bytes()
    for file in reports.write(built.journal.record, tmp_path / "report"):
        if file.suffix == ".parquet":
            assert CANARY not in str(parquet.read_table(file).to_pylist())
        else:
            assert CANARY not in file.read_text()


LEAKS = """\
import logging, os, sys, traceback, warnings
from pathlib import Path
early = logging.getLogger("early"); early.addHandler(logging.StreamHandler())
from tunekit.cli.console import quiet
with quiet(Path("driver.log")) as console:
    late = logging.getLogger("late"); late.addHandler(logging.StreamHandler()); late.propagate = False
    secret = os.environ["HF_TOKEN"]
    print("printed", secret)
    sys.stderr.write(f"written {secret}\\n")
    sys.stderr.writelines([f"lines {secret}\\n"])
    late.error("logged %s", secret)
    logging.getLogger("nobody").error("last resort %s", secret)
    warnings.warn(f"warned {secret}")
    try:
        raise ValueError(f"raised {secret}")
    except ValueError:
        traceback.print_exc()
    console.print("for the user")
print("after")
"""


def test_no_log_holds_what_a_secret_variable_holds(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_TOKEN": CANARY, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LEAKS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "for the user\nafter\n"
    log = (tmp_path / "driver.log").read_text()
    for word in ("printed", "written", "lines", "logged", "last resort", "warned", "raised"):
        assert f"{word} [HF_TOKEN]" in log
    assert CANARY not in log


def test_an_error_on_the_terminal_holds_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.cli.exits import explain

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    explain(ConfigError(f"{CANARY} https://u:{CANARY}2@h"))
    said = capsys.readouterr().err
    assert said == "error: [AWS_SECRET_ACCESS_KEY] https://[hidden]@h\n"


def test_the_traceback_of_a_trial_is_logged_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.training.trial_loop import _reason

    monkeypatch.setenv("HF_TOKEN", CANARY)
    with caplog.at_level(logging.ERROR):
        try:
            raise RuntimeError(f"refused {CANARY}")
        except RuntimeError as error:
            reason = _reason(error, "trial failed")
    assert "[HF_TOKEN]" in caplog.text and "[HF_TOKEN]" in reason
    assert CANARY not in caplog.text + reason


# -- ports -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(), ids=label)
def test_no_module_names_an_address_that_all_machines_reach(path: Path) -> None:
    strings = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    everywhere = [node.lineno for node in strings if node.value in ("0.0.0.0", "::", "[::]")]
    assert not everywhere, f"{label(path)}:{everywhere}: a server listens on the loopback address unless it is asked"


@pytest.mark.parametrize(
    ("host", "origin", "is_let_in"),
    [
        ("127.0.0.1:8080", None, True),
        ("localhost:8080", "http://localhost:8080", True),
        ("127.0.0.1:8080", "https://evil.example", False),
        ("127.0.0.1:8080", "http://127.0.0.1:9999", False),
        ("127.0.0.1:8080", "null", False),
        ("evil.example:8080", None, False),
        (None, None, False),
    ],
)
def test_the_dashboard_serves_no_page_of_others(host: str | None, origin: str | None, is_let_in: bool) -> None:
    began: list[str] = []

    def inner(environment: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"studies"]

    asked = {"HTTP_HOST": host, "HTTP_ORIGIN": origin}
    environment = {name: value for name, value in asked.items() if value is not None}
    page = for_this_machine(inner, 8080)(environment, lambda status, _: began.append(status))  # type: ignore
    assert (began, b"studies" in b"".join(page)) == (["200 OK" if is_let_in else "403 Forbidden"], is_let_in)


# -- names and folders -------------------------------------------------------------------------------------------------

LEAVES = ["../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "C:\\x\\..", "a\0b", "a\nb", "\x1b[31m"]


@pytest.mark.parametrize("name", LEAVES)
def test_a_name_from_a_journal_does_not_leave_the_sweeps_folder(name: str) -> None:
    from tunekit.reports.words import config_file

    folder = SweepFolder(Path("runs/words"))
    with pytest.raises(ConfigError, match="cannot name a file"):
        folder.trial(name)
    with pytest.raises(ConfigError, match="cannot name a file"):
        config_file(name)
    if name:
        with pytest.raises(ConfigError, match="cannot name a file"):
            folder.export(name)
    assert folder.trial("0123456789ab").path == Path("runs/words/trials/0123456789ab")


@pytest.mark.parametrize("name", LEAVES)
def test_the_name_option_does_not_lead_out_of_the_root(name: str, tunekit: Any) -> None:
    if "\0" in name:
        return  # no command line can hold it
    told = tunekit("sweep", "words.yaml", "--name", name, "--in-process", "--dry-run")
    assert told.code == 2 and "cannot name a folder" in told.err
    assert not Path("x").exists() and not Path("runs").exists()


def test_deleting_a_folder_stops_at_links(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    inner = tmp_path / "trial"
    inner.mkdir()
    (inner / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    storage.remove_folder(tmp_path / "link")
    storage.remove_folder(inner)
    assert (tmp_path / "precious" / "file").exists() and not inner.exists()


def test_writing_a_file_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "outcome.json").symlink_to(tmp_path / "precious")
    storage.write_json(tmp_path / "outcome.json", {"a": 1})
    assert (tmp_path / "precious").read_text() == "precious"
    assert json.loads((tmp_path / "outcome.json").read_text()) == {"a": 1}


# -- markup ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "`x`\n\n<img src=x onerror=y>", "[a](javascript:x)", "a|b"]
)
def test_the_page_of_an_exported_adapter_shows_names_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from markdown_it import MarkdownIt

    page = importlib.import_module("tunekit.export.page")

    task = SimpleNamespace(name=name, source_language=name)
    parts = {"training": SimpleNamespace(max_length=8), "backbone": SimpleNamespace(dtype="fp32")}
    config: Any = SimpleNamespace(method=name, task=task, options={name: name}, trial_id="0", seed=1, **parts)
    method: Any = SimpleNamespace(kind="pair", labels=[name, "B"])
    monkeypatch.setattr(page, "_loading", lambda *_: "")
    monkeypatch.setattr(page, "_pair", lambda *_: "")
    text = page.page(config, method, base=name, epoch=1)
    tokens = MarkdownIt("commonmark").parse(text)
    inside = [child for token in tokens for child in token.children or []]
    links = [child.attrGet("href") for child in inside if child.type == "link_open"]
    assert links == ["https://github.com/huggingface/peft"]
    assert not [token for token in (*tokens, *inside) if token.type in ("html_block", "html_inline", "image")]


def test_the_journal_of_a_sweep_can_be_read_as_plain_data(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        path = journal.path
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
    assert yaml.safe_load("a: 1") == {"a": 1}
