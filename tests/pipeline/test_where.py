"""Everything that holds a person is found, in each place, and nothing else: grep agrees."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import traceback
from collections.abc import Iterable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo

from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.cli import main
from featbank.engine.work import WorkFolder
from featbank.errors import ConfigError
from featbank.export.exporting import export_stores
from featbank.pipeline.holders import Holding, Holdings, Sought, find_holdings
from featbank.store import StoreWriter
from tests.extracting import SMALL_SHARDS, extract_corpus, prepare_corpus
from tests.pipeline.conftest import Project
from tests.servers import Bucket

# of a library that DVC adds with
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")

PERSON = Sought(speakers=frozenset(["june_fr"]))
_PIPELINE = """
stages:
  sample:
    cmd: cp -r data/features/fbank/train data/sample
    deps: [data/features]
    outs: [data/sample]
  fit:
    cmd: sha256sum data/sample/*.h5 > codebook.safetensors
    deps: [data/sample]
    outs: [codebook.safetensors]
"""


@dataclass(frozen=True)
class Team:
    """A project whose first revision has a person, and whose second has them no more.

    Args:
        project: its folder.
        ids: of the person.
        only_remote, only_cache: objects with the person that one of the two alone has.
        stray: an object with the person that no revision names; in the cache and the remote.
    """

    project: Path
    ids: frozenset[str]
    only_remote: str
    only_cache: str
    stray: str

    @property
    def remote(self) -> Path:
        return self.project.parent / "remote" / "files" / "md5"

    @property
    def cache(self) -> Path:
        return self.project / ".dvc" / "cache" / "files" / "md5"


@pytest.fixture(scope="module")
def team(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Team:
    project = tmp_path_factory.mktemp("where") / "project"
    corpus = Path(shutil.copytree(demo_corpus, project / "corpora" / "demo"))
    with chdir(project):
        _git("init", "-q", "-b", "main")
        Repo.init().close()
        with Repo() as repo, repo.config.edit() as config:
            config["core"]["remote"] = "storage"
            config["remote"] = {"storage": {"url": str(project.parent / "remote")}}
        (project / "dvc.yaml").write_text(_PIPELINE)
        _make(corpus)
        rows = [
            row for path in Path("data/manifests").glob("*.jsonl") for row in read_manifest(path)
        ]
        ids = frozenset(row.id for row in rows if row.speaker == "june_fr")
        _die_before_publishing(corpus)
        export_stores("nanogpt", "data/tokens", "exports/lm", show=False)
        _commit("v1")

        _write_tokens(Path("stray"), [min(ids)])
        [stray] = _pushed("stray")
        shutil.rmtree("stray")
        Path("stray.dvc").unlink()

        shutil.rmtree(corpus / "june_fr")
        table = corpus / "transcripts.tsv"
        kept = [one for one in table.read_text().splitlines() if "june_fr" not in one]
        table.write_text("\n".join(kept) + "\n")
        (corpus / "phones.jsonl").unlink()
        _make(corpus)
        _commit("v2")
    made = Team(project, ids, "", "", stray)
    first, second = sorted(_named(made.cache, ids) - {stray})[:2]
    _object(made.cache, first).unlink()
    _object(made.remote, second).unlink()
    return Team(project, ids, first, second, stray)


def _git(*arguments: str, at: Path | str = ".") -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *author, *arguments], cwd=at, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode(errors="replace")


def _make(corpus: Path) -> None:
    """Compute what a revision has."""
    shutil.rmtree("data", ignore_errors=True)
    Path("data").mkdir()
    shutil.rmtree(corpus.parent / "manifests", ignore_errors=True)
    prepare_corpus(corpus)
    (corpus.parent / "prepare.jsonl").unlink(missing_ok=True)
    extract_corpus(
        corpus, Path("data/features"), storage=SMALL_SHARDS, work=Path(".featbank/work/extract")
    )
    (corpus.parent / "manifests").rename("data/manifests")
    _write_tokens(Path("data/tokens/all"), sorted(row.id for row in _rows()))


def _rows() -> list[Utterance]:
    return [row for path in Path("data/manifests").glob("*.jsonl") for row in read_manifest(path)]


def _write_tokens(path: Path, ids: Iterable[str]) -> None:
    with StoreWriter(path, name="units", codebook_size=9, compression="zstd") as writer:
        for number, utterance_id in enumerate(ids):
            writer.write(utterance_id, np.arange(number % 5 + 2) % 9)


def _pushed(*outs: str) -> list[str]:
    """Have DVC add outputs and push them; return the objects of their shards."""
    with Repo() as repo:
        stages = repo.add(list(outs))
        repo.push()
        trees = [stage.outs[0].get_obj() for stage in stages]
    return [one.value for tree in trees for key, _, one in tree if key[-1].endswith(".h5")]


def _commit(tag: str) -> None:
    _pushed("data/manifests", "data/features", "data/tokens")
    with Repo() as repo:
        repo.reproduce()
        repo.push()
    _git("add", "-A", ".", ":!exports")
    _git("commit", "-qm", tag)
    _git("tag", tag)


def _die_before_publishing(corpus: Path) -> None:
    """Leave the work folder of an extraction that is killed as it has computed everything."""
    manifests = Path("data/manifests")
    child = os.fork()
    if not child:
        try:
            WorkFolder.finish = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
            extract_corpus(
                corpus, Path("killed"), manifests=manifests, storage=SMALL_SHARDS,
                work=Path(".featbank/work/killed"),
            )  # fmt: skip
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    shutil.rmtree("killed", ignore_errors=True)


def _object(folder: Path, digest: str) -> Path:
    return folder / digest[:2] / digest[2:]


def _names(data: bytes, ids: Iterable[str]) -> bool:
    return any(one.encode() in data for one in ids)


def _named(folder: Path, ids: Iterable[str]) -> set[str]:
    """Return the objects of a cache or a remote that grep finds ids in."""
    return {
        path.parent.name + path.name
        for path in folder.rglob("*")
        if path.is_file() and _names(path.read_bytes(), ids)
    }


def _in(holdings: Holdings, place: str) -> Iterator[Holding]:
    return (one for one in holdings.found if one.place == place)


def _of_ids(holdings: Holdings, place: str) -> set[str]:
    return {one.digest for one in _in(holdings, place) if one.ids and one.kind != "audio"}


@pytest.fixture(scope="module")
def found(team: Team) -> Holdings:
    with chdir(team.project):
        return find_holdings(PERSON)


def test_each_place_holds_what_grep_finds_in_it(team: Team, found: Holdings) -> None:
    assert set(found.ids) == team.ids
    for place, folder in (("cache", team.cache), ("remote storage", team.remote)):
        assert _of_ids(found, place) == _named(folder, team.ids)
    here = [path for path in team.project.rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(team.project).as_posix()
        for path in here
        if not {".git", "cache", "tmp"} & set(path.relative_to(team.project).parts)
        and _names(path.read_bytes(), team.ids)
    }
    places = ("workspace", "work", "export")
    assert {one.path for place in places for one in _in(found, place) if one.ids} == wanted
    listed = [_git("ls-tree", "-r", tag, at=team.project).splitlines() for tag in ("v1", "v2")]
    names = {line.split()[2] for lines in listed for line in lines}
    blobs = {name: _git("cat-file", "blob", name, at=team.project) for name in names}
    wanted = {name for name, text in blobs.items() if any(one in text for one in team.ids)}
    assert _of_ids(found, "git") == wanted
    audio = {one.path for one in _in(found, "git") if one.kind == "audio"}
    assert audio == {f"corpora/demo/{one}.flac" for one in team.ids}


def test_revisions_are_those_whose_outputs_name_the_object(team: Team, found: Holdings) -> None:
    first, second = _git("rev-parse", "v1", "v2", at=team.project).split()
    assert (found.names[first], set(found.names[second])) == (("v1",), {"main", "v2"})
    objects = [one for one in found.found if one.digest and one.place != "git"]
    assert {one.revisions for one in objects if one.output} == {(first,)}
    unnamed = {one.digest: one.place for one in objects if not one.output}
    assert team.stray in unnamed
    shards = [one for one in _in(found, "cache") if one.kind == "shard"]
    for output in ("data/features", "data/tokens"):
        rows = {(one.file, one.num_rows) for one in shards if one.output == output}
        assert sum(count for _, count in rows) >= len(team.ids) - 2
    assert {one.kind for one in objects if one.output == "data/sample"} >= {"sample", "listing"}
    assert {one.kind for one in objects if one.output == "data/manifests"} >= {"manifest"}


def test_a_cache_and_its_remote_may_differ(team: Team, found: Holdings) -> None:
    places = {
        digest: {one.place for one in found.found if one.digest == digest}
        for digest in (team.only_remote, team.only_cache, team.stray)
    }
    assert places == {
        team.only_remote: {"remote storage"},
        team.only_cache: {"cache"},
        team.stray: {"cache", "remote storage"},
    }


def test_what_was_made_of_a_person_is_found_though_it_has_no_id(
    team: Team, found: Holdings
) -> None:
    first = _git("rev-parse", "v1", at=team.project).strip()
    fitted = {(one.place, one.output, one.revisions) for one in found.found if one.why == "fitted"}
    codebook = "codebook.safetensors"  # of v2, in the workspace, knows nothing of them
    assert fitted == {(place, codebook, (first,)) for place in ("cache", "remote storage")}
    [export] = [one for one in _in(found, "export") if one.why == "made"]
    assert export.path == "exports/lm"
    held = {one.file for one in _in(found, "cache") if one.output == "data/features"}
    headers = {one.file for one in _in(found, "cache") if one.kind == "header"}
    assert {
        str(Path(file).parent / "header.json") for file in held if file.endswith("h5")
    } <= headers
    listings = {one.digest for one in found.found if one.kind == "listing"}
    assert all(_object(team.cache, digest).is_file() for digest in listings)


def test_what_a_killed_run_left_is_found(team: Team, found: Holdings) -> None:
    shards = [one for one in _in(found, "work") if one.kind == "shard"]
    assert shards
    assert {one for shard in shards for one in shard.ids} == team.ids
    assert sum(one.num_rows for one in shards) == len(team.ids)


def test_a_bucket_is_read_by_ranges_and_holds_what_the_folder_does(
    team: Team, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(team.project, tmp_path / "project", symlinks=True))
    bucket.put_folder(team.remote.parents[1], "where")
    monkeypatch.chdir(project)
    shutil.rmtree(".dvc/cache")
    with Repo() as repo, repo.config.edit() as config:
        config["remote"]["cloud"] = {"url": f"{bucket.url}/where"}
        config["remote"]["down"] = {"url": "s3://no-such-bucket/x"}
        config["remote"]["gone"] = {"url": str(tmp_path / "nowhere")}
        config["remote"]["web"] = {"url": "http://127.0.0.1:9/x"}
    # the manifest that names the speaker may be what the remote lacks
    found = find_holdings(Sought(ids=team.ids))
    assert _of_ids(found, "remote cloud") == _of_ids(found, "remote storage")
    assert _of_ids(found, "remote cloud") == _named(team.remote, team.ids)
    assert not list(_in(found, "cache"))
    unreached = {one.place for one in found.unreached}
    assert {"remote down", "remote gone", "remote web", "clones"} <= unreached
    assert "remote cloud" not in unreached


def test_an_object_that_cannot_be_read_is_told_and_ends_nothing(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Path(shutil.copytree(team.project, tmp_path / "project", symlinks=True))
    monkeypatch.chdir(project)
    data = b"\x89HDF\r\n\x1a\n" + bytes(100)
    damaged = hashlib.md5(data, usedforsecurity=False).hexdigest()
    path = _object(project / ".dvc" / "cache" / "files" / "md5", damaged)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    torn = project / "torn.jsonl"
    torn.write_text(f'{{"audio":"x.flac","id":"{min(team.ids)}"}}\n{{"audio":"x')
    found = find_holdings(PERSON, remotes=False)
    why = {one.place: one.why for one in found.unreached}
    assert damaged[2:] in why["cache"]
    assert "torn.jsonl" in why["workspace"]
    [text] = [one for one in _in(found, "workspace") if one.path == torn.name]
    assert (text.kind, text.ids) == ("text", (min(team.ids),))
    assert why["remote storage"] == "it was left out"
    assert team.stray in _of_ids(found, "cache")


def test_a_prefix_and_ids_find_the_same_rows_as_their_speaker(
    team: Team, found: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(team.project)
    by_ids = find_holdings(Sought(ids=team.ids))
    by_prefix = find_holdings(Sought(prefixes=("june_fr/",)))
    assert by_ids.ids == by_prefix.ids == found.ids
    rows = [one for one in found.found if one.num_rows]
    assert rows == [one for one in by_ids.found if one.num_rows]
    assert rows == [one for one in by_prefix.found if one.num_rows]
    nobody = find_holdings(Sought(speakers=frozenset(["nobody"])))
    assert (nobody.ids, nobody.found) == ((), ())


@pytest.mark.usefixtures("on_terminal")
def test_the_command_says_it_by_place(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(team.project)
    assert main(["where", "--speaker", "june_fr"]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.endswith(":")] == [
        "workspace:", "work:", "cache:", "remote storage:", "export:", "git:", "not reached:"
    ]  # fmt: skip
    assert "fitted on them: codebook.safetensors" in said
    assert "named by no revision" in said
    assert main(["where", "--speaker", "june_fr", "--json", "--no-remotes"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["ids"]) == team.ids
    assert main(["where", "nobody"]) == 0
    said = capsys.readouterr().out
    assert "nothing that was scanned holds them" in said
    assert "did you mean" not in said


def test_a_mistyped_speaker_is_answered_by_those_of_the_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    (tmp_path / "data/manifests/folder").mkdir(parents=True)
    row = Utterance(
        id="a", audio="a.wav", audio_digest="md5:0", sample_rate=8000, num_samples=1,
        speaker="june_fr",
    )  # fmt: skip
    write_manifest(tmp_path / "data/manifests/folder/train.jsonl", [row])
    monkeypatch.chdir(tmp_path)
    assert main(["where", "--speaker", "june", "--no-remotes"]) == 0
    assert capsys.readouterr().err.endswith("did you mean --speaker june_fr?\n")


def test_mistakes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--speaker", ""]):
        with pytest.raises(SystemExit):
            main(["where", *arguments])
        assert "whom?" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="a project of DVC"):
        find_holdings(PERSON)
    with pytest.raises(ConfigError, match="expected a folder"):
        find_holdings(PERSON, exports=[tmp_path / "nowhere"])


def test_what_the_pipeline_makes_of_a_person_is_found(own_reproduced: Project) -> None:
    document = json.loads(own_reproduced.run("python -m featbank where --speaker june_fr --json"))
    cached = {(one["kind"], one["output"]) for one in document["found"] if one["place"] == "cache"}
    assert cached >= {
        ("codebook", "data/codebooks/demo/mfcc-kmeans100.safetensors"),
        ("manifest", "data/manifests/demo"),
        ("report", "reports/demo/report.html"),
        ("sample", "data/samples/demo/mfcc/demo"),
        ("shard", "data/features/demo/fbank"),
        ("shard", "data/tokens/demo/mfcc-kmeans100"),
    }
    here = {(one["kind"], one["path"]) for one in document["found"] if one["place"] == "workspace"}
    assert ("pins", "conf/sample/demo/demo.txt") in here
    assert ("check", "data/checks/demo/features/mfcc.json") in here
    assert {one["kind"] for one in document["found"] if one["place"] == "git"} >= {"audio", "pins"}
