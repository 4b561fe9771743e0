"""A codebook: the centroids that turn features into units, and the file they are kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from featbank.errors import CodebookError
from featbank.provenance import canonical_json, file_sha256, write_atomic
from featbank.store import token_dtype

FORMAT = "featbank-codebook"
FORMAT_VERSION = 1
_BLOCK_FRAMES = 16384

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codebook:
    """Centroids and what they were fitted on.

    Args:
        centroids: (K, D) float32.
        provenance: how they were fitted, as plain JSON values.
        digest: SHA-256 of the file they were read from; empty for a codebook in the making.
    """

    centroids: Floats
    provenance: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if (
            self.centroids.ndim != 2
            or not len(self.centroids)
            or self.centroids.dtype != np.float32
        ):
            raise CodebookError(
                "centroids",
                expected="(K, D) float32, K over 0",
                got=f"{self.centroids.shape} {self.centroids.dtype}",
            )
        if not np.isfinite(self.centroids).all():
            raise CodebookError("centroids", expected="finite values", got="NaN or infinity")

    @property
    def num_clusters(self) -> int:
        """The number of units, K."""
        return len(self.centroids)

    @property
    def centroids_digest(self) -> str:
        """The SHA-256 of the centroids alone: what decides a unit, however it came about."""
        shape = canonical_json(self.centroids.shape).encode()
        return sha256(shape + np.ascontiguousarray(self.centroids, "<f4").tobytes()).hexdigest()

    @property
    def unit_dtype(self) -> str:
        """The smallest unsigned integer type that holds every unit."""
        return token_dtype(self.num_clusters)

    def assign(self, features: Floats) -> npt.NDArray[Any]:
        """Return the nearest centroid of each frame; of several equally near ones the first.

        The squared distance is taken without the frame's own square, which all centroids share.
        Long utterances go through in blocks, so that memory is bounded.

        Args:
            features: (T, D).

        Returns:
            (T,) of `unit_dtype`.

        Raises:
            CodebookError: the features have another dimension, or values that are not finite.
        """
        return self.assign_pieces([features])

    def assign_pieces(self, pieces: Iterable[Floats]) -> npt.NDArray[Any]:
        """Return what `assign` does of consecutive pieces of an utterance, one or more."""
        units = [self._assign_block(block) for block in _blocks(pieces)]
        return units[0] if len(units) == 1 else np.concatenate(units)

    def _assign_block(self, features: Floats) -> npt.NDArray[Any]:
        if features.ndim != 2 or features.shape[1] != self.centroids.shape[1]:
            raise CodebookError(
                "features for a codebook",
                expected=f"shape (T, {self.centroids.shape[1]})",
                got=f"{features.shape}",
            )
        if not np.isfinite(features).all():
            raise CodebookError(
                "features for a codebook", expected="finite values", got="NaN or inf"
            )
        centroids = torch.from_numpy(self.centroids)
        with torch.inference_mode():
            frames = torch.from_numpy(features.astype(np.float32))
            scores = torch.addmm(centroids.square().sum(dim=1), frames, centroids.T, alpha=-2)
            return scores.argmin(dim=1).numpy().astype(self.unit_dtype)


def _blocks(pieces: Iterable[Floats]) -> Iterator[Floats]:
    """Cut consecutive pieces anew: the units of a frame must not depend on where they were cut."""
    waiting: list[Floats] = []
    num_waiting = 0
    for piece in pieces:
        start = 0
        while num_waiting + len(piece) - start > _BLOCK_FRAMES:
            stop = start + _BLOCK_FRAMES - num_waiting
            yield np.concatenate([*waiting, piece[start:stop]])
            waiting, num_waiting, start = [], 0, stop
        waiting.append(piece[start:])
        num_waiting += len(waiting[-1])
    yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def save_codebook(path: str | Path, codebook: Codebook) -> None:
    """Write a codebook as safetensors, atomically and deterministically."""
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "provenance": canonical_json(codebook.provenance),
    }
    # one key: safetensors keeps metadata in a hash map, whose order would change the file's bytes
    data = save({"centroids": codebook.centroids}, metadata={FORMAT: canonical_json(header)})
    write_atomic(path, data)


def load_codebook(path: str | Path) -> Codebook:
    """Read a codebook.

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
    except SafetensorError as error:
        raise CodebookError(f"codebook {path}", expected="a safetensors file", got=error) from error
    return Codebook(
        centroids=centroids, provenance=json.loads(header["provenance"]), digest=file_sha256(path)
    )
