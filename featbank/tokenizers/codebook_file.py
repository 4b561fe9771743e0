"""File format of codebooks, written and read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import CodebookError
from featbank.files.sealed import read_sealed, write_sealed

FORMAT = "featbank-codebook"

Floats = npt.NDArray[np.float32]


def write_codebook(path: str | Path, centroids: Floats, provenance: Mapping[str, Any]) -> None:
    """Write a codebook as safetensors, atomically and deterministically.

    Args:
        path: of the file.
        centroids: (K, D) or (Q, K, D), as `check_centroids` wants them.
        provenance: how they were fitted, as plain JSON values.
    """
    write_sealed(path, FORMAT, {"centroids": centroids}, {"provenance": provenance})


def read_codebook(path: str | Path) -> tuple[Floats, Mapping[str, Any]]:
    """Read the centroids, (K, D) or (Q, K, D), and the provenance of a codebook.

    Raises:
        CodebookError: the file is missing, damaged, or something else.
    """
    there = Path(path).is_file()
    hint = (
        ("" if there else "fetch it with dvc pull, or ")
        + f"run python stages/fit.py {'overwrite=true ' if there else ''}with the same fit_on, "
        "feature and tokenizer; one that was imported: python stages/import_codebook.py"
    )
    tensors, header = read_sealed(path, FORMAT, hint, CodebookError)
    try:
        centroids, provenance = tensors["centroids"], header["provenance"]
    except (KeyError, TypeError) as error:
        raise CodebookError(
            f"codebook {path}", expected="centroids and their provenance", got=repr(error)
        ) from error
    check_centroids(centroids)
    return centroids, provenance


def check_centroids(centroids: Floats) -> None:
    """Refuse centroids that no frame can be assigned to.

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
