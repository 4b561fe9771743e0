"""Tokenization of stored features: feature stores and a codebook in, token stores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from featbank.base.manifest import Utterance, part_order, read_manifest
from featbank.base.notices import AT_WORK, tell
from featbank.base.progress import Advance
from featbank.base.split_names import split_names
from featbank.errors import StoreError
from featbank.numerics import joint_audio, numerics_class, thread_count
from featbank.store import (
    Store,
    StoreHeader,
    StoreWriter,
    commit_together,
    open_verified,
    read_header,
)
from featbank.tokenizers.token_stores import TokenizedFeature, TokenStores


def tokenize(
    *,
    manifests: Path,
    features: Path,
    stores: TokenStores,
    out: Path,
    overwrite: bool = False,
    advance: Advance = lambda _: None,
) -> list[StoreHeader]:
    """Assign every frame of every split its nearest centroid and store the units.

    Args:
        manifests: folder with a manifest a split.
        features: folder with a store a split, of the feature that the codebook was fitted on.
        stores: of the tokens, with the codebook that assigns them.
        out: stores go to `out/units/<split>`, and `out/durations/<split>` where repeats are merged.
        overwrite: replace stores that hold something else.
        advance: told the seconds of audio done.

    Returns:
        The headers of the stores.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
        StoreError: an utterance has no features, or damaged ones, or a store is there that holds
            something else.
    """
    tell(phase="reading features and manifests")
    splits = split_names(manifests)
    sources = {split: open_verified(features / split) for split in splits}
    rows = {split: part_order(read_manifest(manifests / f"{split}.jsonl")) for split in splits}
    for source in sources.values():
        stores.check_features(
            source.fingerprint,
            f"store {source.path}",
            is_whole=source.header.time_axis is None,
        )
    stores.refuse_other_content(out, overwrite=overwrite)
    with ExitStack() as stack, thread_count(1):
        every: list[StoreWriter] = []
        tell(phase=AT_WORK)
        for split, source in sources.items():
            feature = _stored_feature(source)
            writers = {
                name: stack.enter_context(stores.writer(out / name / split, name, feature))
                for name in stores.dtypes
            }
            _tokenize_rows(rows[split], source, stores, writers, advance)
            every += writers.values()
        commit_together(every)
    stores.remove_others(out, splits)
    return [read_header(out / name / split) for split in splits for name in stores.dtypes]


def _stored_feature(source: Store) -> TokenizedFeature:
    header = source.header
    return TokenizedFeature(
        framing=header.framing,
        frame_rate=header.frame_rate,
        first_frame_center_s=header.first_frame_center_s,
        provenance=source.provenance,
        numerics=joint_audio(numerics_class(), header.numerics),
    )


def _tokenize_rows(
    rows: Sequence[Utterance],
    source: Store,
    stores: TokenStores,
    writers: Mapping[str, StoreWriter],
    advance: Advance,
) -> None:
    failed = {failure.id: failure for failure in source.failures}
    for row in rows:
        if row.id in failed:
            for writer in writers.values():
                writer.fail(failed[row.id])
            tell(failures=1)
        else:
            if source.input_digest(row.id) != row.input_digest:
                raise StoreError(
                    f"utterance {row.id!r} of store {source.path} is of other audio",
                    expected=row.input_digest.hex(),
                    got=source.input_digest(row.id).hex(),
                    hint="run python stages/extract.py again",
                )
            tokens = stores.tokens(stores.codebook.assign(source[row.id]))
            for name, writer in writers.items():
                # .T: a writer takes codes with the time axis last, and units as they are
                writer.write(row.id, tokens[name].T, input_digest=row.input_digest, part=row.part)
        advance(row.duration_s)
