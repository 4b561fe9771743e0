"""The commands of docs/sharing.md: stores and audio by way of S3 and SSH, from clone to clone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.extracting import files
from tests.pipeline.conftest import Project, _once
from tests.servers import Bucket, sftp_server

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- run by tests/pipeline/test_sharing.py: (\w+) -->\n```sh\n(.*?)```", re.S)
BLOCKS = dict(BLOCK.findall(PAGE))
STORES = "data/features/demo"


@pytest.fixture(scope="session")
def _extracted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout with two features of eight utterances."""

    def make(project: Project) -> None:
        table = project.path / "corpora" / "demo" / "transcripts.tsv"
        header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
        table.write_text("".join([header, *rows[::5]]), encoding="utf-8")
        project.choose(["fbank", "mfcc"])
        project.run("dvc repro extract@demo-fbank extract@demo-mfcc")
        project.commit("Extract")

    return _once(tmp_path_factory, root, "extracted", make)


@pytest.fixture
def extracted(_extracted: Project, tmp_path: Path) -> Project:
    return _extracted.copy(tmp_path / "project")


def _run(project: Project, block: str, meant: Mapping[str, str], **env: str) -> str:
    """Run the commands of a block, with our own addresses in place of those it shows."""
    said = ""
    for line in BLOCKS[block].splitlines():
        for shown, ours in meant.items():
            line = line.replace(shown, ours)
        if line.startswith("git commit"):
            line = line.replace("git", "git -c user.name=x -c user.email=x@localhost")
        said += project.run(line, **env)
    return said


def _clone(project: Project, to: Path, local: str) -> Project:
    project.run(f"git clone -q . {to}")
    clone = Project(to)
    if (project.path / local).exists():  # what is of this machine alone
        shutil.copy(project.path / local, to / local)
    return clone


def _grow(project: Project) -> None:
    table = project.path / "corpora" / "demo" / "transcripts.tsv"
    rows = (ROOT / "corpora" / "demo" / "transcripts.tsv").read_text(encoding="utf-8")
    table.write_text(table.read_text(encoding="utf-8") + rows.splitlines(keepends=True)[2])


def test_every_block_is_found() -> None:
    assert len(BLOCKS) == PAGE.count("run by tests/pipeline/test_sharing.py:")
    assert list(BLOCKS) == ["s3", "ssh", "clone", "fetch", "push", "pushed", "audio", "bucket"]


def test_stores_are_shared_by_a_bucket_and_a_partial_pull_says_what_it_lacks(
    extracted: Project, bucket: Bucket, tmp_path: Path
) -> None:
    _run(extracted, "s3", {"s3://bucket": bucket.url})
    assert any(key.endswith(".dir") for key in bucket.keys("featbank/files/md5"))
    clone = _clone(extracted, tmp_path / "clone", ".dvc/config.local")
    said = _run(clone, "clone", {})
    assert "computed" not in said
    assert files(clone.path / STORES / "fbank") == files(extracted.path / STORES / "fbank")
    assert not (clone.path / STORES / "mfcc").exists()

    _grow(clone)
    warned = clone.copy(tmp_path / "warned").run("dvc repro extract@demo-mfcc")
    assert "DVC's cache lacks any of what it was, so these are computed" in warned
    assert "a remote may have them: stop, and run it again with fetch=true" in warned
    assert "9 utterances computed, 0 copied, 0 kept" in warned
    fetched = _run(clone, "fetch", {})
    assert "1 utterances computed" in fetched
    assert "lacks" not in fetched


def test_a_store_is_pushed_without_being_held_and_taken_over_where_there_is_room(
    extracted: Project, tmp_path: Path
) -> None:
    made = files(extracted.path / STORES / "fbank")
    extracted.run(f"dvc remote add --default team {tmp_path / 'remote'}")
    extracted.run("dvc push prepare@demo")
    shutil.rmtree(extracted.path / STORES)
    shutil.rmtree(extracted.path / ".featbank" / "work")  # what the stage that ran last has left
    lock = extracted.path / "dvc.lock"  # no trace of the run that made them
    known = yaml.safe_load(lock.read_text())
    known["stages"].pop("extract@demo-fbank")
    lock.write_text(yaml.safe_dump(known))
    said = extracted.run("python stages/extract.py push=true", status=1, DVC_STAGE="extract")
    assert "ConfigError: push: expected false under dvc repro" in said
    assert "Traceback" not in said
    said = _run(extracted, "push", {})
    assert "8 utterances computed" in said
    assert not (extracted.path / STORES / "fbank").exists()
    assert not list(extracted.path.glob(".featbank/work/**/*.h5"))
    extracted.commit()
    clone = _clone(extracted, tmp_path / "clone", ".dvc/config.local")
    said = _run(clone, "pushed", {})
    assert files(clone.path / "pushed" / "demo" / "fbank") == made
    assert files(clone.path / STORES / "fbank") == made


def test_stores_are_shared_over_ssh(extracted: Project, tmp_path: Path) -> None:
    (tmp_path / "server" / "featbank").mkdir(parents=True)
    with sftp_server(tmp_path / "server") as address:
        host = address.replace(":secret@", "@")
        local = extracted.path / ".dvc" / "config.local"
        local.write_text("['remote \"team\"']\n    password = secret\n")
        _run(extracted, "ssh", {"ssh://somebody@host": host})
        clone = _clone(extracted, tmp_path / "clone", ".dvc/config.local")
        _run(clone, "clone", {})
    assert files(clone.path / STORES / "fbank") == files(extracted.path / STORES / "fbank")


def _define(project: Project, name: str, root: str) -> None:
    definition = yaml.safe_load((project.path / "conf/corpus/demo.yaml").read_text())
    definition |= {"name": name, "root": root, "labels": None}
    (project.path / f"conf/corpus/{name}.yaml").write_text(yaml.safe_dump(definition))
    path = project.path / "params.yaml"
    chosen = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**chosen, "corpora": [*chosen["corpora"], name]}))


def test_audio_lies_in_dvc_or_is_imported_from_a_bucket_and_git_ignores_it(
    extracted: Project, bucket: Bucket, tmp_path: Path
) -> None:
    demo = extracted.path / "corpora" / "demo"
    shutil.copytree(demo, extracted.path / "corpora" / "mine")
    bucket.put_folder(demo, "audio")
    extracted.run(f"dvc remote add --default team {bucket.url}/featbank")
    for name in ("mine", "theirs"):
        _define(extracted, name, f"corpora/{name}")
    _run(extracted, "audio", {"s3://bucket": bucket.url})
    manifests = extracted.path / "data" / "manifests"
    for name in ("mine", "theirs"):
        extracted.run(f"git check-ignore corpora/{name}/transcripts.tsv")
        assert (manifests / name / "train.jsonl").read_bytes() == (
            manifests / "demo" / "train.jsonl"
        ).read_bytes()
    extracted.commit()
    clone = _clone(extracted, tmp_path / "clone", ".dvc/config.local")
    clone.run("dvc pull corpora/mine.dvc")
    assert files(clone.path / "corpora" / "mine") == files(demo)


def test_a_corpus_is_read_out_of_a_bucket(extracted: Project, bucket: Bucket) -> None:
    bucket.put_folder(extracted.path / "corpora" / "demo", "audio")
    _define(extracted, "away", f"{bucket.url}/audio")
    _run(extracted, "bucket", {})
    stores = extracted.path / "data" / "features"
    away, demo = (files(stores / name / "fbank") for name in ("away", "demo"))
    shards = {name for name in demo if name.endswith(".h5")}
    assert shards
    assert {name: away[name] for name in shards} == {name: demo[name] for name in shards}
    assert not any(b"s3:" in data for data in away.values())
