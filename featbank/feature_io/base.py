"""The contract of writers and readers of features, whatever the files behind them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from featbank.store import Encoded

Array = np.ndarray[Any, np.dtype[Any]]


@runtime_checkable
class FeatureStorageWriter(Protocol):
    """Writes the values of one feature by utterance id; publishes all of them, or nothing.

    In a `with` block, or by calls: what is written is there after `close` or `commit`.
    """

    @property
    def name(self) -> str:
        """Of the feature."""

    @property
    def storage_path(self) -> Path:
        """Where the values can be read once they are published."""

    def write(self, key: str, value: Any) -> str:
        """Write one utterance.

        Args:
            key: its id, not yet written.
            value: (T, ...), a NumPy array, or a torch tensor on any device.

        Returns:
            The key, by which it can be read.

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

    def close(self) -> None:
        """Publish what was written, or drop it while an exception is under way."""

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
    def name(self) -> str:
        """Of the feature."""

    @property
    def storage_path(self) -> Path:
        """Where the values are."""

    def read(
        self,
        key: str,
        /,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = False,
    ) -> Array:
        """Return frames of one utterance, (frames, ...).

        Args:
            key: its id.
            left_offset_frames: the first frame.
            right_offset_frames: the one after the last; None for the end of the utterance. Offsets
                are those of a slice: beyond the end they stop there, negative ones count from it.
            strict: refuse offsets outside its frames.
            copy: return an array that may be changed, as `torch.from_numpy` wants it; readers made
                for recipes do so unless they are told not to.

        Raises:
            StoreError: an id that is not there, or offsets outside its frames when `strict`.
        """

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""

    def __len__(self) -> int:
        """Return the number of utterances."""

    def close(self) -> None:
        """Let go of what is open."""


@runtime_checkable
class TracedWriter(FeatureStorageWriter, Protocol):
    """A writer whose files say what each row was computed from, so that it can be reused."""

    def describe(self, *, fingerprint: str, provenance: Mapping[str, Any]) -> None:
        """State, before the first utterance, what determines the values but their input.

        Args:
            fingerprint: digest of it.
            provenance: what it consists of, as JSON values.

        Raises:
            StoreError: an utterance is written already.
        """

    def encode(self, key: str, value: Any) -> Encoded:
        """Return the values of an utterance as they will be stored.

        Raises:
            StoreError: as of `write`.
        """

    def write_encoded(self, key: str, encoded: Encoded, input_digest: bytes = b"") -> None:
        """Write an utterance that a writer with the same options has encoded.

        Args:
            key: its id, not yet written.
            encoded: as `encode` or `TracedRows.encoded` gave it.
            input_digest: 16 bytes that stand for what it was computed from.

        Raises:
            StoreError: as of `write`, or it is encoded for another file.
        """

    def is_same_as(self, published: Any) -> bool:
        """Tell whether what is published is what this writer would make of the rows in it.

        Args:
            published: `TracedRows` of its kind, with the fingerprint that it was told.
        """


@runtime_checkable
class TracedRows(Protocol):
    """What a `TracedWriter` published, opened to take rows over."""

    @property
    def fingerprint(self) -> str:
        """As it was stated; empty where nothing was."""

    def input_digest(self, key: str, /) -> bytes:
        """Return the 16 bytes that an utterance was written with; zeros where there were none."""

    def encoded(self, key: str, /) -> Encoded:
        """Return an utterance as it is stored.

        Raises:
            StoreError: an id that is not there, or bytes that are not those that were written.
        """

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""

    def __len__(self) -> int:
        """Return the number of utterances."""

    def close(self) -> None:
        """Let go of what is open."""
