"""A folder of stores of one feature, such as its splits, opened as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from featbank.errors import StoreError
from featbank.provenance import canonical_json
from featbank.store.format import HEADER_NAME
from featbank.store.layout import StoreHeader, read_header

_ALIKE = (
    "dtype",
    "shape",
    "time_axis",
    "codebook_size",
    "compression",
    "frame_rate",
    "first_frame_center_s",
    "framing",
    "fingerprint",
)


def read_headers(
    path: Path, read: Callable[[Path], StoreHeader] = read_header
) -> tuple[dict[Path, StoreHeader], StoreHeader]:
    """Read the header of a store, or those of all stores below a folder.

    Args:
        path: of the store or the folder.
        read: reads the header of the store in a folder.

    Returns:
        The headers by the folders of their shards, and the one that describes them all.

    Raises:
        StoreError: no store there, a damaged one, or stores that do not belong together.
    """
    if (path / HEADER_NAME).is_file() or not path.is_dir():
        header = read(path)
        return {path: header}, header
    folders = sorted(
        found.parent.relative_to(path)
        for found in path.rglob(HEADER_NAME)
        # hidden folders are unfinished stores
        if not any(name.startswith(".") for name in found.relative_to(path).parts)
    )
    if not folders:
        read(path)  # says what is missing
    headers = {folder.as_posix(): read(path / folder) for folder in folders}
    return {path / folder: header for folder, header in headers.items()}, _joined(path, headers)


def _joined(path: Path, headers: Mapping[str, StoreHeader]) -> StoreHeader:
    """Describe stores opened as one; refuse those that are not one feature made in one way."""
    names = sorted({header.name for header in headers.values()})
    if len(names) > 1:
        raise StoreError(
            f"folder {path}",
            expected="stores of one feature",
            got=", ".join(names),
            hint="open one of the folders below it",
        )
    first_folder, first = next(iter(headers.items()))
    for folder, header in headers.items():
        for field in _ALIKE:
            if getattr(header, field) != getattr(first, field):
                raise StoreError(
                    f"folder {path}: {field} of {folder}",
                    expected=f"{getattr(first, field)!r} as in {first_folder}",
                    got=repr(getattr(header, field)),
                    hint="run the stage that makes the older one again",
                )
    numerics = {canonical_json(one): one for header in headers.values() for one in header.numerics}
    return replace(
        first,
        numerics=tuple(numerics[key] for key in sorted(numerics)),
        provenance={folder: header.provenance for folder, header in headers.items()},
        num_failures=sum(header.num_failures for header in headers.values()),
        failures_digest="",  # of several lists
        shards=tuple(shard for header in headers.values() for shard in header.shards),
    )
