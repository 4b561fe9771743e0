"""Texts of manifests for the rows of a store, as a few arrays: ten million of them fit."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featbank.base.manifest import iterate_manifest
from featbank.base.terms import TERMS
from featbank.errors import ConfigError, ManifestError
from featbank.store import Store

FIELDS = ("text", "speaker", "language", "part", "audio", *TERMS)


class ManifestTexts:
    """Texts of manifests by the index of an utterance in `store.ids`."""

    def __init__(self, store: Store, paths: Iterable[str | Path], fields: Sequence[str]) -> None:
        """Read manifests.

        Args:
            store: whose utterances are wanted.
            paths: of manifests, such as those of the splits of a corpus.
            fields: of their rows, among `FIELDS`.

        Raises:
            ConfigError: there is no such field.
            ManifestError: a manifest is missing or damaged.
        """
        for field in fields:
            if field not in FIELDS:
                raise ConfigError(
                    "manifest fields", expected=f"among {', '.join(FIELDS)}", got=field
                )
        self.fields = tuple(fields)
        self.ids_elsewhere: list[str] = []
        """Ids of the manifests that the store does not have."""
        self._places = np.full(len(store), -1, np.int64)  # of a row of the store in the manifests
        self._bytes = {field: bytearray() for field in fields}
        self._starts = {field: array("q", [0]) for field in fields}
        number = 0
        for path in paths:
            for utterance in iterate_manifest(path):
                if utterance.id not in store:
                    self.ids_elsewhere.append(utterance.id)
                    continue
                row = store.row_number(utterance.id)
                if self._places[row] >= 0:
                    raise ManifestError(
                        f"{path}: utterance {utterance.id!r}",
                        expected="a row in one manifest",
                        got="another one",
                    )
                self._places[row] = number
                for field, texts in self._bytes.items():
                    texts.extend(getattr(utterance, field).encode())
                    self._starts[field].append(len(texts))
                number += 1

    def has(self, row: int) -> bool:
        """Tell whether a manifest contains the utterance of a row of the store."""
        return bool(self._places[row] >= 0)

    @property
    def rows_without(self) -> npt.NDArray[np.int64]:
        """Rows of the store that no manifest contains."""
        return np.flatnonzero(self._places < 0)

    def of(self, row: int) -> dict[str, str]:
        """Return the texts of a row of the store, by field."""
        place = int(self._places[row])
        return {
            field: self._bytes[field][starts[place] : starts[place + 1]].decode()
            for field, starts in self._starts.items()
        }
