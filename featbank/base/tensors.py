"""Support of torch's tensors in functions over NumPy arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from featbank.errors import FeatbankError

P = ParamSpec("P")
R = TypeVar("R")

_NO_ARITHMETIC = ("uint16", "uint32", "uint64")
"""Integers that torch holds, but does not add, compare to a maximum, or repeat by."""


def takes_tensors(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function over NumPy arrays take tensors, and give tensors where it was given one.

    Results have the dtype that arrays would have, but for uint16, uint32 and uint64 that no
    argument has: torch computes little with those, so they become int64. Results are on the device
    of the arguments; the function itself runs on the CPU. Tensors in lists and tuples count, too; a
    single number does not. Nothing here imports torch: who hands over a tensor has done so.

    Raises:
        FeatbankError: tensors on several devices.

    >>> takes_tensors(np.flip)(np.array([1, 2, 3]))
    array([3, 2, 1])
    """

    @wraps(function)
    def taking(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = [one for one in _tensors([*args, *kwargs.values()]) if one.ndim]
        devices = sorted({str(one.device) for one in tensors})
        if len(devices) > 1:
            raise FeatbankError("tensors", expected="on one device", got=" and ".join(devices))
        arrays = [as_array(one) for one in args]
        named = {name: as_array(one) for name, one in kwargs.items()}
        result = function(*arrays, **named)
        if not tensors:
            return result
        dtypes = {str(one.dtype).removeprefix("torch.") for one in tensors}
        given: R = _as_tensor(result, tensors[0].device, dtypes)
        return given

    return taking


def as_array(value: Any) -> Any:
    """Return a tensor as an array, and those of a list or tuple as a list; all else as it is.

    An array shares the memory of a tensor on the CPU. bfloat16, which NumPy has not, is widened.
    """
    if isinstance(value, list | tuple):
        return [as_array(one) for one in value] if [*_tensors(value)] else value
    if not _is_tensor(value):
        return value
    tensor = value.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _tensors(values: Iterable[Any]) -> Iterator[Any]:
    for one in values:
        if isinstance(one, list | tuple):
            yield from _tensors(one)
        elif _is_tensor(one):
            yield one


def _as_tensor(value: Any, device: Any, dtypes: set[str]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_as_tensor(one, device, dtypes) for one in value)
    if not isinstance(value, np.ndarray):
        return value
    name = value.dtype.name
    wide = value.astype(np.int64) if name in _NO_ARITHMETIC and name not in dtypes else value
    return sys.modules["torch"].from_numpy(wide).to(device)
