"""Orders in which the codes of several codebooks are read, and their inverses.

The names are those of Copet et al. (2023, arXiv:2306.05284, section 2.2). Of Q codebooks are read:

- parallel: the codes (Q, T) as they are, Q tokens a step;
- flattened: one code after the other, frame by frame, (T Q,);
- delayed: codebook q shifted by its own number of steps, so that a step knows the coarser codes of
  its frame: MusicGen's pattern. (Q, T + the longest delay).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featbank.errors import FeatbankError
from featbank.units import Units


def flatten(codes: Units, codebook_size: int | None = None) -> Units:
    """Read codes frame by frame, the first codebook first.

    Args:
        codes: (Q, T) integers.
        codebook_size: K, to give each codebook numbers of its own: code c of codebook q becomes
            q K + c, int64. None leaves the codes as they are.

    Returns:
        (T Q,).

    Raises:
        FeatbankError: the codes have another shape, or one is not below K.

    >>> codes = np.array([[1, 2, 3], [4, 5, 6]])
    >>> flatten(codes)
    array([1, 4, 2, 5, 3, 6])
    >>> flatten(codes, codebook_size=10)
    array([ 1, 14,  2, 15,  3, 16])
    """
    _check_codes(codes)
    if codebook_size is not None:
        _check_below(codes, codebook_size)
        codes = codes + codebook_size * np.arange(len(codes))[:, None]
    return codes.T.reshape(-1)


def unflatten(tokens: Units, num_codebooks: int, codebook_size: int | None = None) -> Units:
    """Undo `flatten`.

    Args:
        tokens: (T Q,).
        num_codebooks: Q.
        codebook_size: as it was given to `flatten`.

    Returns:
        (Q, T).

    Raises:
        FeatbankError: a frame is not whole, or a token is not of the codebook whose turn it is.

    >>> unflatten(np.array([1, 14, 2, 15, 3, 16]), num_codebooks=2, codebook_size=10)
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    if tokens.ndim != 1 or len(tokens) % num_codebooks:
        raise FeatbankError(
            "flattened codes",
            expected=f"(T x {num_codebooks},), whole frames of {num_codebooks} codebooks",
            got=tokens.shape,
        )
    codes = tokens.reshape(-1, num_codebooks).T
    if codebook_size is not None:
        codes = codes - codebook_size * np.arange(num_codebooks)[:, None]
        _check_below(codes, codebook_size)
    return np.ascontiguousarray(codes)


def delay(codes: Units, pad: int, delays: Sequence[int] | None = None) -> Units:
    """Shift each codebook to the right by a number of steps of its own.

    Args:
        codes: (Q, T).
        pad: a token for the steps of a codebook without a code; the dtype of `codes` must hold it.
        delays: steps, one a codebook; None for 0, 1, ..., Q - 1.

    Returns:
        (Q, T + max(delays)), of the dtype of `codes`.

    Raises:
        FeatbankError: the codes have another shape, a delay is missing or negative, or `pad` is a
            code, or does not fit the dtype.

    >>> delay(np.array([[1, 2, 3], [4, 5, 6]]), pad=0)
    array([[1, 2, 3, 0],
           [0, 4, 5, 6]])
    """
    _check_codes(codes)
    shifts = _delays(delays, len(codes))
    limits = np.iinfo(codes.dtype)
    if not limits.min <= pad <= limits.max:
        raise FeatbankError("pad", expected=f"a value of {codes.dtype}", got=pad)
    if (codes == pad).any():
        raise FeatbankError("pad", expected="a token that is no code", got=pad)
    num_frames = codes.shape[1]
    delayed = np.full((len(codes), num_frames + max(shifts)), pad, codes.dtype)
    for row, shift, values in zip(delayed, shifts, codes, strict=True):
        row[shift : shift + num_frames] = values
    return delayed


def undelay(delayed: Units, pad: int, delays: Sequence[int] | None = None) -> Units:
    """Undo `delay`.

    A sequence that a model has made may end too early for some codebooks: frames are taken as long
    as every codebook has a code, and no pad may stand before.

    Args:
        delayed: (Q, T + max(delays)).
        pad: the token without a code.
        delays: as they were given to `delay`.

    Returns:
        (Q, T).

    Raises:
        FeatbankError: there are fewer steps than the longest delay, or a code follows on a pad.

    >>> undelay(np.array([[1, 2, 3, 0], [0, 4, 5, 6]]), pad=0)
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    _check_codes(delayed)
    shifts = _delays(delays, len(delayed))
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
    if codes.ndim != 2 or not len(codes) or codes.dtype.kind not in "iu":
        raise FeatbankError(
            "codes", expected="(Q, T) integers", got=f"{codes.shape} of {codes.dtype}"
        )


def _check_below(codes: Units, codebook_size: int) -> None:
    if codes.size and not (codes.min() >= 0 and codes.max() < codebook_size):
        worst = codes.min() if codes.min() < 0 else codes.max()
        raise FeatbankError("codes", expected=f"0 to {codebook_size - 1}", got=worst)


def _delays(delays: Sequence[int] | None, num_codebooks: int) -> list[int]:
    shifts = list(range(num_codebooks)) if delays is None else list(delays)
    if len(shifts) != num_codebooks or min(shifts) < 0:
        raise FeatbankError(
            "delays", expected=f"{num_codebooks} of 0 or more, one a codebook", got=shifts
        )
    return shifts
