"""What params.yaml may choose."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline.choices import chosen_stores, read_choices
from featbank.pipeline.chosen_options import choice_faults
from featbank.pipeline.definitions import DefinedTokens, defined_tokens
from tests.conftest import ROOT

CHOSEN: dict[str, Any] = {
    "corpora": ["demo", "small"],
    "features": ["fbank", "mfcc"],
    "samples": {
        "a": {"fit_on": "both", "corpus": "demo", "feature": "mfcc", "stored": "mfcc"},
        "b": {"fit_on": "both", "corpus": "small", "feature": "mfcc", "stored": "mfcc"},
        "c": {"fit_on": "demo", "corpus": "demo", "feature": "fbank", "stored": "fbank"},
    },
    "samples_from_audio": {
        "d": {"fit_on": "demo", "corpus": "demo", "feature": "hubert", "stored": "hubert"}
    },
    "codebooks": {
        "a": {"fit_on": "both", "feature": "mfcc", "stored": "mfcc", "codebook": "kmeans100"},
        "b": {"fit_on": "demo", "feature": "hubert", "stored": "hubert", "codebook": "kmeans500"},
    },
    "tokens": [
        {
            "feature": "mfcc",
            "stored": "mfcc",
            "tokenizer": one,
            "codebook": "kmeans100",
            "fit_on": "both",
        }
        for one in ("kmeans100", "kmeans100_merged")
    ],
    "tokens_from_audio": [
        {
            "feature": "hubert",
            "stored": "hubert",
            "tokenizer": "kmeans500",
            "codebook": "kmeans500",
            "fit_on": "demo",
        }
    ],
    "seed": 0,
}


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> dict[str, Any]:
        chosen = {**copy.deepcopy(CHOSEN), **changes}
        Path("params.yaml").write_text(yaml.safe_dump(chosen))
        return chosen

    return write


def test_stores_are_those_of_features_and_of_tokens(choose: Callable[..., Any]) -> None:
    choose()
    assert chosen_stores() == [
        "features/fbank", "features/mfcc", "tokens/mfcc-kmeans100", "tokens/mfcc-kmeans100_merged",
        "tokens/hubert-kmeans500",
    ]  # fmt: skip


def test_the_choices_of_the_project_point_at_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert read_choices().corpora == ["demo"]


def test_a_codebook_is_that_of_its_tokens_else_of_its_kind_else_of_its_feature(
    choose: Callable[..., Any],
) -> None:
    choose()
    choices = read_choices()
    assert choices.fitted_on("mfcc", "mfcc", "kmeans100_merged", "kmeans100") == "both"
    assert choices.fitted_on("hubert", "hubert", "mine", "kmeans500") == "demo"
    assert choices.fitted_on("mfcc", "mfcc", "mine", "mine") == "both"
    assert choices.fitted_on("wavlm", "wavlm", "kmeans100", "kmeans100") == "demo"
    assert choices.sampled_as("small", "mfcc") == "both"
    assert choices.sampled_as("small", "wavlm") == "small"


@pytest.mark.parametrize(
    ("key", "choice", "message"),
    [
        ("features", ["../../x"], "features.0: expected letters"),
        ("features", [["fbank"]], "features.0: expected letters"),
        ("features", [None], "features.0: expected letters"),
        ("features", "fbank", "features: expected a list"),
        ("features", "${oc.env:HOME}", "features: expected a list"),
        ("corpora", [], "corpora: expected a list"),
        ("corpora", "demo", "corpora: expected a list"),
        ("tokens", {"a": {}}, "tokens: expected a list of entries"),
        ("tokens", [{"feature": "mfcc", "tokenizer": "../x"}], "tokens.0.tokenizer: expected let"),
        ("tokens", [{"feature": "mfcc"}], "tokens.0.fit_on: expected letters, .*, got none"),
        ("tokenz", [], "tokenz: "),
        ("seed", "zero", "seed: expected an integer"),
    ],
)
def test_a_choice_of_another_form_is_refused_before_a_file_is_named_by_it(
    key: str, choice: Any, message: str, choose: Callable[..., Any]
) -> None:
    choose(**{key: choice})
    with pytest.raises(InvalidConfigError, match=rf"params\.yaml: {message}"):
        read_choices()


@pytest.mark.parametrize(
    ("key", "choice", "message"),
    [
        ("features", ["fbank"], r"samples.a.feature: expected one of features: fbank, got mfcc"),
        ("features", ["fbank"], r"tokens.0.feature: expected one of features: fbank, got mfcc"),
        ("corpora", ["demo"], r"samples.b.corpus: expected one of corpora: demo, got small"),
        ("samples", {}, r"codebooks.a: expected its sample, both of mfcc, among samples"),
        ("codebooks", {}, r"tokens.1: expected its codebook, mfcc-kmeans100 of both, among"),
        ("tokens", [{**CHOSEN["tokens"][0], "stored": "x"}], "tokens.0.stored: expected mfcc, or "),
        ("corpora", ["demo", "small", "demo"], "corpora: expected each once, got demo 2 times"),
    ],
)
def test_a_choice_that_points_at_nothing_is_refused(
    key: str, choice: Any, message: str, choose: Callable[..., Any]
) -> None:
    choose(**{key: choice})
    with pytest.raises(InvalidConfigError, match=message):
        read_choices()


def test_choices_of_one_name_are_refused(choose: Callable[..., Any]) -> None:
    """DVC drops all but the last of two stages of one name; two stores would take turns."""
    choose(corpora=["a-b", "a", "demo", "small"], features=["c", "b-c", "fbank", "mfcc"])
    with pytest.raises(InvalidConfigError, match=r"corpora and features: .*, got a-b-c 2 times"):
        read_choices()
    twice = {"x": CHOSEN["codebooks"]["a"], **CHOSEN["codebooks"]}
    choose(tokens=[*CHOSEN["tokens"], CHOSEN["tokens"][0]], codebooks=twice)
    with pytest.raises(InvalidConfigError) as refused:
        read_choices()
    assert [fault.got for fault in refused.value.faults] == [
        "mfcc-kmeans100 2 times", "both/mfcc-kmeans100 2 times",
    ]  # fmt: skip


def test_tokens_that_name_another_codebook_than_their_tokenizer_are_refused(
    choose: Callable[..., Any],
) -> None:
    shutil.copytree(ROOT / "conf", "conf")
    merged = CHOSEN["tokens"][1]
    fits = {**CHOSEN["codebooks"], "c": {**CHOSEN["codebooks"]["a"], "codebook": "kmeans500"}}
    choose(tokens=[{**merged, "codebook": "kmeans500"}], codebooks=fits)
    told = [str(one) for one in choice_faults() if "codebook: expected" in str(one)]
    assert told == [
        "params.yaml: tokens mfcc-kmeans100_merged: codebook: expected kmeans100, as "
        "conf/tokenizer/kmeans100_merged.yaml has it, got kmeans500"
    ]


def test_a_codebook_whose_sample_is_of_other_corpora_than_its_lists_is_refused(
    choose: Callable[..., Any],
) -> None:
    shutil.copytree(ROOT / "conf", "conf")
    Path("conf/sample/both").mkdir()
    for corpus in ("demo", "other"):
        Path(f"conf/sample/both/{corpus}.txt").write_text("a\n")
    choose()
    told = [str(one) for one in choice_faults() if "sample both" in str(one)]
    assert told == [
        "params.yaml: codebooks.a: sample both of mfcc: expected an entry of samples for each list "
        "in conf/sample/both: demo, other, got demo, small"
    ]


def test_a_stored_feature_that_its_definition_does_not_store_is_refused(
    choose: Callable[..., Any],
) -> None:
    shutil.copytree(ROOT / "conf", "conf")
    layers = {"defaults": ["wavlm"], "name": "layers", "storage": [{"name": "layers-l*"}]}
    Path("conf/feature/layers.yaml").write_text(yaml.safe_dump(layers))
    Path("conf/feature/again.yaml").write_text("defaults: [layers]\n")
    for feature, stored, expected in (
        ("layers", "layers-l9", None),
        ("layers", "layers", "layers-l*"),
        ("again", "again-layers-l9", None),
        ("fbank_mfcc", "fbank_mfcc-mfcc", None),
        ("fbank_mfcc", "fbank_mfcc-f0", "fbank_mfcc or fbank_mfcc-fbank or fbank_mfcc-mfcc"),
    ):
        one = {"fit_on": "demo", "corpus": "demo", "feature": feature, "stored": stored}
        choose(samples_from_audio={"x": one})
        told = [str(one) for one in choice_faults() if ".stored" in str(one)]
        said = f"params.yaml: samples_from_audio.x.stored: expected {expected}, got {stored}"
        assert told == ([said] if expected else [])


def test_tokens_of_a_name_are_made_as_chosen_else_as_definitions_have_it(
    choose: Callable[..., Any],
) -> None:
    shutil.copytree(ROOT / "conf", "conf")
    both = {"feature": "fbank_mfcc", "stored": "fbank_mfcc-mfcc", "tokenizer": "kmeans500"}
    choose()
    assert defined_tokens("fbank_mfcc-mfcc-kmeans500") == DefinedTokens(**both)
    assert defined_tokens("mfcc-kmeans100_merged").tokenizer == "kmeans100_merged"
    with pytest.raises(ConfigError, match="did you mean wavlm-kmeans100"):
        defined_tokens("wavlm-l9-kmeans100")
