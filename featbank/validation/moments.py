"""Moments of values: of all together, and of each place in a frame, such as a mel bin."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Array = np.ndarray[Any, np.dtype[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueMoments:
    """Count, mean, sum of squared deviations from it, and extremes of some values."""

    count: int = 0
    mean: float = 0.0
    squared_deviations: float = 0.0
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @classmethod
    def of(cls, values: Array) -> ValueMoments:
        """Measure finite values of any shape."""
        if not values.size:
            return cls()
        deviations = values.astype(np.float64).ravel()
        mean = float(deviations.mean())
        deviations -= mean
        return cls(
            count=values.size,
            mean=mean,
            squared_deviations=float(np.einsum("i,i", deviations, deviations)),
            minimum=float(values.min()),
            maximum=float(values.max()),
        )

    def __add__(self, other: ValueMoments) -> ValueMoments:
        """Join two sets of values, stably (Chan, Golub and LeVeque, 1979)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        shift = other.mean - self.mean
        moved, spread = _shifted(shift, self.count, other.count, count)
        return ValueMoments(
            count=count,
            mean=self.mean + moved,
            squared_deviations=self.squared_deviations + other.squared_deviations + spread,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    @property
    def std(self) -> float:
        """Standard deviation."""
        return sqrt(self.squared_deviations / self.count)


def _shifted(shift: Any, here: Any, there: Any, count: Any) -> tuple[Any, Any]:
    """Return by how much a second set moves the mean of a first, and what that adds to the spread.

    Args:
        shift: the second's mean, less the first's: a number, or (D,).
        here: values in the first.
        there: values in the second.
        count: in both; 1 at least.
    """
    return shift * there / count, shift**2 * here * there / count


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMoments:
    """Moments of the D values of a frame, each by itself, of some frames.

    Args:
        counts: (D,) finite values of each.
        means: (D,) of these; 0 where there are none.
        squared_deviations: (D,) sums of squared deviations from the mean.
        minimum, maximum: of all.
    """

    counts: Floats = field(default_factory=_none)
    means: Floats = field(default_factory=_none)
    squared_deviations: Floats = field(default_factory=_none)
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @classmethod
    def of(cls, values: Array, finite: npt.NDArray[np.bool_]) -> ColumnMoments:
        """Measure frames (T, *shape), of which only the values that `finite` names count."""
        if not finite.any():
            return cls()
        whole = bool(finite.all())
        deviations = values.reshape(len(values), -1).astype(np.float64)
        mask = finite.reshape(deviations.shape)
        if whole:
            counts = np.full(deviations.shape[1], len(values), np.float64)
        else:
            counts = mask.sum(axis=0, dtype=np.float64)
            deviations[~mask] = 0
        means = deviations.sum(axis=0) / np.maximum(counts, 1)
        deviations -= means
        if not whole:
            deviations[~mask] = 0
        extremes = values if whole else values[finite]
        return cls(
            counts=counts,
            means=means,
            squared_deviations=np.einsum("ij,ij->j", deviations, deviations),
            minimum=float(extremes.min()),
            maximum=float(extremes.max()),
        )

    def __add__(self, other: ColumnMoments) -> ColumnMoments:
        """Join two sets of frames; of shapes that differ, which is damage, all values together."""
        if not len(self.counts) or not len(other.counts):
            return self if len(self.counts) else other
        if len(self.counts) != len(other.counts):
            return _one_column(self.pooled + other.pooled)
        counts = self.counts + other.counts
        shift = other.means - self.means
        moved, spread = _shifted(shift, self.counts, other.counts, np.maximum(counts, 1))
        return ColumnMoments(
            counts=counts,
            means=self.means + moved,
            squared_deviations=self.squared_deviations + other.squared_deviations + spread,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    @property
    def pooled(self) -> ValueMoments:
        """The moments of all values together."""
        count = int(self.counts.sum())
        if not count:
            return ValueMoments()
        mean = float((self.counts * self.means).sum()) / count
        between = self.counts * (self.means - mean) ** 2
        return ValueMoments(
            count=count,
            mean=mean,
            squared_deviations=float((self.squared_deviations + between).sum()),
            minimum=self.minimum,
            maximum=self.maximum,
        )

    @property
    def stds(self) -> Floats:
        """Standard deviations (D,)."""
        stds: Floats = np.sqrt(self.squared_deviations / np.maximum(self.counts, 1))
        return stds


def _one_column(moments: ValueMoments) -> ColumnMoments:
    return ColumnMoments(
        counts=np.array([float(moments.count)]),
        means=np.array([moments.mean]),
        squared_deviations=np.array([moments.squared_deviations]),
        minimum=moments.minimum,
        maximum=moments.maximum,
    )
