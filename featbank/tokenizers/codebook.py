"""A codebook: the centroids that turn features into units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from featbank.errors import CodebookError
from featbank.files.provenance import canonical_json, file_sha256
from featbank.store import token_dtype
from featbank.tokenizers.codebook_file import Floats, check_centroids, read_codebook, write_codebook
from featbank.tokenizers.nearest import BLOCK_FRAMES, NearestCentroid


@dataclass(frozen=True, kw_only=True, eq=False)
class Codebook:
    """Centroids and what they were fitted on: one codebook, or several residual ones.

    Each residual codebook stands for what those before it leave of a frame, so a frame becomes a
    code of each, and the sum of their centroids is near the frame.

    Args:
        centroids: (K, D) float32; (Q, K, D) for Q residual codebooks.
        provenance: how they were fitted, as plain JSON values.
        digest: SHA-256 of the file they were read from; empty for a codebook in the making.
    """

    centroids: Floats
    provenance: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        check_centroids(self.centroids)

    @property
    def num_clusters(self) -> int:
        """The number of units of a codebook, K."""
        return int(self.centroids.shape[-2])

    @cached_property
    def num_codebooks(self) -> int:
        """The number of codebooks, Q."""
        return len(self._books)

    @cached_property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a frame's units: `()`, or `(Q,)` of residual codebooks."""
        return self.centroids.shape[:-2]

    @property
    def centroids_digest(self) -> str:
        """The SHA-256 of the centroids alone: what decides a unit, however it came about."""
        shape = canonical_json(self.centroids.shape).encode()
        return sha256(shape + np.ascontiguousarray(self.centroids, "<f4").tobytes()).hexdigest()

    @cached_property
    def unit_dtype(self) -> str:
        """The smallest unsigned integer type that holds every unit."""
        return token_dtype(self.num_clusters)

    def assign(self, features: Floats) -> npt.NDArray[Any]:
        """Return the nearest centroid of each frame; of several equally near ones the first.

        Of residual codebooks each takes the nearest to what the ones before it leave. Long
        utterances go through in blocks, so that memory is bounded. In float32, around the mean of
        the centroids: how far from zero features lie takes nothing from how exact distances are.

        Args:
            features: (T, D).

        Returns:
            (T,) of `unit_dtype`; (T, Q) of residual codebooks.

        Raises:
            CodebookError: the features have another dimension, or values that are not finite.
        """
        return self.assign_pieces([features])

    def assign_pieces(self, pieces: Iterable[Floats]) -> npt.NDArray[Any]:
        """Return what `assign` does of consecutive pieces of an utterance, one or more."""
        with torch.inference_mode():
            units = [self._assign_block(block) for block in _blocks(pieces)]
        every = units[0] if len(units) == 1 else np.concatenate(units)
        return every.reshape(len(every), *self.row_shape)

    def decode(self, units: npt.NDArray[Any]) -> Floats:
        """Return the centroids that units stand for; of residual codebooks their sum.

        Args:
            units: (T,); (T, Q) of residual codebooks, or (T, q) of the first q of them.

        Returns:
            (T, D).

        Raises:
            CodebookError: units of another shape, or that the codebook does not have.
        """
        if units.ndim != 1 + len(self.row_shape) or (
            self.row_shape and not 0 < units.shape[1] <= self.row_shape[0]
        ):
            raise CodebookError(
                "units of a codebook",
                expected=f"shape (T, 1 to {self.row_shape[0]})" if self.row_shape else "shape (T,)",
                got=f"{units.shape}",
            )
        if units.size and not 0 <= int(units.min()) <= int(units.max()) < self.num_clusters:
            raise CodebookError(
                "units of a codebook",
                expected=f"from 0 to {self.num_clusters - 1}",
                got=f"{units.min()} to {units.max()}",
            )
        columns = units.reshape(len(units), -1).T
        frames = np.zeros((len(units), self.centroids.shape[-1]), np.float32)
        for book, column in zip(self._books, columns, strict=False):
            frames += book[column]
        return frames

    @property
    def _books(self) -> Floats:
        """The centroids as (Q, K, D), whatever Q is."""
        return self.centroids.reshape(-1, *self.centroids.shape[-2:])

    @property
    def centered(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Each codebook, (K, D), and the mean of its centroids, around which units are assigned."""
        books = torch.from_numpy(self._books)
        means = books.mean(dim=1, dtype=torch.float64).float()
        return list(zip(books, means, strict=True))

    @cached_property
    def _nearest(self) -> list[tuple[torch.Tensor, torch.Tensor, NearestCentroid]]:
        """Each codebook, the mean of its centroids, and a search among them around that mean."""
        return [(book, mean, NearestCentroid(book - mean)) for book, mean in self.centered]

    def _assign_block(self, features: Floats) -> npt.NDArray[Any]:
        if features.ndim != 2 or features.shape[1] != self.centroids.shape[-1]:
            raise CodebookError(
                "features for a codebook",
                expected=f"shape (T, {self.centroids.shape[-1]})",
                got=f"{features.shape}",
            )
        if not np.isfinite(features).all():
            raise CodebookError(
                "features for a codebook", expected="finite values", got="NaN or inf"
            )
        left = torch.from_numpy(features.astype(np.float32))  # a copy: it is taken from
        units = np.empty((len(features), self.num_codebooks), self.unit_dtype)
        for column, (book, mean, find) in enumerate(self._nearest):
            labels = find(left - mean)
            units[:, column] = labels.numpy()
            if column + 1 < self.num_codebooks:
                left -= book[labels]
        return units


def _blocks(pieces: Iterable[Floats]) -> Iterator[Floats]:
    """Cut consecutive pieces anew: the units of a frame must not depend on where they were cut."""
    waiting: list[Floats] = []
    num_waiting = 0
    for piece in pieces:
        start = 0
        while num_waiting + len(piece) - start > BLOCK_FRAMES:
            stop = start + BLOCK_FRAMES - num_waiting
            yield np.concatenate([*waiting, piece[start:stop]])
            waiting, num_waiting, start = [], 0, stop
        waiting.append(piece[start:])
        num_waiting += len(waiting[-1])
    yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def save_codebook(path: str | Path, codebook: Codebook) -> None:
    """Write a codebook as safetensors, atomically and deterministically."""
    write_codebook(path, codebook.centroids, codebook.provenance)


def load_codebook(path: str | Path) -> Codebook:
    """Read a codebook.

    Raises:
        CodebookError: the file is missing, damaged, or something else.
    """
    centroids, provenance = read_codebook(path)
    return Codebook(centroids=centroids, provenance=provenance, digest=file_sha256(path))
