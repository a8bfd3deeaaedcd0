"""torch and what it computes on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.doctor.libraries import installed_version
from tunekit.wording import in_bytes, one_line, plural

if TYPE_CHECKING:
    import torch

DRIVER = Path("/proc/driver/nvidia/version")
"""Is there where a machine has NVIDIA's driver."""
LITTLE_FREE = 0.5
"""Of a device's memory; where less is free, somebody else is at work there."""


def devices(patient: Patient) -> Iterator[Finding]:
    """torch, its threads, and each device."""
    if installed_version("torch") is None:
        yield wrong("torch", "not installed, so nothing can be trained here", "pip install -c constraints.txt torch")
        return
    with warnings.catch_warnings(record=True) as said:  # torch warns of a driver that is too old, and goes on without
        warnings.simplefilter("always")
        import torch

        is_there = torch.cuda.is_available()
    threads = plural(torch.get_num_threads(), "thread")
    yield ok("torch", f"{torch.__version__}, {threads}, built for {_built_for(torch.version.cuda)}")
    if is_there:
        yield from _cuda(torch.cuda.device_count())
    elif torch.backends.mps.is_available():
        yield warning("device", "Apple's GPU (mps)", "tunekit is not tested there; `device: cpu` is")
    else:
        yield without_cuda(
            [one_line(str(warned.message)) for warned in said if "CUDA" in str(warned.message)],
            has_driver=DRIVER.exists(),
            built_for=torch.version.cuda,
            shown=os.environ.get("CUDA_VISIBLE_DEVICES"),
        )


def _built_for(cuda: str | None) -> str:
    return f"CUDA {cuda}" if cuda else "the CPU alone"


def without_cuda(said: list[str], *, has_driver: bool, built_for: str | None, shown: str | None) -> Finding:
    """What it means that torch finds no CUDA device.

    Args:
        said: torch's warnings.
        has_driver: whether the machine has NVIDIA's driver.
        built_for: the CUDA that torch was built for; None for a torch without.
        shown: what ``CUDA_VISIBLE_DEVICES`` holds.
    """
    if not has_driver:
        return ok("device", "CPU; no NVIDIA driver here")
    if shown is not None and not shown.strip("-1 ,"):
        return warning("device", f"CPU: CUDA_VISIBLE_DEVICES={shown!r} hides the GPUs", "unset CUDA_VISIBLE_DEVICES")
    if built_for is None:
        cure = "install the torch that is built for CUDA (https://pytorch.org/get-started)"
        return wrong("device", "CPU: there is an NVIDIA driver, but this torch is built without CUDA", cure)
    reason = f" ({'; '.join(said)})" if said else ""
    cure = f"update the driver, or install a torch for the driver's CUDA instead of {built_for}; nvidia-smi shows both"
    return wrong("device", f"CPU: torch cannot use the NVIDIA driver{reason}", cure)


def _cuda(num_devices: int) -> Iterator[Finding]:
    for index in range(num_devices):
        yield _device(index)


def _device(index: int) -> Finding:
    """One device: what it is, what is free, and whether it computes."""
    import torch

    name = f"device {index}"
    shown = torch.cuda.get_device_properties(index)
    said = f"{shown.name} (compute {shown.major}.{shown.minor}, driver for CUDA {_driver()})"
    try:
        free, total = torch.cuda.mem_get_info(index)
        computed = _computes(torch.device("cuda", index))
    except RuntimeError as error:
        reason = one_line(str(error))
        return wrong(name, f"{said} does not compute: {reason}", "free it, or hide it with CUDA_VISIBLE_DEVICES")
    if not computed:
        return wrong(name, f"{said} computes wrong sums", "hide it with CUDA_VISIBLE_DEVICES and have it repaired")
    with torch.cuda.device(index):
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    said = f"{said}, {in_bytes(free)} of {in_bytes(total)} free, {'bf16' if has_bf16 else 'no bf16'}"
    return judged(name, said, free_share=free / total, has_bf16=has_bf16)


def judged(name: str, said: str, *, free_share: float, has_bf16: bool) -> Finding:
    """A device that computes."""
    if free_share < LITTLE_FREE:
        return warning(name, said, "another process is on it (nvidia-smi shows which); end it, or use another device")
    if not has_bf16:
        return warning(name, said, "use dtype: float32 (backbone.dtype), or a device of compute 8.0 or later")
    return ok(name, said)


def _driver() -> str:
    """The newest CUDA that the driver can run."""
    import torch

    number = int(getattr(torch._C, "_cuda_getDriverVersion", lambda: 0)())  # only a torch for CUDA has it
    return f"{number // 1000}.{number % 1000 // 10}"


def _computes(device: torch.device) -> bool:
    import torch

    square = torch.ones(64, 64, device=device)
    return bool(torch.all(square @ square == 64).item())
