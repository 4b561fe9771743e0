"""The runners, each as the contract's tests make it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from featbank.runners.base import Runner
from featbank.runners.local import LocalRunner

MakeRunner = Callable[[int], Runner]


@pytest.fixture
def local() -> MakeRunner:
    return lambda num_workers: LocalRunner(num_workers=num_workers)


@pytest.fixture(params=["local"])
def make_runner(request: pytest.FixtureRequest) -> MakeRunner:
    """Make a runner with a number of workers."""
    made: MakeRunner = request.getfixturevalue(request.param)
    return made
