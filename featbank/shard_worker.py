"""One shard of features: its audio decoded, its features computed, its files written."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featbank.audio import audio_digest, load_audio, resampled_length
from featbank.errors import AudioError, ConfigError, FeatbankError, StoreError
from featbank.failures import Failure
from featbank.feature_io import FeatureStorageConfig
from featbank.features.base import AudioBatch, Extractor
from featbank.framing import Framing
from featbank.manifest import Utterance
from featbank.numerics import numerics_class
from featbank.progress import Advance
from featbank.routing import route
from featbank.store import (
    Encoded,
    ShardInfo,
    ShardRow,
    ShardSpec,
    ShardWriter,
    as_array,
    find_encoding,
    shard_name,
)
from featbank.trusted import build


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to compute, apart from the audio: picklable, so that any worker can compute any shard.

    Args:
        extractor: `_target_` and its arguments.
        storage: one entry a feature name.
        fingerprints: of the stores, by feature name.
        audio_root: folder that the manifests' paths are relative to.
        trusted_modules: packages beside featbank that `_target_` may name.
    """

    extractor: Mapping[str, Any]
    storage: Mapping[str, FeatureStorageConfig]
    fingerprints: Mapping[str, str]
    audio_root: str
    trusted_modules: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """One shard of each of an extractor's stores: the same rows in all of them.

    Args:
        split: that the rows belong to.
        rows: in store order.
        paths: of the shard to write, by feature name.
    """

    split: str
    rows: Sequence[Utterance]
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of a task: no shard where all of its rows failed."""

    split: str
    shards: Mapping[str, ShardInfo]
    failures: Sequence[Failure]
    numerics: Mapping[str, Any]


class ShardWorker:
    """Computes shards in one process, which loads the extractor once.

    An utterance is computed alone and in one thread: batch mates and a different number of threads
    change the last bits of a transformer's output.
    """

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(1)
        self._recipe = recipe
        self._extractor = build_extractor(recipe.extractor, recipe.trusted_modules)
        self._numerics = numerics_class()
        self._digest = functools.lru_cache(maxsize=1024)(audio_digest)

    def __call__(self, task: ShardTask, advance: Advance) -> ShardResult:
        """Compute the rows of one task and write its shards."""
        framing = self._extractor.framing
        rows = [
            ShardRow(id=row.id, num_frames=num_frames(row, framing), input_digest=row.input_digest)
            for row in task.rows
        ]
        failures: list[Failure] = []
        with ExitStack() as stack:
            writers = {}
            for name, path in task.paths.items():
                writers[name] = ShardWriter(path, self._spec(name), rows)
                stack.callback(writers[name].abort)
            for row in task.rows:
                try:
                    features = self._compute(row, task.split)
                except AudioError as error:
                    failures.append(self._failure(row, error))
                    for writer in writers.values():
                        writer.discard(row.id)
                else:
                    for name, writer in writers.items():
                        writer.write(row.id, features[name])
                advance(row.duration_s)
            closed = {name: writer.close() for name, writer in writers.items()}
        failed = {failure.id for failure in failures}
        kept = [row for row in task.rows if row.id not in failed]
        return ShardResult(
            split=task.split,
            shards={
                name: self._named(info, name, task, kept) for name, info in closed.items() if info
            },
            failures=failures,
            numerics=self._numerics,
        )

    def _named(
        self, info: ShardInfo, name: str, task: ShardTask, kept: Sequence[Utterance]
    ) -> ShardInfo:
        """Name a shard after the rows it holds: after a failure they are not those of its plan."""
        final = shard_name(
            self._recipe.fingerprints[name],
            [row.id for row in kept],
            [row.input_digest for row in kept],
        )
        planned = Path(task.paths[name])
        planned.rename(planned.with_name(final))
        return replace(info, name=final, part=task.rows[0].part)

    def _failure(self, row: Utterance, error: AudioError) -> Failure:
        return Failure.of(error, id=row.id, audio=row.audio, root=self._recipe.audio_root)

    def _compute(self, row: Utterance, split: str) -> dict[str, Any]:
        batch = AudioBatch(ids=[row.id], waveforms=[torch.from_numpy(self._load(row))])
        returned = self._extractor.compute_features(batch, split)
        [(utterance_id, features)] = route(returned, self._recipe.storage)
        if utterance_id != row.id:
            raise FeatbankError(
                f"features of utterance {row.id!r}", expected="its own", got=repr(utterance_id)
            )
        return {name: self._stored(features[name], name, row) for name in self._recipe.storage}

    def _stored(self, values: Any, name: str, row: Utterance) -> Encoded:
        """Convert to the stored dtype; a value that it cannot hold fails the utterance."""
        dtype = self._recipe.storage[name].dtype
        where, expected = f"feature {name!r} of {row.audio}", f"finite values in {dtype}"
        array = as_array(values, where)
        if not np.isfinite(array).all():
            num_wrong = int(np.sum(~np.isfinite(array)))
            raise AudioError(where, expected=expected, got=f"{num_wrong} NaN or infinite")
        try:
            return find_encoding(dtype).encode(array, where)
        except StoreError as error:
            raise AudioError(where, expected=expected, got=error.got) from error

    def _load(self, row: Utterance) -> Any:
        path = Path(self._recipe.audio_root, row.audio)
        if (found := self._digest(path)) != row.audio_digest:
            raise FeatbankError(
                f"audio {path} of utterance {row.id!r} has changed since the manifest was made",
                expected=row.audio_digest,
                got=found,
                hint="run python stages/prepare.py again",
            )
        return load_audio(
            path,
            sample_rate=row.sample_rate,
            start_sample=row.start_sample,
            num_samples=row.num_samples,
            channel=row.channel,
            target_rate=self._extractor.framing.sample_rate,
        )

    def _spec(self, name: str) -> ShardSpec:
        return ShardSpec(
            name=name,
            dtype=self._recipe.storage[name].dtype,
            shape=(self._extractor.dimensions[name],),
            fingerprint=self._recipe.fingerprints[name],
            numerics=self._numerics,
            compression=self._recipe.storage[name].compression,
        )


def build_extractor(config: Mapping[str, Any], trusted_modules: Sequence[str] = ()) -> Extractor:
    """Build the extractor that a configuration describes.

    Raises:
        ConfigError: the class is untrusted, or no extractor.
        WeightsError: its weights cannot be had.
    """
    extractor = build(config, trusted_modules)
    if not isinstance(extractor, Extractor):
        raise ConfigError(
            f"_target_ {config['_target_']!r}",
            expected="an Extractor",
            got=type(extractor).__name__,
        )
    return extractor


def resampled_samples(row: Utterance, framing: Framing) -> int:
    """Return the samples that an utterance has at the extractor's rate."""
    return resampled_length(row.num_samples, row.sample_rate, framing.sample_rate)


def num_frames(row: Utterance, framing: Framing) -> int:
    """Return the frames that an utterance has."""
    return framing.num_frames(resampled_samples(row, framing))
