"""How two versions differ, as tables: of a page, and of the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from featbank.base.amounts import percent
from featbank.comparison.findings import (
    CodebookDifference,
    RowChange,
    RowState,
    StoreDifference,
    VersionsDifference,
)
from featbank.comparison.headers import moved_together
from featbank.report.words import counted, format_number

STATES = {
    RowState.ADDED: "added",
    RowState.REMOVED: "removed",
    RowState.INPUT: "other audio",
    RowState.FINGERPRINT: "made in another way",
    RowState.VALUES: "other values alone",
}
_MAX_TEXT = 300  # characters of a field that moved
_MAX_PATHS = 3  # that are named beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceTable:
    """One table about two versions.

    Args:
        title: above it.
        columns: headings, and whether their cells are numbers.
        rows: one text a column.
        note: what the columns mean, where they need it.
    """

    title: str
    columns: Mapping[str, bool]
    rows: Sequence[Sequence[str]]
    note: str = ""


def verdict(found: VersionsDifference) -> str:
    """Say in one sentence what was found."""
    differing = [
        counted(len(some), noun)
        for some, noun in (
            (found.stores, "store"),
            (found.codebooks, "codebook"),
            (found.others, "other output"),
        )
        if some
    ]
    same = f"{counted(len(found.same), 'place')} the same" if found.same else ""
    told = [f"{' and '.join(differing)} differ" if differing else "nothing differs"]
    told += [same] if same else []
    if problems := found.all_problems:
        told.append(f"{counted(len(problems), 'problem')}, named below")
    return "; ".join(told)


def difference_tables(found: VersionsDifference) -> Iterator[DifferenceTable]:
    """Give the tables that have a row: of utterances, values, codebooks, origins and examples."""
    tables = (
        _utterances(found.stores),
        _values(found.stores),
        _codebooks(found.codebooks),
        _moved(found),
        _examples(found.stores),
    )
    yield from (table for table in tables if table.rows)


def _utterances(stores: Sequence[StoreDifference]) -> DifferenceTable:
    rows = [
        {
            "store": _place(store.path),
            "before": "-" if store.only_in == "after" else f"{store.rows.before:,}",
            "after": "-" if store.only_in == "before" else f"{store.rows.after:,}",
            "unchanged": f"{store.rows.unchanged:,}",
            "added": f"{store.rows.added:,}",
            "removed": f"{store.rows.removed:,}",
            STATES[RowState.INPUT]: f"{store.rows.by_input:,}",
            STATES[RowState.FINGERPRINT]: f"{store.rows.by_fingerprint:,}",
            STATES[RowState.VALUES]: f"{store.rows.by_values:,}",
            "of these, same values": f"{store.rows.same_values:,}",
            "unread before": f"{store.rows.unread_before:,}",
            "unread after": f"{store.rows.unread_after:,}",
        }
        for store in stores
    ]
    return _table(
        "Utterances",
        rows,
        always=("store", "before", "after", "unchanged"),
        note="Other audio: another input digest. Made in another way: another fingerprint. "
        "Other values alone: of the same audio, made in the same way.",
    )


def _values(stores: Sequence[StoreDifference]) -> DifferenceTable:
    rows = []
    for store in stores:
        if (values := store.values) is None:
            continue
        share = values.num_other_frames / values.num_frames if values.num_frames else None
        rows.append(
            {
                "store": _place(store.path),
                "utterances": f"{values.num_utterances:,}",
                "largest difference": format_number(values.max_abs),
                "mean": format_number(values.mean_abs),
                "frames that differ": _share(share),
                "flip rate": _share(values.flip_rate),
                "of other length": f"{values.num_other_length:,}",
                "frames apart": f"{values.num_frames_apart:,}",
                "unit edit distance": _share(values.unit_edit_distance),
                "of other shape": f"{values.num_other_shape:,}",
            }
        )
    return _table(
        "Values of utterances that hold others",
        rows,
        always=("store", "utterances"),
        note="Utterances of as many frames are held against each other frame by frame. Flip rate: "
        "tokens that are others. Unit edit distance: of the utterances of other length, edits "
        "between the tokens without repeats, a frame before.",
    )


def _codebooks(codebooks: Sequence[CodebookDifference]) -> DifferenceTable:
    rows = [
        {
            "codebook": _place(one.path),
            "centroids": f"{one.num_centroids:,}" if not one.only_in else f"only {one.only_in}",
            "others": "another shape" if one.num_other is None else f"{one.num_other:,}",
            "largest difference": format_number(one.max_abs),
        }
        for one in codebooks
        if not one.problem
    ]
    return _table("Codebooks", rows, always=("codebook", "centroids", "others"))


def _moved(found: VersionsDifference) -> DifferenceTable:
    rows = [
        {
            "field": change.field,
            "before": _shortened(change.before),
            "after": _shortened(change.after),
            "where": _places(paths),
        }
        for change, paths in moved_together((*found.stores, *found.codebooks)).items()
    ]
    return _table("What they were made from", rows, always=("field", "before", "after", "where"))


def _examples(stores: Sequence[StoreDifference]) -> DifferenceTable:
    rows = [
        {
            "store": _place(store.path),
            "utterance": change.id,
            "what": STATES[change.state],
            "frames": _frames(change),
            "largest difference": format_number(change.max_abs),
            "flip rate": _share(change.flip_rate),
        }
        for store in stores
        for change in store.changes
    ]
    return _table("Some of the utterances", rows, always=("store", "utterance", "what", "frames"))


def _table(
    title: str, rows: Sequence[Mapping[str, str]], always: Sequence[str], note: str = ""
) -> DifferenceTable:
    """Leave out the columns that have nothing to tell."""
    words = ("store", "codebook", "field", "where", "utterance", "what")
    names = [
        name
        for name in (rows[0] if rows else ())
        if name in always or any(row[name] not in ("0", "-") for row in rows)
    ]
    is_text = {name for name in names if name in words or "field" in names}
    return DifferenceTable(
        title=title,
        columns={name: name not in is_text for name in names},
        rows=[[row[name] for name in names] for row in rows],
        note=note,
    )


def _place(path: str) -> str:
    return path or "."


def _places(paths: Sequence[str]) -> str:
    more = len(paths) - _MAX_PATHS
    named = ", ".join(map(_place, paths[:_MAX_PATHS]))
    return f"{named} and {more} more" if more > 0 else named


def _share(share: float | None) -> str:
    return "-" if share is None else percent(share, 2)


def _shortened(text: str | None) -> str:
    if text is None:
        return "-"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def _frames(change: RowChange) -> str:
    counts = [change.frames_before, change.frames_after]
    told = [f"{count:,}" for count in dict.fromkeys(counts) if count is not None]
    return " to ".join(told)
