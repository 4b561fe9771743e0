"""The file of means and variances: safetensors under a digest of its content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank import PROGRAM
from featbank.errors import StoreError
from featbank.files.sealed import read_sealed, write_sealed

BY = ("corpus", "speaker")
"""What statistics can be of."""

_FORMAT = "featbank-cmvn"
_HINT = f"make it by {PROGRAM} cmvn"
_TENSORS = {"num_frames": "<i8", "means": "<f8", "variances": "<f8"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Cmvn:
    """Means and variances of a feature: of a corpus, and of each of its speakers.

    Args:
        speakers: S of them, sorted; none where statistics are of the corpus alone.
        num_frames: (1 + S,) int64 that each is of: first of all frames, then of each speaker's.
        means, variances: (1 + S, *shape) float64.
        provenance: what they are of, as plain JSON values: `by`, `splits`, and of the store the
            `feature` and `fingerprint`, `corpus`, and a digest of the `utterances`.
    """

    speakers: tuple[str, ...]
    num_frames: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]
    provenance: Mapping[str, Any]

    @property
    def by(self) -> str:
        """What has means and variances of its own: the `corpus`, or each `speaker`."""
        return str(self.provenance["by"])

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the store that they were computed from."""
        return str(self.provenance["fingerprint"])

    def place_of(self, speaker: str) -> int:
        """Return which of the statistics are a speaker's: 0, all frames', where there are none."""
        return self._places.get(speaker, 0)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.speakers, start=1)}


def write_cmvn(path: str | Path, cmvn: Cmvn) -> None:
    """Write statistics, atomically and deterministically; of what is there, only such a file goes.

    Raises:
        StoreError: something else is there.
    """
    if os.path.lexists(path):
        read_cmvn(path, hint="choose another place, or remove it")
    tensors = {name: getattr(cmvn, name).astype(dtype) for name, dtype in _TENSORS.items()}
    header = {"speakers": list(cmvn.speakers), "provenance": dict(cmvn.provenance)}
    write_sealed(path, _FORMAT, tensors, header)


def read_cmvn(path: str | Path, *, hint: str = _HINT) -> Cmvn:
    """Read statistics.

    Raises:
        StoreError: the file is missing, damaged, or something else.
    """
    tensors, header = read_sealed(path, _FORMAT, hint, StoreError)
    try:
        found = Cmvn(
            speakers=tuple(header["speakers"]),
            provenance=header["provenance"],
            **{name: tensors[name] for name in _TENSORS},
        )
        is_sound = (
            found.by in BY
            and found.fingerprint
            and found.num_frames.shape == (1 + len(found.speakers),)
            and found.means.shape == found.variances.shape
            and found.means.shape[:1] == found.num_frames.shape
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path}", expected=_FORMAT, got=repr(error), hint=hint) from error
    if not is_sound:
        raise StoreError(
            f"{path}", expected=_FORMAT, got=f"statistics of shape {found.means.shape}", hint=hint
        )
    return found
