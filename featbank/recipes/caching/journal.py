"""Journal: an append-only file of computed rows, which outlives a killed run.

A journal begins with a line that names its format. Each row is a record: the bytes of its body,
their XXH3-64, and the body: the length of a JSON text, that text, and the arrays that it describes.
A process appends to a journal of its own; any process may read it meanwhile. What a kill, a full
disk or a lost power left torn ends the journal, and so does a damaged record: its row and those
behind are computed again. Nothing is synced to the disk, for nothing is lost by that but time.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import struct
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.files.disk import naming, read_at
from featbank.files.json_files import parse_json
from featbank.files.opening import open_regular
from featbank.files.provenance import canonical_json
from featbank.store import Encoded
from featbank.store.encoding import SCALES_DTYPE, Array
from featbank.store.raw_file import write_at
from featbank.store.shard_file import disk_fault

_log = logging.getLogger(__name__)

SUFFIX = ".journal"
_FORMAT = b"featbank rows 1\n"
_HEAD = struct.Struct("<QQ")  # bytes of the body, and their XXH3-64
_TEXT = struct.Struct("<I")  # bytes of the JSON text
_NAMING_BYTES = 4096  # of a body, which mostly hold its text
_DTYPE = re.compile(r"[<|][biuf][1248]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One computed utterance.

    Args:
        id: of the utterance.
        input_digest: of what it was computed from, 16 bytes; none where nobody can tell.
        features: its values as they will be stored, by feature name.
    """

    id: str
    input_digest: bytes
    features: Mapping[str, Encoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlace:
    """Position of a row in a journal.

    Args:
        id, input_digest: of the row.
        start: the first byte of its record.
        num_bytes: of the body of the record.
        checksum: of that body: rows of the same id, digest and values have the same.
    """

    id: str
    input_digest: bytes
    start: int
    num_bytes: int
    checksum: int


class Journal:
    """Appends rows to a journal; the file is made with the first of them."""

    def __init__(self, folder: Path, name: str = "rows") -> None:
        """Begin a journal in a folder that exists.

        Args:
            folder: of all journals of a run.
            name: the beginning of the file's name; what follows is chosen at random.
        """
        self.path = folder / f"{name}-{secrets.token_hex(4)}{SUFFIX}"
        self._descriptor = -1
        self._size = 0
        self._close: weakref.finalize[Any, Any] | None = None

    def append(self, rows: Iterable[JournalRow]) -> list[RowPlace]:
        """Add rows in one write; a kill leaves the first of them, or all.

        Returns:
            Where each stands.

        Raises:
            StoreError: the disk is full, or fails; what was added before stays good.
        """
        records, places, end = [], [], self._size or len(_FORMAT)
        for row in rows:
            body = _pack(row)
            checksum = xxh3_64_intdigest(body)
            records += [_HEAD.pack(len(body), checksum), body]
            places.append(
                RowPlace(
                    id=row.id,
                    input_digest=row.input_digest,
                    start=end,
                    num_bytes=len(body),
                    checksum=checksum,
                )
            )
            end += _HEAD.size + len(body)
        if places:
            data = b"".join([*([] if self._size else [_FORMAT]), *records])
            try:
                if self._close is None:
                    self._open()
                write_at(self._descriptor, memoryview(data), self._size)
            except OSError as error:
                raise disk_fault(f"journal {self.path}", error) from error
            self._size = end
        return places

    def close(self) -> None:
        """Close the file."""
        if self._close is not None:
            self._close()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o666)
        self._close = weakref.finalize(self, os.close, self._descriptor)


class JournalFile:
    """Reads a journal, which another process may be appending to."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: it is not there, or no regular file.
        """
        self.path = path
        with open_regular(path) as file:
            self._descriptor = os.dup(file.fileno())
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._end = 0  # of what was scanned and is sound

    def scan(self, *, checked: bool = True) -> Iterator[RowPlace]:
        """Yield rows appended since the last scan, up to the first that is incomplete or damaged.

        Args:
            checked: read all their bytes, and hold them against their checksums; else only what
                names them, and `read` tells.

        Raises:
            OSError: the disk fails.
        """
        with naming(self.path, "reading"):
            size = os.fstat(self._descriptor).st_size
            if not self._end:
                start = read_at(self._descriptor, len(_FORMAT), 0)
                if start != _FORMAT:
                    if len(start) == len(_FORMAT):
                        _log.warning("%s is no journal of this version, and is skipped", self.path)
                    return
                self._end = len(_FORMAT)
            while self._end + _HEAD.size <= size:
                head = read_at(self._descriptor, _HEAD.size, self._end)
                num_bytes, checksum = _HEAD.unpack(head)
                if num_bytes > size - self._end - _HEAD.size:
                    return  # torn, or still being written
                try:
                    if checked:
                        body = read_at(self._descriptor, num_bytes, self._end + _HEAD.size)
                        row = self._checked(body, checksum, self._end)
                        named = row.id, row.input_digest
                    else:
                        named = self._named(num_bytes)
                except StoreError as error:
                    # a file system may have given the size before the bytes: a tail of zeros
                    if any(head):
                        _log.warning("the rows from here on are computed again: %s", error)
                    return
                place = RowPlace(
                    id=named[0],
                    input_digest=named[1],
                    start=self._end,
                    num_bytes=num_bytes,
                    checksum=checksum,
                )
                self._end += _HEAD.size + num_bytes
                yield place

    def read(self, place: RowPlace) -> JournalRow:
        """Return the row of a place, from the disk.

        Raises:
            StoreError: its bytes are no longer those that were appended.
        """
        try:
            body = read_at(self._descriptor, place.num_bytes, place.start + _HEAD.size)
        except OSError as error:
            raise disk_fault(f"journal {self.path}", error) from error
        return self._checked(body, place.checksum, place.start)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _named(self, num_bytes: int) -> tuple[str, bytes]:
        """Return the id and the input digest of the row behind what was scanned."""
        where = f"row at byte {self._end} of journal {self.path}"
        start = self._end + _HEAD.size
        body = read_at(self._descriptor, min(num_bytes, _NAMING_BYTES), start)
        try:
            needed = _TEXT.size + _TEXT.unpack_from(body)[0]
            if len(body) < needed <= num_bytes:  # of many features
                body = read_at(self._descriptor, needed, start)
            fields = parse_json(body[_TEXT.size : needed], where, StoreError)
            return str(fields["id"]), bytes.fromhex(fields["input_digest"])
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise StoreError(where, expected="a row as it is appended", got=error) from error

    def _checked(self, body: bytes, checksum: int, start: int) -> JournalRow:
        where = f"row at byte {start} of journal {self.path}"
        if (found := xxh3_64_intdigest(body)) != checksum:
            raise StoreError(
                where,
                expected=f"checksum {checksum:016x}",
                got=f"{found:016x}",
                hint="call cache_features again: the row is computed anew",
            )
        return _unpack(body, where)


def _pack(row: JournalRow) -> bytes:
    fields, arrays = {}, []
    for name, encoded in row.features.items():
        stored = encoded.stored
        fields[name] = [
            stored.dtype.str,
            list(stored.shape),
            encoded.scale is not None,
            encoded.max_abs_error,
            encoded.sum_abs_error,
        ]
        arrays.append(stored.tobytes())
        if encoded.scale is not None:
            arrays.append(encoded.scale.astype(SCALES_DTYPE, copy=False).tobytes())
    # features in the order of the recipe, which an object does not keep
    described = [[name, *values] for name, values in fields.items()]
    text = canonical_json(
        {"id": row.id, "input_digest": row.input_digest.hex(), "features": described}
    ).encode()
    return b"".join([_TEXT.pack(len(text)), text, *arrays])


def _unpack(body: bytes, where: str) -> JournalRow:
    try:
        (text_bytes,) = _TEXT.unpack_from(body)
        place = _TEXT.size + text_bytes
        fields = parse_json(body[_TEXT.size : place], where, StoreError)
        features = {}
        for name, dtype, shape, has_scale, max_error, sum_error in fields["features"]:
            if not _DTYPE.fullmatch(dtype):
                raise StoreError(where, expected="arrays of numbers", got=repr(dtype))
            stored = _array(body, place, np.dtype(dtype), shape)
            place += stored.nbytes
            scale = _array(body, place, SCALES_DTYPE, shape[1:]) if has_scale else None
            place += 0 if scale is None else scale.nbytes
            features[str(name)] = Encoded(stored, scale, float(max_error), float(sum_error))
        if place != len(body):
            raise StoreError(where, expected=f"{place} bytes", got=len(body))
        return JournalRow(
            id=str(fields["id"]),
            input_digest=bytes.fromhex(fields["input_digest"]),
            features=features,
        )
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise StoreError(where, expected="a row as it is appended", got=error) from error


def _array(body: bytes, start: int, dtype: np.dtype[Any], shape: list[int]) -> Array:
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(body, dtype, count, start).reshape(shape)
