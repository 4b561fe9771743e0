"""State file of a fit, from which a stopped fit resumes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from featbank.errors import CodebookError
from featbank.files.sealed import read_sealed, write_sealed
from featbank.tokenizers.kmeans import FitState

_log = logging.getLogger(__name__)

_FORMAT = "featbank-fit"


def save_state(path: Path, state: FitState) -> None:
    """Write the state of a fit, atomically."""
    tensors = {"codebooks": state.codebooks}
    if state.centroids is not None:
        tensors["centroids"] = state.centroids
    rest = {
        "distances": state.distances,
        "share": state.share,
        "num_passes": state.num_passes,
        "distance": state.distance if np.isfinite(state.distance) else None,
    }
    write_sealed(path, _FORMAT, tensors, rest)


def load_state(path: Path) -> FitState | None:
    """Read the state of a fit; None where there is none, or none that can be read."""
    if not os.path.lexists(path):
        return None
    try:
        tensors, rest = read_sealed(path, _FORMAT, "", CodebookError)
        return FitState(
            codebooks=tensors["codebooks"],
            distances=tuple(rest["distances"]),
            centroids=tensors.get("centroids"),
            share=rest["share"],
            num_passes=rest["num_passes"],
            distance=np.inf if rest["distance"] is None else rest["distance"],
        )
    except (CodebookError, KeyError, TypeError) as error:
        _log.warning("fit %s: %s; it begins anew", path, error)
        return None
