"""Files of a sweep: where each one is, and how it is written so that a kill at any moment loses nothing.

The only room that opens, locks, renames or deletes the files of a sweep or of a trial.
"""

from tunekit.storage.digests import cache_folder, file_digest
from tunekit.storage.layout import SweepFolder, TrialFolder, part_of_a_path, sweep_folder, sweep_folders
from tunekit.storage.local import (
    copy_or_link,
    free_bytes,
    make_folder,
    open_log,
    partial_files,
    read_json,
    read_text,
    read_with,
    remove,
    remove_folder,
    rename,
    storage_errors,
    write_bytes,
    write_json,
    write_text,
    write_with,
)
from tunekit.storage.locks import AppendFile, Lock, holder_of, whole_lines
from tunekit.storage.sealed import TornFile, read_sealed, read_sealed_json, write_sealed, write_sealed_json

__all__ = [
    "AppendFile",
    "Lock",
    "SweepFolder",
    "TornFile",
    "TrialFolder",
    "cache_folder",
    "copy_or_link",
    "file_digest",
    "free_bytes",
    "holder_of",
    "make_folder",
    "open_log",
    "part_of_a_path",
    "partial_files",
    "read_json",
    "read_sealed",
    "read_sealed_json",
    "read_text",
    "read_with",
    "remove",
    "remove_folder",
    "rename",
    "storage_errors",
    "sweep_folder",
    "sweep_folders",
    "whole_lines",
    "write_bytes",
    "write_json",
    "write_sealed",
    "write_sealed_json",
    "write_text",
    "write_with",
]
