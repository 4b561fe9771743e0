"""`featbank summary`: list every store that is here or was validated, and where it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featbank import PROGRAM
from featbank.base.amounts import amount
from featbank.base.printing import on_terminal, print_json, print_note
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, add_command
from featbank.cli.stores import duration_s
from featbank.cli.validated import REPORTS, Checked, validated_stores
from featbank.errors import FeatbankError, StoreError
from featbank.files.json_files import read_json
from featbank.pipeline.dvc_outputs import DvcPlace, find_outputs
from featbank.store import HEADER_NAME, StoreHeader, read_header

RECORDS = Path(".featbank", "runs")
HERE, DAMAGED = "here", "damaged"

_LEAST_S, _MOST_S = 1e-9, 1e13  # that a run may have taken, or audio last

_WORDS = {
    DvcPlace.CACHE: "in DVC's cache",
    DvcPlace.REMOTE: "in the remote",
    DvcPlace.UNASKED: "remote not asked",
    DvcPlace.NOWHERE: "nowhere",
}
_COLUMNS = (
    TableColumn(key="store"),
    TableColumn(key="utterances", is_number=True, show="{:,}".format),
    TableColumn(key="hours", is_number=True, show=lambda hours: amount(hours, 2)),
    TableColumn(key="frames", is_number=True, show="{:,}".format),
    TableColumn(key="bytes", heading="MB", is_number=True, show=lambda size: amount(size / 1e6, 1)),
    TableColumn(key="real_time_factor", heading="x real time", is_number=True, show=amount),
    TableColumn(key="validated"),
    TableColumn(key="where"),
    TableColumn(key="here"),
    TableColumn(key="absent"),
)
_ADVICE = {
    DvcPlace.CACHE: "in DVC's cache: dvc checkout brings it here",
    DvcPlace.REMOTE: "in the remote: dvc pull brings it here",
    DvcPlace.UNASKED: "remote not asked: dvc pull brings what was pushed to it",
    DvcPlace.NOWHERE: "nowhere: dvc repro makes it, or its stage with the values that were typed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRow:
    """A store in all its splits, as one row of the summary.

    Args:
        store: its folder.
        utterances, hours, frames, bytes: as its headers say where it is all here, else as they were
            validated; no hours where neither tells.
        real_time_factor: of the run on this machine that computed it, if one did.
        validated: `good`, how many problems, `another version` of it, or `no`.
        where: `here`, `damaged`, or the `DvcPlace` of what is not here.
        here, absent: splits that are on this disk, and that were validated and are not.
    """

    store: str
    utterances: int
    hours: float | None
    frames: int
    bytes: int
    real_time_factor: float | None
    validated: str
    where: str
    here: Sequence[str]
    absent: Sequence[str]


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "every store that is here or was validated, and where it is"
    command = add_command(commands, "summary", text, _run, examples=("", "--root data --json"))
    command.add_argument(
        "--root", type=Path, default=Path("data"), metavar="FOLDER", help="of the outputs (data)"
    )


def _run(parsed: argparse.Namespace) -> int:
    rows = store_rows(parsed.root)
    if not rows:
        raise FeatbankError(
            f"stores in {parsed.root.resolve()}",
            expected="one, or a metrics.json a corpus",
            got="none",
            hint="run dvc repro, from the root of the project",
        )
    if parsed.json:
        print_json([asdict(row) for row in rows])
        return FINE
    described = map(_for_people if on_terminal() else asdict, rows)
    print_table(_COLUMNS, described, hidden=["here", "absent"])
    reports = [path.with_name("report.html") for path in sorted(REPORTS.glob("*/metrics.json"))]
    places = _places([path for path in reports if not path.is_file()])
    for path in reports:
        print_note(f"report: {path}{f', {_WORDS[places[path]]}' if path in places else ''}")
    absent = {*places.values(), *(row.where for row in rows)}
    for place, advice in _ADVICE.items():
        if place in absent:
            print_note(advice)
    if DAMAGED in absent:
        print_note(f"damaged: {PROGRAM} verify says how")
    return FINE


def _for_people(row: StoreRow) -> dict[str, Any]:
    where = _WORDS[DvcPlace(row.where)] if row.where in list(DvcPlace) else row.where
    is_part = row.here and row.absent
    return {**asdict(row), "where": f"{', '.join(row.absent)}: {where}" if is_part else where}


def store_rows(root: Path) -> list[StoreRow]:
    """Describe every store below a folder of outputs, and those that were validated there.

    Raises:
        FeatbankError: metrics, a check or the record of a run are damaged.
    """
    checked = validated_stores(root)
    here = {folder: _headers(folder) for folder in sorted({*checked, *_stores_below(root)})}
    splits = {folder: checked.get(folder) or here[folder] or {} for folder in here}
    absent = {
        folder: [split for split in splits[folder] if split not in headers]
        for folder, headers in here.items()
        if headers is not None
    }
    places = _places([folder for folder, names in absent.items() if names])
    return [
        _row(folder, headers, checked.get(folder, {}), absent.get(folder, []), places.get(folder))
        for folder, headers in here.items()
    ]


def _stores_below(root: Path) -> set[Path]:
    """Return the folders `<kind>/<corpus>/<option>/<name>` that hold the store of a split."""
    return {
        header.parents[1]
        for kind in ("features", "tokens")
        for header in root.glob(f"{kind}/*/*/*/*/{HEADER_NAME}")
        if not any(name.startswith(".") for name in header.parts[-3:])  # unfinished
    }


def _headers(folder: Path) -> dict[str, StoreHeader] | None:
    """Read the headers of the splits that are here; None where one of them is damaged."""
    found = {}
    for path in sorted(folder.glob(f"[!.]*/{HEADER_NAME}")):
        try:
            found[path.parent.name] = header = read_header(path.parent)
        except StoreError:
            return None
        for shard in header.shards:
            file = path.with_name(shard.name)
            if not file.is_file() or file.stat().st_size != shard.num_bytes:
                return None
    return found


def _places(absent: Sequence[Path]) -> dict[Path, DvcPlace]:
    return dict(zip(absent, find_outputs(absent), strict=True)) if absent else {}


def _row(
    folder: Path,
    headers: Mapping[str, StoreHeader] | None,
    checked: Mapping[str, Checked],
    absent: Sequence[str],
    place: DvcPlace | None,
) -> StoreRow:
    kind, corpus, option, _ = folder.parts[-4:]
    is_same = headers is not None and all(
        split in checked and checked[split].is_of(header) for split, header in headers.items()
    )
    splits: Mapping[str, StoreHeader | Checked] = checked
    if headers and not is_same and not absent:
        splits = headers
    amounts = [_amounts(one) for one in splits.values()]
    hours = [one.hours for one in amounts if one.hours is not None]
    return StoreRow(
        store=folder.as_posix(),
        utterances=sum(one.utterances for one in amounts),
        hours=sum(hours) if len(hours) == len(amounts) else None,
        frames=sum(one.frames for one in amounts),
        bytes=sum(one.bytes for one in amounts),
        real_time_factor=_speed(RECORDS / kind / corpus / f"{option}.json"),
        validated="no" if headers is None else _validated(checked, is_same=is_same),
        where=DAMAGED if headers is None else HERE if place is None else place,
        here=list(headers or ()),
        absent=absent,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Amounts:
    utterances: int
    hours: float | None
    frames: int
    bytes: int


def _amounts(split: StoreHeader | Checked) -> _Amounts:
    if isinstance(split, Checked):
        return _Amounts(
            utterances=split.utterances, hours=split.hours, frames=split.frames, bytes=split.bytes
        )
    seconds = duration_s(split, split.num_frames)
    return _Amounts(
        utterances=split.num_utterances,
        hours=None if seconds is None else seconds / 3600,
        frames=split.num_frames,
        bytes=split.num_bytes,
    )


def _validated(checked: Mapping[str, Checked], *, is_same: bool) -> str:
    if not checked:
        return "no"
    if not is_same:
        return "another version"
    problems = sum(one.problems for one in checked.values())
    return f"{problems:,} problems" if problems else "good"


def _speed(record: Path) -> float | None:
    if not record.is_file():  # pulled, or computed on another machine
        return None
    measured = read_json(record, what="record of a run", error=FeatbankError, hint="delete it")
    try:
        audio_s, seconds = float(measured["audio_s"]), float(measured["seconds"])
        if not (0 <= audio_s < _MOST_S and _LEAST_S < seconds < _MOST_S):
            raise ValueError("no durations")
        return audio_s / seconds if audio_s else None  # the last run had nothing to compute
    except (KeyError, TypeError, ValueError) as error:
        raise FeatbankError(
            f"record of a run {record}",
            expected="audio_s and seconds",
            got=json.dumps(measured)[:100],
            hint="delete it",
        ) from error
