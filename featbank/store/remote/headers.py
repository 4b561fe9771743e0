"""Open the headers of a store elsewhere, or of the splits of a folder, in three rounds at most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from featbank.errors import StoreError
from featbank.store.format import HEADER_NAME, SPLITS_NAME
from featbank.store.header import StoreHeader
from featbank.store.header_file import parse_header
from featbank.store.joining import join, refuse_copies
from featbank.store.remote.client import RemoteClient
from featbank.store.remote.elsewhere import BESIDE, Elsewhere, copy_hint
from featbank.store.remote.ranges import AbsentError, ByteRange
from featbank.store.splits import differing_splits, parse_splits
from featbank.store.stamps import OpenedHeader, replaced

_HINT = "look at it where it lies: it is damaged there, or no store"
_DEPTH = 3  # feature, split, file
_UNLISTED = (
    "a web server lists no folders: open the one with splits.json, which of what a stage made is "
    ".../FEATURE/NAME, or the store of one split"
)


class RemoteHeader(OpenedHeader):
    """The header of a store elsewhere, which another store may replace while it is read.

    Args:
        client: reads it.
        below: the client's place, the folder of the store; empty for the place itself.
        header: as it was when it was opened.
    """

    def __init__(self, client: RemoteClient, below: str, header: StoreHeader) -> None:
        self.folder = Path(below or client.place.url.rpartition("/")[2])
        self.header = header
        self._client = client
        self.below = below

    @property
    def where(self) -> str:
        """The store, as errors name it."""
        return self._client.place.named(self.below)

    def name(self, file_name: str) -> str:
        """Return the name of a file of this store, below the client's place."""
        return f"{self.below}/{file_name}" if self.below else file_name

    def check(self) -> None:
        """Refuse to go on when another store has come to its place.

        A header that cannot be had tells nothing: who asks has an error of its own to raise.

        Raises:
            StoreError: it was replaced, or is gone.
        """
        try:
            found = _read_header(self._client, self.below)
        except AbsentError as error:
            raise replaced(f"store {self.where}") from error
        except StoreError:
            return
        if found != self.header:
            raise replaced(f"store {self.where}")


def read_remote_headers(place: Elsewhere) -> tuple[dict[str, StoreHeader], StoreHeader]:
    """Read the headers of a place; return them by folder below it, and the one that joins them."""
    found, joined = open_headers(RemoteClient(place), None)
    return {one.below: one.header for one in found}, joined


def open_headers(
    client: RemoteClient, splits: Sequence[str] | None
) -> tuple[list[RemoteHeader], StoreHeader]:
    """Read the header of a store, or those of the stores of a folder.

    Args:
        client: of the store or the folder.
        splits: those that are read; None for all.

    Returns:
        The headers, in the order of the stores, and the one that describes them all.

    Raises:
        StoreError: no store there, a damaged one, one that is not the split that was published in
            its place, or stores that do not belong together.
    """
    where = client.place.url
    above, _, own_name = where.rpartition("/")
    likely = [f"{split}/{HEADER_NAME}" for split in splits or ()]
    found = _fetch(client, [HEADER_NAME, SPLITS_NAME, BESIDE + SPLITS_NAME, *likely])
    if HEADER_NAME in found and splits in (None, (own_name,)):
        header = _parsed(client, "", found[HEADER_NAME])
        _refuse_misplaced(above, own_name, header, found.get(BESIDE + SPLITS_NAME))
        return [RemoteHeader(client, "", header)], header
    if splits is None:
        headers = _all_headers(client, found.get(SPLITS_NAME))
    else:
        headers = _chosen_headers(client, splits, found)
    joined = join(where, headers) if len(headers) > 1 else next(iter(headers.values()))
    refuse_copies(where, headers)
    return [RemoteHeader(client, folder, header) for folder, header in headers.items()], joined


def _all_headers(client: RemoteClient, statement: bytes | None) -> dict[str, StoreHeader]:
    """Read all stores of a folder: those that it states, else those that a listing shows."""
    statements: dict[str, Mapping[str, str]] = {}
    if statement is not None:
        statements[""] = parse_splits(statement, client.place.named(SPLITS_NAME), _HINT)
        folders = sorted(statements[""])
        names = [f"{folder}/{HEADER_NAME}" for folder in folders]
    else:
        names = sorted(
            (name for name in client.find((HEADER_NAME, SPLITS_NAME), _DEPTH) if _is_seen(name)),
            key=lambda name: name.split("/"),
        )
        folders = [_folder(name) for name in names if name.endswith(HEADER_NAME)]
    files = _fetch(client, names)
    headers = {
        folder: _parsed(client, folder, files[f"{folder}/{HEADER_NAME}"])
        for folder in folders
        if f"{folder}/{HEADER_NAME}" in files
    }
    statements |= {
        _folder(name): parse_splits(data, client.place.named(name), _HINT)
        for name, data in files.items()
        if name.endswith(SPLITS_NAME)
    }
    by_folder: dict[str, dict[str, StoreHeader | None]] = defaultdict(dict)
    for folder, header in headers.items():
        above, _, name = folder.rpartition("/")
        by_folder[above][name] = header
    for folder, stated in statements.items():
        for problem in differing_splits(client.place.named(folder), stated, by_folder[folder]):
            raise problem
    if not headers:
        raise _no_store(client)
    return headers


def _chosen_headers(
    client: RemoteClient, splits: Sequence[str], found: Mapping[str, bytes]
) -> dict[str, StoreHeader]:
    if not splits or len(set(splits)) < len(splits):
        raise StoreError(
            f"splits of {client.place.url}", expected="one or more, each once", got=list(splits)
        )
    folders = [split if f"{split}/{HEADER_NAME}" in found else "" for split in splits]
    files = dict(found)
    if not all(folders):
        below = [_folder(name) for name in client.find((HEADER_NAME,), _DEPTH) if _is_seen(name)]
        folders = [
            folder or _only(client, split, below)
            for folder, split in zip(folders, splits, strict=True)
        ]
        above = {folder.rpartition("/")[0] for folder in folders} - {""}
        files |= _fetch(
            client,
            [
                *(f"{folder}/{HEADER_NAME}" for folder in folders),
                *(f"{folder}/{SPLITS_NAME}" for folder in above),
            ],
        )
    headers = {}
    for folder in folders:
        if f"{folder}/{HEADER_NAME}" not in files:
            raise _no_store(client)
        header = headers[folder] = _parsed(client, folder, files[f"{folder}/{HEADER_NAME}"])
        above_it, _, name = folder.rpartition("/")
        statement = files.get(f"{above_it}/{SPLITS_NAME}" if above_it else SPLITS_NAME)
        _refuse_misplaced(client.place.named(above_it), name, header, statement)
    return headers


def _only(client: RemoteClient, split: str, below: Sequence[str]) -> str:
    found = [folder for folder in below if split in (folder, folder.rpartition("/")[2])]
    unlisted = "" if client.place.has_listing else _UNLISTED
    if len(found) != 1:
        raise StoreError(
            f"folder {client.place.url}",
            expected=f"one split {split!r}",
            got=", ".join(sorted(found or below)) or "no store",
            hint="open the folder above one of them" if found else unlisted,
        )
    return found[0]


def _refuse_misplaced(where: str, name: str, header: StoreHeader, statement: bytes | None) -> None:
    """Refuse a store that is not the one of its name that the folder at `where` states."""
    if statement is None:
        return
    try:
        stated = parse_splits(statement, where, _HINT)
    except StoreError:  # what stands beside it may be anything
        return
    for problem in differing_splits(where, stated, {name: header}, partial=True):
        raise problem


def _read_header(client: RemoteClient, folder: str) -> StoreHeader:
    name = f"{folder}/{HEADER_NAME}" if folder else HEADER_NAME
    return _parsed(client, folder, client.fetch_one(ByteRange(name=name)))


def _parsed(client: RemoteClient, folder: str, data: bytes) -> StoreHeader:
    where = client.place.named(folder)
    header = parse_header(data, f"{where}/{HEADER_NAME}", _HINT)
    if header.compression is not None:
        raise StoreError(
            f"store {where}",
            expected="values that are not compressed, to be read by ranges",
            got=header.compression,
            hint=copy_hint(client.place.url),
        )
    return header


def _fetch(client: RemoteClient, names: Sequence[str]) -> dict[str, bytes]:
    """Fetch whole files at once; those that are not there, or are beside it, may be absent."""
    found = {}
    for name, body in zip(names, client.fetch([ByteRange(name=x) for x in names]), strict=True):
        if not isinstance(body, StoreError):
            found[name] = body
        elif not isinstance(body, AbsentError) and not name.endswith(SPLITS_NAME):
            raise body
    return found


def _no_store(client: RemoteClient) -> StoreError:
    return StoreError(
        f"store {client.place.url}",
        expected=f"a folder with {HEADER_NAME}, or one above such",
        got=f"no {HEADER_NAME}",
        hint="" if client.place.has_listing else _UNLISTED,
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _is_seen(name: str) -> bool:
    """Tell whether no part of a path is hidden, as those of unfinished stores are."""
    return not any(part.startswith(".") for part in name.split("/"))
