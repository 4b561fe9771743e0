"""Opening of audio files: faults of a file or its name are told from those of the machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from functools import partial
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container
from featbank.audio.containers.kinds import check_container
from featbank.audio.inside import find_place, open_elsewhere, open_payload
from featbank.errors import AudioError, AudioFault
from featbank.files.disk import read_at
from featbank.files.opening import NotAFileError
from featbank.files.remote import AnyPath, is_remote, open_any, open_parts

# faults of the file or its name; any other, such as EIO or EMFILE, is the machine's
_FILE_FAULTS: dict[int, AudioFault] = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "unreadable",
    errno.EPERM: "unreadable",
    errno.ELOOP: "unreadable",
    errno.ENAMETOOLONG: "bad_name",
    errno.EINVAL: "bad_name",  # a null character, or half a surrogate pair
}
_MORE_THAN_A_DECODER_TAKES = 16 << 20  # bytes; FLAC's largest frame takes 4 MB


def open_container(
    path: str | Path, tolerate: Collection[str] = ()
) -> tuple[BufferedReader, Container]:
    """Open an audio file of a supported format, and check it against what its container states.

    Args:
        path: of the file.
        tolerate: what is taken that is refused by default.

    Returns:
        The open file, which the caller closes, and what it is.

    Raises:
        AudioError: with what was expected and got.
        OSError: the machine failed, not the file.
    """
    file = open_file(path)
    try:
        return file, check_container(path, file, tolerate)
    except BaseException:
        file.close()
        raise


def read_through(descriptor: int) -> None:
    """Read all bytes of an open file, so that a failing disk is not taken for a damaged file.

    Raises:
        OSError: a read failed.
        MemoryError: there is less memory than a decoder takes, which may have failed for that.
    """
    at = 0
    while piece := read_at(descriptor, _MORE_THAN_A_DECODER_TAKES, at):
        at += len(piece)


def open_file(path: str | Path) -> BufferedReader:
    """Open a regular file, of which nothing is read yet; or a copy in memory of what is inside one.

    One of a URL is fetched whole, and so is what is inside one, alone.

    Args:
        path: of the file; or it leads into one, as a `Place` below a corpus root does.

    Raises:
        AudioError: it is missing, no file, or may not be read; or the file has no such place.
        FeatbankError: a package that reads such files is not there.
        OSError: the machine failed, not the file.
    """
    if "!/" in os.fspath(path) and (place := find_place(path)):
        if is_remote(place.container):
            return _open(partial(open_elsewhere, path, place), path)
        with _open(partial(open_any, place.container), path) as container:
            return open_payload(path, place, container)
    return _open(partial(open_any, path), path)


def open_archive(path: str | AnyPath) -> BufferedReader:
    """Open a file with audio inside it, to be read by `read_part`; of a URL nothing is read yet.

    Raises:
        AudioError: it is missing, no file, or may not be read.
        OSError: the machine failed, not the file.
    """
    return _open(partial(open_parts, path), path)


def _open(opening: Callable[[], BufferedReader], path: str | AnyPath) -> BufferedReader:
    """Open a file; an error names the path of the audio that is, or lies in, it."""
    try:
        return opening()
    except NotAFileError as error:
        raise AudioError(
            f"audio {path}", kind="not_a_file", expected="a file", got=error.strerror
        ) from error
    except OSError as error:
        if error.errno not in _FILE_FAULTS:
            raise
        raise AudioError(
            f"audio {path}",
            kind=_FILE_FAULTS[error.errno],
            expected="a readable file",
            got=error.strerror,
        ) from error
