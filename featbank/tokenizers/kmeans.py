"""Plain and residual k-means over frames in memory, which resumes a fit that was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from featbank.base.components import Component
from featbank.base.notices import AT_WORK, tell
from featbank.base.progress import Advance
from featbank.base.registry import Registry
from featbank.errors import CodebookError, ConfigError
from featbank.tokenizers import TOKENIZERS
from featbank.tokenizers.lloyd import improve, nearest, spread
from featbank.tokenizers.nearest import BLOCK_FRAMES

Floats = npt.NDArray[np.float32]

_SHARES = (10, 3, 1)  # a tenth, a third, all
_SHARE_A_CLUSTER = 40  # frames that a share has at least
_SPREAD_A_CLUSTER, _SPREAD_LEAST = 10, 4000  # frames that the first centroids are drawn from


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitState:
    """State of a fit, which is saved to resume it.

    Args:
        codebooks: the finished ones, (q, K, D) float32, around the mean of the frames.
        distances: the mean squared distance that each of them leaves.
        centroids: of the codebook in the making, (K, D); None before its first pass.
        share: index of the share of the frames that the fit is at.
        num_passes: over that share.
        distance: the mean squared distance that the last of those passes found.
    """

    codebooks: Floats
    distances: tuple[float, ...] = ()
    centroids: Floats | None = None
    share: int = 0
    num_passes: int = 0
    distance: float = np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class KMeans(Component):
    """K-means by Lloyd's algorithm on a growing share of the frames.

    Centroids are spread by k-means++ over a few frames, then improved on a tenth, a third and all
    of them: most of the way is gone on few frames, as in nested mini-batch k-means (Newling and
    Fleuret, 2016). Residual k-means (Juang and Gray, 1982) fits each further codebook on what the
    ones before it leave of the frames.

    Args:
        num_clusters: centroids of a codebook, K.
        num_codebooks: Q; over 1 for residual k-means.
        num_frames: drawn at random from the sample; they are in memory while it fits, D * 4 bytes
            each.
        max_passes: over a share of the frames.
        tol: a share is done when a pass finds the mean squared distance lower by less than this
            part of it.

    Raises:
        ConfigError: one is out of its range.
    """

    version: ClassVar[int] = 1
    registry: ClassVar[Registry | None] = TOKENIZERS
    # beside the number that was drawn
    changes_nothing: ClassVar[frozenset[str]] = frozenset({"num_frames"})

    num_clusters: int = 100
    num_codebooks: int = 1
    num_frames: int = 500_000
    max_passes: int = 10
    tol: float = 0.004

    def __post_init__(self) -> None:
        for name in ("num_clusters", "num_codebooks", "num_frames", "max_passes"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"tokenizer.kmeans.{name}", expected="1 or more", got=value)
        if self.num_frames < self.num_clusters:
            raise ConfigError(
                "tokenizer.kmeans.num_frames",
                expected=f"at least num_clusters={self.num_clusters}",
                got=self.num_frames,
            )
        if not 0 <= self.tol < 1:
            raise ConfigError("tokenizer.kmeans.tol", expected="from 0 to below 1", got=self.tol)

    def fit(
        self,
        frames: Floats,
        *,
        seed: int,
        device: str = "cpu",
        state: FitState | None = None,
        keep: Callable[[FitState], None] = lambda _: None,
        advance: Advance = lambda _: None,
    ) -> tuple[Floats, tuple[float, ...]]:
        """Fit the codebooks; equal bytes for equal frames, seed and numerics class, stopped or not.

        Args:
            frames: (N, D) float32, in random order: the first are taken for a sample of all. They
                are overwritten.
            seed: of the first centroids.
            device: that computes.
            state: where a stopped fit of the same frames goes on.
            keep: told the state after each pass.
            advance: told the frames of each pass, of as many as there are at most.

        Returns:
            The centroids, (Q, K, D) float32, and the mean squared distance between the frames and
            the sums of the first q + 1 of them, for each q.

        Raises:
            CodebookError: fewer frames that differ than centroids, or a frame that is not finite.
        """
        if len(frames) < self.num_clusters:
            raise CodebookError(
                "frames to fit a codebook on",
                expected=f"at least num_clusters={self.num_clusters}",
                got=len(frames),
                hint="pin a larger sample or lower tokenizer.kmeans.num_clusters",
            )
        if state is None:
            state = FitState(codebooks=np.empty((0, self.num_clusters, frames.shape[1]), "f4"))
        with torch.inference_mode():
            left = torch.from_numpy(frames).to(device)
            mean = _mean(left)
            if not mean.isfinite().all():
                raise CodebookError(
                    "frames to fit a codebook on", expected="finite values", got="NaN or inf"
                )
            left -= mean
            for codebook in state.codebooks:
                _take(left, torch.from_numpy(codebook).to(device))
            told = _ToldPasses(self._shares(len(left)), self.max_passes, advance)
            told.begin(self.num_codebooks, state)
            while len(state.codebooks) < self.num_codebooks:
                state = self._finish_codebook(left, state, seed, keep, told)
        codebooks = state.codebooks.copy()
        codebooks[0] += mean.cpu().numpy()
        return codebooks, state.distances

    def _finish_codebook(
        self,
        left: torch.Tensor,
        state: FitState,
        seed: int,
        keep: Callable[[FitState], None],
        told: _ToldPasses,
    ) -> FitState:
        """Fit the next codebook on what those before it leave, and take it away as well."""
        if state.centroids is None:
            tell(phase="choosing the first centroids")
            centroids = self._spread(left, seed + len(state.codebooks))
        else:
            centroids = torch.from_numpy(state.centroids).to(left.device)
        shares = self._shares(len(left))
        tell(phase=AT_WORK)
        while state.share < len(shares):
            share = state.share
            centroids, distance = improve(left[: shares[state.share]], centroids)
            num_passes = state.num_passes + 1
            done = (
                num_passes == self.max_passes
                or state.distance - distance < self.tol * state.distance
            )
            state = replace(
                state,
                centroids=centroids.cpu().numpy(),
                share=state.share + done,
                num_passes=0 if done else num_passes,
                distance=np.inf if done else distance,
            )
            keep(state)
            told.done(share, num_left=self.max_passes - num_passes if done else 0)
        distance = _take(left, centroids)
        return FitState(
            codebooks=np.concatenate([state.codebooks, centroids.cpu().numpy()[None]]),
            distances=(*state.distances, distance),
        )

    def _spread(self, frames: torch.Tensor, seed: int) -> torch.Tensor:
        few = frames[: max(_SPREAD_A_CLUSTER * self.num_clusters, _SPREAD_LEAST)]
        try:
            return spread(few, self.num_clusters, seed=seed)
        except CodebookError:  # too few of them differ
            if len(few) == len(frames):
                raise
            return spread(frames, self.num_clusters, seed=seed)

    def _shares(self, num_frames: int) -> list[int]:
        shares = [num_frames // share for share in _SHARES]
        least = min(num_frames, _SHARE_A_CLUSTER * self.num_clusters)
        return [share for share in shares if share >= least]


@dataclass(frozen=True, slots=True)
class _ToldPasses:
    """Tells how many frames the passes of a fit have gone through, of as many as these are at most.

    Args:
        shares: of the frames, in the order of the passes.
        max_passes: over each share.
        advance: told the frames.
    """

    shares: Sequence[int]
    max_passes: int
    advance: Advance

    def begin(self, num_codebooks: int, state: FitState) -> None:
        """Tell what is to do, and what a stopped fit has done of it."""
        of_codebook = self.max_passes * sum(self.shares)
        tell(total=num_codebooks * of_codebook)
        before = self.max_passes * sum(self.shares[: state.share])
        now = state.num_passes * self.shares[state.share] if state.num_passes else 0
        self._skip(len(state.codebooks) * of_codebook + before + now)

    def done(self, share: int, *, num_left: int) -> None:
        """Tell of a pass over a share, behind which so many are not needed."""
        self.advance(self.shares[share])
        self._skip(num_left * self.shares[share])

    def _skip(self, num_frames: int) -> None:
        tell(reused=num_frames)
        self.advance(num_frames)


def _mean(frames: torch.Tensor) -> torch.Tensor:
    """Return the mean frame (D,), summed in float64, of which only a block is held."""
    total = torch.zeros(frames.shape[1], dtype=torch.float64, device=frames.device)
    for block in torch.split(frames, BLOCK_FRAMES):
        total += block.sum(dim=0, dtype=torch.float64)
    return (total / len(frames)).float()


def _take(frames: torch.Tensor, centroids: torch.Tensor) -> float:
    """Subtract from each frame its nearest centroid; return the mean square of what is left."""
    total = 0.0
    for block, labels, _ in nearest(frames, centroids):
        block -= centroids[labels]
        total += float(block.square().sum(dtype=torch.float64))
    return total / len(frames)
