"""Values on their way into a store: converted without loss, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from featbank.errors import StoreError

Array = np.ndarray[Any, np.dtype[Any]]


def convert_values(values: Any, dtype: np.dtype[Any], where: str) -> Array:
    """Return `values` as a C-contiguous array of `dtype`, with its axes unchanged.

    Floats may lose precision, as the narrower dtype is chosen for that. Nothing else may change:
    integers keep their value, finite numbers stay finite.

    Args:
        values: (T, ...), a NumPy array or a torch tensor on the CPU.
        dtype: as stored.
        where: what the values belong to, for errors.

    Raises:
        StoreError: not an array with a frame axis, of another kind than `dtype`, or out of its
            range.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # what torch and NumPy raise
        raise StoreError(
            where, expected="a NumPy array or a detached CPU tensor", got=error
        ) from error
    if array.ndim == 0:
        raise StoreError(where, expected="an array (T, ...)", got="a scalar")
    if np.can_cast(array.dtype, dtype, "safe"):
        return np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        return _narrow_integers(array, dtype, where)
    if array.dtype.kind == "f" and dtype.kind == "f":
        return _narrow_floats(array, dtype, where)
    raise StoreError(where, expected=f"values that {dtype.name} can hold", got=array.dtype.name)


def _narrow_integers(array: Array, dtype: np.dtype[Any], where: str) -> Array:
    limits = np.iinfo(dtype)
    for extreme in (int(array.min()), int(array.max())) if array.size else ():
        if not limits.min <= extreme <= limits.max:
            raise StoreError(
                where,
                expected=f"values of {dtype.name}, {limits.min} to {limits.max}",
                got=extreme,
                hint="choose a wider dtype",
            )
    return np.ascontiguousarray(array, dtype=dtype)


def _narrow_floats(array: Array, dtype: np.dtype[Any], where: str) -> Array:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = np.ascontiguousarray(array, dtype=dtype)
    overflowed = np.isfinite(array) & ~np.isfinite(narrow)
    if overflowed.any():
        raise StoreError(
            where,
            expected=f"values of {dtype.name}, up to {np.finfo(dtype).max:g}",
            got=f"{array[overflowed][0]:g}",
            hint="choose a wider dtype",
        )
    return narrow
