"""What a file of conf/ may say: nothing that Hydra would run, and nothing of another group."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from featbank.errors import ConfigError
from featbank.pipeline.choices import params  # and with it the resolver of that name
from featbank.pipeline.composition.conf_files import CheckedFiles, read_yaml
from featbank.pipeline.composition.entering import entered_through_hydra
from featbank.pipeline.configs import ExtractConfig
from tests.conftest import ROOT

RUNS = "_target_: shutil.copy\nsrc: /etc/hostname\ndst: pwned\n"
CALLBACK = "hydra:\n  callbacks:\n    x: {_target_: shutil.copy, src: /etc/hostname, dst: pwned}\n"
FACTORY = "{formatters: {simple: {(): shutil.copy, src: /etc/hostname, dst: pwned}}}"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    GlobalHydra.instance().clear()
    CheckedFiles.install()
    for group in ("corpus", "runner", "hydra/job_logging", "hydra/launcher"):
        (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / "corpus" / "a.yaml").write_text("name: a\nroot: b\n")
    (tmp_path / "conf" / "runner" / "a.yaml").write_text("name: a\n")
    (tmp_path / "conf" / "main.yaml").write_text("defaults: [corpus: a, _self_]\nx: 1\n")
    yield tmp_path / "conf"
    SourcesRegistry.instance().types["file"] = FileConfigSource
    GlobalHydra.instance().clear()


def composed(conf: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("main", [*overrides], return_hydra_config=True)


def write(conf: Path, name: str, text: str) -> None:
    path = conf / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_option_sets_its_group(conf: Path) -> None:
    write(conf, "corpus/b", "# @package corpus\ndefaults: [a, _self_]\nroot: c\nhydra: 1\n")
    assert composed(conf, "corpus=b").corpus == {"name": "a", "root": "c", "hydra": 1}


OPTIONS: dict[str, tuple[str, str]] = {
    "callbacks": (f"# @package _global_\n{CALLBACK}", "expected corpus, got _global_; it may set"),
    "another key": ("# @package _global_\ntrusted_modules: [os]\n", "got _global_"),
    "Hydra's own place": (f"# @package hydra.callbacks.x\n{RUNS}", "got hydra.callbacks.x"),
    "another group": ("# @package runner\nname: b\n", "got runner"),
    "no group": ("# @package _group_\nname: b\n", "got _group_"),
    "a logging factory": (
        f"# @package _global_\nhydra:\n  job_logging: {FACTORY}\n",
        "got _global_",
    ),
    "another group's default": ("defaults: [/runner: a]\n", "expected options of corpus alone"),
    "a default moved": ("defaults: [a@hydra.callbacks]\n", "expected options of corpus alone"),
    "a default from the root": ("defaults: [/runner/a]\n", "expected options of corpus alone"),
    "an override": ("defaults: [override /hydra/launcher: x]\n", "expected options of corpus"),
    "a header of two words": ("# @package a b\n", "expected # @package NAME"),
    "a list": ("- a\n", "expected values by name, got a list"),
    "a number": ("3\n", "expected values by name"),
    "a list cut off": ("a: [\n", "expected YAML, got .* in line 2"),
    "a key twice": ("a: 1\na: 2\n", "expected YAML, got found duplicate key a in line 2"),
    "Python's tags": ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constr"),
    "a control character": ("a: \x01\n", "expected YAML, got unacceptable character"),
    "5,000 digits": (f"a: {'9' * 5000}\n", "Exceeds the limit"),
    "nesting": (f"a: {'[' * 3000}{']' * 3000}\n", "nesting without end"),
    "laughter": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{n}: &{n} [{', '.join([f'*{o}'] * 10)}]\n" for o, n in ("ab", "bc", "cd")),
        "over 10000 values, its aliases written out",
    ),
    "a value in itself": ("a: &a [*a]\n", "a value that holds itself"),
    "half a megabyte": (f"# {'x' * 500_000}\n", "expected a file, got .* bytes or more, over"),
    "a broken interpolation": ("a: ${b\n", "expected values by name"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_says_more_or_is_no_yaml_is_refused(name: str, conf: Path) -> None:
    text, said = OPTIONS[name]
    write(conf, "corpus/x", text)
    with pytest.raises(ConfigError, match=said) as caught:
        composed(conf, "corpus=x")
    assert "\n" not in str(caught.value)
    assert not Path("pwned").exists()


FILES: dict[str, tuple[str, str, str]] = {
    "callbacks": (
        "main",
        CALLBACK,
        "expected run: .* for the rest can run code, got callb",
    ),
    "the environment": ("main", "hydra: {job: {env_set: {LD_PRELOAD: x}}}\n", "got job"),
    "a search path": ("main", "hydra: {searchpath: ['file:///tmp']}\n", "got searchpath"),
    "a folder for runs": ("main", "hydra: {run: {dir: pwned}}\n", "got run"),
    "null": ("main", "hydra: null\n", "got None"),
    "an interpolation": ("main", "hydra: ${x}\n", "got "),
    "launcher": ("main", "defaults: [override hydra/launcher: x]\n", "groups and their options"),
    "moved": ("main", "defaults: [corpus@hydra.callbacks: a]\n", "groups and their options"),
    "moved file": ("main", "defaults: [corpus/a@hydra.callbacks.x]\n", "groups and their options"),
    "Hydra's own place": ("main", "# @package hydra\n", "expected another than Hydra's own, got"),
    "a place in it": ("main", f"# @package hydra.callbacks.x\n{RUNS}", "got hydra.callbacks.x"),
    "own launcher": ("hydra/launcher/x", RUNS, "expected no option of Hydra's own but"),
    "a factory": ("hydra/job_logging/x", f"{FACTORY}\n", r"\(\) in .*x.yaml: expected a plain"),
    "a class": (
        "hydra/job_logging/x",
        "handlers: {console: {class: logging.FileHandler, filename: pwned}}\n",
        "class in .*: expected a plain handler on stdout or stderr, got logging.FileHandler",
    ),
    "an object": (
        "hydra/job_logging/x",
        "handlers: {console: {class: logging.StreamHandler, stream: ext://os.system}}\n",
        "got ext://os.system",
    ),
    "an object, hidden": (
        "hydra/job_logging/x",
        "handlers: {console: {class: logging.StreamHandler, stream: 'e${y}'}}\n",
        "expected a plain handler",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_no_file_says_what_hydra_would_run(name: str, conf: Path) -> None:
    path, text, said = FILES[name]
    write(conf, path, text)
    group = path.rpartition("/")[0]
    with pytest.raises(ConfigError, match=said):
        composed(conf, *([f"{group}=x"] if group else []))
    assert not Path("pwned").exists()


def test_a_plain_handler_may_be_defined(conf: Path) -> None:
    handler = "{class: logging.StreamHandler, stream: ext://sys.stderr}"
    write(conf, "hydra/job_logging/x", f"version: 1\nhandlers: {{console: {handler}}}\n")
    found = composed(conf, "hydra/job_logging=x").hydra.job_logging.handlers.console
    assert found.stream == "ext://sys.stderr"


def test_every_file_of_the_project_passes() -> None:
    source = CheckedFiles("main", str(ROOT / "conf"))
    for file in sorted((ROOT / "conf").rglob("*.yaml")):
        assert source.load_config(file.relative_to(ROOT / "conf").with_suffix("").as_posix())


def test_a_pipe_and_a_path_out_of_conf_are_no_options(conf: Path) -> None:
    os.mkfifo(conf / "corpus" / "pipe.yaml")
    write(conf.parent, "out", "name: out\n")
    source = CheckedFiles("main", str(conf))
    with pytest.raises(ConfigError, match=r"pipe\.yaml: expected a file, got a pipe"):
        source.load_config("corpus/pipe")
    with pytest.raises(ConfigError, match="expected an option below"):
        composed(conf, "corpus=../../out")
    with pytest.raises(ConfigError, match=r"zero.*: expected a file, got a device"):
        read_yaml(Path("/dev/zero"))


TYPED = {
    "+hydra.callbacks.x={_target_: shutil.copy, src: a, dst: b}": "of Hydra's own keys",
    "hydra.run.dir=pwned": "of Hydra's own keys hydra.verbose, .* alone, got hydra.run.dir",
    "hydra.job_logging.formatters.simple.()=os.system": "ConfigError: ",
    "+hydra.searchpath=[pkg://os]": "of Hydra's own keys",
    "hydra/launcher=x": "of Hydra's own keys",
    "~hydra": "of Hydra's own keys",
    "+corpus@hydra.callbacks=a": "expected an option in its own group, got @hydra.callbacks",
    "--experimental-rerun=x": "expected no pickle",
    "feature=null": "feature=null: expected an option of conf/feature",
    "feature=3": "feature=3: expected an option of conf/feature",
    "feature={a: 1}": "expected an option of conf/feature",
    "feature=nope": "got none of that name; there are dac_16khz, ",
    "corpus.nope=1": "corpus.nope=1: expected a value that extract takes",
    "corpus.name=[[[": "no viable alternative",
    f"corpus.name={'9' * 5000}": "Exceeds the limit",
    f"corpus.name={'[' * 2000}": "ConfigError: ",
    "--config-path=pkg://os": "expected a folder, got pkg://os",
    "feature=mfcc,3": "feature=mfcc,3: expected an option of conf/feature, got mfcc,3",
    "feature=range(3)": "feature=range\\(3\\): expected an option of conf/feature",
    "feature=mfcc,fbank": "expected one value, got several; add --multirun",
    "hydra/help=default": "of Hydra's own keys",
    "--resolve": "ConfigError: The --resolve flag",
    "--config-name=prepare": "--config-name: expected extract, got prepare",
    "--config-dir=nope": "Additional config directory .* not found",
}


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize("typed", TYPED)
def test_what_is_typed_ends_in_one_line_and_runs_nothing(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[DictConfig] = []
    monkeypatch.chdir(ROOT)
    assert params("corpora.0") == "demo"
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "argv", ["extract.py", typed])
    main = entered_through_hydra(began.append, ExtractConfig, config_path=str(ROOT / "conf"))
    with pytest.raises(SystemExit, match=TYPED[typed]) as caught:
        main()
    assert "\n" not in str(caught.value)
    assert (began, "HYDRA_FULL_ERROR" in os.environ) == ([], False)


@pytest.mark.usefixtures("conf")
def test_several_runs_replace_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[DictConfig] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["extract.py", "-m", "overwrite=true", "feature=mfcc,fbank"])
    main = entered_through_hydra(began.append, ExtractConfig, config_path=str(ROOT / "conf"))
    with pytest.raises(SystemExit, match="overwrite=true: expected false with --multirun"):
        main()
    assert not began
