"""Sweeps over layers and sizes: as choices, as experiments of DVC and by hand, of one encoding."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise, product
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from featbank.pipeline.choices import read_choices
from featbank.store import open_store
from tests.conftest import ROOT
from tests.pipeline.conftest import Project

PAGE = (ROOT / "docs/sweeps.md").read_text(encoding="utf-8")
LAYERS, SIZES = ("l1", "l2", "l3"), ("kmeans10", "kmeans20", "kmeans30")


def _block(start: str) -> str:
    """Return the block of the page that begins so."""
    return next(text for text in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL) if start in text)


def _add_tiny(project: Project) -> None:
    """Define a tiny encoder with all its layers, and small codebooks."""
    (project.path / "conf/feature/tiny.yaml").write_text(
        "name: tiny\n"
        "extractor: {_target_: tests.tiny_encoder.NotedEncoder, layers: {tiny-l*: all}}\n"
        "storage: [{name: tiny-l*, dtype: float16}]\n"
    )
    defined = (ROOT / "conf/tokenizer/kmeans100.yaml").read_text(encoding="utf-8")
    for size in SIZES:
        number = size.removeprefix("kmeans")
        text = defined.replace("kmeans100", size).replace("rs: 100", f"rs: {number}")
        (project.path / f"conf/tokenizer/{size}.yaml").write_text(text)


@pytest.mark.slow
def test_three_layers_in_three_sizes_are_of_one_encoding(own_prepared: Project) -> None:
    _add_tiny(own_prepared)
    log = own_prepared.path / "encoded.txt"
    typed = "trusted_modules=[tests]"
    own_prepared.run(f"python stages/extract.py feature=tiny {typed}", COMPUTED_LOG=str(log))
    encoded = log.read_text().splitlines()
    assert len(encoded) == len(set(encoded)) == 38
    by_hand = _block("stages/sample.py -m").replace("wavlm_all", "tiny")
    for doc, ours in (("l6", "l1"), ("l9", "l2"), ("l12", "l3")):
        by_hand = by_hand.replace(f"-{doc}", f"-{ours}")
    for line in by_hand.replace("kmeans100,kmeans500", ",".join(SIZES)).splitlines():
        own_prepared.run(f"{line} {typed}")  # which has no file to note an encoding in
    made = {path.name for path in (own_prepared.path / "data/tokens/demo").iterdir()}
    assert made == {f"tiny-{layer}-{size}" for layer, size in product(LAYERS, SIZES)}
    for layer in LAYERS:
        store = open_store(own_prepared.path / f"data/tokens/demo/tiny-{layer}-kmeans20/units/dev")
        assert store.provenance["codebook"]["fitted_on"]["feature"] == f"tiny-{layer}"
    assert not list(own_prepared.path.glob("multirun*"))

    log.unlink()
    swept = "only=tokens/tiny-l1-kmeans10,tokens/tiny-l3-kmeans20 utterances=2"
    unchosen = own_prepared.path / ".featbank/work/disturbed/demo/mfcc_of_before"
    unchosen.mkdir(parents=True)
    own_prepared.run(f"python stages/stability.py -m {swept} {typed}", COMPUTED_LOG=str(log))
    assert len(log.read_text().splitlines()) == 2 * 4  # clean, and disturbed in three ways
    assert [path.name for path in unchosen.parent.iterdir()] == ["tiny"]

    said = own_prepared.run(
        f"python stages/validate.py only=tokens/tiny-l2-kmeans20 recompute=1 {typed}",
        COMPUTED_LOG=str(log),
    )
    assert "tokens/tiny-l2-kmeans20: 3 stores, 38 utterances, 0 problems" in said
    again = f"stages/fit.py -m feature=tiny stored=tiny-l1 tokenizer=kmeans10 seed=1,2 {typed}"
    said = own_prepared.run(f"python {again}", status=1)  # two runs of one output
    assert "two codebooks do not mix" in said


def test_experiments_of_dvc_sweep_layers_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    chosen |= yaml.safe_load(_block("features: [wavlm_all]"))
    words = shlex.split(_block("--queue").replace("\\\n", " ").partition("\ndvc")[0])
    overrides = [value for flag, value in pairwise(words) if flag == "-S"]
    made = set()
    for experiment in get_hydra_sweeps({"params.yaml": overrides}):
        Path("params.yaml").write_text(yaml.safe_dump(chosen))
        apply_overrides("params.yaml", experiment["params.yaml"])
        [tokens] = read_choices().tokens  # which point at their codebook, and that at its sample
        made.add(tokens.name)
    layers, sizes = ("l6", "l9", "l12"), ("kmeans100", "kmeans500")
    assert made == {f"wavlm_all-{layer}-{size}" for layer, size in product(layers, sizes)}


@pytest.mark.slow
def test_tokens_in_another_size_run_their_own_stages_alone(own_reproduced: Project) -> None:
    """Stability of the others is not measured anew; the report has a line more."""
    tokens = {size: {"feature": "mfcc", "tokenizer": size} for size in ("kmeans100", "kmeans500")}
    own_reproduced.choose(["fbank", "mfcc"], tokens=tokens)
    status = json.loads(own_reproduced.run("dvc status --json"))
    assert set(status) == {
        "code", "fit@demo-mfcc-kmeans500", "tokenize@demo-tokens1", "validate_tokens@demo-tokens1",
        "stability_tokens@demo-tokens1", "report@demo",
    }  # fmt: skip
