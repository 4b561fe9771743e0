"""Layouts of batches: a list with one entry an utterance, or columns of all utterances."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

_PADDED_BATCH = "_PaddedBatch__"  # what speechbrain keeps for itself, of which one is the length


def select(batch: Any, rows: Sequence[int]) -> Any:
    """Return a batch of some of the utterances of another one, padded as they were.

    Args:
        batch: as of `featbank.recipes.caching.utterance_digest.identify`.
        rows: numbers of utterances.

    Returns:
        A batch of the same kind; None where it is of a class that cannot be cut.
    """
    if as_rows(batch) is not None:
        return type(batch)([batch[row] for row in rows])
    columns = as_columns(batch)
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


def as_rows(batch: Any) -> list[tuple[str, Any]] | None:
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


def as_columns(batch: Any) -> tuple[Sequence[str], dict[Any, Any]] | None:
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


def _take(value: Any, rows: Sequence[int], size: int) -> Any:
    if is_pair(value, size):
        taken = [_take(part, rows, size) for part in value]
        return type(value)(*taken) if hasattr(value, "_fields") else tuple(taken)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim and len(value) == size:
        return value[list(rows)]
    if is_list(value, size):
        return type(value)([value[row] for row in rows])
    return value


def is_pair(value: Any, size: int) -> bool:
    """Tell whether a value is (padded (B, T, ...), lengths (B,)), as speechbrain's PaddedData."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, torch.Tensor | np.ndarray) for part in value)
        and value[0].ndim > 1
        and value[1].ndim == 1
        and len(value[0]) == len(value[1]) == size
    )


def is_list(value: Any, size: int) -> bool:
    """Tell whether a value is a list or tuple of one entry an utterance."""
    return type(value) in (list, tuple) and len(value) == size


def _is_texts(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, str) for one in value)
    )
