"""Computation of a split by all ranks of a run: a journal each, one store of all.

Each rank lists its rows in the work folder, and the first one merges them; see
`featbank.recipes.caching.sharing` for which they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from featbank.errors import RankError
from featbank.files.json_files import parse_json
from featbank.files.opening import open_regular
from featbank.files.provenance import canonical_json, write_atomic_lines
from featbank.ranks import Meeting
from featbank.recipes.caching.batches import Batches, Sharing
from featbank.recipes.caching.computing import Computed
from featbank.recipes.caching.journal import JournalFile, RowPlace
from featbank.recipes.caching.known import Known, Source, find_known
from featbank.recipes.caching.sharing import ALL, RankShare, deal, dealt
from featbank.recipes.caching.utterance_digest import UtteranceKey

_log = logging.getLogger(__name__)

_PLACE = ("start", "num_bytes", "checksum")


def lead(ranks: Meeting, batches: Batches, folder: Path, known: Sequence[Known]) -> RankShare:
    """Tell the other ranks that the work folder is ready, and return the share of the first one.

    Args:
        ranks: of this call.
        batches: of the split.
        folder: of all journals.
        known: rows that need not be computed; of a dataset that tells its keys, the first rank
            knows for all.
    """
    if ranks.size == 1:
        return ALL
    for path in folder.glob("*.rows"):  # of a run that was stopped
        path.unlink()
    text = None
    if batches.sharing == "index" and batches.keys is not None:
        text = deal(any(one.find(key) for one in known) for key in batches.keys)
    ranks.share("begin", [batches.sharing, text])
    return _share(ranks, batches.sharing, text)


def follow(ranks: Meeting, folder: Path) -> RankShare:
    """Wait until the first rank has the work folder ready; return the share of this one.

    Raises:
        RankError: this rank does not see the folder, or the first rank is gone.
    """
    sharing, text = ranks.share("begin")
    if not folder.is_dir():
        raise RankError(
            f"work folder {folder} on rank {ranks.rank}",
            expected="the folder that rank 0 has made",
            got="nothing there",
            hint="all ranks must see the same files",
        )
    return _share(ranks, sharing, text)


def _share(ranks: Meeting, sharing: Sharing, text: str | None) -> RankShare:
    own = None if text is None else dealt(text, ranks.rank, ranks.size)
    return RankShare(rank=ranks.rank, size=ranks.size, by=sharing, own=own)


def deliver_rows(ranks: Meeting, computed: Computed, folder: Path) -> None:
    """Tell the first rank where the rows of this one are."""
    lines = map(_line, computed.rows, computed.rows.values())
    write_atomic_lines(_list_path(folder, ranks.rank), lines)
    ranks.gather("rows", [len(computed.rows), computed.num_known])


def collect_rows(ranks: Meeting, computed: Computed, folder: Path, known: Sequence[Known]) -> None:
    """Wait for all ranks, and add their rows to those of the first one, each utterance once.

    Args:
        ranks: of this call.
        computed: rows of the first rank.
        folder: of all journals.
        known: rows that need not be computed.

    Raises:
        RankError: two ranks have other values of an utterance, or got other input for it.
    """
    if ranks.size == 1:
        return
    counts = ranks.gather("rows", [len(computed.rows), computed.num_known]) or []
    found: dict[str, int] = {}  # on which rank, if not on the first
    for rank in range(1, ranks.size):
        for utterance_id, source in _listed(folder, rank, known):
            other = computed.rows.setdefault(utterance_id, source)
            if other is source:
                found[utterance_id] = rank
            elif differs := other.difference(source):
                raise RankError(
                    f"utterance {utterance_id!r}",
                    expected=f"the same {differs} on ranks {found.get(utterance_id, 0)} and {rank}",
                    got="others",
                    hint="nothing was published; where features depend on batch mates, give the "
                    "dataset in place of a loader: then each utterance goes to one rank",
                )
        _list_path(folder, rank).unlink()
    computed.num_known = sum(num_known for _, num_known in counts)
    if all(num_rows == len(computed.rows) for num_rows, _ in counts) and computed.rows:
        _log.warning(
            "every rank was given all utterances, and computed them: give the dataset in place of "
            "a loader, and they share it"
        )


def _listed(folder: Path, rank: int, known: Sequence[Known]) -> Iterator[tuple[str, Source]]:
    path = _list_path(folder, rank)
    journals: dict[str, JournalFile] = {}
    with open_regular(path) as file:
        for line in file:
            listed = parse_json(line, f"list {path}", RankError)
            key = UtteranceKey(listed["id"], bytes.fromhex(listed["input_digest"]))
            name = listed["journal"]
            if name is None:
                if (found := find_known(key, known)) is None:
                    raise RankError(
                        f"utterance {key.id!r}",
                        expected=f"the row that rank {rank} found, of an earlier run",
                        got="none on rank 0",
                        hint="all ranks must see the same files",
                    )
                source = found
            else:
                if name not in journals:
                    journals[name] = JournalFile(folder / name)
                place = RowPlace(
                    id=key.id,
                    input_digest=key.input_digest,
                    **{name: listed[name] for name in _PLACE},
                )
                source = Source(journals[name], place, key.input_digest)
            yield key.id, source


def _line(utterance_id: str, source: Source) -> bytes:
    line = {"id": utterance_id, "input_digest": source.input_digest.hex(), "journal": None}
    if isinstance(source.rows, JournalFile):
        line["journal"] = source.rows.path.name
        line |= {name: getattr(source.place, name) for name in _PLACE}
    return canonical_json(line).encode() + b"\n"


def _list_path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.rows"
