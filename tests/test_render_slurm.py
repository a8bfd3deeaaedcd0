"""The batch script for Slurm: bash reads it, and it passes signals on, queues again and ends as the sweep ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import typer
from command_line import SWEEP, CommandLine, Result

from tunekit.cli import app
from tunekit.journal import replay

HERE = Path(__file__).parent
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SRUN = """\
#!/bin/bash
while [ "$1" != ray ]; do shift; done
exec "$@"
"""
RAY = """\
#!/bin/bash
echo "$@" >> "$LOGS/ray"
[ -z "$RAY_FAILS" ] || exit 0
while [ "$1" != -- ]; do shift; done
shift
"$@"
"""
SCONTROL = """\
#!/bin/bash
echo "$@" >> "$LOGS/scontrol"
"""
TUNEKIT = f"""\
#!{sys.executable} -ISu
import os, signal, sys
def leave(*_):
    open(os.environ["LOGS"] + "/left", "w").close()
    sys.exit(1)
signal.signal(signal.SIGTERM, leave)
with open(os.environ["LOGS"] + "/words", "w") as file:
    print(*sys.argv[1:], sep="\\n", file=file)
with open(os.environ["LOGS"] + "/started", "w") as pipe:
    print(os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"], file=pipe)
if "ENDS_WITH" in os.environ:
    sys.exit(int(os.environ["ENDS_WITH"]))
signal.pause()
"""


@pytest.fixture
def render(tunekit: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with the options; gives the result of the command."""
    monkeypatch.chdir(tmp_path)
    Path("words.yaml").write_text(SWEEP)

    def call(*options: str) -> Result:
        return tunekit("render", "slurm", "words.yaml", *options)

    return call


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--nodes=3", "--gpus=8", "--set=resources.gpu=1", "--partition=gpu", "--account=me", "--time=2-00:00:00"],
        ["--share-nodes", "--root=it's; a folder", "--setup=module load cuda", "--set=seeds=[1, 2]"],
    ],
    ids=["plain", "gpus", "odd"],
)
def test_bash_and_shellcheck_find_no_fault_in_the_script(options: list[str], render: Any) -> None:
    script = render(*options).out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    checker = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if checker is None:
        pytest.skip("bash finds no fault; shellcheck is not installed")
    subprocess.run([checker, "--shell=bash", "-"], input=script, text=True, check=True)


def directives(script: str) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")}


def test_the_job_asks_for_what_the_trials_of_the_sweep_take(render: Any) -> None:
    wanted = ["--set=resources.gpu=0.5", "--set=resources.cpu=3", "--gpus=2", "--nodes=2", "--time=4:00:00"]
    made = render(*wanted, "--partition=gpu", "--account=lab", "--warning=60").out
    asked = directives(made)
    assert {"--nodes=2", "--gpus-per-node=2", "--cpus-per-task=12", "--ntasks-per-node=1", "--time=4:00:00"} <= asked
    assert {"--partition=gpu", "--account=lab", "--signal=B:USR1@60", "--requeue", "--open-mode=append"} <= asked
    assert {"--exclusive", "--mem=0"} <= asked, "two Rays on one node would end each other"
    assert "--workers 8" in made
    shared = directives(render("--share-nodes", "--workers=2", "--set=resources.memory=3GiB").out)
    assert "--mem=8G" in shared and "--exclusive" not in shared


def test_directives_stand_before_the_first_command(render: Any) -> None:
    """Slurm reads no further."""
    lines = render().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert lines[0] == "#!/bin/bash"
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--time=soon"], "--time is 'soon', must be such as 8:00:00"),
        (["--partition=a b"], "--partition is 'a b'"),
        (["--setup=one\ntwo"], "one line of shell"),
        (["--nodes=3", "--workers=2"], "only 2 trials run at once"),
        (["--nodes=0"], "--nodes is 0"),
        (["--gpus=2"], "no trial would use a GPU"),
        (["--warning=0"], "--warning is 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_what_would_be_right(options: list[str], said: str, render: Any) -> None:
    refused = render(*options)
    assert refused.code == 2
    assert said in " ".join(refused.err.split())


# -- the script runs ---------------------------------------------------------------------------------------------------


class Node:
    """A node of a Slurm cluster, with fakes of the programs that the script calls."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder, self.logs = folder, folder / "logs"
        self.script = folder / "job.sh"
        self.script.write_text(script)
        self.logs.mkdir()
        (folder / "bin").mkdir()
        os.mkfifo(self.logs / "started")
        for name, text in {"srun": SRUN, "ray": RAY, "scontrol": SCONTROL, "tunekit": TUNEKIT}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o700)
        self.environment = {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LOGS": str(self.logs),
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": "71",
            "TUNEKIT_HEAD_IP": "10.0.0.7",
            "RAY_FAILS": "",
        }

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(self.script)],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def open(self) -> IO[str]:
        """Wait until the driver has started."""
        return (self.logs / "started").open()

    def said(self, name: str) -> str:
        path = self.logs / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def node(render: Any, tmp_path: Path) -> Node:
    (tmp_path / "node").mkdir()
    options = ["--setup=true", "--set", "fixed={epochs: 1, max_length: 16}", "--nodes=1", "--workers=2"]
    return Node(tmp_path / "node", render(*options).out)


def test_the_driver_gets_its_words_the_address_and_the_token(node: Node) -> None:
    job = node.start(ENDS_WITH="0")
    with node.open() as pipe:
        mode, token = pipe.read().split()
    assert job.wait() == 0
    words = ["sweep", "words.yaml", "--name", "words", "--root", "runs", "--workers", "2"]
    words += ["--set", "fixed={epochs: 1, max_length: 16}", "--address", "10.0.0.7:20071"]
    assert node.said("words").splitlines() == words
    known = {option for parameter in COMMANDS["sweep"].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert "--address 10.0.0.7:20071 --min-nodes 1 --num-cpus=2 --num-gpus=0" in node.said("ray")
    assert mode == "token"
    assert len(Path(token).read_text()) == 64
    assert Path(token).stat().st_mode & 0o077 == 0, "nobody else may read it"
    assert Path(token).read_text() not in node.said("ray") + node.said("words")


def test_before_its_time_is_over_the_driver_may_leave_and_the_job_queues_again(node: Node) -> None:
    job = node.start()
    with node.open() as pipe:
        pipe.read()
    job.send_signal(signal.SIGUSR1)
    assert job.wait() == 1
    assert (node.logs / "left").exists(), "the driver got SIGTERM"
    assert node.said("scontrol") == "requeue 71\n"


def test_a_job_that_a_person_ends_leaves_in_order_and_stays_ended(node: Node) -> None:
    job = node.start()
    with node.open() as pipe:
        pipe.read()
    job.send_signal(signal.SIGTERM)
    assert job.wait() == 1
    assert (node.logs / "left").exists()
    assert node.said("scontrol") == ""


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_job_ends_as_the_sweep_ended(code: int, node: Node) -> None:
    job = node.start(ENDS_WITH=str(code))
    with node.open() as pipe:
        pipe.read()
    assert job.wait() == code
    assert node.said("scontrol") == ""
    assert not list(node.folder.glob("tmp.*")), "nothing is left behind"


def test_a_ray_that_does_not_start_is_no_success(node: Node) -> None:
    """`ray symmetric-run` itself ends with 0 then."""
    job = node.start(RAY_FAILS="yes")
    said, _ = job.communicate()
    assert job.returncode == 1
    assert "Ray did not start" in said


# -- and with Ray's own symmetric-run ----------------------------------------------------------------------------------


@pytest.fixture
def alone() -> list[str]:
    """What runs a command where it sees no process but its own: symmetric-run ends every Ray that it can see."""
    words = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a namespace of processes, and Ray's own stop would end other Rays")
    return words


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets in there, whose paths the system limits to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tk-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.ray
def test_the_sweep_runs_to_its_end_on_a_ray_that_the_script_starts(
    alone: list[str], render: Any, backbone: Path, short_folder: Path
) -> None:
    sweep = SWEEP.replace("backbone: tiny", f"backbone: {backbone}")
    (short_folder / "words.yaml").write_text(sweep)
    bin_folder = Path(sys.executable).parent
    options = ["--setup", f'export PATH="{short_folder}/bin:{bin_folder}:$PATH"', "--workers=1"]
    Path("words.yaml").write_text(sweep)
    node = Node(short_folder, render(*options).out)
    for fake in ("ray", "tunekit"):
        (short_folder / "bin" / fake).unlink()
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    node.environment |= {"TUNEKIT_HEAD_IP": "127.0.0.1", "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    node.environment |= {"RAY_TMPDIR": str(short_folder), "OMP_NUM_THREADS": "1"}
    job = subprocess.run(
        [*alone, "bash", str(node.script)], env=node.environment, capture_output=True, text=True, timeout=240
    )
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    record = replay(short_folder / "runs" / "words")
    assert {trial.state for trial in record.trials.values()} == {"COMPLETE"}
