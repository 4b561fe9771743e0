"""Row groups of Parquet are read whole, and a pass over a corpus reads each of them once."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from featbank.audio import forget_groups
from featbank.audio.inside import groups, parquet
from featbank.corpora.layouts.huggingface import HuggingFaceCorpus
from featbank.engine import windows
from featbank.numerics import Computing
from tests.engine.in_turn import InTurn
from tests.extracting import files, run_extraction
from tests.inside_files import prepared

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_GROUPS, ROWS = 80, 4
STUB: Mapping[str, Any] = {
    "extractor": {"_target_": "tests.device_stub.ExactStub"},
    "trusted_modules": ["tests"],
    "storage": [
        {"name": name, "dtype": dtype, "shard_bytes": 60_000}
        for name, dtype in (("one", "float32"), ("two", "float32"), ("codes", "uint16"))
    ],
    "task_s": 4.0,
}
ALONE: Mapping[str, Any] = {}
TOGETHER = {"computing": Computing(batch_s=4)}
BOTH_WAYS = pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, HuggingFaceCorpus]:
    """Utterances that are named by file and row, and the same ones named by chance."""
    folder = tmp_path_factory.mktemp("groups")
    chance, noise = random.Random(0), np.random.default_rng(0)
    ids = [f"u{number:05d}" for number in range(NUM_GROUPS * ROWS)]
    chance.shuffle(ids)
    clips = []
    for _ in ids:
        out = io.BytesIO()
        samples = noise.integers(-3000, 3000, chance.randrange(2_000, 8_000), np.int16)
        soundfile.write(out, samples, 16_000, format="FLAC")
        clips.append({"bytes": out.getvalue(), "path": "x.flac"})
    made = {}
    for scattered in (False, True):
        root = folder / str(scattered) / "corpus"
        root.mkdir(parents=True)
        for number, some in enumerate([slice(0, len(ids) // 2), slice(len(ids) // 2, None)]):
            table = pyarrow.table({"audio": clips[some], "utt": ids[some]})
            path = root / f"train-{number:05d}-of-00002.parquet"
            pyarrow.parquet.write_table(table, path, row_group_size=ROWS)
        columns = {"utt": "id"} if scattered else {}
        corpus = HuggingFaceCorpus(name="demo", root=root, license="", columns=columns)
        prepared(corpus)
        made[scattered] = corpus
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes of each row group that is read, as they lie in its file."""
    noted: list[int] = []
    real = parquet._read_group

    def noting(file: Any, cell: parquet.Cell) -> Any:
        noted.append(file.metadata.row_group(cell.group).column(0).total_compressed_size)
        return real(file, cell)

    monkeypatch.setattr(parquet, "_read_group", noting)
    forget_groups()
    yield noted
    forget_groups()


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a part of the corpus, of which batches are cut."""
    monkeypatch.setattr(windows, "WINDOW_S", 20.0)


def num_bytes(corpus: HuggingFaceCorpus) -> int:
    """Return the bytes of audio in the files of a corpus, as they lie there."""
    return sum(
        meta.row_group(group).column(0).total_compressed_size
        for meta in map(pyarrow.parquet.read_metadata, corpus.root.glob("*.parquet"))
        for group in range(meta.num_row_groups)
    )


def extracted(corpus: HuggingFaceCorpus, out: Path, **settings: Any) -> dict[str, bytes]:
    """Return the stores that an extraction makes."""
    shutil.rmtree(corpus.root.parent / "work", ignore_errors=True)
    run_extraction(corpus.root, out, num_workers=None, **STUB, **settings)
    return files(out)


def test_preparation_reads_each_group_once(
    corpora: dict[bool, HuggingFaceCorpus], read: list[int]
) -> None:
    shutil.rmtree(corpora[True].root.parent / "failed.scans")
    prepared(corpora[True], num_workers=3)
    assert sum(read) == num_bytes(corpora[True])


@BOTH_WAYS
@pytest.mark.parametrize("scattered", [False, True], ids=["in-order", "scattered"])
def test_one_worker_reads_each_group_once_and_keeps_the_others_rows_on_disk(
    settings: Mapping[str, Any],
    scattered: bool,
    corpora: dict[bool, HuggingFaceCorpus],
    read: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = corpora[scattered]
    expected = extracted(corpus, tmp_path / "whole", **settings)
    assert sum(read) == num_bytes(corpus)
    read.clear()
    monkeypatch.setattr(groups, "_MEMORY_BYTES", 100_000)  # a few of them
    assert extracted(corpus, tmp_path / "out", **settings) == expected
    assert sum(read) == num_bytes(corpus)


@BOTH_WAYS
def test_workers_that_share_nothing_read_each_group_once_between_them(
    settings: Mapping[str, Any],
    corpora: dict[bool, HuggingFaceCorpus],
    read: list[int],
    tmp_path: Path,
) -> None:
    corpus = corpora[False]
    expected = extracted(corpus, tmp_path / "whole", **settings)
    read.clear()
    runner = InTurn(num_workers=2, after=lambda _: forget_groups())  # each workload begins anew
    assert extracted(corpus, tmp_path / "out", runner=runner, **settings) == expected
    assert len(runner.workloads) > 6
    assert num_bytes(corpus) <= sum(read) <= 1.05 * num_bytes(corpus)


def test_where_there_is_no_room_groups_are_read_again_and_a_warning_says_so(
    corpora: dict[bool, HuggingFaceCorpus],
    read: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    corpus = corpora[True]
    expected = extracted(corpus, tmp_path / "whole")
    assert caplog.records == []
    read.clear()
    monkeypatch.setattr(groups, "_MEMORY_BYTES", 100_000)
    monkeypatch.setattr(groups, "_SCRATCH_BYTES", 400_000)
    assert extracted(corpus, tmp_path / "out") == expected
    assert sum(read) > 2 * num_bytes(corpus)
    assert sum("are read more than once" in one.message for one in caplog.records) == 1
