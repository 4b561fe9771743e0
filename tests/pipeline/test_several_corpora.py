"""Several corpora in one pipeline: one lock, codebooks for all, and each its own splits."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from featbank.store import open_store
from featbank.tokenizers.codebook_file import read_codebook
from tests.pipeline.conftest import Project

SPLITS = ("train-clean", "train-clean", "valid", "test-other")


def _ran(said: str) -> set[str]:
    return set(re.findall(r"Running stage '(.*?)'", said))


def _add_corpus(project: Project) -> None:
    """Add a corpus of four utterances of the demo corpus, whose splits have other names."""
    demo, small = (project.path / "corpora" / name for name in ("demo", "small"))
    with open(demo / "transcripts.tsv", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))[: len(SPLITS)]
    small.mkdir()
    with open(small / "transcripts.tsv", "w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0], delimiter="\t")
        writer.writeheader()
        for row, split in zip(rows, SPLITS, strict=True):
            (small / row["path"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(demo / row["path"], small / row["path"])
            writer.writerow({**row, "split": split})
    definition = yaml.safe_load((project.path / "conf/corpus/demo.yaml").read_text())
    definition |= {
        "name": "small", "root": "corpora/small", "labels": None,
        "train": ["train-clean", "train-other"], "held_out": ["valid", "dev"],
    }  # fmt: skip
    (project.path / "conf/corpus/small.yaml").write_text(yaml.safe_dump(definition))


def _choose(project: Project, **changes: object) -> None:
    path = project.path / "params.yaml"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False)
    )


@pytest.mark.slow
def test_corpora_come_and_go_without_touching_each_other(
    own_reproduced: Project, tmp_path: Path
) -> None:
    project = own_reproduced
    lock = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"]
    _add_corpus(project)
    _choose(project, corpora=["small", "demo"])
    said = project.run("dvc repro")
    assert {stage.partition("@")[2].partition("-")[0] for stage in _ran(said)} <= {"", "small"}
    assert {"prepare@small", "tokenize@small-tokens0", "report@small"} <= _ran(said)
    assert "no held-out inertia of dev, for the corpus has no such split" in said
    now = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"]
    assert {name: now[name] for name in lock if name != "code"} == {
        name: stage for name, stage in lock.items() if name != "code"
    }
    splits = ["train-clean", "valid", "test-other"]
    units = open_store(project.path / "data/tokens/small/mfcc-kmeans100/units", splits)
    assert len(units) == len(SPLITS)
    check = project.path / "data/checks/small/tokens/mfcc-kmeans100.json"
    inertia = json.loads(check.read_text())["inertia"]
    assert list(inertia["splits"]) == ["valid"]
    assert inertia["lacking"] == {"dev": "the corpus has no such split"}
    assert "not measured, for the corpus has no such split" in (
        project.path / "reports/small/report.html"
    ).read_text(encoding="utf-8")

    project.commit("Add a corpus")
    _choose(project, corpora=["demo", "small"])
    assert _ran(project.run("dvc repro")) == {"code"}
    project.run(f"dvc remote add --default storage {tmp_path / 'remote'} && dvc push -q")
    project.commit("Share")
    clone = Project(tmp_path / "clone")
    project.run(f"git clone -q . {clone.path}")
    assert _ran(clone.run("dvc repro --pull")) == set()
    _choose(clone, corpora=["demo"])
    assert _ran(clone.run("dvc repro")) == {"code"}


@pytest.mark.slow
def test_a_joint_sample_gives_one_codebook_to_two_corpora_and_two_tokenizers(
    own_prepared: Project,
) -> None:
    project = own_prepared
    _add_corpus(project)
    pins = project.path / "conf/sample/both"
    pins.mkdir()
    shutil.copy(project.path / "conf/sample/demo/demo.txt", pins / "demo.txt")
    project.run("python stages/prepare.py corpus=small")
    project.run("python stages/sample.py pin=true fit_on=both corpus=small feature=mfcc")
    of_both = {"fit_on": "both", "feature": "mfcc", "stored": "mfcc"}
    _choose(
        project,
        corpora=["demo", "small"],
        features=["mfcc"],
        samples={name: {**of_both, "corpus": name} for name in ("demo", "small")},
        codebooks={"both-mfcc": {**of_both, "codebook": "kmeans100"}},
        tokens=[
            {**of_both, "tokenizer": name, "codebook": "kmeans100"}
            for name in ("kmeans100", "kmeans100_merged")
        ],
    )
    stages = " ".join(f"tokenize@{name}-tokens{n}" for name in ("demo", "small") for n in (0, 1))
    said = project.run(f"dvc repro {stages}")
    assert [stage for stage in _ran(said) if stage.startswith("fit")] == ["fit@both-mfcc"]
    _, provenance = read_codebook(project.path / "data/codebooks/both/mfcc-kmeans100.safetensors")
    assert provenance["fitted_on"]["corpora"] == ["demo", "small"]
    assert provenance["fitted_on"]["num_utterances"] == 26
    digests = {
        open_store(path.parent).provenance["codebook"]["sha256"]
        for path in (project.path / "data/tokens").rglob("header.json")
    }
    assert len(digests) == 1

    tokens = "corpus=small feature=mfcc tokenizer=kmeans100"
    assert "4 utterances" in project.run(f"python stages/tokenize.py {tokens}")
    said = project.run(f"python stages/tokenize.py {tokens} fit_on=demo", status=1)
    assert "is tracked by DVC: expected the values of its definition in conf/, got fit_on" in said
    (pins / "small.txt").unlink()
    said = project.run("python stages/fit.py", status=1)
    assert "expected a store for each corpus that it joins: demo, got demo, small" in said
    assert "expected conf/sample/both/small.txt to be there, got nothing" in project.run(
        "python -m featbank check", status=1
    )


@pytest.mark.slow
def test_a_clone_is_up_to_date_though_a_feature_was_taken_out(
    own_reproduced: Project, tmp_path: Path
) -> None:
    """What was made of it lies in folders that the report depends on, here alone."""
    project = own_reproduced
    _choose(project, features=["mfcc"])
    assert _ran(project.run("dvc repro")) == {"code", "report@demo"}
    project.run(f"dvc remote add --default storage {tmp_path / 'remote'} && dvc push -q")
    project.commit("Take a feature out")
    clone = Project(tmp_path / "clone")
    project.run(f"git clone -q . {clone.path}")
    clone.run("dvc pull -q")
    assert "up to date" in clone.run("dvc status")
    _choose(project, features=["mfcc", "fbank"])
    assert "code" in _ran(project.run("dvc repro"))
    assert (project.path / "data/checks/demo/features/fbank.json").is_file()


def test_choices_that_point_at_nothing_end_before_dvc_finds_an_orphan(
    own_prepared: Project,
) -> None:
    _choose(own_prepared, features=["fbank"])
    said = own_prepared.run("dvc repro", status=255)
    assert "params.yaml: tokens.0.feature: expected one of features: fbank, got mfcc" in said
    assert _ran(said) == {"code"}
