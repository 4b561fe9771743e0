"""Rows that need not be computed: in the store that was published before, or in journals."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from featbank.caching.journal import SUFFIX, JournalFile, JournalRow
from featbank.caching.utterance_digest import UtteranceKey
from featbank.errors import StoreError
from featbank.feature_io import FeatureStorageWriter, TracedRows, open_published

_log = logging.getLogger(__name__)


class _Rows(Protocol):
    def read(self, place: Any, /) -> JournalRow: ...


class Source(NamedTuple):
    """Where a row is had.

    Args:
        rows: a journal, or the earlier store.
        place: of the row in them.
        input_digest: of the row.
    """

    rows: _Rows
    place: Any
    input_digest: bytes

    def read(self) -> JournalRow:
        """Return the row.

        Raises:
            StoreError: its bytes have changed meanwhile.
        """
        return self.rows.read(self.place)


class EarlierRows:
    """The rows of the features of a split that were published together, for taking them over."""

    def __init__(self, writers: Mapping[str, FeatureStorageWriter], fingerprint: str) -> None:
        """Open what stands where some writers will publish.

        Args:
            writers: by feature name.
            fingerprint: of the recipe now; stores of another one give nothing.
        """
        self._damaged = False
        self._stores: dict[str, TracedRows] = {}
        with ExitStack() as stack:
            stores = {}
            for name, writer in writers.items():
                if (store := open_published(writer)) is None:
                    return
                stack.callback(store.close)
                if store.fingerprint != fingerprint:
                    return
                stores[name] = store
            self._stores = stores
            stack.pop_all()

    def __len__(self) -> int:
        """Return the number of rows; 0 where the features do not have as many."""
        counts = {len(store) for store in self._stores.values()}
        return counts.pop() if len(counts) == 1 else 0

    def __contains__(self, utterance_id: str) -> bool:
        """Tell whether there is a row of an id, whatever its digest."""
        return bool(self._stores) and all(utterance_id in one for one in self._stores.values())

    def find(self, key: UtteranceKey) -> Source | None:
        """Return a row, if all features have it, of that digest and sound."""
        if not key.input_digest or not self._stores:
            return None
        try:
            for store in self._stores.values():
                if key.id not in store or store.input_digest(key.id) != key.input_digest:
                    return None
                store.encoded(key.id)  # looks at its bytes
        except StoreError as error:
            if not self._damaged:  # once, for all of its rows may be so
                self._damaged = True
                _log.warning("computed anew: %s", error)
            return None
        return Source(self, key, key.input_digest)

    def read(self, key: UtteranceKey) -> JournalRow:
        """Return a row that was found.

        Raises:
            StoreError: its bytes have changed meanwhile.
        """
        return JournalRow(
            id=key.id,
            input_digest=key.input_digest,
            features={name: store.encoded(key.id) for name, store in self._stores.items()},
        )

    def close(self) -> None:
        """Let go of the stores."""
        for store in self._stores.values():
            store.close()


class JournaledRows:
    """The rows that stopped runs left in the journals of a folder; memory holds their places."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Open and scan all journals in a folder.

        Args:
            folder: of the journals.
            names: of the features that a row must have.

        Raises:
            OSError: the disk fails.
        """
        self._files = [JournalFile(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
        self._names = list(names)
        self._sources = {
            UtteranceKey(place.id, place.input_digest): Source(file, place, place.input_digest)
            for file in self._files
            for place in file.scan()
        }

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._sources)

    def find(self, key: UtteranceKey) -> Source | None:
        """Return a row of an id and digest."""
        return self._sources.get(key) if key.input_digest else None

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
