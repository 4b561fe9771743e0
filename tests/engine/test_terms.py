"""Terms of utterances in the headers of stores: by split, without counts, and in no other byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featbank.base.manifest import read_manifest, write_manifest
from featbank.engine.extract import extract
from featbank.engine.run import Reuse
from featbank.pipeline.corpus_summary import read_corpus
from featbank.store import read_header
from tests.extracting import demo_run, files
from tests.licensed import OF_CORPUS, Licensed, licensed

SAID = {"consent": ["research"], "license": ["CC-BY-SA-4.0", "CC0-1.0"]}


def stored(demo: Licensed, out: Path, terms: Mapping[str, Any]) -> dict[str, bytes]:
    run = demo_run(demo.root, manifests=demo.manifests)
    corpus = replace(run.corpus, license=OF_CORPUS, terms=terms)
    extract(replace(run, corpus=corpus), out, Reuse())
    return files(out)


def test_a_header_states_the_terms_of_its_split_and_no_shard_changes(
    demo_corpus: Path, tmp_path: Path
) -> None:
    demo = licensed(demo_corpus, tmp_path)
    terms = read_corpus(demo.manifests).terms
    assert terms == dict.fromkeys(("train", "dev", "test"), SAID)
    said = stored(demo, tmp_path / "said", {**terms, "test": {}})
    header = read_header(tmp_path / "said/fbank/train")
    assert header.provenance["corpus"] == {"name": "demo", "license": OF_CORPUS, "terms": SAID}
    assert read_header(tmp_path / "said/fbank/test").provenance["corpus"] == {
        "name": "demo", "license": OF_CORPUS,
    }  # fmt: skip
    for split in ("train", "dev", "test"):
        rows = read_manifest(demo.manifests / f"{split}.jsonl")
        plain = [replace(row, license="", consent="") for row in rows]
        write_manifest(demo.manifests / f"{split}.jsonl", plain)
    unsaid = stored(demo, tmp_path / "unsaid", {})
    differing = {name for name in said if said[name] != unsaid[name]}
    assert said.keys() == unsaid.keys()
    headers = {"fbank/train/header.json", "fbank/dev/header.json"}
    assert differing == headers | {"fbank/splits.json"}  # which has the digests of headers
