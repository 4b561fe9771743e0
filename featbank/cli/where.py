"""`featbank where`: all that holds some utterances, or a person, and what was not reached."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from featbank.base.manifest import iterate_manifest
from featbank.base.nearest import did_you_mean
from featbank.base.printing import on_terminal, print_json, print_note
from featbank.base.sought import Sought
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, add_command
from featbank.errors import FeatbankError

if TYPE_CHECKING:
    from featbank.pipeline.holdings import Holding, Holdings

_COLUMNS = (
    TableColumn(key="place"),
    TableColumn(key="kind"),
    TableColumn(key="where"),
    TableColumn(key="files", is_number=True, show="{:,}".format),
    TableColumn(key="rows", is_number=True, show="{:,}".format),
    TableColumn(key="revisions"),
)
_MANIFESTS = Path("data", "manifests")
_SHOWN = 3  # names of revisions in a cell
_COMMIT = 10  # digits of a commit that are shown


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "all that holds some utterances or a person, and what was not seen"
    command = add_command(
        commands,
        "where",
        text,
        _run,
        examples=("--speaker june_fr", "allison_en/vm-toenternumber --no-remotes --json"),
    )
    command.add_argument("ids", nargs="*", metavar="ID", help="of an utterance")
    command.add_argument(
        "--speaker", action="append", default=[], metavar="S", help="as manifests name one; repeat"
    )
    command.add_argument(
        "--prefix", action="append", default=[], metavar="P", help="of ids; repeat for several"
    )
    command.add_argument("--no-remotes", action="store_true", help="ask nothing of DVC's remotes")
    command.add_argument(
        "--exports",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder with exports outside of the project; repeat for several",
    )
    command.set_defaults(parser=command)


def _run(parsed: argparse.Namespace) -> int:
    named = [*parsed.ids, *parsed.speaker, *parsed.prefix]
    if not named or not all(named):
        parsed.parser.error("whom? Give ids, --speaker or --prefix, none of them empty")
    sought = Sought(
        ids=frozenset(parsed.ids),
        speakers=frozenset(parsed.speaker),
        prefixes=tuple(parsed.prefix),
    )
    # imported here: it brings in DVC, which other commands do without
    from featbank.pipeline.holders import find_holdings

    holdings = find_holdings(sought, remotes=not parsed.no_remotes, exports=parsed.exports)
    if parsed.json:
        print_json(asdict(holdings))
        return FINE
    _print(holdings)
    known = _speakers() if parsed.speaker and not holdings.ids else ()
    for name in parsed.speaker:
        if near := did_you_mean(name, known, before="--speaker "):
            print_note(near)
    return FINE


def _speakers() -> Collection[str]:
    """Return the speakers of the manifests here; what of these is damaged, the search has told."""
    found: set[str] = set()
    for path in sorted(_MANIFESTS.rglob("*.jsonl")):
        with suppress(FeatbankError):
            found.update(row.speaker for row in iterate_manifest(path))
    return found - {""}


def _print(holdings: Holdings) -> None:
    by_place = [
        (place, [_row(group, holdings.names) for group in _groups(found)])
        for place, found in groupby(holdings.found, lambda one: one.place)
    ]
    if on_terminal():
        for place, rows in by_place:
            print_table(_COLUMNS, rows, f"{place}:", hidden=["place"])
    else:
        print_table(_COLUMNS, [row for _, rows in by_place for row in rows])
    _print_totals(holdings)
    print_note("not reached:")
    for one in holdings.unreached:
        print_note(f"  {one.place}: {one.why}")


def _groups(found: Iterator[Holding]) -> list[list[Holding]]:
    """Gather what one line of the table is about: the shards of a store, the versions of a file."""
    groups: dict[tuple[str, str], list[Holding]] = {}
    for one in found:
        groups.setdefault((one.kind, _where(one)), []).append(one)
    return list(groups.values())


def _where(one: Holding) -> str:
    if one.output:
        return one.output
    if one.place == "cache" or one.place.startswith("remote "):
        return "named by no revision"
    # of what there are many, the folder
    has_many = one.kind in ("audio", "shard") or one.place == "work"
    return str(PurePosixPath(one.path).parent) if has_many else one.path


def _row(group: Sequence[Holding], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    first = group[0]
    revisions = list(dict.fromkeys(one for holding in group for one in holding.revisions))
    return {
        "place": first.place,
        "kind": first.kind if first.why != "made" else f"{first.kind} (made from them)",
        "where": _where(first),
        "files": len({one.digest or one.path for one in group}),
        "rows": sum(one.num_rows for one in group),
        "revisions": _told(revisions, names),
    }


def _told(revisions: Sequence[str], names: Mapping[str, Sequence[str]]) -> str:
    """Name revisions as a person does: by tags and branches, and the rest by number."""
    told = [one for one in revisions if one == "workspace"]
    told += [name for one in revisions for name in names.get(one, ())]
    commits = [one for one in revisions if one not in names and one != "workspace"]
    if not told and commits:
        told.append(commits.pop(0)[:_COMMIT])
    more = len(told) - _SHOWN
    shown = [*told[:_SHOWN], *([f"{more:,} more names"] if more > 0 else [])]
    if commits:
        shown.append(f"{len(commits):,} more commit{'s' if len(commits) > 1 else ''}")
    return ", ".join(shown)


def _print_totals(holdings: Holdings) -> None:
    found = holdings.found
    objects = {one.digest for one in found if one.digest and one.place != "git"}
    unnamed = {one.digest for one in found if one.digest and not one.revisions}
    revisions = {one for holding in found for one in holding.revisions} - {"workspace"}
    if not found:
        print_note("nothing that was scanned holds them")
        return
    print_note(
        f"{len(holdings.ids):,} utterances; {len(objects):,} objects of DVC, of which no revision "
        f"names {len(unnamed):,}; {len(revisions):,} commits"
    )
    for codebook in sorted({one.output for one in found if one.why == "fitted"}):
        print_note(f"fitted on them: {codebook}")
