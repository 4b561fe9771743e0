"""Means and variances of stored features, of a corpus or of each speaker: a small file of its own.

Frames are gone through in the order of the manifests, in float64: an utterance's mean and squared
deviations are joined to those of the ones before it by the formula of Chan, Golub and LeVeque
(1983), which loses no digits where means are large. So the bytes follow from the stored values
alone, however the store is cut into shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.manifest import Utterance, iterate_manifest
from featbank.base.split_names import split_names
from featbank.errors import ConfigError, StoreError
from featbank.feature_io.cmvn_file import BY, Cmvn
from featbank.store import HEADER_NAME, Store, open_verified
from featbank.store.remote.elsewhere import path_here

TRAIN = "train"
"""The split that statistics of a corpus are of, unless others are named."""

_BLOCK = 1 << 14  # frames that are in memory as float64
_HINT = "run python stages/extract.py again"


def compute_cmvn(
    features: str | Path,
    manifests: str | Path,
    *,
    by: str,
    splits: Sequence[str] | None = None,
    advance: Callable[[float], object] = lambda _: None,
) -> Cmvn:
    """Compute the mean and the variance of a feature, of a corpus or of each speaker in it.

    Args:
        features: folder with a store a split, of one feature, or the one above it.
        manifests: folder with a manifest a split, which say who speaks.
        by: `corpus` or `speaker`; of speakers, those of all frames are there besides.
        splits: whose frames count. By default `train` by corpus, for nothing of what is held out
            may be known in training; and all by speaker, for each speaker has statistics of their
            own, as in Kaldi.
        advance: told the seconds of audio done.

    Raises:
        ConfigError: another `by`, one store in the place of a folder of them, a split that is not
            there, or nobody speaks in the manifests.
        StoreError: the values are no features, or are damaged, or not finite, or are not those of
            the manifests; or the store is elsewhere.
        ManifestError: a manifest is missing or malformed.
    """
    if by not in BY:
        raise ConfigError("cmvn: by", expected=" or ".join(BY), got=repr(by))
    stores = _open(path_here(features), _chosen_splits(Path(manifests), by, splits))
    first = next(iter(stores.values()))
    every, of_speakers, seen = _FrameMoments(first.shape), dict[str, _FrameMoments](), sha256()
    for split, store in stores.items():
        for row, values in _rows(Path(manifests, f"{split}.jsonl"), store, advance):
            of_row = _FrameMoments.of(values, f"utterance {row.id!r} of store {store.path}")
            every.add(of_row)
            if by == "speaker" and row.speaker:
                of_speakers.setdefault(row.speaker, _FrameMoments(first.shape)).add(of_row)
            seen.update(row.id.encode() + b"\0" + row.input_digest)
    if not every.num_frames:
        raise StoreError(f"features {features}", expected="frames", got="none")
    if by == "speaker" and not of_speakers:
        raise ConfigError(
            f"speakers in {manifests}", expected="one or more", got="none", hint="say by=corpus"
        )
    speakers = sorted(of_speakers)
    moments = [every, *(of_speakers[name] for name in speakers)]
    return Cmvn(
        speakers=tuple(speakers),
        num_frames=np.array([one.num_frames for one in moments], np.int64),
        means=np.stack([one.mean for one in moments]),
        variances=np.stack([one.variance for one in moments]),
        provenance={
            "by": by,
            "splits": list(stores),
            "feature": first.name,
            "fingerprint": first.fingerprint,
            "corpus": dict(first.provenance.get("corpus", {})),
            "utterances": seen.hexdigest(),
        },
    )


def check_features(store: Store) -> None:
    """Refuse a store that holds no features: tokens and codes have no mean.

    Raises:
        StoreError: it does not.
    """
    if store.dtype.kind != "f" or store.header.time_axis == -1:
        raise StoreError(
            f"store {store.path}", expected="features, which are floats", got=store.dtype.name
        )


def _chosen_splits(manifests: Path, by: str, splits: Sequence[str] | None) -> Sequence[str]:
    there = split_names(manifests)
    chosen = splits or ([TRAIN] if by == "corpus" else there)
    if lacking := [split for split in chosen if split not in there]:
        raise ConfigError(
            "cmvn: splits", expected=f"among {', '.join(there)}", got=", ".join(lacking),
            hint="name those that are trained on",
        )  # fmt: skip
    return [split for split in there if split in chosen]


def _open(features: Path, splits: Sequence[str]) -> dict[str, Store]:
    """Open the stores of one feature, by split."""
    if (features / HEADER_NAME).exists():
        raise ConfigError(
            f"features {features}", expected="a folder with a store a split", got="one store",
            hint=f"give {features.parent}, and name the split {features.name}",
        )  # fmt: skip
    folder = _folder_of_splits(features, splits[0])
    stores: dict[str, Store] = {split: open_verified(folder / split) for split in splits}
    first = stores[splits[0]]
    for store in stores.values():
        check_features(store)
        if (store.fingerprint, store.shape) != (first.fingerprint, first.shape):
            raise StoreError(
                f"store {store.path}",
                expected=f"features made as those of {first.path}: {first.fingerprint}",
                got=store.fingerprint,
                hint=_HINT,
            )
    return stores


def _folder_of_splits(features: Path, split: str) -> Path:
    """Return the folder with a store a split: `features`, or the only such in it, as stages write.

    Raises:
        ConfigError: there are several, of features that one stage made.
    """
    if (features / split / HEADER_NAME).exists():
        return features
    found = sorted(one.parent.parent for one in features.glob(f"[!.]*/{split}/{HEADER_NAME}"))
    if len(found) > 1:
        raise ConfigError(
            f"features {features}", expected="the stores of one feature",
            got=", ".join(one.name for one in found), hint=f"give one of them: {found[0]}",
        )  # fmt: skip
    return found[0] if found else features


def _rows(
    manifest: Path, store: Store, advance: Callable[[float], object]
) -> Iterator[tuple[Utterance, npt.NDArray[Any]]]:
    """Give each utterance of a manifest, in its order, with its stored frames (T, *shape)."""
    failed = {failure.id for failure in store.failures}
    for row in iterate_manifest(manifest):
        if row.id not in failed:
            if row.id not in store or store.input_digest(row.id) != row.input_digest:
                raise StoreError(
                    f"utterance {row.id!r} of {manifest}",
                    expected=f"its values in store {store.path}",
                    got="those of other audio" if row.id in store else "none",
                    hint=_HINT,
                )
            values = store[row.id]
            yield row, values[None] if store.header.time_axis is None else values
        advance(row.duration_s)


@dataclass(slots=True)
class _FrameMoments:
    """Number, mean and squared deviations of frames.

    Attributes:
        shape: of a frame.
    """

    shape: tuple[int, ...]
    num_frames: int = 0
    mean: npt.NDArray[np.float64] = field(init=False)
    deviations: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.deviations = np.zeros(self.shape), np.zeros(self.shape)

    @classmethod
    def of(cls, frames: npt.NDArray[Any], where: str) -> _FrameMoments:
        """Return those of the frames (T, *shape) of an utterance, one block after the other.

        Raises:
            StoreError: a value is not finite.
        """
        found = cls(frames.shape[1:])
        for start in range(0, len(frames), _BLOCK):
            block = frames[start : start + _BLOCK].astype(np.float64)
            if not np.isfinite(block).all():
                raise StoreError(where, expected="finite values", got="NaN or infinity")
            of_block = cls(frames.shape[1:])
            of_block.num_frames = len(block)
            of_block.mean = block.mean(axis=0)
            of_block.deviations = ((block - of_block.mean) ** 2).sum(axis=0)
            found.add(of_block)
        return found

    def add(self, other: _FrameMoments) -> None:
        """Join the moments of other frames to these."""
        total = self.num_frames + other.num_frames
        if not other.num_frames:
            return
        apart = other.mean - self.mean
        self.mean = self.mean + apart * (other.num_frames / total)
        weight = self.num_frames * other.num_frames / total
        self.deviations = self.deviations + other.deviations + apart**2 * weight
        self.num_frames = total

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Mean squared deviation, as Kaldi has it: by the number of frames, not one less."""
        return self.deviations / self.num_frames
