"""Base of the readers of foreign files: ids, offsets, pickling, files that are to come."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, ClassVar, Self

from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.frames import DAMAGE, Frames
from featbank.store.slicing import frame_span


class FileReader(ABC):
    """Reads the features of utterances by id from a file, or a folder of files.

    It is opened when it is first read, so that a recipe may declare its readers in YAML before it
    has computed, or computed anew, what they read; what is there by then is looked at at once, too.
    Open handles survive neither a fork nor a pickle, so that each process opens its own.
    """

    version: ClassVar[int] = 1

    suffix = ""

    def __init__(self, storage_path: str | Path, *, name: str | None = None) -> None:
        """Look at what is there.

        Args:
            storage_path: of the file or folder; the suffix of its kind is added where nothing is
                there without it.
            name: of the feature; None for the name of the file.

        Raises:
            StoreError: something else is there.
        """
        self._given = Path(storage_path)
        self._path = self._given.absolute()  # it may be opened again from another folder
        self._name = name
        if self._exists():
            self._look()

    @property
    def storage_path(self) -> Path:
        """Where the values are, or will be."""
        return self._given if self._place() == self._path else with_suffix(self._given, self.suffix)

    @property
    def name(self) -> str:
        """Of the feature."""
        return self.storage_path.stem if self._name is None else self._name

    def read(
        self,
        key: str,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = False,  # noqa: ARG002
    ) -> Array:
        """Return frames of one utterance, (frames, ...), in memory of their own.

        Args:
            key: its id.
            left_offset_frames: the first frame.
            right_offset_frames: the one after the last; None for the end. Offsets are taken as a
                slice takes them: beyond the end they stop there, negative ones count from it.
            strict: refuse offsets outside the utterance's frames.
            copy: changes nothing: every read may be changed.

        Raises:
            StoreError: nothing is there, an id that is not, values that are damaged or no numbers,
                or offsets outside the frames when `strict`.
        """
        where = f"utterance {key!r} in {self._given}"
        left = index(left_offset_frames)
        right = None if right_offset_frames is None else index(right_offset_frames)
        try:
            with self._frames(key, where) as frames:
                if right is None or not 0 <= left <= right <= frames.sure_frames:
                    left, right = frame_span(len(frames), left, right, strict=strict, where=where)
                values = frames[left:right]
        except DAMAGE as error:
            raise StoreError(where, expected="values as they were written", got=error) from error
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self)

    def __getitem__(self, key: str) -> Array:
        """Return all frames of an utterance."""
        return self.read(key)

    @abstractmethod
    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Give the ids."""

    def __len__(self) -> int:
        """Return the number of utterances."""
        return sum(1 for _ in self)

    def close(self) -> None:  # noqa: B027 - most keep nothing open
        """Let go of what is open; a later read opens it anew."""

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path."""
        return partial(type(self), name=self._name), (self._path,)

    def _place(self) -> Path:
        """Return where it is, or will be."""
        if is_file(self._path):
            return self._path
        return with_suffix(self._path, self.suffix)

    def _exists(self) -> bool:
        return os.path.lexists(self._place()) or os.path.lexists(self._path)

    def _unknown(self, key: object) -> StoreError:
        return StoreError(
            f"file {self.storage_path}", expected="an id that it holds", got=repr(key)
        )

    @abstractmethod
    def _look(self) -> None:
        """Refuse what is there when it is nothing that this reads."""

    @abstractmethod
    def _frames(self, key: str, where: str) -> AbstractContextManager[Frames]:
        """Give the frames of an utterance, open to be read.

        Raises:
            StoreError: it is not there, or its values are no numbers.
            DAMAGE: they are damaged.
        """


def is_file(path: Path) -> bool:
    """Tell whether something stands there that is no folder, a pipe included."""
    return os.path.lexists(path) and not path.is_dir()


def with_suffix(path: Path, suffix: str) -> Path:
    """Return a path with a suffix behind its name, unless it has it, as lhotse names files.

    >>> with_suffix(Path("feats/fbank.v2"), ".h5").name
    'fbank.v2.h5'
    """
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def absent(path: Path) -> StoreError:
    """Return the error about what nobody has computed yet."""
    return StoreError(
        f"features {path}",
        expected="a file or folder of features",
        got="nothing there",
        hint="compute them first: run cache_features, or the stage that makes them",
    )
