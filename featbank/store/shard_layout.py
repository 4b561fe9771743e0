"""Lay out the file of a shard: HDF5 does so in memory, and writes no file.

HDF5 that fails to write a file of its own ends, now and then, in a segmentation fault as it closes
it. So it never has one: it lays out what a shard is in memory, with values of a few frames in the
place of the values, and the three numbers that say how many there are, are put right afterwards.
The bytes are those that HDF5 itself would have written.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from featbank.files.provenance import canonical_json
from featbank.store.compression import chunked, transfer
from featbank.store.encoding import ERRORS_DTYPE, SCALES_DTYPE, Array, find_encoding, frame_bytes
from featbank.store.format import ALIGNMENT, FORMAT_VERSION, SHARD_FORMAT
from featbank.store.header import Numerics

_BLOCK_BYTES = 1 << 24
_STAND_IN_BYTES = 1 << 16
_DATASPACE, _LAYOUT = 1, 8  # types of messages in an object header


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """What all the rows of a shard have in common.

    Args:
        name: of the feature.
        dtype: that is stored: a NumPy name, `bfloat16` or `int8_scaled`.
        shape: of one frame.
        fingerprint: of the store.
        numerics: the class of machine that computed the values, as JSON values.
        compression: of the values: `zstd`, `blosc` or None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    fingerprint: str
    numerics: Numerics
    compression: str | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame as it is stored."""
        return frame_bytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLayout:
    """The file of a shard whose values are not there yet.

    Args:
        head: its first bytes: all that is no value, zeros in the places of what is still open.
        places: byte at which each dataset begins that is still open; 0 for one without a value.
        num_bytes: size of the file.
    """

    head: memoryview
    places: Mapping[str, int]
    num_bytes: int


def lay_out(
    spec: ShardSpec, columns: Mapping[str, Array], num_frames: int, num_rows: int
) -> ShardLayout:
    """Lay out a shard with plain values; where they will be compressed, they wait in it.

    Args:
        spec: what the rows have in common.
        columns: what is known before any value is, by the name of its dataset.
        num_frames: of all rows.
        num_rows: of the shard.
    """
    stand_in = num_frames
    if num_frames * spec.frame_bytes > _STAND_IN_BYTES:
        stand_in = min(num_frames, -(-_STAND_IN_BYTES // spec.frame_bytes))
    image, places, address = _image(spec, columns, stand_in, num_rows)
    values_start, num_bytes = places["values"], len(image)
    if stand_in < num_frames:
        # values come last, so that nothing stands behind them whose place depends on their number
        assert num_bytes == values_start + stand_in * spec.frame_bytes
        num_bytes = values_start + num_frames * spec.frame_bytes
        _state_frames(image, address, spec, num_frames, num_bytes)
        del image[values_start:]
    return ShardLayout(head=memoryview(image), places=places, num_bytes=num_bytes)


def compressed_image(
    spec: ShardSpec, columns: Mapping[str, Array], num_frames: int, blocks: Iterator[Array]
) -> memoryview:
    """Return the file of a shard whose values are compressed.

    Args:
        spec: what the rows have in common; it names a compression.
        columns: all datasets but the values.
        num_frames: of all rows, one or more.
        blocks: the values in order, each of a multiple of `compressed_step` frames but the last.
    """
    with _create(spec, dict(sorted(columns.items())), _BLOCK_BYTES) as file:
        values = _create_values(file, spec, num_frames, **_chunks(spec, num_frames))
        start = 0
        for block in blocks:
            transfer(values, "write", start, block)
            start += len(block)
        file.flush()
        return memoryview(file.id.get_file_image())


def compressed_step(spec: ShardSpec, num_frames: int) -> int:
    """Return how many frames to compress at a time: whole chunks.

    The bytes of a chunk that is filled piece by piece depend on the pieces.
    """
    chunk: int = _chunks(spec, num_frames)["chunks"][0]
    return chunk * max(1, _BLOCK_BYTES // (chunk * spec.frame_bytes))


def _chunks(spec: ShardSpec, num_frames: int) -> Mapping[str, Any]:
    itemsize = find_encoding(spec.dtype).stored.itemsize
    return chunked(str(spec.compression), (num_frames, *spec.shape), itemsize)


def _image(
    spec: ShardSpec, columns: Mapping[str, Array], num_frames: int, num_rows: int
) -> tuple[bytearray, dict[str, int], int]:
    """Return the file, the places of what is open in it, and that of the values' object header."""
    # contiguous storage reserved at once and never filled: the layout follows from the rows alone
    reserved = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    reserved.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    reserved.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    encoding = find_encoding(spec.dtype)
    with _create(spec, columns, _STAND_IN_BYTES) as file:
        opened = {
            "checksums": file.create_dataset(
                "checksums", (num_rows,), "<u8", dcpl=reserved, track_times=False
            )
        }
        if encoding.has_scale:
            opened["scales"] = file.create_dataset(
                "scales", (num_rows, *spec.shape), SCALES_DTYPE, dcpl=reserved, track_times=False
            )
        if encoding.rounds:
            opened["rounding_errors"] = file.create_dataset(
                "rounding_errors", (num_rows, 2), ERRORS_DTYPE, dcpl=reserved, track_times=False
            )
        opened["values"] = _create_values(file, spec, num_frames, dcpl=reserved)
        # None for a dataset without a value: there is nothing to write then
        places = {name: dataset.id.get_offset() or 0 for name, dataset in opened.items()}
        address = h5py.h5o.get_info(opened["values"].id).addr
        file.flush()
        return bytearray(file.id.get_file_image()), places, address


def _create(spec: ShardSpec, columns: Mapping[str, Array], step_bytes: int) -> h5py.File:
    """Create a file in memory, with the attributes of a shard and some of its datasets.

    Args:
        spec: what the rows have in common.
        columns: datasets to put in.
        step_bytes: by which the memory of the file grows.
    """
    attributes = {
        "format": SHARD_FORMAT,
        "name": spec.name,
        "dtype": spec.dtype,
        "fingerprint": spec.fingerprint,
        "numerics": canonical_json(spec.numerics),
        **({"compression": spec.compression} if spec.compression else {}),
    }
    file = h5py.File(
        secrets.token_hex(8),  # of its own: HDF5 tells open files in memory by their names
        "w",
        driver="core",
        backing_store=False,
        block_size=step_bytes,
        track_order=False,
        locking=False,
        alignment_threshold=1,
        alignment_interval=ALIGNMENT,
    )
    try:
        file.attrs["format_version"] = FORMAT_VERSION
        for name, text in attributes.items():
            # of fixed length: HDF5 may loop for ever on a damaged heap of variable-length strings
            encoded = text.encode()
            fixed = h5py.string_dtype("utf-8", max(1, len(encoded)))
            file.attrs.create(name, np.array(encoded, fixed))
        for name, data in columns.items():
            file.create_dataset(name, data=data, track_times=False)
    except BaseException:
        file.close()
        raise
    return file


def _create_values(
    file: h5py.File, spec: ShardSpec, num_frames: int, **options: Any
) -> h5py.Dataset:
    kind = h5py.Datatype(find_encoding(spec.dtype).hdf5_type)  # older h5py takes no bare type
    shape = (num_frames, *spec.shape)
    return file.create_dataset("values", shape, kind, track_times=False, **options)


def _state_frames(
    image: bytearray, address: int, spec: ShardSpec, num_frames: int, num_bytes: int
) -> None:
    """Put in the number of frames, the bytes of the values and the end of the file.

    "HDF5 File Format Specification Version 3.0", II.A.1 (superblock, version 0) and IV.A.1.a, 2.b
    and 2.i (object header, version 1; dataspace, version 1; layout, version 3).
    """
    image[40:48] = num_bytes.to_bytes(8, "little")
    assert (image[8], image[address]) == (0, 1)
    size = int.from_bytes(image[address + 8 : address + 12], "little")
    place, end = address + 16, address + 16 + size
    stated = set()
    while place < end:
        kind = int.from_bytes(image[place : place + 2], "little")
        length = int.from_bytes(image[place + 2 : place + 4], "little")
        message = place + 8
        if kind == _DATASPACE:
            version, rank, has_limits = image[message : message + 3]
            assert (version, rank, has_limits) == (1, 1 + len(spec.shape), 1)
            for first in (message + 8, message + 8 + 8 * rank):  # the size, and its limit
                image[first : first + 8] = num_frames.to_bytes(8, "little")
            stated.add(kind)
        elif kind == _LAYOUT:
            assert (image[message], image[message + 1]) == (3, 1)  # contiguous
            values_bytes = num_frames * spec.frame_bytes
            image[message + 10 : message + 18] = values_bytes.to_bytes(8, "little")
            stated.add(kind)
        place = message + length
    assert stated == {_DATASPACE, _LAYOUT}
