"""Identification of the utterances of a batch: the id and the input digest of each.

The digest covers the values of an utterance without its padding, so that it is the same at every
batch size and beside any others. A batch may be

- a mapping, or an object such as speechbrain's `PaddedBatch` or a named tuple, with a list `id`;
- a tuple or list of columns, the first of which is the list of ids;
- a list of one mapping (with an `id`), or one tuple (with its id first), an utterance.

A column with as many entries as there are ids has one of each utterance; any other is of all. Of a
pair (padded, lengths) the valid frames count. Of another padded array, too, where one column beside
it holds lengths behind which that array is constant; else its padding counts as well, and the
digest holds for this batch only. A list `digest` in a batch stands for all else in it. Without it,
an utterance of which a batch holds no array, but a path or a text, has no digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from xxhash import xxh3_128

from featbank.recipes.caching.batch_columns import as_columns, as_rows, is_list, is_pair
from featbank.recipes.caching.plain_values import Numbers, as_numbers, holds_samples, update
from featbank.recipes.fingerprinting.tensors import NoDigestError
from featbank.store.encoding import Array

_NEAR = 0.01  # of a frame: by what float32 shares miss a whole number of them


@dataclass(frozen=True, slots=True)
class UtteranceKey:
    """Key of an utterance: its id and its input digest.

    Args:
        id: of the utterance.
        input_digest: of what is computed from, 16 bytes; none where it cannot be told.
    """

    id: str
    input_digest: bytes


def digest_of_item(item: Any) -> bytes:
    """Return the input digest that an item `digest` of a dataset stands for, such as a file's hash.

    Returns:
        16 bytes; none for an item that is empty, or no plain value.
    """
    if item is None or (isinstance(item, str) and not item):
        return b""
    hasher = xxh3_128(b"digest item")
    try:
        update(hasher, item)
    except NoDigestError:
        return b""
    return hasher.digest()


def identify(batch: Any) -> list[UtteranceKey] | None:
    """Return the keys of the utterances of a batch, in order.

    Returns:
        None where the batch does not say which utterances it holds.
    """
    rows = as_rows(batch)
    if rows is not None:
        return [UtteranceKey(one, _digest(values)) for one, values in rows]
    columns = as_columns(batch)
    if columns is None:
        return None
    ids, values = columns
    digests = values.get("digest")
    if digests is not None and is_list(digests, len(ids)):
        return [
            UtteranceKey(one, digest_of_item(item)) for one, item in zip(ids, digests, strict=True)
        ]
    try:
        parts = _parts(values, len(ids))
    except NoDigestError:
        return [UtteranceKey(one, b"") for one in ids]
    return [
        UtteranceKey(one, _digest({name: part(row) for name, part in parts.items()}))
        for row, one in enumerate(ids)
    ]


def _parts(columns: Mapping[Any, Any], size: int) -> dict[Any, Callable[[int], Any]]:
    """Return, for each column, what gives the value of an utterance."""
    arrays = {name: array for name, value in columns.items() if (array := _array(value, size))}
    counts = {
        name: found
        for name, array in arrays.items()
        if array.values.ndim == 1 and (found := _candidate(array.values)) is not None
    }
    parts: dict[Any, Callable[[int], Any]] = {}
    used: set[Any] = set()
    for name, value in columns.items():
        if is_pair(value, size):
            parts[name] = _valid_of_pair(value)
        elif name in arrays:
            array = arrays[name]
            fitting = [one for one in counts if _fits(counts[one], array.values)]
            if fitting:
                used.add(fitting[0])
                frames = _frames(counts[fitting[0]], array.values.shape[1])
                parts[name] = _cropped(array, frames)
            else:
                parts[name] = array.row
        elif is_list(value, size):
            parts[name] = value.__getitem__
        else:
            parts[name] = _constant(value)
    for name in used:
        if counts[name].dtype.kind == "f":  # shares of the longest, which say what the crop says
            del parts[name]
    return parts


def _cropped(numbers: Numbers, frames: Sequence[int]) -> Callable[[int], Numbers]:
    return lambda row: numbers.row(row, frames[row])


def _constant(value: Any) -> Callable[[int], Any]:
    return lambda _: value


def _valid_of_pair(pair: Any) -> Callable[[int], Any]:
    padded, stated = as_numbers(pair[0]), as_numbers(pair[1]).values
    longest, lengths = padded.values.shape[1], stated.astype(np.float64)
    found = lengths * longest if stated.dtype.kind == "f" else lengths
    frames = np.rint(found).astype(np.int64)
    if frames.min(initial=0) < 0 or frames.max(initial=0) > longest:
        raise NoDigestError(f"its lengths are not within {longest} frames")
    # where shares are of something else than frames, what they say counts as well
    rest = lengths if np.abs(found - frames).max(initial=0) > _NEAR else None
    return lambda row: [
        padded.row(row, int(frames[row])),
        None if rest is None else float(rest[row]),
    ]


def _candidate(values: Array) -> Array | None:
    """Return a column (B,) that may be lengths: numbers of frames, or shares of the longest."""
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "f" and values.min() >= 0 and values.max() == 1:
        return values
    return None


def _frames(counts: Array, longest: int) -> list[int]:
    shares = counts.dtype.kind == "f"
    found: list[int] = (
        np.rint(counts.astype(np.float64) * (longest if shares else 1)).astype(np.int64).tolist()
    )
    return found


def _fits(counts: Array, padded: Array) -> bool:
    """Tell whether an array is padded to the longest of some lengths, by one value: no guess."""
    if padded.ndim < 2:
        return False
    longest = padded.shape[1]
    frames = _frames(counts, longest)
    if min(frames) < 0 or max(frames) != longest:
        return False
    if counts.dtype.kind == "f" and (
        np.abs(counts.astype(np.float64) * longest - frames).max() > _NEAR
    ):
        return False
    behind = [row[num:] for row, num in zip(padded, frames, strict=True) if num < longest]
    if not behind:
        return True
    value = behind[0].reshape(-1)[:1]
    return all(bool((one == value).all()) for one in behind)


def _array(value: Any, size: int) -> Numbers | None:
    """Return an array of one row an utterance; None for anything else."""
    if not isinstance(value, torch.Tensor | np.ndarray) or value.ndim == 0:
        return None
    return as_numbers(value) if len(value) == size else None


def _digest(values: Mapping[Any, Any]) -> bytes:
    if "digest" in values:
        return digest_of_item(values["digest"])
    if not holds_samples(values):
        return b""  # a path, whose file may change
    hasher = xxh3_128()
    try:
        update(hasher, values)
    except NoDigestError:
        return b""
    return hasher.digest()
