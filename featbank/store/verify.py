"""Compare every byte of a store with what its header and its checksums say."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featbank.errors import StoreError
from featbank.files.opening import open_regular
from featbank.store.encoding import checksum
from featbank.store.failure_list import read_listed_failures
from featbank.store.format import FAILURES_NAME, SPLITS_NAME
from featbank.store.header import StoreHeader
from featbank.store.header_file import read_header
from featbank.store.joining import is_store, join, refuse_misplaced, survey
from featbank.store.mapped import MappedShard
from featbank.store.platform import populate
from featbank.store.shard_file import digest_around
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec
from featbank.store.soundness import check_index, refuse_differences

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """What is damaged: a shard, a failure list, a store, or a folder of several.

    Args:
        shard: path of the file or folder.
        message: what was expected, and what was found.
        ids: of the rows whose values differ; empty where the damage is not in values alone.
        kind: of what is at the path.
    """

    shard: str
    message: str
    ids: tuple[str, ...] = ()
    kind: str = "shard"

    def __str__(self) -> str:
        """Say it in one line."""
        named = ", ".join(map(repr, self.ids[:_MAX_NAMED]))
        more = len(self.ids) - _MAX_NAMED
        rows = f" of {named}{f' and {more} more' if more > 0 else ''}" if self.ids else ""
        # an error of a store or a folder names it already
        where = "" if self.kind in ("store", "folder") else f"{self.kind} {self.shard}: "
        return f"{where}{self.message}{rows}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a pass over all bytes of some stores found.

    Args:
        num_shards, num_utterances, num_bytes: as the headers that can be read list them.
        damages: what is wrong; none where all is as written.
        unstated: the folders of several stores that state nothing of what they hold: whether one is
            absent, nobody can tell.
    """

    num_shards: int
    num_utterances: int
    num_bytes: int
    damages: list[Damage]
    unstated: list[Path]


def verify(
    path: Path,
    advance: Callable[[int], object] = lambda _: None,
    begin: Callable[[int], object] = lambda _: None,
) -> Verified:
    """Read every file of a store, or of all stores below a folder, of one feature or several.

    Args:
        path: of the store or the folder.
        advance: told the bytes of each shard when it is done.
        begin: told the bytes of all shards before.

    Raises:
        StoreError: there is no store.
    """
    headers, damages = _stores(path)
    num_bytes = sum(header.num_bytes for header in headers.values())
    begin(num_bytes)
    unstated = {folder.parent for folder in headers if folder != path} if headers else set()
    hashes: dict[str, list[tuple[Path, npt.NDArray[np.uint64]]]] = defaultdict(list)  # by feature
    for folder, header in headers.items():
        if damage := verify_failures(folder, header):
            damages.append(damage)
        damages += _stray_shards(folder, header)
        for info in header.shards:
            found = _verify_shard(folder, header, info)
            if isinstance(found, Damage):
                damages.append(found)
            else:
                hashes[header.name].append((folder / info.name, found))
            advance(info.num_bytes)
    for of_feature in hashes.values():
        damages += _repeated_ids(of_feature)
    return Verified(
        num_shards=sum(len(header.shards) for header in headers.values()),
        num_utterances=sum(header.num_utterances for header in headers.values()),
        num_bytes=num_bytes,
        damages=damages,
        unstated=sorted(folder for folder in unstated if not (folder / SPLITS_NAME).exists()),
    )


def _stores(path: Path) -> tuple[dict[Path, StoreHeader], list[Damage]]:
    if is_store(path):
        try:
            header = read_header(path)
        except StoreError as error:
            return {}, [Damage(str(path), str(error), kind="store")]
        try:
            refuse_misplaced(path, header)
        except StoreError as error:
            return {path: header}, [Damage(str(path), str(error), kind="store")]
        return {path: header}, []
    found, problems = survey(path) if path.is_dir() else ({}, [])
    if not found and not problems:
        read_header(path)  # says what is missing
    for name in sorted({header.name for header in found.values()}):
        try:
            join(path, {folder: one for folder, one in found.items() if one.name == name})
        except StoreError as error:
            problems.append(error)
    return (
        {path / folder: header for folder, header in found.items()},
        [Damage(str(path), str(one), kind="folder") for one in problems],
    )


def _stray_shards(folder: Path, header: StoreHeader) -> Iterator[Damage]:
    listed = {info.name for info in header.shards}
    for file in sorted(folder.glob("*.h5")):
        if file.name not in listed:
            yield Damage(str(file), "expected a header that lists it, got none")


def _repeated_ids(hashes: Sequence[tuple[Path, npt.NDArray[np.uint64]]]) -> Iterator[Damage]:
    """Give the ids that two shards have, by hashes that take 8 bytes a row."""
    together = np.sort(np.concatenate([np.empty(0, np.uint64), *(found for _, found in hashes)]))
    twice = together[1:][together[1:] == together[:-1]]
    if not twice.size:
        return
    first: dict[str, Path] = {}
    for path, found in hashes:
        shard: MappedShard | None = None
        for row in np.flatnonzero(np.isin(found, twice)).tolist():
            shard = shard or MappedShard(path)
            one = shard.id(row)
            if one in first:
                yield Damage(str(path), f"expected it once, got it in {first[one]} too,", (one,))
            first[one] = path


def verify_shard(folder: Path, header: StoreHeader, info: ShardInfo) -> Damage | None:
    """Read a whole shard; return what is wrong with it, or None when it is as it was written."""
    found = _verify_shard(folder, header, info)
    return found if isinstance(found, Damage) else None


def _verify_shard(
    folder: Path, header: StoreHeader, info: ShardInfo
) -> Damage | npt.NDArray[np.uint64]:
    """Return what is wrong with a shard, or the hashes of its ids."""
    path = folder / info.name
    try:
        problem = file_problem(path, header, info)
        if problem is not None:
            return Damage(str(path), problem)
        shard = MappedShard(path, info.num_bytes)
        refuse_differences(header, info, shard)
        hashes = check_index(shard)
        ids = tuple(damaged_rows(shard))
    except StoreError as error:
        return Damage(str(path), str(error))
    except OSError as error:
        return Damage(str(path), f"expected a file that can be read, got {error}")
    return Damage(str(path), "expected other values", ids) if ids else hashes


def verify_failures(folder: Path, header: StoreHeader) -> Damage | None:
    """Read the failure list of a store; return what is wrong with it, or None."""
    try:
        read_listed_failures(folder, header)
    except StoreError as error:
        message = f"expected {error.expected}, got {error.got}"
        return Damage(str(folder / FAILURES_NAME), message, kind="failure list")
    return None


def file_problem(path: Path, made: StoreHeader | ShardSpec, info: ShardInfo) -> str | None:
    """Read a shard but its plain values; return what is wrong with it, or None.

    Args:
        path: of the shard.
        made: says what it is stored as.
        info: what the header lists of it.
    """
    if not path.is_file():
        return "missing"
    values_bytes = info.num_frames * made.frame_bytes if info.values_start else 0
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != info.num_bytes:
            return f"expected {info.num_bytes} bytes, got {size}"
        if info.values_start + values_bytes > size:
            return (
                f"expected values up to byte {info.values_start + values_bytes}, got {size} bytes"
            )
        found = digest_around(file.fileno(), info.values_start, values_bytes)
    if found != info.digest:
        return f"expected digest {info.digest}, got {found}"
    return None


def damaged_rows(shard: MappedShard) -> Iterator[str]:
    """Give the ids of the rows whose values are not those that were written.

    Raises:
        StoreError: values that cannot be decompressed.
    """
    for row in range(len(shard)):
        if not is_sound(shard, row):
            yield shard.id(row)


def is_sound(shard: MappedShard, row: int) -> bool:
    """Tell whether the values of a row can be read, and are those that were written.

    Raises:
        StoreError: values that cannot be decompressed.
    """
    stored = shard.stored(row)
    return populate(stored) and checksum(stored) == shard.checksum(row)
