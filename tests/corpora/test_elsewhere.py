"""Corpora elsewhere: a bucket, a web server and SFTP give the bytes that a folder gives."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora import Corpus, FolderCorpus, TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import RemoteError, any_path, requests, spool
from tests.corpora.conftest import Recorder
from tests.extracting import SMALL_SHARDS, extract_corpus, files, prepare_corpus
from tests.servers import Bucket, sftp_server, web_server

TABLE = {"table": "transcripts.tsv"}
RULE = {"by": "hash", "shares": {"dev": 0.5}, "rest": "train", "seed": 0}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", (0.0,) * 20)
    yield
    spool.close_spool()
    requests.forget_clients()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of which bytes are read, as they are."""
    names: list[str] = []
    read = spool.read_remote

    def told(path: Any, *place: int) -> bytes:
        names.append(path.name)
        return read(path, *place)

    monkeypatch.setattr(spool, "read_remote", told)
    return names


@pytest.fixture
def small(tmp_path: Path, demo_corpus: Path) -> Path:
    """Some utterances of the demo corpus, in its form, with manifests beside them."""
    root = tmp_path / "small" / "demo"
    header, *rows = (demo_corpus / "transcripts.tsv").read_text().splitlines(keepends=True)
    for row in rows[::7]:
        path = Path(row.split("\t")[header.split("\t").index("path")])
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_corpus / path, root / path)
    (root / "transcripts.tsv").write_text("".join([header, *rows[::7]]))
    prepare_corpus(root)
    return root


@pytest.fixture
def some(root: Path, record: Recorder) -> Path:
    """A corpus of four short files in two folders."""
    for name in ("anna/1.wav", "anna/2.wav", "otto/1.wav", "otto/2.wav"):
        record(name)
    return root


def prepared(
    root: str | Path, out: Path, layout: type[Corpus] = FolderCorpus, **arguments: Any
) -> Mapping[str, bytes]:
    """Prepare a corpus, in two threads, and return the manifests."""
    if layout is FolderCorpus:
        arguments = {"folders": ["speaker"], "split_rule": RULE, **arguments}
    max_failures = arguments.pop("max_failures", 0)
    corpus = layout(name="demo", root=root, license="free", **arguments)
    out.mkdir(exist_ok=True)
    prepare(
        corpus,
        out / "manifests",
        failures_path=out / "failures.jsonl",
        num_workers=2,
        max_failures=max_failures,
    )
    return files(out / "manifests")


def test_a_table_in_a_bucket_gives_the_manifests_and_features_of_the_folder(
    bucket: Bucket, small: Path, tmp_path: Path
) -> None:
    bucket.put_folder(small, "a/demo")
    elsewhere = f"{bucket.url}/a/demo"
    out = tmp_path / "out"
    assert prepared(elsewhere, out, TableCorpus, **TABLE) == files(small.parent / "manifests")
    expected = tmp_path / "expected"
    extract_corpus(small, expected, num_workers=None, storage=SMALL_SHARDS)
    shutil.rmtree(small)
    changes = {"manifests": out / "manifests", "work": out / "work", "storage": SMALL_SHARDS}
    extract_corpus(any_path(elsewhere), out / "features", num_workers=None, **changes)
    assert files(out / "features") == files(expected)


def test_a_folder_in_a_bucket_over_http_and_over_ssh_gives_the_manifests_of_the_folder(
    bucket: Bucket, some: Path, tmp_path: Path
) -> None:
    expected = prepared(some, tmp_path / "here")
    bucket.put_folder(some, "some")
    bucket.put("some/", b"")  # as consoles leave for a folder
    assert prepared(f"{bucket.url}/some", tmp_path / "s3") == expected
    with web_server(some.parent) as server, sftp_server(some.parent) as ssh:
        assert prepared(f"{server.url}/corpus", tmp_path / "http") == expected
        assert prepared(f"{ssh}/corpus", tmp_path / "ssh") == expected


def test_a_table_is_read_over_http_where_no_folder_is_listed_and_the_server_is_busy(
    small: Path, tmp_path: Path
) -> None:
    with web_server(small) as server:
        server.lists = False
        server.faults += ["busy", "cut", "short"] * 3
        found = prepared(server.url, tmp_path / "http", TableCorpus, **TABLE)
    assert found == files(small.parent / "manifests")


def test_what_is_known_is_not_fetched_again_and_what_changed_is(
    bucket: Bucket, some: Path, tmp_path: Path, fetched: list[str], record: Recorder
) -> None:
    bucket.put_folder(some, "some")
    once = prepared(f"{bucket.url}/some", tmp_path)
    assert sorted(fetched) == ["1.wav", "1.wav", "2.wav", "2.wav"]
    fetched.clear()
    spool.close_spool()
    assert prepared(f"{bucket.url}/some", tmp_path) == once
    assert fetched == []
    bucket.put("some/otto/2.wav", record("other.wav").read_bytes())
    assert prepared(f"{bucket.url}/some", tmp_path) != once
    assert fetched == ["2.wav"]


def test_a_run_that_the_network_ended_goes_on_where_it_was(some: Path, tmp_path: Path) -> None:
    with web_server(some) as server:
        server.faults += [""] * 2 + ["busy"] * 100
        with pytest.raises(RemoteError):
            prepared(server.url, tmp_path)
        assert not (tmp_path / "manifests").exists()
        server.faults.clear()
        before = len(server.fetched)
        assert prepared(server.url, tmp_path) == prepared(some, tmp_path / "here")
        assert before > 0
        assert len(server.fetched) == 4


def test_an_object_that_is_missing_fails_alone(bucket: Bucket, small: Path, tmp_path: Path) -> None:
    bucket.put_folder(small, "demo")
    bucket.remove("demo/june_fr/vm-newpassword.flac")
    found = prepared(f"{bucket.url}/demo", tmp_path / "out", TableCorpus, max_failures=1, **TABLE)
    (failure,) = found["failures.jsonl"].splitlines()
    assert b'"kind":"missing"' in failure
    assert b'"audio":"june_fr/vm-newpassword.flac"' in failure
    assert b"s3:" not in failure


def test_a_bucket_that_is_not_there_or_holds_nothing_is_told(
    bucket: Bucket, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=f"{bucket.url}/none.*expected utterances, got none"):
        prepared(f"{bucket.url}/none", tmp_path)
    with pytest.raises(CorpusError, match=r"transcripts\.tsv in s3://nobody"):
        prepared("s3://nobodys-bucket/demo", tmp_path, TableCorpus, **TABLE)


def test_labels_that_need_this_machine_say_so() -> None:
    some = {"name": "demo", "license": "free"}
    with pytest.raises(ConfigError, match=r"corpus\.labels"):
        FolderCorpus(root="s3://bucket/x", labels="phones.jsonl", **some)
    with pytest.raises(ConfigError, match="a URL of s3, gs"):
        FolderCorpus(root="ftp://host/x", **some)


@pytest.mark.parametrize(
    ("package", "scheme", "extra"), [("gcsfs", "gs", "gs"), ("aiohttp", "https", "http")]
)
def test_a_package_that_is_not_installed_is_named_with_the_extra_that_has_it(
    package: str, scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf'expected {package}, .*"featbank\[{extra}\]"$'):
        FolderCorpus(root=f"{scheme}://bucket/x", name="demo", license="free")
