"""A head method that changes layers of the frozen backbone for its own rows.

The backbone serves other trials of the process too, so nothing is added to it. The method's parameters are its own, and
what they do to a layer is a :class:`tunekit.backbone.LayerChange`, which is at work only while its rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import TypeVar

from tunekit.methods.base import Setting
from tunekit.methods.parts.head import HeadMethod, HeadOptions

C = TypeVar("C", bound=HeadOptions, default=HeadOptions)


class AdapterMethod(HeadMethod[C]):
    """A head method whose trained parameters belong to layers of the frozen backbone.

    A subclass makes them (`make_parameters`) and says what they do (`changes`). They are in fp32, under ``adapter.``
    and their names in the body; the backbone stays as it is, bit for bit and module for module.
    """

    def __init__(self, config: C, setting: Setting) -> None:
        super().__init__(config, setting)
        self.adapter = _tree(self.make_parameters())

    def make_parameters(self) -> Mapping[str, nn.Parameter]:
        """Fresh parameters, by the dotted names under which they are kept."""
        raise NotImplementedError

    def parameters_of(self, layer: str) -> Mapping[str, Tensor]:
        """The parameters that belong to a layer of the body, by the rest of their names."""
        return dict(self.adapter.get_submodule(layer).named_parameters())


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
