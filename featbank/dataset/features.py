"""A map-style dataset over stores that are joined by utterance id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from operator import index as as_index
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featbank.dataset.items import Item
from featbank.dataset.joining import Joined
from featbank.dataset.lengths import Lengths
from featbank.dataset.manifest_texts import ManifestTexts
from featbank.dataset.padding import Padded, item_dtype, pad, padding_values, stack
from featbank.dataset.splits import open_stated
from featbank.errors import ConfigError, StoreError
from featbank.feature_io.cmvn_file import Cmvn
from featbank.feature_io.normalized import normalized_readers
from featbank.files.provenance import digest
from featbank.store import Store


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
        padding_value: float | Mapping[str, float] | None = None,
        split: str | Sequence[str] | None = None,
        cmvn: Mapping[str, Cmvn | str | Path] | None = None,
    ) -> None:
        """Join stores.

        Args:
            stores: by the name that their values get; the order of items is that of the first one.
            manifest: one or several, such as those of the splits that the stores hold.
            fields: what is taken of them: text, speaker, language, part, audio, license, consent.
            ids: only these utterances, in this order.
            skip_missing: leave out what is not in every store and in the manifest; without, such
                utterances are an error. What a store lists as failed is never one.
            padding_value: of batches, one or by store. By default 0 behind floats, and -100 behind
                integers: torch's losses ignore it, and no unit is negative.
            split: of each store, where its path is a folder of several: the name of one, or of
                several to be read as one.
            cmvn: statistics, or their file, by the name of a store whose values they normalize; of
                speakers, the manifests say who speaks.

        Raises:
            ConfigError: no store, a name that is given twice, a padding that is a unit, several
                splits of which none is named, or statistics of a store that is not there.
            StoreError: a store is damaged, or has no such split, or utterances are missing; or
                statistics are of other features.
            ManifestError: a manifest is missing or damaged.
        """
        self.stores = {name: open_stated(one, split) for name, one in stores.items()}
        if not self.stores:
            raise ConfigError("stores of a dataset", expected="one or more", got="none")
        self._first = next(iter(self.stores.values()))
        self._padding = padding_values(padding_value, self.stores)
        self._texts: ManifestTexts | None = None
        paths = [manifest] if isinstance(manifest, str | Path) else [*(manifest or ())]
        self._readers = normalized_readers(self.stores, cmvn or {}, paths)
        if manifest is not None:
            self._texts = ManifestTexts(self._first, paths, fields)
            if twice := sorted({"id", *self.stores} & {*fields}):
                raise ConfigError(
                    "stores and fields of a dataset", expected="names of their own", got=twice[0]
                )
        if "id" in self.stores:
            raise ConfigError("name of a store", expected="another than 'id'", got="'id'")
        joined = Joined(self.stores, self._texts, skip_missing=skip_missing)
        self._rows = joined.choose(ids) if ids is not None else joined.rows()
        self._ids = self._first.ids
        self._length = len(self._first) if self._rows is None else len(self._rows)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return self._length

    @overload
    def __getitem__(self, index: SupportsIndex | str) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: SupportsIndex | str | slice) -> Item | Sequence[Item]:
        """Return one utterance by its place or id, its tensors in memory of their own.

        Of a slice, utterances that are read when they are looked at; `collate` takes them.

        Raises:
            IndexError: there is no such place.
            StoreError: there is no such id.
            TypeError: it is something else.
        """
        if isinstance(index, slice):
            return _Chosen(self, [*range(*index.indices(self._length))])
        row, utterance_id = self._locate(index)
        values = {
            name: torch.from_numpy(np.array(reader.read(utterance_id), item_dtype(reader.dtype)))
            for name, reader in self._readers.items()
        }
        return Item(id=utterance_id, **values, **self._texts_of(row))

    def __contains__(self, utterance_id: object) -> bool:
        """Tell whether an utterance of this id is among them."""
        return isinstance(utterance_id, str) and self._row_of(utterance_id) is not None

    def __getitems__(self, indices: Sequence[SupportsIndex | str]) -> Sequence[Item]:
        """Return utterances that are read when they are looked at, for `collate` to copy once."""
        return _Chosen(self, indices)

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch: the `collate_fn` of a `DataLoader`.

        Args:
            items: one or more of this dataset.

        Returns:
            `id` and each text as a list of B, the values of each store as `Padded`, or as a tensor
            (B, *shape) where there is one value an utterance.

        Raises:
            ConfigError: an item lacks what another one has: it is of another dataset.
        """
        if not items:
            raise ConfigError("items of a batch", expected="one or more", got="none")
        if isinstance(items, _Chosen) and items.dataset is self:
            return items.padded()
        if not isinstance(items[0], Mapping):
            raise ConfigError(
                "items of a batch", expected="those of this dataset", got=type(items[0]).__name__
            )
        expected = {*items[0], *self.stores}
        for item in items:
            if item.keys() != expected:
                raise ConfigError(
                    "items of a batch",
                    expected=", ".join(sorted(expected)),
                    got=", ".join(sorted(item)),
                )
        names = [name for name in items[0] if name not in self.stores]
        return {
            **{name: [item[name] for item in items] for name in names},
            **{
                name: self._pad(name, [item[name].numpy() for item in items])
                for name in self.stores
            },
        }

    def id(self, index: SupportsIndex | str) -> str:
        """Return the id of an item."""
        return self._locate(index)[1]

    def ids_digest(self) -> str:
        """Return a digest of the ids in their order, wherever shards are cut."""
        rows = None if self._rows is None else sha256(self._rows.astype("<i8").data).hexdigest()
        return digest([self._ids.digest().hex(), rows])

    def texts(self, index: SupportsIndex | str) -> dict[str, str]:
        """Return the manifest's texts of an item, by field."""
        return self._texts_of(self._locate(index)[0])

    def lengths(self, name: str | None = None) -> npt.NDArray[np.int64]:
        """Return the number of frames of every item, (len(self),), by which batches are made.

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
            return Lengths.of(self, counts if self._rows is None else counts[self._rows])
        each = (store.num_frames(self.id(index)) for index in range(len(self)))
        return Lengths.of(self, np.fromiter(each, np.int64, len(self)))

    def _locate(self, index: SupportsIndex | str) -> tuple[int, str]:
        """Return the row in the first store and the id of an item."""
        if isinstance(index, str):
            if (found := self._row_of(index)) is None:
                raise StoreError(
                    "dataset", expected=f"an id among its {self._length}", got=repr(index)
                )
            return found, index
        try:
            place = as_index(index)
        except TypeError:
            raise TypeError(
                f"index of a dataset: expected a number, an id or a slice, got {index!r}; "
                "[dataset[one] for one in several] takes several"
            ) from None
        if not -self._length <= place < self._length:
            raise IndexError(f"expected an index within {self._length} utterances, got {place}")
        row = place % self._length if self._rows is None else int(self._rows[place])
        return row, self._ids[row]

    def _row_of(self, utterance_id: str) -> int | None:
        """Return the row in the first store of an id, None where it is not among the items."""
        if utterance_id not in self._first:
            return None
        row = self._first.row_number(utterance_id)
        if self._rows is not None:
            place = np.searchsorted(self._sorted_rows, row)
            if place == self._length or self._sorted_rows[place] != row:
                return None
        return row

    @cached_property
    def _sorted_rows(self) -> npt.NDArray[np.int64]:
        assert self._rows is not None
        return np.sort(self._rows)

    def _texts_of(self, row: int) -> dict[str, str]:
        return self._texts.of(row) if self._texts else {}

    def _pad(self, name: str, arrays: Sequence[npt.NDArray[Any]]) -> Padded | torch.Tensor:
        time_axis = self.stores[name].header.time_axis
        if time_axis is None:
            return stack(arrays)
        return pad(arrays, time_axis=time_axis, padding_value=self._padding[name])


class _Chosen(Sequence[Item]):
    """Some items of a dataset, read when they are looked at."""

    def __init__(self, dataset: FeatureDataset, indices: Sequence[SupportsIndex | str]) -> None:
        self.dataset = dataset
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return _Chosen(self.dataset, self._indices[place])
        return self.dataset[self._indices[place]]

    def __iter__(self) -> Iterator[Item]:
        return map(self.dataset.__getitem__, self._indices)

    def __repr__(self) -> str:
        return f"<{len(self)} items of a {type(self.dataset).__name__}>"

    def padded(self) -> dict[str, Any]:
        """Return them as one batch, copied once."""
        dataset = self.dataset
        located = [dataset._locate(index) for index in self._indices]
        texts = [dataset._texts_of(row) for row, _ in located]
        ids = [utterance_id for _, utterance_id in located]
        return {
            "id": ids,
            **{field: [one[field] for one in texts] for field in texts[0]},
            **{
                name: dataset._pad(name, [*reader.read_many(ids)])
                for name, reader in dataset._readers.items()
            },
        }
