"""Scan memory: results of scanning audio files, kept from run to run.

One line a file, each under a checksum of its own, in `scans`, sorted by path; what a run finds is
appended to `log` as soon as it is found, so that a run that is killed keeps it, and sorted in when
a run is through. A line that is torn or damaged is no line: its file is scanned again. The folder
may be removed at any time.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featbank.audio import AudioScan
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines
from featbank.errors import AUDIO_FAULTS, AudioError, FeatbankError
from featbank.files.json_files import parse_json
from featbank.files.opening import bounded_lines, open_regular
from featbank.files.provenance import canonical_json
from featbank.files.remote import RemoteStat

_log = logging.getLogger(__name__)

_CHECK_BYTES = 8
_NO_TIME = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ScanStamp:
    """Size, times and inode of a file, which change when its bytes are rewritten.

    Args:
        size: in bytes.
        mtime_ns: of the last write, as anybody can set it.
        ctime_ns: of the last change of anything, as nobody can set it.
        inode: another where another file took its place.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> ScanStamp:
        """Take the stamp from what `os.stat` gives."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    @classmethod
    def of_remote(cls, found: RemoteStat) -> ScanStamp:
        """Take the stamp from what a server says: its version of the file stands for an inode."""
        version = hashlib.blake2b(found.version.encode(), digest_size=_CHECK_BYTES).digest()
        # nobody knows when: it may have been just now, which is doubted
        mtime_ns = _NO_TIME if found.mtime_ns is None else found.mtime_ns
        return cls(found.num_bytes, mtime_ns, 0, int.from_bytes(version, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScan:
    """Result of the scan of one file.

    Args:
        audio: its path relative to the corpus root.
        found: what it holds, or why it cannot be used; texts name it by `audio`.
        stamp: of the file while it was scanned; None where that says nothing of the next time.
        is_sure: whether another state of the file must have another stamp. One that was written
            within the last seconds may be written again in the same tick of the clock.
        sha256: of all its bytes.
        by: digest of all else that the scan depends on.
    """

    audio: str
    found: AudioScan | AudioError
    stamp: ScanStamp | None = None
    is_sure: bool = False
    sha256: str = ""
    by: str = ""

    def said(self) -> str:
        """Return all but the path as text with a checksum."""
        fields: dict[str, Any] = {
            "stamp": None if self.stamp is None else asdict(self.stamp),
            "is_sure": self.is_sure,
            "sha256": self.sha256,
            "by": self.by,
        }
        if isinstance(self.found, AudioError):
            error = self.found
            fields["error"] = [error.kind, error.what, error.expected or "", error.got or ""]
        else:
            fields["scan"] = asdict(self.found)
        text = canonical_json(fields)
        return f"{_checksum(self.audio, text)} {text}"

    @classmethod
    def read(cls, audio: str, said: str) -> FileScan | None:
        """Parse the text of `said`; None where it is damaged, or of another version."""
        checksum, _, text = said.partition(" ")
        if checksum != _checksum(audio, text):
            return None
        try:
            fields: dict[str, Any] = parse_json(text, audio, FeatbankError)
            stamp = fields.pop("stamp")
            found: AudioScan | AudioError
            if "error" in fields:
                kind, what, expected, got = fields.pop("error")
                if kind not in AUDIO_FAULTS:
                    return None
                found = AudioError(what, kind=kind, expected=expected or None, got=got or None)
            else:
                found = AudioScan(**fields.pop("scan"))
            return cls(
                audio=audio,
                found=found,
                stamp=None if stamp is None else ScanStamp(**stamp),
                **fields,
            )
        except (FeatbankError, KeyError, TypeError, ValueError):
            return None


class ScanMemory:
    """The scans of a corpus's files, kept on disk.

    Nothing that goes wrong with it ends a run: then files are scanned again.

    Args:
        folder: of the scans, made with the first of them.
        scratch: for what is sorted.
    """

    def __init__(self, folder: Path, scratch: Scratch) -> None:
        self._folder, self._scratch = folder, scratch
        self._main, self._log = folder / "scans", folder / "log"
        self._descriptor: int | None = None
        self._num_sorted = 0

    def read(self) -> Iterator[FileScan]:
        """Yield what is remembered, the last scan of each file, sorted by path."""
        if not self._log.exists():
            for audio, said in _lines(self._main):
                if scan := FileScan.read(audio, said):
                    yield scan
            return
        for audio, said in self._sorted_in():
            if scan := FileScan.read(audio, said):
                yield scan

    def add(self, scan: FileScan) -> None:
        """Remember a scan at once."""
        if scan.stamp is None:
            return
        try:
            if self._descriptor is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                # a pipe in its place would wait for a reader
                self._descriptor = os.open(
                    self._log,
                    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK,
                    0o666,
                )
                os.write(self._descriptor, b"\n")  # ends what a killed run tore
            os.write(self._descriptor, f"{scan.audio}\t{scan.said()}\n".encode())
        except OSError as error:
            _log.warning("scans are not remembered: %s", error)

    def close(self) -> None:
        """Close the log, which keeps what was added."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def settle(self) -> None:
        """Merge the log into the sorted scans."""
        self.close()
        if not self._log.exists():
            return
        partial = self._folder / f".scans.{os.getpid()}.partial"
        try:
            with open(partial, "wb") as file:
                for audio, said in self._sorted_in():
                    file.write(f"{audio}\t{said}\n".encode())
            partial.replace(self._main)
            self._log.unlink()
        except OSError as error:
            _log.warning("scans are not sorted in: %s", error)
            partial.unlink(missing_ok=True)

    def _sorted_in(self) -> Iterator[tuple[str, str]]:
        """Give the last whole line of each file."""
        lines = SortedLines(self._scratch, f"memory-{self._num_sorted}")
        self._num_sorted += 1
        number = 0
        for path in (self._main, self._log):
            for audio, said in _lines(path):
                if said.partition(" ")[0] == _checksum(audio, said.partition(" ")[2]):
                    lines.add(audio, f"{number:012d} {said}")
                    number += 1
        for audio, all_said in lines.groups():
            *_, last = all_said
            yield audio, last.partition(" ")[2]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with open_regular(path) as file:
            for line in bounded_lines(file):
                audio, _, said = line.decode(errors="replace").rstrip("\n").partition("\t")
                if audio and said and all(character >= " " for character in audio):
                    yield audio, said
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("scans of earlier runs are not used: %s", error)


def _checksum(audio: str, text: str) -> str:
    return hashlib.blake2b(f"{audio}\n{text}".encode(), digest_size=_CHECK_BYTES).hexdigest()
