"""Audio inside files of other machines: its bytes alone are fetched, and opened as a file."""

from __future__ import annotations

import os
from io import BufferedReader, FileIO
from pathlib import Path

from featbank.audio.inside.parquet import parquet_cell
from featbank.audio.memory import MemoryReader, memory_or_scratch_file, write_all
from featbank.base.places import Place
from featbank.errors import AudioError
from featbank.files.remote import FilePart, RemotePath, open_parts, open_remote, stat_remote


def open_elsewhere(path: str | Path, place: Place) -> BufferedReader:
    """Fetch audio inside a file of another machine, and open it.

    A place that says its bytes costs one request for them, and one that asks whether the file is
    still the one of which they may be here already. Of Parquet, the row group is fetched and kept.

    Args:
        path: that leads to it, for messages.
        place: of the audio, in a container that is a URL.

    Returns:
        The open copy, which the caller closes.

    Raises:
        AudioError: the file is too short, damaged, or has no such place.
        FileNotFoundError: there is no such file.
        FeatbankError: a package that reads it is not there.
        RemoteError: it could not be fetched.
    """
    container = RemotePath(place.container)
    if place.start is None or place.num_bytes is None:
        stat = stat_remote(container)
        stamp = (container, stat if stat.is_a_state else object())
        descriptor = memory_or_scratch_file()
        try:
            write_all(descriptor, parquet_cell(path, place, stamp, lambda: open_parts(container)))
        except BaseException:
            os.close(descriptor)
            raise
        os.lseek(descriptor, 0, os.SEEK_SET)
        return MemoryReader(FileIO(descriptor))
    stop = place.start + place.num_bytes
    file = open_remote(container, FilePart(place.start, stop))
    size = os.fstat(file.fileno()).st_size
    if size < place.num_bytes:
        file.close()
        raise AudioError(
            f"audio {path}",
            kind="truncated",
            expected=f"a container of at least {stop} bytes",
            got=f"{size} bytes from {place.start} on",
            hint="it is cut short, or another one than when the corpus was read",
        )
    return file
