"""The same store from every runner and any number of workers, also when one of them is killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from featbank.base.progress import Advance
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.runners.local import LocalRunner
from tests.conftest import ROOT
from tests.extracting import SMALL_SHARDS, files, run_extraction
from tests.pipeline.conftest import Project, _checkout
from tests.runners.conftest import MakeRunner
from tests.waiting import wait_until


@pytest.mark.slow
def test_one_two_and_four_workers_write_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    run_extraction(corpus, tmp_path / "inline", num_workers=None, storage=SMALL_SHARDS)
    for number in (1, 2, 4):
        out = tmp_path / f"{number}"
        run_extraction(corpus, out, runner=LocalRunner(num_workers=number), storage=SMALL_SHARDS)
        assert files(out) == files(tmp_path / "inline")


@pytest.mark.slow
def test_a_runner_whose_worker_is_killed_writes_the_same_bytes(
    make_runner: MakeRunner, corpus: Path, tmp_path: Path
) -> None:
    processes, hold = tmp_path / "processes", tmp_path / "hold"
    hold.touch()
    slow: dict[str, Any] = {
        "extractor": {
            "_target_": "tests.two_features.SlowFbank",
            "seconds": 0,
            "processes": str(processes),
            "hold": str(hold),
        },
        "storage": [{"name": "fbank"}],  # one shard a split: all is joined from what tasks make
        "trusted_modules": ["tests"],
    }
    killed: list[int] = []

    def kill_one() -> None:
        wait_until(lambda: len(list(tmp_path.glob("hold.*"))) == 2, "no two workers compute")
        killed.append(int(next(tmp_path.glob("hold.*")).suffix[1:]))
        os.kill(killed[0], signal.SIGKILL)
        wait_until(
            lambda: len(set(processes.read_text().split())) == 3, "nobody comes in its place"
        )
        hold.unlink()

    killer = threading.Thread(target=kill_one)
    killer.start()
    done = run_extraction(corpus, tmp_path / "out", runner=make_runner(2), task_s=6.0, **slow)
    killer.join()
    assert done.tally.num_computed == 38
    assert killed
    run_extraction(corpus, tmp_path / "clean", num_workers=None, **slow)
    assert files(tmp_path / "out") == files(tmp_path / "clean")


def test_manifests_are_the_same_through_every_runner(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    def prepared(name: str, **options: Any) -> dict[str, bytes]:
        corpus = TableCorpus(
            name="demo", root=ROOT / "corpora/demo", license="", table="transcripts.tsv"
        )
        failures = tmp_path / f"{name}.jsonl"
        prepare(corpus, tmp_path / name, failures_path=failures, **options)
        return files(tmp_path / name)

    seconds: list[float] = []

    @contextmanager
    def progress(_: float) -> Iterator[Advance]:
        yield seconds.append

    assert prepared("spread", runner=make_runner(2), progress=progress) == prepared("threads")
    assert sum(seconds) == pytest.approx(145, abs=0.5)


AS_TYPED = {"PLAIN_PYTHON": "1"}
"""What starts processes elsewhere is itself started by the interpreter: see tests/warm_python."""


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Project:
    project = _checkout(root, tmp_path / "project")
    project.run("python stages/prepare.py")
    project.run("python stages/extract.py feature=fbank runner=inline")
    return project


@pytest.mark.slow
def test_a_stage_writes_the_same_bytes_in_slurm_as_typed_and_under_dvc(
    project: Project, slurm_environment: dict[str, str]
) -> None:
    expected = files(project.path / "data" / "features")
    shutil.rmtree(project.path / "data" / "features")
    project.run(
        "python stages/extract.py feature=fbank runner=slurm runner.num_workers=2",
        **AS_TYPED,
        **slurm_environment,
    )
    assert files(project.path / "data" / "features") == expected
    environment = {"FEATBANK_RUNNER": "slurm", **AS_TYPED, **slurm_environment}
    said = project.run("dvc repro extract@demo-fbank", **environment)
    assert "38 utterances computed" in said
    assert files(project.path / "data" / "features") == expected


@pytest.mark.slow
def test_a_stage_writes_the_same_bytes_in_ray(project: Project) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    expected = files(project.path / "data" / "features")
    shutil.rmtree(project.path / "data" / "features")
    project.run(
        "python stages/extract.py feature=fbank"
        " runner=ray runner.num_workers=2 runner.num_cpus=0.5",
        **AS_TYPED,
    )
    assert files(project.path / "data" / "features") == expected
