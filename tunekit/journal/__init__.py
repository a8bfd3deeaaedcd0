"""What happened: one append-only event log per sweep, its replay into records, and what an arm's trials add up to."""

from tunekit.journal.activity import Activity, Worker
from tunekit.journal.events import SCHEMA, Event, JournalError, now
from tunekit.journal.log import Journal, SweepBusy
from tunekit.journal.points import ArmRecord, Point
from tunekit.journal.progress import ArmProgress, FinalTrial, SweepProgress
from tunekit.journal.racing import ArmRace, dev_scores
from tunekit.journal.reading import JournalReader, read_events, replay
from tunekit.journal.record import SweepRecord
from tunekit.journal.spending import Spending
from tunekit.journal.trial_record import TrialRecord
from tunekit.storage.layout import JOURNAL as FILE_NAME

__all__ = [
    "FILE_NAME",
    "SCHEMA",
    "Activity",
    "ArmProgress",
    "ArmRace",
    "ArmRecord",
    "Event",
    "FinalTrial",
    "Journal",
    "JournalError",
    "JournalReader",
    "Point",
    "Spending",
    "SweepBusy",
    "SweepProgress",
    "SweepRecord",
    "TrialRecord",
    "Worker",
    "dev_scores",
    "now",
    "read_events",
    "replay",
]
