"""The device that a worker computes on."""

from __future__ import annotations

import pytest
import torch

from tunekit.errors import DeviceLost
from tunekit.training import WorkerCache
from tunekit.training.device import require_answer

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
