"""What every test may rely on: no network, one thread, and the shared data where it exists."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from command_line import CommandLine

    from tunekit.trial import Locations

ROOT = Path(__file__).resolve().parents[1]

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would have it ignored

# A busy machine is no failure.
settings.register_profile("tunekit", deadline=None)
settings.load_profile("tunekit")

# Read by the libraries when they are first imported, and inherited by every process that a test starts; so they are set
# here and not in a fixture. One thread: workers and tests share the machine, and sums come out the same everywhere.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data (``data/``) and models (``models/``): ``$TUNEKIT_SHARED``, else ``../shared``."""
    named = os.environ.get("TUNEKIT_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set TUNEKIT_SHARED to the folder that holds data/ and models/")
    return folder


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's random BERT (two layers, width 16, 64 positions) in the hub's format; read only."""
    import fakes

    return fakes.save_backbone(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def locations(backbone: Path) -> Locations:
    """The places of a trial on that backbone."""
    from tunekit.trial import Locations

    return Locations(backbone_path=str(backbone), device="cpu")


@pytest.fixture
def tunekit(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbone: Path
) -> CommandLine:
    """The command line in a fresh folder with the tiny world's sweep file and backbone."""
    from command_line import SWEEP, CommandLine

    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(backbone)
    Path("words.yaml").write_text(SWEEP)
    return CommandLine(capfd, monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse TCP connections that leave the machine's own networks (Ray's processes talk to each other by TCP)."""

    def connect(self: socket.socket, address: Any) -> None:
        if self.type == socket.SOCK_STREAM and self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_outside(str(address[0]))
        real_connect(self, address)

    real_connect = socket.socket.connect
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect)
    yield
    patch.undo()


def _refuse_outside(host: str) -> None:
    try:
        is_ours = ipaddress.ip_address(host).is_private
    except ValueError:
        is_ours = host in ("localhost", socket.gethostname())
    if not is_ours:
        raise OSError(f"tests use no network, and this one wants {host}")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _skip_what_needs_a_gpu([item for item in items if item.get_closest_marker("gpu")])
    _share_out(items)


def _skip_what_needs_a_gpu(marked: list[pytest.Item]) -> None:
    """With the reason, where there is no CUDA device."""
    if not marked:
        return
    import torch  # only now: most runs collect no such test and need not wait for it

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))


def _share_out(items: list[pytest.Item]) -> None:
    """Several processes (``-n``) share the tests by module; all that start a Ray go to one of them, and first.

    Two clusters at once would slow each other down, and they take longest.
    """
    for item in items:
        is_ray = item.get_closest_marker("ray") is not None
        item.add_marker(pytest.mark.xdist_group("ray" if is_ray else item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Several processes tell each other in UTF-8 what tests have printed, and some print what UTF-8 cannot express."""
    return _expressible((yield))


def _expressible(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _expressible(content) for key, content in value.items()}
    return type(value)(map(_expressible, value)) if isinstance(value, list | tuple) else value
