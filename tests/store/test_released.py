"""Stores that the last releases wrote still open, to the bit; those of formats before are refused.

Each folder of `tests/store/released` was written by the release that it is named after, through
`tests/store/write_released.py`, and is never written again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from featbank.base.manifest import read_manifest
from featbank.cli import main
from featbank.errors import CodebookError, StoreError
from featbank.feature_io.cmvn_file import read_cmvn
from featbank.store import Store, open_store, open_verified
from featbank.store.verify import verify
from featbank.tokenizers.codebook import load_codebook
from tests.conftest import ROOT
from tests.store.write_released import (
    CODEBOOKS,
    COMPRESSED,
    LENGTHS,
    SPLITS,
    centroids,
    digest_of,
    input_digest_of,
    statistics,
    utterances,
    values_of,
    write_all,
)

RELEASED = sorted((ROOT / "tests/store/released").iterdir())
REFUSED = sorted((ROOT / "tests/store/refused").iterdir())
NAMES = ("bfloat16", "codes", "float16", "int8_scaled", "units", "vectors", COMPRESSED)

released = pytest.mark.parametrize("release", RELEASED, ids=lambda folder: folder.name)


@pytest.fixture(scope="module")
def written_now(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the featbank of today writes for the same input."""
    pytest.importorskip("hdf5plugin")  # of the compressed store
    folder = tmp_path_factory.mktemp("now")
    write_all(folder)
    return folder


def _open(release: Path, name: str) -> Store:
    if name == COMPRESSED:
        pytest.importorskip("hdf5plugin")
    return open_store(release / name)


@released
@pytest.mark.parametrize("name", NAMES)
def test_a_store_of_a_release_opens_and_gives_its_values_to_the_bit(
    release: Path, name: str
) -> None:
    expected = json.loads((release / "expected.json").read_text())[name]
    store = _open(release, name)
    assert sorted(store.ids) == list(LENGTHS)
    assert {one: digest_of(store[one]) for one in store.ids} == expected
    if name in ("codes", "units", "vectors", COMPRESSED):  # nothing is lost on the way
        for one in store.ids:
            np.testing.assert_array_equal(store[one], values_of(name, one))


@released
@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_it_is_held_against_its_digests(release: Path, name: str) -> None:
    _open(release, name)
    found = verify(release / name)
    assert (found.damages, found.num_utterances) == ([], len(LENGTHS))
    with open_verified(release / name) as store:
        assert {one: store.input_digest(one) for one in store.ids} == {
            one: input_digest_of(one) for one in LENGTHS
        }


@released
def test_its_splits_belong_together_and_its_failures_are_listed(release: Path) -> None:
    for split, ids in SPLITS.items():
        assert tuple(open_store(release / "float16", split).ids) == ids
    [failure] = open_store(release / "float16", "dev").failures
    assert (failure.id, failure.kind) == ("carl/0001", "empty")


@released
def test_its_manifest_codebooks_and_statistics_are_read(release: Path) -> None:
    assert read_manifest(release / "train.jsonl") == utterances()
    for name, shape in CODEBOOKS.items():
        codebook = load_codebook(release / name)
        np.testing.assert_array_equal(codebook.centroids, centroids(*shape))
        assert codebook.provenance == {"fitted_on": {"seed": 0}}
    found, expected = read_cmvn(release / "cmvn.safetensors"), statistics()
    assert found.speakers == expected.speakers
    for name in ("num_frames", "means", "variances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_last_release_and_today_write_the_same_bytes(written_now: Path) -> None:
    """But for compressed values: those are of the zstd in hdf5plugin, and only read the same."""
    last = max(RELEASED, key=lambda folder: [int(part) for part in folder.name.split(".")])
    there, here = _files(last), _files(written_now)
    assert there.keys() == here.keys()
    differing = [name for name in there if there[name] != here[name]]
    assert {Path(name).parts[0] for name in differing} <= {COMPRESSED}


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("older", REFUSED, ids=lambda folder: folder.name)
def test_a_store_of_a_format_before_is_refused_by_its_number(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = older.name.removeprefix("format-")
    said = rf"expected format_version 4, got {number}; run the stage that makes it again"
    with pytest.raises(StoreError, match=said):
        open_store(older / "store")
    assert main(["verify", str(older / "store")]) == 1
    assert f"expected format_version 4, got {number}" in capsys.readouterr().out


def test_a_codebook_of_the_format_before_is_refused_by_its_number() -> None:
    said = r"expected format version 4, got 3; run python stages/fit.py overwrite=true"
    with pytest.raises(CodebookError, match=said):
        load_codebook(ROOT / "tests/store/refused/format-3/kmeans.safetensors")


def test_a_store_of_a_later_format_asks_for_a_later_featbank(tmp_path: Path) -> None:
    """As its number says alone: what else changed in it, nobody knows."""
    shutil.copytree(RELEASED[-1] / "units", tmp_path / "units")
    header = tmp_path / "units/header.json"
    fields = json.loads(header.read_text()) | {"format_version": 5}
    header.write_text(json.dumps(fields))
    with pytest.raises(StoreError, match="got 5; install a newer featbank"):
        open_store(tmp_path / "units")
