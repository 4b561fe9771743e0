"""Profile of a split: what its manifest says of lengths, rates, languages, speakers and texts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import sqrt

import numpy as np
import numpy.typing as npt

from featbank.base.manifest import Utterance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitProfile:
    """What the rows of one split are like.

    Args:
        id_hashes: (N,) of 64 bits, for which utterances are in another version, too.
        durations_s: (N,) length of each as it is played, in seconds.
        rates: utterances of each sample rate of a file, in Hz.
        languages, speakers: utterances of each; "" where nobody knows.
        texts: utterances with a text and without.
    """

    id_hashes: npt.NDArray[np.uint64]
    durations_s: npt.NDArray[np.float64]
    rates: Mapping[int, int]
    languages: Mapping[str, int]
    speakers: Mapping[str, int]
    texts: Mapping[bool, int]

    @classmethod
    def of(cls, rows: Iterable[Utterance]) -> SplitProfile:
        """Take the profile of rows as they go by: 16 bytes of each are kept."""
        hashes, durations_s = array("Q"), array("d")
        rates: Counter[int] = Counter()
        languages: Counter[str] = Counter()
        speakers: Counter[str] = Counter()
        texts: Counter[bool] = Counter()
        for row in rows:
            hashes.append(int.from_bytes(blake2b(row.id.encode(), digest_size=8).digest(), "big"))
            durations_s.append(row.duration_s)
            rates[row.sample_rate] += 1
            languages[row.language] += 1
            speakers[row.speaker] += 1
            texts[bool(row.text.strip())] += 1
        return cls(
            id_hashes=np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64),
            durations_s=np.frombuffer(durations_s) if durations_s else np.zeros(0),
            rates=rates,
            languages=languages,
            speakers=speakers,
            texts=texts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSizes:
    """How many utterances a split has in two versions.

    Args:
        older, newer: utterances of each version.
        shared: of these, by their ids, in both.
    """

    older: int
    newer: int
    shared: int

    @classmethod
    def of(cls, older: SplitProfile, newer: SplitProfile) -> SplitSizes:
        """Count them."""
        shared = np.intersect1d(older.id_hashes, newer.id_hashes, assume_unique=True)
        return cls(older=len(older.id_hashes), newer=len(newer.id_hashes), shared=len(shared))

    @classmethod
    def sum(cls, splits: Iterable[SplitSizes]) -> SplitSizes:
        """Add up several splits."""
        every = list(splits)
        return cls(
            older=sum(one.older for one in every),
            newer=sum(one.newer for one in every),
            shared=sum(one.shared for one in every),
        )

    @property
    def error(self) -> float:
        """Return how much two means differ by chance, where single utterances differ by 1.

        The standard error of the difference between means of two sets drawn from the same speech,
        which share some utterances; 0 where they share all. Some version has no utterance: 1.

        >>> SplitSizes(older=50, newer=50, shared=0).error
        0.2
        >>> SplitSizes(older=50, newer=60, shared=50).error < 0.06
        True
        """
        if not self.older or not self.newer:
            return 1.0
        apart = 1 / self.older + 1 / self.newer - 2 * self.shared / (self.older * self.newer)
        return sqrt(max(0.0, apart))
