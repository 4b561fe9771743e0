"""Damage under DVC, whose links make a changed output a changed cache: what is advised heals."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.extracting import files
from tests.flipping import flip, fullest_shard
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

FEATURES = "data/features/demo/fbank"
TRAIN = f"{FEATURES}/fbank/train"


@pytest.fixture
def linked(own_reproduced: Project) -> Project:
    """A checkout whose outputs are links into DVC's cache, which a copy of one has lost."""
    own_reproduced.run("dvc checkout --relink")
    return own_reproduced


def _damage(project: Project, store: str) -> Path:
    """Flip a bit of a shard, and of what DVC has in its cache by that; return the shard."""
    shard, info = fullest_shard(project.path / store)
    assert shard.stat().st_nlink > 1
    flip(shard, info.values_start + 1000)
    return shard


def _advised(project: Project, store: str) -> str:
    """Return the command that `verify` advises."""
    said = project.run(f"python -m featbank verify {store}", status=1)
    [command] = re.findall(r"^featbank verify --remove \S+", said, re.MULTILINE)
    return str(command)


def _from_cache(project: Project) -> dict[str, bytes]:
    """Empty the workspace, and return what DVC puts there."""
    shutil.rmtree(project.path / "data")
    project.run("dvc checkout")
    return files(project.path / "data")


def test_what_is_made_again_replaces_what_the_cache_has(linked: Project) -> None:
    sound = files(linked.path / "data")
    _damage(linked, TRAIN)
    assert _from_cache(linked) != sound  # DVC links it back, and calls it unchanged
    said = linked.run("python stages/extract.py feature=fbank")  # by hand
    assert "1 utterances computed" in said
    assert "damaged, and removed from DVC's cache: " in said
    linked.run("dvc commit --force extract@demo-fbank")
    assert _from_cache(linked) == sound
    _damage(linked, TRAIN)
    assert "1 utterances computed" in linked.run(
        "dvc repro --force --single-item extract@demo-fbank"
    )
    assert _from_cache(linked) == sound


@pytest.mark.parametrize("has_remote", [False, True])
def test_the_advice_of_verify_heals(has_remote: bool, linked: Project, tmp_path: Path) -> None:
    sound = files(linked.path / "data")
    tokens = "data/tokens/demo/mfcc-kmeans100/units/train"
    if has_remote:
        linked.run(f"dvc remote add --default storage {tmp_path / 'remote'}")
        linked.run("dvc push")
        shutil.rmtree(linked.path / "corpora" / "demo" / "june_fr")  # no stage can make it again
    for store in (TRAIN, tokens):
        _damage(linked, store)
        linked.run(_advised(linked, store))
    linked.run("dvc pull" if has_remote else "dvc repro extract@demo-fbank tokenize@demo-tokens0")
    assert files(linked.path / "data") == sound
    assert _from_cache(linked) == sound


def test_a_stage_that_reads_damage_gives_advice_that_heals(linked: Project) -> None:
    sound = files(linked.path / "data")
    shard = _damage(linked, "data/features/demo/mfcc/mfcc/train")
    said = linked.run("python stages/tokenize.py", status=1)
    assert f"in shard {shard.resolve()}: expected the values" in said
    [command] = re.findall(r"featbank verify --remove \S+", said)
    linked.run(command)
    linked.run("dvc repro extract@demo-mfcc")
    assert _from_cache(linked) == sound


def test_a_damaged_codebook_is_fitted_again(linked: Project) -> None:
    sound = files(linked.path / "data")
    codebook = linked.path / "data" / "codebooks" / "demo" / "mfcc-kmeans100.safetensors"
    flip(codebook, codebook.stat().st_size - 100)
    said = linked.run("python stages/tokenize.py", status=1)
    [command] = re.findall(r"run (python stages/fit.py overwrite=true) with", said)
    assert "damaged, and removed from DVC's cache" in linked.run(command)
    linked.run("dvc commit --force fit@demo-mfcc-kmeans100")
    assert _from_cache(linked) == sound
