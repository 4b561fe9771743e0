"""Reading of what a card is about: a prepared corpus, or stores with their manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.base.manifest import Utterance, iterate_manifest
from featbank.base.split_names import SUMMARY_NAME, in_order, split_names
from featbank.cards.croissant import HDF5, JSON_LINES, DatasetFile
from featbank.cards.stated import stated_corpora
from featbank.cards.subject import (
    CardFeature,
    CardSplit,
    CardSubject,
    RowFacts,
    license_of_corpora,
)
from featbank.errors import ManifestError
from featbank.files.json_files import read_json
from featbank.store import HEADER_NAME, Store, StoreHeader, open_store
from featbank.store.format import FAILURES_NAME, SPLITS_NAME
from featbank.store.joining import read_headers

_SUMMARY: Mapping[str, type] = {"name": str, "license": str, "url": str, "num_failures": int}


def is_corpus(place: Path) -> bool:
    """Tell whether a folder holds the manifests of a corpus."""
    return (place / SUMMARY_NAME).is_file()


def read_subject(place: Path, manifests: Path | None = None) -> CardSubject:
    """Read what is to be told of a corpus's manifests, of a store, or of the folder of its splits.

    Args:
        place: the folder.
        manifests: of a store: folder of the manifests that it was made from, for what the corpus
            says of its utterances.

    Raises:
        StoreError: no store there, or a damaged one.
        ManifestError: manifests are missing, damaged, or of other stores.
    """
    return _corpus(place) if is_corpus(place) else _stores(place, manifests)


def _corpus(folder: Path) -> CardSubject:
    summary = _summary(folder)
    rows = {
        split: RowFacts(iterate_manifest(folder / f"{split}.jsonl"))
        for split in split_names(folder)
    }
    return CardSubject(
        name=summary["name"],
        splits=tuple(
            CardSplit(name=split, num_utterances=of.num_rows, rows=of) for split, of in rows.items()
        ),
        corpus_license=summary["license"],
        url=summary["url"],
        num_failures=summary["num_failures"],
        left_out=summary.get("left_out"),
    )


def _stores(place: Path, manifests: Path | None) -> CardSubject:
    headers, joined = read_headers(place)
    by_split = {folder.absolute().name: folder for folder in headers}
    feature = CardFeature(
        name=joined.name, header=joined, provenance=next(iter(headers.values())).provenance
    )
    summary = {} if manifests is None or not is_corpus(manifests) else _summary(manifests)
    return CardSubject(
        name=" ".join([*stated_corpora(feature.provenance), joined.name]),
        splits=tuple(
            _split(split, by_split[split], headers[by_split[split]], manifests)
            for split in in_order(by_split)
        ),
        features=(feature,),
        corpus_license=license_of_corpora([feature]),
        url=summary.get("url", ""),
        num_failures=joined.num_failures,
        left_out=summary.get("left_out"),
    )


def _split(name: str, folder: Path, header: StoreHeader, manifests: Path | None) -> CardSplit:
    rows = None
    if manifests is not None:
        manifest = manifests / f"{name}.jsonl"
        rows = RowFacts(_stored(manifest, open_store(folder)))
        if rows.num_rows != header.num_utterances:
            raise ManifestError(
                f"manifest {manifest}",
                expected=f"the {header.num_utterances:,} utterances of store {folder}",
                got=f"{rows.num_rows:,} of them",
                hint="give the manifests that the store was made from",
            )
    return CardSplit(name=name, num_utterances=header.num_utterances, rows=rows)


def _stored(manifest: Path, store: Store) -> Iterator[Utterance]:
    """Give the rows that a store holds: a manifest has those that failed, too."""
    return (row for row in iterate_manifest(manifest) if row.id in store)


def _summary(folder: Path) -> Mapping[str, Any]:
    path = folder / SUMMARY_NAME
    said = read_json(path, what="corpus summary", error=ManifestError)
    left_out = said.get("left_out", {"rows": 0})
    for name, kind in _SUMMARY.items():
        if not isinstance(said.get(name), kind):
            raise ManifestError(f"{name} in {path}", expected=kind.__name__, got=said.get(name))
    if not isinstance(left_out, Mapping) or not isinstance(left_out.get("rows"), int):
        raise ManifestError(f"left_out in {path}", expected="rows", got=left_out)
    return said


def files_of(place: Path, manifests: Path | None = None) -> list[DatasetFile]:
    """Return the files of what `read_subject` reads, in order.

    Raises:
        StoreError: no store there, or a damaged one.
        ManifestError: manifests are missing.
    """
    if is_corpus(place):
        return [*_manifest_files(place, split_names(place))]
    headers, _ = read_headers(place)
    by_split = {folder.absolute().name: folder for folder in headers}
    splits = in_order(by_split)
    found = [*_listing(place)]
    for split in splits:
        folder = by_split[split]
        found += _store_files(split, folder, headers[folder])
    return found if manifests is None else [*found, *_manifest_files(manifests, splits)]


def _listing(place: Path) -> Iterator[DatasetFile]:
    if (place / SPLITS_NAME).is_file():
        yield DatasetFile(
            path=place / SPLITS_NAME, encoding="application/json", tells="Which splits there are."
        )


def _manifest_files(folder: Path, splits: Sequence[str]) -> Iterator[DatasetFile]:
    if is_corpus(folder):
        yield DatasetFile(
            path=folder / SUMMARY_NAME,
            encoding="application/json",
            tells="The corpus in numbers: its splits, licences, and what was found in its audio.",
        )
    for split in splits:
        yield DatasetFile(
            path=folder / f"{split}.jsonl",
            split=split,
            encoding=JSON_LINES,
            tells=f"The utterances of split {split}, one JSON object a line, sorted by id.",
        )


def _store_files(split: str, folder: Path, header: StoreHeader) -> Iterator[DatasetFile]:
    yield DatasetFile(
        path=folder / HEADER_NAME,
        split=split,
        encoding="application/json",
        tells=f"What the store of {header.name}, split {split}, is and was made from.",
    )
    if header.failures_digest:
        yield DatasetFile(
            path=folder / FAILURES_NAME,
            split=split,
            encoding="application/json",
            tells=f"The utterances of split {split} that failed, and why.",
        )
    shape = CardFeature(name=header.name, header=header, provenance={}).shape
    for shard in header.shards:
        yield DatasetFile(
            path=folder / shard.name,
            split=split,
            encoding=HDF5,
            tells=f"{header.name} of {shard.num_utterances:,} utterances of split {split}, "
            f"({shape}) {header.dtype} each, from {shard.first_id!r} to {shard.last_id!r}.",
        )
