"""The device that a worker computes on: how exactly it computes, its memory, and whether it still answers."""

from __future__ import annotations

import torch

from tunekit.errors import DeviceLost


def compute_exactly() -> None:
    """Let fp32 be fp32 on every device, for this whole process.

    Left to itself torch computes LSTMs and convolutions on a GPU with 10 bits of mantissa (TF32), while matrix products
    are exact.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def limit_memory(device: torch.device, share: float) -> None:
    """Where several workers share a GPU, see that this one takes no more of its memory than its share.

    Args:
        device: to compute on; of a CPU nothing is limited.
        share: above 0 to 1.
    """
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(float(share), device.index)  # takes no "cuda"


def memory_bytes(device: torch.device) -> float:
    """Of a GPU's memory, what this process may take."""
    share = torch.cuda.get_per_process_memory_fraction(device.index)
    return share * torch.cuda.get_device_properties(device).total_memory


def peak_memory_fraction(device: torch.device) -> float:
    """The highest part of that which tensors have held since a trial was last begun; 0 without a GPU.

    What the allocator keeps beyond that is no need of memory: it gives it back before it runs out.
    """
    return torch.cuda.max_memory_allocated(device) / memory_bytes(device) if device.type == "cuda" else 0.0


def give_memory_back(device: torch.device) -> None:
    """Hand back what the allocator keeps of a GPU's memory and no tensor uses, for another process or another shape."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def require_answer(device: torch.device, error: Exception) -> None:
    """After an error nobody expected: see that the device still takes work.

    After some errors of its kernels or of its memory a GPU answers every further call of the process with the same
    error, whatever trial makes it.

    Args:
        device: which was computed on.
        error: what went wrong.

    Raises:
        DeviceLost: it takes none any more.
    """
    if _is_silent(device):
        first_line = str(error).strip().partition("\n")[0]
        raise DeviceLost(f"{device} answers this process no more: {type(error).__name__}: {first_line}") from error


def _is_silent(device: torch.device) -> bool:
    """Whether even waiting for what was begun fails; this asks for no memory."""
    if device.type != "cuda" or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize(device)
    except Exception:
        return True
    return False
