"""Confusion of units and labels: which phone, and how often, the frames of a unit are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featbank.validation.agreement import Counts

MAX_LABELS, MAX_UNITS = 48, 128
"""The most frequent that are kept: a picture shows no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitConfusion:
    """How many frames of each unit have which label, of the most frequent of both.

    Args:
        labels: (L,) the most frequent first.
        units: (U,) their numbers, in the order of the label that goes best with each.
        frames: (L, U) of a label and a unit.
        unit_frames: (U,) of a unit and any label, also of labels that are not kept.
        num_labels, num_units: that any labelled frame has, also of those that are not kept.
    """

    labels: tuple[str, ...]
    units: tuple[int, ...]
    frames: tuple[tuple[int, ...], ...]
    unit_frames: tuple[int, ...]
    num_labels: int
    num_units: int

    @classmethod
    def of(cls, labels: Sequence[str], joint: Counts) -> UnitConfusion | None:
        """Keep the most frequent labels and units of a table (labels, units); None of no frame."""
        of_label, of_unit = joint.sum(axis=1), joint.sum(axis=0)
        if not joint.any():
            return None
        rows = [row for row in np.argsort(-of_label, kind="stable")[:MAX_LABELS] if of_label[row]]
        used = np.argsort(-of_unit, kind="stable")[:MAX_UNITS]
        kept = joint[rows]
        likeliest = kept.argmax(axis=0)
        columns = sorted(
            (int(unit) for unit in used if of_unit[unit]),
            key=lambda unit: (int(likeliest[unit]), -int(of_unit[unit]), unit),
        )
        return cls(
            labels=tuple(labels[row] for row in rows),
            units=tuple(columns),
            frames=tuple(tuple(row) for row in kept[:, columns].tolist()),
            unit_frames=tuple(int(of_unit[unit]) for unit in columns),
            num_labels=int(np.count_nonzero(of_label)),
            num_units=int(np.count_nonzero(of_unit)),
        )
