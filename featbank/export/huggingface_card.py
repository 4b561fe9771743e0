"""The card of a dataset of Hugging Face: its README.md, with where the data came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from featbank.export.rows import ExportField
from featbank.export.source import ExportSource
from featbank.files.provenance import readable_json


def card(source: ExportSource, splits: Mapping[str, int]) -> str:
    """Return the text of the card.

    Args:
        source: that is exported.
        splits: utterances of each, by its name as datasets has it.
    """
    name = ", ".join(field.name for field in source.fields)
    return "\n".join(
        [
            "---",
            *_front_matter(source, name, splits),
            "---",
            "",
            f"# {name}",
            "",
            "Exported from featbank stores. Every value is as a read of the store gives it.",
            "",
            *_columns(source),
            "",
            "| split | utterances |",
            "| --- | --- |",
            *(f"| {split} | {count:,} |" for split, count in splits.items()),
            "",
            "## Licence",
            "",
            *(source.licenses or ["Not stated by the stores."]),
            "",
            "## Provenance",
            "",
            *_provenance(source),
        ]
    )


def _front_matter(source: ExportSource, name: str, splits: Mapping[str, int]) -> Iterator[str]:
    # a JSON text is a YAML one
    yield f"pretty_name: {json.dumps(name)}"
    if source.licenses:
        yield "license: other"
        yield f"license_name: {json.dumps('; '.join(source.licenses))}"
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    for split in splits:
        yield f"  - split: {json.dumps(split)}"
        yield f"    path: {json.dumps(f'data/{split}-*.parquet')}"


def _columns(source: ExportSource) -> Iterator[str]:
    yield "| column | shape | dtype | stored as | frames a second |"
    yield "| --- | --- | --- | --- | --- |"
    for field in source.fields:
        rate = field.header.frame_rate
        shape = ", ".join("T" if size is None else str(size) for size in field.axes)
        yield (
            f"| {field.name} | ({shape}) | {field.dtype.name} | {field.header.dtype} "
            f"| {'' if rate is None else f'{rate:g}'} |"
        )


def _provenance(source: ExportSource) -> Iterator[str]:
    for field in source.fields:
        yield f"### {field.name}"
        yield ""
        yield f"Fingerprint `{field.header.fingerprint}`."
        yield ""
        yield "```json"
        yield readable_json(_first_split(source, field)).rstrip()
        yield "```"
        yield ""


def _first_split(source: ExportSource, field: ExportField) -> Mapping[str, object]:
    """Return what one split was made from; the others have the same fingerprint."""
    if not source.splits:
        return {}
    return source.splits[0].stores[field.name].header.provenance
