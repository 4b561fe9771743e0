"""Read one shard through a memory map, with no handle left open: safe in threads and forks."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.files.json_files import parse_json
from featbank.files.opening import NotAFileError, open_regular
from featbank.store.compression import CompressedValues
from featbank.store.encoding import ERRORS_DTYPE, SCALES_DTYPE, Array, checksum, find_encoding
from featbank.store.format import DIGEST_BYTES, NO_DIGEST, SHARD_FORMAT, check_format
from featbank.store.healing import heal
from featbank.store.id_index import LOW_BITS, home_slot, num_home_slots
from featbank.store.mapped_datasets import MappedDatasets
from featbank.store.platform import map_file, populate
from featbank.store.shard_layout import ShardSpec
from featbank.store.slicing import out_of_range
from featbank.store.stamps import Stamp, open_same

_FETCH = "fetch it again with dvc pull, or run the stage, or the recipe, that makes it"


class MappedShard:
    """One shard, read-only. HDF5 says once where each dataset lies; reads touch the map alone."""

    def __init__(
        self, path: str | Path, num_bytes: int | None = None, where: str | None = None
    ) -> None:
        """Open a shard.

        Args:
            path: of the file.
            num_bytes: its size as the header states it, checked first.
            where: the shard lies, for errors; by default, at the path.

        Raises:
            StoreError: missing, truncated, foreign, of another version, or damaged.
        """
        self.path = Path(path)
        self.where = f"shard {self.path}" if where is None else where
        """The shard, as errors name it."""
        try:
            with open_regular(self.path) as file:
                size = file.seek(0, 2)
                if num_bytes is not None and size != num_bytes:
                    raise self.damaged(f"{num_bytes} bytes", f"{size} bytes")
                if size == 0:
                    raise self.damaged("an HDF5 file", "an empty file")
                self._map = map_file(file.fileno(), size)
                self._stamp = Stamp.of(file.fileno())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.damaged("a file", "nothing there") from error
        except NotAFileError as error:
            raise self.damaged("a file", error.strerror) from error
        except OSError as error:
            raise self.damaged("a file that can be read", error) from error
        try:
            with open_same(self.path, self._stamp) as shard:
                self._read_layout(shard)
        except (
            OSError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # what h5py raises
            raise self.damaged("a whole HDF5 shard", error) from error

    @property
    def num_frames(self) -> int:
        """Frames of all rows."""
        return len(self._values)

    @property
    def frame_starts(self) -> npt.NDArray[np.int64]:
        """First frame of each row, then the total: (num_rows + 1,)."""
        starts: npt.NDArray[np.int64] = self._row_starts[:, 0]
        return starts

    @property
    def id_starts(self) -> npt.NDArray[np.int64]:
        """First byte of each row's id in `id_bytes`, then the total: (num_rows + 1,)."""
        starts: npt.NDArray[np.int64] = self._row_starts[:, 1]
        return starts

    @property
    def is_compressed(self) -> bool:
        """Whether HDF5 has to undo the compression of the values."""
        return self._compressed

    @property
    def id_slots(self) -> npt.NDArray[np.uint64]:
        """The hash index of the ids; see `id_index`."""
        slots: npt.NDArray[np.uint64] = np.asarray(self._slots)
        return slots

    @property
    def values_start(self) -> int:
        """Where the values begin in the file; 0 for none, or where they are not contiguous."""
        return self._values_start

    @property
    def id_bytes(self) -> memoryview:
        """The ids of all rows in UTF-8, one after the other."""
        return self._ids

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._num_rows

    def id(self, row: int) -> str:
        """Return the id of a row."""
        try:
            return self._id_bytes_of(row).decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"row {row}'s id in UTF-8", error) from error

    def ids(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Give the ids of rows, sorted."""
        return map(self.id, range(start, len(self) if stop is None else stop))

    def find(self, utterance_id: str) -> int | None:
        """Return the row of an id, or None when it is not here."""
        try:
            key = utterance_id.encode()
        except UnicodeEncodeError:  # a lone surrogate: no store holds it
            return None
        id_hash = xxh3_64_intdigest(key)
        tag, slots, starts = id_hash & LOW_BITS, self._slots, self._starts
        slot = home_slot(id_hash, self._home_slots)
        try:
            while entry := slots[slot]:
                if entry >> 32 == tag:
                    row = (entry & LOW_BITS) - 1
                    # numbers 2 * row + 1 and + 3 are where this id and the next one start
                    start, stop = starts[2 * row + 1], starts[2 * row + 3]
                    if self._ids[start:stop].tobytes() == key:
                        return row
                slot += 1
        except IndexError as error:  # the last slot of a sound table is empty
            raise self.damaged("a sound index of ids", "a slot that leads nowhere") from error
        return None

    def frames(self, row: int) -> range:
        """Return the frames of a row, as places in `values`."""
        start, stop = self._starts[2 * row], self._starts[2 * row + 2]
        if not 0 <= start <= stop <= self._num_frames:
            raise self.damaged(
                f"row {row} within {self._num_frames} frames", f"frames {start} to {stop}"
            )
        return range(start, stop)

    def read(self, row: int, left: int = 0, right: int | None = None) -> Array:
        """Return frames of one row, (frames, *shape), read-only; a view where values are plain.

        Args:
            row: of the shard.
            left: the first frame, counted in the row.
            right: the one after the last; None for the end of the row.

        Raises:
            StoreError: they are not frames of the row.
        """
        starts = self._starts
        start, stop = starts[2 * row], starts[2 * row + 2]
        if not 0 <= start <= stop <= self._num_frames:
            self.frames(row)  # says what is wrong
        if left or right is not None:
            first, last = start + left, stop if right is None else start + right
            if not start <= first <= last <= stop:
                where = f"utterance {self.id(row)!r} in {self.where}"
                raise out_of_range(stop - start, left, right, where)
            start, stop = first, last
        values = self._values[start:stop]
        if self._plain:
            return values
        if self._compressed and not left and right is None:
            self._check_row(row, values)
        return self._decode(values, None if self._scales is None else self._scales[row])

    def values(self, frames: range) -> Array:
        """Return the values of consecutive frames of any rows, (len(frames), *shape), read-only."""
        values = self._values[frames.start : frames.stop]
        if self._plain:
            return values
        if self._scales is None:
            return self._decode(values, None)
        rows = np.searchsorted(self.frame_starts, np.arange(frames.start, frames.stop), "right") - 1
        return self._decode(values, self._scales[rows])

    def stored(self, row: int) -> Array:
        """Return the frames of a row as they are stored, (T, *shape): what its checksum is of."""
        frames = self.frames(row)
        return self._values[frames.start : frames.stop]

    def scale(self, row: int) -> Array | None:
        """Return the scale of a row, (*shape,) float32, where the dtype has one."""
        return None if self._scales is None else self._scales[row]

    def checksum(self, row: int) -> int:
        """Return the XXH3-64 that the stored bytes of a row had when they were written."""
        return int(self._checksums[row])

    def rounding_error(self, row: int) -> tuple[float, float]:
        """Return the greatest and the summed absolute error of storing a row; 0 for integers."""
        if self._rounding_errors is None:
            return 0.0, 0.0
        greatest, summed = self._rounding_errors[row]
        return float(greatest), float(summed)

    def input_digest(self, row: int) -> bytes:
        """Return the 16-byte digest of a row's inputs; zeros when it was not stated."""
        return NO_DIGEST if self._input_digests is None else bytes(self._input_digests[row])

    def digest_around(self, values_bytes: int) -> str:
        """Return the SHA-256 of the file but `values_bytes` of values, in hexadecimal."""
        digest = sha256(self._map[: self._values_start].data)
        digest.update(self._map[self._values_start + values_bytes :].data)
        return digest.hexdigest()

    def damaged(self, expected: str, got: object) -> StoreError:
        """Return the error that says what is wrong with the file."""
        return StoreError(
            self.where,
            expected=expected,
            got=got,
            hint=heal(self.path.parent) if self.path.exists() else _FETCH,
        )

    def _check_row(self, row: int, stored: Array) -> None:
        """Hold a row that was decompressed, and is in the cache, against its checksum."""
        if checksum(stored) != self.checksum(row):
            raise self.damaged(f"the values of {self.id(row)!r} as written", "others")

    def _decode(self, stored: Array, scale: Array | None) -> Array:
        values = self._encoding.decode(stored, scale)
        values.flags.writeable = False
        return values

    def _id_bytes_of(self, row: int) -> bytes:
        start, stop = self._starts[2 * row + 1], self._starts[2 * row + 3]
        return self._ids[start:stop].tobytes()

    def _read_layout(self, shard: h5py.File) -> None:
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in shard.attrs.items()
        }
        check_format(attributes, SHARD_FORMAT, self.where)
        self._encoding = find_encoding(str(attributes["dtype"]))
        datasets = MappedDatasets(shard, self._map, self.damaged)
        self._compressed = datasets.are_values_chunked()
        self._values: Array | CompressedValues
        if self._compressed:
            frames, self._values_start = datasets.shape_of_values(self._encoding), 0
            self._values = CompressedValues(self.path, self._stamp, frames, self._encoding.stored)
        else:
            self._values, self._values_start = datasets.values(self._encoding)
        self._num_frames = len(self._values)
        # what a read gives without any work: a view
        self._plain = not self._compressed and self._encoding.is_plain
        self._row_starts = datasets.find("row_starts", np.dtype("<i8"), (None, 2))
        self._num_rows = rows = len(self._row_starts) - 1
        self._checksums = datasets.find("checksums", np.dtype("<u8"), (rows,))
        slots = datasets.find("id_slots", np.dtype("<u8"), (None,))
        ids = datasets.find("id_bytes", np.dtype("u1"), (None,))
        shape = self._values.shape[1:]
        self._scales = (
            datasets.find("scales", SCALES_DTYPE, (rows, *shape))
            if self._encoding.has_scale
            else None
        )
        self._rounding_errors = (
            datasets.find("rounding_errors", ERRORS_DTYPE, (rows, 2))
            if self._encoding.rounds
            else None
        )
        self._input_digests = (
            datasets.find("input_digests", np.dtype("u1"), (rows, DIGEST_BYTES))
            if "input_digests" in datasets
            else None
        )
        # memory views: a search takes many single numbers, which NumPy gives slowly
        self._starts, self._slots, self._ids = (
            self._row_starts.reshape(-1).data,
            slots.data,
            ids.data,
        )
        self._home_slots = num_home_slots(rows)
        # every read by id looks at these, at places that are far from each other
        for index in (self._row_starts, slots, ids):
            if not populate(index):
                raise self.damaged("an index that can be read", "an error of the disk")
        totals = (self._num_frames, len(ids))
        if rows < 1 or (*self._row_starts[0], *self._row_starts[-1]) != (0, 0, *totals):
            raise self.damaged(
                f"row_starts from 0, 0 to {totals}", self._row_starts[[0, -1]].tolist()
            )
        if len(slots) <= self._home_slots or slots[-1]:
            raise self.damaged(f"over {self._home_slots} id_slots, the last one empty", len(slots))
        self.spec = ShardSpec(
            name=str(attributes["name"]),
            dtype=self._encoding.name,
            shape=shape,
            fingerprint=str(attributes["fingerprint"]),
            numerics=parse_json(attributes["numerics"], f"numerics of {self.where}", StoreError),
            compression=attributes.get("compression"),
        )
