"""A head method that adds layers to the backbone: to a copy of its modules, which shares its weights.

The backbone serves the next trial of the process too, so nothing may be added to it or taken from it. The copy
is a second tree of the same modules that holds the very same weights, not copies of them; layers put into it are not in
the backbone, cost no memory beside their own, and go away with the method.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Self

from torch import Tensor, nn
from typing_extensions import TypeVar

from tunekit.backbone import Backbone
from tunekit.methods.base import Setting
from tunekit.methods.parts.head import HeadMethod, HeadOptions

C = TypeVar("C", bound=HeadOptions, default=HeadOptions)


def copy_sharing_weights(backbone: Backbone) -> Backbone:
    """A backbone with modules of its own over the weights, buffers and tokenizer of `backbone`."""
    shared = [*backbone.parameters(), *backbone.buffers(), backbone.tokenizer]
    return copy.deepcopy(backbone, {id(one): one for one in shared})


class CopyingMethod(HeadMethod[C]):
    """A head method that may read by a copy of the backbone's modules, which it has altered for itself."""

    _copy: tuple[Backbone, ...] = ()
    """The copy, if there is one; in a tuple, so that torch does not list the backbone's weights a second time."""

    @property
    def reader(self) -> Backbone:
        return self._copy[0] if self._copy else self.backbone

    def train(self, mode: bool = True) -> Self:
        for copied in self._copy:
            copied.train(mode)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for copied in self._copy:
            # Weights are moved in place, but buffers are replaced: the copy's need the same done to them.
            copied._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class AdapterMethod(CopyingMethod[C]):
    """A head method whose trained parameters stand inside a copy of the frozen backbone.

    A subclass says what it puts there (`add_parameters`). These parameters are in fp32 and are the method's own, under
    ``adapter.`` and their names in the body; the backbone stays as it is, bit for bit and module for module.
    """

    def __init__(self, config: C, setting: Setting) -> None:
        super().__init__(config, setting)
        copied = copy_sharing_weights(self.backbone)
        self.adapter = _tree(self.add_parameters(copied.model))
        self._copy = (copied,)

    def add_parameters(self, model: nn.Module) -> Mapping[str, nn.Parameter]:
        """Put trainable parameters into `model`, the body of the copy; gives them by their names in it."""
        raise NotImplementedError


def _tree(parameters: Mapping[str, nn.Parameter]) -> nn.Module:
    """Modules without a forward that hold each parameter under its dotted name."""
    root = nn.Module()
    for name, parameter in parameters.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_parameter(leaf, parameter)
    return root
