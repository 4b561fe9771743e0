"""Stores that go to DVC's remote shard by shard, as they are made, and end as a `.dvc` file.

A note beside where a shard lay says which object it is. It is on the disk before the shard is
removed, and behind the upload: whenever a run is killed, a shard is here, or there, or both.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.files.json_files import read_json
from featbank.files.provenance import canonical_json, write_atomic
from featbank.files.records import record
from featbank.pipeline.dvc_outputs import is_run_by_dvc
from featbank.pipeline.dvc_pointer import PushedFile, check_pointer, folder_object, write_pointer
from featbank.pipeline.dvc_remote import RemoteObjects, file_md5
from featbank.store import ShardInfo

_log = logging.getLogger(__name__)

_NOTE = ".pushed"
_AT_ONCE = 4  # shards under way
_WAITING = 8  # shards that a run is ahead of them: this disk holds no more
_ASKED_AT_ONCE = 16


class DvcShelf:
    """A `featbank.engine.shelving.Shelf` that is DVC's remote. For one thread."""

    def __init__(self, remote: RemoteObjects, pointer: Path, threads: ThreadPoolExecutor) -> None:
        """Take nothing yet.

        Args:
            remote: that shards go to.
            pointer: the `.dvc` file to write.
            threads: that upload.
        """
        self._remote = remote
        self._pointer = pointer
        self._threads = threads
        self._work = Path()
        self._held: dict[Path, PushedFile] = {}
        self._coming: set[Path] = set()
        self._uploads: deque[Future[None]] = deque()

    def begin(self, work: Path) -> None:
        """Find the notes of a work folder, and ask the remote whether it still has the objects."""
        self._work = work
        noted = {note.with_suffix(""): note for note in work.rglob(f"*{_NOTE}")}
        found = {shard: entry for shard, note in noted.items() if (entry := _read_note(note))}
        self._held = found
        self._remote.size_of("0" * 32)  # fails now rather than after the first shard
        if lost := self._lost(found):
            _log.warning(
                "%d of %d pushed shards are in %s no more, and are made again",
                len(lost),
                len(found),
                self._remote.url,
            )

    def holds(self, shard: Path, info: ShardInfo) -> bool:
        """Tell whether the remote has a shard."""
        entry = self._held.get(shard)
        return entry is not None and entry.num_bytes == info.num_bytes

    def take(self, shard: Path, info: ShardInfo) -> None:
        """Upload a shard beside what the run does; wait where too many are on their way."""
        if self.holds(shard, info):
            shard.unlink(missing_ok=True)
        elif shard not in self._coming:
            self._coming.add(shard)
            self._uploads.append(self._threads.submit(self._upload, shard))
            self._settle(_WAITING)

    def lend(self, shard: Path) -> None:
        """Download a shard."""
        self._remote.fetch(self._held[shard].md5, shard)

    def complete(self, files: Mapping[str, Path]) -> None:
        """Upload what lists the files behind all of them, and write the `.dvc` file."""
        self._settle(0)
        described = {path for path in files.values() if path not in self._held}
        entries = {path: _entry_of(path) for path in described}
        for path, entry in entries.items():
            self._remote.send(path, entry.md5, entry.num_bytes)
        entries |= {path: self._held[path] for path in files.values() if path not in described}
        if lost := self._lost(entries):
            raise StoreError(
                f"{len(lost)} pushed files",
                expected=f"objects of {self._remote.url}",
                got="none there any more",
                hint="dvc gc --cloud removes what no commit names yet; type the same again, which "
                "makes those anew",
            )
        listing = folder_object({name: entries[path] for name, path in files.items()})
        path = self._work / "listing.json"
        write_atomic(path, listing.data)
        self._remote.send(path, listing.name, len(listing.data))
        path.unlink()
        write_pointer(self._pointer, listing)

    def _upload(self, shard: Path) -> None:
        entry = _entry_of(shard)
        self._remote.send(shard, entry.md5, entry.num_bytes)
        write_atomic(_note(shard), canonical_json(asdict(entry)))
        self._held[shard] = entry
        shard.unlink()

    def _settle(self, num_left: int) -> None:
        """Wait until no more uploads than that are left; raise what went wrong with one."""
        while len(self._uploads) > num_left:
            self._uploads.popleft().result()

    def _lost(self, entries: Mapping[Path, PushedFile]) -> list[Path]:
        """Find files that the remote has no more, and forget that it had them."""
        with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="ask") as threads:
            sizes = threads.map(lambda entry: self._remote.size_of(entry.md5), entries.values())
            there = dict(zip(entries, sizes, strict=True))
        lost = [path for path, size in there.items() if size != entries[path].num_bytes]
        for path in lost:
            self._held.pop(path, None)
            self._coming.discard(path)
            _note(path).unlink(missing_ok=True)
        return lost


@contextmanager
def dvc_shelf(pointer: Path, remote: str | None) -> Iterator[DvcShelf]:
    """Open the way to DVC's remote for a run; at its end nothing is under way any more.

    Args:
        pointer: the `.dvc` file to write.
        remote: DVC's name for it; None is its default one.

    Raises:
        ConfigError: DVC runs this stage, the remote is none to push to, or the place of the `.dvc`
            file is none.
    """
    if is_run_by_dvc():
        raise ConfigError(
            "push",
            expected="false under dvc repro, which fails a stage without its output",
            got="true",
            hint="type python stages/extract.py ... push=true; dvc push sends what repro made",
        )
    check_pointer(pointer)
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push")
    try:
        yield DvcShelf(RemoteObjects(remote), pointer, threads)
    finally:
        threads.shutdown(cancel_futures=True)


def _note(shard: Path) -> Path:
    return shard.with_name(shard.name + _NOTE)


def _read_note(path: Path) -> PushedFile | None:
    try:
        return record(PushedFile, read_json(path, what="note", error=StoreError))
    except (FeatbankError, ValueError) as error:
        _log.warning("%s is of no use, and its shard is made again: %s", path, error)
        return None


def _entry_of(path: Path) -> PushedFile:
    return PushedFile(md5=file_md5(path), num_bytes=path.stat().st_size)
