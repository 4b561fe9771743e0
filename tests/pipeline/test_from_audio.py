"""Tokens straight from audio as stages of the pipeline: no feature store is ever made."""

from __future__ import annotations

import json

import pytest

from featbank.store import open_store
from tests.extracting import files
from tests.pipeline.conftest import Project

CHOSEN = {"mfcc-kmeans100": {"feature": "mfcc", "tokenizer": "kmeans100"}}


@pytest.mark.slow
def test_repro_makes_the_same_tokens_and_no_features(
    reproduced: Project, own_prepared: Project
) -> None:
    own_prepared.choose([], tokens_from_audio=CHOSEN)
    said = own_prepared.run("dvc repro")
    assert "straight from audio; 38 utterances computed" in said
    for made in ("tokens/demo", "samples/demo", "codebooks/demo"):
        assert files(own_prepared.path / "data" / made) == files(reproduced.path / "data" / made)
    assert not (own_prepared.path / "data" / "features").exists()
    ours, theirs = (
        json.loads((project.path / "reports/demo/metrics.json").read_text())["tokens"]
        for project in (own_prepared, reproduced)
    )
    assert list(ours) == ["mfcc-kmeans100"]
    stability = ours["mfcc-kmeans100"]["units"]["stability"]
    assert stability == theirs["mfcc-kmeans100"]["units"]["stability"]
    assert 0 < stability["noise"]["flip_rate"] < stability["gain"]["flip_rate"] < 1
    assert "are up to date" in own_prepared.run("dvc repro")


def test_all_layers_of_an_encoder_are_refused_before_they_are_computed(
    own_prepared: Project,
) -> None:
    extractor = "_target_: tests.tiny_encoder.TinyEncoder, layers: {low: all}"
    (own_prepared.path / "conf/feature/tiny.yaml").write_text(
        f"name: tiny\nextractor: {{{extractor}}}\nstorage: [{{name: low}}]\n"
    )
    typed = "source=audio feature=tiny trusted_modules=[tests]"
    said = own_prepared.run(f"python stages/sample.py {typed}", status=1)
    assert "feature tiny: expected a vector a frame, got shape (4, 16)" in said
    assert not list((own_prepared.path / ".featbank").rglob("*.h5"))


def test_stages_say_which_of_several_features_tokens_are_made_of(own_prepared: Project) -> None:
    for command in (
        "sample.py source=audio feature=fbank_mfcc",
        "fit.py feature=fbank_mfcc",
        "tokenize.py source=audio feature=fbank_mfcc",
    ):
        said = own_prepared.run(f"python stages/{command}")
        assert " of fbank; storage names mfcc, too" in said
    store = open_store(own_prepared.path / "data/tokens/demo/fbank_mfcc-kmeans100/units/dev")
    assert store.provenance["codebook"]["fitted_on"]["feature"] == "fbank"


def test_another_source_is_refused(own_prepared: Project) -> None:
    said = own_prepared.run("python stages/tokenize.py source=disk", status=1)
    assert said == "ConfigError: source: expected features or audio, got 'disk'\n"
