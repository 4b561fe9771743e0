"""Read a store by utterance id, at the cost of a memory map."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from featbank.errors import StoreError
from featbank.provenance import canonical_json, file_sha256
from featbank.store.format import HEADER_NAME
from featbank.store.layout import ShardInfo, StoreHeader, read_header
from featbank.store.mapped import MappedShard
from featbank.store.values import Array


def open_store(path: str | Path) -> Store:
    """Open a store, or a folder of stores of one feature (its splits) as one.

    Only headers are read; a shard is opened when an id in it is asked for. The store may be used
    from threads and forked processes, and pickles as its path.

    Raises:
        StoreError: no store there, a damaged one, or stores that do not belong together.
    """
    path = Path(path)
    if (path / HEADER_NAME).is_file() or not path.is_dir():
        return Store(path, {"": read_header(path)})
    folders = sorted(
        found.parent.relative_to(path)
        for found in path.rglob(HEADER_NAME)
        # hidden folders are unfinished stores
        if not any(name.startswith(".") for name in found.relative_to(path).parts)
    )
    if not folders:
        return Store(path, {"": read_header(path)})  # says what is missing
    return Store(path, {folder.as_posix(): read_header(path / folder) for folder in folders})


class Store:
    """The features of utterances by id: `store["a-01"]` is a read-only array (T, *shape)."""

    def __init__(self, path: Path, headers: Mapping[str, StoreHeader]) -> None:
        """Use `open_store`.

        Args:
            path: of the store, or of the folder that holds several.
            headers: by folder below `path`; "" for a store that is `path` itself.
        """
        self.path = path
        self.header = _joined_header(path, headers)
        self._runs = [
            _ShardRun(path / folder, header, list(shards))
            for folder, header in headers.items()
            for _, shards in groupby(header.shards, key=lambda shard: shard.part)
        ]

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """What the header lists of each shard."""
        return self.header.shards

    @property
    def name(self) -> str:
        """Of the feature."""
        return self.header.name

    @property
    def fingerprint(self) -> str:
        """Digest of all that determines the values but the audio."""
        return self.header.fingerprint

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return np.dtype(self.header.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame."""
        return self.header.shape

    @property
    def frame_rate(self) -> float | None:
        """Frames a second; None when it varies."""
        return self.header.frame_rate

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the store was made from; for a folder of stores, that of each by its folder."""
        return self.header.provenance

    @property
    def num_frames_total(self) -> int:
        """Frames of all utterances."""
        return self.header.num_frames

    @property
    def ids(self) -> Sequence[str]:
        """All ids, in store order: by part, then by id."""
        return list(self)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return self.header.num_utterances

    def __iter__(self) -> Iterator[str]:
        """Give the ids, in store order."""
        for run in self._runs:
            for number in range(len(run.shards)):
                yield from run.open(number).ids()

    def __contains__(self, utterance_id: object) -> bool:
        """Tell whether the store holds an id."""
        return isinstance(utterance_id, str) and self._find(utterance_id) is not None

    def __getitem__(self, utterance_id: str) -> Array:
        """Return all frames of an utterance, (T, *shape), read-only."""
        return self.read(utterance_id)

    def read(
        self,
        utterance_id: str,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
    ) -> Array:
        """Return the frames from `left_offset_frames` up to, not including, `right_offset_frames`.

        Returns:
            A view of the file, (right - left, *shape), read-only; copy it to change it.

        Raises:
            StoreError: an id that is not there, or offsets outside its frames.
        """
        shard, row = self._locate(utterance_id)
        frames = shard.frames(row)
        right = len(frames) if right_offset_frames is None else right_offset_frames
        if not 0 <= left_offset_frames <= right <= len(frames):
            raise StoreError(
                f"utterance {utterance_id!r} in store {self.path}",
                expected=f"offsets within its {len(frames)} frames",
                got=f"{left_offset_frames} to {right}",
            )
        return shard.values(frames[left_offset_frames:right])

    def num_frames(self, utterance_id: str) -> int:
        """Return T of an utterance.

        Raises:
            StoreError: an id that is not there.
        """
        shard, row = self._locate(utterance_id)
        return len(shard.frames(row))

    def input_digest(self, utterance_id: str) -> bytes:
        """Return the 16-byte digest of what the utterance was computed from; zeros: not stated.

        Raises:
            StoreError: an id that is not there.
        """
        shard, row = self._locate(utterance_id)
        return shard.input_digest(row)

    def verify(self) -> list[str]:
        """Digest every shard, and return one line a problem; none when all bytes are as written."""
        problems = []
        for run in self._runs:
            for shard in run.shards:
                path = run.folder / shard.name
                if not path.is_file():
                    problems.append(f"shard {path}: missing")
                elif (size := path.stat().st_size) != shard.num_bytes:
                    problems.append(f"shard {path}: expected {shard.num_bytes} bytes, got {size}")
                elif (found := file_sha256(path)) != shard.sha256:
                    problems.append(f"shard {path}: expected sha256 {shard.sha256}, got {found}")
        return problems

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path: maps do not travel between processes."""
        return open_store, (self.path,)

    def _locate(self, utterance_id: str) -> tuple[MappedShard, int]:
        found = self._find(utterance_id)
        if found is None:
            raise StoreError(
                f"store {self.path}",
                expected=f"an id among its {len(self)}",
                got=repr(utterance_id),
            )
        return found

    def _find(self, utterance_id: str) -> tuple[MappedShard, int] | None:
        for run in self._runs:
            if found := run.find(utterance_id):
                return found
        return None


class _ShardRun:
    """The shards of one part of one store: first ids rise, so an id has one possible shard."""

    def __init__(self, folder: Path, header: StoreHeader, shards: Sequence[ShardInfo]) -> None:
        self.folder = folder
        self.shards = shards
        self._header = header
        self._first_ids = [shard.first_id for shard in shards]
        self._opened: list[MappedShard | None] = [None] * len(shards)

    def find(self, utterance_id: str) -> tuple[MappedShard, int] | None:
        number = bisect_right(self._first_ids, utterance_id) - 1
        if number < 0:
            return None
        shard = self.open(number)
        row = shard.find(utterance_id)
        return None if row is None else (shard, row)

    def open(self, number: int) -> MappedShard:
        # two threads may both open a shard: either map serves
        shard = self._opened[number]
        if shard is None:
            shard = self._opened[number] = self._open_checked(self.shards[number])
        return shard

    def _open_checked(self, info: ShardInfo) -> MappedShard:
        shard = MappedShard(self.folder / info.name, info.num_bytes)
        header = self._header
        for what, expected, got in (
            ("name", header.name, shard.spec.name),
            ("dtype", header.dtype, shard.spec.dtype),
            ("shape", header.shape, shard.spec.shape),
            ("fingerprint", header.fingerprint, shard.spec.fingerprint),
            ("num_utterances", info.num_utterances, len(shard)),
            ("num_frames", info.num_frames, shard.num_frames),
        ):
            if expected != got:
                raise StoreError(
                    f"shard {shard.path}", expected=f"{what} {expected!r}", got=repr(got)
                )
        return shard


def _joined_header(path: Path, headers: Mapping[str, StoreHeader]) -> StoreHeader:
    """Describe stores opened as one; refuse those that are not one feature made in one way."""
    names = sorted({header.name for header in headers.values()})
    if len(names) > 1:
        raise StoreError(
            f"folder {path}",
            expected="stores of one feature",
            got=", ".join(names),
            hint="open one of the folders below it",
        )
    first_folder, first = next(iter(headers.items()))
    if first_folder == "":
        return first
    for folder, header in headers.items():
        for field in (
            "dtype",
            "shape",
            "frame_rate",
            "first_frame_center_s",
            "framing",
            "fingerprint",
        ):
            if getattr(header, field) != getattr(first, field):
                raise StoreError(
                    f"folder {path}: {field} of {folder}",
                    expected=f"{getattr(first, field)!r} as in {first_folder}",
                    got=repr(getattr(header, field)),
                    hint="run the stage that makes the older one again",
                )
    numerics = {canonical_json(one): one for header in headers.values() for one in header.numerics}
    return replace(
        first,
        numerics=tuple(numerics[key] for key in sorted(numerics)),
        provenance={folder: header.provenance for folder, header in headers.items()},
        num_failures=sum(header.num_failures for header in headers.values()),
        shards=tuple(shard for header in headers.values() for shard in header.shards),
    )
