"""Windows of shards are cut into batches of one shape, which are full but for a few."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.engine import windows
from featbank.engine.batching import batches
from featbank.engine.cutting import ShardWindow, audio_s
from featbank.engine.pace import MOST_S
from featbank.engine.rows import batch_shape_of
from featbank.engine.tasks import ShardResult
from featbank.numerics import Computing
from tests.engine.in_turn import InTurn
from tests.extracting import demo_run, extract_corpus, files, run_extraction
from tests.tiny_encoder import TinyEncoder

pytestmark = pytest.mark.usefixtures("one_thread")

HOUR_S = 3600
TINY: dict[str, Any] = {
    "extractor": {"_target_": "tests.tiny_encoder.TinyEncoder"},
    "storage": [
        {"name": "low", "shard_bytes": 500_000},
        {"name": "high", "dtype": "float16", "shard_bytes": 500_000},
    ],
    "trusted_modules": ["tests"],
    "computing": Computing(batch_s=15),
}


def _read_speech(chance: random.Random) -> float:
    place = chance.random()
    if place < 0.62:
        return chance.uniform(12, 16.3)
    return chance.uniform(2, 12) if place < 0.98 else chance.uniform(16.3, 30)


def _prompts(chance: random.Random) -> float:
    return max(1.2, min(15.0, chance.gauss(5.2, 1.9)))


def _talks(chance: random.Random) -> float:
    return max(3.0, min(30.0, chance.lognormvariate(2.1, 0.5)))


def _manifest(folder: Path, law: Callable[[random.Random], float], hours: float) -> None:
    chance, left_s, rows = random.Random(0), hours * HOUR_S, []
    while left_s > 0:
        seconds = law(chance)
        left_s -= seconds
        rows.append(
            Utterance(
                id=f"{len(rows):07}",
                audio=f"{len(rows)}.wav",
                audio_digest=f"{len(rows):032x}",
                sample_rate=16000,
                num_samples=int(seconds * 16000),
            )
        )
    write_manifest(folder / "manifests" / "train.jsonl", rows)


def _windows(folder: Path, *, batch_s: float, num_workers: int) -> list[ShardWindow]:
    from featbank.engine.extract import feature_job

    (folder / "corpus").mkdir(exist_ok=True)
    settings = TINY | {"computing": Computing(batch_s=batch_s)}
    settings["storage"] = [{"name": name, "shard_bytes": 1 << 27} for name in ("low", "high")]
    runner = InTurn(num_workers=num_workers)
    job = feature_job(demo_run(folder / "corpus", runner=runner, **settings), folder / "out")
    plan = job.plan()
    cutter = job.cutter(plan)
    cutter.pace.learn(computed_s=10_000.0, wall_s=1.0)
    return list(cutter.windows(task for task, _ in plan))


@pytest.mark.parametrize("batch_s", [120, 480])
@pytest.mark.parametrize("law", [_read_speech, _prompts, _talks])
def test_of_50_hours_a_tenth_at_most_is_padding_and_empty_rows(
    law: Callable[[random.Random], float], batch_s: float, tmp_path: Path
) -> None:
    _manifest(tmp_path, law, hours=50.2)
    first, *_ = _windows(tmp_path, batch_s=batch_s, num_workers=1)
    shape_of = functools.partial(
        batch_shape_of, extractor=TinyEncoder(), seconds_together=float(batch_s)
    )
    audio = computed = 0
    tasks = [task for workload in first.workloads for task in workload.tasks]
    for task in tasks:
        in_task = list(batches(task.rows, shape_of))
        assert len({shape for shape, _ in in_task}) == 1
        assert len(in_task) == 1 or audio_s(task.rows) <= MOST_S
        for shape, batch in in_task:
            assert shape is not None
            audio += sum(row.num_samples for row in batch)
            computed += shape.rows * shape.samples
    assert audio >= 50 * HOUR_S * 16000
    assert 1 - audio / computed <= 0.1
    assert sorted(row.id for task in tasks for row in task.rows) == [
        row.id for shard in first.shards for row in shard.rows
    ]


def test_a_worker_has_much_of_a_window_at_once_and_less_at_the_end_of_a_run(
    tmp_path: Path,
) -> None:
    _manifest(tmp_path, _talks, hours=130)
    first, last = _windows(tmp_path, batch_s=480, num_workers=2)
    sizes = [[_size(one.tasks) for one in window.workloads] for window in (first, last)]
    assert len(sizes[0]) == 4
    assert sizes[0] == pytest.approx([sum(sizes[0]) / 4] * 4, rel=0.05)
    assert sum(sizes[0]) >= 2 * 50 * HOUR_S
    assert sizes[1][0] > 4 * sizes[1][-1]


def _size(tasks: Sequence[Any]) -> float:
    return sum(audio_s(task.rows) for task in tasks)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 40 s, of which the demo corpus has several."""
    monkeypatch.setattr(windows, "WINDOW_S", 10.0)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_windows_write_the_bytes_of_whole_shards(
    num_workers: int, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, [replace(row, part=f"{n % 2}") for n, row in enumerate(rows)])
    runner = InTurn(num_workers=num_workers)
    done = run_extraction(corpus, tmp_path / "out", runner=runner, task_s=12.0, **TINY)
    assert any(one.beside for one in runner.workloads)
    assert caplog.records == []  # nothing that is only not there yet is called damaged
    extract_corpus(corpus, tmp_path / "whole", num_workers=None, task_s=1e6, **TINY)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert (done.tally.num_computed, done.tally.num_copied) == (38, 0)
    assert runner.told_s == pytest.approx(done.tally.computed_s)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.usefixtures("small_windows")
def test_a_stopped_run_goes_on_from_what_its_windows_have_left(
    corpus: Path, tmp_path: Path
) -> None:
    kept: list[ShardResult] = []

    def stop(result: ShardResult) -> None:
        kept.append(result)
        if len(kept) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_corpus(corpus, tmp_path / "out", runner=InTurn(after=stop), task_s=12.0, **TINY)
    left = list((tmp_path / "work").glob("*/interim/results/*.json"))
    assert left
    done = run_extraction(corpus, tmp_path / "out", runner=InTurn(num_workers=2), **TINY)
    assert done.tally.num_computed < 38
    extract_corpus(corpus, tmp_path / "whole", num_workers=None, task_s=1e6, **TINY)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.usefixtures("small_windows")
def test_splits_that_share_rows_share_no_result(corpus: Path, tmp_path: Path) -> None:
    """The tasks of both have one name: what one split has made is told of the other as its own."""
    manifests = tmp_path / "manifests"
    write_manifest(manifests / "dev.jsonl", read_manifest(manifests / "train.jsonl"))
    runner = InTurn(num_workers=2)
    run_extraction(corpus, tmp_path / "out", runner=runner, task_s=12.0, **TINY)
    extract_corpus(corpus, tmp_path / "whole", num_workers=None, task_s=1e6, **TINY)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
