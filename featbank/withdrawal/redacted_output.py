"""An output of a stage without some utterances: the stores and manifests in it, file by file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from featbank.base.split_names import SUMMARY_NAME
from featbank.files.opening import read_regular
from featbank.files.provenance import write_atomic
from featbank.store.format import FAILURES_NAME, HEADER_NAME, SPLITS_NAME
from featbank.store.header_file import header_digest
from featbank.store.shard_info import SHARD_NAME
from featbank.store.splits import parse_splits, splits_text
from featbank.withdrawal.redacted_manifests import redact_manifests
from featbank.withdrawal.redacted_store import redact_store

_MAX_BYTES = 16 << 20
_BEFORE, _BEHIND = "before", "behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedParts:
    """What is to be done with an output that holds somebody. Paths are from the output on.

    Args:
        stores: folders of stores that hold, each with the files of it that are to be read.
        manifests: folders of manifests that hold, the same.
        audio: files that go as they are.
        stuck: files that hold and that nothing can be taken out of, such as reports.
    """

    stores: Mapping[str, list[str]] = field(default_factory=dict)
    manifests: Mapping[str, list[str]] = field(default_factory=dict)
    audio: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def paths(self) -> set[str]:
        """Files that are to be read: in place of most, others come, or none."""
        return {*self.audio}.union(*self.stores.values(), *self.manifests.values())


def parts_of(files: Collection[str], held: Mapping[str, str]) -> RedactedParts:
    """Tell what is to be done with an output.

    Args:
        files: of the output; `""` alone for one that is a file.
        held: those that hold somebody, with the kind of each, as of `Holding`.
    """
    stores: dict[str, list[str]] = {}
    manifests: dict[str, list[str]] = {}
    audio, stuck = [], []
    for path, kind in held.items():
        folder, _, name = path.rpartition("/")
        if _at(folder, HEADER_NAME) in files and (
            SHARD_NAME.fullmatch(name) or name in (HEADER_NAME, FAILURES_NAME)
        ):
            of_store = {_at(folder, one) for one in (HEADER_NAME, FAILURES_NAME)} & set(files)
            stores.setdefault(folder, sorted(of_store))
            if SHARD_NAME.fullmatch(name):
                stores[folder].append(path)
        elif _at(folder, SUMMARY_NAME) in files:
            manifests.setdefault(folder, [one for one in files if one.rpartition("/")[0] == folder])
        elif kind == "audio":
            audio.append(path)
        else:
            stuck.append(path)
    return RedactedParts(stores=stores, manifests=manifests, audio=tuple(audio), stuck=tuple(stuck))


def redact_output(
    files: Collection[str],
    parts: RedactedParts,
    ids: Collection[str],
    fetch: Callable[[str], Path],
    work: Path,
) -> dict[str, Path | None]:
    """Make those files of an output that are others without some utterances.

    Args:
        files: of the output.
        parts: as `parts_of` gives them; nothing in it is stuck.
        ids: of the utterances.
        fetch: gives a file of the output, by its path in it, as one of this disk.
        work: a free folder, for the new files.

    Returns:
        The new files by their paths in the output; None for one that is no more.

    Raises:
        FeatbankError: something is damaged, or of another version.
    """
    changed: dict[str, Path | None] = dict.fromkeys(parts.audio)
    splits: dict[str, dict[str, str]] = {}  # digests of headers, by the folder above the stores
    for folder, read in parts.stores.items():
        before = _placed(read, fetch, work / _BEFORE / folder)
        header = redact_store(before, ids, work / _BEHIND / folder)
        above, _, name = folder.rpartition("/")
        splits.setdefault(above if folder else "", {})[name] = header_digest(header)
        changed |= _files(read, folder, work / _BEHIND / folder)
    for folder, read in parts.manifests.items():
        before = _placed(read, fetch, work / _BEFORE / folder)
        redact_manifests(before, ids, work / _BEHIND / folder)
        changed |= _files(read, folder, work / _BEHIND / folder)
    for above, new in splits.items():
        path = _at(above, SPLITS_NAME)
        if path in files:
            stated = parse_splits(read_regular(fetch(path), _MAX_BYTES), path, "")
            changed[path] = work / _BEHIND / path
            write_atomic(work / _BEHIND / path, splits_text({**stated, **new}))
    return changed


def _placed(paths: Iterable[str], fetch: Callable[[str], Path], folder: Path) -> Path:
    """Lay files of one folder side by side under their own names, as links."""
    folder.mkdir(parents=True)
    for path in paths:
        (folder / PurePosixPath(path).name).symlink_to(fetch(path).absolute())
    return folder


def _files(before: Iterable[str], folder: str, made: Path) -> dict[str, Path | None]:
    """Return the files of a folder that were made, and those that were read and are no more."""
    behind = {_at(folder, path.name): path for path in made.iterdir() if path.is_file()}
    return {**dict.fromkeys(before), **behind}


def _at(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
