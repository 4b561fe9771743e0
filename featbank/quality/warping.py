"""Distances between stretches of frames, aligned by dynamic time warping (Sakoe and Chiba, 1978).

A path goes from the first pair of frames to the last, one frame on in either stretch or in both.
The distance is the cost of the cheapest path over its length; of equally cheap ways to a pair of
frames the diagonal one is taken, then the one along the second stretch, as ZeroSpeech does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
FrameDistance = Callable[[Array, Array], Floats]
"""Takes frames (N, D) and (M, D), and gives their distances (N, M)."""

_BLOCK = 96
"""Stretches that are aligned with as many others at once: what a processor's cache holds."""


def angular(first: Array, second: Array) -> Floats:
    """Return the angles between frames of length 1, as shares of half a turn.

    >>> angular(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    array([[0. , 0.5, 1. ]])
    """
    angles: Floats = np.arccos(np.clip(first @ second.T, -1, 1)) / np.pi
    return angles


def unequal(first: Array, second: Array) -> Floats:
    """Return the share of codebooks in which frames of codes differ: of one codebook, 0 or 1.

    >>> unequal(np.array([[3, 4]]), np.array([[3, 4], [3, 5], [4, 3]]))
    array([[0. , 0.5, 1. ]])
    """
    different = np.zeros((len(first), len(second)))
    for one, other in zip(first.T, second.T, strict=True):
        different += one[:, None] != other[None, :]
    shares: Floats = different / first.shape[1]
    return shares


def of_length_one(frames: Array) -> Floats:
    """Scale frames (T, D) to length 1; a frame of zeros stays, at a right angle to all."""
    wide = frames.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: Floats = np.divide(wide, norms, out=wide, where=norms > 0)
    return scaled


def warped_distances(
    first: Sequence[Array], second: Sequence[Array], distance: FrameDistance
) -> Floats:
    """Return the distances (N, M) of N stretches to M others.

    Args:
        first: stretches of frames, (T, D) each, with one frame at least.
        second: the others.
        distance: between frames.
    """
    found = np.empty((len(first), len(second)))
    for rows in _blocks(first):
        for columns in _blocks(second):
            found[np.ix_(rows, columns)] = _align(
                [first[n] for n in rows], [second[n] for n in columns], distance
            )
    return found


def _blocks(stretches: Sequence[Array]) -> Iterator[Integers]:
    """Give the places of stretches in blocks of like lengths, which leave little to be filled."""
    order = np.argsort([len(one) for one in stretches], kind="stable")
    for start in range(0, len(order), _BLOCK):
        yield order[start : start + _BLOCK]


def _align(first: Sequence[Array], second: Sequence[Array], distance: FrameDistance) -> Floats:
    """Align all pairs at once; what is filled in behind the shorter ones is not looked at."""
    first_ends = np.array([len(one) - 1 for one in first])
    second_ends = np.array([len(one) - 1 for one in second])
    ys = _filled(second)
    # of the pairs of a frame of the first with each of the second: cost of the path, pairs on it
    costs: list[Floats] = []
    steps: list[Integers] = []
    found = np.empty((len(first), len(second)))
    for i, x in enumerate(_filled(first)):
        above, above_steps, costs, steps = costs, steps, [], []
        for j, y in enumerate(ys):
            cost, step = distance(x, y), np.zeros(found.shape, np.int64)
            if i and j:
                along = costs[j - 1] <= above[j]
                before = np.minimum(costs[j - 1], above[j])
                step = np.where(along, steps[j - 1], above_steps[j])
                across = above[j - 1] <= before
                np.copyto(before, above[j - 1], where=across)
                np.copyto(step, above_steps[j - 1], where=across)
                cost += before
            elif i or j:
                cost += above[j] if i else costs[j - 1]
                step += above_steps[j] if i else steps[j - 1]
            costs.append(cost)
            steps.append(step + 1)
        rows = np.flatnonzero(first_ends == i)
        for j in np.unique(second_ends) if len(rows) else ():
            ended = np.ix_(rows, np.flatnonzero(second_ends == j))
            found[ended] = costs[j][ended] / steps[j][ended]
    return found


def _filled(stretches: Sequence[Array]) -> Array:
    """Stack stretches as (T, N, D) of the longest, with zeros behind the others."""
    shape = max(map(len, stretches)), len(stretches), stretches[0].shape[1]
    filled = np.zeros(shape, stretches[0].dtype)
    for number, one in enumerate(stretches):
        filled[: len(one), number] = one
    return filled
