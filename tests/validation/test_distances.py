"""Distances between distributions equal those of SciPy, and have the limits that they state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from featbank.validation.distances import (
    jensen_shannon_bits,
    kolmogorov_smirnov,
    perplexity,
    share_outside,
    total_variation,
)
from featbank.validation.moments import ColumnMoments
from featbank.validation.profile import SplitSizes


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # rounded, so that both have equal values
    older, newer = rng.gamma(2, 3, 200).round(1), rng.gamma(3, 2, 90).round(1)
    expected = ks_2samp(older, newer, method="asymp").statistic
    assert kolmogorov_smirnov(older, newer) == pytest.approx(expected, abs=1e-12)
    left, right = rng.poisson(2, 50).tolist(), rng.poisson(3, 50).tolist()
    expected = jensenshannon(left, right, base=2) ** 2
    assert jensen_shannon_bits(left, right) == pytest.approx(expected, abs=1e-12)


def test_distances_have_their_limits() -> None:
    assert kolmogorov_smirnov([1, 2], [3]) == 1
    assert total_variation({"a": 2}, {"b": 7}) == 1
    assert total_variation({16000: 1, 8000: 1}, {16000: 50, 8000: 50}) == 0
    # H(3/4, 1/4) - (H(1/2, 1/2) + H(1, 0)) / 2 = 0.811278 - 0.5
    assert jensen_shannon_bits([4, 4], [9, 0]) == pytest.approx(0.3112781244591328)
    assert perplexity([1, 0, 0]) == 1
    assert share_outside([3, 1], [1, 0]) == 0.25


def test_chance_is_the_spread_of_means_of_sets_that_share_utterances() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20_000, 60))
    differences = values[:, :40].mean(axis=1) - values[:, 10:60].mean(axis=1)
    sizes = SplitSizes(older=40, newer=50, shared=30)
    assert differences.std() == pytest.approx(sizes.error, rel=0.03)
    assert SplitSizes(older=40, newer=40, shared=40).error == 0
    assert SplitSizes(older=0, newer=40, shared=0).error == 1


def test_moments_of_columns_are_those_of_numpy_however_frames_come() -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((90, 2, 3)) * 3 + 100).astype(np.float32)
    values[3, 1, 2], values[50] = np.nan, np.inf
    finite = np.isfinite(values)
    parts = [
        ColumnMoments.of(values[at], finite[at]) for at in np.split(np.arange(90), [7, 50, 51])
    ]
    moments = ColumnMoments()
    for part in parts:
        moments += part
    expected = np.where(finite, values, np.nan).reshape(90, 6).astype(np.float64)
    np.testing.assert_array_equal(moments.counts, finite.reshape(90, 6).sum(axis=0))
    np.testing.assert_allclose(moments.means, np.nanmean(expected, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.stds, np.nanstd(expected, axis=0), rtol=1e-9)
    pooled = moments.pooled
    assert (pooled.count, pooled.maximum) == (finite.sum(), values[finite].max())
    assert pooled.mean == pytest.approx(np.nanmean(expected), rel=1e-12)
    assert pooled.std == pytest.approx(np.nanstd(expected), rel=1e-9)
    # frames of another shape are damage, and are still counted
    other = moments + ColumnMoments.of(values[:1, 0], finite[:1, 0])
    assert (len(other.counts), other.pooled.count) == (1, pooled.count + 3)
