"""Lengths and ids of the utterances that batches are made of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featbank.dataset.features import FeatureDataset
from featbank.dataset.lengths import Lengths
from featbank.errors import ConfigError

_log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Utterances = FeatureDataset | Sequence[int] | npt.NDArray[Any] | torch.Tensor

_LENGTHS = "lengths of batches"
_LONGEST = 1 << 48  # so many frames that no sum overflows
_NUM_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Lengths of utterances by index, and what to call each.

    Args:
        lengths: in frames, (N,).
        ids: of each; a dataset reads them where they are asked for.
    """

    lengths: Ints
    ids: FeatureDataset | Sequence[str] | None

    @classmethod
    def of(
        cls, lengths: Utterances, *, name: str | None = None, ids: Sequence[str] | None = None
    ) -> Measured:
        """Take a dataset, or lengths and perhaps ids.

        Args:
            lengths: the dataset; or integers of 0 or more, one an utterance.
            name: of the dataset's store whose lengths count.
            ids: of the utterances, beside lengths.

        Raises:
            ConfigError: they are something else.
        """
        if isinstance(lengths, FeatureDataset):
            if ids is not None:
                raise ConfigError("ids of batches", expected="those of the dataset", got="others")
            return cls(lengths=np.asarray(lengths.lengths(name)), ids=lengths)
        if name is not None:
            raise ConfigError(
                "name of a store to measure by", expected="a dataset that has it", got="lengths"
            )
        owner = lengths.dataset if isinstance(lengths, Lengths) else None
        found = cls(lengths=_integers(lengths), ids=owner if ids is None else ids)
        if ids is not None and len(ids) != len(found.lengths):
            raise ConfigError(
                "ids of batches", expected=f"{len(found.lengths)}, one a length", got=len(ids)
            )
        for place in (found.lengths.argmin(), found.lengths.argmax()) if len(found.lengths) else ():
            if not 0 <= (length := found.lengths[place]) < _LONGEST:
                raise ConfigError(
                    f"{_LENGTHS}: utterance {found.call(int(place))}",
                    expected="0 frames or more",
                    got=length,
                )
        return found

    def call(self, place: int) -> str:
        """Return the name of an utterance in messages: its id, where that is known."""
        if isinstance(self.ids, FeatureDataset):
            return repr(self.ids.id(place))
        return str(place) if self.ids is None else repr(self.ids[place])

    def identity(self) -> Iterable[str] | None:
        """Return the ids or their digest; None where only lengths are known.

        A dataset's ids are many, and come from its files as a digest at once.
        """
        return [self.ids.ids_digest()] if isinstance(self.ids, FeatureDataset) else self.ids

    def within(self, shortest: int | None, longest: int | None) -> npt.NDArray[np.bool_]:
        """Tell which utterances are neither too short nor too long, (N,); log the others.

        Raises:
            ConfigError: none can be.
        """
        within = np.ones(len(self.lengths), bool)
        bounds = []
        if shortest is not None:
            within &= self.lengths >= shortest
            bounds.append(f"under {shortest}")
        if longest is not None:
            if shortest is not None and shortest > longest:
                raise ConfigError(
                    "min_length of batches", expected=f"at most max_length={longest}", got=shortest
                )
            within &= self.lengths <= longest
            bounds.append(f"over {longest}")
        if len(out := np.flatnonzero(~within)):
            called = ", ".join(self.call(place) for place in out[:_NUM_SHOWN].tolist())
            _log.warning(
                "%d of %d utterances have %s frames, and are left out of batches: %s%s",
                len(out),
                len(within),
                " or ".join(bounds),
                called,
                " and so on" if len(out) > _NUM_SHOWN else "",
            )
        return within


def _integers(lengths: Any) -> Ints:
    if isinstance(lengths, torch.Tensor):
        lengths = lengths.detach().cpu()
    elif isinstance(lengths, Dataset):
        raise ConfigError(
            _LENGTHS,
            expected="a FeatureDataset, or integers",
            got=f"a {type(lengths).__name__}",
            hint="hand over the lengths of its items, and their ids as ids=",
        )
    try:
        found = np.asarray(lengths)
    except (TypeError, ValueError) as error:  # bfloat16; lists of several lengths
        raise ConfigError(_LENGTHS, expected="integers, one an utterance", got=error) from error
    if found.shape == (0,):
        return np.empty(0, np.int64)  # of an empty list NumPy makes floats
    if found.ndim != 1 or found.dtype.kind not in "iu" or int(found.max()) >= 1 << 63:
        raise ConfigError(
            _LENGTHS, expected="integers, one an utterance", got=f"{found.shape} of {found.dtype}"
        )
    return np.ascontiguousarray(found, np.int64)
