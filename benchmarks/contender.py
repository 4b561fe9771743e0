"""What every way of storing features can do here, whether ours, the floor or a peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.corpora import Array, Row

Read = Callable[..., Array]
"""`read(id)` gives all frames, `read(id, left, right)` those from `left` to before `right`."""

Keys = Mapping[str, Any]
"""What a reader is asked for instead of an id, by id, where the peer's manifest keeps that."""


class Contender(ABC):
    """One way of storing features.

    Args of the class:
        name: in the tables.
        needs: modules that must be installed.
        tolerance: by which what is read may differ from what was written.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    tolerance: ClassVar[float] = 0.0

    @classmethod
    def is_installed(cls) -> bool:
        """Tell whether it can run here."""
        return all(find_spec(module) for module in cls.needs)

    @abstractmethod
    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        """Store rows in an empty folder; what is buffered is flushed at the end."""

    @abstractmethod
    def reader(self, folder: Path, keys: Keys) -> Read:
        """Return the fastest documented way to read by id."""
