"""Methods: ways to adapt a backbone to a task, one file each. `build` makes the one that a trial names."""

from tunekit.methods.base import Method, Setting, name_of
from tunekit.methods.batch import Batch, Feature, LabelIds, pad_rows
from tunekit.methods.build import build, input_positions, method_class, methods_in_peft, pack_options, trains_backbone
from tunekit.methods.parameter_count import ParameterCount, count_parameters

__all__ = [
    "Batch",
    "Feature",
    "LabelIds",
    "Method",
    "ParameterCount",
    "Setting",
    "build",
    "count_parameters",
    "input_positions",
    "method_class",
    "methods_in_peft",
    "name_of",
    "pack_options",
    "pad_rows",
    "trains_backbone",
]
