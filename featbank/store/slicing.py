"""Frames of an utterance by offsets, as a slice of its array takes them."""

from __future__ import annotations

from featbank.errors import StoreError


class OffsetsError(StoreError):
    """Offsets are not within the frames of an utterance."""


def frame_span(
    num_frames: int, left: int, right: int | None, *, strict: bool = False, where: str = ""
) -> tuple[int, int]:
    """Return the first frame, and the one after the last, that `array[left:right]` has.

    Offsets beyond the end stop there and negative ones count from it, as in lhotse's readers, which
    slice.

    >>> frame_span(5, 2, 99), frame_span(5, 0, -1), frame_span(5, 4, 2)
    ((2, 5), (0, 4), (4, 4))

    Args:
        num_frames: of the utterance.
        left: the first frame.
        right: the one after the last; None for the end.
        strict: take offsets within the utterance only.
        where: whose frames they are, for errors.

    Raises:
        OffsetsError: `strict`, and they are not.
    """
    start, stop, _ = slice(left, right).indices(num_frames)
    if strict and not left == start <= stop == (num_frames if right is None else right):
        raise out_of_range(num_frames, left, right, where)
    return start, max(start, stop)


def out_of_range(num_frames: int, left: int, right: int | None, where: str) -> OffsetsError:
    """Return the error that says which offsets an utterance has."""
    return OffsetsError(
        where,
        expected=f"offsets within its {num_frames} frames",
        got=f"{left} to {num_frames if right is None else right}",
    )
