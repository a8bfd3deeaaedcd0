"""tunekit: distributed hyperparameter search for cross-lingual prompt learning."""

__version__ = "0.1.0"
