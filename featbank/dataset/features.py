"""A map-style dataset over stores that are joined by utterance id."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featbank.dataset.manifest_texts import ManifestTexts
from featbank.dataset.padding import Padded, item_dtype, pad, stack
from featbank.errors import ConfigError, StoreError
from featbank.store import Store, open_store

_log = logging.getLogger(__name__)


class FeatureDataset(Dataset[dict[str, Any]]):
    """Utterances with their features, tokens and texts.

    An item is a dict: `id`, a tensor (T, *shape) under the name of each store, (Q, T) for codes,
    (*shape) for one value an utterance, and a text under each field of the manifest. Floats have
    the dtype that the store reads as, integers are int64. Hand `collate` to the `DataLoader`: it
    copies values from the files into the padded batch, once.

    The dataset may be forked, or pickled to a spawned worker: workers share the page cache, and
    none holds a list of ids.
    """

    def __init__(
        self,
        stores: Mapping[str, Store | str | Path],
        *,
        manifest: str | Path | Sequence[str | Path] | None = None,
        fields: Sequence[str] = ("text",),
        ids: Iterable[str] | None = None,
        skip_missing: bool = False,
        padding_value: float | Mapping[str, float] = 0.0,
    ) -> None:
        """Join stores.

        Args:
            stores: by the name that their values get; the order of items is that of the first one.
            manifest: one or several, such as those of the splits that the stores hold.
            fields: what is taken of them: text, speaker, language, part, audio.
            ids: only these utterances, in this order.
            skip_missing: leave out what is not in every store and in the manifest; without, such
                utterances are an error. What a store lists as failed is never one.
            padding_value: of batches, one or by store: -100 is what torch's losses ignore.

        Raises:
            ConfigError: no store, or a name that is given twice.
            StoreError: a store is damaged, or utterances are missing.
            ManifestError: a manifest is missing or damaged.
        """
        self.stores = {
            name: one if isinstance(one, Store) else open_store(one) for name, one in stores.items()
        }
        for store in self.stores.values():
            if (repeated := store.repeated_id()) is not None:
                raise StoreError(
                    f"store {store.storage_path}",
                    expected="each id in one of its splits",
                    got=f"{repeated!r} in two",
                    hint="open one split, or give the utterances ids of their own",
                )
        if not self.stores:
            raise ConfigError("stores of a dataset", expected="one or more", got="none")
        self._first = next(iter(self.stores.values()))
        self._padding = _by_store(padding_value, self.stores)
        self._texts: ManifestTexts | None = None
        if manifest is not None:
            paths = [manifest] if isinstance(manifest, str | Path) else manifest
            self._texts = ManifestTexts(self._first, paths, fields)
            if twice := sorted({"id", *self.stores} & {*fields}):
                raise ConfigError(
                    "stores and fields of a dataset", expected="names of their own", got=twice[0]
                )
        if "id" in self.stores:
            raise ConfigError("name of a store", expected="another than 'id'", got="'id'")
        self._rows = (
            self._choose(ids, skip_missing) if ids is not None else self._join(skip_missing)
        )
        self._ids = self._first.ids
        self._length = len(self._first) if self._rows is None else len(self._rows)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one utterance, its tensors in memory of their own."""
        row, utterance_id = self._locate(index)
        values = {
            name: torch.from_numpy(np.array(store[utterance_id], item_dtype(store.dtype)))
            for name, store in self.stores.items()
        }
        return {"id": utterance_id, **values, **self._texts_of(row)}

    def __getitems__(self, indices: list[int]) -> Sequence[dict[str, Any]]:
        """Return utterances that are read when they are looked at, for `collate` to copy once."""
        return _Chosen(self, indices)

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch: the `collate_fn` of a `DataLoader`.

        Args:
            items: one or more of this dataset.

        Returns:
            `id` and each text as a list of B, the values of each store as `Padded`, or as a tensor
            (B, *shape) where there is one value an utterance.
        """
        if isinstance(items, _Chosen):
            return items.padded()
        names = [name for name in items[0] if name not in self.stores]
        return {
            **{name: [item[name] for item in items] for name in names},
            **{
                name: self._pad(name, [item[name].numpy() for item in items])
                for name in self.stores
            },
        }

    def id(self, index: int) -> str:
        """Return the id of an item."""
        return self._locate(index)[1]

    def lengths(self, name: str | None = None) -> npt.NDArray[np.int64]:
        """Return the frames of every item, (len(self),): what batches are made by.

        Args:
            name: of the store; by default the first one that has frames.

        Raises:
            ConfigError: there is no such store, or it has one value an utterance.
        """
        framed = {
            one: store for one, store in self.stores.items() if store.header.time_axis is not None
        }
        if not framed or (name is not None and name not in framed):
            raise ConfigError(
                "name of a store with frames",
                expected=" or ".join(framed) or "one in the dataset",
                got="none" if name is None else name,
            )
        store = next(iter(framed.values())) if name is None else framed[name]
        if store is self._first or store.ids == self._first.ids:
            counts = store.frame_counts
            return counts if self._rows is None else counts[self._rows]
        each = (store.num_frames(self.id(index)) for index in range(len(self)))
        return np.fromiter(each, np.int64, len(self))

    def _locate(self, index: int) -> tuple[int, str]:
        """Return the row in the first store and the id of an item."""
        if not -self._length <= index < self._length:
            raise IndexError(f"expected an index within {self._length} utterances, got {index}")
        row = index % self._length if self._rows is None else int(self._rows[index])
        return row, self._ids[row]

    def _texts_of(self, row: int) -> dict[str, str]:
        return self._texts.of(row) if self._texts else {}

    def _pad(self, name: str, arrays: Sequence[npt.NDArray[Any]]) -> Padded | torch.Tensor:
        time_axis = self.stores[name].header.time_axis
        if time_axis is None:
            return stack(arrays)
        return pad(arrays, time_axis=time_axis, padding_value=self._padding[name])

    def _choose(self, ids: Iterable[str], skip_missing: bool) -> npt.NDArray[np.int64]:
        """Return the rows of ids, in their order."""
        chosen = list(ids)
        absent = {
            f"store {name!r} at {store.storage_path}": [one for one in chosen if one not in store]
            for name, store in self.stores.items()
        }
        missing = {one for some in absent.values() for one in some}
        found = [one for one in chosen if one not in missing]
        if self._texts:
            texts = self._texts
            absent["manifest"] = [
                one for one in found if not texts.has(self._first.row_number(one))
            ]
            missing.update(absent["manifest"])
        self._settle(absent, "all ids that were chosen", skip_missing, len(chosen))
        kept = [self._first.row_number(one) for one in found if one not in missing]
        return np.array(kept, np.int64)

    def _join(self, skip_missing: bool) -> npt.NDArray[np.int64] | None:
        """Return the rows that are everywhere; None for all, when nothing is missing anywhere."""
        first, keep = self._first, np.ones(len(self._first), bool)
        first_name = next(iter(self.stores))
        here = f"store {first_name!r} at {first.storage_path}"
        absent: dict[str, list[str]] = {here: []}
        for name, store in self.stores.items():
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
        self._settle(
            absent, "all utterances of the others", skip_missing, int(keep.sum()) + len(missing)
        )
        return None if keep.all() else np.flatnonzero(keep)

    def _ids_of(self, rows: npt.NDArray[np.bool_]) -> list[str]:
        return [self._first.ids[row] for row in np.flatnonzero(rows).tolist()]

    def _settle(
        self, absent: Mapping[str, Sequence[str]], expected: str, skip_missing: bool, total: int
    ) -> None:
        """Refuse what is missing without being known to have failed; say what is left out."""
        failed = {failure.id for store in self.stores.values() for failure in store.failures}
        for where, some in absent.items():
            unknown = [one for one in some if one not in failed]
            if unknown and not skip_missing:
                raise StoreError(
                    where,
                    expected=expected,
                    got=f"{len(unknown)} missing, the first {unknown[0]!r}",
                    hint="run the stage that makes it again, or set skip_missing=True",
                )
        if missing := {one for some in absent.values() for one in some}:
            _log.warning(
                "%d of %d utterances are left out, %d of them listed as failed: %s",
                len(missing),
                total,
                len(missing & failed),
                "; ".join(f"{where} lacks {len(some)}" for where, some in absent.items() if some),
            )


class _Chosen(Sequence[dict[str, Any]]):
    """Some items of a dataset, read when they are looked at."""

    def __init__(self, dataset: FeatureDataset, indices: list[int]) -> None:
        self._dataset = dataset
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return _Chosen(self._dataset, self._indices[place])
        return self._dataset[self._indices[place]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._dataset.__getitem__, self._indices)

    def padded(self) -> dict[str, Any]:
        """Return them as one batch, copied once."""
        dataset = self._dataset
        located = [dataset._locate(index) for index in self._indices]
        texts = [dataset._texts_of(row) for row, _ in located]
        ids = [utterance_id for _, utterance_id in located]
        return {
            "id": ids,
            **{field: [one[field] for one in texts] for field in texts[0]},
            **{
                name: dataset._pad(name, [*map(store.read, ids)])
                for name, store in dataset.stores.items()
            },
        }


def _by_store(
    padding_value: float | Mapping[str, float], stores: Mapping[str, Store]
) -> dict[str, float]:
    if not isinstance(padding_value, Mapping):
        return dict.fromkeys(stores, padding_value)
    if unknown := sorted(set(padding_value) - set(stores)):
        raise ConfigError(
            "padding_value", expected=f"names among {', '.join(stores)}", got=unknown[0]
        )
    return {name: padding_value.get(name, 0.0) for name in stores}
