"""Search for rows in all journals of a folder, which other processes may be appending to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from featbank.errors import StoreError
from featbank.recipes.caching.journal import SUFFIX, JournalFile, JournalRow, RowPlace

_log = logging.getLogger(__name__)


class Journals:
    """The rows of a folder's journals; where one is there twice, the one that was found last.

    About 300 bytes a row are in memory; values are read when they are asked for. May be used in
    forked processes: each goes on from what its parent had found.
    """

    def __init__(self, folder: Path) -> None:
        """Look into a folder, which need not be there; nothing is found before `refresh`."""
        self.folder = folder
        self._files: dict[str, JournalFile] = {}
        self._places: dict[str, list[tuple[JournalFile, RowPlace]]] = {}

    def refresh(self) -> None:
        """Find what was appended since the last time.

        Raises:
            OSError: the disk fails.
        """
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path.name not in self._files:
                try:
                    self._files[path.name] = JournalFile(path)
                except FileNotFoundError:  # published meanwhile
                    continue
            file = self._files[path.name]
            for place in file.scan(checked=False):
                self._places.setdefault(place.id, []).append((file, place))

    def read(self, utterance_id: str, input_digest: bytes) -> JournalRow | None:
        """Return the row of an utterance that was computed from this; None where none is whole."""
        for file, place in reversed(self._places.get(utterance_id, [])):
            if place.input_digest == input_digest:
                try:
                    return file.read(place)
                except StoreError as error:
                    _log.warning("%s", error)
        return None

    def rows(self, utterance_id: str) -> list[tuple[JournalFile, RowPlace]]:
        """Return where the rows of an utterance are, by the names of their journals."""
        rows = self._places.get(utterance_id, [])
        return sorted(rows, key=lambda row: (row[0].path.name, row[1].start))

    @property
    def next_number(self) -> int:
        """Number of the next journal, above all there are: 1 in the name `rows-000001-...`.

        Journals of a later run thus come after those of an earlier one.
        """
        numbers = (name.split("-")[1] for name in self._files)
        return 1 + max((int(one) for one in numbers if one.isdecimal()), default=0)

    def __contains__(self, utterance_id: object) -> bool:
        """Tell whether an utterance has a row, of whatever input."""
        return utterance_id in self._places

    def __iter__(self) -> Iterator[str]:
        """Give the ids that have rows."""
        return iter(self._places)

    def close(self) -> None:
        """Close the files, and forget what was found."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._places.clear()
