"""Which arms differ, and how sure that is: a paired bootstrap over examples, and variance over seeds and draws."""

from tunekit.reports.significance.pairs import compare, differences
from tunekit.reports.significance.types import Difference, Differences, Uncompared

__all__ = ["Difference", "Differences", "Uncompared", "compare", "differences"]
