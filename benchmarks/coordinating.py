"""What the coordinator of a run keeps of a manifest, however long that is."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.fresh import memory_mb

_FRAME_BYTES = 80 * 4
_SHARD_BYTES = 1 << 28


def write_rows(manifest: Path, num_rows: int) -> None:
    """Write rows of 3 to 17 seconds that name no audio there is."""
    with open(manifest, "w", encoding="utf-8") as file:
        for number in range(num_rows):
            row = {
                "id": f"{number // 1000:05}/{number:08}",
                "audio": f"{number // 1000:05}/{number:08}.flac",
                "audio_digest": f"md5:{number:032x}",
                "sample_rate": 16_000,
                "num_samples": 48_000 + number * 7_919 % 224_000,
                "text": "what was said, as long as such a line of text happens to be",
            }
            file.write(json.dumps(row) + "\n")


def cut(manifest: Path) -> tuple[float, float, int, float]:
    """Take a manifest through a run's two passes: look at every row, cut all into shards.

    Returns:
        The peak of memory before and after, in MB, the shards, and the seconds it took.
    """
    from featbank.engine.rows import SplitRows, cut_into_shards, num_frames
    from featbank.features.signal.kaldi import Fbank

    framing = Fbank().framing
    before, begin = memory_mb("VmHWM"), time.perf_counter()
    rows = SplitRows(manifest, framing)
    shards = cut_into_shards(
        iter(rows), lambda row: _FRAME_BYTES * num_frames(row, framing), _SHARD_BYTES
    )
    num_shards = sum(1 for _ in shards)
    return before, memory_mb("VmHWM"), num_shards, time.perf_counter() - begin
