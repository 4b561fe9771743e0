"""Members of uncompressed tar files, found by reading their headers and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import PurePosixPath

from featbank.audio.containers import open_archive
from featbank.base.places import Place
from featbank.errors import AudioError
from featbank.files.remote import AnyPath, read_part, size_of

_BLOCK = 512
_END = bytes(_BLOCK)
_MOST_NAMING = 1 << 20  # bytes of a long name, or of what else stands before a header
_PIECE = 1 << 20
_MOST_DIGITS = 20  # of 64 bits

_FILES = b"07\0"
_LINKS = {b"1": "a hard link", b"2": "a symbolic link"}
_NOTHING = b"3456VD"  # devices, folders and pipes, a label, a list of names
_LONG_NAME, _LONG_LINK, _OF_NEXT, _OF_ALL, _SPARSE, _CONTINUED = b"L", b"K", b"xX", b"g", b"S", b"M"

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """One file in a tar, and where its bytes lie.

    Args:
        name: as the tar states it, without `./` before it; it may be no UTF-8.
        start: its first byte in the tar.
        num_bytes: of it.
        fault: why its bytes are not there as they are: it is a link, or sparse; else empty.
    """

    name: str
    start: int
    num_bytes: int
    fault: str = ""

    def place(self, tar: str) -> Place:
        """Return where it lies, whose text is the `audio` of a manifest row.

        Args:
            tar: its path, relative to the corpus root.
        """
        return Place(container=tar, member=self.name, start=self.start, num_bytes=self.num_bytes)


def tar_members(path: str | AnyPath) -> Iterator[TarMember]:
    """Give the files in a tar, in their order there; folders and devices are left out.

    Only headers are read: 20,000 members take about a second.

    Args:
        path: of the tar, which must not be compressed.

    Raises:
        AudioError: it is missing, compressed or no tar, damaged, cut short, or goes on behind its
            end. What was given before is whole, and can be used.
        OSError: the machine failed, not the file.
    """
    with open_archive(path) as file:
        yield from members_of(file, path)


def members_of(file: BufferedReader, path: str | AnyPath) -> Iterator[TarMember]:
    """Give the files in a tar that `open_archive` has opened; see `tar_members`."""
    walk = _Walk(path=path, file=file, size=size_of(file))
    walk.refuse_other_kinds()
    yield from walk.members()


@dataclass(slots=True, kw_only=True)
class _Walk:
    """A way through the headers of an open tar."""

    path: str | AnyPath
    file: BufferedReader
    size: int
    at: int = 0
    given: dict[str, str] = field(default_factory=dict)  # for the next member, before its header
    for_all: dict[str, str] = field(default_factory=dict)

    def members(self) -> Iterator[TarMember]:
        while True:
            header = self._header()
            if header is None:
                self._refuse_more()
                return
            kind, size = header[156:157], self._number(header[124:136])
            if kind == _LONG_NAME:
                self.given["path"] = _text(self._naming(size).rstrip(b"\0"))
            elif kind == _LONG_LINK:
                self._naming(size)
            elif kind in _OF_NEXT:
                self.given |= self._records(self._naming(size))
            elif kind in _OF_ALL:
                self.for_all |= self._records(self._naming(size))
            else:
                member = self._member(header, kind, size)
                self.given = {}
                if kind not in _NOTHING and not member.name.endswith("/"):
                    yield member

    def _member(self, header: bytes, kind: bytes, size: int) -> TarMember:
        """Return the member of a header, and go behind its bytes."""
        said = self.for_all | self.given
        name = said.get("path") or _name(header)
        fault = _LINKS.get(kind, "")
        if kind == _SPARSE or any(key.startswith("GNU.sparse") for key in said):
            fault = "a sparse file"
            self._skip_map(header, kind)
        elif kind == _CONTINUED:
            fault = "the rest of a file that begins in another tar"
        elif not fault and kind not in _FILES + _NOTHING:
            fault = f"of a kind that is not known, {kind!r}"
        if "size" in said:
            size = self._decimal(said["size"])
        if kind in _LINKS or kind in _NOTHING:
            size = 0  # whatever the header says
        member = TarMember(name=_plain(name), start=self.at, num_bytes=size, fault=fault)
        if self.at + size > self.size:
            raise self._cut(f"{size} bytes of {member.name}", f"{self.size - self.at}")
        self.at += size + -size % _BLOCK
        return member

    def _header(self) -> bytes | None:
        """Read the next header; None at the mark of the end."""
        header = read_part(self.file, _BLOCK, self.at)
        if header == _END:
            return None
        if len(header) < _BLOCK:
            raise self._cut("another file or the mark of its end", f"{len(header)} bytes")
        stated = self._number(header[148:156])
        if stated != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise self._damaged("a header", "bytes with another checksum")
        self.at += _BLOCK
        return header

    def _naming(self, size: int) -> bytes:
        """Read what stands before a header: a long name, or records."""
        if size > _MOST_NAMING:
            raise self._damaged(f"a name of up to {_MOST_NAMING} bytes", size)
        data = read_part(self.file, size, self.at)
        if len(data) < size:
            raise self._cut(f"{size} bytes of a name", len(data))
        self.at += size + -size % _BLOCK
        return data

    def _records(self, data: bytes) -> dict[str, str]:
        """Read records of POSIX.1-2001: `27 path=a/long/name.flac` and a newline, each."""
        records = {}
        while data.strip(b"\0"):
            length, _, _ = data.partition(b" ")
            size = self._decimal(_text(length))
            key, equals, value = data[len(length) + 1 : size].partition(b"=")
            if not equals or not value.endswith(b"\n"):
                raise self._damaged("records before a header", data[:32])
            records[_text(key)] = _text(value[:-1])
            data = data[size:]
        return records

    def _skip_map(self, header: bytes, kind: bytes) -> None:
        """Go behind the blocks that continue the map of a sparse file, as GNU tar wrote it."""
        goes_on = kind == _SPARSE and header[482]
        while goes_on:
            block = self._naming(_BLOCK)
            goes_on = block[504]

    def _number(self, digits: bytes) -> int:
        """Read a number of a header: in octal digits, or where it is large in binary."""
        if digits[0] == 0x80:
            return int.from_bytes(digits[1:], "big")
        stated = digits.strip(b" \0")
        if stated.strip(b"01234567"):  # int() takes a minus, too, which would lead back
            raise self._damaged("a number in a header", digits)
        return int(stated or b"0", 8)

    def _decimal(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise self._damaged("a number in a record", repr(text[:32]))
        return int(text)

    def refuse_other_kinds(self) -> None:
        """Refuse what is compressed, or no tar at all."""
        head = read_part(self.file, _BLOCK, 0)
        for magic, program in _COMPRESSED.items():
            if head.startswith(magic):
                raise AudioError(
                    f"archive {self.path}",
                    kind="unknown_format",
                    expected="a tar without compression",
                    got=f"one compressed by {program}",
                    hint="audio in it cannot be read where it lies; decompress it",
                )
        if not head:
            raise AudioError(
                f"archive {self.path}", kind="empty", expected="a tar", got="an empty file"
            )

    def _refuse_more(self) -> None:
        """Refuse what stands behind the mark of the end, which no program would read."""
        at = self.at
        while piece := read_part(self.file, _PIECE, at):
            if piece.strip(b"\0"):
                raise AudioError(
                    f"archive {self.path} goes on behind its end",
                    kind="surplus",
                    expected="zeros",
                    got=f"{self.size - at} bytes",
                    hint="of tars that were joined by cat only the first is seen; join by tar -A",
                )
            at += len(piece)

    def _cut(self, expected: object, got: object) -> AudioError:
        return AudioError(
            f"archive {self.path} is cut short", kind="truncated", expected=expected, got=got
        )

    def _damaged(self, expected: object, got: object) -> AudioError:
        if self.at == 0:
            return AudioError(
                f"archive {self.path}", kind="unknown_format", expected="a tar", got="no tar"
            )
        return AudioError(
            f"archive {self.path} is damaged at byte {self.at}",
            kind="damaged",
            expected=expected,
            got=got,
        )


def _name(header: bytes) -> str:
    """Return the name in a header: of up to 100 bytes, behind a prefix where POSIX has one."""
    name = header[:100].split(b"\0", 1)[0]
    # GNU tar has times where POSIX has the prefix
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    return _text(name)


def _plain(name: str) -> str:
    """Return a name without what says nothing; a folder of the oldest tars keeps its slash."""
    if name[:1] in "./" or "//" in name:
        return str(PurePosixPath(name)).lstrip("/") + "/" * name.endswith("/")
    return name


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
