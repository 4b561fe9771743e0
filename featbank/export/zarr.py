"""Zarr v3: all frames of a store as one chunked array, with the offsets of its utterances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import accumulate, islice
from math import prod
from operator import attrgetter
from typing import Any, BinaryIO, ClassVar

import numpy as np

from featbank.base.terms import TERMS
from featbank.export.base import DESCRIBED, ShardedExport, described, refuse_field, refuse_name
from featbank.export.rows import ExportField, ExportRow
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.work import ExportWork
from featbank.store.encoding import Array

_CHUNK_BYTES = 256 << 10  # of values that a read decodes at once: some seconds of features
_COLUMN_ROWS = 1 << 14  # utterances in a file of what there is one of each
_SAID = (
    "name", "dtype", "time_axis", "codebook_size", "frame_rate", "first_frame_center_s",
    "framing", "fingerprint", "provenance",
)  # fmt: skip
"""What a group's attributes say of its store, as its header does."""

_Blocks = Iterator[Callable[[], Array]]
"""The values of an array's files, in order; each is read when its file is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrExport(ShardedExport):
    """Zarr v3 `<split>.zarr`: `<name>/values` (frames, ...), `<name>/offsets`, `ids`, and texts.

    Utterance i is `values[offsets[i] : offsets[i + 1]]`, its codes (Q, T) the transpose of that.
    Attributes of a group say what the header of its store does. With manifests there are
    duration_s, text, speaker, language, and license and consent where any row says one.

    Args:
        shard_mb: of values in a file, at most.
    """

    packages: ClassVar[tuple[str, ...]] = ("zarr", "numcodecs")
    extra: ClassVar[str] = "zarr"

    shard_mb: int = 64

    def check(self, source: ExportSource) -> None:
        """Refuse names that are taken, and empty frames; see `Export.check`."""
        for field in source.fields:
            refuse_name(field, field.name, {"ids", *DESCRIBED, *TERMS}, "zarr")
            if 0 in field.axes:
                refuse_field(field, "zarr", expected="a value a frame, at least")

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a hierarchy a split, an array at a time; see `Export.write`."""
        columns = {"ids": ("str", attrgetter("id"))}
        for name, dtype in described(source).items():
            columns[name] = (dtype, attrgetter(f"utterance.{name}"))
        for split in source.splits:
            tree = _Tree(f"{split.name}.zarr", work)
            for name, (dtype, read) in columns.items():
                tree.column(name, len(split), dtype, map(read, split.rows()))
            for field in source.fields:
                said = split.stores[field.name].header.to_json()
                tree.group(field.name, {key: said[key] for key in _SAID})
                counts = (row.num_frames(field.name) for row in split.rows())
                offsets = accumulate(counts, initial=0)
                tree.column(f"{field.name}/offsets", len(split) + 1, "int64", offsets)
                tree.frames(f"{field.name}/values", split, field, self.max_bytes)


class _Tree:
    """A hierarchy that zarr encodes in memory, of which each file is taken as it is made."""

    def __init__(self, root: str, work: ExportWork) -> None:
        self._zarr = import_module("zarr")
        self._root, self._work = root, work
        self._held: dict[str, Any] = {}  # what zarr has made and no file has yet, by key
        self._group = self._zarr.create_group(self._zarr.storage.MemoryStore(self._held))
        self._describe("zarr.json")

    def group(self, name: str, attributes: Mapping[str, Any]) -> None:
        self._group.create_group(name, attributes=attributes)
        self._describe(f"{name}/zarr.json")

    def column(self, name: str, size: int, dtype: str, values: Iterable[Any]) -> None:
        blocks = _listed(iter(values), "object" if dtype == "str" else dtype)
        self._array(name, blocks, shape=(size,), dtype=dtype, chunks=(_COLUMN_ROWS,))

    def frames(self, name: str, split: ExportSplit, field: ExportField, max_bytes: int) -> None:
        inner, is_float = field.header.shape, field.dtype.kind == "f"
        total = split.stores[field.name].header.num_frames
        chunk = max(1, _CHUNK_BYTES // (prod(inner) * field.dtype.itemsize))
        most = max(1, max_bytes // (chunk * prod(inner) * field.dtype.itemsize))
        shard = chunk * min(most, max(1, -(-total // chunk)))
        self._array(
            name,
            _shards(split, field, shard),
            shape=(total, *inner),
            dtype=field.dtype,
            chunks=(chunk, *inner),
            shards=(shard, *inner),
            # what a reader is given where a file was lost: no value that anyone takes for one
            fill_value=np.nan if is_float else np.iinfo(field.dtype).max,
        )

    def _array(self, name: str, blocks: _Blocks, **options: Any) -> None:
        array = self._group.create_array(
            name,
            **options,
            compressors=[self._zarr.codecs.ZstdCodec(checksum=True)],
            config={"write_empty_chunks": True},
        )
        self._describe(f"{name}/zarr.json")
        size = (array.shards or array.chunks)[0]
        for number, block in enumerate(blocks):
            key = "/".join([name, "c", str(number), *("0" for _ in array.shape[1:])])
            encode = partial(self._encode, array, number * size, block, key)
            self._work.make(encode, f"{self._root}/{key}")

    def _encode(
        self, array: Any, start: int, block: Callable[[], Array], key: str, file: BinaryIO
    ) -> None:
        values = block()
        array[start : start + len(values)] = values
        file.write(self._held.pop(key).to_bytes())

    def _describe(self, key: str) -> None:
        self._work.make_text(f"{self._root}/{key}", self._held[key].to_bytes().decode())


def _listed(values: Iterator[Any], dtype: str) -> _Blocks:
    while block := list(islice(values, _COLUMN_ROWS)):
        yield partial(np.array, block, dtype)


def _shards(split: ExportSplit, field: ExportField, size: int) -> _Blocks:
    """Cut the frames of a split into shards of a size, which may begin inside an utterance."""
    pieces: list[tuple[ExportRow, int, int]] = []
    room = size
    for row in split.rows():
        start, total = 0, row.num_frames(field.name)
        while start < total:
            stop = min(total, start + room)
            pieces.append((row, start, stop))
            room -= stop - start
            start = stop
            if not room:
                yield partial(_join, field, pieces)
                pieces, room = [], size
    if pieces:
        yield partial(_join, field, pieces)


def _join(field: ExportField, pieces: list[tuple[ExportRow, int, int]]) -> Array:
    return np.concatenate([_frames(row, field)[start:stop] for row, start, stop in pieces])


def _frames(row: ExportRow, field: ExportField) -> Array:
    """Return the values of an utterance with its frames first; one value is one frame."""
    values = row.read(field.name)
    if field.header.time_axis is None:
        return values[None]
    return values.T if field.is_codes else values
