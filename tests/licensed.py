"""The demo corpus with terms: half of it of licences of its own, some with a consent."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from featbank.base.manifest import Utterance, read_manifest
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from tests.export.conftest import write_store

OWN = {"allison_en": ("CC0-1.0", "research"), "june_fr": ("CC-BY-SA-4.0", "")}
"""The licence and the consent of two speakers; the others have the licence of the corpus."""

OF_CORPUS = "CC BY 4.0"
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Licensed:
    """A corpus with terms, its manifests, and a store of units of it."""

    root: Path
    manifests: Path
    units: Path

    def rows(self, split: str) -> list[Utterance]:
        return read_manifest(self.manifests / f"{split}.jsonl")


def licensed(demo_corpus: Path, folder: Path) -> Licensed:
    """Prepare the demo corpus under a folder, with the terms of `OWN`."""
    root = folder / "corpus"
    shutil.copytree(demo_corpus, root)
    with (root / "transcripts.tsv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = ["path", "speaker", "language", "split", "text", "license", "consent"]
    with (root / "terms.tsv").open("w", encoding="utf-8") as file:
        file.write("\t".join(columns) + "\n")
        for line in lines:
            line["license"], line["consent"] = OWN.get(line["speaker"], ("", ""))
            file.write("\t".join(line[column] for column in columns) + "\n")
    corpus = TableCorpus(
        name="demo", root=root, license=OF_CORPUS, url="https://example.org", table="terms.tsv",
        ignore_columns="rest",
    )  # fmt: skip
    made = Licensed(root=root, manifests=folder / "manifests" / "demo", units=folder / "units")
    prepare(corpus, made.manifests, failures_path=folder / "failures.jsonl")
    said = {"corpus": {"name": "demo", "license": OF_CORPUS}}
    for split in SPLITS:
        ids = [row.id for row in made.rows(split)]
        write_store(made.units / split, "units", ids, provenance=said)
    return made
