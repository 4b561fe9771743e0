"""Batch shape of an utterance: a function of its length alone, for equal bits in any batch."""

from __future__ import annotations

from dataclasses import dataclass

_LEAST = 1 << 14  # samples: shorter utterances share one shape, or each shape would have few


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShape:
    """Shape that every batch of utterances of certain lengths is padded to, full or not.

    The last bits of what a GPU computes depend on the shape it computes in. A shape that follows
    from the row leaves its values a function of the row, whoever its mates are.

    Args:
        rows: of a batch; those without an utterance hold silence.
        samples: of each row.
    """

    rows: int
    samples: int


def batch_shape(num_samples: int, batch_samples: int) -> BatchShape:
    """Return the shape for an utterance.

    There are eight lengths an octave from 16,384 samples on, so that less than a ninth of a longer
    row is padding, and the lengths of a corpus meet in few shapes: some thirty.

    Args:
        num_samples: of the utterance, at the extractor's rate.
        batch_samples: of a whole batch; a longer utterance has one of its own.

    >>> batch_shape(40_000, batch_samples=960_000)
    BatchShape(rows=23, samples=40960)
    >>> batch_shape(100, batch_samples=960_000)
    BatchShape(rows=58, samples=16384)
    >>> batch_shape(1_000_000, batch_samples=960_000)
    BatchShape(rows=1, samples=1048576)
    """
    step = 1 << max(0, (num_samples - 1).bit_length() - 4)
    samples = max(_LEAST, -(-num_samples // step) * step)
    return BatchShape(rows=max(1, batch_samples // samples), samples=samples)
