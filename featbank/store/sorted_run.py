"""Write shards straight away, from rows that come in the order in which a store holds them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from featbank.store.encoding import Encoded
from featbank.store.mapped import MappedShard
from featbank.store.own_process import OwnProcess
from featbank.store.shard_file import LARGE_BYTES
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec
from featbank.store.sharding import ShardCutter, row_bytes, shard_name
from featbank.store.waiting_rows import ByteQueue, Columns, Taken, write_shard

_SETTLE_BYTES = 1 << 20
_SETTLE_ROWS = 1 << 14
_LARGE_ROW_BYTES = 1 << 15  # is worth calls of its own
_MORE_BYTES = 1 << 26  # that memory may hold while a shard is written


class SortedRun:
    """Keeps the rows that no shard is certain of yet: at most twice the target size of values.

    A thread writes a large shard while the rows of the next one come in, which are put into the
    memory that it is done with. What goes wrong there is raised by the next call.
    """

    def __init__(self, folder: Path, spec: ShardSpec, shard_bytes: int) -> None:
        self._shards: list[ShardInfo] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write shards")
        self._writing: Future[ShardInfo] | None = None
        self._writing_bytes = 0
        self._owner = OwnProcess(f"shards of {folder}")
        self.waiting = Columns()
        self.values = ByteQueue()
        self.scales = bytearray()
        self.part = ""
        self.last_id = ""  # no id is empty
        self._folder = folder
        self._spec = spec
        self._shard_bytes = shard_bytes
        self._cutter = ShardCutter("", shard_bytes)
        # of the rows of this part: how many the cutter has seen, how many are in shards
        self._num_settled = self._num_cut = 0
        self._new: list[bytes] = []  # values that are not yet in `values`
        self._new_bytes = 0  # that came since the last time
        self._frame_bytes = spec.frame_bytes

    @property
    def shards(self) -> list[ShardInfo]:
        """The shards that are written, in order.

        Raises:
            OSError: the disk is full, or fails.
        """
        if self._writing is not None:
            self._shards.append(self._writing.result())  # what failed fails whoever asks again
            self._writing = None
        return self._shards

    def ids(self) -> Iterator[str]:
        """Give all ids."""
        for info in self.shards:
            yield from MappedShard(self._folder / info.name).ids()
        yield from self.waiting.ids

    def add(self, utterance_id: str, part: str, input_digest: bytes, encoded: Encoded) -> None:
        """Add the next row; now and then, write the shards that have become certain."""
        if part != self.part:
            self._end_part()
            self.part = part
            self._cutter = ShardCutter(part, self._shard_bytes)
        self.last_id = utterance_id
        self.waiting.append(utterance_id, input_digest, encoded)
        stored = encoded.stored
        if stored.nbytes < _LARGE_ROW_BYTES:
            self._new.append(stored.tobytes())
        else:  # one copy less
            self._gather()
            self.waiting.checksums.append(encoded.checksum)
            self.values.append(stored.reshape(-1).view(np.uint8))
        if encoded.scale is not None:
            self.scales.extend(encoded.scale.tobytes())
        self._new_bytes += stored.nbytes
        if self._held_bytes > 2 * self._shard_bytes + _MORE_BYTES:
            _ = self.shards  # or memory would hold what is written, too
        if self._new_bytes >= _SETTLE_BYTES or len(self._new) >= _SETTLE_ROWS:
            self._settle()

    def gather(self) -> None:
        """Make `values` and the checksums hold those of all waiting rows."""
        self._gather()
        self._new_bytes = 0

    def close(self) -> None:
        """Drop the values that wait, once none is being written any more."""
        if self._owner.is_here:  # a forked child has no thread to wait for
            self._thread.shutdown()
        self._writing = None
        self.values.close()

    @property
    def _held_bytes(self) -> int:
        """Bytes of values that memory holds at most, but for those of a few small rows."""
        return len(self.values) + (self._writing_bytes if self._writing is not None else 0)

    def _gather(self) -> None:
        if self._new:
            self.waiting.checksums.extend(map(xxh3_64_intdigest, self._new))
            self.values.append(np.frombuffer(b"".join(self._new), np.uint8))
            self._new.clear()

    def written(self) -> Iterator[tuple[MappedShard, Columns]]:
        """Give the shards that are written, with their rows."""
        for info in self.shards:
            shard = MappedShard(self._folder / info.name)
            errors = list(map(shard.rounding_error, range(len(shard))))
            rows = Columns()
            rows.ids.extend(shard.ids())
            rows.num_frames.extend(len(shard.frames(row)) for row in range(len(shard)))
            rows.input_digests.extend(map(shard.input_digest, range(len(shard))))
            rows.checksums.extend(map(shard.checksum, range(len(shard))))
            rows.max_errors.extend(greatest for greatest, _ in errors)
            rows.sum_errors.extend(summed for _, summed in errors)
            yield shard, rows

    def finish(self) -> list[ShardInfo]:
        """Write what is left; return all shards, in order."""
        self._end_part()
        shards = self.shards
        self.close()
        return shards

    def _end_part(self) -> None:
        self._settle()
        if len(self.waiting):
            self._write(len(self.waiting))
        self._num_cut = self._num_settled = 0

    def _settle(self) -> None:
        """See which shards the rows that came since the last time make certain; write these."""
        self.gather()
        if self._writing is not None and self._writing.done():
            _ = self.shards  # what went wrong is told as soon as it can be
        first, frame_bytes = self._num_settled - self._num_cut, self._frame_bytes
        keys = [one.encode() for one in self.waiting.ids[first:]]
        lengths = self.waiting.num_frames[first:]
        self._num_settled += len(keys)
        weights = [
            row_bytes(key, length * frame_bytes) for key, length in zip(keys, lengths, strict=True)
        ]
        for cut in self._cutter.extend(zip(keys, weights, strict=True)):
            self._write(cut - self._num_cut)
            self._num_cut = cut

    def _write(self, num_rows: int) -> None:
        scales_bytes = len(self.scales) // len(self.waiting) * num_rows
        rows = self.waiting.take(num_rows)
        name = shard_name(self._spec.fingerprint, rows.ids, rows.input_digests)
        num_bytes = sum(rows.num_frames) * self._frame_bytes
        values = self.values.take(num_bytes)
        scales = bytes(self.scales[:scales_bytes])
        del self.scales[:scales_bytes]
        shards = self.shards  # one at a time
        if num_bytes < LARGE_BYTES:  # a thread would cost more than it saves
            shards.append(self._written(name, rows, values, scales, self.part))
            return
        self._writing_bytes = num_bytes
        self._writing = self._thread.submit(self._written, name, rows, values, scales, self.part)

    def _written(
        self, name: str, rows: Columns, values: Taken, scales: bytes, part: str
    ) -> ShardInfo:
        info = write_shard(self._folder / name, self._spec, rows, values, scales)
        return replace(info, part=part)
