"""Files that lie on another machine: listed, asked for, and fetched whole to be read here.

What fsspec reaches by `s3://`, `gs://`, `ssh://` or `http://` is opened as a file of this machine
is: an open regular file, in memory or without a name on disk, so that nothing is left behind.
"""

from featbank.files.remote.faults import ForbiddenError, RemoteError
from featbank.files.remote.finding import FileLookup, exists, find, find_files, folders_in
from featbank.files.remote.parts import open_parts, read_any, read_part, size_of
from featbank.files.remote.paths import (
    AnyPath,
    RemotePath,
    any_path,
    check_reachable,
    is_remote,
)
from featbank.files.remote.requests import RemoteStat, is_there, stat_remote, walk_remote
from featbank.files.remote.spool import FilePart, open_any, open_remote
from featbank.files.remote.together import map_any

__all__ = [
    "AnyPath",
    "FileLookup",
    "FilePart",
    "ForbiddenError",
    "RemoteError",
    "RemotePath",
    "RemoteStat",
    "any_path",
    "check_reachable",
    "exists",
    "find",
    "find_files",
    "folders_in",
    "is_remote",
    "is_there",
    "map_any",
    "open_any",
    "open_parts",
    "open_remote",
    "read_any",
    "read_part",
    "size_of",
    "stat_remote",
    "walk_remote",
]
