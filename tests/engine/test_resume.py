"""Runs that are stopped, and go on where they were: the result is that of a run never stopped."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import read_manifest, write_manifest
from featbank.errors import FailureBudgetError, StoreError
from featbank.numerics import Computing, thread_count
from featbank.store import MappedShard, open_store
from tests.conftest import ROOT
from tests.extracting import (
    SMALL_SHARDS,
    Launcher,
    extract_corpus,
    files,
    is_deaf_to_ctrl_c,
    run_extraction,
    start_extraction,
)
from tests.waiting import HANG_S, descendants, wait_until, wait_until_gone

SLOW = {"_target_": "tests.two_features.SlowFbank", "seconds": 0.1}
SLOWLY = {"extractor": SLOW, "storage": SMALL_SHARDS, "trusted_modules": ["tests"]}

NUM_KILLS = 15


def _results(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "work").glob("*/results/*.json"))


def _kept(work: Path) -> set[str]:
    """The ids of what is in finished shards."""
    return {
        utterance_id
        for path in work.glob("**/*.h5")
        for utterance_id in MappedShard(path, path.stat().st_size).ids()
    }


def _held(hold: Path) -> list[int]:
    """The processes that wait in the midst of their work; see `SlowFbank`."""
    return [int(path.suffix[1:]) for path in hold.parent.glob(f"{hold.name}.*")]


@pytest.mark.slow
def test_after_fifteen_kills_the_store_is_that_of_a_run_never_stopped(
    corpus: Path, tmp_path: Path
) -> None:
    generator = random.Random(0)
    computed, log, out = tmp_path / "computed", tmp_path / "log", tmp_path / "out"

    def start(num_workers: int | None) -> int:
        environment = {"COMPUTED_LOG": str(computed)}
        return launcher.start(corpus, out, log, environment, num_workers=num_workers, **SLOWLY)

    def kill_somewhere(num_workers: int | None) -> bool:
        """Start a run and kill it: in the midst of a shard, or while stores are published.

        Each at another moment after a shard is made, as far apart as 0.3 s allow.
        """
        child, before = start(num_workers), len(_results(tmp_path))
        wait_until(
            lambda: launcher.has_ended or len(_results(tmp_path)) > before, "no shard is made"
        )
        time.sleep((num_kills + generator.random()) / NUM_KILLS * 0.3)
        processes = [child, *descendants(child)]
        with suppress(ProcessLookupError):  # it was done, and all its processes are gone
            os.killpg(child, signal.SIGKILL)
        status = launcher.wait()
        assert status in (0, -signal.SIGKILL), log.read_text()
        wait_until_gone(processes)
        return status != 0

    with Launcher() as launcher:
        num_kills = 0
        while num_kills < NUM_KILLS:
            # two thirds without workers, which take seconds to start
            if kill_somewhere(num_workers=None if num_kills % 3 else 2):
                num_kills += 1
                for header in out.rglob("[!.]*/header.json"):  # published just before
                    assert open_store(header.parent).verify() == []
            else:  # it was done: begin anew, for there are kills left
                shutil.rmtree(out)
                computed.unlink()
        start(num_workers=2)
        assert launcher.wait() == 0, log.read_text()
    manifests = [read_manifest(path) for path in (tmp_path / "manifests").glob("*.jsonl")]
    most = max(shard.num_utterances for shard in open_store(out).shards)
    counts = Counter(computed.read_text().splitlines())
    assert set(counts) == {row.id for rows in manifests for row in rows}
    # a kill costs two workers one shard each, and the last run none
    assert counts.total() <= len(counts) + NUM_KILLS * 2 * most
    assert list((tmp_path / "work").iterdir()) == []
    extract_corpus(corpus, tmp_path / "clean", num_workers=2, **SLOWLY)
    assert files(out) == files(tmp_path / "clean")


@pytest.mark.slow
def test_a_run_goes_on_with_the_finished_shards_of_a_killed_one(
    corpus: Path, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    held = SLOWLY | {"extractor": {**SLOW, "seconds": 0, "hold": str(hold)}}
    hold.touch()
    child = start_extraction(corpus, tmp_path / "out", tmp_path / "log", **held)
    wait_until(lambda: len(_held(hold)) == 2, "no two workers compute")
    started = descendants(child.pid)
    assert len(started) >= 3  # the server they are forked from, and two workers
    child.kill()
    child.wait()
    wait_until_gone(started)
    assert not list((tmp_path / "out").rglob("header.json"))
    finished, kept = len(_results(tmp_path)), _kept(tmp_path / "work")
    hold.unlink()
    done = run_extraction(corpus, tmp_path / "out", num_workers=2, **held)
    assert done.tally.num_shards_kept == finished
    assert 0 < done.tally.num_kept + done.tally.num_copied == len(kept)
    assert done.tally.num_computed == 38 - len(kept)
    run_extraction(corpus, tmp_path / "clean", **held)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_only(corpus: Path, tmp_path: Path) -> None:
    computed, hold = tmp_path / "computed", tmp_path / "hold"
    held = SLOWLY | {"extractor": {**SLOW, "seconds": 0, "hold": str(hold)}}
    hold.touch()
    child = start_extraction(
        corpus, tmp_path / "out", tmp_path / "log", {"COMPUTED_LOG": str(computed)}, **held
    )
    wait_until(lambda: len(_held(hold)) == 2, "no two workers compute")
    os.kill(_held(hold)[0], signal.SIGKILL)
    hold.unlink()
    assert child.wait(timeout=HANG_S) == 0, (tmp_path / "log").read_text()
    most = max(shard.num_utterances for shard in open_store(tmp_path / "out").shards)
    assert len(computed.read_text().split()) <= 38 + most
    extract_corpus(corpus, tmp_path / "clean", **held)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_is_stopped_says_what_it_keeps_and_goes_on_from_there(
    number: signal.Signals, corpus: Path, tmp_path: Path
) -> None:
    paths, hold = (
        {"root": tmp_path / "data", "manifests": tmp_path / "manifests"},
        tmp_path / "hold",
    )
    hold.touch()
    command = [
        sys.executable, ROOT / "stages" / "extract.py", f"corpus.root={corpus}",
        "~feature.extractor",
        f"+feature.extractor={{_target_: tests.two_features.SlowFbank, seconds: 0, hold: {hold}}}",
        "feature.storage=[{name: fbank, shard_bytes: 50000}]",
        "trusted_modules=[tests]", "runner.num_workers=2",
        *(f"paths.{name}={path}" for name, path in paths.items()),
        f"runtime.records={tmp_path}", f"runtime.work={tmp_path / 'work'}",
    ]  # fmt: skip
    with open(tmp_path / "log", "wb") as log:
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    work = tmp_path / "work" / "extract-demo-fbank"
    wait_until(lambda: len(_held(hold)) == 2 or child.poll() is not None, "no two workers compute")
    assert child.poll() is None, (tmp_path / "log").read_text()
    started = descendants(child.pid)
    # the tracker of multiprocessing ignores it; the server and its workers never hear it
    assert all(is_deaf_to_ctrl_c(pid) for pid in started[1:])
    # Ctrl-C reaches the whole group; a scheduler stops the process it started
    os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
    assert child.wait(timeout=HANG_S) == 130
    kept, num_kept = _kept(work), len(list(work.glob("**/results/*.json")))
    told = (tmp_path / "log").read_text()
    assert re.search(
        r"\nextract fbank: 2\.4 min of audio to go\n(extract .* elapsed.*\n)*"
        rf"[0-9.]+ (s|min) of audio in {num_kept} finished shards are kept in "
        rf"{next(work.iterdir())}: run again to go on\n"
        r"interrupted; what was there before is as it was\n\Z",
        told,
    ), told
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    wait_until_gone(started)
    hold.unlink()
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert f" {38 - len(kept)} utterances computed, " in said
    assert len(open_store(tmp_path / "data" / "features" / "demo" / "fbank")) == 38
    assert list(work.iterdir()) == []


def test_what_is_finished_outlives_a_run_over_its_budget(corpus: Path, tmp_path: Path) -> None:
    (corpus / "june_fr" / "vm-toreply.flac").unlink()
    with pytest.raises(FailureBudgetError):
        extract_corpus(corpus, tmp_path / "out", num_workers=1, storage=SMALL_SHARDS)
    finished = len(_results(tmp_path))
    done = run_extraction(corpus, tmp_path / "out", storage=SMALL_SHARDS, max_failures=1)
    # the shard that lacks the utterance is kept too, when the utterance has failed again
    assert 0 < finished - 1 <= done.tally.num_shards_kept <= finished
    extract_corpus(corpus, tmp_path / "clean", storage=SMALL_SHARDS, max_failures=1)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


def test_a_failure_is_not_cached(corpus: Path, tmp_path: Path) -> None:
    audio = corpus / "june_fr" / "vm-toreply.flac"
    audio.rename(corpus / "away")
    with pytest.raises(FailureBudgetError):
        extract_corpus(corpus, tmp_path / "out", storage=SMALL_SHARDS)
    (corpus / "away").rename(audio)
    headers = extract_corpus(corpus, tmp_path / "out", storage=SMALL_SHARDS)
    assert sum(header.num_utterances for header in headers) == 38
    extract_corpus(corpus, tmp_path / "clean", storage=SMALL_SHARDS)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


def test_a_damaged_finished_shard_is_made_again(corpus: Path, tmp_path: Path) -> None:
    (corpus / "june_fr" / "vm-toreply.flac").rename(corpus / "away")
    with pytest.raises(FailureBudgetError):
        extract_corpus(corpus, tmp_path / "out", num_workers=1, storage=SMALL_SHARDS)
    (corpus / "away").rename(corpus / "june_fr" / "vm-toreply.flac")
    shards = list((tmp_path / "work").glob("*/fbank/*/*.h5"))
    os.truncate(shards[0], 100)
    _results(tmp_path)[-1].write_text("{}")
    extract_corpus(corpus, tmp_path / "out", storage=SMALL_SHARDS)
    extract_corpus(corpus, tmp_path / "clean", storage=SMALL_SHARDS)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


def _stop_over_budget(corpus: Path, out: Path, **changes: Any) -> Path:
    """Leave finished shards in the work folder; return where the file went that fails."""
    away = corpus / "away"
    (corpus / "june_fr" / "vm-toreply.flac").rename(away)
    with pytest.raises(FailureBudgetError), thread_count(1):
        extract_corpus(corpus, out, num_workers=None, **{"storage": SMALL_SHARDS, **changes})
    return away


def test_finished_shards_are_of_the_part_that_the_manifest_gives_them_now(
    corpus: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    alone = {"storage": [{"name": "fbank", "shard_bytes": 1}]}
    write_manifest(manifest, [replace(row, part="old") for row in rows])
    away = _stop_over_budget(corpus, tmp_path / "out", **alone)
    away.rename(corpus / "june_fr" / "vm-toreply.flac")
    write_manifest(manifest, [replace(row, part="new") for row in rows])
    with thread_count(1):
        done = run_extraction(corpus, tmp_path / "out", num_workers=None, **alone)
        extract_corpus(corpus, tmp_path / "clean", num_workers=None, **alone)
    assert done.tally.num_shards_kept > 0
    assert {shard.part for shard in open_store(tmp_path / "out" / "fbank" / "train").shards} == {
        "new"
    }
    assert files(tmp_path / "out") == files(tmp_path / "clean")


@pytest.mark.parametrize("merged", [1, 3])
def test_what_a_stopped_run_has_finished_is_copied_when_the_corpus_has_changed(
    corpus: Path, tmp_path: Path, merged: int
) -> None:
    """Also when the shards that overlap are those of several versions of the manifest."""
    away = _stop_over_budget(corpus, tmp_path / "out")
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    for number in range(1, merged):
        write_manifest(manifest, rows[number::2])
        with pytest.raises(FailureBudgetError), thread_count(1):
            extract_corpus(corpus, tmp_path / "out", num_workers=None, storage=SMALL_SHARDS)
    there = _kept(tmp_path / "work")
    away.rename(corpus / "june_fr" / "vm-toreply.flac")
    changed = rows[1:]  # the first shard is another one now
    write_manifest(manifest, changed)
    with thread_count(1):
        settings = {"num_workers": None, "storage": SMALL_SHARDS}
        tally = run_extraction(corpus, tmp_path / "out", **settings).tally
        extract_corpus(corpus, tmp_path / "clean", **settings)
    ids = {row.id for name in ("dev", "test") for row in read_manifest(manifest.with_stem(name))}
    ids |= {row.id for row in changed}
    assert tally.num_computed == len(ids - there)
    assert tally.num_copied > 0
    assert files(tmp_path / "out") == files(tmp_path / "clean")


def test_a_finished_shard_of_another_numerics_class_does_not_stand_in_for_an_earlier_one(
    corpus: Path, tmp_path: Path
) -> None:
    _stop_over_budget(corpus, tmp_path / "out", computing=Computing(num_threads=2))
    settings = {"num_workers": None, "storage": SMALL_SHARDS, "max_failures": 1}
    earlier = tmp_path / "earlier"
    with thread_count(1):
        extract_corpus(corpus, earlier, **settings, work=tmp_path / "other")
        extract_corpus(corpus, tmp_path / "out", **settings, previous=[earlier])
    assert open_store(tmp_path / "out" / "fbank").verify() == []


def test_a_shard_made_anew_and_not_yet_noted_leaves_the_finished_one_as_it_was(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    away = _stop_over_budget(corpus, tmp_path / "out", computing=Computing(num_threads=2))
    away.rename(corpus / "june_fr" / "vm-toreply.flac")
    settings = {"num_workers": None, "storage": SMALL_SHARDS}
    monkeypatch.setattr("featbank.engine.making.write_result", stop)
    with thread_count(1), pytest.raises(KeyboardInterrupt):  # between the shard and its result
        extract_corpus(corpus, tmp_path / "out", **settings, numerics="strict")
    monkeypatch.undo()
    with thread_count(1):
        extract_corpus(corpus, tmp_path / "out", **settings)
    assert open_store(tmp_path / "out" / "fbank").verify() == []


def test_two_runs_do_not_work_at_one_store(corpus: Path, tmp_path: Path) -> None:
    child = start_extraction(corpus, tmp_path / "out", tmp_path / "log", **SLOWLY)
    try:
        wait_until(lambda: list((tmp_path / "work").glob("*")), "no run ever begins")
        with pytest.raises(StoreError, match="one writer at a time, got another one at work"):
            extract_corpus(corpus, tmp_path / "out", **SLOWLY)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
