"""Sequences cut into windows of one length, which may overlap, and joined again."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal

import numpy as np

from featbank.base.tensors import takes_tensors
from featbank.base.units import Units, check_integers
from featbank.errors import FeatbankError
from featbank.sequences.checks import check_pad

Tail = Literal["keep", "drop", "pad"]


@takes_tensors
def chunk(
    tokens: Units, size: int, stride: int | None = None, *, tail: Tail = "keep", pad: int = 0
) -> list[Units]:
    """Cut a sequence into windows.

    Windows begin at every multiple of `stride`, as long as there is something that no window before
    has; a sequence of length 0 has none.

    Args:
        tokens: (T,) or (Q, T) integers, cut along T.
        size: of a window, in steps.
        stride: from one beginning to the next, 1 to `size`; None for `size`, without an overlap.
        tail: what becomes of a last window that is short: `keep` it so, `drop` it, or `pad` it.
        pad: what it is filled up with; the dtype of `tokens` must hold it.

    Returns:
        Views, but for a padded one.

    Raises:
        FeatbankError: the tokens are no integers, the stride would skip some, or another number is
            out of range.

    >>> chunk(np.arange(7), size=4, stride=2)
    [array([0, 1, 2, 3]), array([2, 3, 4, 5]), array([4, 5, 6])]
    >>> chunk(np.arange(7), size=4, tail="pad", pad=-1)
    [array([0, 1, 2, 3]), array([ 4,  5,  6, -1])]
    >>> chunk(np.arange(7), size=4, tail="drop")
    [array([0, 1, 2, 3])]
    """
    check_integers("tokens", tokens)
    # of a narrow dtype they would overflow
    size, stride = operator.index(size), operator.index(size if stride is None else stride)
    if not 1 <= stride <= size:
        raise FeatbankError(
            "stride", expected=f"1 to the size, {size}, so that no token is skipped", got=stride
        )
    if tail not in ("keep", "drop", "pad"):
        raise FeatbankError("tail", expected="keep, drop or pad", got=tail)
    if tail == "pad":
        check_pad(pad, tokens.dtype)
    length = tokens.shape[-1]
    overlap = size - stride
    count = -(-max(length - overlap, min(length, 1)) // stride)
    windows = [tokens[..., start : start + size] for start in range(0, count * stride, stride)]
    if windows and (missing := size - windows[-1].shape[-1]):
        last = windows.pop()
        if tail == "keep":
            windows.append(last)
        elif tail == "pad":
            widths = [(0, 0)] * (tokens.ndim - 1) + [(0, missing)]
            windows.append(np.pad(last, widths, constant_values=pad))
    return windows


@takes_tensors
def unchunk(windows: Sequence[Units], stride: int | None = None) -> Units:
    """Join windows of `chunk(..., tail="keep")`; where they overlap, the earlier one counts.

    Args:
        windows: one or more.
        stride: as it was given to `chunk`.

    Raises:
        FeatbankError: there is no window, one but the last is of another size, the stride is not
            from 1 to the size, or the windows are no integers.

    >>> unchunk(chunk(np.arange(7), size=4, stride=2), stride=2)
    array([0, 1, 2, 3, 4, 5, 6])
    """
    if not windows:
        raise FeatbankError("windows to join", expected="one or more", got="none")
    size = windows[0].shape[-1]
    overlap = 0 if stride is None or len(windows) == 1 else size - stride
    if any(window.shape[-1] != size for window in windows[:-1]) or not 0 <= overlap < max(size, 1):
        raise FeatbankError(
            "windows to join",
            expected="all of one size but the last, and a stride from 1 to that size",
            got=f"sizes {sorted({window.shape[-1] for window in windows})}, stride {stride}",
        )
    parts = [windows[0], *(window[..., overlap:] for window in windows[1:])]
    joined: Units = np.concatenate(parts, axis=-1)
    check_integers("windows to join", joined)  # float too, if uint64 and int64 were mixed
    return joined
