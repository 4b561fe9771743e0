"""The card of an export to Hugging Face's datasets, with where its Parquet files are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from featbank.cards.markdown import dataset_card
from featbank.cards.subject import CardFeature, CardSplit, CardSubject, RowFacts, license_of_corpora
from featbank.export.source import ExportSource, ExportSplit

_MADE = "Exported from featbank stores. Every value is as a read of the store gives it."


def card(source: ExportSource, named: Callable[[str], str]) -> str:
    """Return the text of the card.

    Args:
        source: that is exported.
        named: gives the name of a split as datasets has it.
    """
    features = tuple(
        CardFeature(
            name=field.name,
            header=field.header,
            # of one split; the others have the same fingerprint
            provenance=source.splits[0].stores[field.name].header.provenance
            if source.splits
            else {},
        )
        for field in source.fields
    )
    subject = CardSubject(
        name=", ".join(field.name for field in source.fields),
        splits=tuple(_split(split, named(split.name)) for split in source.splits),
        features=features,
        corpus_license=license_of_corpora(features),
        num_failures=sum(split.num_failures for split in source.splits),
    )
    return dataset_card(subject, made=_MADE, head=_configs(subject))


def _split(split: ExportSplit, name: str) -> CardSplit:
    rows = None
    if split.manifest is not None:
        rows = RowFacts(row.manifest_row for row in split.rows())
    return CardSplit(name=name, num_utterances=len(split), rows=rows)


def _configs(subject: CardSubject) -> Iterator[str]:
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    for split in subject.splits:
        yield f"  - split: {json.dumps(split.name)}"
        yield f"    path: {json.dumps(f'data/{split.name}-*.parquet')}"
