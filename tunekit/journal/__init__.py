"""What happened: one append-only event log per sweep, its replay into records, and what an arm's trials add up to."""

from tunekit.journal.events import SCHEMA, Event, JournalError, now
from tunekit.journal.log import Journal, SweepBusy, read_events, replay
from tunekit.journal.points import ArmRecord, Point
from tunekit.journal.progress import ArmProgress, FinalTrial, SweepProgress
from tunekit.journal.record import SweepRecord
from tunekit.journal.spending import Spending
from tunekit.journal.trial_record import TrialRecord
from tunekit.storage.layout import JOURNAL as FILE_NAME

__all__ = [
    "FILE_NAME",
    "SCHEMA",
    "ArmProgress",
    "ArmRecord",
    "Event",
    "FinalTrial",
    "Journal",
    "JournalError",
    "Point",
    "Spending",
    "SweepBusy",
    "SweepProgress",
    "SweepRecord",
    "TrialRecord",
    "now",
    "read_events",
    "replay",
]
