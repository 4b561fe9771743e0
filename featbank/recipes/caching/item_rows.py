"""Rows of a cached item that many processes compute, until they are published as a store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from featbank.base.manifest import check_id
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io.config import FeatureStorageConfig
from featbank.files.provenance import write_atomic
from featbank.ranks import Meeting, standing
from featbank.recipes.caching.journal import Journal, JournalRow
from featbank.recipes.caching.journals import Journals
from featbank.recipes.caching.readers import PROVENANCE
from featbank.recipes.caching.work_folder import remove_work, work_path
from featbank.recipes.fingerprinting import RecipeFingerprint
from featbank.store import Store, StoreWriter, commit_together, open_store, open_verified
from featbank.store.encoding import Array
from featbank.store.format import HEADER_NAME, SPLITS_NAME
from featbank.store.row_encoder import RowEncoder

_log = logging.getLogger(__name__)

_GIVEN = ("storage_path", "name", "dtype", "fingerprint")
_ENCODING = ("shape", "time_axis", "codebook_size", "allow_nonfinite")


class ItemRows:
    """Rows of one feature: in journals beside a store, and in the store.

    One object a process: a forked one makes its own, which inherits what the parent had found.
    The journals are in a work folder beside the store, one for each fingerprint.
    """

    def __init__(
        self,
        config: FeatureStorageConfig,
        path: Path,
        fingerprint: RecipeFingerprint,
        inherited: ItemRows | None = None,
    ) -> None:
        """Find rows; nothing is made before the first is added.

        Args:
            config: how they are stored.
            path: of the store.
            fingerprint: of what computes them; rows of another are not seen.
            inherited: the object of the process that forked this one.
        """
        self.pid = os.getpid()
        self._config = config
        self._path = path
        self._fingerprint = fingerprint
        self._folder = work_path(path.parent, path.name, fingerprint.digest)
        self._encoder = _encoder(config, path)
        self._journals: Journals = inherited._journals if inherited else Journals(self._folder)
        self._journal: Journal | None = None
        self._store: Store | None = None
        self._seen: tuple[int, int] | None = None  # the header that was opened
        self._open_store()

    def read(self, utterance_id: str, input_digest: bytes) -> Array | None:
        """Return the values of an utterance that were computed from this; None where none are.

        Raises:
            StoreError: those in the store are damaged.
        """
        try:
            found = self._find(utterance_id, input_digest)
        except StoreError:  # the store was replaced; or is damaged, and is so below again
            found = None
        if found is None:
            self._journals.refresh()
            self._open_store()
            found = self._find(utterance_id, input_digest)
        return found

    def add(self, utterance_id: str, input_digest: bytes, value: Any) -> Array:
        """Keep what was computed; return it as later reads will give it.

        Raises:
            StoreError: an invalid id, values that cannot be stored, or a disk that is full.
        """
        check_id(utterance_id, StoreError)
        encoded = self._encoder.encode(utterance_id, value)
        if self._journal is None or not self._journal.path.exists():  # published meanwhile
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._folder.parent / ".gitignore", "*\n")
            self._journal = Journal(self._folder, f"rows-{self._journals.next_number:06d}")
        row = JournalRow(
            id=utterance_id, input_digest=input_digest, features={self._config.name: encoded}
        )
        self._journal.append([row])
        return self._encoder.decode(encoded)

    def publish(self, ids: Iterable[str]) -> None:
        """Make the store of these utterances, on all ranks together.

        Raises:
            FeatbankError: some are missing, or one was computed twice, with different values.
        """
        with Meeting(standing(), f"publish {self._path}") as meeting:
            meeting.agree("fingerprint", self._fingerprint.parts)
            if meeting.is_first:
                self._publish(sorted(set(ids)))
            meeting.share("published")
        self.close()
        self._open_store()

    def close(self) -> None:
        """Close all files, and forget the rows of journals that were found."""
        self._journals.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._store is not None:
            self._store.close()

    def _publish(self, ids: Sequence[str]) -> None:
        self._journals.refresh()
        self._open_store()
        missing = [one for one in ids if one not in self._journals and not self._is_stored(one)]
        if missing or not ids:
            raise FeatbankError(
                f"store {self._path}",
                expected=f"{len(ids) or 'one or more'} utterances, computed",
                got=f"{len(ids) - len(missing)}" + (f": no {missing[0]!r}" if missing else ""),
                hint="nothing was published; go through the dataset once, then publish",
            )
        is_same = self._store is not None and len(self._store) == len(ids)
        if is_same and not any(one in self._journals for one in ids):
            return  # it is published already
        stored = None if self._store is None else open_verified(self._path)
        recipe = {
            "parts": dict(self._fingerprint.parts),
            "named": list(self._fingerprint.named),
        }
        writer = StoreWriter(
            self._path,
            name=self._config.name,
            dtype=self._config.dtype,
            **self._config.writer_kwargs,
        )
        with writer:
            writer.describe(fingerprint=self._fingerprint.digest, provenance={PROVENANCE: recipe})
            for one in ids:
                row = self._newest(one)
                if row is not None:
                    encoded = row.features[self._config.name]
                    writer.write_encoded(one, encoded, row.input_digest)
                elif stored is not None:
                    writer.write_encoded(one, stored.encoded(one), stored.input_digest(one))
            if (self._path.parent / SPLITS_NAME).exists():  # it is to state this one, too
                commit_together([writer], keep_others=True)
        if left := set(self._journals).difference(ids):
            _log.warning(
                "%d utterances that were computed are not in store %s, for they were not to be "
                "published; their rows stay in journals beside it",
                len(left),
                self._path,
            )
        else:
            remove_work(self._path.parent, self._path.name)

    def _newest(self, utterance_id: str) -> JournalRow | None:
        """Return the row of an utterance that was computed last; None where the store has it.

        Raises:
            StoreError: there are two of the same input, or of the same run, that differ; or none is
                whole.
        """
        rows = self._journals.rows(utterance_id)
        if not rows:
            return None
        file, newest = rows[-1]
        for other, place in rows[:-1]:
            is_same_input = place.input_digest == newest.input_digest
            if is_same_input and place.checksum != newest.checksum:
                raise StoreError(
                    f"utterance {utterance_id!r} of {self._config.name}",
                    expected="the same values from the same input",
                    got=f"others in {other.path} than in {file.path}",
                    hint="what computes it depends on chance, or on what it computed before",
                )
        try:
            return file.read(newest)
        except StoreError as error:
            error.hint = "nothing was published; go through the dataset once, then publish"
            raise

    def _find(self, utterance_id: str, input_digest: bytes) -> Array | None:
        row = self._journals.read(utterance_id, input_digest)
        if row is not None:
            return self._encoder.decode(row.features[self._config.name])
        if not self._is_stored(utterance_id):
            return None
        assert self._store is not None
        if self._store.input_digest(utterance_id) != input_digest:
            return None
        return self._store.read(utterance_id)

    def _is_stored(self, utterance_id: str) -> bool:
        return self._store is not None and utterance_id in self._store

    def _open_store(self) -> None:
        """Open the store that is there now, if it was computed in the same way."""
        try:
            status = (self._path / HEADER_NAME).stat()
            seen = status.st_ino, status.st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            seen = None
        if seen == self._seen:
            return
        self._seen, self._store = seen, None
        store = None if seen is None else open_store(self._path)
        if store is not None and store.fingerprint == self._fingerprint.digest:
            self._store = store
        elif store is not None:
            _log.warning(
                "store %s was computed in another way (fingerprint %.12s, now %.12s): its "
                "utterances are computed again",
                self._path,
                store.fingerprint,
                self._fingerprint.digest,
            )


def _encoder(config: FeatureStorageConfig, path: Path) -> RowEncoder:
    """Return what encodes rows as the writer of a store will.

    Raises:
        ConfigError: the writer does not take an argument.
    """
    where = f"writer_kwargs of item {config.name!r}"
    for name in config.writer_kwargs:
        if name not in signature(StoreWriter).parameters or name in _GIVEN:
            raise ConfigError(where, expected="arguments of the packed writer", got=name)
    options = {name: one for name, one in config.writer_kwargs.items() if name in _ENCODING}
    return RowEncoder(dtype=config.dtype, in_store=f" in store {path}", **options)
