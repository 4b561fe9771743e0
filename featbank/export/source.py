"""What an export is given: stores joined by id, split by split, with the manifests' rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, islice
from pathlib import Path

from featbank.base.manifest import Utterance, iterate_manifest
from featbank.base.progress import Advance
from featbank.cards.stated import stated_terms
from featbank.errors import ManifestError
from featbank.export.rows import ExportField, ExportRow, cut
from featbank.store.verified import VerifiedStore


def _tell_nobody(_: float) -> None:
    """Let utterances go by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPiece:
    """Consecutive utterances of a split that go into one file.

    Args:
        split: they are of.
        number: of the piece in its split, from 0 on.
        rows: the utterances.
    """

    split: str
    number: int
    rows: tuple[ExportRow, ...]

    def groups(self, max_bytes: int) -> Iterator[tuple[ExportRow, ...]]:
        """Cut the utterances into groups whose values have `max_bytes` at most, or are one row."""
        return cut(self.rows, max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSplit:
    """The utterances of one split, sorted by id, as every export has them.

    Args:
        name: of the split.
        stores: one a field; they hold the same ids.
        manifest: of the split; None where none was given.
        advance: told of each utterance that was gone through.
    """

    name: str
    stores: Mapping[str, VerifiedStore]
    manifest: Path | None = None
    advance: Advance = _tell_nobody

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self._first)

    @property
    def _first(self) -> VerifiedStore:
        return next(iter(self.stores.values()))

    @property
    def num_failures(self) -> int:
        """How many utterances failed, and are in no store: the most that a field lacks."""
        return max(store.header.num_failures for store in self.stores.values())

    def ids(self) -> Iterator[str]:
        """Give the ids, sorted; of a store in parts, too, each of which is sorted by itself."""
        store = self._first
        parts: dict[str, list[int]] = {}
        for number, shard in enumerate(store.shards):
            parts.setdefault(shard.part, []).append(number)
        return merge(*(_ids_of(store, numbers) for numbers in parts.values()))

    def rows(self) -> Iterator[ExportRow]:
        """Give the utterances, sorted by id, each with its row of the manifest.

        Raises:
            ManifestError: the manifest lacks one.
        """
        utterances = None if self.manifest is None else iterate_manifest(self.manifest)
        for one in self.ids():
            utterance = None if utterances is None else self._described(one, utterances)
            yield ExportRow(id=one, split=self.name, stores=self.stores, utterance=utterance)
            self.advance(1)

    def pieces(self, max_bytes: int) -> Iterator[ExportPiece]:
        """Cut the utterances into pieces whose values have `max_bytes` at most, or are one row.

        Which rows are in a piece follows from the stores alone, so that a run that was stopped
        finds its pieces again. A split without utterances has one piece, an empty one.
        """
        number = -1
        for number, rows in enumerate(cut(self.rows(), max_bytes)):
            yield ExportPiece(split=self.name, number=number, rows=rows)
        if number < 0:
            yield ExportPiece(split=self.name, number=0, rows=())

    def num_pieces(self, max_bytes: int) -> int:
        """Return how many pieces there are, for formats that state it in the names of files."""
        silent = replace(self, manifest=None, advance=_tell_nobody)
        return sum(1 for _ in silent.pieces(max_bytes))

    def _described(self, one: str, utterances: Iterator[Utterance]) -> Utterance:
        """Return the row of an id; a manifest has those that failed, too, which are passed by."""
        for utterance in utterances:
            if utterance.id == one:
                return utterance
            if utterance.id > one:
                break
        raise ManifestError(
            f"manifest {self.manifest}",
            expected=f"utterance {one!r}, as store {self._first.path} has it",
            got="no such row",
            hint="give the manifests that the stores were made from",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """All that is exported.

    Args:
        fields: one a store that was given, each with a name of its own.
        splits: in order of listing, each with a store a field.
        audio_root: folder that the audio paths of the manifests are relative to; None where it was
            not given.
        terms: those of `TERMS` that any row of the manifests says.
    """

    fields: tuple[ExportField, ...]
    splits: tuple[ExportSplit, ...]
    audio_root: Path | None = None
    terms: tuple[str, ...] = ()

    @property
    def has_manifests(self) -> bool:
        """Whether every utterance comes with its row of a manifest."""
        return all(split.manifest is not None for split in self.splits)

    def telling(self, advance: Advance) -> ExportSource:
        """Return the same, which tells `advance` of utterances when they are first gone through."""
        splits = tuple(
            replace(split, advance=_at_most(len(split), advance)) for split in self.splits
        )
        return replace(self, splits=splits)

    @property
    def num_utterances(self) -> int:
        """Utterances of all splits."""
        return sum(map(len, self.splits))

    @property
    def licenses(self) -> tuple[str, ...]:
        """Licences that the stores state, of corpora and of weights, each once."""
        stated = (stated_terms(field.header.provenance) for field in self.fields)
        return tuple(dict.fromkeys(chain.from_iterable(stated)))


def _at_most(total: int, advance: Advance) -> Advance:
    """Tell of no more than `total`: a format may go through a split for each of its files."""
    left = iter(range(total))

    def told(number: float) -> None:
        advance(sum(1 for _ in islice(left, int(number))))

    return told


def _ids_of(store: VerifiedStore, shards: Sequence[int]) -> Iterator[str]:
    for number in shards:
        yield from store.open_shard(number).ids()
