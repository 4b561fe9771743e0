"""Group utterances into batches that are computed in one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from featbank.base.manifest import Utterance
from featbank.engine.rows import num_samples
from featbank.features.base import Extractor
from featbank.features.shapes import BatchShape


def shape_of(row: Utterance, extractor: Extractor, seconds_together: float) -> BatchShape | None:
    """Return the shape that an utterance is computed in; None for alone and unpadded.

    Args:
        row: the utterance.
        extractor: that computes it.
        seconds_together: of audio; 0 for each utterance alone.
    """
    framing, limit = extractor.framing, extractor.max_samples
    length = num_samples(row, framing)
    if not seconds_together or (limit is not None and length > limit):
        return None
    return extractor.batch_shape(length, round(seconds_together * framing.sample_rate))


def batches(
    rows: Iterable[Utterance], shape_of: Callable[[Utterance], BatchShape | None]
) -> Iterator[tuple[BatchShape | None, list[Utterance]]]:
    """Give rows in batches of one shape each: full ones as they fill, the others at the end.

    Args:
        rows: of one shard.
        shape_of: None for a row that is computed alone and unpadded.
    """
    filling: dict[BatchShape, list[Utterance]] = {}
    for row in rows:
        shape = shape_of(row)
        if shape is None:
            yield None, [row]
            continue
        batch = filling.setdefault(shape, [])
        batch.append(row)
        if len(batch) == shape.rows:
            yield shape, filling.pop(shape)
    yield from filling.items()
