"""Open a folder of stores of one feature, such as its splits, as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from featbank.errors import StoreError
from featbank.files.provenance import canonical_json
from featbank.store.format import FAILURES_NAME, HEADER_NAME, SPLITS_NAME
from featbank.store.header import StoreHeader
from featbank.store.header_file import read_header
from featbank.store.shard_info import SHARD_NAME
from featbank.store.splits import split_problems

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
        StoreError: no store there, a damaged one, one that is absent though it is stated, or stores
            that do not belong together.
    """
    if is_store(path) or not path.is_dir():
        header = read(path)
        return {path: header}, header
    headers, problems = survey(path, read)
    if problems:
        raise problems[0]
    if not headers:
        read(path)  # says what is missing
    joined = join(path, headers)
    refuse_copies(path, headers)
    return {path / folder: header for folder, header in headers.items()}, joined


def read_chosen(
    path: Path, splits: Sequence[str], read: Callable[[Path], StoreHeader] = read_header
) -> tuple[dict[Path, StoreHeader], StoreHeader]:
    """Read the headers of some of the stores below a folder; others may be damaged, or absent.

    Args:
        path: of the folder, or of a store whose own name is the only split.
        splits: names of the folders of stores, which lie in it or one level further down.
        read: reads the header of the store in a folder.

    Returns:
        As of `read_headers`.

    Raises:
        StoreError: a split is not there, stands there twice, or is not the one that was published
            in its place, or they do not belong together.
    """
    headers: dict[str, StoreHeader] = {}
    for split in splits:
        folder = _folder_of(path, split)
        header = read(folder)
        refuse_misplaced(folder, header)
        headers[folder.relative_to(path).as_posix()] = header
    if len(headers) < len(splits) or not splits:
        raise StoreError(
            f"splits of folder {path}", expected="one or more, each once", got=list(splits)
        )
    joined = join(path, headers) if len(headers) > 1 else next(iter(headers.values()))
    refuse_copies(path, headers)
    return {path / folder: header for folder, header in headers.items()}, joined


def _folder_of(path: Path, split: str) -> Path:
    """Return the folder of a split: the one of its name in `path`, or in a folder of that."""
    if is_store(path):
        found = [path] if path.name == split else []
        there = [path.name]
    else:
        # the name is no pattern; a folder of a hidden one is an unfinished store
        levels = (f"[!.]*/{HEADER_NAME}", f"[!.]*/[!.]*/{HEADER_NAME}")
        below = [one.parent for level in levels for one in sorted(path.glob(level))]
        found = [one for one in below if split in (one.name, one.relative_to(path).as_posix())]
        there = [one.relative_to(path).as_posix() for one in below]
    if len(found) != 1:
        several = [one.relative_to(path).as_posix() for one in found]
        raise StoreError(
            f"folder {path}",
            expected=f"one split {split!r}",
            got=", ".join(several or there) or "no store",
            hint="open the folder above one of them" if several else "",
        )
    return found[0]


def survey(
    path: Path, read: Callable[[Path], StoreHeader] = read_header
) -> tuple[dict[str, StoreHeader], list[StoreError]]:
    """Look at all folders below one that is no store itself; hidden ones are unfinished stores.

    Args:
        path: of the folder.
        read: reads the header of the store in a folder.

    Returns:
        The headers by their folders below `path`, sorted, and what is wrong: headers that cannot
        be read, files of a store without a header, folders that do not hold what they state.
    """
    headers: dict[str, StoreHeader] = {}
    problems: list[StoreError] = []
    above: dict[Path, dict[str, StoreHeader | None]] = {}  # by folder, what stands in it
    for folder, files in sorted(_folders(path)):
        if HEADER_NAME in files or FAILURES_NAME in files or any(map(SHARD_NAME.fullmatch, files)):
            header = None
            try:
                header = headers[folder.as_posix()] = read(path / folder)
            except StoreError as error:
                problems.append(error)
            above.setdefault(folder.parent, {})[folder.name] = header
        elif SPLITS_NAME in files:
            above.setdefault(folder, {})
    for folder, stores in above.items():
        problems += split_problems(path / folder, stores)
    problems += _lost_features(path, headers)
    return headers, problems


def _lost_features(path: Path, headers: Mapping[str, StoreHeader]) -> Iterator[StoreError]:
    """Say which features, made in one pass with those of a folder, are not in it.

    A stage states them in the provenance of each; its stores are `<feature>/<split>` below `path`.
    """
    made: dict[str, str] = {}
    for folder, header in headers.items():
        names = header.provenance.get("stores")
        if isinstance(names, list) and Path(folder).parts[:-1] == (header.name,):
            made |= {name: folder for name in names if isinstance(name, str)}
    lost = sorted(made.keys() - {Path(folder).parts[0] for folder in headers})
    if lost:
        yield StoreError(
            f"folder {path}",
            expected=f"the features {', '.join(sorted(made))}, as {made[lost[0]]} states",
            got=f"no {', no '.join(lost)}",
            hint="fetch the rest with dvc pull, or open the folder of a feature that is there",
        )


def refuse_copies(path: Path | str, headers: Mapping[str, StoreHeader]) -> None:
    """Refuse a store that stands there twice: a digest is of the ids, too.

    Args:
        path: of the folder, or its URL.
        headers: by their folders below it.

    Raises:
        StoreError: one does.
    """
    seen: dict[str, str] = {}
    for folder, header in headers.items():
        for shard in header.shards:
            if (first := seen.setdefault(shard.digest, folder)) != folder:
                raise StoreError(
                    f"store {path}/{folder}",
                    expected="utterances that no other store of the folder has",
                    got=f"shard {shard.name} of {first}",
                    hint="remove the copy, or open the folder of one of them",
                )


def refuse_misplaced(path: Path, header: StoreHeader) -> None:
    """Refuse a store in the place of another split, or of another state of its own.

    It may be there alone, as `dvc pull` of one split leaves it.

    Args:
        path: of a store, or of a folder of several, which `read_headers` has held against all.
        header: that was read there.

    Raises:
        StoreError: the folder above states another one.
    """
    if is_store(path):
        for problem in split_problems(path.parent, {path.name: header}, partial=True):
            raise problem


def is_store(folder: Path) -> bool:
    """Tell whether a folder has a header, whatever it is."""
    return os.path.lexists(folder / HEADER_NAME)


def _folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Give the folders below `path`, as parts of it, and their files; linked ones are followed."""
    seen: set[tuple[int, int]] = set()
    for where, names, files in os.walk(path, followlinks=True, onerror=_refuse):
        names[:] = [name for name in names if not name.startswith(".")]
        found = Path(where).stat()
        if (found.st_dev, found.st_ino) in seen:  # a link to where the walk has been
            names.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        yield Path(where).relative_to(path), files


def _refuse(error: OSError) -> None:
    raise StoreError(
        f"folder {error.filename}", expected="one that can be read", got=error.strerror
    ) from error


def join(path: Path | str, headers: Mapping[str, StoreHeader]) -> StoreHeader:
    """Describe stores opened as one.

    Args:
        path: of the folder that holds them, or its URL.
        headers: by their folders below it, one or more.

    Raises:
        StoreError: they are not one feature made in one way.
    """
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
                    hint="run the stage that makes the older one again; in a recipe, call "
                    "cache_features for each split",
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
