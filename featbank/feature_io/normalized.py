"""Read features with their mean taken away, and divided by their standard deviation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank import PROGRAM
from featbank.base.manifest import iterate_manifest
from featbank.errors import ConfigError, StoreError
from featbank.feature_io.cmvn import check_features
from featbank.feature_io.cmvn_file import Cmvn, read_cmvn
from featbank.store import Store, open_store

_log = logging.getLogger(__name__)

# of the mean: a deviation that float32 cannot tell from none, as of a value that never changes
_NO_DEVIATION = 1e-6
_UNKNOWN = -1  # place of an utterance that no manifest has


class NormalizedStore:
    """Reads a store by utterance id, normalized by statistics of the corpus or of the speaker.

    A value is (x - mean) / deviation of all frames, or of those of the utterance's speaker, whoever
    that is: held-out speakers have statistics of their own where the file has them. An utterance
    without a speaker, or of one that the file has no statistics of, gets those of all frames; how
    many are of such speakers is logged. A value that is always the same becomes 0.
    """

    def __init__(
        self,
        store: Store | str | Path,
        cmvn: Cmvn | str | Path,
        *,
        manifests: Iterable[str | Path] = (),
        variance: bool = True,
    ) -> None:
        """Open.

        Args:
            store: of features, or its path.
            cmvn: the statistics, or the path of their file.
            manifests: of the utterances, which say who speaks; statistics of a corpus need none.
            variance: False takes the mean away, and no more.

        Raises:
            StoreError: the statistics are of another store, or unreadable, or the store holds no
                features.
            ConfigError: statistics of speakers, and no manifest.
            ManifestError: a manifest is missing or malformed.
        """
        self.store = store if isinstance(store, Store) else open_store(store)
        found = cmvn if isinstance(cmvn, Cmvn) else read_cmvn(cmvn)
        check_features(self.store)
        if found.fingerprint != self.store.fingerprint or found.means.shape[1:] != self.store.shape:
            raise StoreError(
                f"statistics for store {self.store.path}",
                expected=f"those of its features: fingerprint {self.store.fingerprint}",
                got=f"{found.fingerprint}, of shape {found.means.shape[1:]}",
                hint=f"compute them anew: {PROGRAM} cmvn",
            )
        self._dtype = np.dtype(np.float64 if self.store.dtype == np.float64 else np.float32)
        self._means = found.means.astype(self._dtype)
        self._factors = _factors(found, variance).astype(self._dtype)
        self._places = None if found.by == "corpus" else _places(self.store, found, manifests)

    @property
    def name(self) -> str:
        """Name of the feature."""
        return self.store.name

    @property
    def storage_path(self) -> Path | str:
        """Folder of the store, or its URL."""
        return self.store.storage_path

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as they are read: float32, or float64 of a store that has it."""
        return self._dtype

    def __getitem__(self, utterance_id: str) -> npt.NDArray[Any]:
        """Return all frames of an utterance, (T, *shape)."""
        return self.read(utterance_id)

    def read(
        self,
        key: str,
        /,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = False,  # noqa: ARG002 - the contract's: what is computed is a copy
    ) -> npt.NDArray[Any]:
        """Return frames of an utterance, as `Store.read` does, in memory of their own.

        Raises:
            StoreError: as `Store.read` does, or no manifest says who speaks.
        """
        values = self.store.read(key, left_offset_frames, right_offset_frames, strict=strict)
        return self._normalized(key, values)

    def read_many(self, utterance_ids: Iterable[str]) -> Iterator[npt.NDArray[Any]]:
        """Read all frames of utterances, in the order that is given; see `Store.read_many`.

        Raises:
            StoreError: as of `read`.
        """
        ids, asked = tee(utterance_ids)
        for key, values in zip(ids, self.store.read_many(asked), strict=True):
            yield self._normalized(key, values)

    def _normalized(self, key: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        place = 0 if self._places is None else self._places[self.store.row_number(key)]
        if place == _UNKNOWN:
            raise StoreError(
                f"utterance {key!r} of store {self.store.path}",
                expected="a row in the manifests, which says who speaks",
                got="none",
            )
        normalized: npt.NDArray[Any] = np.subtract(values, self._means[place], dtype=self._dtype)
        normalized *= self._factors[place]
        return normalized

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""
        return key in self.store

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.store)

    def close(self) -> None:
        """Let go of what is open."""
        self.store.close()


def normalized_readers(
    stores: Mapping[str, Store],
    cmvn: Mapping[str, Cmvn | str | Path],
    manifests: Sequence[str | Path],
) -> dict[str, Store | NormalizedStore]:
    """Return what reads the values of each store: those with statistics are normalized.

    Raises:
        ConfigError, StoreError, ManifestError: as of `NormalizedStore`, or there are statistics of
            a store that is not there.
    """
    if unknown := sorted(cmvn.keys() - stores.keys()):
        raise ConfigError("cmvn", expected=f"among {', '.join(stores)}", got=", ".join(unknown))
    return {
        name: NormalizedStore(store, cmvn[name], manifests=manifests) if name in cmvn else store
        for name, store in stores.items()
    }


def _factors(cmvn: Cmvn, variance: bool) -> npt.NDArray[np.float64]:
    """Return what deviations from the mean are multiplied by, (1 + S, *shape)."""
    if not variance:
        return np.ones_like(cmvn.means)
    deviations = np.sqrt(cmvn.variances)
    is_constant = deviations <= _NO_DEVIATION * np.abs(cmvn.means)
    return np.where(is_constant, 0.0, 1 / np.where(is_constant, 1.0, deviations))


def _places(store: Store, cmvn: Cmvn, manifests: Iterable[str | Path]) -> npt.NDArray[np.int32]:
    """Return which statistics each utterance of a store is normalized by, (len(store),)."""
    places = np.full(len(store), _UNKNOWN, np.int32)
    paths = list(manifests)
    if not paths:
        raise ConfigError(
            f"manifests of store {store.path}",
            expected="one or more, for statistics of speakers",
            got="none",
        )
    unknown = set[str]()
    for path in paths:
        for row in iterate_manifest(path):
            if row.id in store:
                place = cmvn.place_of(row.speaker)
                places[store.row_number(row.id)] = place
                if not place and row.speaker:
                    unknown.add(row.speaker)
    if unknown:
        _log.warning(
            "no statistics of %d speakers, such as %r: their utterances are normalized by those of "
            "all frames", len(unknown), min(unknown),
        )  # fmt: skip
    return places
