"""Exporting stores: one call that opens, checks, writes, and publishes whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from featbank.base.progress import count_bar
from featbank.errors import ConfigError, StoreError
from featbank.export import EXPORTS
from featbank.export.base import Export, load_packages
from featbank.export.opening import open_source
from featbank.export.source import ExportSource
from featbank.export.work import MARKER, ExportWork, clear, read_marker, restore
from featbank.files.locking import lock
from featbank.files.provenance import canonical_json, digest, file_sha256, package_versions


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


def find_export(name: str) -> type[Export]:
    """Return the class of a format.

    Raises:
        ConfigError: there is none of that name.
    """
    names = sorted({one.name for one in EXPORTS.components()})
    if name not in names:
        near = get_close_matches(name, names, n=1)
        raise ConfigError(
            f"export format {name!r}",
            expected=f"one of {', '.join(names)}",
            got="a name that nothing is registered under",
            hint=f"did you mean {near[0]}?" if near else "",
        )
    found: type[Export] = EXPORTS.find(name).load()
    return found


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
        show: progress; None where standard error is a terminal.
        options: of the format.

    Raises:
        ConfigError: an unknown format, a missing package, or stores that the format cannot hold.
        StoreError: a store or a value is damaged, stores do not belong together, something else is
            at `out`, or the disk is full.
        ManifestError: a manifest is missing, or lacks an utterance.
    """
    export, name = _prepared(to, options)
    given = [stores] if isinstance(stores, str | Path) else list(stores)
    out = Path(out).resolve()
    source = open_source(given, manifests=manifests, audio_root=audio_root, splits=splits)
    _check(name, export, source, out)
    made_from = _made_from(name, export, source, out)
    held = lock(out, f"export {out}", kind=StoreError)
    try:
        restore(out)
        if (there := _already_there(out, made_from, replace=replace)) is not None:
            return _exported(out, source, there, was_there=True)
        work = ExportWork(out, made_from)
        with count_bar(f"export to {name}", source.num_utterances, show=show) as advance:
            export.write(source.telling(advance), work)
        held.check()
        work.publish()
    finally:
        held.release()
    sizes = {name: one.num_bytes for name, one in work.finished.items()}
    return _exported(out, source, sizes, num_kept=work.num_kept)


def _prepared(to: str | Export, options: Mapping[str, Any]) -> tuple[Export, str]:
    if isinstance(to, Export):
        name = EXPORTS.name_of(type(to)) or type(to).__name__
        load_packages(name, type(to))
        return to, name
    kind = find_export(to)
    load_packages(to, kind)
    try:
        return kind(**options), to
    except TypeError as error:
        raise ConfigError(
            f"options of export to {to}", expected="those of the format", got=str(error)
        ) from error


def _check(name: str, export: Export, source: ExportSource, out: Path) -> None:
    for needed, given, argument in (
        (export.needs_manifests, source.has_manifests, "--manifests data/manifests/CORPUS"),
        (export.needs_audio_root, source.audio_root is not None, "--audio-root FOLDER"),
    ):
        if needed and not given:
            raise ConfigError(
                f"export to {name}",
                expected="to know where the audio is",
                got="nothing about it",
                hint=f"give {argument}",
            )
    for split in source.splits:
        for store in split.stores.values():
            place = store.path
            if isinstance(place, Path) and out.is_relative_to(place.resolve()):
                raise StoreError(
                    f"export {out}", expected="a place outside of the stores", got=str(store.path)
                )
    if not out.name:
        raise StoreError(f"export {out}", expected="a folder with a name", got="none")
    export.check(source)


def _made_from(name: str, export: Export, source: ExportSource, out: Path) -> dict[str, Any]:
    """Describe all that decides the bytes of an export."""
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
                    field: digest(store.header.to_json()) for field, store in split.stores.items()
                },
                "manifest": None if split.manifest is None else file_sha256(split.manifest),
            }
            for split in source.splits
        },
        "audio_root": None if source.audio_root is None else str(source.audio_root),
        "place": str(out) if export.names_its_place else None,
        "besides": dict(export.depends_on(source)),
    }


def _already_there(
    out: Path, made_from: Mapping[str, Any], *, replace: bool
) -> Mapping[str, int] | None:
    """Return the sizes of an export that is there, whole and made from the same; None for none.

    Raises:
        StoreError: something else is there, that may not be replaced.
    """
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return None
    marker = read_marker(out) if out.is_dir() and not out.is_symlink() else None
    if marker is None:
        raise StoreError(
            f"export {out}",
            expected="a free place",
            got="something there that is no export",
            hint="choose another place, or remove it",
        )
    found, files = marker
    there = {
        path.relative_to(out).as_posix(): path.stat(follow_symlinks=path.is_file()).st_size
        for path in out.rglob("*")
        if (path.is_file() or path.is_symlink()) and path.name != MARKER
    }
    if there == files and canonical_json(found) == canonical_json(made_from):
        clear(out)
        return files
    if foreign := sorted(there.keys() - files.keys()):
        raise StoreError(
            f"export {out}",
            expected="nothing in it but what was exported",
            got=foreign[0],
            hint="move your own files away, or choose another place",
        )
    if not replace:
        raise StoreError(
            f"export {out}",
            expected="a free place",
            got="an export of other stores, other options, or one that was changed",
            hint="replace it with --replace, in Python replace=True",
        )
    return None


def _exported(
    out: Path,
    source: ExportSource,
    sizes: Mapping[str, int],
    *,
    num_kept: int = 0,
    was_there: bool = False,
) -> Exported:
    return Exported(
        out=out,
        num_utterances=source.num_utterances,
        num_failures=sum(split.num_failures for split in source.splits),
        num_files=len(sizes),
        num_bytes=sum(sizes.values()),
        num_kept=num_kept,
        was_there=was_there,
    )
