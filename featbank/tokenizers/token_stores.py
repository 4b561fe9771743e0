"""Token stores: their contents, names and fingerprints."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featbank.base.framing import Framing
from featbank.base.units import DURATIONS, UNITS, deduplicate
from featbank.errors import CodebookError, ConfigError
from featbank.files.provenance import digest, package_versions
from featbank.store import SHARD_BYTES, Numerics, StoreWriter
from featbank.store.replacing import refuse_other_content
from featbank.store.splits import remove_other_splits, standing_splits
from featbank.tokenizers.codebook import Codebook

TOKENIZE_VERSION = 4
"""Bumped when the same features and codebook give other tokens."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedFeature:
    """The feature of a split that tokens are made of.

    Args:
        framing: its exact frame grid, where there is one.
        frame_rate: frames a second.
        first_frame_center_s: time of the middle of the first frame.
        provenance: how it was made.
        numerics: the class of machine that assigns its units.
    """

    framing: Framing | None
    frame_rate: float | None
    first_frame_center_s: float | None
    provenance: Mapping[str, object]
    numerics: Numerics


@dataclass(frozen=True, kw_only=True)
class TokenStores:
    """The stores of one codebook's tokens: units, and durations where repeats are merged.

    Args:
        codebook: assigns the units.
        merge_repeats: store a run of equal units once, and its length in frames beside it.
        shard_bytes: size around which their shards are cut.
    """

    codebook: Codebook
    merge_repeats: bool = False
    shard_bytes: int = SHARD_BYTES

    def __post_init__(self) -> None:
        """Check that repeats can be merged.

        Raises:
            ConfigError: they are of several codebooks.
        """
        if self.merge_repeats and self.codebook.row_shape:
            raise ConfigError(
                "tokenizer.merge_repeats",
                expected="false with several codebooks: their codes do not repeat together",
                got="true",
            )

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """Dtype of what is stored, by store name."""
        return {
            UNITS: self.codebook.unit_dtype,
            **({DURATIONS: "uint32"} if self.merge_repeats else {}),
        }

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a frame's tokens: `()`, or `(Q,)` of several codebooks."""
        return self.codebook.row_shape

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """What determines the tokens of given features."""
        return {
            "codebook": self.codebook.centroids_digest,
            "feature_fingerprint": self._feature_fingerprint,
            "merge_repeats": self.merge_repeats,
            "tokenize_version": TOKENIZE_VERSION,
        }

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the stores, by name."""
        return {name: digest({**self.made_from, "name": name}) for name in self.dtypes}

    def tokens(self, units: Array) -> dict[str, Array]:
        """Return an utterance's units (T,) or (T, Q) in the form that is stored, by store name."""
        if not self.merge_repeats:
            return {UNITS: units}
        merged, durations = deduplicate(units)
        return {UNITS: merged, DURATIONS: durations}

    def check_features(self, fingerprint: str, where: str, *, is_whole: bool = False) -> None:
        """Refuse features that the codebook was not fitted on, and what has no frames.

        Args:
            fingerprint: of the features.
            where: what holds them.
            is_whole: whether there is one value an utterance.

        Raises:
            CodebookError: they were made in another way.
            ConfigError: there is one value an utterance.
        """
        if is_whole:
            raise ConfigError(
                f"what tokens are made of, {where}",
                expected="features frame by frame",
                got="one value an utterance",
            )
        if fingerprint != self._feature_fingerprint:
            raise CodebookError(
                f"codebook for {where} was fitted on features made in another way",
                expected=f"fingerprint {self._feature_fingerprint[:12]}",
                got=fingerprint[:12],
                hint="fit one on these features: python stages/sample.py, then "
                "python stages/fit.py",
            )

    def refuse_other_content(self, out: Path, *, overwrite: bool) -> None:
        """Refuse to replace stores below `out` that hold something else.

        Raises:
            StoreError: one is there, and `overwrite` is false.
        """
        for name, fingerprint in self.fingerprints.items():
            for split in standing_splits(out / name):
                refuse_other_content(out / name / split, fingerprint, overwrite=overwrite)

    def writer(self, path: Path, name: str, feature: TokenizedFeature) -> StoreWriter:
        """Begin to write one of the stores.

        A unit that stands for a run of frames has no time of its own, and its store states none.

        Args:
            path: of the store.
            name: units or durations.
            feature: that the tokens are made of.
        """
        return StoreWriter(
            path,
            name=name,
            dtype=self.dtypes[name],
            shape=self.row_shape,
            time_axis=-1 if self.row_shape else 0,
            codebook_size=self.codebook.num_clusters if name == UNITS else None,
            fingerprint=self.fingerprints[name],
            provenance={
                **self.made_from,
                "codebook": {
                    "sha256": self.codebook.digest,
                    "num_clusters": self.codebook.num_clusters,
                    "fitted_on": self.codebook.provenance["fitted_on"],
                },
                "feature": dict(feature.provenance),
                "stores": sorted(self.dtypes),
                "versions": package_versions(("numpy", "torch")),
            },
            numerics=feature.numerics,
            shard_bytes=self.shard_bytes,
            framing=feature.framing,
            frame_rate=None if self.merge_repeats else feature.frame_rate,
            first_frame_center_s=None if self.merge_repeats else feature.first_frame_center_s,
        )

    def remove_others(self, out: Path, splits: Collection[str]) -> None:
        """Remove stores below `out` that these, just published, have no longer beside them."""
        for name in self.dtypes:
            remove_other_splits(out / name, splits)
        for name in {UNITS, DURATIONS} - set(self.dtypes):
            shutil.rmtree(out / name, ignore_errors=True)

    @property
    def _feature_fingerprint(self) -> str:
        fitted_on = self.codebook.provenance.get("fitted_on")
        if fitted_on is None:
            raise CodebookError(
                "codebook",
                expected="one that says which features it is for",
                got="one as stages/import_codebook.py writes it",
                hint="name it as imported in a definition of conf/tokenizer, and run python "
                "stages/fit.py",
            )
        found: str = fitted_on["feature_fingerprint"]
        return found
