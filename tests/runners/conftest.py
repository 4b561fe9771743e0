"""The runners, each as the contract's tests make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featbank.runners.base import Runner
from featbank.runners.local import LocalRunner
from featbank.runners.slurm import SlurmRunner
from tests.runners.slurm_cluster import slurm_cluster, why_not

MakeRunner = Callable[[int], Runner]


@pytest.fixture(scope="session")
def slurm_environment() -> Iterator[dict[str, str]]:
    """The variables by which Slurm's commands find a real cluster of one node."""
    if reason := why_not():
        pytest.skip(reason)
    with slurm_cluster() as variables:
        yield variables


@pytest.fixture
def local() -> MakeRunner:
    return lambda num_workers: LocalRunner(num_workers=num_workers)


@pytest.fixture
def slurm(
    slurm_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[MakeRunner]:
    for name, value in slurm_environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path.with_name(f"{tmp_path.name}-slurm")

    yield lambda num_workers: SlurmRunner(
        num_workers=num_workers, folder=str(folder), heartbeat_s=0.5, stale_s=20
    )
    # whatever became of the run
    assert [path for path in folder.glob("run-*/*") if path.name != "logs"] == []


@pytest.fixture(params=["local", "slurm"])
def make_runner(request: pytest.FixtureRequest) -> MakeRunner:
    """Make a runner with a number of workers."""
    made: MakeRunner = request.getfixturevalue(request.param)
    return made
