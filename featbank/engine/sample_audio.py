"""The sample a codebook is fitted on, straight from audio: where no feature store is to be had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from featbank.base.manifest import SPLITS, iterate_manifest, write_manifest
from featbank.engine.extract import Extraction
from featbank.engine.work import WorkFolder
from featbank.errors import CorpusError
from featbank.store import SHARD_BYTES
from featbank.tokenizers.sample import read_pins, write_sample


def sample_audio(
    *,
    manifest: Path,
    pins: Path,
    feature: str,
    compute: Callable[[Path, Path], Extraction],
    out: Path,
    work: Path,
    keep_work: bool = False,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
) -> tuple[int, Extraction]:
    """Compute the features of the pinned utterances alone and write the sample store.

    It is the one that `sampling.write_sample` copies from a feature store, byte for byte.

    Args:
        manifest: that the pinned utterances are rows of.
        pins: list of pinned ids.
        feature: name of the feature.
        compute: calls `extract` with a folder of manifests and the folder of the stores to be,
            where a stopped run may have left others that it replaces.
        out: the sample store.
        work: takes the features of the sample until it is written.
        keep_work: leave them there, as `extract` leaves its work folder.
        shard_bytes: size around which the sample's shards are cut.
        overwrite: replace a sample of features that were made in another way.

    Returns:
        The number of utterances, and the extraction.

    Raises:
        CorpusError: a pinned id is not in the manifest.
        StoreError: a sample is there already of features that were made in another way.
    """
    pinned = set(read_pins(pins))
    rows = [row for row in iterate_manifest(manifest) if row.id in pinned]
    if missing := sorted(pinned - {row.id for row in rows}):
        raise CorpusError(
            f"pinned ids {pins}",
            expected=f"all of its {len(pinned)} ids in {manifest}",
            got=f"{len(missing)} missing, the first {missing[0]!r}",
            hint="bring them back, or pin anew (which refits the codebook): "
            f"python stages/sample.py pin=true corpus={pins.stem}",
        )
    manifests, features = work / "manifests", work / "features"
    for split in SPLITS:
        write_manifest(manifests / f"{split}.jsonl", rows if split == "train" else [])
    with WorkFolder(features) as folder:
        extraction = compute(manifests, features)
        num_utterances = write_sample(
            features=features / feature / "train",
            pins=pins,
            out=out,
            shard_bytes=shard_bytes,
            overwrite=overwrite,
        )
        folder.finish([out], keep=keep_work)
    shutil.rmtree(manifests)
    return num_utterances, extraction
