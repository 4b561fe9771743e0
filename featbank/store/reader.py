"""Read a store by utterance id, at the cost of a memory map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.failures import Failure
from featbank.errors import StoreError
from featbank.files.provenance import digest
from featbank.store.encoding import Array, find_encoding
from featbank.store.failure_list import read_listed_failures
from featbank.store.header import StoreHeader
from featbank.store.ids import StoreIds
from featbank.store.joining import read_chosen, read_headers, refuse_misplaced
from featbank.store.listed_shards import ListedShards
from featbank.store.mapped import MappedShard
from featbank.store.shard_info import ShardInfo
from featbank.store.slicing import OffsetsError, frame_span
from featbank.store.soundness import check_digest
from featbank.store.stamps import OpenedHeader, replaced
from featbank.store.verify import Damage, verify

Located = tuple[int, MappedShard, int]
"""Of an utterance: the number of a shard, the shard, and the row in it."""


class Store(ListedShards):
    """The features of utterances by id: `store["a-01"]` is a read-only array (T, *shape)."""

    def __init__(self, storage_path: str | Path, splits: str | Sequence[str] | None = None) -> None:
        """Open; see `open_store`."""
        self.storage_path: Path | str = Path(storage_path)
        self._root = self.storage_path.absolute()  # what is opened later must not move with the cwd
        self._headers: list[OpenedHeader] = []
        self.chosen_splits: tuple[str, ...] | None = None
        if splits is None:
            _, self.header = read_headers(self._root, self._open_header)
        else:
            self.chosen_splits = (splits,) if isinstance(splits, str) else tuple(splits)
            _, self.header = read_chosen(self._root, self.chosen_splits, self._open_header)
        self._begin()

    def _begin(self) -> None:
        """Take what follows from the headers."""
        self._dtype = find_encoding(self.header.dtype).read
        self._time_last = self.header.time_axis == -1
        self._vouched: set[int] = set()  # shards whose digest was looked at since
        super().__init__(self._headers)

    def refuse_misplaced(self) -> None:
        """Refuse a split that is not the one that was published in its place with the others.

        Raises:
            StoreError: it is not.
        """
        refuse_misplaced(self._root, self.header)

    def choose(self, splits: str | Sequence[str]) -> Store:
        """Open some of its splits alone: their names, as of `open_store`."""
        chosen = Store(self.storage_path, splits)
        chosen.refuse_misplaced()
        return chosen

    @property
    def path(self) -> Path | str:
        """Of the store, or of the folder that holds several; a URL where it lies elsewhere."""
        return self.storage_path

    @property
    def address(self) -> str:
        """Where it lies, whoever asks from wherever: an absolute path, or a URL."""
        path = self.storage_path
        return str(path.absolute()) if isinstance(path, Path) else path

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the folders of the stores that are read as one, in store order."""
        return tuple(opened.folder.name for opened in self._headers)

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
        """Of the values as they are read; `header.dtype` names how they are stored."""
        return self._dtype

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
    def ids(self) -> StoreIds:
        """All ids, in store order: by folder, part and id. They stay in the shards until asked."""
        return StoreIds(self)

    @property
    def frame_counts(self) -> npt.NDArray[np.int64]:
        """Frames of every utterance, in the order of `ids`: (len(self),)."""
        counts = [np.diff(self.open_shard(number).frame_starts) for number in self._shard_numbers]
        return np.concatenate([np.empty(0, np.int64), *counts])

    def __getitem__(self, utterance_id: str) -> Array:
        """Return all frames of an utterance, (T, *shape), read-only."""
        return self.read(utterance_id)

    def read(
        self,
        utterance_id: str,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = False,
    ) -> Array:
        """Return the frames from `left_offset_frames` up to, not including, `right_offset_frames`.

        Args:
            utterance_id: of the utterance.
            left_offset_frames: the first frame.
            right_offset_frames: the one after the last; None for the end. Offsets are taken as a
                slice takes them: beyond the end they stop there, negative ones count from it.
            strict: refuse offsets outside the utterance's frames.
            copy: return an array of its own, that may be changed: what `torch.from_numpy` wants.

        Returns:
            (right - left, *shape), or (Q, right - left) for codes with the time axis last, or
            (*shape) where there is one value an utterance; read-only unless it is a copy. Where
            the dtype is read as it is stored, a view of the file.

        Raises:
            StoreError: an id that is not there, or offsets outside its frames when `strict`.
        """
        _, shard, row = self._locate(utterance_id)
        left, right = left_offset_frames, right_offset_frames
        if self.header.time_axis is None:
            self._refuse_offsets(left, right)
            values = shard.read(row).reshape(self.shape)
            return values.copy() if copy else values
        try:
            values = shard.read(row, left, right)
        except OffsetsError:  # asked only now whether they are cut, for most are not
            if strict:
                raise
            num_frames = len(shard.frames(row))
            left, right = frame_span(num_frames, left, right)
            # a whole row is read as one, for only that is held against its checksum
            values = shard.read(row, left, None if right == num_frames else right)
        if self._time_last:
            values = np.moveaxis(values, 0, -1)
        return values.copy() if copy else values

    def _refuse_offsets(self, left: int, right: int | None) -> None:
        if left or right is not None:
            raise StoreError(
                f"store {self.storage_path}",
                expected="no offsets, for there is one value an utterance",
                got=f"{left} to {right}",
            )

    def read_many(self, utterance_ids: Iterable[str]) -> Iterator[Array]:
        """Read all frames of utterances, each as `read` gives it, in the order that is given.

        Of a store elsewhere, many are fetched at once, and those that come next while these are
        looked at: the way to read along the order of a sampler.

        Args:
            utterance_ids: any number; they are taken as they are needed.

        Raises:
            StoreError: an id that is not there.
        """
        return map(self.read, utterance_ids)

    def read_batch(
        self, utterance_ids: Sequence[str], padding_value: float = 0
    ) -> tuple[Array, npt.NDArray[np.int64]]:
        """Read utterances into one padded array.

        Args:
            utterance_ids: B of them, in the order wanted; one may come twice.
            padding_value: fills the frames behind the end of each; the dtype holds it.

        Returns:
            The values, (B, T, *shape), or (B, Q, T) for codes with the time axis last, T being the
            length of the longest, and the lengths in frames, (B,); (B, *shape) and ones where there
            is one value an utterance.

        Raises:
            StoreError: an id that is not there, or a padding value that the dtype cannot hold.
        """
        self._check_padding(padding_value)
        places = self._locate_all(utterance_ids)
        lengths = np.array([len(shard.frames(row)) for _, shard, row in places], np.int64)
        longest = int(lengths.max(initial=0))
        padded = np.empty((len(places), longest, *self.shape), self.dtype)
        for line, values, length in zip(padded, self._rows(places), lengths, strict=True):
            line[:length] = values
            line[length:] = padding_value
        if self.header.time_axis is None:
            return padded.reshape(len(places), *self.shape), lengths
        return (np.moveaxis(padded, 1, -1) if self._time_last else padded), lengths

    def _locate_all(self, utterance_ids: Iterable[str]) -> list[Located]:
        return [self._locate(one) for one in utterance_ids]

    def _rows(self, places: Sequence[Located]) -> Iterable[Array]:
        """Return the values of some rows, (T, *shape) each, which `read_batch` copies at once."""
        return (shard.read(row) for _, shard, row in places)

    def _check_padding(self, value: float) -> None:
        if self.dtype.kind not in "iu":
            return
        limits = np.iinfo(self.dtype)
        if not (limits.min <= value <= limits.max and value == int(value)):
            raise StoreError(
                f"padding_value for store {self.storage_path}",
                expected=f"a value of {self.dtype.name}, {limits.min} to {limits.max}",
                got=value,
                hint="write the store with a wider, signed dtype, or fill by the lengths",
            )

    def num_frames(self, utterance_id: str) -> int:
        """Return T of an utterance.

        Raises:
            StoreError: an id that is not there.
        """
        _, shard, row = self._locate(utterance_id)
        return len(shard.frames(row))

    @property
    def failures(self) -> list[Failure]:
        """The utterances that should be here and failed, as the failure lists have them.

        Raises:
            StoreError: a list is damaged, or the store was replaced after it was opened.
        """
        return [one for opened in self._headers for one in _failures(opened)]

    def input_digest(self, utterance_id: str) -> bytes:
        """Return the 16-byte digest of what the utterance was computed from; zeros: not stated.

        Raises:
            StoreError: an id that is not there.
        """
        number, shard, row = self._locate(utterance_id)
        if shard.is_compressed and number not in self._vouched:  # else its opening told
            opened, info = self._sources[number]
            check_digest(opened.header, info, shard)
            self._vouched.add(number)
        return shard.input_digest(row)

    def verify(self, advance: Callable[[int], object] = lambda _: None) -> list[Damage]:
        """Read every file; return what is damaged, nothing when all bytes are as written.

        Args:
            advance: told the bytes of each shard when it is done.
        """
        return verify(self._root, advance).damages

    def close(self) -> None:
        """Let go of the maps; arrays that were read stay good, and a later read opens anew."""
        super().close()
        self._vouched.clear()

    def __enter__(self) -> Store:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path, and a digest that tells whether the same store is there then."""
        return _reopen, (type(self), self._root, self.chosen_splits, self._digest())

    def _open_header(self, folder: Path) -> StoreHeader:
        self._headers.append(OpenedHeader(folder))
        return self._headers[-1].header

    def _digest(self) -> str:
        return digest([opened.header.to_json() for opened in self._headers])

    def _locate(self, utterance_id: str) -> Located:
        """Return the number of a shard, the shard, and the row of an utterance in it."""
        try:
            found = self._find(utterance_id)
        except TypeError:  # no text; asked only now, for this is called for every read
            if isinstance(utterance_id, str):
                raise
            found = None
        if found is None:
            raise StoreError(
                f"store {self.storage_path}",
                expected=f"an id among its {len(self)}",
                got=repr(utterance_id),
            )
        return found

    def row_number(self, utterance_id: str) -> int:
        """Return where an utterance stands in `ids`.

        Raises:
            StoreError: an id that is not there.
        """
        number, _, row = self._locate(utterance_id)
        return self._rows_before[number] + row


def in_order_of_axes(values: Array, time_axis: int | None) -> Array:
    """Return all frames of an utterance, (T, *shape), with the time axis where a store has it."""
    if time_axis is None:
        return values.reshape(values.shape[1:])
    return np.moveaxis(values, 0, -1) if time_axis == -1 else values


def _reopen(kind: type[Store], path: Path, splits: tuple[str, ...] | None, expected: str) -> Store:
    """Open the store that was pickled, and no other."""
    store = kind(path, splits)
    if store._digest() != expected:
        raise replaced(f"store {path}")
    return store


def _failures(opened: OpenedHeader) -> list[Failure]:
    try:
        return read_listed_failures(opened.folder, opened.header)
    finally:
        opened.check()  # the list may be that of another store
