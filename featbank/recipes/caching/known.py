"""Look-up of rows that need not be computed: in the previous store, or in journals."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from featbank.errors import StoreError
from featbank.feature_io.base import FeatureStorageWriter, TracedRows, TracedWriter
from featbank.feature_io.making import open_published
from featbank.recipes.caching.journal import JournalRow, RowPlace
from featbank.recipes.caching.journals import Journals
from featbank.recipes.caching.utterance_digest import UtteranceKey

_log = logging.getLogger(__name__)


class _Rows(Protocol):
    def read(self, place: Any, /) -> JournalRow: ...


class Source(NamedTuple):
    """Where a row can be read: a journal or the previous store, and the place in it.

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

    def difference(self, other: Source) -> str:
        """Return what differs from another row of the same utterance: input or values.

        Nothing where it cannot be told without reading them.
        """
        if self.input_digest != other.input_digest:
            return "input"
        places = [one.place for one in (self, other)]
        if all(isinstance(one, RowPlace) for one in places):
            return "values" if places[0].checksum != places[1].checksum else ""
        return ""


class Known(Protocol):
    """Protocol of a look-up of rows that need not be computed."""

    def find(self, key: UtteranceKey) -> Source | None:
        """Return the row of an id and digest."""


def find_known(key: UtteranceKey, known: Sequence[Known]) -> Source | None:
    """Return the row of an id and digest from the first that has it."""
    return next((source for one in known if (source := one.find(key))), None)


class EarlierRows:
    """Rows of the previous stores of a split's features, which were published together."""

    def __init__(
        self,
        writers: Mapping[str, FeatureStorageWriter],
        fingerprint: str,
        paths: Mapping[str, Path] | None = None,
    ) -> None:
        """Open the previous stores, at the places where some writers will publish.

        Args:
            writers: by feature name.
            fingerprint: of the recipe now; stores of another one give nothing.
            paths: where they stand, by feature name, if not where these writers publish.
        """
        self._damaged = False
        self._stores: dict[str, TracedRows] = {}
        with ExitStack() as stack:
            stores = {}
            for name, writer in writers.items():
                if (store := open_published(writer, (paths or {}).get(name))) is None:
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

    def is_as_written_by(self, writers: Mapping[str, FeatureStorageWriter]) -> bool:
        """Tell whether writers would make the same files of these rows."""
        pairs = [(writers[name], store) for name, store in self._stores.items()]
        return all(isinstance(one, TracedWriter) and one.is_same_as(store) for one, store in pairs)

    def find(self, key: UtteranceKey) -> Source | None:
        """Return the row of an id and digest, if all features have it and it is sound."""
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
                _log.warning("damaged rows of the previous store are computed again: %s", error)
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
        """Close the stores."""
        for store in self._stores.values():
            store.close()


class JournaledRows:
    """Rows in the journals that stopped runs left in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look at all journals in a folder.

        Raises:
            OSError: the disk fails.
        """
        self._journals = Journals(folder)
        self._journals.refresh()

    def find(self, key: UtteranceKey) -> Source | None:
        """Return a row of an id and digest, if its bytes are as they were appended."""
        if not key.input_digest or self._journals.read(key.id, key.input_digest) is None:
            return None
        return Source(self, key, key.input_digest)

    def read(self, key: UtteranceKey) -> JournalRow:
        """Return a row that was found.

        Raises:
            StoreError: its bytes have changed meanwhile.
        """
        row = self._journals.read(key.id, key.input_digest)
        if row is None:
            raise StoreError(
                f"utterance {key.id!r} in {self._journals.folder}",
                expected="its row as it was found",
                got="other bytes",
                hint="call cache_features again: it is computed anew",
            )
        return row

    def close(self) -> None:
        """Close the files."""
        self._journals.close()


class LookedUp:
    """Cache around several look-ups, since finding a row means reading and checking it."""

    def __init__(self, known: Sequence[Known]) -> None:
        """Find rows in the first that has them."""
        self._known = known
        self._found: dict[UtteranceKey, Source | None] = {}

    def find(self, key: UtteranceKey) -> Source | None:
        """Return the row of an id and digest."""
        if key not in self._found:
            self._found[key] = find_known(key, self._known)
        return self._found[key]
