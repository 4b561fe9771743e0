"""Frames of utterances out of the stores of one feature, as measures of their quality take them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.audio import length_at
from featbank.base.manifest import Utterance
from featbank.base.units import DURATIONS, expand
from featbank.errors import StoreError
from featbank.store import Store, open_verified
from featbank.validation.header import is_merged, is_tokens, value_rules
from featbank.validation.result import ProblemLog

Array = npt.NDArray[Any]


class StoredFrames:
    """Reads the frames of one feature in all splits; units are repeated for their durations.

    Args:
        folder: of the feature, with a store a split.
        splits: of the corpus; one without a store is a problem that a check names.

    Raises:
        StoreError: no split has a store, or one is damaged or does not say how many units it has.
    """

    def __init__(self, folder: Path, splits: Iterable[str]) -> None:
        there = [split for split in splits if (folder / split).is_dir()]
        if not there:
            raise StoreError(f"stores in {folder}", expected="one a split", got="none")
        self._stores = [open_verified(folder / split) for split in there]
        header = self._stores[0].header
        self._durations: list[Store] = []
        if is_merged(header):
            beside = folder.parent / DURATIONS
            self._durations = [open_verified(beside / split) for split in there]
        self.num_units = value_rules(header, ProblemLog("")).num_units
        """Of each codebook, K; None for what is no tokens."""
        if self.num_units is None and is_tokens(header):
            raise StoreError(f"units in {folder}", expected="the size of a codebook", got="none")
        self.num_values = prod(header.shape)
        """Of a frame."""
        self.framing = header.framing if header.time_axis is not None else None
        """Where each frame is; None of vectors, one an utterance."""

    def find(self, row: Utterance) -> Array | None:
        """Return the frames of an utterance, (T, D), or its vector as (1, D).

        Returns:
            They, or None where no store has it, or one holds what a check calls a problem.

        Raises:
            StoreError: the store is damaged.
        """
        number = next((n for n, one in enumerate(self._stores) if row.id in one), None)
        if number is None:
            return None
        store = self._stores[number]
        stored = store[row.id]
        merged = bool(self._durations)
        values = self._repeated(stored, self._durations[number], row) if merged else stored
        if values is None:
            return None
        if store.header.time_axis == -1:
            values = values.T
        frames = values.reshape(1 if store.header.time_axis is None else len(values), -1)
        return frames if frames.size and self._is_sound(frames) else None

    def _repeated(self, units: Array, stored: Store, row: Utterance) -> Array | None:
        if row.id not in stored or self.framing is None:
            return None
        durations = stored[row.id]
        # damaged durations could ask for any amount of memory
        expected = self.framing.num_frames(length_at(row, self.framing.sample_rate))
        if durations.shape != units.shape or int(durations.sum(dtype=np.int64)) != expected:
            return None
        return expand(units, durations)

    def _is_sound(self, frames: Array) -> bool:
        if self.num_units is None:
            return bool(np.isfinite(frames).all())
        return bool(((frames >= 0) & (frames < self.num_units)).all())
