"""The worker of extraction: it computes features and writes them into shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from featbank.base.manifest import Utterance
from featbank.engine.calling import Features
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.device.reduction import FeatureReduction
from featbank.engine.rows import laid_out, num_frames
from featbank.engine.tasks import ShardTask
from featbank.engine.work import shard_path
from featbank.engine.worker import ShardWorker
from featbank.errors import AudioError, FeatbankError, StoreError
from featbank.feature_io.stage_storage import PackedStorage
from featbank.features.base import Extractor, Output
from featbank.store import Encoded, Numerics, ShardSpec, ShardWriter, as_array, find_encoding


class FeatureWorker(ShardWorker[ShardWriter]):
    """Makes shards of features.

    Args:
        recipe: of the extractor.
        storage: one entry a feature name.
        fingerprints: of the stores, by feature name.
    """

    def __init__(
        self,
        recipe: ExtractorRecipe,
        storage: Mapping[str, PackedStorage],
        fingerprints: Mapping[str, str],
    ) -> None:
        super().__init__(recipe)
        self._storage = storage
        self.specs = shard_specs(self.extractor, storage, fingerprints, self.numerics)

    def open_sink(self, task: ShardTask, name: str, spec: ShardSpec) -> ShardWriter:
        """Begin a shard of a task."""
        path = shard_path(task.work, spec.numerics, name, task.names[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = laid_out(task.rows, self.extractor.framing)
        return ShardWriter(path, spec, rows, sync=not task.is_interim)

    def reduction(self) -> FeatureReduction:
        """Return what narrows features on the device; see `ShardWorker.reduction`."""
        return FeatureReduction(self.extractor.outputs, self._storage)

    def write_row(
        self, row: Utterance, pieces: Iterator[Features], sinks: Mapping[str, ShardWriter]
    ) -> None:
        """Write the row that consecutive pieces of features make; see `ShardWorker.write_row`."""
        framing = self.extractor.framing
        whole = num_frames(row, framing)
        for piece in pieces:
            for name in self._storage:
                where = feature_of(name, row)
                values = as_array(piece[name], where, has_time=not framing.is_whole)
                if framing.is_whole:
                    values = values[None]  # stored as one frame
                check_codes(values, self.extractor.outputs[name], feature_of(name, row))
                encoded = encode(values, self._storage[name].dtype, name, row)
                if name in sinks:
                    if len(values) == whole:
                        sinks[name].write(row.id, encoded)
                    else:
                        sinks[name].write_piece(row.id, values)


def check_codes(values: np.ndarray[Any, Any], output: Output, where: str) -> None:
    """Refuse codes outside of their codebook: the extractor is wrong, not the utterance.

    Raises:
        FeatbankError: there is one.
    """
    size = output.codebook_size
    if size is None or not values.size:
        return
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= size:
        raise FeatbankError(
            where, expected=f"codes from 0 to {size - 1}", got=lowest if lowest < 0 else highest
        )


def encode(values: Any, dtype: str, name: str, row: Utterance) -> Encoded:
    """Convert features to the dtype they are stored as.

    Raises:
        AudioError: a value is not finite, or out of its range: the utterance fails.
    """
    where, expected = feature_of(name, row), f"finite values in {dtype}"
    if not np.isfinite(values).all():
        num_wrong = int(np.sum(~np.isfinite(values)))
        raise AudioError(
            where, kind="bad_features", expected=expected, got=f"{num_wrong} NaN or infinite"
        )
    try:
        return find_encoding(dtype).encode(values, where)
    except StoreError as error:
        raise AudioError(where, kind="bad_features", expected=expected, got=error.got) from error


def feature_of(name: str, row: Utterance) -> str:
    """Name a feature of an utterance, for errors."""
    return f"feature {name!r} of {row.audio}"


def shard_specs(
    extractor: Extractor,
    storage: Mapping[str, PackedStorage],
    fingerprints: Mapping[str, str],
    numerics: Numerics,
) -> dict[str, ShardSpec]:
    """Return what the rows of each shard have in common, by feature name."""
    return {
        name: ShardSpec(
            name=name,
            dtype=entry.dtype,
            shape=extractor.outputs[name].shape,
            fingerprint=fingerprints[name],
            numerics=numerics,
            compression=entry.compression,
        )
        for name, entry in storage.items()
    }
