"""The file that a codebook is kept in, written and read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from featbank.errors import CodebookError
from featbank.provenance import canonical_json, write_atomic

FORMAT = "featbank-codebook"
FORMAT_VERSION = 2
"""2: residual codebooks. One codebook is still written as version 1, which it is."""

Floats = npt.NDArray[np.float32]


def write_codebook(path: str | Path, centroids: Floats, provenance: Mapping[str, Any]) -> None:
    """Write a codebook as safetensors, atomically and deterministically.

    Args:
        path: of the file.
        centroids: (K, D) or (Q, K, D), as `check_centroids` wants them.
        provenance: how they were fitted, as plain JSON values.
    """
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION if centroids.ndim == 3 else 1),
        "provenance": canonical_json(provenance),
    }
    # one key: safetensors keeps metadata in a hash map, whose order would change the file's bytes
    data = save({"centroids": centroids}, metadata={FORMAT: canonical_json(header)})
    write_atomic(path, data)


def read_codebook(path: str | Path) -> tuple[Floats, Mapping[str, Any]]:
    """Read the centroids, (K, D) or (Q, K, D), and the provenance of a codebook.

    Raises:
        CodebookError: the file is missing, damaged, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise CodebookError(
            f"codebook {path}",
            expected="a file",
            got="nothing there",
            hint="run python stages/fit.py with the same corpus, feature and tokenizer",
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise CodebookError(
                    f"codebook {path}", expected=FORMAT, got="another safetensors file"
                )
            header = json.loads(metadata[FORMAT])
            if int(header["format_version"]) > FORMAT_VERSION:
                raise CodebookError(
                    f"codebook {path}",
                    expected=f"format version {FORMAT_VERSION} or older",
                    got=header["format_version"],
                    hint="update featbank",
                )
            centroids = file.get_tensor("centroids")
            provenance = json.loads(header["provenance"])
    except SafetensorError as error:
        raise CodebookError(f"codebook {path}", expected="a safetensors file", got=error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CodebookError(
            f"codebook {path}",
            expected="the header that stages/fit.py writes",
            got=repr(error),
            hint="fetch it again with dvc pull, or run python stages/fit.py",
        ) from error
    check_centroids(centroids)
    return centroids, provenance


def check_centroids(centroids: Floats) -> None:
    """Refuse what no frame can be assigned to.

    Raises:
        CodebookError: another shape or type, or values that are not finite.
    """
    shape = centroids.shape
    if len(shape) not in (2, 3) or 0 in shape or centroids.dtype != np.float32:
        raise CodebookError(
            "centroids",
            expected="(K, D) or (Q, K, D) float32, each 1 or more",
            got=f"{centroids.shape} {centroids.dtype}",
        )
    if not np.isfinite(centroids).all():
        raise CodebookError("centroids", expected="finite values", got="NaN or infinity")
