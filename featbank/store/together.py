"""Publish several stores at once, and state which splits they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from featbank.store.builder import StoreBuilder
from featbank.store.splits import stating_splits
from featbank.store.writer import StoreWriter


class _Committed(Protocol):
    def prepare(self) -> None: ...

    def commit(self) -> None: ...


def publish_together(builders: Iterable[StoreBuilder]) -> None:
    """Publish completed stores: all the splits that the folders above them then hold.

    Raises:
        StoreError: something that is no store has come to a place meanwhile, or the disk fails.
    """
    builders = list(builders)
    with stating_splits(builders, keep_others=False):
        for builder in builders:
            builder.publish()


def commit_together(writers: Iterable[_Committed], *, keep_others: bool = False) -> None:
    """Publish what several writers wrote, or nothing: what can fail, fails before the first.

    Args:
        writers: of stores, or of files of another kind, of which nothing is stated.
        keep_others: of the stores that stand beside these: they are splits of the same features.

    Raises:
        StoreError: a disk is full, or a writer has failed or ended.
    """
    writers = list(writers)
    for writer in writers:
        writer.prepare()
    builders = [writer.builder for writer in writers if isinstance(writer, StoreWriter)]
    with stating_splits(builders, keep_others=keep_others):
        for writer in writers:
            writer.commit()
