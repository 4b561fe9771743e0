"""Join of stores and manifests by utterance id."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from featbank.dataset.manifest_texts import ManifestTexts
from featbank.errors import StoreError
from featbank.store import Store

_log = logging.getLogger(__name__)


class Joined:
    """Stores and manifests by utterance id, in the order of the first store.

    Args:
        stores: one or more, by name.
        texts: of manifests; None where there are none.
        skip_missing: leave out what one of them lacks; without, that is an error. What a store
            lists as failed is always left out.
    """

    def __init__(
        self, stores: Mapping[str, Store], texts: ManifestTexts | None, *, skip_missing: bool
    ) -> None:
        self._stores = stores
        self._texts = texts
        self._skip_missing = skip_missing
        self._first = next(iter(stores.values()))

    def choose(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows in the first store of some ids, (n,), in their order.

        Raises:
            StoreError: some are missing.
        """
        chosen = list(ids)
        absent = {
            f"store {name!r} at {store.storage_path}": [one for one in chosen if one not in store]
            for name, store in self._stores.items()
        }
        missing = {one for some in absent.values() for one in some}
        found = [one for one in chosen if one not in missing]
        if self._texts:
            texts = self._texts
            absent["manifest"] = [
                one for one in found if not texts.has(self._first.row_number(one))
            ]
            missing.update(absent["manifest"])
        self._settle(absent, "all ids that were chosen", len(chosen))
        kept = [self._first.row_number(one) for one in found if one not in missing]
        return np.array(kept, np.int64)

    def rows(self) -> npt.NDArray[np.int64] | None:
        """Return the rows in the first store that are everywhere; None for all of them.

        Raises:
            StoreError: some are missing somewhere.
        """
        first, keep = self._first, np.ones(len(self._first), bool)
        first_name = next(iter(self._stores))
        here = f"store {first_name!r} at {first.storage_path}"
        absent: dict[str, list[str]] = {here: []}
        for name, store in self._stores.items():
            if store is first or store.ids == first.ids:
                continue
            found = np.fromiter((one in store for one in first.ids), bool, len(first))
            keep &= found
            absent[f"store {name!r} at {store.storage_path}"] = self._ids_of(~found)
            if len(store) > found.sum():
                absent[here] += [one for one in store.ids if one not in first]
        if self._texts:
            without = np.zeros(len(first), bool)
            without[self._texts.rows_without] = True
            keep &= ~without
            absent["manifest"] = self._ids_of(without)
            absent[here] += self._texts.ids_elsewhere
        absent[here] = list(dict.fromkeys(absent[here]))
        missing = {one for some in absent.values() for one in some}
        self._settle(absent, "all utterances of the others", int(keep.sum()) + len(missing))
        return None if keep.all() else np.flatnonzero(keep)

    def _ids_of(self, rows: npt.NDArray[np.bool_]) -> list[str]:
        return [self._first.ids[row] for row in np.flatnonzero(rows).tolist()]

    def _settle(self, absent: Mapping[str, Sequence[str]], expected: str, total: int) -> None:
        """Refuse what is missing without being known to have failed; say what is left out."""
        failed = {failure.id for store in self._stores.values() for failure in store.failures}
        for where, some in absent.items():
            unknown = [one for one in some if one not in failed]
            if unknown and not self._skip_missing:
                raise StoreError(
                    where,
                    expected=expected,
                    got=f"{len(unknown)} missing, the first {unknown[0]!r}",
                    hint="run the stage that makes it again, or in a recipe call cache_features; "
                    "or set skip_missing=True",
                )
        if missing := {one for some in absent.values() for one in some}:
            _log.warning(
                "%d of %d utterances are left out, %d of them listed as failed: %s",
                len(missing),
                total,
                len(missing & failed),
                "; ".join(f"{where} lacks {len(some)}" for where, some in absent.items() if some),
            )
