"""A person is taken out of a project with a folder and a versioned bucket, and nobody else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from featbank.base.manifest import Utterance, read_manifest
from featbank.corpora.forgotten import read_forgotten
from featbank.store import open_store
from featbank.store.verify import verify
from featbank.tokenizers.sample import write_pins
from tests.conftest import ROOT
from tests.extracting import files
from tests.pipeline.conftest import Project, _once
from tests.servers import Bucket, bucket_environment

pytestmark = pytest.mark.slow

SPEAKER = "june_fr"
KEPT_STAGES = ("code", "prepare", "extract", "sample", "fit", "tokenize")
PINS = "conf/sample/demo/demo.txt"
CODEBOOK = "data/codebooks/demo/mfcc-kmeans100.safetensors"
TWIN = "v2-redacted"
KILLED = """
import os, signal, sys
from featbank.pipeline.dvc_remote import RemoteObjects
from featbank.withdrawal.plan import WithdrawalPlan
from featbank.cli import main

kind, name, left = {
    "planned": (WithdrawalPlan, "save", [1]),
    "deleting": (RemoteObjects, "delete", [3]),
}[sys.argv[1]]
called = getattr(kind, name)

def killed(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return called(*arguments)

setattr(kind, name, killed)
main(sys.argv[2:])
"""


@dataclass
class Story:
    """A project before and after a withdrawal, and what was said on the way."""

    project: Project
    remote: Path
    bucket: Bucket
    rows: list[Utterance]
    first: dict[str, bytes]
    codebook: bytes
    second: dict[str, bytes] = field(default_factory=dict)
    before: dict[str, dict[str, bytes]] = field(default_factory=dict)
    with_twin: dict[str, dict[str, bytes]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[bytes]:
        """What may stand nowhere: ids, digests of audio and of what is computed, the speaker."""
        rows = self.rows
        texts = {row.id for row in rows} | {row.audio_digest.split(":")[1] for row in rows}
        raw = [row.input_digest for row in rows]
        return [text.encode() for text in (*sorted(texts), SPEAKER)] + raw

    def objects(self) -> dict[str, dict[str, bytes]]:
        """All objects, by place and name; of the bucket, those of any version."""
        return {
            "cache": _by_name(files(self.project.path / ".dvc/cache/files/md5")),
            "remote folder": _by_name(files(self.remote / "files/md5")),
            "remote bucket": _by_name(self.versions()),
        }

    def versions(self) -> dict[str, bytes]:
        """Every version of every object of the bucket, marks of deletions aside."""
        folder = "dvc/files/md5/"
        found = self.bucket._bucket.object_versions.filter(Prefix=folder)
        return {
            f"{one.key.removeprefix(folder)} {one.version_id}": one.get()["Body"].read()
            for one in found
            if one.size is not None
        }


def _by_name(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name.split(" ")[0].replace("/", ""): data for name, data in found.items()}


def _table(project: Project, *, with_speaker: bool) -> None:
    demo = project.path / "corpora" / "demo"
    path = demo / "transcripts.tsv"
    header, *rows = (ROOT / "corpora/demo/transcripts.tsv").read_text("utf-8").splitlines(True)
    chosen = [row for row in rows if SPEAKER not in row][::4]
    if with_speaker:
        theirs = [row for row in rows if SPEAKER in row][:3]
        chosen += theirs
        (demo / SPEAKER).mkdir()
        for row in theirs:
            name = row.split("\t")[0]
            shutil.copy(ROOT / "corpora/demo" / name, demo / name)
    else:
        shutil.rmtree(demo / SPEAKER)
    path.write_text("".join([header, *chosen]), encoding="utf-8")
    cells = [row.split("\t") for row in chosen]
    pinned = sorted(
        audio.removesuffix(".flac") for audio, _, _, split, _ in cells if split == "train"
    )
    write_pins(project.path / PINS, pinned, how="all of train")


def _make(project: Project) -> None:
    """Two revisions, of which only the second has the speaker; one of its files is a text."""
    project.choose(["mfcc"], tokens={"0": {"feature": "mfcc", "tokenizer": "kmeans100"}})
    path = project.path / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text("utf-8"))
    pipeline["stages"] = {name: pipeline["stages"][name] for name in KEPT_STAGES}
    command = "(echo rows; cat data/manifests/demo/*.jsonl) > rows.txt"
    deps = ["data/manifests/demo"]
    pipeline["stages"]["texts"] = {"cmd": command, "deps": deps, "outs": ["rows.txt"]}
    path.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    project.edit("conf/feature/mfcc.yaml", "shard_bytes: 67108864", "shard_bytes: 60000")
    (project.path / "corpora/demo/phones.jsonl").unlink()
    project.edit("conf/corpus/demo.yaml", "labels: phones.jsonl", "labels: null")
    for tag, with_speaker in (("v1", False), ("v2", True)):
        _table(project, with_speaker=with_speaker)
        project.run("dvc repro")
        project.commit(tag)
        project.run(f"git tag {tag}")


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two revisions, shared: tests only copy them."""
    return _once(tmp_path_factory, root, "withdrawn", _make)


@pytest.fixture(scope="module")
def story(
    made: Project, tmp_path_factory: pytest.TempPathFactory, bucket_address: str
) -> Iterator[Story]:
    """The whole of it: two revisions, pushed to two remotes; a look, two kills, and the rest."""
    place = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket_environment(bucket_address).items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        bucket = Bucket("withdrawal")
        bucket._bucket.Versioning().enable()
        yield _told(made.copy(place / "project"), place / "remote", bucket)


def _told(project: Project, remote: Path, bucket: Bucket) -> Story:
    project.run(f"dvc remote add --local --default folder {remote}")
    project.run(f"dvc remote add --local bucket {bucket.url}/dvc")
    rows = [
        row
        for path in sorted((project.path / "data/manifests/demo").glob("*.jsonl"))
        for row in read_manifest(path)
    ]
    story = Story(
        project=project,
        remote=remote,
        bucket=bucket,
        rows=[row for row in rows if row.speaker == SPEAKER],
        first={},
        codebook=(project.path / CODEBOOK).read_bytes(),
    )
    push = "dvc push -q -r folder && dvc push -q -r bucket"
    project.run(f"{push} && git checkout -q v1 && dvc checkout -q && {push}")
    story.first = files(project.path / "data")
    project.run("git checkout -q main && dvc checkout -q")
    story.before = story.objects()
    story.second = files(project.path / "data")
    said = story.said
    said["look"] = project.run(f"python -m featbank forget --speaker {SPEAKER} --keep v2")
    assert story.objects() == story.before
    (project.path / "killed.py").write_text(KILLED)
    forget = f"forget --speaker {SPEAKER} --yes"
    project.run(f"python killed.py planned {forget} --keep v2", status=137)
    story.with_twin = story.objects()
    said["killed"] = project.run(f"python killed.py deleting {forget} --keep v2", status=137)
    said["stopped"] = project.run(f"python -m featbank forget --speaker {SPEAKER}")
    said["done"] = project.run(f"python -m featbank {forget}")
    project.commit("Forget")
    return story


def test_a_look_says_what_goes_from_where_and_changes_nothing(story: Story) -> None:
    said = story.said["look"]
    assert "3 utterances" in said
    for place in ("cache", "remote folder", "remote bucket"):
        assert re.search(rf"shard\b.*\s{place}\s", said), place
    second = story.project.run("git rev-parse v2").strip()
    cut = said.split("can no longer be pulled whole:")[1].split("files of yours")[0]
    assert f"{second[:12]} main v2" in cut
    assert "v1" not in cut
    assert "corpora/demo/transcripts.tsv" in said.split("files of yours")[1]
    assert "kept: --refit fits it anew" in said
    assert "nothing is changed yet: --yes does it" in said


def test_a_killed_withdrawal_is_told_of_and_goes_on(story: Story) -> None:
    assert "is not through" in story.said["stopped"]
    assert "comes first; --yes goes on with it" in story.said["stopped"]
    assert "is not through" in story.said["done"]
    assert "done; the receipt is" in story.said["done"]
    assert not (story.project.path / ".featbank/withdrawal.json").exists()


def test_nothing_holds_a_name_or_digest_of_the_person_any_more(story: Story) -> None:
    folders = ("data", "reports", "conf", ".featbank", ".dvc", "withdrawals", "code")
    places: dict[str, dict[str, bytes]] = {
        name: files(story.project.path / name) for name in folders
    }
    places |= {"folder": files(story.remote), "bucket": story.versions()}
    places["lock"] = {"dvc.lock": (story.project.path / "dvc.lock").read_bytes()}
    found = {
        f"{place}/{name}": text
        for place, inside in places.items()
        for name, data in inside.items()
        for text in story.names
        if text in data
    }
    assert found == {}


def test_exactly_the_objects_that_held_the_person_are_deleted(story: Story) -> None:
    after = story.objects()
    for place, before in story.before.items():
        held = {
            digest for digest, data in before.items() if any(name in data for name in story.names)
        }
        assert held
        assert before.keys() - after[place].keys() == held, place


def test_a_twin_is_whole_before_anything_is_deleted(story: Story) -> None:
    assert "twin v2-redacted of v2" in story.said["look"]
    assert (
        "not in it, for they name the person (dvc repro makes them anew): rows.txt"
        in (story.said["look"])
    )
    assert "its twin v2-redacted is there" in story.said["killed"]
    assert "git push origin v2-redacted" in story.said["done"]
    for place, before in story.before.items():
        new = {name: data for name, data in story.with_twin[place].items() if name not in before}
        assert before.keys() <= story.with_twin[place].keys(), place
        assert new, place
        assert not [name for name, data in new.items() for one in story.names if one in data]


@pytest.mark.parametrize("remote", ["folder", "bucket"])
def test_a_twin_is_pulled_whole_without_the_person_and_others_are_as_they_were(
    story: Story, tmp_path: Path, remote: str
) -> None:
    story.project.run(f"git clone -q -b {TWIN} . {tmp_path / 'clone'}")
    clone = Project(tmp_path / "clone")
    clone.run(f"dvc remote add -f {remote} {_url(story, remote)}")
    clone.run(f"dvc pull -q -r {remote}")
    data = clone.path / "data"
    pulled = files(data)
    pinned = (clone.path / PINS).read_bytes()
    lock = (clone.path / "dvc.lock").read_bytes()
    texts = {**pulled, PINS: pinned, "dvc.lock": lock}
    assert not [name for name, text in texts.items() for one in story.names if one in text]
    for stores in ("features", "samples", "tokens"):
        assert verify(data / stores).damages == []
    kept = [name for name, text in pulled.items() if story.second.get(name) == text]
    assert len([name for name in kept if name.endswith(".h5")]) > 3
    assert (clone.path / CODEBOOK).read_bytes() == story.codebook
    theirs = {row.id for row in story.rows}
    for store in sorted(data.glob("*/demo/*/*/train")):
        place = store.relative_to(data)
        now, then = open_store(store), open_store(story.project.path / "data" / place)
        assert list(now) == list(then)
        assert not theirs & set(now.ids)
        assert all(np.array_equal(now[one], then[one]) for one in now)
    for path in sorted((data / "manifests/demo").glob("*.jsonl")):
        rows = story.second[f"manifests/demo/{path.name}"].splitlines()
        left = [row for row in rows if SPEAKER.encode() not in row]
        assert path.read_bytes().splitlines() == left
    assert not (clone.path / "rows.txt").exists()
    status = clone.run("dvc status")
    assert "up to date" in status, status


def test_the_receipt_names_the_twin(story: Story) -> None:
    receipt = _receipt(story)
    [twin] = receipt["twins"]
    assert (twin["tag"], twin["dropped"]) == (TWIN, ["rows.txt"])
    assert twin["commit"] == story.project.run(f"git rev-parse {TWIN}").strip()
    assert twin["of"] == story.project.run(f"git rev-parse {TWIN}^").strip()


def test_an_id_alone_goes_and_its_codebook_is_fitted_anew(made: Project, tmp_path: Path) -> None:
    project = made.copy(tmp_path / "project")
    rows = read_manifest(project.path / "data/manifests/demo/train.jsonl")
    one = next(row.id for row in rows if row.speaker == SPEAKER)
    others = {row.id for row in rows} - {one}
    codebook = (project.path / CODEBOOK).read_bytes()
    for typed, told in (
        ("--keep v1", "it stays whole, and needs no twin"),
        ("--keep v2=v1", "a free name for the twin"),
        ("--keep v2 --keep v2", "each once"),
    ):
        said = project.run(f"! python -m featbank forget {one} {typed}")
        assert told in said
    digest = hashlib.md5(codebook, usedforsecurity=False).hexdigest()
    lost = project.path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    lost.rename(tmp_path / "lost")
    said = project.run(f"! python -m featbank forget {one} --keep v2 --yes")
    assert f"1 that are in neither, the first {digest}" in said
    (tmp_path / "lost").rename(lost)
    project.run(f"python -m featbank forget {one} --refit --yes")
    assert {row.id for row in read_manifest(project.path / "data/manifests/demo/train.jsonl")} == (
        others
    )
    assert {
        one for store in (project.path / "data/tokens").rglob("train") for one in open_store(store)
    } == others
    assert (project.path / CODEBOOK).read_bytes() != codebook
    assert "up to date" in project.run("dvc status")
    [folder] = (project.path / "withdrawals").iterdir()
    receipt = json.loads((folder / "receipt.json").read_text("utf-8"))
    assert receipt["codebooks"] == {CODEBOOK: "fitted anew"}


def test_a_revision_that_never_held_the_person_is_pulled_byte_for_byte(
    story: Story, tmp_path: Path
) -> None:
    for name in ("folder", "bucket"):
        story.project.run(f"git clone -q -b v1 . {tmp_path / name}")
        clone = Project(tmp_path / name)
        clone.run(f"dvc remote add -f {name} {_url(story, name)}")
        clone.run(f"dvc pull -q -r {name}")
        assert files(clone.path / "data") == story.first


def _url(story: Story, name: str) -> str:
    return str(story.remote) if name == "folder" else f"{story.bucket.url}/dvc"


def test_the_workspace_is_whole_without_the_person_and_nothing_was_encoded_again(
    story: Story,
) -> None:
    project = story.project
    assert "0 utterances computed" in story.said["killed"]
    assert "up to date" in project.run("dvc status")
    stores = sorted((project.path / "data").glob("*/demo/*/*/train"))
    assert stores
    for store in stores:
        assert not {row.id for row in story.rows} & set(open_store(store).ids)
        assert len(open_store(store).ids) > 0
    assert (project.path / CODEBOOK).read_bytes() == story.codebook
    pins = (project.path / PINS).read_text("utf-8")
    assert "withdrawn since" in pins.splitlines()[0]


def test_who_was_forgotten_does_not_come_back(story: Story) -> None:
    assert "rows are of forgotten utterances and are left out" in story.said["killed"]
    project = story.project
    forgotten = read_forgotten(project.path / "conf/forgotten.json")
    assert all(forgotten.holds("demo", row) for row in story.rows)
    project.run("python stages/prepare.py corpus.name=again")
    again = project.path / "data/manifests/again"
    rows = [row for path in again.glob("*.jsonl") for row in read_manifest(path)]
    assert rows
    assert not {row.audio_digest for row in rows} & {row.audio_digest for row in story.rows}
    shutil.rmtree(again)


def test_the_receipt_says_what_went_and_what_was_not_reached(story: Story) -> None:
    receipt = _receipt(story)
    after = story.objects()
    for place, before in story.before.items():
        assert set(receipt["deleted"][place]) == before.keys() - after[place].keys()
    assert list(receipt["cut_revisions"].values()) == [["main", "v2"]]
    assert receipt["codebooks"] == {CODEBOOK: "kept as it was fitted"}
    unreached = [one["what"] for one in receipt["unreached"]]
    assert {"git", "clones", "workspace"} <= set(unreached)  # the table and the audio
    again = story.project.run(f"python -m featbank forget --speaker {SPEAKER} --yes")
    assert "nothing is left for this command to do" in again
    [page] = (story.project.path / "withdrawals").glob("*/receipt.html")
    assert "<h2>Not reached</h2>" in page.read_text("utf-8")


def _receipt(story: Story) -> dict[str, Any]:
    [path] = (story.project.path / "withdrawals").glob("*/receipt.json")
    receipt: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return receipt
