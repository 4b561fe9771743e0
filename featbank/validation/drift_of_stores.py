"""Drift of stores: moments of values and usage of units, as the checks of two versions have them.

Nothing is computed again and no audio is read. A change of level shows in the means of features:
-6 dB moves the natural logarithm of power by -1.38 in all dimensions alike. Audio without its
upper frequencies moves the dimensions of those alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from featbank.base.amounts import amount, percent
from featbank.validation.distances import jensen_shannon_bits, perplexity, share_outside
from featbank.validation.drift_result import DriftKind, DriftLimits, DriftMeasure
from featbank.validation.drift_words import shares_in_words
from featbank.validation.result import StoreCheck

_RUNS = 3  # of dimensions, that are named
_LEAST_STD = 0.01  # of all values of a store: a dimension that is as good as constant counts so

Floats = npt.NDArray[np.float64]


def store_measures(
    older: StoreCheck, newer: StoreCheck, limits: DriftLimits
) -> Iterator[DriftMeasure]:
    """Hold the check of a store against that of the older version.

    Args:
        older: the check of a store.
        newer: that of the store of the same name and split.
        limits: of the store.
    """
    if older.num_expected and newer.num_expected:
        before, now = (one.num_failures / one.num_expected for one in (older, newer))
        told = percent(before, 2), percent(now, 2)
        yield limits.measure(DriftKind.FAILURES, abs(now - before), *told)
    yield from _value_measures(older, newer, limits)
    if have_the_same_units(older, newer):
        yield from _unit_measures(older, newer, limits)


def have_the_same_units(older: StoreCheck, newer: StoreCheck) -> bool:
    """Tell whether a unit means in both stores the same: one codebook, or one definition."""
    if older.codebooks is None or newer.codebooks is None:
        return False
    if [len(one.frames) for one in older.codebooks] != [len(one.frames) for one in newer.codebooks]:
        return False
    before, now = _codebook_digest(older), _codebook_digest(newer)
    if before or now:
        return before == now
    return fingerprint_of(older) == fingerprint_of(newer)


def fingerprint_of(check: StoreCheck) -> str:
    """Return the fingerprint of the store that was checked; empty where it has none."""
    return str((check.header or {}).get("fingerprint", ""))


def _codebook_digest(check: StoreCheck) -> str:
    provenance = (check.header or {}).get("provenance")
    codebook = provenance.get("codebook") if isinstance(provenance, dict) else None
    return str(codebook.get("sha256", "")) if isinstance(codebook, dict) else ""


def _value_measures(
    older: StoreCheck, newer: StoreCheck, limits: DriftLimits
) -> Iterator[DriftMeasure]:
    """Compare means and standard deviations, of all values and of each dimension, and extremes."""
    before, now = _means_and_stds(older), _means_and_stds(newer)
    if not before.size or not now.size:
        return
    if before.shape != now.shape:  # an older check has no dimensions
        before, now = before[:, :1], now[:, :1]
    # what hardly varies would make mountains of rounding
    unit = np.maximum(before[1], max(_LEAST_STD * before[1, 0], np.finfo(np.float32).tiny))
    moved = (now - before) / unit
    for kind, one, name in ((DriftKind.MEANS, 0, "mean"), (DriftKind.STDS, 1, "std")):
        where = _where(moved[one], now[one] - before[one], limits.limit(kind))
        yield limits.measure(
            kind,
            float(np.abs(moved[one]).max()),
            f"{name} {amount(before[one, 0], 2)}",
            f"{name} {amount(now[one, 0], 2)}{where}",
        )
    (low, high), (new_low, new_high) = _extremes(older), _extremes(newer)
    yield limits.measure(
        DriftKind.EXTREMES,
        max(low - new_low, new_high - high, 0.0) / float(unit[0]),
        f"{amount(low, 2)} to {amount(high, 2)}",
        f"{amount(new_low, 2)} to {amount(new_high, 2)}",
    )


def _means_and_stds(check: StoreCheck) -> Floats:
    """Return means and stds (2, 1 + D), of all values first; (2, 0) where nothing was measured."""
    if check.mean is None or check.std is None:
        return np.zeros((2, 0))
    one = check.dimensions
    means, stds = ((), ()) if one is None else (one.means, one.stds)
    return np.array([[check.mean, *means], [check.std, *stds]])


def _extremes(check: StoreCheck) -> tuple[float, float]:
    return check.minimum or 0.0, check.maximum or 0.0


def _where(distances: Floats, moved: Floats, limit: float) -> str:
    """Say in which dimensions (1 + D,) something went over its limit, and how far it moved."""
    over = np.flatnonzero(np.abs(distances[1:]) > limit)
    if not len(over):
        return ""
    runs = np.split(over, np.flatnonzero(np.diff(over) > 1) + 1)
    named = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:_RUNS]]
    listed = ", ".join(named) + (", ..." if len(runs) > _RUNS else "")
    ends = amount(moved[1:][over].min(), 2), amount(moved[1:][over].max(), 2)
    by = " to ".join(dict.fromkeys(ends))
    return f"; {len(over)} of {len(distances) - 1} dimensions ({listed}) by {by}"


def _unit_measures(
    older: StoreCheck, newer: StoreCheck, limits: DriftLimits
) -> Iterator[DriftMeasure]:
    """Compare how often units are used; of several codebooks, that which moved most tells."""
    pairs = [
        (before.frames, now.frames)
        for before, now in zip(older.codebooks or (), newer.codebooks or (), strict=True)
        if any(before.frames) and any(now.frames)
    ]
    if not pairs:
        return
    before, now = max(pairs, key=lambda pair: jensen_shannon_bits(*pair))
    told = shares_in_words(dict(enumerate(before)), dict(enumerate(now)), "unit {}".format)
    yield limits.measure(DriftKind.UNITS, jensen_shannon_bits(before, now), *told)
    vanished, appeared = share_outside(before, now), share_outside(now, before)
    yield limits.measure(
        DriftKind.NEW_UNITS,
        max(vanished, appeared),
        f"{percent(vanished, 2)} of the frames have units that are gone",
        f"{percent(appeared, 2)} have units that are new",
    )
    even = perplexity(before), perplexity(now)
    words = [amount(one, 1) for one in even]
    yield limits.measure(DriftKind.PERPLEXITY, abs(even[1] / even[0] - 1), *words)
