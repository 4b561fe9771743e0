"""How much of what a GPU computes in batches is padding or empty rows, by the lengths of a corpus.

    python -m benchmarks.padding FOLDER

The files of the folder are taken in the order of their names, cut into shards of so many seconds,
and put into batches as extraction does. Nothing is decoded or computed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import soundfile

from featbank.base.manifest import Utterance
from featbank.engine.batching import batches
from featbank.features.shapes import BatchShape, batch_shape

SHARDS_S = (900, 3500)
BATCHES_S = (30, 60, 120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the share for each size of shards and of batches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("audio", type=Path, help="a folder of audio files, of one sample rate")
    rows = list(_rows(parser.parse_args(arguments).audio))
    hours = sum(row.duration_s for row in rows) / 3600
    print(f"{len(rows):,} files, {hours:.1f} h")
    print("shard (s) | batch_s | padding and empty rows")
    for shard_s in SHARDS_S:
        for batch_s in BATCHES_S:
            print(f"{shard_s:9} | {batch_s:7} | {padding(rows, shard_s, batch_s):.3f}")


def padding(rows: Sequence[Utterance], shard_s: float, batch_s: float) -> float:
    """Return the share of the computed samples that belong to no utterance."""
    computed = used = 0
    for shard in _shards(rows, shard_s):
        together = round(batch_s * shard[0].sample_rate)
        for shape, _ in batches(shard, lambda row, n=together: batch_shape(row.num_samples, n)):
            assert shape is not None
            computed += shape.rows * shape.samples
        used += sum(row.num_samples for row in shard)
    return 1 - used / computed


def waste_of_window(lengths_s: Iterable[float], sample_rate: int, batch_s: float) -> float:
    """Return the share of the computed samples that belong to no utterance of a window.

    Batches are of one shape each; at the end of the window those that are not full are computed.

    Args:
        lengths_s: of the utterances of a window, in seconds.
        sample_rate: in Hz.
        batch_s: of a batch, padding included, in seconds.
    """
    used, rows = 0, Counter[BatchShape]()
    for length_s in lengths_s:
        num_samples = round(length_s * sample_rate)
        used += num_samples
        rows[batch_shape(num_samples, round(batch_s * sample_rate))] += 1
    computed = sum(
        -(-number // shape.rows) * shape.rows * shape.samples for shape, number in rows.items()
    )
    return 1 - used / computed


def _shards(rows: Sequence[Utterance], shard_s: float) -> Iterator[list[Utterance]]:
    """Cut rows into shards; what is left over at the end is no shard of that size."""
    shard: list[Utterance] = []
    for row in rows:
        shard.append(row)
        if sum(one.duration_s for one in shard) >= shard_s:
            yield shard
            shard = []


def _rows(folder: Path) -> Iterator[Utterance]:
    for path in sorted(folder.rglob("*.*")):
        try:
            info = soundfile.info(path)
        except soundfile.LibsndfileError:
            continue
        name = path.relative_to(folder).as_posix()
        yield Utterance(
            id=name, audio=name, audio_digest="", sample_rate=info.samplerate,
            num_samples=info.frames,
        )  # fmt: skip


if __name__ == "__main__":
    main()
