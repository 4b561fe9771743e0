"""The worker of direct tokenization: it computes features and writes their tokens into shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featbank.base.manifest import Utterance
from featbank.engine.calling import Features
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.device.reduction import TokenReduction
from featbank.engine.feature_worker import encode, feature_of
from featbank.engine.tasks import ShardTask
from featbank.engine.work import shard_path
from featbank.engine.worker import ShardWorker
from featbank.feature_io.stage_storage import PackedStorage
from featbank.store import (
    Encoded,
    Numerics,
    ShardInfo,
    ShardRow,
    ShardSpec,
    ShardWriter,
    as_array,
    find_encoding,
)
from featbank.tokenizers.token_stores import TokenStores

Array = np.ndarray[Any, np.dtype[Any]]


class TokenWorker(ShardWorker["_TokenShard"]):
    """Makes shards of tokens straight from audio.

    The features are rounded as a store of them would, so that the tokens are those of the way over
    feature stores.

    Args:
        recipe: of the extractor.
        entry: how the features would be stored.
        stores: of the tokens.
    """

    def __init__(self, recipe: ExtractorRecipe, entry: PackedStorage, stores: TokenStores) -> None:
        super().__init__(recipe)
        self._entry = entry
        self._stores = stores
        self.specs = token_specs(stores, self.numerics)

    def open_sink(self, task: ShardTask, name: str, spec: ShardSpec) -> _TokenShard:
        """Begin a shard of a task."""
        path = shard_path(task.work, spec.numerics, name, task.names[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        return _TokenShard(path, spec, task)

    def reduction(self) -> TokenReduction:
        """Return what assigns units on the device; see `ShardWorker.reduction`."""
        output = self.extractor.outputs[self._entry.name]
        return TokenReduction(output, self._entry, self._stores, self._computing.device)

    def write_row(
        self, row: Utterance, pieces: Iterator[Features], sinks: Mapping[str, _TokenShard]
    ) -> None:
        """Write the tokens of the features that consecutive pieces make."""
        units = self._stores.codebook.assign_pieces(self._rounded(row, pieces))
        tokens = self._stores.tokens(units)
        for name, sink in sinks.items():
            encoding = find_encoding(self._stores.dtypes[name])
            sink.write(row.id, encoding.encode(tokens[name], name))

    def _rounded(self, row: Utterance, pieces: Iterator[Features]) -> Iterator[Array]:
        """Give the features as a store of them gives them back."""
        name, dtype = self._entry.name, self._entry.dtype
        encoding = find_encoding(dtype)
        arrays: Iterator[Array] = (as_array(p[name], feature_of(name, row)) for p in pieces)
        if encoding.has_scale:  # which is that of the whole utterance
            arrays = iter([np.concatenate(list(arrays))])
        for values in arrays:
            encoded = encode(values, dtype, name, row)
            yield encoding.decode(encoded.stored, encoded.scale)


class _TokenShard:
    """A shard whose rows wait in memory, for their lengths are known only at the end."""

    def __init__(self, path: Path, spec: ShardSpec, task: ShardTask) -> None:
        self._path = path
        self._spec = spec
        self._rows = task.rows
        self._sync = not task.is_interim
        self._tokens: dict[str, Encoded] = {}

    def write(self, utterance_id: str, values: Encoded) -> None:
        self._tokens[utterance_id] = values

    def discard(self, utterance_id: str) -> None:
        self._tokens.pop(utterance_id, None)

    def close(self) -> ShardInfo | None:
        rows = [row for row in self._rows if row.id in self._tokens]
        if not rows:
            return None
        laid_out = [
            ShardRow(
                id=row.id,
                num_frames=len(self._tokens[row.id].stored),
                input_digest=row.input_digest,
            )
            for row in rows
        ]
        writer = ShardWriter(self._path, self._spec, laid_out, sync=self._sync)
        try:
            for row in rows:
                writer.write(row.id, self._tokens[row.id])
            return writer.close()
        finally:
            writer.abort()

    def abort(self) -> None:
        self._tokens.clear()


def token_specs(stores: TokenStores, numerics: Numerics) -> dict[str, ShardSpec]:
    """Return what the rows of each shard have in common, by store name."""
    return {
        name: ShardSpec(
            name=name,
            dtype=dtype,
            shape=stores.row_shape,
            fingerprint=stores.fingerprints[name],
            numerics=numerics,
        )
        for name, dtype in stores.dtypes.items()
    }
