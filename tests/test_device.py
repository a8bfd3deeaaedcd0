"""The device that a worker computes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_trials import trial

from tunekit.errors import DeviceLost
from tunekit.training import Pack, WorkerCache
from tunekit.training import pack as packs
from tunekit.training.device import limit_memory, peak_memory_fraction, require_answer
from tunekit.training.pack_size import PackSetting
from tunekit.training.updates import Cost
from tunekit.trial import Locations

CUDA = torch.device("cuda", 1)


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_gpu_is_given_up_only_if_it_answers_no_more(is_dead: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def synchronize(device: object) -> None:
        asked.append(device)
        if is_dead:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    error = ValueError("of a trial")
    if is_dead:
        with pytest.raises(
            DeviceLost, match=r"^cuda:1 answers this process no more: ValueError: of a trial$"
        ) as raised:
            require_answer(CUDA, error)
        assert raised.value.__cause__ is error
    else:
        require_answer(CUDA, error)
    assert asked == [CUDA]
    require_answer(torch.device("cpu"), error)
    assert asked == [CUDA], "a CPU is not asked"


def test_a_worker_computes_lstms_and_products_in_whole_fp32() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    WorkerCache()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[int | None, float]:
    """A GPU of 1000 bytes under every number; gives what share of each this process may take."""
    shares: dict[int | None, float] = {}

    def set_share(share: float, index: int | None) -> None:
        shares[index] = share

    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", set_share)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda index: shares.get(index, 1.0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1000))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 100 * (1 + (device.index or 0)))
    return shares


def test_a_worker_takes_its_share_of_the_gpu_that_it_computes_on_and_no_more(gpu: dict[int | None, float]) -> None:
    for device, share in ((CUDA, 0.25), (torch.device("cuda"), 1.0), (torch.device("cpu"), 0.25)):
        limit_memory(device, share)
    assert gpu == {1: 0.25}
    assert peak_memory_fraction(CUDA) == 200 / 250
    assert peak_memory_fraction(torch.device("cuda")) == 100 / 1000
    assert peak_memory_fraction(torch.device("cpu")) == 0


@pytest.mark.parametrize(("pack", "num_looks"), [("off", 0), (4, 0), ("auto", 1)])
def test_how_full_a_gpu_is_is_asked_only_where_a_pack_may_grow(
    pack: PackSetting, num_looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[torch.device] = []

    def look(device: torch.device) -> float:
        looks.append(device)
        return 0.5

    monkeypatch.setattr(packs, "peak_memory_fraction", look)
    monkeypatch.setattr(packs, "choose_device", lambda _: CUDA)
    made = Pack(WorkerCache())
    made.add(trial(), folder=Path("nowhere"), locations=Locations(), tokens_per_step=64, test=False, pack=pack)
    made._learn_size(1, Cost(num_tokens=10, seconds=1.0))
    assert looks == [CUDA] * num_looks
