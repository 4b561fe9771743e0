"""Lloyd's algorithm: initial centroids are spread, then moved to the means of their frames.

All functions take frames (N, D) float32 around zero: float32 keeps their distances exact enough
only where their mean is small beside their spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from featbank.errors import CodebookError
from featbank.tokenizers.nearest import BLOCK_FRAMES, NearestCentroid

_SAME = 1e-6  # of the squares of two frames: a squared distance below is rounding


def spread(frames: torch.Tensor, num_clusters: int, *, seed: int) -> torch.Tensor:
    """Draw initial centroids: frames that lie far apart.

    Greedy k-means++ (Arthur and Vassilvitskii, 2007): each is drawn with a probability
    proportional to the squared distance to those drawn before; of 2 + ln K such draws the one
    that lowers the sum of distances most is kept.

    Returns:
        (K, D).

    Raises:
        CodebookError: fewer frames differ.
    """
    generator = torch.Generator().manual_seed(seed)
    tries = 2 + int(math.log(num_clusters))
    squares = frames.square().sum(dim=1)
    index = int(torch.randint(len(frames), (), generator=generator))
    chosen = [index]
    distances = _distances(frames, squares, torch.tensor([index]))[:, 0]
    while len(chosen) < num_clusters:
        reach = distances.double().cumsum(dim=0)
        total = float(reach[-1])
        if not total > 0:
            raise CodebookError(
                "frames to fit a codebook on",
                expected=f"at least num_clusters={num_clusters} that differ",
                got=len(chosen),
                hint="pin a larger sample or lower tokenizer.kmeans.num_clusters",
            )
        drawn = torch.rand(tries, generator=generator, dtype=torch.float64) * total
        # right=True: a frame that adds no distance is never drawn
        candidates = torch.searchsorted(reach, drawn.to(reach.device), right=True)
        candidates.clamp_(max=len(frames) - 1)
        left = torch.minimum(distances[:, None], _distances(frames, squares, candidates))
        best = int(left.sum(dim=0).argmin())
        distances = left[:, best].contiguous()
        chosen.append(int(candidates[best]))
    return frames[chosen].clone()


def improve(frames: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Move each centroid to the mean of the frames that are nearest to it, once.

    A centroid that no frame is nearest to takes the place of a frame that lies farthest from its
    own.

    Returns:
        The new centroids (K, D), and the mean squared distance of the frames to the old ones.
    """
    sums = torch.zeros_like(centroids)
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=centroids.device)
    distances = []
    for block, labels, scores in nearest(frames, centroids):
        _add_by_label(sums, labels, block)
        counts += torch.bincount(labels, minlength=len(centroids))
        distances.append(block.square().sum(dim=1) - 2 * scores)
    far = torch.cat(distances)
    moved = sums / counts.clamp(min=1)[:, None]
    empty = counts == 0
    if num_empty := int(empty.sum()):
        moved[empty] = frames[far.topk(num_empty).indices]
    return moved, float(far.double().mean())


def nearest(
    frames: torch.Tensor, centroids: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield blocks of frames with their nearest centroids and scores, as `NearestCentroid` does."""
    find = NearestCentroid(centroids)
    for block in torch.split(frames, BLOCK_FRAMES):
        yield block, *find.scored(block)


def _distances(frames: torch.Tensor, squares: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return the squared distances (N, C) to some of the frames; 0 to an equal one."""
    pairs = squares[:, None] + squares[indices]
    found = torch.addmm(pairs, frames, frames[indices].T, alpha=-2)
    return torch.where(found > _SAME * pairs, found, 0)


def _add_by_label(sums: torch.Tensor, labels: torch.Tensor, block: torch.Tensor) -> None:
    """Add each frame to the sum of its centroid, in an order that is the same every time."""
    if sums.device.type == "cpu":
        sums.index_add_(0, labels, block)
    else:  # where index_add_ adds in any order
        chosen = torch.zeros(len(sums), len(labels), device=sums.device)
        chosen[labels, torch.arange(len(labels), device=sums.device)] = 1
        sums.addmm_(chosen, block)
