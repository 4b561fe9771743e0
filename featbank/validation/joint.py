"""Joint counts of labels and codes, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.labels import Intervals
from featbank.errors import CorpusError
from featbank.validation.agreement import Agreement, Counts, LabelCheck
from featbank.validation.confusion import UnitConfusion

MAX_PAIRS = 1 << 24
"""Pairs of a label and a code that are counted: 128 MB."""


class JointCounts:
    """Counts how often each label goes with each code, utterance by utterance.

    Args:
        num_codebooks: Q.
        num_units: of each codebook, K.
    """

    def __init__(self, num_codebooks: int, num_units: int) -> None:
        self._numbers: dict[str, int] = {}
        self._counts: Counts = np.zeros((0, num_codebooks, num_units), np.int64)
        self._num_frames = self._num_unlabelled = 0

    def add(
        self,
        tokens: npt.NDArray[Any],
        intervals: Intervals | None,
        centers_s: npt.NDArray[np.float64],
    ) -> None:
        """Count the frames of an utterance.

        Args:
            tokens: (T, Q), or (T,) of one codebook; those that it does not have are left out.
            intervals: its labels; None for none.
            centers_s: (T,) the time of each frame.

        Raises:
            CorpusError: there are more labels than can be counted.
        """
        found = np.full(len(tokens), -1) if intervals is None else intervals.at(centers_s)
        labelled = found >= 0
        self._num_unlabelled += int((~labelled).sum())
        if intervals is None or not labelled.any():
            return
        self._num_frames += int(labelled.sum())
        used, places = np.unique(found[labelled], return_inverse=True)
        labels = np.array([self._number(intervals.labels[one]) for one in used])[places]
        codes = tokens.reshape(len(tokens), self._counts.shape[1])[labelled]
        known = (codes >= 0) & (codes < self._counts.shape[2])
        rows, codebooks = np.nonzero(known)
        np.add.at(self._counts, (labels[rows], codebooks, codes[known].astype(np.int64)), 1)

    def result(self) -> LabelCheck:
        """Return the counts so far."""
        tables = self._counts[: len(self._numbers)]
        measured = self._num_frames > 0 and bool(tables.any(axis=(0, 2)).all())
        return LabelCheck(
            num_labels=len(self._numbers),
            num_frames=self._num_frames,
            num_unlabelled=self._num_unlabelled,
            codebooks=tuple(
                Agreement.of(tables[:, number]) for number in range(tables.shape[1] * measured)
            ),
        )

    def confusion(self) -> UnitConfusion | None:
        """Return which labels the units of the first codebook go with; None where no frame has one.

        Of several codebooks the first tells the most.
        """
        if not len(self._numbers) or not self._counts.shape[1]:
            return None
        return UnitConfusion.of(tuple(self._numbers), self._counts[: len(self._numbers), 0])

    def _number(self, label: str) -> int:
        """Return the row of a label, a new one for a new label."""
        number = self._numbers.setdefault(label, len(self._numbers))
        if number < len(self._counts):
            return number
        _, num_codebooks, num_units = self._counts.shape
        most = MAX_PAIRS // max(1, num_codebooks * num_units)
        if number >= most:
            raise CorpusError(
                "labels of the corpus",
                expected=f"at most {most} different ones beside so many codes",
                got=f"{label!r} as another one",
                hint="labels are classes of sounds, such as phones",
            )
        more = np.zeros((min(most, max(16, 2 * number)), num_codebooks, num_units), np.int64)
        more[:number] = self._counts
        self._counts = more
        return number
