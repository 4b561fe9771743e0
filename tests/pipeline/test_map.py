"""dvc.yaml against what really runs: the paths and the parameters of every stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import featbank.pipeline.choices  # noqa: F401 - with it the resolvers that conf/ uses
from featbank.feature_io import read_storage
from featbank.pipeline.composition.composed import NAMED_GROUPS
from featbank.pipeline.described import adapter
from featbank.pipeline.sections import CorpusOption, FeatureOption, TokenizerOption
from tests.conftest import ROOT

# conf/runtime.yaml, conf/push.yaml and conf/runner change no byte but by the numerics class, and
# Hydra's own files are not ours
UNTRACKED = {"conf/runtime.yaml", "conf/push.yaml", "conf/runner/local.yaml"}
_FILES = {path.stem for path in (ROOT / "conf").glob("*.yaml")}


@pytest.fixture(scope="module")
def stages() -> dict[str, PipelineStage]:
    with Repo(ROOT) as repo:
        return {stage.addressing.split(":")[-1]: stage for stage in repo.index.stages}


def _composed(stage: PipelineStage) -> tuple[str, DictConfig]:
    """Compose what a stage's command composes."""
    python, script, *overrides = stage.cmd.split()
    assert python == "python"
    return Path(script).stem, _compose(Path(script).stem, overrides)


def _compose(name: str, overrides: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, overrides, return_hydra_config=True)


def _loaded(script: str, config: DictConfig) -> set[str]:
    """The files of conf/ that a composed configuration comes from."""
    choices = config.hydra.runtime.choices
    parts = OmegaConf.load(ROOT / f"conf/{script}.yaml").defaults
    return {f"conf/{name}.yaml" for name in (script, *parts) if name in _FILES} | {
        f"conf/{group}/{option}.yaml" for group, option in choices.items() if "hydra" not in group
    }


def _relative(path: str) -> str:
    return Path(path).resolve().relative_to(ROOT).as_posix()


def _all_stages() -> list[str]:
    with Repo(ROOT) as repo:
        names = sorted(stage.addressing.split(":")[-1] for stage in repo.index.stages)
    return [name for name in names if name != "code"]  # which Hydra does not configure


@pytest.mark.parametrize("name", _all_stages())
def test_the_paths_hydra_composes_are_the_outs_of_dvc(
    name: str, stages: dict[str, PipelineStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    stage = stages[name]
    _, config = _composed(stage)
    outs = {_relative(out.fs_path) for out in stage.outs}
    places = {place for key, place in config.paths.items() if key != "root"}
    [composed] = {one for one in places for out in outs if f"{out}/".startswith(f"{one}/")}
    if name.startswith("sample"):  # a store for each corpus that it joins
        composed = f"{composed}/{config.corpus.name}"
    if name.startswith(("validate", "stability")):
        composed = f"{composed}/{config.only}.json"
    if name.startswith("report"):
        assert {Path(out).parent.as_posix() for out in outs} == {composed}
    else:
        assert outs == {composed}


@pytest.mark.parametrize("name", _all_stages())
def test_every_config_file_a_stage_loads_is_among_its_params(
    name: str, stages: dict[str, PipelineStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    stage = stages[name]
    script, config = _composed(stage)
    loaded = _loaded(script, config)
    if script == "stability":  # it composes the stage that makes the tokens, too
        kind, _, option = config.only.partition("/")
        groups = ("feature",) if kind == "features" else ("feature", "tokenizer")
        chosen = dict(zip(groups, option.split("-"), strict=True))
        maker = "extract" if kind == "features" else "tokenize"
        overrides = [f"{group}={one}" for group, one in chosen.items()]
        loaded |= _loaded(maker, _compose(maker, overrides))
    tracked = {_relative(param.fs_path) for param in stage.params}
    assert loaded - UNTRACKED <= tracked
    assert tracked - {"params.yaml"} <= loaded


def test_every_corpus_lies_where_the_pipeline_looks_for_it() -> None:
    for path in (ROOT / "conf" / "corpus").glob("*.yaml"):
        assert OmegaConf.load(path).root == f"corpora/{path.stem}"


def test_dvc_tracks_by_name_only_what_every_definition_has() -> None:
    """It runs no stage whose parameters are missing; what a corpus may leave out, ours do not."""
    stages = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"), resolve=False)["stages"]
    found: dict[str, set[str]] = {group: set() for group in NAMED_GROUPS}
    for stage in stages.values():
        for param in stage.get("do", stage)["params"]:
            for file, keys in param.items() if isinstance(param, dict) else ():
                group = Path(file).parent.name
                if group in found:
                    found[group] |= set(keys or ())
    kinds = (CorpusOption, FeatureOption, TokenizerOption)
    required = {
        group: set(adapter(kind).json_schema()["required"])
        for group, kind in zip(NAMED_GROUPS, kinds, strict=True)
    }
    assert {group: keys - required[group] for group, keys in found.items()} == {
        "corpus": {"labels", "train", "held_out"},
        "feature": set(),
        "tokenizer": set(),
    }


def test_every_definition_is_named_after_its_file() -> None:
    for group in ("corpus", "feature", "tokenizer"):
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert OmegaConf.load(path).name == path.stem


# each as `python SCRIPT FLAGS` runs it, in one process
_SAY = """
import contextlib, io, json, os, runpy, sys
from hydra.core.global_hydra import GlobalHydra
ends = []
for script in sorted(set(os.listdir("stages")) - {"_root.py", "code.py"}):
    for flags in ("--cfg job --resolve", "--cfg all --resolve", "--info all"):
        sys.argv = [f"stages/{script}", *flags.split()]
        status, said = 0, io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        GlobalHydra.instance().clear()
        ends.append((script, flags, status, said.getvalue()))
json.dump(ends, sys.stdout)
"""


def test_every_stage_says_all_that_it_would_run_with() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _SAY], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert [(script, flags) for script, flags, status, _ in ends if status] == [], done.stderr
    scripts = {path.name for path in ROOT.glob("stages/[a-z]*.py")} - {"code.py"}
    assert {script for script, *_ in ends} == scripts
    for script, flags, _, said in ends:
        assert "trusted_modules" in said, (script, flags)
        assert "--resolve" not in flags or "${" not in said, (script, flags)


@pytest.mark.parametrize("feature", sorted(path.stem for path in (ROOT / "conf/feature").iterdir()))
def test_every_feature_composes_and_names_its_stores(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("extract", [f"feature={feature}"])
    assert config.paths.features == f"data/features/demo/{feature}"
    storage = read_storage(OmegaConf.to_container(config.feature.storage))
    assert all(entry.shard_bytes > 0 for entry in storage)
