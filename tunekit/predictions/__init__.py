"""What finished trials predicted on test, and the examples that they were asked: kept, and read without torch.

A trial writes both when it is scored on test; reports read them. The examples of a language are kept once for a whole
sweep, however many trials were asked them.
"""

from tunekit.predictions.examples import TestExamples, load_examples, save_examples
from tunekit.predictions.predicted import Counts, Prediction, TestPredictions, load_predictions, numbered, save

__all__ = [
    "Counts",
    "Prediction",
    "TestExamples",
    "TestPredictions",
    "load_examples",
    "load_predictions",
    "numbered",
    "save",
    "save_examples",
]
