"""Croissant 1.1 metadata of a corpus or a store: its files with digests, and its rows' fields.

The format is JSON-LD: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Its
context stands in each file, so that no reader asks the network for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from featbank.base.manifest import Utterance
from featbank.base.terms import NOT_SAID, TERMS
from featbank.cards.identifiers import license_url
from featbank.cards.subject import CardSplit, CardSubject
from featbank.files.provenance import file_sha256

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
JSON_LINES = "application/jsonlines"
HDF5 = "application/x-hdf5"

_OURS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
    "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _OURS},
}
_TYPES = {"int": "sc:Integer", "float": "sc:Float", "str": "sc:Text"}
_OPTIONAL = frozenset(["speed", *TERMS])


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFile:
    """A file of a dataset.

    Args:
        path: of it.
        split: that it is of; empty where it is of all.
        encoding: its media type; `JSON_LINES` is that of manifests, whose lines are records.
        tells: a sentence about what it holds.
    """

    path: Path
    split: str = ""
    encoding: str
    tells: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """What a publisher says of a dataset, which no file of it does; empty where it says nothing.

    Args:
        url: where it is published; of a corpus, else where its audio is.
        creator: who made it.
        date: on which it was published: `2026-11-30`.
        version: of it: `1.0.0`.
        citation: what to cite.
    """

    url: str = ""
    creator: str = ""
    date: str = ""
    version: str = ""
    citation: str = ""


def croissant(
    subject: CardSubject,
    files: Sequence[DatasetFile],
    folder: Path,
    *,
    told: str,
    publisher: Publisher,
    advance: Callable[[int], object],
) -> dict[str, Any]:
    """Return the JSON-LD, whose paths are relative to the folder that it will lie in.

    Args:
        subject: that it describes.
        files: of it, which are read for their digests.
        folder: of the JSON-LD.
        told: a sentence or two about what the dataset is.
        publisher: what they say besides.
        advance: told of each file that was read.

    Raises:
        OSError: a file cannot be read.
    """
    said = {
        "url": publisher.url or subject.url,
        "creator": {"@type": "Person", "name": publisher.creator} if publisher.creator else "",
        "datePublished": publisher.date,
        "version": publisher.version,
        "citeAs": publisher.citation,
        "license": [license_url(one) for one in subject.licenses],
        "inLanguage": list(subject.languages),
        "usageInfo": _usage(subject),
    }
    return {
        "@context": dict(sorted(_CONTEXT.items())),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": subject.name,
        "description": told,
        **{name: value for name, value in said.items() if value},
        "distribution": [_file_object(one, folder, advance) for one in files],
        "recordSet": [
            _records(one, split, folder)
            for split in subject.splits
            for one in files
            if one.encoding == JSON_LINES and one.split == split.name
        ],
    }


def _usage(subject: CardSubject) -> str:
    """Say what the speakers consented to, where the corpus says it of any."""
    counted = subject.terms.get("consent")
    if counted is None:
        return "; ".join(f"consent {value}" for value in subject.consents)
    return "; ".join(
        f"consent {value or NOT_SAID}: {of['utterances']:,} utterances"
        for value, of in counted.items()
    )


def _file_object(
    file: DatasetFile, folder: Path, advance: Callable[[int], object]
) -> dict[str, Any]:
    address, sha256 = _address(file, folder), file_sha256(file.path)
    advance(1)
    return {
        "@type": "cr:FileObject",
        "@id": address,
        "name": address,
        "description": file.tells,
        "contentUrl": address,
        "contentSize": f"{file.path.stat().st_size} B",
        "encodingFormat": file.encoding,
        "sha256": sha256,
    }


def _records(file: DatasetFile, split: CardSplit, folder: Path) -> dict[str, Any]:
    name = f"rows_{split.name}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The {split.num_utterances:,} utterances of split {split.name}.",
        "key": {"@id": f"{name}/id"},
        "field": list(_fields(name, file, split, folder)),
    }


def _fields(
    name: str, file: DatasetFile, split: CardSplit, folder: Path
) -> Iterator[dict[str, Any]]:
    for one in fields(Utterance):
        if one.name in _OPTIONAL and (
            split.rows is None or one.name not in split.rows.optional_fields
        ):
            continue
        yield {
            "@type": "cr:Field",
            "@id": f"{name}/{one.name}",
            "name": one.name,
            "dataType": _TYPES[str(one.type)],
            "source": {
                "fileObject": {"@id": _address(file, folder)},
                "extract": {"column": one.name},
            },
        }


def _address(file: DatasetFile, folder: Path) -> str:
    """Return the path of a file as the JSON-LD names it, from its own folder."""
    return Path(os.path.relpath(file.path.absolute(), folder.absolute())).as_posix()
