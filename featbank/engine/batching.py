"""Group utterances into batches that are computed in one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from featbank.base.manifest import Utterance
from featbank.features.shapes import BatchShape


def batches(
    rows: Iterable[Utterance], shape_of: Callable[[Utterance], BatchShape | None]
) -> Iterator[tuple[BatchShape | None, list[Utterance]]]:
    """Give rows in batches of one shape each: full ones as they fill, the others at the end.

    Args:
        rows: of one split.
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
