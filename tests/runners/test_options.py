"""What `conf/runner/` offers: it composes, it builds, and its options are explained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import featbank.pipeline.choices  # noqa: F401 - registers the resolver of the choices
from featbank.base.building import build
from featbank.errors import ConfigError, FeatbankError
from featbank.runners.base import NOT_YET, NotYet, Runner
from featbank.runners.inline import InlineRunner
from featbank.runners.threads import ThreadRunner
from tests.conftest import ROOT
from tests.runners.workers import Squares

OPTIONS = sorted(path.stem for path in (ROOT / "conf" / "runner").glob("*.yaml"))


def _runner(*overrides: str) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = OmegaConf.to_container(compose("extract", list(overrides)).runner)
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("FEATBANK_RUNNER", raising=False)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_runner_is_built_from_its_definition(
    option: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if option == "slurm":
        for name, value in request.getfixturevalue("slurm_environment").items():
            monkeypatch.setenv(name, value)
    if option == "ray":
        pytest.importorskip("ray")
    runner = build(_runner(f"runner={option}"))
    assert type(runner).__name__.lower() == f"{option}runner"


def test_a_runner_that_says_nothing_of_its_workers_is_refused_before_it_is_made() -> None:
    target = {"_target_": "tests.runners.workers.InThisProcess", "says": 3}
    assert build(target, ["tests"], Runner).count_workers() == 3
    with pytest.raises(ConfigError, match="expected a class of Runner, got Uncounted"):
        build({"_target_": "tests.runners.workers.Uncounted"}, ["tests"], Runner)


def test_the_environment_chooses_and_the_command_line_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _runner()["_target_"] == "featbank.runners.LocalRunner"
    monkeypatch.setenv("FEATBANK_RUNNER", "slurm")
    assert _runner()["_target_"] == "featbank.runners.SlurmRunner"
    assert _runner("runner=ray")["_target_"] == "featbank.runners.RayRunner"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_a_runner_is_explained_where_it_stands_or_in_the_docs(option: str) -> None:
    text = Path(ROOT, "docs", "runners.md").read_text(encoding="utf-8")
    lines = Path(ROOT, "conf", "runner", f"{option}.yaml").read_text(encoding="utf-8").split("\n")
    for name in _runner(f"runner={option}"):
        if name != "_target_":
            told = any(line.startswith(f"{name}:") and "#" in line for line in lines)
            assert told or f"`{name}`" in text or f"`{name}: " in text, name


@pytest.mark.parametrize("runner", [InlineRunner(), ThreadRunner(num_workers=2)])
def test_runners_in_this_process_keep_the_contract_of_tasks_that_wait(runner: Runner) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int | NotYet]:
        yield from range(3)
        while len(taken) < 3:
            yield NOT_YET
        yield 3

    for result in runner.run(Squares, tasks(), lambda _: None):
        taken.append(result)  # noqa: PERF402 - the tasks look at it
    assert sorted(taken) == [0, 1, 4, 9]
    endless = runner.run(Squares, chain([2], repeat(NOT_YET)), lambda _: None)
    assert next(endless) == 4
    with pytest.raises(FeatbankError, match="tasks for workers"):
        next(endless)
