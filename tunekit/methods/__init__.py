"""Methods: ways to adapt a backbone to a task, one file each."""

from tunekit.methods.base import Batch, Feature, LabelIds, Method, ParameterCount, count_parameters, name_of, pad_rows

__all__ = ["Batch", "Feature", "LabelIds", "Method", "ParameterCount", "count_parameters", "name_of", "pad_rows"]
