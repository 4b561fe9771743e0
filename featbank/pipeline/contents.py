"""What a file or an object holds of whom is sought, read from its bytes: whatever its name is."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple

from featbank.base.sought import Traces
from featbank.errors import StoreError
from featbank.files.json_files import parse_json
from featbank.files.opening import MAX_LINE
from featbank.pipeline.holdings import Why
from featbank.store.format import STORE_FORMAT
from featbank.store.header_file import MAX_HEADER_BYTES
from featbank.store.shard_ids import MAGIC, read_shard_ids

Form = Literal["shard", "rows", "header", "text", "other"]
"""How bytes are read: a shard; a manifest or a failure list; a header of a store; words; or not."""

SNIFFED_BYTES = 4096

_ROW = b'{"audio":'  # the first key of a line, for they are sorted
_JOURNAL = b"featbank rows "
_GZIP = b"\x1f\x8b"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FORMAT = re.compile(r'"format":\s*"featbank-([a-z-]+)"')
_KINDS = {"store": "header"}
_CHUNK_BYTES = 1 << 20
_LONGEST_BYTES = 1 << 26  # of a text without a line's end, before it is cut behind any word


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What bytes hold of whom is sought.

    Args:
        kind: as of `featbank.pipeline.holders.Holding`.
        ids: that are in it, sorted.
        num_rows: of a store, a manifest or a failure list that are sought.
        export_name: digest by which an export names a manifest that it was made from.
        why: it counts, as of `Holding`.
        is_sure: as of `Holding`.
    """

    kind: str
    why: Why = "holds"
    ids: tuple[str, ...] = ()
    num_rows: int = 0
    export_name: str = ""
    is_sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the header of a store lists.

    Args:
        digest: of the header, by which exports name the store.
        shards: names of their files, each of which stands for the rows of the shard.
    """

    digest: str
    shards: frozenset[str]


def sniff(head: bytes) -> Form:
    """Tell how bytes are to be read, by the first `SNIFFED_BYTES` of them."""
    if head.startswith(MAGIC):
        return "shard"
    if head.startswith(_ROW):
        return "rows"
    if head.startswith(_GZIP):
        with suppress(zlib.error):
            start = zlib.decompressobj(wbits=31).decompress(head, SNIFFED_BYTES)
            return "text" if b"\0" not in start else "other"
        return "other"
    if head.startswith(_WIDE):
        return "text"
    if b"\0" not in head and (found := _FORMAT.search(head.decode(errors="replace"))):
        return "header" if f"featbank-{found[1]}" == STORE_FORMAT else "text"
    return "other" if b"\0" in head and not head.startswith(_JOURNAL) else "text"


def learn_rows(file: BinaryIO, where: str, traces: Traces) -> None:
    """Have traces take in the lines of a manifest or a failure list that are sought.

    Raises:
        StoreError, OSError: it cannot be read.
    """
    for row in _rows(file, where):
        traces.add_row(row.id, row.speaker, row.audio, row.samples)


def find_content(file: BinaryIO, form: Form, where: str, traces: Traces) -> Content | None:
    """Return what a file holds of whom is sought; None for nothing.

    Args:
        file: opened, at its beginning.
        form: as `sniff` tells; `other` is read as words between other bytes.
        where: it lies, for errors.
        traces: of whom is sought; ids of rows are added to what it knows.

    Raises:
        StoreError, OSError: it cannot be read.
    """
    if form == "shard":
        ids = sorted(one for one in read_shard_ids(file, where) if traces.has_id(one))
        return Content(kind="shard", ids=tuple(ids), num_rows=len(ids)) if ids else None
    if form == "rows":
        with suppress(StoreError):  # which `learn_rows` has met; the words in it are there still
            return _in_rows(file, where, traces)
        file.seek(0)
    try:
        return _in_text(_unpacked(file), traces)
    except (EOFError, zlib.error) as error:
        raise StoreError(where, expected="a whole file", got=error) from error


def _unpacked(file: BinaryIO) -> Any:
    """Return what gives the bytes of a text as they are in most: not packed, in UTF-8."""
    start = file.read(2)
    file.seek(0)
    if start == _GZIP:
        return gzip.GzipFile(fileobj=file)
    if start in _WIDE:
        return codecs.EncodedFile(file, "utf-8", "utf-16", errors="replace")
    return file


def _in_rows(file: BinaryIO, where: str, traces: Traces) -> Content | None:
    seen = hashlib.sha256()
    found = [row for row in _rows(file, where, seen) if traces.has_id(row.id)]
    if not found:
        return None
    return Content(
        kind="manifest" if found[0].is_of_manifest else "failures",
        ids=tuple(sorted(row.id for row in found)),
        num_rows=len(found),
        export_name=seen.hexdigest(),
    )


def read_listed(file: BinaryIO, where: str) -> Listed:
    """Read what a header lists, of any version of the format.

    Raises:
        StoreError, OSError: it cannot be read.
    """
    said = parse_json(file.read(MAX_HEADER_BYTES), where, StoreError)
    try:
        shards = frozenset(str(one["name"]) for one in said["shards"])
        return Listed(digest=str(said["digest"]), shards=shards)
    except (LookupError, TypeError) as error:
        raise StoreError(where, expected="the header of a store", got=error) from error


class _Row(NamedTuple):
    id: str
    speaker: str
    audio: str
    samples: str
    """The digest of the audio, and which samples of it, as marks of audio have them."""

    @property
    def is_of_manifest(self) -> bool:
        return bool(self.samples)


def _rows(file: BinaryIO, where: str, seen: Any = None) -> Iterator[_Row]:
    """Give the rows of a manifest or a failure list, of any version of their fields."""
    while line := file.readline(MAX_LINE):
        if seen is not None:
            seen.update(line)
        row = parse_json(line, where, StoreError)
        try:
            id_, audio, samples = row["id"], row["audio"], ""
            if "audio_digest" in row:
                fields = ("audio_digest", "start_sample", "num_samples", "channel")
                samples = " ".join(str(row.get(name, 0)) for name in fields)
            yield _Row(str(id_), str(row.get("speaker", "")), str(audio), samples)
        except (LookupError, TypeError, AttributeError) as error:
            raise StoreError(where, expected="rows of a manifest", got=error) from error


def _in_text(file: Any, traces: Traces) -> Content | None:
    ids: set[str] = set()
    kind, is_named, is_sure = "", False, False
    for text in _texts(file):
        kind = kind or _kind(text[:SNIFFED_BYTES])
        found, names = traces.in_text(text)
        ids |= found
        is_named |= names
        is_sure = is_sure or (names and traces.is_sure(text))
    if not is_named:
        return None
    return Content(kind=kind, ids=tuple(sorted(ids)), is_sure=is_sure)


def _texts(file: Any) -> Iterator[str]:
    """Give a text in pieces that end where a line does, or between words in one without lines."""
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if not end and len(rest) >= _LONGEST_BYTES:
            end = max(rest.rfind(b'"'), rest.rfind(b" "), rest.rfind(b"\0")) + 1 or len(rest)
        yield rest[:end].decode(errors="replace")
        rest = rest[end:]
    yield rest.decode(errors="replace")


def _kind(head: str) -> str:
    if found := _FORMAT.search(head):
        return _KINDS.get(found[1], found[1])
    if head.lstrip()[:9].lower() in ("<!doctype", "<html"):
        return "report"
    return "journal" if head.startswith(_JOURNAL.decode()) else "text"
