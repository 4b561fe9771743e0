"""Inertia of a codebook, measured on a drawn sample of held-out features."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.manifest import Utterance
from featbank.base.split_names import in_order
from featbank.errors import CodebookError, StoreError
from featbank.files.provenance import digest
from featbank.store import Store, open_verified
from featbank.tokenizers.codebook_file import read_codebook
from featbank.validation.inertia import HeldOutInertia, SplitInertia
from featbank.validation.rounding import six_digits

_BLOCK_DISTANCES = 1 << 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Settings of the measurement of held-out inertia.

    Args:
        codebook: file of the centroids.
        features: folder of the feature stores, `<feature name>/<split>`; None where there are none.
        splits: that nothing is fitted on, by the corpus's definition.
        num_utterances: at most, of each split, drawn by a seeded hash of their ids.
        seed: of the hash.
    """

    codebook: Path
    features: Path | None
    splits: Sequence[str]
    num_utterances: int
    seed: int

    def measure(self, rows: Mapping[str, Sequence[Utterance]]) -> HeldOutInertia:
        """Measure the inertia on the held-out splits of the manifests `rows`."""
        lacking = {
            split: "the corpus has no such split" for split in self.splits if split not in rows
        }
        if not self.splits:
            return HeldOutInertia(absent="the corpus's definition holds no split out")
        if len(lacking) == len(self.splits):
            return HeldOutInertia(
                absent="the corpus has no split that its definition holds out", lacking=lacking
            )
        if self.features is None:
            return HeldOutInertia(absent="the features are not stored", lacking=lacking)
        try:
            centroids, provenance = read_codebook(self.codebook)
            origin = provenance["fitted_on"]
            name, fingerprint = origin["feature"], origin["feature_fingerprint"]
            fitted = _fitted_inertia(provenance)
        except (CodebookError, OSError, KeyError, TypeError, ValueError):
            return HeldOutInertia(absent="the codebook cannot be read", lacking=lacking)
        codebooks = centroids.reshape(-1, *centroids.shape[-2:]).astype(np.float64)
        splits: dict[str, SplitInertia] = {}
        for split in in_order(set(self.splits) - set(lacking)):
            try:
                store = open_verified(self.features / name / split)
                if (store.fingerprint, store.shape) != (fingerprint, codebooks.shape[2:]):
                    absent = "the features are not those that the codebook is for"
                    return HeldOutInertia(absent=absent, fitted=fitted, lacking=lacking)
                found = self._measure_split(store, rows[split], codebooks)
            except StoreError:  # a finding of the check of the features
                absent = "the feature store is missing or damaged"
                return HeldOutInertia(absent=absent, fitted=fitted, lacking=lacking)
            if found.num_frames:
                splits[split] = found
            else:
                lacking[split] = "no frame of it is stored"
        return HeldOutInertia(fitted=fitted, splits=splits, lacking=lacking)

    def _measure_split(
        self, store: Store, rows: Iterable[Utterance], codebooks: Floats
    ) -> SplitInertia:
        drawn = nsmallest(
            self.num_utterances,
            (row.id for row in rows if row.id in store),
            key=lambda utterance_id: digest([self.seed, utterance_id]),
        )
        total, num_frames = 0.0, 0
        for utterance_id in sorted(drawn):
            frames = np.asarray(store[utterance_id], np.float64)
            # NaN and infinity are findings of the check of the features
            distances = squared_distances(frames[np.isfinite(frames).all(axis=1)], codebooks)
            total += float(distances.sum())
            num_frames += len(distances)
        return SplitInertia(
            num_utterances=len(drawn),
            num_frames=num_frames,
            mean_squared_distance=six_digits(total / max(1, num_frames)),
        )


def features_of_tokens(
    option: str,
    stored: Path,
    *,
    tokens: Mapping[str, str],
    tokens_from_audio: Collection[str],
) -> Path | None:
    """Return the folder of the features that a choice of tokens is made of, if they are stored.

    Args:
        option: of the tokens: `<feature>-<tokenizer>`.
        stored: folder of the features of the corpus.
        tokens: the feature of each choice of tokens that are made of stored features.
        tokens_from_audio: choices of tokens whose features are not stored; what lies there under
            their name lies there by chance.
    """
    if option in tokens:
        return stored / tokens[option]
    if option in tokens_from_audio or not stored.is_dir():
        return None
    # made by hand: the feature with the longest name that the option can be of
    names = sorted((path.name for path in stored.iterdir()), key=len)
    return next((stored / one for one in reversed(names) if option.startswith(f"{one}-")), None)


def squared_distances(frames: Floats, codebooks: Floats) -> Floats:
    """Return the squared distances (T,) of frames (T, D) to their reconstructions by codebooks.

    Each codebook takes its nearest centroid from what the ones before it leave.

    >>> frames = np.array([[0.0, 0.0], [3.0, 4.0]])
    >>> squared_distances(frames, np.array([[[0.0, 1.0], [3.0, 0.0]]]))
    array([ 1., 16.])
    >>> squared_distances(frames, np.array([[[0.0, 1.0], [3.0, 0.0]], [[0.0, -1.0], [0.0, 3.0]]]))
    array([0., 1.])
    """
    norms = np.square(codebooks).sum(axis=2)
    step = max(1, _BLOCK_DISTANCES // codebooks.shape[1])
    found = np.empty(len(frames))
    for start in range(0, len(frames), step):
        left = frames[start : start + step]
        for centroids, norm in zip(codebooks, norms, strict=True):
            # |x - c|^2 = |x|^2 + |c|^2 - 2 x c, of which the first is the same for all centroids
            left = left - centroids[(norm - 2 * left @ centroids.T).argmin(axis=1)]
        found[start : start + step] = np.square(left).sum(axis=1)
    return found


def _fitted_inertia(provenance: Mapping[str, Any]) -> float | None:
    """Return the inertia of a codebook on the frames that it was fitted on.

    None of an imported one: its file tells that on a sample of ours, which it was not fitted on.
    """
    if "imported" in provenance:
        return None
    *_, fitted = provenance["mean_squared_distances"]
    return six_digits(fitted)
