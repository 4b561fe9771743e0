"""Build a store in a hidden folder beside its place, and move it there whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from featbank.base.failures import Failure, write_failures
from featbank.errors import StoreError
from featbank.files.disk import fsync_folder
from featbank.files.locking import lock
from featbank.files.provenance import write_atomic
from featbank.store.failure_list import failures_digest
from featbank.store.format import FAILURES_NAME, HEADER_NAME
from featbank.store.header import StoreHeader
from featbank.store.header_file import header_text
from featbank.store.own_process import OwnProcess
from featbank.store.platform import exchange
from featbank.store.shard_info import SHARD_NAME


class StoreBuilder:
    """Owns the unfinished store at `folder`; `publish` puts it in its place.

    A store that is there is exchanged for it in one step; where the system cannot exchange two
    folders, it is gone for a moment.

    A lock refuses a second builder while this one lives, so that what a killed builder left is
    simply cleared; see `featbank.files.locking`. As a context manager it aborts unless published.

    Attributes:
        path: of the store to be, behind any link.
        place: the same as it was given, absolute.
        folder: of what is unfinished.
    """

    def __init__(self, path: str | Path, *, break_lock: bool = False) -> None:
        """Take the lock and clear left-overs.

        Args:
            path: of the store to be; a store that is there stays until the commit. Where it is a
                link, what it leads to is replaced, and the link stays.
            break_lock: take the lock of a builder that is gone, where nobody can tell that it is.

        Raises:
            StoreError: another writer is at work, or `path` holds something that is no store.
        """
        self.path = self.place = Path(path).absolute()
        _check_replaceable(self.path)
        if self.path.is_symlink():
            self.path = self.path.resolve()
        self.folder = self.path.with_name(f".{self.path.name}.partial")
        self._aside = self.path.with_name(f".{self.path.name}.replaced")
        self._new_parents = [one for one in self.path.parents if not one.exists()]
        self._header: StoreHeader | None = None
        self._owner = OwnProcess(f"store {self.path}")
        self._lock = lock(self.path, f"store {self.path}", breaks=break_lock)
        try:
            self.folder.mkdir(exist_ok=True)
            self._clear_leftovers()
        except BaseException:
            self._lock.release()
            raise

    def complete(self, header: StoreHeader, failures: Sequence[Failure] = ()) -> StoreHeader:
        """Put the header beside the shards in `folder`: nothing is missing now but the place.

        Args:
            header: lists every shard in `folder`.
            failures: utterances of the manifest that the store does not hold.

        Returns:
            The header as it was written, with the digest of the failure list.

        Raises:
            StoreError: `folder` and `header` do not agree, or another builder took the lock.
        """
        self._owner.check()
        self._lock.check()
        self._check_whole(header, failures)
        self._header = describe_store(self.folder, header, failures)
        return self._header

    @property
    def header(self) -> StoreHeader:
        """Of the completed store."""
        assert self._header is not None
        return self._header

    def publish(self) -> None:
        """Move the completed store to its place; the one that was there goes.

        Raises:
            StoreError: something that is no store has come to the place meanwhile, another builder
                took the lock, this is a child of the process that began, or the disk fails.
        """
        self._owner.check()
        _check_replaceable(self.path)
        self._lock.check()
        try:
            self._move()
        except OSError as error:
            raise StoreError(
                f"store {self.path}",
                expected="a disk that takes the whole store for the one that was there",
                got=error,
                hint="either of them is there, and whole: look at the disk, and run again",
            ) from error
        self._lock.release()

    def abort(self) -> None:
        """Drop the unfinished store, and the folders made for it; after `publish` do nothing."""
        if self._owner.is_here and self._lock.is_held:
            if self._lock.is_mine:  # else the folder is another builder's by now
                shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.release()
            with suppress(OSError):  # others are at work there
                for folder in self._new_parents:
                    folder.rmdir()

    def __enter__(self) -> Self:
        """Return the builder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what was not committed."""
        self.abort()

    def _move(self) -> None:
        if not self.path.exists():
            self.folder.rename(self.path)
            fsync_folder(self.path.parent)
        elif exchange(self.folder, self.path):
            fsync_folder(self.path.parent)
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.path.rename(self._aside)
            try:
                self.folder.rename(self.path)
            except OSError:
                self._aside.rename(self.path)
                raise
            fsync_folder(self.path.parent)
            shutil.rmtree(self._aside, ignore_errors=True)

    def _clear_leftovers(self) -> None:
        for entry in self.folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if self._aside.exists():
            # killed between the two renames of a commit: the old store is still the store
            if self.path.exists():
                shutil.rmtree(self._aside)
            else:
                self._aside.rename(self.path)

    def _check_whole(self, header: StoreHeader, failures: Sequence[Failure]) -> None:
        if header.num_failures != len(failures):
            raise StoreError(
                f"header of {self.path}",
                expected=f"num_failures {len(failures)}",
                got=header.num_failures,
            )
        for entry in self.folder.glob(".*"):  # temporaries of workers that died
            entry.unlink()
        expected = {shard.name: shard.num_bytes for shard in header.shards}
        found = {entry.name: entry.stat().st_size for entry in self.folder.iterdir()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise StoreError(
                    f"shard {name} of {self.path}",
                    expected=_size(expected.get(name), "no such shard in the header"),
                    got=_size(found.get(name), "no file"),
                )


def describe_store(
    folder: Path, header: StoreHeader, failures: Sequence[Failure] = ()
) -> StoreHeader:
    """Write the files of a store that are no shards; return the header as it was written.

    Args:
        folder: of the store.
        header: lists its shards.
        failures: utterances that it does not hold.
    """
    if failures:
        write_failures(folder / FAILURES_NAME, failures)
    header = replace(header, failures_digest=failures_digest(folder))
    write_atomic(folder / HEADER_NAME, header_text(header))
    return header


def _size(num_bytes: int | None, absent: str) -> str:
    return absent if num_bytes is None else f"{num_bytes} bytes"


def _check_replaceable(path: Path) -> None:
    """Refuse to put a store where something else is, which the commit would remove."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir() or not (
        (path / HEADER_NAME).is_file()
        # a store that lost its header is one still, and is had again in its place
        or all(
            SHARD_NAME.fullmatch(entry.name) or entry.name == FAILURES_NAME
            for entry in path.iterdir()
        )
    ):
        raise StoreError(
            f"store {path}",
            expected="a free place, or a store to replace",
            got="something else there",
            hint="remove it, or choose another path",
        )
