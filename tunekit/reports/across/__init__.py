"""Arms of several sweeps side by side: one table for each task and source language, on the same tests or not at all."""

from tunekit.reports.across.reading import Compared, Member, compared

__all__ = ["Compared", "Member", "compared"]
