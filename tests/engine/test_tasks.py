"""Tasks are cut by minutes of audio and joined into shards: the bytes are those of whole shards."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featbank.base.amounts import format_duration
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.engine.cutting import Cutter, audio_s
from featbank.engine.pace import MOST_S, TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.previous import PreviousShards
from featbank.engine.reading import AudioReader
from featbank.engine.rows import SplitRows
from featbank.engine.tasks import ShardResult
from featbank.errors import FailureBudgetError
from featbank.numerics import ON_CPU
from featbank.store import ShardSpec, open_store
from tests.engine.in_turn import InTurn
from tests.extracting import extract_corpus, files, run_extraction, start_extraction
from tests.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_ROWS, CORPUS_S = 38, 145.0

TWO_FEATURES: dict[str, Any] = {
    "extractor": {"_target_": "tests.two_features.FbankAndEnergy"},
    "storage": [{"name": "fbank", "dtype": "int8_scaled"}, {"name": "energy", "dtype": "float16"}],
    "trusted_modules": ["tests"],
}
PACKED: dict[str, Any] = {"storage": [{"name": "fbank", "compression": "zstd"}]}


def _whole(corpus: Path, out: Path, **changes: Any) -> dict[str, bytes]:
    """The files of a run whose tasks are whole shards."""
    extract_corpus(corpus, out, num_workers=None, **changes)
    return files(out)


def _interim(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "work").glob("*/interim/results/*.json"))


@pytest.mark.parametrize("changes", [TWO_FEATURES, PACKED], ids=["two features", "packed"])
@pytest.mark.parametrize("task_s", [None, 1e-3, 20.0])
def test_tasks_of_any_size_in_any_order_write_the_bytes_of_whole_shards(
    task_s: float | None, changes: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, [replace(row, part=f"{n % 2}") for n, row in enumerate(rows)])
    runner = InTurn()
    done = run_extraction(corpus, tmp_path / "out", runner=runner, task_s=task_s, **changes)
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole", **changes)
    assert (done.tally.num_computed, done.tally.num_copied) == (NUM_ROWS, 0)
    assert done.tally.num_shards_written == sum(len(one.shards) for one in done.headers)
    assert runner.told_s == pytest.approx(done.tally.computed_s)
    tasks = [task for workload in runner.workloads for task in workload.tasks]
    if task_s == 1e-3:
        assert sum(task.is_interim for task in tasks) == NUM_ROWS
    assert any(task.is_interim for task in tasks)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_task_is_of_minutes_of_audio_whatever_a_shard_weighs(tmp_path: Path) -> None:
    """100 h of Mimi codes are less than a shard, of 600 tasks: a killed worker loses one."""
    framing = Framing(sample_rate=24000, window_length=1920, hop_length=1920)
    cutter, plan = _cutter(tmp_path, framing, num_rows=12_000, num_workers=4)
    [shard] = [task for task, _ in plan]
    [window] = cutter.windows([shard])
    tasks = [task for workload in window.workloads for task in workload.tasks]
    assert len(tasks) >= 600
    assert max(audio_s(task.rows) for task in tasks) <= MOST_S
    assert [row.id for task in tasks for row in task.rows] == [row.id for row in shard.rows]
    assert window.shards == (shard,)


def test_tasks_of_a_file_that_cannot_be_sought_in_go_to_one_worker_one_after_the_other(
    tmp_path: Path,
) -> None:
    framing = Framing(sample_rate=24000, window_length=1920, hop_length=1920)
    for name, num_together in (("m4a", {6}), ("wav", {1})):  # an hour each
        cutter, plan = _cutter(
            tmp_path,
            framing,
            num_rows=1200,
            num_workers=1,
            audio=lambda n: f"{n // 120}.{name}",  # noqa: B023
        )
        [window] = cutter.windows(task for task, _ in plan)
        sizes = [len(workload.tasks) for workload in window.workloads]
        assert set(sizes[:8]) == num_together


def _cutter(
    folder: Path,
    framing: Framing,
    *,
    num_rows: int,
    num_workers: int,
    audio: Callable[[int], str] = "{}.wav".format,
) -> tuple[Cutter, ShardPlan]:
    rows = [
        Utterance(
            id=f"{n:07}",
            audio=audio(n),
            audio_digest=f"{n:032x}",
            sample_rate=framing.sample_rate,
            num_samples=30 * framing.sample_rate,
        )
        for n in range(num_rows)
    ]
    write_manifest(folder / "train.jsonl", rows)
    spec = ShardSpec(
        name="mimi", dtype="uint16", shape=(8,), fingerprint="0" * 64, numerics=ON_CPU.numerics()
    )
    split = SplitRows(folder / "train.jsonl", framing)
    plan = ShardPlan(
        rows={"train": split},
        specs={"mimi": spec},
        value_bytes=lambda _: 6000,
        target_bytes=1 << 28,
        work=folder / "work",
        results={},
        previous={"mimi": PreviousShards([], spec)},
        strict=False,
    )
    pace = TaskPace(
        task_s=None,
        total_s=split.duration_s,
        missing_share=1.0,
        count_workers=lambda: num_workers,
    )
    return Cutter(plan, pace), plan


def test_sizes_fall_towards_the_end_and_no_lower_than_a_quarter_of_a_second_of_work() -> None:
    pace = TaskPace(task_s=None, total_s=8000.0, missing_share=1.0, count_workers=lambda: 4)
    pace.see(8000.0, missing_s=8000.0)
    assert pace.size_s == 250
    pace.hand_out(7800.0)
    assert pace.size_s == 6.25
    pace.learn(computed_s=900.0, wall_s=3.0)
    assert pace.size_s == 75
    alone = TaskPace(task_s=60.0, total_s=8000.0, missing_share=1.0, count_workers=lambda: 1)
    assert alone.size_s == 60


def test_where_most_is_there_already_sizes_follow_what_is_left() -> None:
    pace = TaskPace(task_s=None, total_s=1e6, missing_share=0.001, count_workers=lambda: 2)
    assert pace.size_s == pytest.approx(62.5)
    pace.see(1e5, missing_s=1e5)  # it was not, after all
    assert pace.size_s == MOST_S


@pytest.mark.parametrize("num_done", [1, 3, 7])
def test_a_stopped_run_goes_on_with_the_tasks_that_are_done_in_tasks_of_another_size(
    num_done: int, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results: list[ShardResult] = []

    def stop(result: ShardResult) -> None:
        results.append(result)
        if len(results) == num_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_corpus(corpus, tmp_path / "out", runner=InTurn(after=stop), task_s=12.0)
    kept_s = sum(result.audio_s for result in results if result.is_interim)
    num_kept = len(_interim(tmp_path))
    assert (
        f" {format_duration(kept_s)} of audio in {num_kept} finished shards are kept in "
        in caplog.text
    )
    done = run_extraction(corpus, tmp_path / "out", runner=InTurn(), task_s=7.0)
    assert done.tally.computed_s == pytest.approx(CORPUS_S - kept_s, abs=1)
    assert done.tally.num_computed + done.tally.num_copied + done.tally.num_kept == NUM_ROWS
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_manifest_that_changes_between_runs_costs_its_new_rows_only(
    corpus: Path, tmp_path: Path
) -> None:
    done_ids: set[str] = set()

    def stop(result: ShardResult) -> None:
        done_ids.add(result.key)
        if len(done_ids) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_corpus(corpus, tmp_path / "out", runner=InTurn(after=stop), task_s=5.0)
    there = _stored_ids(tmp_path)
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, rows[1::2])
    left = rows[1::2] + [
        row for name in ("dev", "test") for row in read_manifest(manifest.with_stem(name))
    ]
    done = run_extraction(corpus, tmp_path / "out", runner=InTurn(), task_s=9.0)
    assert done.tally.num_computed == len({row.id for row in left} - there)
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole")


def _stored_ids(tmp_path: Path) -> set[str]:
    from featbank.store import MappedShard

    return {
        utterance_id
        for path in (tmp_path / "work").rglob("*.h5")
        for utterance_id in MappedShard(path).ids()
    }


def test_grown_shards_are_cut_too_and_their_other_rows_copied_once(
    corpus: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, rows[::2])
    earlier = tmp_path / "interim"  # no name of a user's folder stands for our own
    extract_corpus(corpus, earlier, num_workers=None)
    before = files(earlier)
    write_manifest(manifest, rows)
    runner = InTurn()
    tally = run_extraction(
        corpus, tmp_path / "out", runner=runner, task_s=8.0, previous=[earlier]
    ).tally
    assert files(earlier) == before
    assert (tally.num_computed, tally.num_copied) == (len(rows[1::2]), len(rows[::2]))
    assert sum(task.is_interim for one in runner.workloads for task in one.tasks) > 3
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole")


def test_rows_that_fail_are_tried_once_and_end_up_in_the_list(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: Counter[str] = Counter()
    read = AudioReader.read

    def count(reader: AudioReader, row: Utterance) -> Any:
        tried[row.id] += 1
        return read(reader, row)

    monkeypatch.setattr(AudioReader, "read", count)
    for name in ("june_fr/vm-toreply.flac", "allison_en/vm-next.flac"):
        (corpus / name).write_bytes(b"no audio")
    runner = InTurn()
    done = run_extraction(corpus, tmp_path / "out", runner=runner, task_s=6.0, max_failures=2)
    assert set(tried.values()) == {1}
    assert sum(header.num_failures for header in done.headers) == 2
    assert done.tally.num_computed == NUM_ROWS - 2
    assert runner.told_s == pytest.approx(CORPUS_S, abs=1)
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole", max_failures=2)


def test_failures_count_as_soon_as_their_task_is_done(corpus: Path, tmp_path: Path) -> None:
    (corpus / "june_fr" / "vm-toreply.flac").unlink()
    runner = InTurn(num_workers=2)
    with pytest.raises(FailureBudgetError):
        extract_corpus(corpus, tmp_path / "out", runner=runner, task_s=1e-3)
    assert [row.id for task in runner.workloads[-1].tasks for row in task.rows] == [
        "june_fr/vm-toreply"
    ]
    assert len(runner.workloads) < NUM_ROWS


@pytest.mark.parametrize("where", [-1, 2000, None], ids=["end", "middle", "gone"])
def test_an_interim_shard_that_is_damaged_is_computed_again_by_who_joins(
    where: int | None, corpus: Path, tmp_path: Path
) -> None:
    damaged: list[ShardResult] = []

    def damage(result: ShardResult) -> None:
        if damaged or not result.is_interim:
            return
        damaged.append(result)
        [path] = (tmp_path / "work").glob("*/interim/*/*/*.h5")
        if where is None:
            path.unlink()
            return
        data = bytearray(path.read_bytes())
        data[where if where < 0 else result.shards["fbank"].values_start + where] ^= 4
        path.write_bytes(data)

    runner = InTurn(after=damage)
    tally = run_extraction(corpus, tmp_path / "out", runner=runner, task_s=10.0).tally
    assert NUM_ROWS < tally.num_computed <= NUM_ROWS + damaged[0].tally.num_computed
    assert tally.num_copied == 0
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole")


def test_interim_shards_are_those_of_the_shards_in_hand(corpus: Path, tmp_path: Path) -> None:
    """Of 20 shards, each of several tasks, three are open at a time, and no file stays."""
    most = 0

    def count(_: ShardResult) -> None:
        nonlocal most
        most = max(most, len(_interim(tmp_path)))

    small = {"storage": [{"name": "fbank", "shard_bytes": 50_000}]}
    runner = InTurn(after=count)
    run_extraction(corpus, tmp_path / "out", runner=runner, task_s=1e-3, keep_work=True, **small)
    tasks = [task for one in runner.workloads for task in one.tasks]
    assert sum(task.is_interim for task in tasks) > 25 > 12 >= most
    assert list((tmp_path / "work").rglob("interim")) == []
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole", **small)


def test_workers_of_two_classes_make_whole_shards_so_that_no_row_is_computed_in_vain(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def differ(number: int, worker: Any) -> None:
        if number:
            worker.numerics = {**worker.numerics, "isa": "another"}

    small = {"storage": [{"name": "fbank", "shard_bytes": 100_000}]}
    runner = InTurn(num_workers=2, differ=differ)
    run_extraction(corpus, tmp_path / "out", runner=runner, task_s=4.0, **small)
    assert "workers are of several numerics classes" in caplog.text
    assert sum(task.is_interim for one in runner.workloads for task in one.tasks) <= 6
    stored = open_store(tmp_path / "out" / "fbank")
    assert (len(stored), stored.verify()) == (NUM_ROWS, [])


def test_a_worker_passes_by_what_one_that_died_has_finished_of_a_workload(
    corpus: Path, tmp_path: Path
) -> None:
    """A file that cannot be sought in gives tasks that stay together, and finish one by one."""
    from featbank.engine.extract import feature_job
    from featbank.engine.tasks import Workload
    from tests.extracting import demo_run

    job = feature_job(demo_run(corpus, task_s=5.0, runner=InTurn()), tmp_path / "out")
    plan = job.plan()
    windows = job.cutter(plan).windows(task for task, _ in plan)
    tasks = [task for one in next(windows).workloads for task in one.tasks][:4]
    (tmp_path / "work").mkdir()
    worker = job.make_worker()
    told: list[float] = []
    [first, _] = worker(Workload(tasks=tuple(tasks[:2])), told.append)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.h5")}
    results = worker(Workload(tasks=tuple(tasks)), told.append)
    assert [result.key for result in results] == [task.key for task in tasks]
    assert results[0] == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = sum(audio_s(task.rows) for task in tasks[:2])
    assert sum(told) == pytest.approx(again + sum(audio_s(task.rows) for task in tasks))


@pytest.mark.slow
def test_a_run_that_is_killed_loses_no_more_than_the_tasks_in_hand(
    corpus: Path, tmp_path: Path
) -> None:
    computed, hold = tmp_path / "computed", tmp_path / "hold"
    slow = {"_target_": "tests.two_features.SlowFbank", "seconds": 0, "hold": str(hold)}
    settings = {"extractor": slow, "trusted_modules": ["tests"], "storage": [{"name": "fbank"}]}
    hold.touch()
    child = start_extraction(
        corpus, tmp_path / "out", tmp_path / "log", {"COMPUTED_LOG": str(computed)},
        task_s=4.0, **settings,
    )  # fmt: skip
    wait_until(lambda: len(list(tmp_path.glob("hold.*"))) == 2, "no two workers compute")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    wait_until_gone(int(path.suffix[1:]) for path in tmp_path.glob("hold.*"))
    hold.unlink()
    before = set(computed.read_text().split())
    kept = _stored_ids(tmp_path)
    # two tasks of 4 s in hand, of an utterance or a few each
    assert len(before) >= 10
    lost_s = sum(row.duration_s for row in _rows(tmp_path) if row.id in before - kept)
    assert lost_s <= 2 * 4.0
    done = run_extraction(corpus, tmp_path / "out", task_s=30.0, **settings)
    assert done.tally.num_computed == NUM_ROWS - len(kept)
    assert files(tmp_path / "out") == _whole(corpus, tmp_path / "whole", **settings)


def _rows(tmp_path: Path) -> Iterator[Utterance]:
    for path in (tmp_path / "manifests").glob("*.jsonl"):
        yield from read_manifest(path)


def test_what_a_stopped_run_has_left_goes_once_it_is_used_and_nobody_calls_it_damaged(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(_: ShardResult) -> None:
        if len(_interim(tmp_path)) == 5:
            raise KeyboardInterrupt

    small: dict[str, Any] = {"storage": [{"name": "fbank", "shard_bytes": 100_000}], "task_s": 4.0}
    with pytest.raises(KeyboardInterrupt):
        extract_corpus(corpus, tmp_path / "out", runner=InTurn(after=stop), **small)
    left = _interim(tmp_path)
    still_there: set[Path] = set()

    def look(_: ShardResult) -> None:
        still_there.clear()
        still_there.update(path for path in left if path.exists())

    caplog.clear()
    run_extraction(corpus, tmp_path / "out", runner=InTurn(num_workers=1, after=look), **small)
    assert still_there == set()
    assert caplog.messages == []
