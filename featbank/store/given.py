"""Take arrays and dtypes however NumPy, torch, ml_dtypes or a YAML recipe gives them."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import Any

import numpy as np

from featbank.errors import StoreError
from featbank.store.encoding import BFLOAT16, Array

DTypeLike = str | type[Any] | np.dtype[Any] | Any
"""A name as headers state it, `np.float32`, `np.dtype("<f4")`, `torch.bfloat16` or `float`."""

_ARRAY_PROTOCOL = re.compile(r"[<>=|]?[iuf][1248]")
_MODULE = re.compile(r"^(torch|numpy|np)\.")


def dtype_name(dtype: DTypeLike) -> str:
    """Return the name that headers state for a dtype.

    What is no dtype gives its text, which no encoding is called, so that whoever looks the
    encoding up refuses it in its own words. Of texts, names and codes such as `<f4` are taken;
    `float` as a text is not, for it is 64 bits wide to NumPy and 32 to torch.

    >>> dtype_name(np.float32), dtype_name(np.dtype(">f2")), dtype_name("torch.bfloat16")
    ('float32', 'float16', 'bfloat16')
    """
    if isinstance(dtype, partial) and dtype.func is np.dtype:  # `!name:numpy.dtype [float32]`
        dtype = dtype()
    if isinstance(dtype, str):
        return np.dtype(dtype).name if _ARRAY_PROTOCOL.fullmatch(dtype) else _MODULE.sub("", dtype)
    if isinstance(dtype, np.dtype):
        return dtype.name
    if isinstance(dtype, type):
        # NumPy gives a dtype for abstract ones, too: float64 for np.floating, which nobody means
        is_concrete = dtype in (float, int) or dtype in np.sctypeDict.values()
        return np.dtype(dtype).name if is_concrete else dtype.__name__
    return _MODULE.sub("", str(dtype))  # torch's are no types


def as_array(values: Any, where: str, *, has_time: bool = True) -> Array:
    """Return values as a NumPy array, with a frame axis.

    A torch tensor is detached and brought to the CPU. bfloat16, of torch or of ml_dtypes (which
    JAX has), becomes float32, exactly.

    Raises:
        StoreError: they are no array, or a scalar where there must be frames.
    """
    if type(values) is not np.ndarray:
        try:
            if _is_tensor(values):
                if str(values.dtype) == "torch.bfloat16":  # NumPy has none
                    values = values.float()
                values = values.numpy(force=True)
            values = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:  # what torch and NumPy raise
            raise StoreError(
                where, expected="a NumPy array or a torch tensor", got=error
            ) from error
    if has_time and values.ndim == 0:
        raise StoreError(where, expected="an array (T, ...)", got="a scalar")
    array: Array = values
    return array.astype(np.float32) if array.dtype == BFLOAT16 else array


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")  # stores work without it: who has a tensor has imported it
    return torch is not None and isinstance(values, torch.Tensor)
