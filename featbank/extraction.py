"""Extraction: manifests and an extractor in, feature stores out."""

from __future__ import annotations

import functools
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from featbank.audio import DECODE_VERSION
from featbank.failures import Failure, check_budget
from featbank.feature_io import FeatureStorageConfig, storage_by_name
from featbank.features.base import Extractor
from featbank.framing import Framing
from featbank.manifest import SPLITS, Utterance, part_order, read_manifest
from featbank.progress import Advance
from featbank.provenance import canonical_json, digest, package_versions
from featbank.runners.base import Runner
from featbank.shard_worker import (
    Recipe,
    ShardTask,
    ShardWorker,
    build_extractor,
    num_frames,
    resampled_samples,
)
from featbank.store import (
    ShardInfo,
    StoreBuilder,
    StoreHeader,
    plan_shards,
    row_bytes,
    shard_name,
)
from featbank.store.replacing import refuse_other_content

_log = logging.getLogger(__name__)

_PACKAGES = ("h5py", "numpy", "soundfile", "soxr", "torch", "torchaudio")


def describe(config: Mapping[str, Any], extractor: Extractor) -> dict[str, Any]:
    """Return what determines the values of an extractor, as its stores' provenance records it.

    Weights appear as what they are, not as the configuration names them: the same tensors from a
    download and from a local file make the same features.
    """
    weights = extractor.weights
    named_otherwise = ("weights", "weights_sha256", "license") if weights.digest else ()
    return {
        "extractor": {key: value for key, value in config.items() if key not in named_otherwise},
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
    values = {**provenance, "weights": built.weights.digest}
    fingerprints = {
        name: digest({**values, "name": name, "dtype": entry.dtype})
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
        total = sum(len(rows[split]) + len(too_short[split]) for split in SPLITS)

        def check_failures() -> None:
            every = [failure for split in SPLITS for failure in failures[split]]
            check_budget(every, total=total, max_failures=max_failures, path=failures_path)

        check_failures()  # before days of computing, and after each shard
        make_worker = functools.partial(ShardWorker, recipe)
        with closing(runner.run(make_worker, tasks, advance)) as results:
            for result in results:
                failures[result.split] += result.failures
                check_failures()
                if result.shards:
                    numerics[result.split][canonical_json(result.numerics)] = result.numerics
                for name, shard in result.shards.items():
                    shards[name, result.split].append(shard)
        headers = []
        for (name, split), builder in builders.items():
            header = StoreHeader(
                name=name,
                dtype=entries[name].dtype,
                shape=(built.dimensions[name],),
                compression=entries[name].compression,
                frame_rate=built.framing.frame_rate,
                first_frame_center_s=built.framing.first_frame_center_s,
                framing=built.framing,
                fingerprint=fingerprints[name],
                numerics=tuple(numerics[split][key] for key in sorted(numerics[split])),
                num_failures=len(failures[split]),
                provenance={
                    **provenance,
                    "corpus": dict(corpus),
                    "storage": {"shard_bytes": entries[name].shard_bytes},
                    "stores": sorted(entries),
                    "versions": package_versions(_PACKAGES),
                },
                shards=tuple(
                    sorted(shards[name, split], key=lambda info: (info.part, info.first_id))
                ),
            )
            headers.append(builder.complete(header, failures[split]))
        for builder in builders.values():  # all of them, or none
            builder.publish()
    return headers


def _read_rows(
    manifests: Path, framing: Framing
) -> tuple[dict[str, list[Utterance]], dict[str, list[Failure]]]:
    """Read every split in store order; set aside the utterances that are shorter than a frame."""
    rows: dict[str, list[Utterance]] = {}
    too_short: dict[str, list[Failure]] = {}
    for split in SPLITS:
        rows[split], too_short[split] = [], []
        for row in part_order(read_manifest(manifests / f"{split}.jsonl")):
            num_samples = resampled_samples(row, framing)
            if num_samples >= framing.min_samples:
                rows[split].append(row)
                continue
            too_short[split].append(
                Failure(
                    id=row.id,
                    audio=row.audio,
                    error="shorter than one frame",
                    expected=f"{framing.min_samples} samples at {framing.sample_rate} Hz",
                    got=str(num_samples),
                )
            )
        if not rows[split]:
            _log.info("split %s of %s has no utterance to compute", split, manifests)
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
    nominal = [
        (row.part, row.id, row_bytes(row.id.encode(), frame_bytes * num_frames(row, framing)))
        for row in rows
    ]
    for part in plan_shards(nominal, target):
        yield rows[part.start : part.stop]


def _task(
    split: str,
    rows: Sequence[Utterance],
    storage: Mapping[str, FeatureStorageConfig],
    fingerprints: Mapping[str, str],
    builders: Mapping[tuple[str, str], StoreBuilder],
) -> ShardTask:
    ids, digests = [row.id for row in rows], [row.input_digest for row in rows]
    return ShardTask(
        split=split,
        rows=rows,
        paths={
            name: str(builders[name, split].folder / shard_name(fingerprints[name], ids, digests))
            for name in storage
        },
    )
