"""Orders in which the codes of several codebooks are read, and their inverses.

The names are those of Copet et al. (2023, arXiv:2306.05284, section 2.2). Of Q codebooks are read:

- parallel: the codes (Q, T) as they are, Q tokens a step;
- flattened: one code after the other, frame by frame, (T Q,);
- delayed: codebook q shifted by its own number of steps, so that a step knows the coarser codes of
  its frame: MusicGen's pattern. (Q, T + the longest delay).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from featbank.base.tensors import takes_tensors
from featbank.base.units import Units, check_integers
from featbank.errors import FeatbankError
from featbank.sequences.checks import check_pad, check_range


@takes_tensors
def flatten(codes: Units, codebook_size: int | None = None) -> Units:
    """Read codes frame by frame, the first codebook first.

    Args:
        codes: (Q, T) integers.
        codebook_size: K, to give each codebook numbers of its own: code c of codebook q becomes
            q K + c, int64. None leaves the codes as they are.

    Returns:
        (T Q,).

    Raises:
        FeatbankError: the codes have another shape or are no integers, or one is not below K.

    >>> codes = np.array([[1, 2, 3], [4, 5, 6]])
    >>> flatten(codes)
    array([1, 4, 2, 5, 3, 6])
    >>> flatten(codes, codebook_size=10)
    array([ 1, 14,  2, 15,  3, 16])
    """
    _check_codes(codes)
    if codebook_size is not None:
        check_range("codes", codes, codebook_size)
        codes = codes.astype(np.int64) + _offsets(len(codes), codebook_size)
    return codes.T.reshape(-1)


@takes_tensors
def unflatten(tokens: Units, num_codebooks: int, codebook_size: int | None = None) -> Units:
    """Undo `flatten`.

    Args:
        tokens: (T Q,) integers.
        num_codebooks: Q.
        codebook_size: as it was given to `flatten`.

    Returns:
        (Q, T), int64 if a codebook size is given.

    Raises:
        FeatbankError: the tokens have another shape or are no integers, there is no codebook, a
            frame is not whole, or a token is not of the codebook whose turn it is.

    >>> unflatten(np.array([1, 14, 2, 15, 3, 16]), num_codebooks=2, codebook_size=10)
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    check_integers("flattened codes", tokens, ndim=1)
    if num_codebooks < 1:
        raise FeatbankError("num_codebooks", expected="1 or more", got=num_codebooks)
    if len(tokens) % num_codebooks:
        raise FeatbankError(
            "flattened codes",
            expected=f"(T x {num_codebooks},), whole frames of {num_codebooks} codebooks",
            got=tokens.shape,
        )
    codes = tokens.reshape(-1, num_codebooks).T
    if codebook_size is not None:
        codes = codes.astype(np.int64) - _offsets(num_codebooks, codebook_size)
        check_range("codes", codes, codebook_size)
    return np.ascontiguousarray(codes)


@takes_tensors
def delay(codes: Units, pad: int, delays: Sequence[int] | None = None) -> Units:
    """Shift each codebook to the right by a number of steps of its own.

    Args:
        codes: (Q, T) integers.
        pad: a token for the steps of a codebook without a code; the dtype of `codes` must hold it.
        delays: steps, one a codebook; None for 0, 1, ..., Q - 1.

    Returns:
        (Q, T + max(delays)), of the dtype of `codes`.

    Raises:
        FeatbankError: the codes have another shape or are no integers, a delay is missing or
            negative, or `pad` is a code, or does not fit the dtype.

    >>> delay(np.array([[1, 2, 3], [4, 5, 6]]), pad=0)
    array([[1, 2, 3, 0],
           [0, 4, 5, 6]])
    """
    _check_codes(codes)
    shifts = _delays(delays, len(codes))
    check_pad(pad, codes.dtype)
    if (codes == pad).any():
        raise FeatbankError("pad", expected="a token that is no code", got=pad)
    num_frames = codes.shape[1]
    delayed = np.full((len(codes), num_frames + max(shifts)), pad, codes.dtype)
    for row, shift, values in zip(delayed, shifts, codes, strict=True):
        row[shift : shift + num_frames] = values
    return delayed


@takes_tensors
def undelay(delayed: Units, pad: int, delays: Sequence[int] | None = None) -> Units:
    """Undo `delay`.

    A sequence that a model has made may end too early for some codebooks: frames are taken as long
    as every codebook has a code, and no pad may stand before.

    Args:
        delayed: (Q, T + max(delays)) integers.
        pad: the token without a code.
        delays: as they were given to `delay`.

    Returns:
        (Q, T).

    Raises:
        FeatbankError: there are fewer steps than the longest delay, a code follows on a pad, or
            the dtype does not hold `pad`.

    >>> undelay(np.array([[1, 2, 3, 0], [0, 4, 5, 6]]), pad=0)
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    _check_codes(delayed)
    shifts = _delays(delays, len(delayed))
    check_pad(pad, delayed.dtype)
    num_frames = delayed.shape[1] - max(shifts)
    if num_frames < 0:
        raise FeatbankError(
            "delayed codes", expected=f"{max(shifts)} steps or more", got=delayed.shape[1]
        )
    codes = np.stack(
        [row[shift : shift + num_frames] for row, shift in zip(delayed, shifts, strict=True)]
    )
    whole = (codes != pad).all(axis=0)
    num_whole = int(np.argmin(whole)) if not whole.all() else num_frames
    if (late := np.flatnonzero(whole[num_whole:])).size:
        raise FeatbankError(
            "delayed codes",
            expected=f"no code behind the pad of frame {num_whole}",
            got=f"codes of frame {num_whole + int(late[0])}",
        )
    return codes[:, :num_whole]


def _check_codes(codes: Units) -> None:
    check_integers("codes", codes, ndim=2)
    if not len(codes):
        raise FeatbankError("codes", expected="a codebook or more", got=codes.shape)


def _offsets(num_codebooks: int, codebook_size: int) -> Units:
    """Return the token of code 0 of each codebook, (Q, 1) int64."""
    return np.arange(num_codebooks, dtype=np.int64)[:, None] * operator.index(codebook_size)


def _delays(delays: Sequence[int] | None, num_codebooks: int) -> list[int]:
    # of a narrow dtype they would overflow, added to the number of frames
    shifts = list(map(operator.index, range(num_codebooks) if delays is None else delays))
    if len(shifts) != num_codebooks or min(shifts) < 0:
        raise FeatbankError(
            "delays", expected=f"{num_codebooks} of 0 or more, one a codebook", got=shifts
        )
    return shifts
