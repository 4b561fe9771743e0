"""Epoch numbers of training loops that count from another number after a state was loaded."""

from __future__ import annotations

from operator import index

import numpy as np
import torch

from featbank.errors import ConfigError


class EpochCount:
    """Translates the epoch numbers of a training loop into those of a sampler.

    A run that goes on in epoch 3 may call it 3, or begin to count at 0 again.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._told: int | None = None
        self._loaded: int | None = None  # the epoch of a state, until the loop says what it counts
        self._told_before: int | None = None  # what the loop had called it, where it said so before

    @property
    def is_loaded(self) -> bool:
        """Whether a state was loaded and no epoch has been set since."""
        return self._loaded is not None

    def loaded(self, epoch: int, *, has_begun: bool) -> int | None:
        """Note the epoch of a loaded state; return the number the loop had set for the next one."""
        self._offset, self._loaded = 0, epoch
        # torchdata loads when an iteration is asked for: behind `set_epoch`
        self._told_before = None if has_begun else self._told
        return self._told_before

    def told(self, epoch: int, *, ahead: int, has_begun: bool) -> int:
        """Return the epoch that a loop means by the number `epoch`.

        Args:
            epoch: told.
            ahead: the epoch that would come without being told.
            has_begun: an iteration, since a state was loaded.
        """
        if self._loaded is not None:
            if has_begun and self._told_before is not None:
                self._offset = max(0, self._loaded - self._told_before)
            else:
                self._offset = ahead - epoch if epoch < self._loaded else 0
            self._loaded = None
        self._told = epoch
        return epoch + self._offset


def whole_number(what: str, number: object) -> int:
    """Return a number of 0 or more, Python's, NumPy's or torch's.

    Raises:
        ConfigError: something else.
    """
    is_bool = isinstance(number, bool) or getattr(number, "dtype", None) in (torch.bool, np.bool_)
    try:
        whole = -1 if is_bool else index(number)  # type: ignore[arg-type]
    except TypeError:
        whole = -1
    if whole < 0:
        raise ConfigError(what, expected="a whole number, 0 or more", got=repr(number))
    return int(whole)
