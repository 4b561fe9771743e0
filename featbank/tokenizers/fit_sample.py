"""The sample that a codebook is fitted on: of one corpus, or of several that are joined."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import StoreError
from featbank.store import HEADER_NAME, ShardInfo, Store, StoreHeader, open_verified
from featbank.store.splits import standing_splits


class JoinedSample:
    """The samples of several corpora as one, each utterance under `<corpus>/<id>`.

    A sample is some hours: its ids are held in memory.

    Args:
        stores: one a corpus, of the same feature, by its name.

    Raises:
        StoreError: they are not all made in the same way.
    """

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = dict(sorted(stores.items()))
        first, *others = self._stores.values()
        for other in others:
            if (other.name, other.fingerprint) != (first.name, first.fingerprint):
                raise StoreError(
                    f"sample {other.path} is of features made in another way than {first.path}",
                    expected=f"{first.name}, fingerprint {first.fingerprint[:12]}",
                    got=f"{other.name}, {other.fingerprint[:12]}",
                    hint="run python stages/extract.py and python stages/sample.py again",
                )
        self.header: StoreHeader = first.header
        self.path = Path(first.path).parent
        self.ids = tuple(
            f"{corpus}/{name}" for corpus, store in self._stores.items() for name in store.ids
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, utterance_id: str) -> npt.NDArray[Any]:
        corpus, _, name = utterance_id.partition("/")
        return self._stores[corpus][name]

    @property
    def name(self) -> str:
        """Name of the feature."""
        return self.header.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the feature."""
        return self.header.fingerprint

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return self.header.shape

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Provenance of the features, which is the same for all corpora."""
        return self.header.provenance

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """Shards of all corpora."""
        return tuple(shard for store in self._stores.values() for shard in store.shards)

    @property
    def frame_counts(self) -> npt.NDArray[np.int64]:
        """Number of frames of every utterance, in the order of `ids`: (len(self),)."""
        return np.concatenate([store.frame_counts for store in self._stores.values()])

    @property
    def num_frames_total(self) -> int:
        """Number of frames of all utterances."""
        return sum(store.num_frames_total for store in self._stores.values())


Sample = Store | JoinedSample
"""What a codebook is fitted on."""


def open_sample(folder: Path, corpora: Collection[str] = ()) -> Sample:
    """Open a sample whose every byte is checked against its digests.

    Args:
        folder: a store, or a folder with one for each corpus of the sample.
        corpora: that the sample joins, by its definition; none where nobody says.

    Raises:
        StoreError: it is damaged, lacks a corpus, or holds one that the definition has no more.
    """
    if (folder / HEADER_NAME).is_file():
        return open_verified(folder)
    there = standing_splits(folder)
    if corpora and sorted(corpora) != there:
        raise StoreError(
            f"sample {folder}",
            expected=f"a store for each corpus that it joins: {', '.join(sorted(corpora))}",
            got=", ".join(there) or "none",
            hint="run python stages/sample.py with the same feature for what lacks, and remove "
            "what is left over",
        )
    stores = {corpus: open_verified(folder / corpus) for corpus in there}
    if len(stores) > 1:
        return JoinedSample(stores)
    return stores[there[0]] if there else open_verified(folder)
