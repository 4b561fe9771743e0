"""Tell the utterances of a batch apart: the id of each, and a digest of all that is its own in it.

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

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from xxhash import xxh3_128

from featbank.store.encoding import Array

_PADDED_BATCH = "_PaddedBatch__"  # what speechbrain keeps for itself, of which one is the length
_NEAR = 0.01  # of a frame: by what float32 shares miss a whole number of them


@dataclass(frozen=True, slots=True)
class UtteranceKey:
    """By what an utterance is known.

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
    if item is None or item == "":
        return b""
    hasher = xxh3_128(b"digest item")
    try:
        _update(hasher, item)
    except _NoDigestError:
        return b""
    return hasher.digest()


def identify(batch: Any) -> list[UtteranceKey] | None:
    """Return the keys of the utterances of a batch, in order.

    Returns:
        None where the batch does not say which utterances it holds.
    """
    rows = _as_rows(batch)
    if rows is not None:
        return [UtteranceKey(one, _digest(values)) for one, values in rows]
    columns = _as_columns(batch)
    if columns is None:
        return None
    ids, values = columns
    digests = values.get("digest")
    if digests is not None and _is_list(digests, len(ids)):
        return [
            UtteranceKey(one, digest_of_item(item)) for one, item in zip(ids, digests, strict=True)
        ]
    try:
        parts = _parts(values, len(ids))
    except _NoDigestError:
        return [UtteranceKey(one, b"") for one in ids]
    return [
        UtteranceKey(one, _digest({name: part(row) for name, part in parts.items()}))
        for row, one in enumerate(ids)
    ]


def select(batch: Any, rows: Sequence[int]) -> Any:
    """Return a batch of some of the utterances of another one, padded as they were.

    Args:
        batch: as of `identify`.
        rows: numbers of utterances.

    Returns:
        A batch of the same kind; None where it is of a class that cannot be cut.
    """
    if _as_rows(batch) is not None:
        return type(batch)([batch[row] for row in rows])
    columns = _as_columns(batch)
    if columns is None:
        return None
    size = len(columns[0])
    if isinstance(batch, Mapping):
        cut: Any = copy.copy(batch)
        for name, value in batch.items():
            cut[name] = _take(value, rows, size)
        return cut
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_take(value, rows, size) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)([_take(value, rows, size) for value in batch])
    if f"{_PADDED_BATCH}length" not in vars(batch):
        return None  # it may keep more of its size than its columns
    cut = copy.copy(batch)
    for name, value in vars(batch).items():
        if not name.startswith(_PADDED_BATCH):
            setattr(cut, name, _take(value, rows, size))
    setattr(cut, f"{_PADDED_BATCH}length", len(rows))
    return cut


class _NoDigestError(Exception):
    """Something in a batch whose value cannot be told."""


def _as_rows(batch: Any) -> list[tuple[str, Any]] | None:
    """Return the id and the values of each utterance of a list of them."""
    if type(batch) not in (list, tuple) or not batch or _is_texts(batch[0]):
        return None
    if all(isinstance(row, Mapping) and isinstance(row.get("id"), str) for row in batch):
        return [
            (row["id"], {name: value for name, value in row.items() if name != "id"})
            for row in batch
        ]
    if all(isinstance(row, tuple) and row and isinstance(row[0], str) for row in batch):
        return [(row[0], dict(enumerate(row[1:]))) for row in batch]
    return None


def _as_columns(batch: Any) -> tuple[Sequence[str], dict[Any, Any]] | None:
    """Return the ids and the other columns of a batch."""
    if isinstance(batch, Mapping):
        columns = dict(batch)
    elif isinstance(batch, tuple) and hasattr(batch, "_fields"):
        columns = dict(zip(batch._fields, batch, strict=True))
    elif isinstance(batch, tuple | list):
        columns = dict(enumerate(batch))
        if columns:
            columns["id"] = columns.pop(0)
    elif hasattr(batch, "__dict__"):
        # all of an object, for what it keeps under a private name may be computed from
        columns = {
            name: value for name, value in vars(batch).items() if not name.startswith(_PADDED_BATCH)
        }
    else:
        return None
    for name, value in columns.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "U":
            columns[name] = value.tolist()
    ids = columns.pop("id", None)
    return (ids, columns) if _is_texts(ids) else None


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
        if _is_pair(value, size):
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
        elif _is_list(value, size):
            parts[name] = value.__getitem__
        else:
            parts[name] = _constant(value)
    for name in used:
        if counts[name].dtype.kind == "f":  # shares of the longest, which say what the crop says
            del parts[name]
    return parts


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers of a batch, with the dtype that they had in torch."""

    values: Array
    dtype: str

    def row(self, number: int, frames: int | None = None) -> _Numbers:
        """Return those of one utterance."""
        return _Numbers(
            self.values[number][:frames] if frames is not None else self.values[number], self.dtype
        )


def _cropped(numbers: _Numbers, frames: Sequence[int]) -> Callable[[int], _Numbers]:
    return lambda row: numbers.row(row, frames[row])


def _constant(value: Any) -> Callable[[int], Any]:
    return lambda _: value


def _valid_of_pair(pair: Any) -> Callable[[int], Any]:
    padded, stated = _numbers(pair[0]), _numbers(pair[1]).values
    longest, lengths = padded.values.shape[1], stated.astype(np.float64)
    found = lengths * longest if stated.dtype.kind == "f" else lengths
    frames = np.rint(found).astype(np.int64)
    if frames.min(initial=0) < 0 or frames.max(initial=0) > longest:
        raise _NoDigestError
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


def _array(value: Any, size: int) -> _Numbers | None:
    """Return an array of one row an utterance; None for anything else."""
    if not isinstance(value, torch.Tensor | np.ndarray) or value.ndim == 0:
        return None
    return _numbers(value) if len(value) == size else None


def _numbers(value: Any) -> _Numbers:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        try:
            return _Numbers(value.detach().cpu().resolve_conj().resolve_neg().numpy(), dtype)
        except (RuntimeError, TypeError):  # bfloat16 and the like, which NumPy has not
            pass
        try:
            tensor = value.detach().cpu().contiguous()
            return _Numbers(tensor[..., None].view(torch.uint8).numpy(), dtype)
        except (RuntimeError, TypeError) as error:  # sparse, quantized
            raise _NoDigestError from error
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise _NoDigestError
    return _Numbers(array, array.dtype.name)


def _digest(values: Mapping[Any, Any]) -> bytes:
    if "digest" in values:
        return digest_of_item(values["digest"])
    if not _holds_samples(values):
        return b""  # a path, whose file may change
    hasher = xxh3_128()
    try:
        _update(hasher, values)
    except _NoDigestError:
        return b""
    return hasher.digest()


def _holds_samples(value: Any) -> bool:
    """Tell whether there is an array in a value, of one axis or more."""
    if isinstance(value, _Numbers):
        value = value.values
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim > 0
    if isinstance(value, Mapping):
        return any(map(_holds_samples, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_samples, value))


def _update(hasher: Any, value: Any) -> None:
    """Add a value so that no two values add the same bytes."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = _numbers(value)
    if isinstance(value, _Numbers):
        hasher.update(f"array {value.dtype} {value.values.shape}:".encode())
        hasher.update(np.ascontiguousarray(value.values).reshape(-1).view(np.uint8).data)
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        hasher.update(f"{type(value).__name__} {len(data)}:".encode())
        hasher.update(data)
    elif isinstance(value, Enum):
        _update(hasher, [type(value).__qualname__, value.name])
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)}:".encode())
        for name in sorted(value, key=lambda name: (type(name).__name__, str(name))):
            _update(hasher, name)
            _update(hasher, value[name])
    elif isinstance(value, list | tuple):
        hasher.update(f"sequence {len(value)}:".encode())
        for one in value:
            _update(hasher, one)
    else:
        raise _NoDigestError


def _take(value: Any, rows: Sequence[int], size: int) -> Any:
    if _is_pair(value, size):
        taken = [_take(part, rows, size) for part in value]
        return type(value)(*taken) if hasattr(value, "_fields") else tuple(taken)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim and len(value) == size:
        return value[list(rows)]
    if _is_list(value, size):
        return type(value)([value[row] for row in rows])
    return value


def _is_pair(value: Any, size: int) -> bool:
    """Tell whether a value is (padded (B, T, ...), lengths (B,)), as speechbrain's PaddedData."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, torch.Tensor | np.ndarray) for part in value)
        and value[0].ndim > 1
        and value[1].ndim == 1
        and len(value[0]) == len(value[1]) == size
    )


def _is_list(value: Any, size: int) -> bool:
    return type(value) in (list, tuple) and len(value) == size


def _is_texts(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, str) for one in value)
    )
