"""The device that a worker computes on: how exactly it computes, and whether it still answers."""

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
