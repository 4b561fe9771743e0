"""Held-out inertia: distance of held-out features to their centroids, beside the fit's own.

Inertia is the mean over frames x of min over k of |x - c_k|^2: what k-means makes small (Lloyd,
1982). Held-out speech that is much farther from its centroids than the sample of the fit means that
the sample was too small, or of other speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInertia:
    """The inertia of a sample of one split.

    Args:
        num_utterances, num_frames: of the sample.
        mean_squared_distance: of its frames to their nearest centroids; to the sum of those of
            residual codebooks.
    """

    num_utterances: int
    num_frames: int
    mean_squared_distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutInertia:
    """The inertia of a codebook on held-out features.

    Args:
        absent: why there is none; empty where there is.
        fitted: of the frames that the codebook was fitted on, as its file says; None if that cannot
            be read, or if it was imported, and fitted elsewhere.
        splits: of those held-out splits that have frames.
        lacking: why there is none of the other splits that the corpus's definition holds out.
    """

    absent: str = ""
    fitted: float | None = None
    splits: Mapping[str, SplitInertia] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
