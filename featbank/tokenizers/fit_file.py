"""The file in which a fit that was stopped is found again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from featbank.provenance import write_atomic
from featbank.tokenizers.kmeans import FitState

_log = logging.getLogger(__name__)


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
    write_atomic(path, save(tensors, metadata={"state": json.dumps(rest)}))


def load_state(path: Path) -> FitState | None:
    """Read the state of a fit; None where there is none, or none that can be read."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            rest = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, KeyError) as error:  # damaged, or another file
        _log.warning("%s cannot be read, and the fit begins anew: %s", path, error)
        return None
    return FitState(
        codebooks=tensors["codebooks"],
        distances=tuple(rest["distances"]),
        centroids=tensors.get("centroids"),
        share=rest["share"],
        num_passes=rest["num_passes"],
        distance=np.inf if rest["distance"] is None else rest["distance"],
    )
