"""Files of a sweep: where each one is, and how it is written so that a kill at any moment loses nothing.

The only room that opens, locks, renames or deletes the files of a sweep or of a trial.
"""

from tunekit.storage.digests import cache_folder, file_digest
from tunekit.storage.growing import append_at, grow_to
from tunekit.storage.layout import (
    SweepFolder,
    TrialFolder,
    bytes_at_work,
    part_of_a_path,
    sweep_folder,
    sweep_folders,
)
from tunekit.storage.lease import Lease
from tunekit.storage.local import (
    copy_or_link,
    exists,
    filled_folder,
    free_bytes,
    make_folder,
    nearest_folder,
    open_log,
    partial_files,
    put_new,
    read_json,
    read_text,
    read_with,
    remove,
    remove_folder,
    rename,
    storage_errors,
    upload,
    write_bytes,
    write_json,
    write_text,
    write_with,
)
from tunekit.storage.locks import AppendFile, LinesGone, Lock
from tunekit.storage.objects import create
from tunekit.storage.places import AnyPath, absolute, folder_of_this_machine, place, require_place
from tunekit.storage.sealed import TornFile, read_sealed, read_sealed_json, write_sealed, write_sealed_json
from tunekit.storage.sole_writer import HolderWatch, holder_of, open_to_append, take_lock, whole_lines

__all__ = [
    "AnyPath",
    "AppendFile",
    "HolderWatch",
    "Lease",
    "LinesGone",
    "Lock",
    "SweepFolder",
    "TornFile",
    "TrialFolder",
    "absolute",
    "append_at",
    "bytes_at_work",
    "cache_folder",
    "copy_or_link",
    "create",
    "exists",
    "file_digest",
    "filled_folder",
    "folder_of_this_machine",
    "free_bytes",
    "grow_to",
    "holder_of",
    "make_folder",
    "nearest_folder",
    "open_log",
    "open_to_append",
    "part_of_a_path",
    "partial_files",
    "place",
    "put_new",
    "read_json",
    "read_sealed",
    "read_sealed_json",
    "read_text",
    "read_with",
    "remove",
    "remove_folder",
    "rename",
    "require_place",
    "storage_errors",
    "sweep_folder",
    "sweep_folders",
    "take_lock",
    "upload",
    "whole_lines",
    "write_bytes",
    "write_json",
    "write_sealed",
    "write_sealed_json",
    "write_text",
    "write_with",
]
