"""Two git revisions are compared with no checkout; the commands of docs/versions.md run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo

from featbank.cli import main
from featbank.errors import StoreError
from featbank.pipeline.comparing_revisions import compare_revisions
from featbank.pipeline.dvc_remote import file_md5
from featbank.store import read_header
from featbank.tokenizers.codebook_file import write_codebook
from tests.comparison.versions import floats, write
from tests.conftest import ROOT

# of a library that DVC adds with
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")

Capture = pytest.CaptureFixture[str]

PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
MARK = "<!-- run by tests/pipeline/test_revisions.py -->"
BLOCKS = re.findall(re.escape(MARK) + r"\n```sh\n(.*?)```", PAGE, re.DOTALL)

FBANK, OTHER = Path("data/features/demo/fbank"), Path("data/features/demo/other")
CODEBOOK, MANIFEST = Path("data/codebooks/demo/x.safetensors"), Path("data/manifests/demo")
IN_GIT = "stages: {code: {cmd: make it, outs: [code: {cache: false}]}}\n"


def _git(*arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *author, *arguments], check=True)


def _track() -> None:
    with Repo() as repo:
        repo.add([str(path) for path in (FBANK, OTHER, CODEBOOK, MANIFEST)])
        repo.commit("code", force=True)
    _git("add", ".")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the branches `main` and `mine`, all of it in the cache and in a remote."""
    place = tmp_path_factory.mktemp("revisions")
    folder = place / "project"
    folder.mkdir()
    rows = floats(200)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _git("init", "-q", "-b", "main")
        Repo.init().close()
        with Repo() as repo, repo.config.edit() as config:
            config["core"]["remote"] = "storage"
            config["remote"] = {"storage": {"url": str(place / "remote")}}
        for feature in (FBANK, OTHER):
            write(feature / feature.name / "train", rows)
        centroids = np.zeros((4, 3), np.float32)
        CODEBOOK.parent.mkdir(parents=True)
        write_codebook(CODEBOOK, centroids, {})
        MANIFEST.mkdir(parents=True)
        (MANIFEST / "train.jsonl").write_text("1\n")
        Path("dvc.yaml").write_text(IN_GIT)
        Path("code").mkdir()
        Path("code", "digest").write_text("1\n")
        _track()
        _git("commit", "-qm", "main")
        _git("checkout", "-qb", "mine")
        shutil.copytree(FBANK, Path("earlier/fbank"))  # as it was
        grown = floats(3, seed=1, prefix="u0050-")
        grown |= rows | {"u0100": replace(rows["u0100"], values=rows["u0100"].values + 0.5)}
        shutil.rmtree(FBANK)
        write(FBANK / FBANK.name / "train", grown)
        CODEBOOK.unlink()
        write_codebook(CODEBOOK, centroids + 1, {})
        (MANIFEST / "train.jsonl").unlink()
        (MANIFEST / "train.jsonl").write_text("2\n")
        Path("code", "digest").write_text("2\n")
        _track()
        _git("commit", "-qm", "mine")
        with Repo() as repo:
            repo.push(all_branches=True)
    return place


def _object_of(utterance_id: str, part: str, store: Path) -> str:
    """Return the name of the object that holds an utterance, below a cache or a remote."""
    [info] = [
        info
        for info in read_header(store).shards
        if info.part == part and info.first_id <= utterance_id <= info.last_id
    ]
    digest = file_md5(store / info.name)
    return f"files/md5/{digest[:2]}/{digest[2:]}"


def test_what_the_cache_has_is_compared_in_place(project: Path) -> None:
    shutil.rmtree(project.parent / "remote")
    shutil.rmtree(project / "data")  # no checkout is needed, nor made
    found = compare_revisions("main", "mine")
    assert not (project / "data").exists()
    assert not found.all_problems
    assert found.same == (OTHER.as_posix(),)
    assert found.others == ("code", MANIFEST.as_posix())
    [store] = found.stores
    assert store.path == (FBANK / "fbank" / "train").as_posix()
    assert (store.rows.unchanged, store.rows.by_values, store.rows.added) == (199, 1, 3)
    assert store.values is not None
    assert store.values.max_abs == pytest.approx(0.5)
    assert store.num_shards_read < store.num_shards / 2
    [codebook] = found.codebooks
    assert (codebook.path, codebook.num_other) == (CODEBOOK.as_posix(), 4)
    below = compare_revisions("main", "mine", path="data/features/demo/fbank/fbank/train")
    assert below.stores == found.stores
    assert not below.others


def test_what_the_cache_lacks_is_read_in_the_remote(project: Path) -> None:
    here = compare_revisions("main", "mine", path="data/features")
    shutil.rmtree(project / ".dvc" / "cache")
    assert compare_revisions("main", "mine", path="data/features") == here
    assert compare_revisions("main", "mine", path="data/features", remote="storage") == here
    assert not (project / ".dvc" / "cache" / "files").exists()


def test_an_object_that_is_nowhere_is_named_and_the_rest_is_compared(project: Path) -> None:
    lost = _object_of("u0100", "a", FBANK / "fbank" / "train")
    for place in (project / ".dvc" / "cache", project.parent / "remote"):
        (place / lost).unlink()
    found = compare_revisions("main", "mine", path="data/features")
    [problem] = found.all_problems
    assert "mine:data/features/demo/fbank/fbank/train" in problem
    [one] = found.stores
    assert one.rows.added == 3
    assert one.rows.unread_before == one.rows.unread_after > 0
    assert one.rows.unchanged == 200 - one.rows.unread_before
    with Repo() as repo, repo.config.edit() as config:
        del config["core"]["remote"]
    [problem] = compare_revisions("main", "mine", path="data/features").all_problems
    assert "expected it in DVC's cache, or a remote that has it" in problem
    assert "dvc pull" in problem


@pytest.mark.usefixtures("project")
def test_with_one_revision_the_other_is_what_dvc_says_now() -> None:
    assert compare_revisions("mine", None, path="data/features").is_same
    shutil.rmtree(OTHER)
    write(OTHER / "other" / "train", floats(7))
    with Repo() as repo:
        repo.add(str(OTHER))
    found = compare_revisions("mine", None, path="data/features")
    assert [one.rows.removed for one in found.stores] == [193]


@pytest.mark.usefixtures("project")
def test_what_dvc_or_git_does_not_know_is_named() -> None:
    with pytest.raises(StoreError, match=r"revision v9: .*commit, tag or branch"):
        compare_revisions("main", "v9")
    with pytest.raises(StoreError, match="data/nothing in main and mine"):
        compare_revisions("main", "mine", path="data/nothing")


@pytest.mark.usefixtures("on_terminal")
def test_the_commands_of_the_docs_run(project: Path, capsys: Capture) -> None:
    [block] = BLOCKS
    said = []
    for line in block.splitlines():
        arguments = shlex.split(line.removeprefix("featbank "))
        assert main(arguments) == 1, line
        said.append(capsys.readouterr().out)
    tables, _, now, folders = said
    assert "different: 1 store, 1 codebook, 2 other outputs; the same: 1" in tables
    assert [one["rows"]["added"] for one in json.loads(now)["stores"]] == [3]
    assert "u0050-0002" in folders
    page = (project / "changed.html").read_text(encoding="utf-8")
    for text in ("From main to mine", "other values alone", "u0050-0001", "data/features/demo"):
        assert text in page


@pytest.mark.usefixtures("project")
def test_a_mistake_is_one_line_and_trouble(capsys: Capture) -> None:
    for arguments, said in (
        (["nowhere", "mine"], "revision nowhere: expected a commit"),
        (["main.."], "expected two, such as main..mine"),
        (["main", "data"], "expected two folders or URLs, or git revisions alone"),
        (["data"], "got one folder"),
        (["data", "earlier", "--path", "x"], "--path and --remote: expected git revisions"),
        (["data/features/demo/fbank/fbank/train", "data"], "got one of each"),
        ([".dvc", "data"], "expected a store, or stores below it"),
    ):
        assert main(["diff", *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["diff", "data", "data"]) == 0
    assert "nothing differs" in capsys.readouterr().err  # a note: in a pipe there is data alone
