"""Plain values of a batch (numbers, texts, nests of them), and their bytes for a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch

from featbank.recipes.fingerprinting.tensors import NoDigestError
from featbank.store.encoding import Array


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of a batch, with the dtype that they had in torch."""

    values: Array
    dtype: str

    def row(self, number: int, frames: int | None = None) -> Numbers:
        """Return the numbers of one utterance."""
        return Numbers(
            self.values[number][:frames] if frames is not None else self.values[number], self.dtype
        )


def as_numbers(value: Any) -> Numbers:
    """Return a tensor or an array as NumPy has it; bfloat16 and the like as bytes, (..., n).

    Raises:
        NoDigestError: it holds no numbers, or not in a row.
    """
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        try:
            return Numbers(value.detach().cpu().resolve_conj().resolve_neg().numpy(), dtype)
        except (RuntimeError, TypeError):  # bfloat16 and the like, which NumPy has not
            pass
        try:
            tensor = value.detach().cpu().contiguous()
            return Numbers(tensor[..., None].view(torch.uint8).numpy(), dtype)
        except (RuntimeError, TypeError) as error:  # sparse, quantized
            raise NoDigestError(f"its layout is {value.layout}") from error
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise NoDigestError(f"its dtype is {array.dtype}")
    return Numbers(array, array.dtype.name)


def holds_samples(value: Any) -> bool:
    """Tell whether there is an array in a value, of one axis or more."""
    if isinstance(value, Numbers):
        value = value.values
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim > 0
    if isinstance(value, Mapping):
        return any(map(holds_samples, value.values()))
    return isinstance(value, list | tuple) and any(map(holds_samples, value))


def update(hasher: Any, value: Any) -> None:
    """Add a value to an xxhash so that no two values add the same bytes.

    Raises:
        NoDigestError: it is no number, array, text, or nest of them.
    """
    if isinstance(value, str):
        value = str(value)  # NumPy has its own
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = as_numbers(value)
    if isinstance(value, Numbers):
        hasher.update(f"array {value.dtype} {value.values.shape}:".encode())
        hasher.update(np.ascontiguousarray(value.values).reshape(-1).view(np.uint8).data)
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        hasher.update(f"{type(value).__name__} {len(data)}:".encode())
        hasher.update(data)
    elif isinstance(value, Enum):
        update(hasher, [type(value).__qualname__, value.name])
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)}:".encode())
        for name in sorted(value, key=lambda name: (type(name).__name__, str(name))):
            update(hasher, name)
            update(hasher, value[name])
    elif isinstance(value, list | tuple):
        hasher.update(f"sequence {len(value)}:".encode())
        for one in value:
            update(hasher, one)
    else:
        raise NoDigestError(f"a {type(value).__name__} is no plain value")
