"""What happened: one append-only event log per sweep, its replay into records, and what an arm's trials add up to."""

from tunekit.journal.log import (
    FILE_NAME,
    Journal,
    JournalError,
    SweepBusy,
    SweepRecord,
    TrialRecord,
    is_being_run,
    now,
    read_events,
    replay,
)

__all__ = [
    "FILE_NAME",
    "Journal",
    "JournalError",
    "SweepBusy",
    "SweepRecord",
    "TrialRecord",
    "is_being_run",
    "now",
    "read_events",
    "replay",
]
