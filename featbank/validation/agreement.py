"""How far codes agree with labels such as phones: the measures of HuBERT (Hsu et al., 2021).

With p(y, z) the share of the labelled frames that have label y and code z (section IV-C, arXiv
2106.07447):

    phone purity    sum over z of max over y of p(y, z): how often the label that goes best with the
                    code of a frame is the frame's own
    cluster purity  sum over y of max over z of p(y, z): likewise for codes given labels
    PNMI            I(y; z) / H(y): the share of the label's uncertainty that the code takes away

Phone purity rises with the number of codes, up to 1 where each frame has a code of its own, and
cluster purity falls with it: codebooks of one size compare by both, of several sizes by PNMI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import CorpusError
from featbank.validation.labels import Intervals

Counts = npt.NDArray[np.int64]

MAX_PAIRS = 1 << 24
"""Pairs of a label and a code that are counted: 128 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far one codebook agrees with the labels; see the module for the measures.

    Args:
        phone_purity, cluster_purity: from 0 to 1.
        pnmi: from 0 to 1; None where all frames have one label, whose uncertainty is 0.
    """

    phone_purity: float
    cluster_purity: float
    pnmi: float | None

    @classmethod
    def mean(cls, codebooks: Sequence[Agreement]) -> Agreement:
        """Average over the codebooks of a store, one or more, of the same labels."""
        pnmi = [one.pnmi for one in codebooks if one.pnmi is not None]
        return cls(
            phone_purity=_mean([one.phone_purity for one in codebooks]),
            cluster_purity=_mean([one.cluster_purity for one in codebooks]),
            pnmi=_mean(pnmi) if pnmi else None,
        )

    @classmethod
    def of(cls, joint: Counts) -> Agreement:
        """Measure it by a table (labels, codes) of frames, of which there is one at least."""
        shares = joint / joint.sum()
        of_label, of_code = shares.sum(axis=1), shares.sum(axis=0)
        entropy = _entropy(of_label)
        mutual = entropy + _entropy(of_code) - _entropy(shares)
        return cls(
            phone_purity=_rounded(shares.max(axis=0).sum()),
            cluster_purity=_rounded(shares.max(axis=1).sum()),
            pnmi=_rounded(max(0.0, mutual) / entropy) if np.count_nonzero(of_label) > 1 else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCheck:
    """How far the tokens of a store agree with the labels of its corpus.

    Args:
        num_labels: different ones that a frame has.
        num_frames: with a label.
        num_unlabelled: frames without one, which are left out.
        codebooks: the agreement of each; empty where no frame has a label.
    """

    num_labels: int
    num_frames: int
    num_unlabelled: int
    codebooks: tuple[Agreement, ...]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> LabelCheck:
        """Build it from its fields as JSON has them."""
        codebooks = tuple(Agreement(**one) for one in fields["codebooks"])
        return cls(**{**fields, "codebooks": codebooks})


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
        """Return what was found so far."""
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


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    """Return -sum p log2 p."""
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _mean(values: Sequence[float]) -> float:
    return _rounded(sum(values) / len(values))


def _rounded(value: float) -> float:
    """Keep six decimals: the last bits of a logarithm differ between machines."""
    return round(float(value), 6)
