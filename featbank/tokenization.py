"""Tokenization: feature stores and a codebook in, token stores out."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featbank.errors import CodebookError, StoreError
from featbank.manifest import SPLITS, Utterance, part_order, read_manifest
from featbank.numerics import numerics_class, thread_count
from featbank.progress import Advance
from featbank.provenance import digest, package_versions
from featbank.store import (
    SHARD_BYTES,
    Store,
    StoreHeader,
    StoreWriter,
    commit_together,
    open_store,
    read_header,
)
from featbank.store.replacing import refuse_other_content
from featbank.tokenizers.codebook import Codebook
from featbank.units import DURATIONS, UNITS, deduplicate

TOKENIZE_VERSION = 1
"""Bumped when the same features and codebook give other tokens."""


def tokenize(
    *,
    manifests: Path,
    features: Path,
    codebook: Codebook,
    out: Path,
    merge_repeats: bool = False,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
    advance: Advance = lambda _: None,
) -> list[StoreHeader]:
    """Assign every frame of every split its nearest centroid and store the units.

    Args:
        manifests: folder with a manifest a split.
        features: folder with a store a split, of the feature that the codebook was fitted on.
        codebook: read from its file.
        out: stores go to `out/units/<split>`, and `out/durations/<split>` where repeats are merged.
        merge_repeats: store a run of equal units once, and its length in frames beside it.
        shard_bytes: size around which shards are cut.
        overwrite: replace stores that hold something else.
        advance: told the seconds of audio done.

    Returns:
        The headers of the stores.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
        StoreError: an utterance has no features, or a store is there that holds something else.
    """
    made_from = {
        "codebook": codebook.centroids_digest,
        "feature_fingerprint": codebook.provenance["fitted_on"]["feature_fingerprint"],
        "merge_repeats": merge_repeats,
        "tokenize_version": TOKENIZE_VERSION,
    }
    dtypes = {UNITS: codebook.unit_dtype, **({DURATIONS: "uint32"} if merge_repeats else {})}
    fingerprints = {name: digest({**made_from, "name": name}) for name in dtypes}
    sources = {split: open_store(features / split) for split in SPLITS}
    rows = {split: part_order(read_manifest(manifests / f"{split}.jsonl")) for split in SPLITS}
    for split in SPLITS:
        _refuse_other_features(sources[split], codebook)
        for name, fingerprint in fingerprints.items():
            refuse_other_content(out / name / split, fingerprint, overwrite=overwrite)
    with contextlib.ExitStack() as stack, thread_count(1):
        every: list[StoreWriter] = []
        for split, source in sources.items():
            writers = {
                name: stack.enter_context(
                    StoreWriter(
                        out / name / split,
                        name=name,
                        dtype=dtype,
                        shape=(),
                        codebook_size=codebook.num_clusters if name == UNITS else None,
                        fingerprint=fingerprints[name],
                        provenance=_provenance(source, codebook, made_from),
                        numerics=numerics_class(),
                        shard_bytes=shard_bytes,
                        framing=source.header.framing,
                        **({} if merge_repeats else _frame_times(source)),
                    )
                )
                for name, dtype in dtypes.items()
            }
            _tokenize_rows(rows[split], source, codebook, writers, advance)
            every += writers.values()
        commit_together(every)
    for name in {UNITS, DURATIONS} - set(dtypes):
        # of units that were merged, and have just been replaced
        shutil.rmtree(out / name, ignore_errors=True)
    return [read_header(out / name / split) for split in SPLITS for name in dtypes]


def _tokenize_rows(
    rows: Sequence[Utterance],
    source: Store,
    codebook: Codebook,
    writers: dict[str, StoreWriter],
    advance: Advance,
) -> None:
    failed = {failure.id: failure for failure in source.failures}
    for row in rows:
        if row.id in failed:
            for writer in writers.values():
                writer.fail(failed[row.id])
        else:
            if source.input_digest(row.id) != row.input_digest:
                raise StoreError(
                    f"utterance {row.id!r} of store {source.path} is of other audio",
                    expected=row.input_digest.hex(),
                    got=source.input_digest(row.id).hex(),
                    hint="run python stages/extract.py again",
                )
            tokens = {UNITS: codebook.assign(source[row.id])}
            if DURATIONS in writers:
                tokens[UNITS], tokens[DURATIONS] = deduplicate(tokens[UNITS])
            for name, writer in writers.items():
                writer.write(row.id, tokens[name], input_digest=row.input_digest, part=row.part)
        advance(row.duration_s)


def _refuse_other_features(source: Store, codebook: Codebook) -> None:
    expected = codebook.provenance["fitted_on"]["feature_fingerprint"]
    if source.header.fingerprint != expected:
        raise CodebookError(
            f"codebook for store {source.path} was fitted on features made in another way",
            expected=f"fingerprint {expected[:12]}",
            got=source.header.fingerprint[:12],
            hint="fit one on these features: python stages/sample.py, then python stages/fit.py",
        )


def _provenance(source: Store, codebook: Codebook, made_from: dict[str, Any]) -> dict[str, Any]:
    return {
        **made_from,
        "codebook": {
            "sha256": codebook.digest,
            "num_clusters": codebook.num_clusters,
            "fitted_on": codebook.provenance["fitted_on"],
        },
        "feature": dict(source.provenance),
        "stores": sorted([UNITS, DURATIONS] if made_from["merge_repeats"] else [UNITS]),
        "versions": package_versions(("numpy", "torch")),
    }


def _frame_times(source: Store) -> dict[str, Any]:
    """Say when frames are; a unit that stands for a run of them has no time of its own."""
    header = source.header
    return {
        "frame_rate": header.frame_rate,
        "first_frame_center_s": header.first_frame_center_s,
    }
