"""Extraction: manifests and an extractor in, feature stores out."""

from __future__ import annotations

import functools
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from featbank.audio import DECODE_VERSION, audio_digest, load_audio, resampled_length
from featbank.errors import AudioError, ConfigError, FeatbankError
from featbank.failures import Failure, check_budget
from featbank.feature_io import FeatureStorageConfig, storage_by_name
from featbank.features.base import AudioBatch, Extractor
from featbank.framing import Framing
from featbank.manifest import SPLITS, Utterance, part_order, read_manifest
from featbank.numerics import numerics_class
from featbank.progress import Advance
from featbank.provenance import canonical_json, digest, package_versions
from featbank.runners.base import Runner
from featbank.store import (
    ShardInfo,
    ShardRow,
    ShardSpec,
    ShardWriter,
    StoreBuilder,
    StoreHeader,
    plan_shards,
    shard_name,
)
from featbank.store.replacing import refuse_other_content
from featbank.trusted import build

_log = logging.getLogger(__name__)

_PACKAGES = ("featbank", "h5py", "numpy", "soundfile", "soxr", "torch", "torchaudio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to compute, apart from the audio: picklable, so that any worker can compute any shard.

    Args:
        extractor: `_target_` and its arguments.
        storage: one entry a feature name.
        fingerprints: one a feature name; see `fingerprint`.
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
            ShardRow(id=row.id, num_frames=_num_frames(row, framing), input_digest=row.input_digest)
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
                    failures.append(Failure.of(error, id=row.id, audio=row.audio))
                    for writer in writers.values():
                        writer.discard(row.id)
                else:
                    for name, writer in writers.items():
                        writer.write(row.id, features[name])
                advance(row.duration_s)
            closed = {name: writer.close() for name, writer in writers.items()}
        part = task.rows[0].part
        shards = {name: replace(info, part=part) for name, info in closed.items() if info}
        return ShardResult(
            split=task.split, shards=shards, failures=failures, numerics=self._numerics
        )

    def _compute(self, row: Utterance, split: str) -> dict[str, Any]:
        batch = AudioBatch(ids=[row.id], waveforms=[torch.from_numpy(self._load(row))])
        [features] = self._extractor.compute_features(batch, split)
        expected = {"id", *self._recipe.storage}
        if set(features) != expected or features["id"] != row.id:
            raise FeatbankError(
                f"features of utterance {row.id!r}",
                expected=f"id and {', '.join(sorted(self._recipe.storage))}",
                got=", ".join(sorted(features)),
            )
        return features

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


def describe(config: Mapping[str, Any], extractor: Extractor) -> dict[str, Any]:
    """Return what determines the values of an extractor, as its stores' provenance records it.

    A local weights file appears by its digest only: where it lay changes nothing.
    """
    weights = extractor.weights
    settings = {**config, "weights": weights.source} if "weights" in config else dict(config)
    return {
        "extractor": settings,
        "extractor_version": type(extractor).version,
        "decode_version": DECODE_VERSION,
        "weights": {
            "source": weights.source,
            "digest": weights.digest,
            "license": weights.license,
        },
    }


def extract(
    *,
    manifests: Path,
    audio_root: Path,
    out: Path,
    extractor: Mapping[str, Any],
    storage: Sequence[FeatureStorageConfig],
    corpus: Mapping[str, Any],
    runner: Runner,
    failures_path: Path,
    max_failures: float = 0,
    overwrite: bool = False,
    trusted_modules: Sequence[str] = (),
    advance: Advance = lambda _: None,
) -> list[StoreHeader]:
    """Compute the features of all splits of a corpus and publish a store for each name and split.

    Args:
        manifests: folder with a manifest a split.
        audio_root: folder that the manifests' paths are relative to.
        out: the stores go to `out/<feature name>/<split>`.
        extractor: `_target_` and its arguments.
        storage: one entry for each feature name of the extractor.
        corpus: what the header says of the corpus: name and licence, never counts, which change.
        runner: spreads the shards over workers.
        failures_path: where the failure list goes when it is over the budget.
        max_failures: a number of utterances, or below 1 a share of them.
        overwrite: replace stores that hold something else.
        trusted_modules: packages beside featbank that `_target_` may name.
        advance: told the seconds of audio done.

    Raises:
        FailureBudgetError: too many utterances failed; no store is published.
        StoreError: a store is there already that holds something else.
    """
    built = build_extractor(extractor, trusted_modules)
    entries = storage_by_name(storage, built.dimensions)
    provenance = describe(extractor, built)
    fingerprints = {
        name: digest({**provenance, "name": name, "dtype": entry.dtype})
        for name, entry in entries.items()
    }
    recipe = Recipe(
        extractor=extractor,
        storage=entries,
        fingerprints=fingerprints,
        audio_root=str(audio_root),
        trusted_modules=tuple(trusted_modules),
    )
    paths = {(name, split): out / name / split for name in entries for split in SPLITS}
    for (name, _), path in paths.items():
        refuse_other_content(path, fingerprints[name], overwrite=overwrite)
    rows, too_short = _read_rows(manifests, built.framing)

    with ExitStack() as stack:
        builders = {key: stack.enter_context(StoreBuilder(path)) for key, path in paths.items()}
        tasks = [
            _task(split, shard, entries, fingerprints, builders)
            for split in SPLITS
            for shard in _plan(rows[split], built, entries)
        ]
        shards: dict[tuple[str, str], list[ShardInfo]] = defaultdict(list)
        failures = {split: list(rows_failed) for split, rows_failed in too_short.items()}
        numerics: dict[str, dict[str, Any]] = defaultdict(dict)
        make_worker = functools.partial(ShardWorker, recipe)
        for result in runner.run(make_worker, tasks, advance):
            failures[result.split] += result.failures
            if result.shards:
                numerics[result.split][canonical_json(result.numerics)] = result.numerics
            for name, shard in result.shards.items():
                shards[name, result.split].append(shard)
        check_budget(
            [failure for split in SPLITS for failure in failures[split]],
            total=sum(len(rows[split]) + len(too_short[split]) for split in SPLITS),
            max_failures=max_failures,
            path=failures_path,
        )
        headers = []
        for (name, split), builder in builders.items():
            header = StoreHeader(
                name=name,
                dtype=entries[name].dtype,
                shape=(built.dimensions[name],),
                frame_rate=built.framing.frame_rate,
                first_frame_center_s=built.framing.first_frame_center_s,
                framing=built.framing,
                fingerprint=fingerprints[name],
                numerics=tuple(numerics[split][key] for key in sorted(numerics[split])),
                shards=tuple(
                    sorted(shards[name, split], key=lambda info: (info.part, info.first_id))
                ),
                num_failures=len(failures[split]),
                provenance={
                    **provenance,
                    "corpus": dict(corpus),
                    "storage": {"shard_bytes": entries[name].shard_bytes},
                    "versions": package_versions(_PACKAGES),
                },
            )
            builder.commit(header, failures[split])
            headers.append(header)
    return headers


def _read_rows(
    manifests: Path, framing: Framing
) -> tuple[dict[str, list[Utterance]], dict[str, list[Failure]]]:
    """Read every split in store order; set aside the utterances that are shorter than a frame."""
    rows: dict[str, list[Utterance]] = {}
    too_short: dict[str, list[Failure]] = {}
    for split in SPLITS:
        every = part_order(read_manifest(manifests / f"{split}.jsonl"))
        rows[split] = [row for row in every if _samples(row, framing) >= framing.min_samples]
        too_short[split] = [
            Failure(
                id=row.id,
                audio=row.audio,
                error="shorter than one frame",
                expected=f"{framing.min_samples} samples at {framing.sample_rate} Hz",
                got=f"{_samples(row, framing)}",
            )
            for row in every
            if _samples(row, framing) < framing.min_samples
        ]
        if not every:
            _log.info("split %s of %s is empty", split, manifests)
    return rows, too_short


def _plan(
    rows: Sequence[Utterance], extractor: Extractor, storage: Mapping[str, FeatureStorageConfig]
) -> Iterator[Sequence[Utterance]]:
    """Cut the rows into shards, by the feature that is largest next to its target size."""
    if not rows:
        return
    sizes = {
        name: (extractor.dimensions[name] * entry.itemsize, entry.shard_bytes)
        for name, entry in storage.items()
    }
    frame_bytes, target = max(sizes.values(), key=lambda size: size[0] / size[1])
    framing = extractor.framing
    nominal = [(row.part, row.id, frame_bytes * _num_frames(row, framing)) for row in rows]
    for part in plan_shards(nominal, target):
        yield rows[part.start : part.stop]


def _task(
    split: str,
    rows: Sequence[Utterance],
    storage: Mapping[str, FeatureStorageConfig],
    fingerprints: Mapping[str, str],
    builders: Mapping[tuple[str, str], StoreBuilder],
) -> ShardTask:
    contents = [(row.id, row.input_digest) for row in rows]
    return ShardTask(
        split=split,
        rows=rows,
        paths={
            name: str(builders[name, split].folder / shard_name(fingerprints[name], contents))
            for name in storage
        },
    )


def _samples(row: Utterance, framing: Framing) -> int:
    return resampled_length(row.num_samples, row.sample_rate, framing.sample_rate)


def _num_frames(row: Utterance, framing: Framing) -> int:
    return framing.num_frames(_samples(row, framing))
