"""dvc.yaml against what really runs: the paths, the parameters and the modules of every stage."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from featbank.feature_io import read_storage
from featbank.pipeline.definitions import NAMED_GROUPS, REQUIRED_KEYS
from featbank.pipeline.stage import chosen_stores  # and with it the params resolver
from tests.conftest import ROOT

OUT_OF = {
    "prepare": "manifests",
    "extract": "features",
    "sample": "sample",
    "fit": "codebook",
    "tokenize": "tokens",
    "validate_features": "checks",
    "stability_features": "stability",
    "stability_tokens": "stability",
    "validate_tokens": "checks",
    "report": "report",
}
# the part of the configuration that a stage builds; others only take names from it
BUILT = {"prepare": "corpus", "extract": "feature"}
# conf/runtime.yaml and conf/runner change no byte but by the numerics class; Hydra's own files
# are not ours
UNTRACKED = {"conf/runtime.yaml", "conf/runner/local.yaml"}
# modules that decide how a run looks, what it refuses, when it may go on and how it ends, not what
# it writes
PRESENTATION = {
    "featbank/base/amounts.py",
    "featbank/cli/__init__.py",
    "featbank/base/printing.py",
    "featbank/pipeline/composed.py",
    "featbank/pipeline/composing.py",
    "featbank/pipeline/computing.py",
    "featbank/pipeline/conf_files.py",
    "featbank/pipeline/definitions.py",
    "featbank/engine/forecast/forecasting.py",
    "featbank/pipeline/forecast.py",
    "featbank/files/disk.py",
    "featbank/files/locking/__init__.py",
    "featbank/files/locking/locks.py",
    "featbank/files/locking/owner.py",
    "featbank/pipeline/dvc_outputs.py",
    "featbank/base/progress.py",
    "featbank/pipeline/scalars.py",
    "featbank/pipeline/stage.py",
    "featbank/base/visible.py",
    "featbank/files/streams.py",
    "featbank/errors.py",
    "featbank/files/json_files.py",
    "featbank/files/opening.py",
    "featbank/files/records.py",
    "featbank/store/healing.py",
    "featbank/__init__.py",
}

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
        return sorted(stage.addressing.split(":")[-1] for stage in repo.index.stages)


@pytest.mark.parametrize("name", _all_stages())
def test_the_paths_hydra_composes_are_the_outs_of_dvc(
    name: str, stages: dict[str, PipelineStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    stage = stages[name]
    _, config = _composed(stage)
    composed = config.paths[OUT_OF[name.split("@")[0]]]
    if name.startswith(("validate", "stability")):
        composed = f"{composed}/{config.only}.json"
    outs = {_relative(out.fs_path) for out in stage.outs}
    if name == "report":
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


@pytest.mark.parametrize("name", _all_stages())
def test_each_stage_lists_the_modules_behind_it(
    name: str, stages: dict[str, PipelineStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    stage = stages[name]
    _, script, *_ = stage.cmd.split()
    _, config = _composed(stage)
    listed = {_relative(dep.fs_path) for dep in stage.deps}
    built = BUILT.get(Path(script).stem)
    targets = _targets(OmegaConf.to_container(config[built])) if built else ()
    behind = _imported({ROOT / script, *targets})
    unlisted = {
        module
        for module in behind - PRESENTATION
        if not module.startswith("featbank/runners/")
        and not any(module == dep or module.startswith(f"{dep}/") for dep in listed)
    }
    assert unlisted == set()


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("sample", "sample_from_audio"),
        ("tokenize", "tokenize_from_audio"),
        ("stability", "stability_features"),
        ("stability", "stability_tokens_from_audio"),
    ],
)
def test_a_stage_from_audio_lists_the_modules_behind_it(script: str, name: str) -> None:
    stages = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"), resolve=False)["stages"]
    listed = stages[name].get("do", stages[name])["deps"]
    target = ROOT / "featbank" / "features" / "kaldi.py"
    behind = _imported({ROOT / "stages" / f"{script}.py", target}, inside=True)
    behind -= _not_taken(script)
    unlisted = {
        module
        for module in behind - PRESENTATION
        if not module.startswith("featbank/runners/")
        and not any(module == dep or module.startswith(f"{dep}/") for dep in listed)
    }
    assert unlisted == set()


def _not_taken(script: str) -> set[str]:
    """The modules that a stage imports at its top for the way over feature stores alone."""
    return {"featbank/tokenizers/tokenize.py"} if script == "tokenize" else set()


def _targets(node: Any) -> Iterator[Path]:
    """The modules that a configuration's `_target_`s name."""
    for key, value in node.items():
        if key == "_target_":
            yield ROOT / (value.rpartition(".")[0].replace(".", "/") + ".py")
        elif isinstance(value, dict):
            yield from _targets(value)


def _imported(files: set[Path], *, inside: bool = False) -> set[str]:
    """The files of featbank that these import at their top, and what those import in turn.

    With `inside`, what the functions of stage scripts import too.
    """
    seen: set[Path] = set()
    waiting = set(files)
    while waiting:
        file = waiting.pop()
        seen.add(file)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree) if inside and file.parent.name == "stages" else tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("featbank"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                for dotted in [str(node.module), *names]:
                    for found in (
                        f"{dotted.replace('.', '/')}.py",
                        f"{dotted.replace('.', '/')}/__init__.py",
                    ):
                        if (ROOT / found).is_file():
                            waiting |= {ROOT / found} - seen
    return {
        file.relative_to(ROOT).as_posix() for file in seen if file.is_relative_to(ROOT / "featbank")
    }


def test_every_corpus_lies_where_the_pipeline_looks_for_it() -> None:
    for path in (ROOT / "conf" / "corpus").glob("*.yaml"):
        assert OmegaConf.load(path).root == f"corpora/{path.stem}"


def test_dvc_tracks_by_name_only_what_every_definition_has() -> None:
    """It runs no stage whose parameters are missing; labels of a corpus are ours to leave out."""
    stages = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"), resolve=False)["stages"]
    found: dict[str, set[str]] = {group: set() for group in NAMED_GROUPS}
    for stage in stages.values():
        for param in stage.get("do", stage)["params"]:
            for file, keys in param.items() if isinstance(param, dict) else ():
                group = Path(file).parent.name
                if group in found:
                    found[group] |= set(keys or ())
    assert {group: keys - set(REQUIRED_KEYS[group]) for group, keys in found.items()} == {
        "corpus": {"labels"},
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
for script in sorted(os.listdir("stages")):
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
    assert {script for script, *_ in ends} == {path.name for path in ROOT.glob("stages/*.py")}
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


def test_the_plot_of_codebooks_has_a_curve_for_each_token_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    plots = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"), resolve=False)["plots"]
    [usage] = [plot for plot in plots if "codebook_usage" in next(iter(plot))]
    tokens = [name.removeprefix("tokens/") for name in chosen_stores() if name.startswith("tokens")]
    assert next(iter(usage.values()))["y"] == tokens
