"""Which errors of the hub and of files pass by themselves, with the very errors that the libraries raise."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest

from tunekit import patience
from tunekit.backbone import load as load_backbone
from tunekit.backbone import sources
from tunekit.errors import ConfigError, DataError
from tunekit.storage import file_digest
from tunekit.tasks.readers.hub import Hub, pairs
from tunekit.tasks.readers.rows import rows_of
from tunekit.tasks.readers.sources import DataAbsent
from tunekit.trial import BackboneConfig, Locations

datasets = pytest.importorskip("datasets")
hub_errors = pytest.importorskip("huggingface_hub.errors")
http = pytest.importorskip(hub_errors.HTTPError.__module__.partition(".")[0])
aiohttp = pytest.importorskip("aiohttp")
requests = pytest.importorskip("requests")

URL = "https://huggingface.co/datasets/xnli"


def answer(kind: Any, status: int) -> Exception:
    """What huggingface_hub makes of a status code."""
    found: Exception = kind(f"{status} for {URL}", response=http.Response(status, request=http.Request("GET", URL)))
    return found


def caused(outer: Exception, *causes: Exception) -> Exception:
    """`outer`, as it is raised from one error that was raised from the next."""
    error = outer
    for cause in causes:
        error.__cause__ = cause
        error = cause
    return outer


PASSES = [
    answer(hub_errors.HfHubHTTPError, 429),
    answer(hub_errors.HfHubHTTPError, 503),
    http.ConnectError("[Errno -3] Temporary failure in name resolution"),
    http.ReadTimeout("The read operation timed out"),
    http.RemoteProtocolError("peer closed connection"),
    requests.exceptions.ConnectionError("Max retries exceeded"),
    requests.exceptions.ReadTimeout("timed out"),
    aiohttp.ClientPayloadError("Response payload is not completed"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError("timed out"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
    caused(
        OSError("We couldn't connect to 'https://huggingface.co' to load the files"),
        hub_errors.LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub"),
        http.ConnectError("[Errno 101] Network is unreachable"),
    ),
    caused(
        datasets.exceptions.DatasetGenerationError("An error occurred while generating the dataset"),
        aiohttp.ClientPayloadError("Response payload is not completed"),
    ),
    caused(OSError("There was a specific connection error"), answer(hub_errors.HfHubHTTPError, 500)),
]
STAYS = [
    answer(hub_errors.RepositoryNotFoundError, 404),
    answer(hub_errors.RepositoryNotFoundError, 401),
    answer(hub_errors.GatedRepoError, 403),
    answer(hub_errors.RevisionNotFoundError, 404),
    answer(hub_errors.BadRequestError, 400),
    hub_errors.OfflineModeIsEnabled("Cannot reach https://huggingface.co: offline mode is enabled"),
    hub_errors.LocalEntryNotFoundError("not in the cache, and local_files_only"),
    caused(
        ConnectionError("Couldn't reach 'xnli' on the Hub (OfflineModeIsEnabled)"),
        hub_errors.OfflineModeIsEnabled("offline mode is enabled"),
    ),
    caused(http.ConnectError("certificate verify failed"), ssl.SSLCertVerificationError("self-signed certificate")),
    caused(datasets.exceptions.DatasetNotFoundError("doesn't exist"), answer(hub_errors.RepositoryNotFoundError, 404)),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    PermissionError(errno.EACCES, "Permission denied"),
    ValueError("Unknown split"),
]


def _name(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:30]}"


@pytest.mark.parametrize("error", PASSES, ids=_name)
def test_what_passes_is_waited_for(error: Exception) -> None:
    wait = patience.passing(error, "load xnli")
    assert wait is not None and wait.limit_s == 600 and wait.text.startswith("cannot load xnli now: ")


@pytest.mark.parametrize("error", STAYS, ids=_name)
def test_what_stays_is_not_waited_for(error: Exception) -> None:
    assert patience.passing(error, "load xnli") is None


def test_a_disk_that_is_full_below_the_hubs_cache_is_waited_for_without_end() -> None:
    error = caused(RuntimeError("cannot download"), OSError(errno.ENOSPC, "No space left on device"))
    wait = patience.passing(error, "load xnli")
    assert wait is not None and wait.topic == "disk full" and wait.limit_s == float("inf")


# -- readers -----------------------------------------------------------------------------------------------------------


class Listening:
    """Waits without waiting, and keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.paused: list[float] = []

    def __enter__(self) -> Listening:
        self._block = patience.listening(lambda text, topic: self.said.append(text), pause=self.paused.append)
        self._block.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._block.__exit__(*details)


def failing(times: int, error: Exception, then: Callable[..., Any]) -> Callable[..., Any]:
    """A function that raises so many times before it does what it should."""
    left = [times]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return then(*args, **kwargs)

    return call


XNLI = Hub("facebook/xnli", {"en": "en"}, pairs("premise", "hypothesis"))


def two_rows(*_: object, **__: object) -> Any:
    names = datasets.ClassLabel(names=["entailment", "neutral"])
    features = datasets.Features(premise=datasets.Value("string"), hypothesis=datasets.Value("string"), label=names)
    rows = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_data_set_is_read_once_the_hub_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = answer(hub_errors.HfHubHTTPError, 503)
    monkeypatch.setattr(datasets, "load_dataset", failing(4, busy, two_rows))
    with Listening() as heard:
        assert len(XNLI.read("train", "en")) == 2
    assert heard.paused == [1.0, 2.0, 4.0, 8.0]
    assert "cannot load facebook/xnli (en, train) from the hub now: HTTP status 503" in heard.said[0]


def test_a_hub_that_does_not_answer_for_ten_minutes_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = http.ConnectError("[Errno 101] Network is unreachable")
    monkeypatch.setattr(datasets, "load_dataset", failing(1000, gone, two_rows))
    with Listening() as heard, pytest.raises(DataAbsent, match=r"ConnectError: .*Network is unreachable; data_dir"):
        XNLI.read("train", "en")
    assert 600 <= sum(heard.paused) < 640


def test_a_gated_data_set_is_refused_at_once_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = caused(
        datasets.exceptions.DatasetNotFoundError("Dataset 'x' is a gated dataset on the Hub."),
        answer(hub_errors.GatedRepoError, 403),
    )
    monkeypatch.setattr(datasets, "load_dataset", failing(1, closed, two_rows))
    with Listening() as heard, pytest.raises(DataError, match="ask for access on its page of the hub, then log in"):
        XNLI.read("train", "en")
    assert not heard.paused


def test_a_data_file_on_a_share_that_fails_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train-en.tsv"
    path.write_text("a\nb")
    stale = OSError(errno.ESTALE, "Stale file handle")
    monkeypatch.setattr(Path, "read_bytes", failing(2, stale, Path.read_bytes))
    with Listening() as heard:
        assert rows_of(path) == ["a", "b"]
    assert len(heard.paused) == 2 and f"cannot read {path} now: Stale file handle" in heard.said[0]
    monkeypatch.setattr(Path, "open", failing(1, stale, Path.open))
    with Listening() as heard:
        assert len(file_digest(path)) == 64
    assert len(heard.paused) == 1


def test_a_data_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with Listening() as heard, pytest.raises(DataError, match="no such file"):
        rows_of(tmp_path / "train-en.tsv")
    assert not heard.paused


def test_a_backbone_is_loaded_once_the_hub_answers(
    backbone: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.backbone import loading

    unreachable = PASSES[-3]
    read = loading.AutoConfig.from_pretrained
    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", failing(3, unreachable, read))
    with Listening() as heard:
        load_backbone(BackboneConfig(name="tiny"), locations)
    assert heard.paused == [1.0, 2.0, 4.0]
    assert f"cannot read backbone 'tiny' from {backbone} now: ConnectError" in heard.said[0]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (caused(OSError("gated repo."), answer(hub_errors.GatedRepoError, 403)), "ask for access on its page"),
        (caused(OSError("not listed"), answer(hub_errors.RepositoryNotFoundError, 404)), "is it a Hugging Face hub id"),
        (http.ConnectError("unreachable"), "cannot load it from 'a/b': ConnectError: unreachable"),
    ],
)
def test_a_backbone_that_the_hub_does_not_give_is_one_clear_error(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "cached_file", failing(9, error, fakes.save_backbone))
    with pytest.raises(ConfigError, match=message):
        load_backbone(BackboneConfig(name="a/b"), Locations())


def test_a_backbone_that_memory_has_no_room_for_is_no_fault_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BackboneConfig(name="a/b")
    words = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    with pytest.raises(MemoryError, match="backbone 'a/b' does not fit"), sources.loading_errors(config, "a/b"):
        raise RuntimeError(words)
