"""Fitting k-means codebooks with scikit-learn."""

from __future__ import annotations

import logging

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from featbank.errors import CodebookError
from featbank.tokenizers.codebook import Floats

_log = logging.getLogger(__name__)


class KMeans:
    """Mini-batch k-means (Sculley, 2010); the defaults are those of HuBERT's `learn_kmeans.py`.

    Args:
        num_clusters: centroids, K.
        batch_size: frames a step.
        max_iter: passes over the frames.
        max_no_improvement: steps without a lower inertia before it stops.
        n_init: random starts tried, of which the best is kept.
        reassignment_ratio: share of the largest count below which a centroid is placed anew.
        tol: change of the centroids at which it stops; 0 for never.
    """

    def __init__(
        self,
        *,
        num_clusters: int = 100,
        batch_size: int = 10_000,
        max_iter: int = 100,
        max_no_improvement: int = 100,
        n_init: int = 20,
        reassignment_ratio: float = 0.0,
        tol: float = 0.0,
    ) -> None:
        self.num_clusters = num_clusters
        self._settings = {
            "batch_size": batch_size,
            "max_iter": max_iter,
            "max_no_improvement": max_no_improvement,
            "n_init": n_init,
            "reassignment_ratio": reassignment_ratio,
            "tol": tol,
        }

    def fit(self, frames: Floats, *, seed: int) -> tuple[Floats, float]:
        """Fit centroids, in one thread: the order of a parallel sum would change their last bits.

        Args:
            frames: (N, D) float32.
            seed: of the random starts and batches.

        Returns:
            The centroids, (K, D) float32, and their mean squared distance to the frames.

        Raises:
            CodebookError: fewer frames than centroids, or a frame that is not finite.
        """
        if len(frames) < self.num_clusters:
            raise CodebookError(
                "frames to fit a codebook on",
                expected=f"at least num_clusters={self.num_clusters}",
                got=len(frames),
                hint="pin a larger sample or lower tokenizer.kmeans.num_clusters",
            )
        if not np.isfinite(frames).all():
            raise CodebookError(
                "frames to fit a codebook on", expected="finite values", got="NaN or inf"
            )
        model = MiniBatchKMeans(
            n_clusters=self.num_clusters,
            init="k-means++",
            random_state=seed,
            compute_labels=False,
            **self._settings,
        )
        with threadpool_limits(limits=1):
            model.fit(frames)
            inertia = -float(model.score(frames)) / len(frames)
        return model.cluster_centers_.astype(np.float32), inertia
