"""Help of the stages, and the answers to what is mistyped behind them: advice works as typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline import choices
from featbank.pipeline.composition.composed import comments_of, compose_alone
from featbank.pipeline.composition.conf_files import CheckedFiles
from featbank.pipeline.composition.plain import plain_values
from featbank.pipeline.composition.typed import GROUPS, advised, parse_typed
from featbank.pipeline.conf_comments import option_comments
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.described import Described
from featbank.pipeline.faults import Origin, validated
from featbank.pipeline.help import FLAGS, explained_keys, help_text
from tests.conftest import ROOT

READERS = {"corpus": "prepare", "feature": "extract", "tokenizer": "fit", "runner": "extract"}
OPTIONS = [path.relative_to(ROOT) for group in READERS for path in ROOT.glob(f"conf/{group}/*")]
WIDTH = 80


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def said_by(stage: str) -> str:
    return (ROOT / f"stages/{stage}.py").read_text(encoding="utf-8").split('"""')[1]


def examples(stage: str) -> list[str]:
    lines = said_by(stage).partition("Examples:\n")[2].splitlines()
    return [line.partition("  # ")[0].strip() for line in lines if line.strip()]


@cache
def helped(stage: str) -> str:
    """The help of a stage, on a terminal of 80 columns."""
    composed, groups = compose_alone(CONFIGS[stage], {})
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return help_text(
        stage,
        said_by(stage),
        Described.of(CONFIGS[stage]),
        {str(key): value for key, value in values.items()},
        options={group: ["one", "other"] for group in groups if group in GROUPS},
        comments=comments_of(groups),
    )


def refusal(stage: str, *typed: str) -> str:
    """What is said of a command line before its stage begins; nothing of a fine one."""
    kind = CONFIGS[stage]
    typed = tuple(f"{FLAGS[one]}=true" if one in FLAGS else one for one in typed)
    CheckedFiles.install()
    GlobalHydra.instance().clear()
    try:
        parsed = parse_typed(typed, kind)
        if parsed.multirun:  # composes one run after another
            return ""
        overrides = parsed.overrides
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            values, faults = plain_values(compose(stage, overrides))
        named = {text.partition("=")[0].lstrip("+"): text for text in overrides}
        validated(kind, values, Origin(stage=stage, typed=named), faults)
    except InvalidConfigError as error:
        return str(error)
    except (ConfigError, HydraException) as error:
        return str(advised(error, kind, typed) or error)
    return ""


@pytest.mark.parametrize("stage", [*CONFIGS, "code"])
def test_the_help_of_a_stage_begins_with_a_sentence_and_examples_that_can_be_typed(
    stage: str,
) -> None:
    first, _, rest = said_by(stage).partition("\n")
    assert first.endswith(".")
    assert len(first.split()) > 5
    assert rest.startswith("\nExamples:\n")
    shown = examples(stage)
    assert len(shown) >= (3 if stage != "code" else 2)
    for line in shown:
        program, script, *typed = shlex.split(line)
        assert (program, script) == ("python", f"stages/{stage}.py")
        assert stage == "code" or refusal(stage, *typed) == "", line


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_key_of_conf_is_explained(option: Path) -> None:
    """By its schema, or where a class checks it by a comment in its file."""
    group = option.parent.name
    values = {group: yaml.safe_load(option.read_text(encoding="utf-8"))}
    comments = {f"{group}.{key}": text for key, text in option_comments(option).items()}
    schema = Described.of(CONFIGS[READERS[group]])
    told = explained_keys(schema, values, schema.keys, comments)
    silent = [name for name, _, _, said in told if not said]
    assert silent == []


@pytest.mark.parametrize("stage", CONFIGS)
def test_every_key_of_a_stage_is_explained_by_its_schema(stage: str) -> None:
    silent = [key for key, one in Described.of(CONFIGS[stage]).walk() if not one.help]
    assert silent == []


def test_a_comment_stands_behind_its_key_or_above_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "# What the file is.\n"
        "name: x  # of it\n"
        'sign: "#"\n'
        "# first of two\n"
        "# lines\n"
        "size: {a: 1, b: 2}  # and behind\n"
        "rule:  # how\n"
        "  by: hash  # what\n"
        "  rest: '# none'\n"
        "last: 1\n"
    )
    assert option_comments(file) == {
        "name": "of it",
        "size": "first of two lines and behind",
        "rule": "how",
        "rule.by": "what",
    }


def test_help_tells_keys_with_values_limits_and_units_by_what_they_decide() -> None:
    text = helped("extract")
    titles = ["What it reads and writes:", "What decides the bytes", "How it runs:"]
    _, places, decides, runs = re.split("|".join(titles), text)
    for part, keys in (
        (places, ["corpus.root=corpora/demo", "paths.features=${paths.root}"]),
        (decides, ["feature.extractor.num_mel_bins=80", "num_threads=1", "max_failures=0"]),
        (runs, ["runner.num_workers=null", "forecast=false", "batch_s=null"]),
    ):
        for key in keys:
            assert f" {key}" in part
    told = " ".join(text.split())
    assert "num_threads=1 that compute an utterance;" in told
    assert "changes last bits (an integer from 1 to 1024)" in told
    assert "(a number from 0 to 86400 (s) or null)" in told
    assert "feature.extractor.frame_length_ms=25.0 ms" in told
    assert "shards are cut (an integer, 1 or more (bytes) or null)" in told
    assert text.splitlines()[0] == said_by("extract").splitlines()[0]


def test_help_has_the_flags_and_groups_of_its_stage_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    helped.cache_clear()
    for stage, kind in CONFIGS.items():
        text = helped(stage)
        keys = Described.of(kind).keys
        for flag, key in FLAGS.items():
            assert (f"  {flag} " in text) == (key in keys), stage
        for group in GROUPS:
            assert (f"\n  {group:<10}one, other" in text or f"  {group} " in text) == (
                group in keys
            ), (stage, group)
        long = [line for line in text.splitlines() if len(line) >= WIDTH]
        # a value, or an example, stands on one line to be copied
        assert all("=" in line.split()[0] or "python stages" in line for line in long), long


@pytest.mark.parametrize("script", ["extract", "code"])
def test_help_waits_for_no_torch(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", f"stages/{script}.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "featbank" in imported
    assert not {"torch", "torchaudio", "dvc"} & imported
    assert done.stdout.startswith(said_by(script).splitlines()[0])
    assert "$$" not in done.stdout


MISTAKES: Sequence[tuple[str, str, str, str]] = [
    # stage, what is mistyped, what is to be typed, and the advice where it is no such question
    ("extract", "feature=wavml", "feature=wavlm", ""),
    ("extract", "feature=HuBERT", "feature=hubert", ""),
    ("extract", "feature=whisper-tiny", "feature=whisper_tiny", ""),
    ("extract", "corpus=commonvoice", "corpus=common_voice", ""),
    ("extract", "runner=lokal", "runner=local", ""),
    ("extract", "featur=wavlm", "feature=wavlm", ""),
    ("extract", "features=wavlm", "feature=wavlm", ""),
    ("extract", "--feature wavlm", "feature=wavlm", ""),
    ("extract", "--feature=wavlm", "feature=wavlm", ""),
    ("extract", "feature wavlm", "feature=wavlm", ""),
    ("extract", "wavlm", "feature=wavlm", ""),
    ("extract", "--dryrun", "--dry-run", ""),
    ("extract", "--overwrite", "overwrite=true", ""),
    ("extract", "runner.num_worker=2", "runner.num_workers=2", ""),
    ("extract", "num_worker=2", "runner.num_workers=2", ""),
    ("extract", "numerics=strickt", "numerics=strict", ""),
    ("extract", "max_failure=1", "max_failures=1", ""),
    ("extract", "+max_failure=1", "max_failures=1", ""),
    ("extract", "feature.extractor.num_mel=3", "feature.extractor.num_mel_bins=3", ""),
    ("extract", "--multi-run feature=fbank,mfcc", "--multirun feature=fbank,mfcc", ""),
    ("tokenize", "tokenizer=kmeans10", "tokenizer=kmeans100", ""),
    ("tokenize", "sorce=audio", "source=audio", ""),
    ("extract", "feature=fbank,mfcc", "--multirun feature=fbank,mfcc", "add --multirun"),
    ("extract", "corpus.train=a,b", "corpus.train=[a,b]", "write corpus.train=[a,b]"),
    ("extract", "feature=", "feature=fbank", "there are dac_16khz, dac_24khz"),
    ("extract", "tokenizer=kmeans100", "", "got one of fit, tokenize"),
    ("prepare", "--dry-run", "", "--dry-run (forecast=true): expected a key that prepare takes"),
    ("extract", "device=gpu", "device=cuda", "expected cpu or cuda, got 'gpu'"),
    ("extract", "--cfg jo", "--cfg job", "did you mean job?"),
    ("decode", "feature=mimi out=x.wav", "feature=mimi out=x.wav id=a", "add id=..."),
]


def test_a_choice_that_is_mistyped_is_told_before_hours_of_reading(tmp_path: Path) -> None:
    chosen = ["features/fbank", "tokens/mfcc-kmeans100"]
    with pytest.raises(ConfigError, match=r"did you mean only=features/fbank\?"):
        choices.refuse_misnamed("features/fbnk", chosen, tmp_path / "fbnk")
    choices.refuse_misnamed("features/fbnk", chosen, tmp_path)  # stores are there
    choices.refuse_misnamed("features/hubert", chosen, tmp_path / "hubert")  # not near


@pytest.mark.parametrize(("stage", "typed", "right", "advice"), MISTAKES)
def test_what_is_mistyped_is_answered_by_what_to_type(
    stage: str, typed: str, right: str, advice: str
) -> None:
    said = refusal(stage, *shlex.split(typed))
    assert "\n" not in said
    if advice:
        assert advice in said
    else:
        [meant] = re.findall(r"did you mean (.+)\?$", said)
        assert meant in (right, *right.split()), said
    if right and "did you mean" not in advice:
        assert refusal(stage, *shlex.split(right)) == ""
