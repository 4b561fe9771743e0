"""The names of dtypes, however NumPy, torch or a YAML recipe gives them."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np

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
