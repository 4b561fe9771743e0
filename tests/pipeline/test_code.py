"""What DVC runs again after an edit: the stages whose output the code decides, and no other."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from featbank.pipeline.code import named_modules
from featbank.pipeline.code_definitions import made_of, outside_version, targets
from featbank.pipeline.code_modules import Modules
from featbank.pipeline.code_table import REGISTRIES, STAGES
from featbank.stability import DISTURBANCES
from featbank.store import open_store
from tests.conftest import ROOT
from tests.pipeline.conftest import Project

SAMPLE, CODEBOOK, TOKENS = "demo-mfcc", "demo-mfcc-kmeans100", "demo-tokens0"
ENCODERS = {
    "hubert",
    "hubert_large",
    "wav2vec2",
    "wav2vec2_large",
    "wav2vec2_xlsr",
    "wavlm",
    "wavlm_base_plus",
    "wavlm_large",
}


def _ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def _outdated(project: Project) -> set[str]:
    """The stages that DVC would run for what lies on the disk now, once `code` has run."""
    project.run("python stages/code.py")
    return set(json.loads(project.run("dvc status --json"))) - {"code"}


def _functions(stage: str) -> set[str]:
    return {function.partition(":")[0] for function in STAGES[stage].functions}


@pytest.mark.slow
def test_comments_and_docstrings_run_code_and_nothing_else(own_reproduced: Project) -> None:
    for file in (own_reproduced.path / "featbank").rglob("*.py"):
        text = file.read_text(encoding="utf-8").replace('"""', '"""Truly: ', 1)
        file.write_text(f"{text}# the end\n", encoding="utf-8")
    assert _ran(own_reproduced.run("dvc repro")) == {"code"}
    assert "up to date" in own_reproduced.run("dvc status")
    assert "code/" not in own_reproduced.run("git status --short --untracked-files=all")


@pytest.mark.slow
def test_an_edit_reruns_the_stages_whose_bytes_it_can_change(own_reproduced: Project) -> None:
    tokens = {
        f"sample@{SAMPLE}",
        *(f"{stage}@{TOKENS}" for stage in ("tokenize", "stability_tokens")),
    }
    fbank, mfcc = (
        {f"{stage}@demo-{feature}" for stage in ("extract", "stability_features")}
        for feature in ("fbank", "mfcc")
    )
    for file, old, new, outdated in (
        ("featbank/tokenizers/tokenized.py", "names[0]", "names[-1]", tokens),
        ("featbank/tokenizers/lloyd.py", "\n\n\n", "\n\n\nONE = 1\n\n\n", {f"fit@{CODEBOOK}"}),
        (
            "featbank/features/signal/kaldi.py",
            "\n\n\n",
            "\n\n\nONE = 1\n\n\n",
            fbank | mfcc | {f"stability_tokens@{TOKENS}"},
        ),
        ("featbank/report/templates/report.html.j2", "<html", "<html dir='ltr'", {"report@demo"}),
        ("stages/extract.py", "\n\n\n", "\n\n\nONE = 1\n\n\n", set()),
    ):
        own_reproduced.edit(file, old, new)
        assert _outdated(own_reproduced) == outdated, file
        own_reproduced.run(f"git checkout -q {file}")
    own_reproduced.edit("featbank/features/encoders/ssl.py", "\n\n\n", "\n\n\nONE = 1\n\n\n")
    assert _outdated(own_reproduced) == set()
    changed = own_reproduced.run("git diff --name-only code/extract").split()
    assert {Path(name).name for name in changed} == ENCODERS


@pytest.mark.slow
def test_another_rule_of_which_feature_is_tokenized_makes_other_tokens(
    own_prepared: Project,
) -> None:
    two = {"two": {"feature": "fbank_mfcc", "tokenizer": "kmeans100"}}
    own_prepared.choose(["fbank_mfcc"], tokens=two)
    own_prepared.run("dvc repro tokenize@demo-tokens0")
    sample = own_prepared.path / "data/samples/demo/fbank_mfcc/demo"
    assert open_store(sample).name == "fbank"
    own_prepared.edit("featbank/tokenizers/tokenized.py", "names[0]", "names[-1]")
    ran = _ran(own_prepared.run("dvc repro tokenize@demo-tokens0"))
    assert ran == {
        "code", "sample@demo-fbank_mfcc", "fit@demo-fbank_mfcc-kmeans100", "tokenize@demo-tokens0",
    }  # fmt: skip
    assert open_store(sample).name == "mfcc"


@pytest.mark.slow
def test_a_clone_that_has_pulled_computes_nothing(own_reproduced: Project, tmp_path: Path) -> None:
    own_reproduced.run(f"dvc remote add --default storage {tmp_path / 'remote'} && dvc push -q")
    own_reproduced.commit("Share")
    clone = Project(tmp_path / "clone")
    own_reproduced.run(f"git clone -q . {clone.path}")
    assert _ran(clone.run("dvc repro --pull")) == set()
    assert "up to date" in clone.run("dvc status")
    assert _ran(clone.run("dvc exp run --temp")) == set()
    clone.edit("featbank/tokenizers/lloyd.py", "\n\n\n", "\n\n\n# a comment\n")
    clone.commit("Comment")
    assert _ran(clone.run("dvc exp run --temp")) == {"code"}


@pytest.mark.slow
def test_branches_that_both_changed_code_are_merged_as_the_docs_say(
    own_reproduced: Project,
) -> None:
    for branch, file in (("one", "lloyd"), ("other", "kmeans")):
        own_reproduced.run(f"git checkout -q -b {branch} main")
        own_reproduced.edit(f"featbank/tokenizers/{file}.py", "\n\n\n", "\n\n\n# a comment\n")
        own_reproduced.run("dvc repro -q code")
        own_reproduced.commit()
    author = "-c user.name=tests -c user.email=tests@localhost"
    said = own_reproduced.run(f"git {author} merge -q one", status=1)
    assert re.findall("conflict in (.*)", said) == ["dvc.lock"]
    own_reproduced.run("git checkout --ours dvc.lock && dvc repro -q code")
    assert "up to date" in own_reproduced.run("dvc status")


# as `python STAGE` runs each in a process of its own, but for torch, which all of them share
_LOADED = """
import contextlib, io, json, runpy, sys
from hydra.core.global_hydra import GlobalHydra
loaded = {}
for name, command in json.loads(sys.argv[1]).items():
    for module in [one for one in sys.modules if one.partition(".")[0] == "featbank"]:
        del sys.modules[module]
    GlobalHydra.instance().clear()
    script, *sys.argv[1:] = command.split()
    sys.argv[0] = f"stages/{script}"
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(sys.argv[0], run_name="__main__")
    loaded[name] = [one for one in sys.modules if one.partition(".")[0] == "featbank"]
json.dump(loaded, sys.stdout)
"""

_COMMANDS = {
    "prepare": ("prepare.py", "demo"),
    "extract": ("extract.py feature=fbank overwrite=true", "fbank"),
    "sample": ("sample.py overwrite=true", None),
    "sample_from_audio": ("sample.py source=audio overwrite=true", "mfcc"),
    "fit": ("fit.py overwrite=true", None),
    "tokenize": ("tokenize.py overwrite=true", None),
    "tokenize_from_audio": ("tokenize.py source=audio overwrite=true", "mfcc"),
    "validate": ("validate.py only=tokens/mfcc-kmeans100", None),
    "stability_features": ("stability.py only=features/fbank", "fbank"),
    "stability_tokens": ("stability.py only=tokens/mfcc-kmeans100", "mfcc"),
    "report": ("report.py", None),
}

# of the pipeline, what makes nothing that DVC tracks: certificates, drift, forecasts, help
_UNTRACKED = {
    f"featbank.pipeline.{name}" for name in ("certifying", "drifting", "forecast", "help")
}
# what else stage scripts import, themselves or through `pipeline`, and no function of theirs does
_ASIDE = {
    "featbank.base.notices": "tells how far a run is",
    "featbank.base.progress": "prints",
    "featbank.base.visible": "prints",
    "featbank.base.label_forms": "says where labels lie, which checks alone read",
    "featbank.base.terms": "names what corpus.json says of licences, which prepare wrote",
    "featbank.base.folder_names": "refuses",
    "featbank.base.parameters": "tells what a class takes",
    "featbank.base.trusted": "refuses",
    "featbank.engine.work": "removes what DVC has taken in",
    "featbank.files.locking": "lets one write at a time",
    "featbank.files.streams": "prints",
    "featbank.tokenizers.tokenized": "finds the folder of a stored feature, which paths name",
}
# what a corpus trains on and holds out where nobody says: samples and checks alone read it
_ROLES = {"featbank.corpora.splits"}
# by script: headers of what DVC has in its cache; certificates, and the report of all choices
_ASIDE_OF = {
    **dict.fromkeys(("fit", "stability", "tokenize"), _ROLES),
    # what is told, and by hand alone what `extract` would publish
    "extract": {"featbank.engine.growth", "featbank.engine.pushing", *_ROLES},
    "prepare": {"featbank.store", "featbank.store.splits"},
    "report": {"featbank.store.splits", *_ROLES},
    "validate": {
        "featbank.certification.certificate",
        "featbank.report.clips",
        "featbank.report.page",
        "featbank.report.stamp",
        "featbank.stability.result",
    },
}


@pytest.fixture(scope="module")
def modules() -> Modules:
    return Modules.read(ROOT / "featbank")


@pytest.mark.slow
def test_all_modules_that_a_stage_loads_are_behind_it_or_behind_what_decides_nothing(
    own_reproduced: Project, modules: Modules
) -> None:
    """Loaded by a text, such as the name of a class in a table, a module is in no graph."""
    commands = json.dumps({name: command for name, (command, _) in _COMMANDS.items()})
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, commands],
        cwd=own_reproduced.path,
        env={"FEATBANK_RUNNER": "inline", "PYTHONPATH": str(own_reproduced.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, loaded in json.loads(done.stdout).items():
        group, option = STAGES[name].group, _COMMANDS[name][1]
        classes: set[str] = set()
        if group:
            named = targets(ROOT / f"conf/{group}/{option}.yaml")
            classes, _ = named_modules(modules, REGISTRIES[group], named)
        behind = _with_faces(modules, _functions(name) | classes)
        script = ROOT / "stages" / _COMMANDS[name][0].split()[0]
        around = _with_faces(modules, set(_imported(modules, script)))
        # the runner, which conf/runner names, changes no byte
        aside = {one for one in loaded if one.startswith(("featbank.pipeline", "featbank.runners"))}
        assert set(loaded) - behind - around - aside == set(), name


def _with_faces(modules: Modules, names: set[str]) -> set[str]:
    """What Python loads for these modules: the packages around a module, and what those import."""
    found: set[str] = set()
    while names - found:
        found |= names
        names = set(modules.behind(names))
    return found


def test_a_stage_script_decides_nothing_but_through_the_functions_of_the_table(
    modules: Modules,
) -> None:
    """Whatever else of the package it imports is behind those functions, or decides no byte."""
    aside: dict[str, set[str]] = {}
    for script in {name.split("_")[0] for name in STAGES}:
        stages = [name for name in STAGES if name.split("_")[0] == script]
        behind = modules.behind({one for stage in stages for one in _functions(stage)})
        aside[script] = set(_imported(modules, ROOT / f"stages/{script}.py")) - behind
    aside = {script: some - set(_ASIDE) for script, some in aside.items()}
    assert {script: some for script, some in aside.items() if some} == _ASIDE_OF


def test_the_functions_of_the_table_are_those_that_the_scripts_call() -> None:
    for name, behind in STAGES.items():
        script = ROOT / f"stages/{name.split('_')[0]}.py"
        files = [script, *(ROOT / "featbank" / "pipeline").glob("*.py")]
        names = {
            node.id
            for file in files
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Name)
        }
        # parts of a registry are built by what the functions are given
        called = set(behind.functions) - set(DISTURBANCES.table.values())
        assert {function.partition(":")[2] for function in called} <= names, name


def test_no_stage_depends_on_the_pipeline_package(modules: Modules) -> None:
    for name in STAGES:
        behind = modules.behind(_functions(name))
        assert not [one for one in behind if one.startswith("featbank.pipeline")], name


def _imported(modules: Modules, script: Path) -> Iterator[str]:
    """The modules outside of `pipeline` that a script imports, itself or through `pipeline`."""
    waiting = {
        name if (name := f"{node.module}.{alias.name}") in modules.graph.modules else node.module
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("featbank")
        for alias in node.names
    }
    seen: set[str] = set()
    while waiting:
        name = str(waiting.pop())
        seen.add(name)
        if name in _UNTRACKED:
            continue
        if name.startswith("featbank.pipeline"):
            waiting |= modules.graph.find_modules_directly_imported_by(name) - seen
        else:
            yield name


def test_a_definition_names_classes_at_any_depth_and_those_of_the_options_it_is_made_of(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.yaml").write_text("extractor: {_target_: a.A, inner: [{_target_: b.B}]}")
    (tmp_path / "two.yaml").write_text(
        "defaults: [one, _self_]\nextractor: &again {_target_: c.C}\nmore: [*again, *again]"
    )
    assert targets(tmp_path / "two.yaml") == {"a.A", "b.B", "c.C"}


def test_values_of_the_options_that_a_definition_is_made_of_count_for_it(tmp_path: Path) -> None:
    """DVC tracks those of the definition's own file alone."""
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    mine.write_text("defaults: [base, _self_]\nname: mine")
    said = []
    for text in ("channel: null", "channel: null  # why", "channel: 0", "channel: '0'"):
        base.write_text(text)
        assert made_of(base) == set()
        said.append(made_of(mine))
    first, commented, *others = said
    assert first == commented
    assert len({first, *others}) == 3


def test_another_package_counts_by_its_version_and_one_that_is_worked_on_by_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outside_version("numpy") == f"numpy {metadata.version('numpy')}"
    assert outside_version("nowhere") == "nowhere: not installed"
    monkeypatch.syspath_prepend(tmp_path)
    said = []
    for text in ("raise RuntimeError\n", "raise RuntimeError  # why\n", "raise ValueError\n"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "__init__.py").write_text(text)
        outside_version.cache_clear()
        said.append(outside_version("mine"))
    first, commented, changed = said
    assert first == commented != changed
