"""What a trial costs: floating-point operations by a formula, and hours at a measured rate.

Each weight of the backbone that is multiplied (N of them: all but the embedding tables, which are looked up) costs 2
operations per token in the forward pass. Training it costs 4 more: 2 for the gradient of what came in, 2 for its own. A
frozen backbone with trained prompts costs the former 2 only; a method that trains nothing is evaluated and no more.
The attention between tokens (less than a tenth up to 256 tokens) and the head are left out, and so is padding; the
efficiency of the rate makes up for it. A prompt at the input goes through every layer and counts as text; keys and
values given to every layer do not.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunekit.check.findings import Rate
from tunekit.check.text import Text
from tunekit.sweep import ResourcesConfig
from tunekit.training.schedule import updates_per_epoch
from tunekit.trial import SideTask, TrainingConfig
from tunekit.wording import plural

if TYPE_CHECKING:
    from tunekit.backbone import Backbone
    from tunekit.methods import Method

FORWARD = 2
"""Operations of the forward pass for each multiplied weight and token; `Method.backward_operations` has the others."""

BACKWARD_FROZEN = 2
"""The same of the backward pass where a side task leaves the backbone as it is."""

CPU_EFFICIENCY = 0.6
"""What training sustains of a feed-forward block on few cores: attention, padding and the head take the rest."""
GPU_FLOPS_PER_S = 20e12
"""Assumed of a whole GPU, since a check costs no GPU time."""
UPDATE_S = 0.005
"""What an update takes however little it computes."""
MEASURING_S = 0.1
ROWS = 1024


@dataclass(frozen=True)
class Work:
    """Operations of one trial."""

    flops: float
    """Training and dev evaluation, all epochs."""
    test_flops: float
    """Scoring test once."""
    num_updates: int
    """On rows of train and on the method's side task."""
    num_side_updates: int = 0
    """Those on the side task alone."""


def multiplied_weights(backbone: Backbone) -> int:
    """N: the backbone's parameters without its embedding tables."""
    from torch import nn

    tables = {id(module.weight): module.weight for module in backbone.modules() if isinstance(module, nn.Embedding)}
    return backbone.num_parameters() - sum(weight.numel() for weight in tables.values())


def work(method: Method, training: TrainingConfig, *, train: Text, dev: Text, test: Text) -> Work:
    """What one trial of `method` costs that is not stopped early.

    Args:
        method: with its backbone, which may lie on the meta device.
        training: epochs, batch size, updates.
        train: the train split.
        dev: all dev data that are scored after each epoch.
        test: all test data.
    """
    weights = multiplied_weights(method.backbone)

    def tokens(text: Text) -> int:
        return text.num_tokens + text.num_rows * method.num_input_positions

    test_flops = FORWARD * tokens(test) * weights
    if not method.is_trained:
        return Work(flops=FORWARD * tokens(dev) * weights, test_flops=test_flops, num_updates=0)
    updates = updates_per_epoch(train.num_rows, training)
    passes = updates / math.ceil(train.num_rows / training.batch_size)
    trained = tokens(train) * method.num_computed_rows
    epoch = (FORWARD + method.backward_operations) * passes * trained + FORWARD * tokens(dev)
    labelled, side = training.epochs * updates, method.side_task
    beside = _side_flops(method, side, labelled, training.epochs) * tokens(train) / train.num_rows if side else 0.0
    return Work(
        flops=(training.epochs * epoch + beside) * weights,
        test_flops=test_flops,
        num_updates=labelled + (side.num_updates if side else 0),
        num_side_updates=side.num_updates if side else 0,
    )


def _side_flops(method: Method, side: SideTask, num_labelled: int, epochs: int) -> float:
    """Operations for each weight and each token of a row, of the side task in a whole trial.

    Its rows are taken to be as long as train's.
    """
    backward = BACKWARD_FROZEN if side.trains else method.backward_operations
    with_labels = (FORWARD + method.backward_operations) * num_labelled * (side.weight > 0)
    rows = side.num_rows * (with_labels + (FORWARD + backward) * side.num_updates)
    return rows + FORWARD * side.num_heldout_rows * (epochs + 1)


def seconds(flops: float, rate: Rate, *, num_updates: int = 0) -> float:
    """How long `flops` take."""
    return flops / rate.flops_per_s + num_updates * UPDATE_S


def rate_of(backbone: Backbone, resources: ResourcesConfig) -> Rate:
    """What one trial sustains: measured here on the CPU for a fraction of a second, assumed for a GPU.

    The measurement is a feed-forward block of the backbone's width and number format, forward and backward, on as many
    threads as a trial gets. A plain matrix product would tell less: in bf16 it is many times as fast as what stands
    between two of them.
    """
    if resources.gpu > 0:
        basis = f"assumed {GPU_FLOPS_PER_S / 1e12:g} TFLOP/s per GPU (nothing was run on one)"
        return Rate(flops_per_s=GPU_FLOPS_PER_S * resources.gpu, basis=basis)
    threads = math.ceil(resources.cpu)
    measured = _block_flops_per_s(backbone, threads)
    basis = (
        f"{measured / 1e9:.3g} GFLOP/s measured here on {plural(threads, 'thread')} for a feed-forward block "
        f"of width {backbone.hidden_size}, of which training sustains about {CPU_EFFICIENCY:.0%}"
    )
    return Rate(flops_per_s=CPU_EFFICIENCY * measured, basis=basis)


def _block_flops_per_s(backbone: Backbone, threads: int) -> float:
    import torch
    from torch import nn

    width, before = backbone.hidden_size, torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            block = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        block.to(backbone.arithmetic).requires_grad_(False)
        rows = torch.ones(ROWS, width, dtype=backbone.arithmetic, requires_grad=True)
        block(rows).sum().backward()  # the first call sets the library up
        started, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < MEASURING_S or count == 0:
            block(rows).sum().backward()
            count += 1
        return (FORWARD + BACKWARD_FROZEN) * ROWS * 8 * width**2 * count / elapsed
    finally:
        torch.set_num_threads(before)
