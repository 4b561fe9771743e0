"""Reading of published checkpoints, and digests of their tensors as they are stored.

The names of a checkpoint's tensors are its publisher's. A library may give them others in the model
that it builds, and others again in its next version; those say nothing about the weights.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from featbank.errors import LIBRARY_ERRORS, WeightsError
from featbank.files.provenance import digest

DAMAGED: tuple[type[Exception], ...] = (*LIBRARY_ERRORS, SafetensorError)
"""What torch and safetensors raise about a file."""

_WEIGHT_NORM = re.compile(r"(^|\.)parametrizations\.(\w+)\.original([01])$")
"""A tensor of a weight norm by its name since torch 2.0, which reads `_g` and `_v` too."""


def read_tensors(paths: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint's files, together: safetensors, or what `torch.save` wrote.

    They are mapped into memory where the file allows it, so that each byte is read once it is used.

    Raises:
        WeightsError: a file is damaged, holds anything but named tensors, or one that another
            file has too.
    """
    found: dict[str, torch.Tensor] = {}
    for path in paths:
        tensors = _read_file(path)
        if twice := sorted(found.keys() & tensors.keys()):
            raise WeightsError(
                f"weights {path}",
                expected="each tensor in one file",
                got=f"{twice[0]} in two ({len(twice)} in all)",
            )
        found |= tensors
    return found


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of each tensor, in any order.

    Weight norms have one name, whichever of torch's two their file has.

    >>> a, b = torch.zeros(2), torch.ones(2, 3)
    >>> tensors_digest({"a": a, "b": b}) == tensors_digest({"b": b, "a": a})
    True
    >>> tensors_digest({"a": a}) == tensors_digest({"a": a.reshape(1, 2)})
    False
    """
    return digest(sorted(_described(name, tensor) for name, tensor in tensors.items()))


def _described(name: str, tensor: torch.Tensor) -> list[object]:
    name = _WEIGHT_NORM.sub(lambda found: f"{found[1]}{found[2]}_{'gv'[int(found[3])]}", name)
    values = tensor.detach().cpu().contiguous()
    content = sha256(values.reshape(-1).view(torch.uint8).numpy().data).hexdigest()
    return [name, str(values.dtype).removeprefix("torch."), list(values.shape), content]


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    where = f"weights {path}"
    try:
        if path.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(path)
        else:
            # only what is a zip file can be mapped: all that torch has written since 1.6
            is_zip = zipfile.is_zipfile(path)
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except DAMAGED as error:
        raise WeightsError(
            where, expected="a file of tensors, and nothing else", got=first_line(error)
        ) from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) and not tensor.is_sparse
        for name, tensor in tensors.items()
    ):
        raise WeightsError(where, expected="a state dict: tensors by name", got=_kinds(tensors))
    return dict(tensors)


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text, to be quoted in another."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _kinds(value: object) -> str:
    if not isinstance(value, Mapping):
        return type(value).__name__
    kinds = sorted({type(item).__name__ for item in value.values()})
    return f"a mapping with {', '.join(kinds)} among {', '.join(map(str, list(value)[:5]))}"
