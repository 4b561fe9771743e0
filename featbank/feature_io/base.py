"""What every writer and reader of features promises, whatever the files behind it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@runtime_checkable
class FeatureStorageWriter(Protocol):
    """Writes the values of one feature by utterance id; publishes all of them, or nothing."""

    @property
    def name(self) -> str:
        """Of the feature."""

    @property
    def storage_path(self) -> Path:
        """Where the values can be read once they are published."""

    def write(self, key: str, value: Any) -> None:
        """Write one utterance.

        Args:
            key: its id, not yet written.
            value: (T, ...), a NumPy array or a torch tensor on the CPU.

        Raises:
            StoreError: an invalid or repeated id, or values that the dtype cannot hold.
        """

    def prepare(self) -> None:
        """Bring all that was written to the disk, so that `commit` has only to rename it.

        What several writers wrote is thus published together, or nothing of it.
        """

    def commit(self) -> None:
        """Publish what was written, after `prepare` where that was not called."""

    def abort(self) -> None:
        """Drop what was not published; after `commit` nothing happens."""

    def __enter__(self) -> Self:
        """Return the writer."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish, or drop everything when the block raised."""


@runtime_checkable
class FeatureStorageReader(Protocol):
    """Reads the values of one feature by utterance id, in any process."""

    @property
    def storage_path(self) -> Path:
        """Where the values are."""

    def read(
        self, key: str, left_offset_frames: int = 0, right_offset_frames: int | None = None, /
    ) -> Array:
        """Return frames of one utterance, (frames, ...).

        Args:
            key: its id.
            left_offset_frames: the first frame.
            right_offset_frames: the one after the last; None for the end of the utterance.

        Raises:
            StoreError: an id that is not there, or offsets outside its frames.
        """

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""

    def __len__(self) -> int:
        """Return the number of utterances."""

    def close(self) -> None:
        """Let go of what is open."""
