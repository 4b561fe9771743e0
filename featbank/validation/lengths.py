"""Check of the lengths of rows against their audio; of merged units, by their durations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featbank.audio import length_at
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.base.units import DURATIONS, UNITS, expand
from featbank.errors import StoreError
from featbank.store import Store, StoreHeader
from featbank.validation.header import is_merged
from featbank.validation.result import ProblemLog

Array = np.ndarray[Any, np.dtype[Any]]


class LengthCheck:
    """Compares the rows of a store with the exact number of frames of their audio.

    Args:
        folder: of the store.
        header: of the store.
        log: takes what is wrong.
    """

    def __init__(self, folder: Path, header: StoreHeader, log: ProblemLog) -> None:
        self._header = header
        self._log = log
        self._durations = self._open_durations(folder)

    def frames(self, values: Array, row: Utterance, where: str) -> Array | None:
        """Check the values of a row.

        Args:
            values: (T, *shape), or (N,) where runs of equal units were merged.
            row: of the manifest.
            where: names the row in sentences.

        Returns:
            The values frame by frame; None where there is no frame grid, or units and durations do
            not give as many frames as it says.
        """
        if self._header.framing is None:
            return None
        expected = _num_frames(row, self._header.framing)
        if not is_merged(self._header):
            if len(values) != expected:
                self._log.add("wrong length", where, expected=f"{expected} frames", got=len(values))
            return values
        if self._header.name == DURATIONS:
            if (total := int(values.sum(dtype=np.int64))) != expected:
                self._log.add(
                    "wrong sum of durations", where, expected=f"{expected} frames", got=total
                )
            return None
        return self._merged_frames(values, expected, row.id, where)

    def _merged_frames(
        self, units: Array, expected: int, utterance_id: str, where: str
    ) -> Array | None:
        if repeats := int((units[1:] == units[:-1]).sum()):
            self._log.add(
                "repeated units", where, expected="no two equal neighbours", got=f"{repeats} pairs"
            )
        if self._durations is None or utterance_id not in self._durations:
            return None
        durations = self._durations[utterance_id]
        if durations.shape != units.shape:
            self._log.add(
                "units unlike durations",
                where,
                expected=f"{len(durations)} units, one a duration",
                got=len(units),
            )
            return None
        # a damaged sum, which the check of the durations names, could ask for any amount of memory
        if int(durations.sum(dtype=np.int64)) != expected:
            return None
        return expand(units, durations)

    def _open_durations(self, folder: Path) -> Store | None:
        """Open the durations beside a store of merged units."""
        if self._header.name != UNITS or not is_merged(self._header):
            return None
        try:
            return Store(folder.parent.parent / DURATIONS / folder.name)
        except StoreError as error:
            self._log.add(
                "no durations", "", expected="a store of durations beside it", got=error.got
            )
            return None


def _num_frames(row: Utterance, framing: Framing) -> int:
    return framing.num_frames(length_at(row, framing.sample_rate))
