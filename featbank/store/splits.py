"""Read and write `splits.json`, which states what splits a folder has where they are published.

A store vouches for all that is in its folder, but nothing in it tells of the stores beside it: a
split that is gone, or is left over from an earlier run, would not be noticed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from featbank.errors import StoreError
from featbank.files.disk import fsync_file, fsync_folder
from featbank.files.json_files import parse_json
from featbank.files.locking import lock
from featbank.files.opening import read_regular
from featbank.files.provenance import digest, readable_json, write_atomic
from featbank.store.builder import StoreBuilder
from featbank.store.format import (
    HEADER_NAME,
    SPLITS_FORMAT,
    SPLITS_NAME,
    SPLITS_VERSION,
    check_format,
    typed_field,
)
from featbank.store.header import StoreHeader
from featbank.store.header_file import header_digest, read_header
from featbank.store.healing import heal
from featbank.store.raw_file import write_at

_log = logging.getLogger(__name__)

_MAX_BYTES = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_splits(folder: Path) -> dict[str, str] | None:
    """Read what a folder of splits states: the digest of each header by the name of its folder.

    Returns:
        None where nothing is stated: the stores were written one by one, or only they were pulled.

    Raises:
        StoreError: the statement is foreign, newer or damaged.
    """
    path = folder / SPLITS_NAME
    try:
        data = read_regular(path, _MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return None
        raise _unreadable(str(path), "a link to nowhere", heal(folder)) from None
    except OSError as error:
        raise _unreadable(str(path), error, heal(folder)) from error
    return parse_splits(data, str(path), heal(folder))


def parse_splits(data: bytes, where: str, hint: str) -> dict[str, str]:
    """Return what the bytes of `splits.json` state; see `read_splits`.

    Args:
        data: of the file.
        where: it lies, for errors.
        hint: how a damaged one is had again.

    Raises:
        StoreError: the statement is foreign, newer or damaged.
    """
    fields = parse_json(data, where, StoreError, hint=hint)
    check_format(fields, SPLITS_FORMAT, where, SPLITS_VERSION)
    splits = typed_field(fields, "splits", (dict,), where)
    for name, found in splits.items():
        if not _is_name(name) or not isinstance(found, str) or not _SHA256.fullmatch(found):
            raise StoreError(
                f"{where}: splits",
                expected="names of folders, and digests",
                got=f"{name!r}: {found!r}",
            )
    stated = typed_field(fields, "digest", (str,), where)
    found = digest({name: value for name, value in fields.items() if name != "digest"})
    if stated != found:
        raise _unreadable(where, f"digest {found} instead of {stated}", hint)
    return dict(splits)


def standing_splits(folder: Path) -> list[str]:
    """Return the names of the stores that stand in a folder, whatever it states."""
    return sorted(
        path.parent.name
        for path in folder.glob(f"*/{HEADER_NAME}")
        if not path.parent.name.startswith(".")
    )


def remove_other_splits(folder: Path, splits: Collection[str]) -> None:
    """Remove stores of splits that there are no longer, once the others have been published.

    Args:
        folder: of the splits.
        splits: that it is to hold.
    """
    for name in standing_splits(folder):
        if name not in splits:
            _log.info("%s: removed, for the corpus has no such split any more", folder / name)
            shutil.rmtree(folder / name)


def split_problems(
    folder: Path, stores: Mapping[str, StoreHeader | None], *, partial: bool = False
) -> Iterator[StoreError]:
    """Hold the stores that stand in a folder against what it states.

    Args:
        folder: of the splits.
        stores: in it, by the names of their folders: their headers, None where one cannot be read.
        partial: others may stand there, too, or none.
    """
    try:
        stated = read_splits(folder)
    except StoreError as error:
        if not partial:  # else what stands there may be anything
            yield error
        return
    if stated is not None:
        yield from differing_splits(str(folder), stated, stores, partial=partial)


def differing_splits(
    folder: str,
    stated: Mapping[str, str],
    stores: Mapping[str, StoreHeader | None],
    *,
    partial: bool = False,
) -> Iterator[StoreError]:
    """Hold stores against the splits that their folder states; see `split_problems`."""
    path = f"{folder}/{SPLITS_NAME}"
    absent = [name for name in sorted(stated) if name not in stores]
    if absent and not partial:
        yield StoreError(
            f"folder {folder}",
            expected=f"the splits that {SPLITS_NAME} states: {', '.join(sorted(stated))}",
            got=f"no {', no '.join(absent)}",
            hint="fetch the rest with dvc pull, or open the folder of a split that is there",
        )
    for name, header in sorted(stores.items(), key=lambda item: item[0]):
        if name not in stated:
            yield StoreError(
                f"store {folder}/{name}",
                expected=f"one that {path} states",
                got="one left over from an earlier run, or put there later",
                hint=f"remove it, or remove {SPLITS_NAME} to open what is there",
            )
        elif header is not None and header_digest(header) != stated[name]:
            yield StoreError(
                f"store {folder}/{name}",
                expected=f"header digest {stated[name]}, as {path} states",
                got=header_digest(header),
                hint="a run was stopped as it published, or one split was replaced: run the stage "
                "that makes them again, or dvc pull; in a recipe, call cache_features",
            )


def write_splits(path: Path, headers: Mapping[str, StoreHeader]) -> None:
    """Write `splits.json` of stores that do not stand beside it, by the names of their folders."""
    write_atomic(path, splits_text({name: header_digest(one) for name, one in headers.items()}))


def splits_text(splits: Mapping[str, str]) -> str:
    """Return the text of `splits.json`: the digest of each header by the name of its folder."""
    fields = {"format": SPLITS_FORMAT, "format_version": SPLITS_VERSION, "splits": dict(splits)}
    return readable_json({**fields, "digest": digest(fields)})


class _Statement:
    """The `splits.json` of one folder, complete on the disk before it takes its name."""

    def __init__(self, folder: Path) -> None:
        """Wait for the turn of this process to write it.

        Raises:
            StoreError: another one writes it, and is not seen to live.
        """
        self._path = folder / SPLITS_NAME
        # one name, so that what a killed run left is written over
        self._partial = folder / f".{SPLITS_NAME}.partial"
        self._lock = lock(self._path, str(self._path), wait=True)

    def write(self, splits: Mapping[str, str]) -> None:
        """Bring it to the disk."""
        data = splits_text(splits).encode()
        with open(self._partial, "wb") as file:
            write_at(file.fileno(), memoryview(data), 0)
            fsync_file(file.fileno(), self._partial)

    def publish(self) -> None:
        """Give it its name.

        Raises:
            StoreError: another process took the lock.
        """
        self._lock.check()
        self._partial.replace(self._path)
        self._lock.release()
        fsync_folder(self._path.parent)

    def drop(self) -> None:
        """Remove it, unless it is published."""
        if self._lock.is_mine:
            self._partial.unlink(missing_ok=True)
        self._lock.release()


@contextmanager
def stating_splits(builders: Iterable[StoreBuilder], *, keep_others: bool) -> Iterator[None]:
    """State, in each folder above some stores, which splits there are, once a block published them.

    The statements are complete on the disk before the block. Where a run is killed in it, a folder
    is not as it states, and is refused, until the stage runs again.

    Args:
        builders: of completed stores.
        keep_others: of the stores that stand in the same folder: they are splits as well; without,
            these are all there are.

    Raises:
        StoreError: the disk fails.
    """
    folders: dict[Path, dict[str, str]] = {}
    for builder in builders:
        names = folders.setdefault(builder.place.parent, {})
        names[builder.place.name] = header_digest(builder.header)
    with ExitStack() as stack:
        statements = []
        for folder, splits in folders.items():
            with _disk_of(folder, "nothing was published; free some space and run again"):
                statement = _Statement(folder)
                stack.callback(statement.drop)
                statement.write({**(_others(folder, splits) if keep_others else {}), **splits})
            statements.append(statement)
        yield
        for folder, statement in zip(folders, statements, strict=True):
            with _disk_of(folder, "look at the disk, and run again"):
                statement.publish()


@contextmanager
def _disk_of(folder: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"splits of {folder}", expected="a disk with room that works", got=error, hint=hint
        ) from error


def _others(folder: Path, replaced: Collection[str]) -> dict[str, str]:
    """Return the splits that a folder holds, and those that it states and holds no longer.

    One that cannot be read, for its format is an older one or it is damaged, stays as it was
    stated: whoever opens it is told.
    """
    splits = read_splits(folder) or {}
    for name in standing_splits(folder):
        if name not in replaced:
            with suppress(StoreError):
                splits[name] = header_digest(read_header(folder / name))
    return splits


def _is_name(name: str) -> bool:
    return Path(name).name == name and not name.startswith(".")


def _unreadable(where: str, got: object, hint: str) -> StoreError:
    return StoreError(where, expected="the splits that were published together", got=got, hint=hint)
