"""What a comparison of two versions found: of stores, of their rows, of codebooks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RowState(StrEnum):
    """What became of an utterance that is not as it was."""

    ADDED = "added"
    REMOVED = "removed"
    INPUT = "input"
    """Other audio: another input digest."""
    FINGERPRINT = "fingerprint"
    """The same audio, made in another way."""
    VALUES = "values"
    """Other values of the same audio, made in the same way: on another machine, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One utterance that is not as it was.

    Args:
        id: of the utterance.
        state: what became of it.
        frames_before, frames_after: that it has; None where it is not there.
        max_abs: greatest difference of a value; None where no values were held against others.
        flip_rate: share of the tokens that are others, likewise.
    """

    id: str
    state: RowState
    frames_before: int | None = None
    frames_after: int | None = None
    max_abs: float | None = None
    flip_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """How the values of those rows of a store differ that hold others than before.

    Args:
        num_utterances, num_frames: that were held against each other: those of equal shape.
        num_other_frames: those that differ.
        max_abs, mean_abs: difference of a value; None for tokens, whose numbers are names.
        flip_rate: share of the tokens at the same place that are others; None for features.
        num_other_length: utterances with more or fewer frames.
        num_frames_apart: by how many frames these differ in all.
        unit_edit_distance: mean over those, of tokens; None where there are none. See
            `featbank.stability.flips`.
        num_other_shape: utterances whose frames have another shape.
    """

    num_utterances: int
    num_frames: int
    num_other_frames: int
    max_abs: float | None
    mean_abs: float | None
    flip_rate: float | None
    num_other_length: int
    num_frames_apart: int
    unit_edit_distance: float | None
    num_other_shape: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderChange:
    """One thing that a header, or the provenance of a codebook, says in another way.

    Args:
        field: its dotted name, such as `provenance.versions.torch`.
        before, after: what it says, texts as they are, else as JSON; None where it says nothing.
    """

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """How many utterances of a store are what.

    Of those before, each is one of unchanged, by_input, by_fingerprint, by_values, removed and
    unread_before; of those after, of the first four, added and unread_after.

    Args:
        before, after: in each version.
        unchanged: same audio, same fingerprint, same values.
        by_input, by_fingerprint, by_values: in both, and not so; see `RowState`.
        same_values: those of by_input and by_fingerprint that hold the same values all the same.
        added, removed: in one version alone.
        unread_before, unread_after: of which nothing can be told, for a file is not here, or
            damaged.
    """

    before: int = 0
    after: int = 0
    unchanged: int = 0
    by_input: int = 0
    by_fingerprint: int = 0
    by_values: int = 0
    same_values: int = 0
    added: int = 0
    removed: int = 0
    unread_before: int = 0
    unread_after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDifference:
    """How a store differs from the one at the same place in the other version.

    Args:
        path: of the store, below what was compared; empty for that itself.
        only_in: `before` or `after`, where the other version has none.
        rows: how many are what.
        values: of the rows whose values are others; None where there are none.
        moved: what the headers say in other ways, by field.
        changes: some of the utterances that are not as they were.
        num_shards, num_shards_read: of both versions, and those that were opened.
        problems: what could not be read, and why.
    """

    path: str
    only_in: str | None = None
    rows: RowCounts
    values: ValueChange | None = None
    moved: tuple[HeaderChange, ...] = ()
    changes: tuple[RowChange, ...] = ()
    num_shards: int = 0
    num_shards_read: int = 0
    problems: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether there is nothing to tell."""
        is_whole = self.rows.unchanged == self.rows.before == self.rows.after
        return is_whole and not (self.only_in or self.moved or self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookDifference:
    """How a codebook differs from the one at the same place in the other version.

    Args:
        path: of its file.
        only_in: as of `StoreDifference`.
        num_centroids: of the later version, in all codebooks together.
        num_other: those at the same place that are others; None where the shapes are.
        max_abs: greatest difference of a coordinate, likewise.
        moved: what was said of its making in another way.
        problem: why it could not be read.
    """

    path: str
    only_in: str | None = None
    num_centroids: int = 0
    num_other: int | None = None
    max_abs: float | None = None
    moved: tuple[HeaderChange, ...] = ()
    problem: str = ""

    @property
    def is_same(self) -> bool:
        """Whether there is nothing to tell."""
        return self.num_other == 0 and not (self.only_in or self.moved or self.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionsDifference:
    """How two versions differ.

    Args:
        before, after: their names, as they were given.
        same: paths of stores, codebooks and outputs of DVC that are the same, most of them unread.
        stores, codebooks: the others, by path.
        others: outputs of DVC that are neither, and are not the same.
        problems: what could not be listed or opened, and why.
    """

    before: str
    after: str
    same: tuple[str, ...] = ()
    stores: tuple[StoreDifference, ...] = ()
    codebooks: tuple[CodebookDifference, ...] = ()
    others: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Everything that could not be read, and why."""
        of_stores = [text for store in self.stores for text in store.problems]
        of_codebooks = [one.problem for one in self.codebooks if one.problem]
        return (*self.problems, *of_stores, *of_codebooks)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs, of all that could be read."""
        return not (self.stores or self.codebooks or self.others or self.problems)
