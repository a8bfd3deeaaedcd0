"""What oneDNN may keep of the kernels that it makes for each new shape of a matrix product.

On a CPU, products in bf16 are oneDNN's (and large ones in fp32 on an AMD processor). It writes a kernel for each shape
and keeps 1024 of them, which holds hundreds of megabytes for the life of a process: rows of many lengths, in batches of
many sizes, rarely make the same shape twice.
"""

from __future__ import annotations

import os

CAPACITY = 128
"""Kernels kept: those of some ten batches, so that the layers of a pass share them."""
VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY")
"""Either sets the number; oneDNN reads them once, at its first product."""


def keep_few_kernels() -> None:
    """Have oneDNN keep `CAPACITY` kernels in this process, unless the user's environment names a number.

    Without effect after the first product that oneDNN has computed. Changes no result.
    """
    if not any(name in os.environ for name in VARIABLES):
        os.environ[VARIABLES[0]] = str(CAPACITY)
