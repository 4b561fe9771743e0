"""Two people share a project by git and a bucket: a sweep, a growth, a withdrawal and its twin."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from featbank.store import open_store
from featbank.tokenizers.sample import write_pins
from tests.conftest import ROOT
from tests.extracting import files
from tests.pipeline.conftest import Project
from tests.pipeline.test_forgetting import KEPT_STAGES
from tests.pipeline.test_sweeps import LAYERS, SIZES, add_tiny
from tests.servers import Bucket

SPEAKER = "june_fr"
TOKENS = [f"tiny-{layer}-{size}" for layer, size in product(LAYERS, SIZES)]


def _rows(*, of_speaker: slice, of_others: slice, release: str) -> list[str]:
    """Give lines of the demo's table, with a column for their release."""
    _, *rows = (ROOT / "corpora/demo/transcripts.tsv").read_text("utf-8").splitlines()
    theirs = [row for row in rows if SPEAKER in row][of_speaker]
    others = [row for row in rows if SPEAKER not in row][of_others]
    return [f"{row}\t{release}\n" for row in (*others, *theirs)]


def _ids(rows: list[str]) -> list[str]:
    return sorted(row.split("\t")[0].removesuffix(".flac") for row in rows)


def _grow(project: Project, rows: list[str]) -> None:
    with open(project.path / "corpora/demo/transcripts.tsv", "a", encoding="utf-8") as table:
        table.writelines(rows)


def _begin(project: Project) -> list[str]:
    """Choose every size of every layer of an encoder, for a corpus' first release; give its ids."""
    add_tiny(project)
    project.edit("conf/runtime.yaml", "trusted_modules: []", "trusted_modules: [tests]")
    project.edit("conf/corpus/demo.yaml", "part_from: null", "part_from: release")
    project.edit("conf/corpus/demo.yaml", "labels: phones.jsonl", "labels: null")
    (project.path / "corpora/demo/phones.jsonl").unlink()
    header = (ROOT / "corpora/demo/transcripts.tsv").read_text("utf-8").splitlines()[0]
    table = project.path / "corpora/demo/transcripts.tsv"
    table.write_text(f"{header}\trelease\n", encoding="utf-8")
    rows = _rows(of_speaker=slice(3), of_others=slice(0, None, 5), release="2026-10")
    _grow(project, rows)
    for path in (project.path / "corpora/demo" / SPEAKER).iterdir():
        if f"{SPEAKER}/{path.stem}" not in _ids(rows):
            path.unlink()  # of nobody that a manifest knows
    train = [row for row in rows if row.split("\t")[3] == "train"]
    write_pins(project.path / "conf/sample/demo/demo.txt", _ids(train), how="all of train")

    _choose(project, [*product(LAYERS, SIZES)])
    path = project.path / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text("utf-8"))
    pipeline["stages"] = {name: pipeline["stages"][name] for name in KEPT_STAGES}
    path.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    return _ids(rows)


def _choose(project: Project, choices: list[tuple[str, str]]) -> None:
    """Choose tokens of these layers and sizes."""
    path = project.path / "params.yaml"
    chosen: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    chosen |= {"features": ["tiny"], "samples": {}, "codebooks": {}, "tokens": []}
    for layer, size in choices:
        of = {"fit_on": "demo", "feature": "tiny", "stored": f"tiny-{layer}"}
        chosen["samples"][layer] = {**of, "corpus": "demo"}
        chosen["codebooks"][f"{layer}-{size}"] = {**of, "codebook": size}
        chosen["tokens"].append({**of, "codebook": size, "tokenizer": size})
    path.write_text(yaml.safe_dump(chosen, sort_keys=False), encoding="utf-8")


def _encoded(log: Path) -> list[str]:
    """Give the ids of what was encoded since this was asked last, each as often as it was."""
    ids = log.read_text("utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(ids)


def _stored(project: Project) -> dict[str, dict[str, bytes]]:
    """Give the rows of every store, by its path."""
    found = {}
    for path in sorted((project.path / "data").glob("*/demo/*/**/train")):
        store = open_store(path)
        found[path.relative_to(project.path).as_posix()] = {
            one: store[one].tobytes() for one in store.ids
        }
    return found


@pytest.mark.slow
def test_a_team_sweeps_grows_forgets_and_pulls_the_twin(
    checkout: Project, bucket: Bucket, tmp_path: Path
) -> None:
    ann, log = checkout, tmp_path / "encoded.txt"
    ids = _begin(ann)
    origin = tmp_path / "origin.git"
    ann.run(f"git init -q --bare -b main {origin} && git remote add origin {origin}")
    ann.run(f"dvc remote add --default team {bucket.url}/dvc")

    # nine choices of tokens, one pass of the encoder
    ann.run("dvc repro", COMPUTED_LOG=str(log))
    assert _encoded(log) == ids
    made = {path.name for path in (ann.path / "data/tokens/demo").iterdir()}
    assert made == set(TOKENS)
    ann.commit("Sweep")
    ann.run("git tag v1 && dvc push -q && git push -q -u origin main v1")
    old = _stored(ann)

    # bob pulls what he reads, and no more; then he decides for that, and adds a release
    ann.run(f"git clone -q {origin} {tmp_path / 'bob'}")
    bob = Project(tmp_path / "bob")
    bob.run("dvc pull -q tokenize@demo-tokens4")
    assert {path.name for path in (bob.path / "data/tokens/demo").iterdir()} == {TOKENS[4]}
    assert not (bob.path / "data/features").exists()
    _choose(bob, [("l2", "kmeans20")])
    new = _rows(of_speaker=slice(3, 3), of_others=slice(1, None, 10), release="2026-11")
    _grow(bob, new)
    bob.run("dvc repro --pull", COMPUTED_LOG=str(log), FEATBANK_FETCH="true")
    assert _encoded(log) == _ids(new)
    bob.commit("Add a release")
    bob.run("dvc push -q && git push -q origin main")
    ann.run("git pull -q && dvc pull -q")
    assert files(ann.path / "data/tokens") == files(bob.path / "data/tokens")

    # ann takes a person out of everything, and leaves a twin of v1
    said = ann.run(f"featbank forget --speaker {SPEAKER} --keep v1 --yes", COMPUTED_LOG=str(log))
    assert _encoded(log) == []
    assert "v1-redacted" in said
    ann.commit("Forget a person")
    ann.run("dvc push -q && git push -q origin main --tags")
    there = sorted(bucket.keys("dvc"))
    assert not [key for key in there if SPEAKER.encode() in bucket.get(key)]

    # bob has the rest of both versions, as it was
    bob.run("git pull -q --tags && dvc pull -q")
    assert files(bob.path / "data/tokens") == files(ann.path / "data/tokens")
    bob.run("git checkout -q v1-redacted && dvc pull -q")
    assert _stored(bob) == {
        path: {one: row for one, row in rows.items() if not one.startswith(SPEAKER)}
        for path, rows in old.items()
    }
    assert "cache" in bob.run(f"featbank forget --speaker {SPEAKER}")  # his own, which is his to do
