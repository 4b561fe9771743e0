"""The plain pipeline under the engine's: decode threads, a stub of a device, one writer.

It keeps the order of the utterances, checks, digests and writes each, and waits for the disk: what
a careful person writes in an afternoon. No batches, errors, headers or shards.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import Queue

import numpy as np
import soundfile
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from benchmarks.stub import StubDevice

_AHEAD, _WAITING = 16, 4
_INFINITE = np.uint16(0x7C00)  # float16: exponents from here on are infinities and NaN
_MAGNITUDE = np.uint16(0x7FFF)


def extract(paths: Sequence[Path], out: Path, device: StubDevice, num_decoders: int = 2) -> None:
    """Take audio files to one flat file of features and one of digests."""
    import torch

    queue: Queue[NDArray[np.float16] | None] = Queue(_WAITING)
    with ThreadPoolExecutor(num_decoders) as decoders, ThreadPoolExecutor(1) as writers:
        written = writers.submit(_write, queue, out)
        for samples in _decoded(paths, decoders):
            features = device._compute(torch.from_numpy(samples))["stub"]
            queue.put(features.numpy())
        queue.put(None)
        written.result()


def _decoded(paths: Iterable[Path], decoders: ThreadPoolExecutor) -> Iterator[NDArray[np.float32]]:
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    remaining = iter(paths)
    waiting.extend(decoders.submit(_read, path) for path in islice(remaining, _AHEAD))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(decoders.submit(_read, path) for path in islice(remaining, 1))


def _read(path: Path) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = soundfile.read(path, dtype="float32")[0]
    return samples


def _write(queue: Queue[NDArray[np.float16] | None], out: Path) -> None:
    digests = []
    with open(out / "values.bin", "wb", buffering=0) as file:
        while (values := queue.get()) is not None:
            if (values.view(np.uint16) & _MAGNITUDE).max() >= _INFINITE:
                raise ValueError("expected finite values")
            digests.append(xxh3_64_intdigest(values))
            file.write(values.data)
        os.fsync(file.fileno())
    np.save(out / "digests.npy", np.array(digests, np.uint64))
