"""Which of a few points is best, by noisy scores: how sure that is, which of them needs another seed, and how good the
chosen one is without the luck that chose it. Pure functions of scores; nothing here knows of trials or journals.
"""

from tunekit.racing.estimates import Estimates, Table, estimate
from tunekit.racing.rounds import Rules, Standing, race
from tunekit.racing.shrinkage import Interval, fresh, own, shrunk

__all__ = ["Estimates", "Interval", "Rules", "Standing", "Table", "estimate", "fresh", "own", "race", "shrunk"]
