"""Choice of the splits to read: stated, wherever a folder has several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featbank.base.units import DURATIONS, UNITS
from featbank.errors import ConfigError, StoreError
from featbank.store import Store, open_store


def open_tokens(store: Store | str | Path, split: str | Sequence[str] | None) -> Store:
    """Open tokens as `open_stated` does: of a choice that merged runs, the units of the runs.

    Their durations stand in a store beside them, and are no tokens.
    """
    if not isinstance(store, Store) and all((Path(store) / x).is_dir() for x in (UNITS, DURATIONS)):
        store = Path(store) / UNITS
    return open_stated(store, split)


def open_stated(store: Store | str | Path, split: str | Sequence[str] | None) -> Store:
    """Open the splits of a folder that are named; never several that nobody named.

    Args:
        store: its path, that of a folder of splits, or one that is open.
        split: its name, or several to be read as one. None where there is but one, or where they
            were named when the store was opened.

    Raises:
        ConfigError: there are several, and none is named: training would read test data.
        StoreError: a split is not there, two of them have an utterance of the same id, or the store
            is damaged.
    """
    if not isinstance(store, Store):
        store = open_store(store, split)
    elif split is not None:
        store = store.choose(split)
    if len(store.splits) < 2:
        return store
    if store.chosen_splits is None:
        raise ConfigError(
            f"split of {store.storage_path}",
            expected="the name of one, or of several to be read as one",
            got=f"none, and there are {', '.join(store.splits)}",
            hint=f'say split="{store.splits[-1]}", or open the folder of a split',
        )
    if (repeated := store.repeated_id()) is not None:
        raise StoreError(
            f"store {store.storage_path}",
            expected="each id in one of its splits",
            got=f"{repeated!r} in two",
            hint="open one split, or give the utterances ids of their own",
        )
    return store
