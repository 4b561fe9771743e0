"""Safetensors files with a digest of their content: a flipped bit is refused."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from featbank.errors import FeatbankError
from featbank.files.json_files import parse_json
from featbank.files.opening import instead_of_file
from featbank.files.provenance import canonical_json, write_atomic

FORMAT_VERSION = 4
"""3: a digest over tensors and header. Files of older versions have none, and are refused."""

Tensors = dict[str, npt.NDArray[Any]]


def write_sealed(
    path: str | Path, form: str, tensors: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]
) -> None:
    """Write tensors and a header, atomically and deterministically.

    Args:
        path: of the file.
        form: what the file is, such as `featbank-codebook`.
        tensors: by name.
        header: plain JSON values.
    """
    sealed = {
        "format_version": FORMAT_VERSION,
        "header": header,
        "digest": _digest(tensors, canonical_json(header)),
    }
    # one key: safetensors keeps metadata in a hash map, whose order would change the file's bytes
    write_atomic(path, save(dict(tensors), metadata={form: canonical_json(sealed)}))


def read_sealed(
    path: str | Path, form: str, hint: str, error: type[FeatbankError]
) -> tuple[Tensors, Any]:
    """Read the tensors and the header of a file, if its content has the stated digest.

    Args:
        path: of the file.
        form: what the file must be.
        hint: how to make it again.
        error: what to raise.

    Raises:
        FeatbankError: as `error`, when it is missing, something else, of another version, or
            damaged.
    """
    if (got := instead_of_file(path)) is not None:
        raise error(f"{path}", expected="a file", got=got, hint=hint)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if form not in metadata:
                raise error(f"{path}", expected=form, got="another safetensors file")
            sealed = parse_json(metadata[form], f"header of {path}", error, hint=hint)
            if sealed["format_version"] != FORMAT_VERSION:
                raise error(
                    f"{path}",
                    expected=f"format version {FORMAT_VERSION}",
                    got=repr(sealed["format_version"]),
                    hint=hint,
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = sealed["header"]
            if sealed["digest"] != _digest(tensors, canonical_json(header)):
                raise error(
                    f"{path}",
                    expected=f"digest {sealed['digest']!r}",
                    got="other bytes: it is damaged",
                    hint=hint,
                )
    except SafetensorError as wrong:
        raise error(f"{path}", expected="a safetensors file", got=wrong, hint=hint) from wrong
    except (ValueError, KeyError, TypeError) as wrong:
        raise error(
            f"{path}", expected=f"the header of a {form}", got=repr(wrong), hint=hint
        ) from wrong
    return tensors, header


def _digest(tensors: Mapping[str, npt.NDArray[Any]], header: str) -> str:
    """Return the SHA-256 of a header and of each tensor: its name, type, shape and bytes."""
    seen = sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        seen.update(canonical_json([name, tensor.dtype.str, tensor.shape]).encode())
        seen.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return seen.hexdigest()
