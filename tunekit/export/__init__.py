"""A trained adapter as plain peft loads it, without tunekit: a folder with the adapter, the head and the code for both.

==============================  ====================================================================================
``adapter_config.json``         peft's own
``adapter_model.safetensors``   likewise
``head.safetensors``            the linear head, ``weight`` [labels, D] and ``bias`` [labels]; the labels as metadata
``README.md``                   where it comes from, and the code that loads and uses it
==============================  ====================================================================================

Nothing of the backbone's weights is read: the trained parameters are in the trial's checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from tunekit import methods, tasks
from tunekit.backbone import describe
from tunekit.backbone.tokenizers import local_tokenizer
from tunekit.errors import ConfigError
from tunekit.export.page import page
from tunekit.methods import Method
from tunekit.methods.parts.head import HeadMethod
from tunekit.storage import AnyPath, TrialFolder, filled_folder, storage_errors, write_text
from tunekit.training import checkpoints
from tunekit.training.trial_run import require_owner
from tunekit.trial import Locations, TrialConfig

__all__ = ["FinishedTrial", "export"]


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """A trial whose best parameters are to be exported."""

    config: TrialConfig
    locations: Locations
    folder: AnyPath
    """Its own, which holds its checkpoint."""


def export(trial: FinishedTrial, out: AnyPath) -> list[AnyPath]:
    """Write the best epoch's parameters of `trial` into the folder `out`, which is made; gives the files.

    Raises:
        ConfigError: the checkpoint is gone, peft has nothing like the method, or the trial split pieces of its text
            further, which the code in the folder does not do.
        StorageError: `out` cannot be written.
    """
    if isinstance(out, Path) and out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    if trial.config.backbone.segmentation:
        languages = ", ".join(trial.config.backbone.segmentation)
        raise ConfigError(
            f"segmentation: the trial split pieces of its text in {languages} further, which plain transformers and "
            "peft do not; export a trial without it"
        )
    method = _empty_method(trial)
    method.peft_adapter()  # refuses before anything is read or written
    epoch, parameters = _parameters(trial)
    _fill(method, parameters, TrialFolder(trial.folder).best)
    config, tensors = method.peft_adapter()
    base = trial.locations.here().backbone_path or trial.config.backbone.name
    config.base_model_name_or_path, config.revision = base, trial.config.backbone.revision
    head = {"weight": method.head.linear.weight.detach(), "bias": method.head.linear.bias.detach()}
    labels = {"labels": json.dumps(method.labels, ensure_ascii=False)}
    with filled_folder(out) as folder, storage_errors(f"write to {out}"):
        config.save_pretrained(str(folder))
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "adapter_model.safetensors")
        save_file(head, folder / "head.safetensors", metadata=labels)
        write_text(folder / "README.md", page(trial.config, method, base=base, epoch=epoch))
    return [
        out / name for name in ("adapter_config.json", "adapter_model.safetensors", "head.safetensors", "README.md")
    ]


def _empty_method(trial: FinishedTrial) -> HeadMethod:
    """The trial's method without weights, on the meta device, but with the tokenizer."""
    config = trial.config
    backbone = describe(config.backbone, trial.locations)
    backbone.tokenizer = local_tokenizer(config.backbone, trial.locations)
    if backbone.tokenizer is None:
        raise ConfigError(
            f"backbone {config.backbone.name!r}: its tokenizer is not on this machine; export where it is"
        )
    method = methods.build(config, backbone=backbone, task=tasks.load(config.task, trial.locations))
    if type(method).peft_adapter is Method.peft_adapter:
        able = " and ".join(methods.methods_in_peft())
        raise ConfigError(f"peft has nothing like {config.method!r}; it can load {able}")
    if not isinstance(method, HeadMethod):
        raise ConfigError(f"{config.method!r} has no head of its own to export")
    return method


def _parameters(trial: FinishedTrial) -> tuple[int, dict[str, Tensor]]:
    """The best epoch and its trained parameters."""
    path = TrialFolder(trial.folder).best
    stored = checkpoints.load(path)
    if stored is None or stored.parameters is None:
        raise ConfigError(
            f"{path} is gone or torn: only the points that finalising needs keep their weights. Train it again: "
            "tunekit best NAME --arm ARM > best.yaml, tunekit trial best.yaml, then tunekit export with that trial's "
            "folder"
        )
    require_owner(path, stored.trial_id, trial.config.trial_id)
    return stored.epoch, stored.parameters


def _fill(method: HeadMethod, parameters: dict[str, Tensor], path: AnyPath) -> None:
    """Put the stored parameters in the place of those without weights."""
    wanted = {name: tuple(p.shape) for name, p in method.named_parameters() if p.requires_grad}
    if wanted != {name: tuple(p.shape) for name, p in parameters.items()}:
        raise ConfigError(f"{path} does not hold the parameters of this configuration; was it trained by this tunekit?")
    method.load_state_dict(parameters, strict=False, assign=True)
