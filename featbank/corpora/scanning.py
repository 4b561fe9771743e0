"""Scan the audio files of a corpus: those that are new or changed, through a runner."""

from __future__ import annotations

import functools
import hashlib
import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from featbank.audio import (
    DECODE_VERSION,
    AudioScan,
    file_on_disk,
    scan_audio,
    version_here,
)
from featbank.audio.containers import open_file
from featbank.base.notices import tell
from featbank.base.places import read_together
from featbank.base.progress import Advance
from featbank.corpora.estimating import audio_bytes, estimate_duration_s
from featbank.corpora.scans import FileScan, ScanMemory, ScanStamp
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines
from featbank.errors import AudioError, AudioFault
from featbank.files.provenance import digest
from featbank.files.remote import AnyPath, RemoteError, RemotePath, map_any, open_any, stat_remote
from featbank.runners.base import Runner

SCAN_VERSION = 1
"""Changes when a scan of the same bytes may find something else."""

_DOUBT_NS = 2_000_000_000  # file systems count in up to two seconds
_SAMPLED = 100
_BATCH_FILES, _BATCH_BYTES = 64, 256 << 20
_STAMPED_TOGETHER = 1024

# of the name or the place, not of the bytes
_NOT_REMEMBERED: frozenset[AudioFault] = frozenset(
    ["missing", "unreadable", "not_a_file", "bad_name"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A file to be scanned.

    Args:
        audio: path relative to the corpus root.
        size: in bytes; 0 where nobody knows.
        before: what was found of another state of it, or of this one.
    """

    audio: str
    size: int
    before: FileScan | None


class Survey:
    """Finds the files to scan: those that are new or changed. The others cost a stat each.

    Args:
        root: of the corpus.
        memory: of earlier runs.
        tolerate: faults to take a file in spite of.
        scratch: for the names of the files to scan.
    """

    def __init__(
        self, root: AnyPath, memory: ScanMemory, *, tolerate: frozenset[str], scratch: Scratch
    ) -> None:
        self.num_known = self.num_pending = self.pending_bytes = 0
        self._root, self._memory, self._tolerate = root, memory, tolerate
        self._by = scanner_digest(tolerate)
        self._lines = SortedLines(scratch, "pending")

    def look(self, files: Iterable[str], take: Callable[[FileScan], None]) -> None:
        """Look at each file once, sorted; `take` is given what is known of those that are known."""
        remembered = self._memory.read()
        last = next(remembered, None)
        for audio, stamp in _stamped(self._root, files):
            while last and last.audio < audio:
                last = next(remembered, None)
            before = last if last and last.audio == audio and last.by == self._by else None
            if before and before.is_sure and before.stamp == stamp:
                self.num_known += 1
                take(before)
                continue
            size = audio_bytes(audio, stamp)
            self.num_pending += 1
            self.pending_bytes += size
            self._lines.add(audio, f"{size} {before.said() if before else ''}")

    def scan(self, runner: Runner, advance: Advance, take: Callable[[FileScan], None]) -> None:
        """Scan the files that are to be scanned, and remember each as soon as it is.

        Neither the runner nor what is remembered changes a result.

        Args:
            runner: spreads the work.
            advance: told the seconds of audio done.
            take: given what is found of each file, in no order.

        Raises:
            FeatbankError: a file needs ffmpeg, which is not there or was killed.
            OSError, MemoryError: the machine failed, not a file.
        """
        if not self.num_pending:
            return
        make_worker = functools.partial(ScanWorker, self._root, self._tolerate, self._by)
        with closing(runner.run(make_worker, _batches(self.pending()), advance)) as results:
            for scans in results:
                for scan in scans:
                    self._memory.add(scan)
                    take(scan)

    def estimate_s(self) -> float:
        """Estimate the seconds of audio to scan."""
        every = max(1, self.num_pending // _SAMPLED)
        some = (one.audio for one in islice(self.pending(), 0, None, every))
        return estimate_duration_s(self._root, some, self.pending_bytes)

    def pending(self) -> Iterator[Pending]:
        """Give the files to scan, sorted."""
        for audio, said in self._lines:
            size, _, before = said.partition(" ")
            yield Pending(
                audio=audio, size=int(size), before=FileScan.read(audio, before) if before else None
            )


def _batches(pending: Iterator[Pending]) -> Iterator[list[Pending]]:
    """Give tasks, of one file at first, so that a run that is stopped early keeps something."""
    batch: list[Pending] = []
    num_bytes = num_sent = 0
    for one in pending:
        is_full = len(batch) >= min(_BATCH_FILES, 1 + num_sent // 16) or num_bytes >= _BATCH_BYTES
        if batch and is_full and not read_together(batch[-1].audio, one.audio):
            yield batch
            num_sent += len(batch)
            batch, num_bytes = [], 0
        batch.append(one)
        num_bytes += one.size
    if batch:
        yield batch


class ScanWorker:
    """Scans files, in any process.

    Args:
        root: of the corpus.
        tolerate: faults to take a file in spite of.
        by: what the scan depends on beside the file.
    """

    def __init__(self, root: AnyPath, tolerate: frozenset[str], by: str) -> None:
        self._root, self._tolerate, self._by = root, tolerate, by

    def __call__(self, task: Sequence[Pending], advance: Advance) -> list[FileScan]:
        """Scan files, telling the seconds of audio."""
        return [_told(scan, advance) for scan in map_any(self._root, self._look, task)]

    def _look(self, pending: Pending) -> FileScan:
        path = self._root / pending.audio
        now = time.time_ns()
        stamp = _stamp(path)
        before = pending.before
        if stamp is None or before is None or before.stamp is None:
            return self._scan(pending.audio, now, stamp)
        # the size is that of what it lies in, where that is another file
        is_as_large = before.stamp.size == stamp.size or "!/" in pending.audio
        if is_as_large and before.sha256 == _sha256(path):
            # touched, copied or linked anew: the same bytes
            is_sure = _is_sure(stamp, now) and stamp == _stamp(path)
            return replace(before, stamp=stamp, is_sure=is_sure)
        return self._scan(pending.audio, now, stamp)

    def _scan(self, audio: str, now: int, stamp: ScanStamp | None) -> FileScan:
        path = self._root / audio
        found: AudioScan | AudioError
        sha256 = ""
        try:
            what = path if isinstance(path, Path) else str(path)
            found = scan_audio(what, self._tolerate) if self._tolerate else scan_audio(what)
            sha256 = found.sha256
            if found.digest.startswith("sha256:"):
                sha256 = found.digest.removeprefix("sha256:")
        except AudioError as error:
            other = _other_form(self._root, audio) if error.kind == "missing" else ""
            found = _named_by(error, str(path), audio, other)
            if error.kind in _NOT_REMEMBERED:
                stamp = None
        if stamp is not None and not sha256:
            sha256 = _sha256(path)
        if stamp is None or stamp != _stamp(path):  # it changed meanwhile
            return FileScan(audio=audio, found=found)
        return FileScan(
            audio=audio,
            found=found,
            stamp=stamp,
            is_sure=_is_sure(stamp, now),
            sha256=sha256,
            by=self._by,
        )


def _told(scan: FileScan, advance: Advance) -> FileScan:
    if isinstance(scan.found, AudioScan):
        advance(scan.found.duration_s)
    else:
        tell(failures=1)
    return scan


def _stamped(root: AnyPath, files: Iterable[str]) -> Iterator[tuple[str, ScanStamp | None]]:
    """Give each file with its stamp, in order; an archive elsewhere is asked for once."""
    if isinstance(root, Path):
        for audio in files:
            yield audio, _stamp(root / audio)
        return
    files = iter(files)
    while some := list(islice(files, _STAMPED_TOGETHER)):
        held_by = [RemotePath(file_on_disk(f"{root}/{audio}")) for audio in some]
        holders = list(dict.fromkeys(held_by))
        stamps = dict(zip(holders, map_any(root, _stamp, holders), strict=True))
        yield from zip(some, map(stamps.get, held_by), strict=True)


def scanner_digest(tolerate: frozenset[str]) -> str:
    """Return a digest of what a scan depends on beside the file."""
    versions = [version_here(name) for name in ("libsndfile", "ffmpeg")]
    return digest([SCAN_VERSION, DECODE_VERSION, *versions, sorted(tolerate)])


def _stamp(path: AnyPath) -> ScanStamp | None:
    """Return the stamp of a file, or of the one that something is in."""
    try:
        if isinstance(path, RemotePath):
            return ScanStamp.of_remote(stat_remote(RemotePath(file_on_disk(str(path)))))
        return ScanStamp.of(os.stat(file_on_disk(path)))  # noqa: PTH116 - it may be a text
    except RemoteError:
        raise  # which says nothing of the file
    except (OSError, ValueError):
        return None  # the scan says what is wrong


def _is_sure(stamp: ScanStamp, now: int) -> bool:
    return max(stamp.mtime_ns, stamp.ctime_ns) < now - _DOUBT_NS


def _sha256(path: AnyPath) -> str:
    try:
        is_inside = "!/" in str(path)
        with open_file(str(path)) if is_inside else open_any(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""  # gone meanwhile
    except AudioError:
        return ""  # nothing of it is there


def _other_form(root: AnyPath, audio: str) -> str:
    """Return the path of a file that is there, if one but for the Unicode form of its name is."""
    for other in unicodedata.normalize("NFC", audio), unicodedata.normalize("NFD", audio):
        if other != audio and _stamp(root / other):
            return other
    return ""


def _named_by(error: AudioError, path: str, audio: str, other: str) -> AudioError:
    """Return an error that names its file below the corpus root, wherever that lies."""
    texts = [(text or "").replace(path, audio) for text in (error.what, error.expected, error.got)]
    what, expected, got = texts
    if other:
        got = f"{got}; one is there whose name differs in its Unicode form, {other!a}"
    return AudioError(what, kind=error.kind, expected=expected or None, got=got or None)
