"""Computation of the rows of a split that are not known, each kept in a journal at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from featbank.base.routing import route
from featbank.errors import StoreError
from featbank.feature_io.base import FeatureStorageWriter, TracedWriter
from featbank.recipes.caching.batch_columns import select
from featbank.recipes.caching.batches import Batches
from featbank.recipes.caching.journal import Journal, JournalFile, JournalRow
from featbank.recipes.caching.known import Known, Source, find_known
from featbank.recipes.caching.sharing import ALL, RankShare
from featbank.recipes.caching.utterance_digest import UtteranceKey, identify
from featbank.store import Encoded, as_array


class Computed:
    """The rows of a split, known before or computed now, and where each can be read.

    Attributes:
        rows: by id.
        num_known: of them were not computed now.
    """

    def __init__(self, journal: Journal, *, repeats: bool = False) -> None:
        """Begin without a row.

        Args:
            journal: takes those that are computed.
            repeats: let utterances come again, and keep each once: distributed samplers repeat some
                to give every rank as many.
        """
        self.rows: dict[str, Source] = {}
        self.num_known = 0
        self._journal = journal
        self._repeats = repeats
        self._file: JournalFile | None = None

    def add_known(self, utterance_id: str, source: Source) -> None:
        """Add a row that need not be computed.

        Raises:
            StoreError: the id came before.
        """
        self.refuse_repeated(utterance_id)
        self.rows[utterance_id] = source
        self.num_known += 1

    def append(self, rows: Sequence[JournalRow]) -> None:
        """Add rows that were computed, to the journal too.

        Raises:
            StoreError: an id came before, or the disk is full.
        """
        if not self._repeats:
            for row in rows:
                self.refuse_repeated(row.id)
        for place in self._journal.append(rows):
            if self._file is None:
                self._file = JournalFile(self._journal.path)
            source = Source(self._file, place, place.input_digest)
            if not self._repeats or not self._has_same(source):
                self.refuse_repeated(place.id)  # twice in one batch
                self.rows[place.id] = source

    def is_repeated(self, key: UtteranceKey) -> bool:
        """Tell whether an utterance is here already, and may come again."""
        found = self.rows.get(key.id) if self._repeats and key.input_digest else None
        return found is not None and found.input_digest == key.input_digest

    def _has_same(self, source: Source) -> bool:
        """Tell whether a row that was computed just now was computed before, with equal values."""
        found = self.rows.get(source.place.id)
        return found is not None and not found.difference(source)

    def refuse_repeated(self, utterance_id: str) -> None:
        """Refuse an id that came before.

        Raises:
            StoreError: it did.
        """
        if utterance_id in self.rows:
            raise StoreError(
                f"utterance {utterance_id!r}",
                expected="one batch that has it",
                got="a second one",
                hint="give each utterance once",
            )

    def is_all_of(self, earlier: Any) -> bool:
        """Tell whether these are the rows of an earlier store, all of them and no others."""
        return len(self.rows) == len(earlier) and all(
            row.rows is earlier for row in self.rows.values()
        )

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
        if self._file is not None:
            self._file.close()


def compute_rows(
    batches: Batches,
    compute: Callable[[Any], Any],
    writers: Mapping[str, FeatureStorageWriter],
    *,
    known: Sequence[Known],
    journal: Journal,
    advance: Callable[[int], object] = lambda _: None,
    share: RankShare = ALL,
) -> Computed:
    """Compute the features of the utterances that are not known.

    Args:
        batches: of the split.
        compute: gives what `compute_features` returns for a batch.
        writers: by feature name, which encode.
        known: rows that need not be computed, the preferred ones first.
        journal: takes those that are.
        advance: told the utterances of each batch once they are kept.
        share: of the utterances, which this rank computes.

    Returns:
        All rows, of this rank.

    Raises:
        FeatbankError: an utterance came twice, what was returned is not one dict an utterance, or
            the disk is full.
    """
    computed = Computed(journal, repeats=share.repeats)
    try:
        named = _Named(batches.keys, known, computed, advance, share)
        is_cut = batches.keys is not None or share.by == "index"
        for batch in batches.load(named.take if is_cut else None):
            before = len(computed.rows)
            left = _left(batch, named, known, computed, share)
            if left.batch is not None or left.digests is None:
                computed.append(_rows(compute(left.batch), writers, left, named.digests, share))
            advance(len(computed.rows) - before + left.num_others)
    except BaseException:
        computed.close()
        raise
    return computed


class _Named:
    """What a dataset said of its utterances before it loaded any."""

    def __init__(
        self,
        keys: Sequence[UtteranceKey] | None,
        known: Sequence[Known],
        computed: Computed,
        advance: Callable[[int], object],
        share: RankShare,
    ) -> None:
        self._keys = keys
        self._share = share
        self._known = known
        self._computed = computed
        self._advance = advance
        self.digests: dict[str, bytes] = {}  # of those that are loaded

    def take(self, index: int) -> bool:
        """Tell whether an utterance is to be loaded; one that is known is added."""
        is_mine = self._share.has_index(index)
        if self._keys is None:
            return is_mine or self._passed_by()
        key = self._keys[index]
        if self._share.repeats and (key.id in self.digests or self._computed.is_repeated(key)):
            return False
        if source := find_known(key, self._known):
            self._computed.add_known(key.id, source)
        if source or not is_mine:
            return self._passed_by()
        self.digests[key.id] = key.input_digest
        return True

    def _passed_by(self) -> bool:
        self._advance(1)
        return False


class _Left(NamedTuple):
    """What of a batch is to be computed.

    Args:
        batch: of it; None where nothing is.
        digests: of its utterances, by id; None where the batch does not say which it holds.
        left_out: ids in it that are not to be kept, for it could not be cut.
        num_others: utterances that other ranks compute.
    """

    batch: Any
    digests: Mapping[str, bytes] | None
    left_out: frozenset[str] = frozenset()
    num_others: int = 0


def _left(
    batch: Any, named: _Named, known: Sequence[Known], computed: Computed, share: RankShare
) -> _Left:
    """Add the rows of a batch that are known, and return the rest of it."""
    if (found := identify(batch)) is None:
        return _Left(batch, None)
    keys = [UtteranceKey(one.id, named.digests.get(one.id) or one.input_digest) for one in found]
    rows: list[int] = []
    digests: dict[str, bytes] = {}
    num_others = 0
    for row, key in enumerate(keys):
        if not share.has_loaded(key.id):
            num_others += 1
        elif computed.is_repeated(key):
            continue
        elif source := find_known(key, known):
            computed.add_known(key.id, source)
        elif not share.repeats or digests.get(key.id) != key.input_digest:
            rows.append(row)
            digests[key.id] = key.input_digest
    if not rows:
        return _Left(None, {}, num_others=num_others)
    if len(rows) == len(keys):
        return _Left(batch, digests)
    cut = select(batch, rows)
    if cut is not None:
        return _Left(cut, digests, num_others=num_others)
    left_out = frozenset(key.id for key in keys if key.id not in digests)
    return _Left(batch, digests, left_out, num_others)


def _rows(
    returned: Any,
    writers: Mapping[str, FeatureStorageWriter],
    left: _Left,
    named: Mapping[str, bytes],
    share: RankShare,
) -> list[JournalRow]:
    """Return what was computed of a batch, as it will be stored."""
    time_axes = {name: getattr(one, "time_axis", 0) for name, one in writers.items()}
    framings = {name: getattr(one, "framing", None) for name, one in writers.items()}
    found = [
        (utterance_id, features)
        for utterance_id, features in route(
            returned, writers, time_axes, framings=framings, batch=left.batch
        )
        if utterance_id not in left.left_out
        and (left.digests is not None or share.has_loaded(utterance_id))
    ]
    digests = named if left.digests is None else left.digests
    # rows of other names, as of pieces of an utterance, cannot be told by the ids of a batch: what
    # is known of some of them would hide that others are missing
    if not all(utterance_id in digests for utterance_id, _ in found):
        digests = {}
    return [
        JournalRow(
            id=utterance_id,
            input_digest=digests.get(utterance_id, b""),
            features={
                name: _encode(writer, utterance_id, features[name])
                for name, writer in writers.items()
            },
        )
        for utterance_id, features in found
    ]


def _encode(writer: FeatureStorageWriter, utterance_id: str, value: Any) -> Encoded:
    if isinstance(writer, TracedWriter):
        return writer.encode(utterance_id, value)
    return Encoded(as_array(value, f"utterance {utterance_id!r} in {writer.storage_path}"))
