"""Drawing, pinning and writing of the sample of utterances that a codebook is fitted on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Container, Sequence
from pathlib import Path

from featbank.base.manifest import Utterance
from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.base.split_names import in_order
from featbank.errors import ConfigError, CorpusError, StoreError
from featbank.files.opening import instead_of_file, read_regular
from featbank.files.provenance import digest, write_atomic
from featbank.store import SHARD_BYTES, Store, StoreWriter, find_encoding, open_verified
from featbank.store.replacing import refuse_other_content

_log = logging.getLogger(__name__)

# what the header of a feature store says of its values; a licence or a version of a library may
# change without them, and must not change the sample, or the codebook would be fitted anew
_VALUES = ("extractor", "decode_version")

_MAX_BYTES = 256 << 20  # of a list of ids


def draw_sample(utterances: Sequence[Utterance], *, hours: float, seed: int) -> list[str]:
    """Draw ids until they hold `hours` of audio: by the order of a seeded hash, all if too few.

    Returns:
        The ids, sorted.

    Raises:
        ConfigError: `hours` is not over 0.
        CorpusError: there is nothing to draw from.
    """
    if not hours > 0:
        raise ConfigError("hours", expected="over 0", got=hours)
    if not utterances:
        raise CorpusError("utterances to draw a sample from", expected="one or more", got="none")
    drawn, seconds = [], 0.0
    for row in sorted(utterances, key=lambda row: digest([seed, row.id])):
        if seconds >= hours * 3600:
            break
        drawn.append(row.id)
        seconds += row.duration_s
    return sorted(drawn)


def present_splits(wanted: Sequence[str], there: Collection[str], corpus: str) -> list[str]:
    """Return those splits to train on that exist; the others are logged.

    Args:
        wanted: by the definition of the corpus.
        there: splits that the corpus has.
        corpus: its name.

    Raises:
        CorpusError: there is none.
    """
    found = [split for split in wanted if split in there]
    lacking = [split for split in wanted if split not in there]
    if not found:
        raise CorpusError(
            f"splits of {corpus} to train on",
            expected=" or ".join(wanted) or "one or more",
            got=", ".join(in_order(there)) or "no split",
            hint="name them in the definition of the corpus: train: [SPLIT, ...]",
        )
    if lacking:
        told = ", ".join(lacking)
        _log.warning("%s has no split %s, which its definition trains on", corpus, told)
    return found


def write_pins(path: Path, ids: Sequence[str], *, how: str) -> None:
    """Write the ids that a codebook is fitted on, one a line, under a comment on the drawing."""
    write_atomic(path, f"# {how}\n" + "".join(f"{name}\n" for name in ids))


def read_pins(path: Path) -> list[str]:
    """Read the ids that a codebook is fitted on, below one line that says how they were drawn.

    Raises:
        CorpusError: there is no such list, it is empty or no text, or it names an id twice.
    """
    draw = f"python stages/sample.py pin=true fit_on={path.parent.name} corpus={path.stem}"
    hint = f"draw one and commit it: {draw}"
    if (got := instead_of_file(path)) is not None:
        raise CorpusError(f"pinned ids {path}", expected="a file", got=got, hint=hint)
    try:
        first, *lines = read_regular(path, _MAX_BYTES).decode().split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"pinned ids {path}", expected="UTF-8 text", got=error) from error
    # only the first line may be a comment: an id may begin with # too
    ids = [line for line in ([] if first.startswith("# ") else [first]) + lines if line]
    if not ids:
        raise CorpusError(f"pinned ids {path}", expected="an id or more", got="none", hint=hint)
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise CorpusError(f"pinned ids {path}", expected="each id once", got=f"{twice!r} twice")
    return ids


def refuse_codes(dtype: str, where: str) -> None:
    """Refuse to fit a codebook on codes, whose values are names.

    Args:
        dtype: that they are stored as.
        where: what holds them.

    Raises:
        ConfigError: they are integers, as codes alone are.
    """
    if find_encoding(dtype).read.kind != "f":
        raise ConfigError(
            f"what a codebook is fitted on, {where}",
            expected="features, whose values are floats",
            got=f"{dtype} codes",
            hint="codes are tokens already: train on them as they are",
        )


def refuse_whole(where: str, *, is_whole: bool) -> None:
    """Refuse to fit a codebook on one value an utterance, whose tokens would have no frames.

    Args:
        where: what holds them.
        is_whole: whether that is so.

    Raises:
        ConfigError: it is.
    """
    if is_whole:
        raise ConfigError(
            f"what a codebook is fitted on, {where}",
            expected="features frame by frame",
            got="one value an utterance",
        )


def refuse_layers(shape: Sequence[int], where: str) -> None:
    """Refuse to fit a codebook on frames that are no vectors, such as all layers of an encoder.

    Args:
        shape: of a frame.
        where: what holds them.

    Raises:
        ConfigError: a frame is another array than (D,).
    """
    if len(shape) != 1:
        raise ConfigError(
            f"what a codebook is fitted on, {where}",
            expected="a vector a frame",
            got=f"shape {tuple(shape)}",
            hint="choose one layer, or a mix of them: feature.extractor.layers",
        )


def refuse_missing_pins(
    pins: Path, ids: Sequence[str], found: Container[str], places: Sequence[Path]
) -> None:
    """Refuse a list of pinned ids of which some are nowhere.

    Args:
        pins: the list.
        ids: that stand in it.
        found: those of them that are somewhere.
        places: that were looked through.

    Raises:
        CorpusError: one is not.
    """
    if missing := sorted(name for name in ids if name not in found):
        raise CorpusError(
            f"pinned ids {pins}",
            expected=f"all of its {len(ids)} ids in {' or '.join(map(str, places))}",
            got=f"{len(missing)} missing, the first {missing[0]!r}",
            hint="bring them back, or pin anew (which refits the codebook): "
            f"python stages/sample.py pin=true fit_on={pins.parent.name} corpus={pins.stem}",
        )


def write_sample(
    *,
    features: Sequence[Path],
    pins: Path,
    out: Path,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
    advance: Advance = lambda _: None,
) -> int:
    """Copy the pinned utterances of feature stores into a store of their own.

    Its bytes follow from those utterances alone, so that it stays as it is when the corpus grows.

    Args:
        features: stores of one feature: of the splits to train on.
        pins: list of pinned ids.
        out: the sample store.
        shard_bytes: size around which its shards are cut.
        overwrite: replace a sample of features that were made in another way.
        advance: told each utterance that is copied.

    Returns:
        The number of utterances.

    Raises:
        ConfigError: they are codes, or a frame is no vector.
        CorpusError: a pinned id is no longer in the features.
        StoreError: the features are damaged, or a sample is there already of features that were
            made in another way.
    """
    tell(phase="reading features")
    ids = read_pins(pins)
    sources = _open_sources(features)
    source_of = {name: source for name in ids for source in sources if name in source}
    refuse_missing_pins(pins, ids, source_of, features)
    header = sources[0].header
    refuse_other_content(out, header.fingerprint, overwrite=overwrite)
    tell(phase="writing the sample")
    with StoreWriter(
        out,
        name=header.name,
        dtype=header.dtype,
        shape=header.shape,
        frame_rate=header.frame_rate,
        first_frame_center_s=header.first_frame_center_s,
        framing=header.framing,
        fingerprint=header.fingerprint,
        provenance={key: header.provenance[key] for key in _VALUES if key in header.provenance},
        shard_bytes=shard_bytes,
    ) as writer:
        for name in ids:
            source = source_of[name]
            writer.write(name, source[name], input_digest=source.input_digest(name))
            advance(1)
    return len(ids)


def _open_sources(features: Sequence[Path]) -> Sequence[Store]:
    """Open stores of one feature that codebooks can be fitted on.

    Raises:
        ConfigError: they are codes, or a frame is no vector.
        StoreError: one is damaged, or was made in another way than the first.
    """
    first, *others = sources = [open_verified(path) for path in features]
    header, where = first.header, f"store {first.path}"
    refuse_codes(header.dtype, where)
    refuse_layers(header.shape, where)
    refuse_whole(where, is_whole=header.time_axis is None)
    for source in others:
        if source.fingerprint != header.fingerprint:
            raise StoreError(
                f"store {source.path} was made in another way than {where}",
                expected=f"fingerprint {header.fingerprint[:12]}",
                got=source.fingerprint[:12],
                hint="run python stages/extract.py again",
            )
    return sources
