"""The terms of utterances in the files of other toolkits, where these have a place for them."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora.layouts.kaldi.corpus import KaldiCorpus
from featbank.export.exporting import export_stores
from tests.licensed import OWN, Licensed, licensed

TERMS = ("license", "consent")


@pytest.fixture(scope="module")
def demo(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Licensed:
    return licensed(demo_corpus, tmp_path_factory.mktemp("licensed"))


def exported(name: str, demo: Licensed, out: Path) -> Path:
    roots = {"audio_root": demo.root} if name in ("nemo", "lhotse") else {}
    export_stores(name, demo.units / "dev", out, manifests=demo.manifests, **roots)
    return out


def said(demo: Licensed) -> dict[str, tuple[str, str]]:
    found = {row.id: (row.license, row.consent) for row in demo.rows("dev")}
    assert {*found.values()} == {*OWN.values(), ("", "")}
    return found


def test_webdataset_has_them_in_the_json_of_each_utterance(demo: Licensed, tmp_path: Path) -> None:
    with tarfile.open(exported("webdataset", demo, tmp_path / "out") / "dev-000000.tar") as tar:
        texts = [json.load(tar.extractfile(one)) for one in tar if one.name.endswith(".json")]  # type: ignore[arg-type]
    assert {one["id"]: (one["license"], one["consent"]) for one in texts} == said(demo)


def test_nemo_has_them_where_they_are_said(demo: Licensed, tmp_path: Path) -> None:
    lines = (exported("nemo", demo, tmp_path / "out") / "dev.json").read_text().splitlines()
    rows = list(map(json.loads, lines))
    assert {one["id"]: (one.get("license", ""), one.get("consent", "")) for one in rows} == said(
        demo
    )
    assert not any("" in (one.get("license"), one.get("consent")) for one in rows)


def test_hugging_face_has_a_column_of_each_and_the_licences_in_its_card(
    demo: Licensed, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = exported("hf", demo, tmp_path / "out")
    [path] = (out / "data").iterdir()
    rows = parquet.read_table(path).to_pylist()
    assert {one["id"]: (one["license"], one["consent"]) for one in rows} == said(demo)
    card = (out / "README.md").read_text()
    assert 'license: ["cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0"]' in card
    assert "| research | " in card


def test_zarr_has_an_array_of_each(demo: Licensed, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(exported("zarr", demo, tmp_path / "out") / "dev.zarr", mode="r")
    columns: list[Any] = [group[name][:] for name in ("ids", *TERMS)]
    assert {one: (own, agreed) for one, own, agreed in zip(*columns, strict=True)} == said(demo)


def test_lhotse_has_them_in_the_custom_fields_of_a_supervision(
    demo: Licensed, tmp_path: Path
) -> None:
    pytest.importorskip("lhotse")
    out = exported("lhotse", demo, tmp_path / "out")
    cuts = list(
        map(json.loads, gzip.decompress((out / "cuts_dev.jsonl.gz").read_bytes()).splitlines())
    )
    customs = {one["id"]: one["supervisions"][0].get("custom") or {} for one in cuts}
    found = {one: tuple(custom.get(term, "") for term in TERMS) for one, custom in customs.items()}
    assert found == said(demo)


def test_kaldi_has_a_file_of_each_which_the_kaldi_layout_reads(
    demo: Licensed, tmp_path: Path
) -> None:
    pytest.importorskip("kaldiio")
    out = exported("kaldi", demo, tmp_path / "out")
    scp = "".join(f"{row.id} {demo.root / row.audio}\n" for row in demo.rows("dev"))
    (out / "dev" / "wav.scp").write_text(scp)
    corpus = KaldiCorpus(name="c", root=demo.root, license="", dirs={"dev": str(out / "dev")})
    rows = corpus.list_utterances().rows
    assert {row.id: (row.license, row.consent) for row in rows} == said(demo)


def test_an_export_of_a_corpus_without_terms_has_no_word_of_them(
    demo: Licensed, tmp_path: Path
) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    lines = list(map(json.loads, (demo.manifests / "dev.jsonl").read_text().splitlines()))
    plain = [{name: one[name] for name in one if name not in TERMS} for one in lines]
    (manifests / "dev.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in plain))
    out = tmp_path / "out"
    export_stores("webdataset", demo.units / "dev", out, manifests=manifests)
    with tarfile.open(out / "dev-000000.tar") as tar:
        first = json.load(tar.extractfile(tar.next()))  # type: ignore[arg-type]
    assert "license" not in first
    assert "text" in first
