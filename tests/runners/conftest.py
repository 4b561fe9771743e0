"""The runners, each as the contract's tests make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featbank.runners.base import Runner
from featbank.runners.local import LocalRunner
from featbank.runners.ray import RayRunner, connected
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
def make_slurm(
    slurm_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., SlurmRunner]]:
    """Make a runner in Slurm that loses its patience in seconds."""
    for name, value in slurm_environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path.with_name(f"{tmp_path.name}-slurm")

    def make(**options: Any) -> SlurmRunner:
        quick: dict[str, Any] = {"heartbeat_s": 0.5, "stale_s": 20, "folder": str(folder)}
        return SlurmRunner(**quick | options)

    yield make
    # whatever became of the run
    assert [path for path in folder.glob("run-*/*") if path.name != "logs"] == []


@pytest.fixture
def slurm(make_slurm: Callable[..., SlurmRunner]) -> MakeRunner:
    return lambda num_workers: make_slurm(num_workers=num_workers)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster that a module's runners share: to start one takes seconds."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with connected(None) as ray:
        yield ray.get_runtime_context().gcs_address


@pytest.fixture
def ray(ray_cluster: str) -> MakeRunner:  # noqa: ARG001 - runners find it by themselves
    return lambda num_workers: RayRunner(num_workers=num_workers, num_cpus=0.25)


@pytest.fixture(params=["local", "slurm", pytest.param("ray", marks=pytest.mark.slow)])
def make_runner(request: pytest.FixtureRequest) -> MakeRunner:
    """Make a runner with a number of workers."""
    made: MakeRunner = request.getfixturevalue(request.param)
    return made
