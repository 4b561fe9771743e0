"""Zarr hierarchies, as zarr itself reads them back."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.manifest import read_manifest
from featbank.errors import ConfigError
from featbank.export import export_zarr
from featbank.store import StoreWriter, open_store
from tests.conftest import ROOT
from tests.export.conftest import LICENSE, Demo, files_of, write_store
from tests.flipping import flip
from tests.waiting import HANG_S

zarr = pytest.importorskip("zarr")


def read(group: Any, name: str) -> list[Any]:
    """Return the frames of each utterance."""
    offsets, values = group[name]["offsets"][:], group[name]["values"][:]
    return [values[start:stop] for start, stop in pairwise(offsets)]


def test_zarr_reads_back_every_value_of_every_kind_and_what_the_manifests_say(
    demo: Demo, tmp_path: Path
) -> None:
    names = ["fbank", "half", "stack", "voice", "units", "codes"]
    stores = [demo.folder / name for name in names]
    splits = ["dev", "test"]
    export_zarr(stores, tmp_path / "out", manifests=demo.manifests, splits=splits)
    for split in splits:
        group = zarr.open_group(tmp_path / "out" / f"{split}.zarr", mode="r")
        rows = read_manifest(demo.manifests / f"{split}.jsonl")
        assert group["ids"][:].tolist() == [row.id for row in rows]
        for column in ("text", "speaker", "language", "duration_s"):
            assert group[column][:].tolist() == [getattr(row, column) for row in rows]
        for name in names:
            store = demo.store(name, split)
            for row, values in zip(rows, read(group, name), strict=True):
                whole = values.T if name == "codes" else values[0] if name == "voice" else values
                assert whole.dtype == store[row.id].dtype
                np.testing.assert_array_equal(whole, store[row.id])
        said = group["fbank"].attrs
        assert (said["frame_rate"], said["fingerprint"]) == (100.0, "f" * 64)
        assert said["provenance"]["corpus"]["license"] == LICENSE
        assert group["units"].attrs["codebook_size"] == 50


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A store of 3 MiB, whose utterances lie across the shards of 1 MiB."""
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "long", name="long", dtype="float32") as writer:
        for number, frames in enumerate((3000, 0, 5000, 1)):
            writer.write(f"u{number}", rng.random((frames, 100)))
    return tmp_path / "long"


def test_utterances_lie_across_files_of_a_bounded_size_and_bytes_follow_from_the_store(
    long: Path, tmp_path: Path
) -> None:
    for out in ("a", "b"):
        export_zarr(long, tmp_path / out, shard_mb=1)
    shards = sorted((tmp_path / "a" / "long.zarr" / "long" / "values" / "c").glob("*/0"))
    assert [one.parent.name for one in shards] == ["0", "1", "2", "3"]
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    store = open_store(long)
    group = zarr.open_group(tmp_path / "a" / "long.zarr", mode="r")
    for one, values in zip(group["ids"][:], read(group, "long"), strict=True):
        np.testing.assert_array_equal(values, store[one])
    # zarr's own checksums name damage, and a file that is gone is no frame of silence
    shards[1].unlink()
    assert np.isnan(group["long/values"][4000, 0])
    flip(shards[0], 1000)
    with pytest.raises(RuntimeError):
        group["long/values"][0]


# The export is killed when zarr is about to encode the third shard of values.
KILLED = """
import os, signal, sys
from featbank.export import export_zarr, zarr
joins = iter(range(2))
join = zarr._join
zarr._join = lambda *given: join(*given) if next(joins, None) is not None else os.kill(
    os.getpid(), signal.SIGKILL
)
export_zarr(sys.argv[1], sys.argv[2], shard_mb=1)
"""


def test_an_export_that_is_killed_goes_on_from_its_shards_to_the_same_bytes(
    long: Path, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(long), str(tmp_path / "out")],
        timeout=HANG_S,
        cwd=ROOT,
    )
    assert killed.returncode == -9
    assert not (tmp_path / "out").exists()
    done = export_zarr(long, tmp_path / "out", shard_mb=1)
    # the descriptions of 2 groups and 3 arrays, the ids, the offsets, and 2 shards
    assert (done.num_kept, done.num_files) == (9, 11)
    export_zarr(long, tmp_path / "clean", shard_mb=1)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "clean")


def test_a_store_without_utterances_is_a_hierarchy_without_any(tmp_path: Path) -> None:
    write_store(tmp_path / "none", "fbank", [], shape=(8,))
    export_zarr(tmp_path / "none", tmp_path / "out")
    group = zarr.open_group(tmp_path / "out" / "none.zarr", mode="r")
    assert group["ids"].shape == (0,)
    assert group["fbank/offsets"][:].tolist() == [0]
    assert group["fbank/values"].shape == (0, 8)


def test_a_field_that_is_called_as_a_column_is_refused(demo: Demo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got ids; give it another: my_ids=FOLDER"):
        export_zarr(f"ids={demo.folder / 'units'}", tmp_path / "out")
