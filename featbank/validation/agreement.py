"""Agreement of codes with labels such as phones, as HuBERT measures it (Hsu et al., 2021).

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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement of one codebook with the labels; see the module for the measures.

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
        """Measure it by a table (labels, codes) of frame counts, of one frame at least."""
        shares = joint / joint.sum()
        of_label, of_code = shares.sum(axis=1), shares.sum(axis=0)
        entropy = entropy_of(of_label)
        mutual = entropy + entropy_of(of_code) - entropy_of(shares)
        return cls(
            phone_purity=_rounded(shares.max(axis=0).sum()),
            cluster_purity=_rounded(shares.max(axis=1).sum()),
            pnmi=_rounded(max(0.0, mutual) / entropy) if np.count_nonzero(of_label) > 1 else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCheck:
    """Agreement of the tokens of a store with the labels of its corpus.

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


def entropy_of(shares: npt.NDArray[np.float64]) -> float:
    """Return the entropy of some shares in bits, -sum p log2 p."""
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _mean(values: Sequence[float]) -> float:
    return _rounded(sum(values) / len(values))


def _rounded(value: float) -> float:
    """Keep six decimals: the last bits of a logarithm differ between machines."""
    return round(float(value), 6)
