"""Exporting stores: one call that opens, checks, writes, and publishes whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featbank.base.progress import progress_bar
from featbank.errors import ConfigError, StoreError
from featbank.export.base import Export
from featbank.export.finished import FinishedFile
from featbank.export.formats import prepared
from featbank.export.opening import named_folder, open_source
from featbank.export.source import ExportSource
from featbank.export.standing import find_standing
from featbank.export.work import ExportWork, clear, restore
from featbank.files.locking import lock
from featbank.files.provenance import file_sha256, package_versions
from featbank.store.header_file import header_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export came to.

    Args:
        out: the folder.
        num_utterances: that are in it.
        num_failures: utterances that the stores list as failed, which are not in it.
        num_files: that it has, but for its own record.
        num_bytes: of them.
        num_kept: files that a stopped run had finished.
        was_there: whether it was there already, made from the same.
    """

    out: Path
    num_utterances: int
    num_failures: int
    num_files: int
    num_bytes: int
    num_kept: int
    was_there: bool


def export_stores(
    to: str | Export,
    stores: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    manifests: str | Path | None = None,
    audio_root: str | Path | None = None,
    splits: Sequence[str] | None = None,
    replace: bool = False,
    show: bool | None = None,
    **options: Any,
) -> Exported:
    """Write stores as the files of another toolkit, in a folder that is there whole or not at all.

    A run that was stopped is gone on with by the same call. `export_kaldi(stores, out)` and its
    like in `featbank.export` are this one.

    Args:
        to: name of the format, or an instance.
        stores: one or several, each a folder of a store or of its splits; `NAME=FOLDER` gives a
            feature another name. Several hold the same ids.
        out: folder to be.
        manifests: folder of the manifests of these stores: for texts, speakers and audio paths.
        audio_root: folder that the manifests' audio paths are relative to.
        splits: those that are exported; None for all.
        replace: an earlier export in its place.
        show: progress; as of `progress_bar`.
        options: of the format.

    Raises:
        ConfigError: an unknown format, a missing package, or stores that the format cannot hold.
        StoreError: a store or a value is damaged, stores do not belong together, something else is
            at `out`, or the disk is full.
        ManifestError: a manifest is missing, or lacks an utterance.
    """
    export, name = prepared(to, options)
    given = [stores] if isinstance(stores, str | Path) else list(stores)
    out = Path(out).resolve()
    source = open_source(given, manifests=manifests, audio_root=audio_root, splits=splits)
    _check(name, export, source)
    _refuse_place(out, given)
    made_from = _made_from(name, export, source, out)
    held = lock(out, f"export {out}", kind=StoreError)
    try:
        restore(out)
        there = find_standing(out, made_from, replace=replace, show=show)
        if there is not None:
            clear(out)
            return _exported(out, source, there, was_there=True)
        work = ExportWork(out, made_from)
        with progress_bar(
            f"export to {name}", source.num_utterances, unit="utterances", show=show
        ) as advance:
            export.write(source.telling(advance), work)
        held.check()
        work.publish()
    finally:
        held.release()
    return _exported(out, source, work.finished, num_kept=work.num_kept)


def _check(name: str, export: Export, source: ExportSource) -> None:
    export.check(source)
    lacking = [
        argument
        for needed, given, argument in (
            (export.needs_manifests, source.has_manifests, "--manifests data/manifests/CORPUS"),
            (export.needs_audio_root, source.audio_root is not None, "--audio-root FOLDER"),
        )
        if needed and not given
    ]
    if lacking:
        raise ConfigError(
            f"export to {name}",
            expected="to know where the audio is",
            got="nothing about it",
            hint=f"give {' and '.join(lacking)}",
        )


def _refuse_place(out: Path, stores: Sequence[str | Path]) -> None:
    """Refuse a place that has no name, is a disk, or is in the folder of a store or of its splits.

    Raises:
        StoreError: it is.
    """
    if not out.name:
        raise StoreError(f"export {out}", expected="a folder with a name", got="none")
    if out.is_mount():  # which no rename replaces
        raise StoreError(
            f"export {out}",
            expected="a folder",
            got="a place where a disk is mounted",
            hint=f"name a folder on it: {out / 'export'}",
        )
    for given in stores:
        _, folder = named_folder(given)
        if out != folder.resolve() and out.is_relative_to(folder.resolve()):
            raise StoreError(
                f"export {out}", expected="a place outside of the stores", got=f"one in {folder}"
            )


def _made_from(name: str, export: Export, source: ExportSource, out: Path) -> dict[str, Any]:
    """Describe all that decides the bytes of an export; a store by the digest in its header."""
    return {
        "format": name,
        "version": export.version,
        "options": asdict(export),
        "versions": package_versions(export.packages),
        "fields": [
            {"name": one.name, "feature": one.header.name, "fingerprint": one.header.fingerprint}
            for one in source.fields
        ],
        "splits": {
            split.name: {
                "stores": {
                    field: header_digest(store.header) for field, store in split.stores.items()
                },
                "manifest": None if split.manifest is None else file_sha256(split.manifest),
            }
            for split in source.splits
        },
        "licenses": [*source.licenses],
        "audio_root": None if source.audio_root is None else str(source.audio_root),
        "place": str(out) if export.names_its_place else None,
        "besides": dict(export.depends_on(source)),
    }


def _exported(
    out: Path,
    source: ExportSource,
    files: Mapping[str, FinishedFile],
    *,
    num_kept: int = 0,
    was_there: bool = False,
) -> Exported:
    return Exported(
        out=out,
        num_utterances=source.num_utterances,
        num_failures=sum(split.num_failures for split in source.splits),
        num_files=len(files),
        num_bytes=sum(one.num_bytes for one in files.values()),
        num_kept=num_kept,
        was_there=was_there,
    )
