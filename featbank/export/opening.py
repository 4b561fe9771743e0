"""Opening of the stores and manifests that an export is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from featbank.base.folder_names import check_name
from featbank.base.manifest import iterate_manifest
from featbank.base.places import Place
from featbank.base.split_names import in_order, split_names
from featbank.base.terms import TERMS
from featbank.errors import ConfigError, ManifestError, StoreError
from featbank.export.rows import ExportField
from featbank.export.source import ExportSource, ExportSplit
from featbank.store import find_encoding, open_verified
from featbank.store.joining import is_store, read_chosen, read_headers
from featbank.store.remote.elsewhere import path_here
from featbank.store.verified import VerifiedStore

_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)=(.+)", re.DOTALL)


def open_source(
    stores: Sequence[str | Path],
    *,
    manifests: str | Path | None = None,
    audio_root: str | Path | None = None,
    splits: Sequence[str] | None = None,
) -> ExportSource:
    """Open what is to be exported.

    Args:
        stores: folders, each of a store or of the splits of one; `NAME=FOLDER` gives a feature
            another name.
        manifests: folder of the manifests, `<split>.jsonl`, that the stores were made from.
        audio_root: folder that the audio paths in the manifests are relative to.
        splits: those that are exported; None for all.

    Raises:
        ConfigError: two fields have one name, or the audio's folder is not there, or is another.
        StoreError: a store is missing or damaged, or they do not hold the same splits or ids.
        ManifestError: a split has no manifest.
    """
    fields: list[ExportField] = []
    opened: dict[str, dict[str, VerifiedStore]] = {}  # by field, then split
    for given in stores:
        name, folder = named_folder(given)
        headers, joined = read_headers(folder) if splits is None else read_chosen(folder, splits)
        name = name or check_name(joined.name, f"name of the feature in {folder}")
        if name in opened:
            raise ConfigError(
                f"stores {', '.join(map(str, stores))}",
                expected="each with a name of its own",
                got=f"{name} twice",
                hint=f"name one of them: {name}2={folder}",
            )
        opened[name] = _by_split(folder, headers)
        dtype = find_encoding(joined.dtype).read
        fields.append(ExportField(name=name, header=joined, dtype=dtype))
    by_split = _joined(opened, alone=all(is_store(named_folder(given)[1]) for given in stores))
    found = _manifests([*by_split], manifests)
    if audio_root is not None and not Path(audio_root).is_dir():
        raise ConfigError("audio root", expected="a folder", got=f"none at {audio_root}")
    source = ExportSource(
        fields=tuple(fields),
        splits=tuple(
            ExportSplit(name=split, stores=of_split, manifest=found.get(split))
            for split, of_split in by_split.items()
        ),
        audio_root=None if audio_root is None else Path(audio_root).absolute(),
        terms=_terms_of(found.values()),
    )
    for one in source.splits:
        _refuse_other_ids(one)
        if source.audio_root is not None and one.manifest is not None:
            _refuse_other_audio(source.audio_root, one.manifest)
    return source


def named_folder(given: str | Path) -> tuple[str, Path]:
    """Split `NAME=FOLDER`; the name is empty where there is none.

    Raises:
        StoreError: the folder is a URL.
    """
    named = _NAMED.fullmatch(str(given))
    if named is None or Path(given).exists():
        return "", path_here(given)
    return named[1], path_here(named[2])


def _by_split(folder: Path, headers: Iterable[Path]) -> dict[str, VerifiedStore]:
    """Open the stores of a folder, each under the name of its own, which is that of its split."""
    found: dict[str, VerifiedStore] = {}
    for path in headers:
        name = path.absolute().name
        if name == "..":  # of `train/x/..`: as a name, it would lead out of the export
            name = path.resolve().name
        if name in found:
            raise StoreError(
                f"folder {folder}", expected="each split once", got=f"{name} in several folders"
            )
        found[name] = open_verified(path)
    return found


def _joined(
    opened: Mapping[str, Mapping[str, VerifiedStore]], *, alone: bool
) -> dict[str, dict[str, VerifiedStore]]:
    """Return the stores by split, then field; those given one by one are of one split.

    Raises:
        StoreError: fields have other splits.
    """
    first = next(iter(opened))
    names = in_order(opened[first])
    if alone:
        return {names[0]: {name: store for name, one in opened.items() for store in one.values()}}
    for name, one in opened.items():
        if set(one) != set(names):
            raise StoreError(
                "stores that are exported together",
                expected=f"the splits of {first}: {', '.join(names)}",
                got=f"{', '.join(in_order(one))} of {name}",
                hint="choose those that all have: --split NAME",
            )
    return {split: {name: one[split] for name, one in opened.items()} for split in names}


def _manifests(splits: Sequence[str], manifests: str | Path | None) -> dict[str, Path]:
    if manifests is None:
        return {}
    there = split_names(manifests)
    for split in splits:
        if split not in there:
            raise ManifestError(
                f"manifests in {manifests}",
                expected=f"one of split {split}",
                got=", ".join(there),
                hint="the folder of a store is called as its split",
            )
    return {split: Path(manifests, f"{split}.jsonl") for split in splits}


def _refuse_other_ids(split: ExportSplit) -> None:
    """Refuse stores that do not hold the same utterances.

    Raises:
        StoreError: one lacks an utterance that another has; it is named.
    """
    first, *others = split.stores
    for one in split.ids() if others else ():
        for name in others:
            if one not in split.stores[name]:
                raise _lack(split, one, lacks=name, has=first)
    for name in others:
        if len(split.stores[name]) != len(split):
            extra = next(one for one in split.stores[name] if one not in split.stores[first])
            raise _lack(split, extra, lacks=first, has=name)


def _refuse_other_audio(root: Path, manifest: Path) -> None:
    """Refuse a folder of audio that lacks the first file of a manifest: it is that of others.

    Raises:
        ConfigError: it does.
    """
    for row in iterate_manifest(manifest):
        # audio inside a file is for the formats to refuse, by name
        if Place.parse(row.audio) is None and not Path(root, row.audio).exists():
            raise ConfigError(
                f"audio root {root}",
                expected=f"{row.audio}, the audio of {row.id!r} in {manifest}",
                got="nothing there",
                hint="give corpus.root, as the definition of the corpus says",
            )
        return


def _terms_of(manifests: Iterable[Path]) -> tuple[str, ...]:
    """Return the terms that any row of some manifests says."""
    met: set[str] = set()
    for row in chain.from_iterable(map(iterate_manifest, manifests)):
        met |= {term for term in TERMS if getattr(row, term)}
        if len(met) == len(TERMS):
            break
    return tuple(term for term in TERMS if term in met)


def _lack(split: ExportSplit, one: str, *, lacks: str, has: str) -> StoreError:
    return StoreError(
        f"utterance {one!r} of split {split.name}",
        expected=f"in {lacks}, as in {has}: stores that are exported together hold the same",
        got=f"none in {split.stores[lacks].path}",
        hint="export them one by one, or make both from the same manifests",
    )
