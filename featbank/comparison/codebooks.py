"""Compare two codebooks: which centroids are others, and what was said of their making."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featbank.comparison.findings import CodebookDifference
from featbank.comparison.headers import moved
from featbank.errors import CodebookError, FeatbankError
from featbank.tokenizers.codebook_file import read_codebook


def compare_codebooks(
    path: str, before: Path | FeatbankError | None, after: Path | FeatbankError | None
) -> CodebookDifference:
    """Compare two files of centroids, or say what a version alone has.

    Args:
        path: of the codebook, in the result.
        before: the earlier file; an error where it cannot be had, None where there is none.
        after: the later one, likewise.
    """
    for one in (before, after):
        if isinstance(one, FeatbankError):
            return CodebookDifference(path=path, problem=str(one))
    if not isinstance(before, Path) or not isinstance(after, Path):
        return CodebookDifference(path=path, only_in="after" if before is None else "before")
    try:
        (ours, made), (theirs, made_now) = read_codebook(before), read_codebook(after)
    except CodebookError as error:
        return CodebookDifference(path=path, problem=str(error))
    differences = np.abs(theirs.astype(np.float64) - ours) if ours.shape == theirs.shape else None
    return CodebookDifference(
        path=path,
        num_centroids=int(np.prod(theirs.shape[:-1])),
        num_other=None if differences is None else int(differences.any(axis=-1).sum()),
        max_abs=None if differences is None else float(differences.max()),
        moved=moved(made, made_now),
    )
