"""A corpus grows under DVC: what was computed before is found again, wherever DVC has put it."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.extracting import files
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

STORES = "data/features/demo/fbank"


def _grow(project: Project) -> None:
    rng = np.random.default_rng(0)
    corpus = project.path / "corpora" / "demo"
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        for number in range(3):
            noise = rng.normal(scale=0.1, size=16000 + number)
            soundfile.write(corpus / "june_fr" / f"new-{number}.flac", noise, 16000)
            table.write(f"june_fr/new-{number}.flac\tjune_fr\tfr\ttrain\tbruit\n")


def _counts(said: str) -> tuple[int, ...]:
    """Return what a stage says it computed, copied and kept, in utterances."""
    [found] = re.findall(r"(\d+) utterances computed, (\d+) copied, (\d+) kept", said)
    return tuple(map(int, found))


def _objects(folder: Path, pattern: str = "*") -> dict[str, int]:
    """Return the sizes of files by the digest that DVC names their objects by."""
    return {
        hashlib.md5(path.read_bytes()).hexdigest(): path.stat().st_size  # noqa: S324 - DVC's
        for path in folder.rglob(pattern)
        if path.is_file()
    }


@pytest.fixture(scope="module")
def clean(_reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The stores of the grown corpus where there was nothing before."""
    project = _reproduced.copy(tmp_path_factory.mktemp("clean") / "project")
    for left in (".dvc/cache", "data", "dvc.lock"):
        path = project.path / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _grow(project)
    said = project.run("dvc repro extract@demo-fbank")
    assert _counts(said) == (41, 0, 0)
    return files(project.path / STORES)


def test_repro_computes_only_what_is_new(own_reproduced: Project, clean: dict[str, bytes]) -> None:
    _grow(own_reproduced)
    said = own_reproduced.run("dvc repro extract@demo-fbank")
    computed, copied, kept = _counts(said)
    assert computed == 3
    assert copied + kept == 38
    assert kept > 0
    assert files(own_reproduced.path / STORES) == clean


def test_a_fresh_clone_takes_over_what_it_pulled(
    own_reproduced: Project, clean: dict[str, bytes], tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    own_reproduced.run(f"dvc remote add --default storage {remote}")
    own_reproduced.run("dvc push extract@demo-fbank")
    own_reproduced.commit("Share")
    own_reproduced.run(f"git clone -q . {tmp_path / 'clone'}")
    clone = Project(tmp_path / "clone")
    clone.run("dvc pull extract@demo-fbank")
    _grow(clone)
    computed, copied, kept = _counts(clone.run("dvc repro extract@demo-fbank"))
    assert computed == 3
    assert copied + kept == 38
    assert files(clone.path / STORES) == clean


def test_of_a_release_with_a_part_of_its_own_a_push_sends_that_and_the_headers(
    own_reproduced: Project, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    own_reproduced.run(f"dvc remote add --default storage {remote}")
    own_reproduced.run("dvc push extract@demo-fbank")
    before = _objects(remote)
    shards = _objects(own_reproduced.path / STORES, "*.h5")
    _grow(own_reproduced)
    table = own_reproduced.path / "corpora" / "demo" / "transcripts.tsv"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    said = [f"{row}\t{'2026-11' if 'june_fr/new-' in row else ''}" for row in rows]
    table.write_text("\n".join([f"{header}\trelease", *said, ""]), encoding="utf-8")
    own_reproduced.edit("conf/corpus/demo.yaml", "part_from: null", "part_from: release")
    assert _counts(own_reproduced.run("dvc repro extract@demo-fbank")) == (3, 0, 38)
    new = _objects(own_reproduced.path / STORES, "*.h5")
    assert shards.items() < new.items()
    own_reproduced.run("dvc push extract@demo-fbank")
    sent = {digest: size for digest, size in _objects(remote).items() if digest not in before}
    [release] = new.keys() - shards.keys()
    assert sent.keys() & new.keys() == {release}
    assert sum(sent.values()) < new[release] + 20_000 < sum(before.values())


def test_an_experiment_elsewhere_takes_over_what_the_cache_has(own_reproduced: Project) -> None:
    _grow(own_reproduced)
    own_reproduced.commit("Grow")
    said = own_reproduced.run("dvc exp run --temp extract@demo-fbank")
    computed, copied, kept = _counts(said)
    assert computed == 3
    assert copied + kept == 38


def test_without_the_cache_everything_is_computed(own_reproduced: Project) -> None:
    _grow(own_reproduced)
    shutil.rmtree(own_reproduced.path / ".dvc" / "cache")
    shutil.rmtree(own_reproduced.path / "data" / "features")
    assert _counts(own_reproduced.run("dvc repro extract@demo-fbank")) == (41, 0, 0)


WORK = ".featbank/work/extract-demo-fbank"
COMMAND = "python stages/extract.py corpus=${item.corpus} feature=${item.feature}"


def _redefine(project: Project) -> None:
    project.edit("conf/feature/fbank.yaml", "num_mel_bins: 80", "num_mel_bins: 40")
    project.edit("conf/feature/fbank.yaml", "67108864", "30000")


def test_a_killed_repro_goes_on_where_it_was(own_reproduced: Project) -> None:
    """The stage kills its DVC itself: at any other time DVC might be writing its own locks."""
    _redefine(own_reproduced)
    killed = (
        f"{COMMAND} & until ls {WORK}/*/results/*.json; do sleep 0.02; done; kill -KILL $! $PPID"
    )
    own_reproduced.edit("dvc.yaml", COMMAND, killed)
    # a program that only asks another for the stage would be what is killed
    own_reproduced.run("dvc repro extract@demo-fbank || test $? -eq 137", PLAIN_PYTHON="1")
    assert list((own_reproduced.path / WORK).glob("*/results/*.json"))
    own_reproduced.edit("dvc.yaml", killed, COMMAND)
    computed, copied, kept = _counts(own_reproduced.run("dvc repro extract@demo-fbank"))
    assert computed + kept == 38
    assert kept > 0
    assert copied == 0


def test_stores_that_dvc_was_killed_over_are_not_computed_again(own_reproduced: Project) -> None:
    """DVC deletes an output that it had not hashed when it died."""
    _redefine(own_reproduced)
    killing = f"{COMMAND} && kill -KILL $PPID"
    own_reproduced.edit("dvc.yaml", COMMAND, killing)
    own_reproduced.run("dvc repro extract@demo-fbank || test $? -eq 137")
    assert (own_reproduced.path / STORES / "fbank" / "test" / "header.json").is_file()
    own_reproduced.edit("dvc.yaml", killing, COMMAND)
    assert _counts(own_reproduced.run("dvc repro extract@demo-fbank")) == (0, 0, 38)
    assert list((own_reproduced.path / WORK).glob("*/published.json"))
    own_reproduced.run("dvc repro validate_features@demo-fbank")
    assert not list((own_reproduced.path / WORK).iterdir())
