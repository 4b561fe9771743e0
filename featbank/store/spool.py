"""Put rows that came in any order into the order of a store, through one scratch file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from featbank.store.encoding import SCALES_DTYPE, Array, Encoded, find_encoding
from featbank.store.mapped import MappedShard
from featbank.store.raw_file import ScratchFile
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec
from featbank.store.sharding import plan_shards, row_bytes, shard_name
from featbank.store.sorted_run import SortedRun
from featbank.store.waiting_rows import Columns, write_shard

_PIECE_BYTES = 1 << 23
_SPOOL = -1


class Spool:
    """Holds rows in the order in which they came; memory holds only what is known of them.

    It goes on where a sorted run ended: rows of shards that are written already stay there, and a
    shard that turns out to be right is kept.
    """

    def __init__(self, folder: Path, run: SortedRun, spec: ShardSpec, shard_bytes: int) -> None:
        """Take over the rows of a run.

        Args:
            folder: of the shards, where the values wait too.
            run: so far.
            spec: what all rows have in common.
            shard_bytes: target size of a shard.
        """
        self._folder = folder
        self._spec = spec
        self._shard_bytes = shard_bytes
        encoding = find_encoding(spec.dtype)
        self._frame_bytes = spec.frame_bytes
        self._scale_bytes = SCALES_DTYPE.itemsize * prod(spec.shape) if encoding.has_scale else 0
        self._rows = Columns()
        self._parts: list[str] = []
        self._sources = array("l")  # the shard that has a row's values, or `_SPOOL`
        self._places = array("q")  # row in the shard, or byte in the spool
        self._written = {info.name: info for info in run.shards}
        self._shards: list[MappedShard] = []
        self._file = ScratchFile(folder)
        self._take_over(run)

    def add(self, utterance_id: str, part: str, input_digest: bytes, encoded: Encoded) -> None:
        """Add a row."""
        self._rows.append(utterance_id, input_digest, encoded)
        self._rows.checksums.append(encoded.checksum)
        self._parts.append(part)
        self._sources.append(_SPOOL)
        self._places.append(self._file.size)
        self._append(encoded.stored)
        if encoded.scale is not None:
            self._append(encoded.scale)

    def finish(self) -> list[ShardInfo]:
        """Write all shards; return them in order."""
        self._file.flush()
        parts, ids = self._parts, self._rows.ids
        order = sorted(range(len(ids)), key=lambda row: (parts[row], ids[row]))
        plan = plan_shards(
            [(parts[row], ids[row], self._weight(row)) for row in order], self._shard_bytes
        )
        shards = [self._shard([order[place] for place in places]) for places in plan]
        for name in self._written.keys() - {info.name for info in shards}:
            (self._folder / name).unlink()
        self.close()
        return shards

    def close(self) -> None:
        """Drop the values that wait."""
        self._file.close()

    def _take_over(self, run: SortedRun) -> None:
        for number, (shard, rows) in enumerate(run.written()):
            self._shards.append(shard)
            self._rows.extend(rows)
            self._parts.extend([run.shards[number].part] * len(shard))
            self._sources.extend([number] * len(shard))
            self._places.extend(range(len(shard)))
        run.gather()
        for number, num_frames in enumerate(run.waiting.num_frames):
            self._sources.append(_SPOOL)
            self._places.append(self._file.size)
            values_bytes = num_frames * self._frame_bytes
            for piece in run.values.take(values_bytes):
                self._file.append(piece)
            scale_at = number * self._scale_bytes
            self._file.append(memoryview(run.scales)[scale_at : scale_at + self._scale_bytes])
        run.close()
        self._rows.extend(run.waiting)
        self._parts.extend([run.part] * len(run.waiting))

    def _append(self, array: Array) -> None:
        self._file.append(array.reshape(-1).view(np.uint8).data)

    def _weight(self, row: int) -> int:
        return row_bytes(
            self._rows.ids[row].encode(), self._rows.num_frames[row] * self._frame_bytes
        )

    def _shard(self, places: Sequence[int]) -> ShardInfo:
        rows = self._rows.pick(places)
        name = shard_name(self._spec.fingerprint, rows.ids, rows.input_digests)
        if name in self._written:  # named by its ids, which are unique: it holds these very rows
            return self._written[name]
        scales = b"".join(map(self._scale, places)) if self._scale_bytes else b""
        path = self._folder / name
        info = write_shard(path, self._spec, rows, self._values(places), scales)
        return replace(info, part=self._parts[places[0]])

    def _values(self, places: Sequence[int]) -> Iterator[memoryview]:
        """Give the stored bytes of rows, gathered into pieces that are worth a write."""
        buffer = np.empty(_PIECE_BYTES, np.uint8)
        filled = 0
        for place in places:
            num_bytes = self._rows.num_frames[place] * self._frame_bytes
            if num_bytes > len(buffer) - filled:
                yield buffer[:filled].data
                filled = 0
                if num_bytes > len(buffer):
                    buffer = np.empty(num_bytes, np.uint8)
            self._read(place, buffer[filled : filled + num_bytes])
            filled += num_bytes
        yield buffer[:filled].data

    def _read(self, place: int, buffer: Array) -> None:
        if self._sources[place] == _SPOOL:
            # not mapped: what is read of a map counts as this process's memory
            self._file.read_into(buffer.data, self._places[place])
        else:
            stored = self._shards[self._sources[place]].stored(self._places[place])
            buffer[:] = stored.reshape(-1).view(np.uint8)

    def _scale(self, place: int) -> bytes:
        if self._sources[place] == _SPOOL:
            scale = bytearray(self._scale_bytes)
            values_bytes = self._rows.num_frames[place] * self._frame_bytes
            self._file.read_into(memoryview(scale), self._places[place] + values_bytes)
            return bytes(scale)
        kept = self._shards[self._sources[place]].scale(self._places[place])
        assert kept is not None
        return kept.tobytes()
