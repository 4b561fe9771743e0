"""What DVC has of outputs: one that it removed is found again, and no work is dropped too early."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from featbank.engine.work import WorkFolder, drop_published
from featbank.errors import FeatbankError
from featbank.files.provenance import canonical_json, digest
from featbank.pipeline import dvc_outputs
from featbank.pipeline.dvc_outputs import (
    DvcPlace,
    cache_folders,
    drop_damaged,
    dvc_project,
    find_outputs,
)
from featbank.pipeline.dvc_previous import previous_output
from featbank.store.format import SPLITS_FORMAT, SPLITS_VERSION
from tests.extracting import files

OUT = Path("data/features/demo/fbank")
SPLITS = ("train-clean-100", "valid", "test-other")
STATED = {
    "format": SPLITS_FORMAT,
    "format_version": SPLITS_VERSION,
    "splits": dict.fromkeys(SPLITS, "0" * 64),
}
HEADERS = {f"fbank/{split}/header.json": f"{{{split}}}".encode() for split in SPLITS}
CONTENT = {
    **HEADERS,
    "fbank/splits.json": canonical_json({**STATED, "digest": digest(STATED)}).encode(),
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC whose lock names an output that only the cache holds."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    _lock([{"relpath": path, "md5": _cache(data)} for path, data in CONTENT.items()])
    return tmp_path


def _cache(data: bytes, suffix: str = "") -> str:
    digest = md5(data, usedforsecurity=False).hexdigest() + suffix
    path = Path(".dvc/cache/files/md5", digest[:2], digest[2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def _lock(listed: Any) -> None:
    digest = _cache(json.dumps(listed).encode(), ".dir")
    out = {"path": OUT.as_posix(), "hash": "md5", "md5": digest}
    stages = {"extract@demo-fbank": {"cmd": "true", "outs": [out]}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def _given(*, fetch: bool = False) -> Mapping[str, bytes] | None:
    with previous_output(OUT, Path("work"), fetch=fetch) as folders:
        found = {name: data for folder in folders for name, data in files(folder).items()}
    assert not list(Path("work").glob("*"))
    return found or None


def test_an_output_that_is_gone_is_given() -> None:
    assert _given() == CONTENT


def test_an_output_that_only_a_remote_has_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(".dvc/cache")
    lacks = f"{OUT}: DVC's cache lacks any of what it was, so these are computed, "
    assert _given() is None
    assert lacks + "and no remote has them" in caplog.text
    caplog.clear()
    _set_remote("s3://nobody/asks")
    assert _given() is None
    assert (
        lacks + "but a remote may have them: stop, and run it again with fetch=true" in caplog.text
    )
    caplog.clear()
    Path("dvc.lock").unlink()
    assert (_given(), caplog.text) == (None, "")


def test_of_an_output_that_was_pulled_in_part_the_rest_is_told_and_fetched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(".dvc/cache/files", tmp_path / "pushed" / "files")
    _set_remote(str(tmp_path / "pushed"))
    stage = {"cmd": "true", "outs": [OUT.as_posix()]}
    stages = {"extract": {"foreach": ["demo-fbank"], "do": stage}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    lost = next(iter(HEADERS))
    digest = md5(HEADERS[lost], usedforsecurity=False).hexdigest()
    Path(".dvc/cache/files/md5", digest[:2], digest[2:]).unlink()
    some = {name: data for name, data in CONTENT.items() if name != lost}
    assert _given() == some
    assert (
        f"{OUT}: DVC's cache lacks 1 of the {len(CONTENT)} files of what it was, so these are "
        "computed, but the remote has them: stop, and run it again with fetch=true" in caplog.text
    )
    caplog.clear()
    assert _given(fetch=True) == CONTENT
    assert "lacks" not in caplog.text
    shutil.rmtree(".dvc/cache/files")
    assert _given(fetch=True) == CONTENT
    shutil.rmtree(".dvc/cache/files")
    shutil.rmtree(tmp_path / "pushed")
    assert _given(fetch=True) is None
    assert "lacks any of what it was, so these are computed, and no remote has them" in caplog.text


def test_an_output_is_in_the_cache_or_a_remote_or_nowhere(tmp_path: Path) -> None:
    store, unknown = OUT / "fbank", Path("data/features/demo/mfcc")
    assert find_outputs([store, unknown]) == [DvcPlace.CACHE, DvcPlace.NOWHERE]
    shutil.move(".dvc/cache/files", tmp_path / "pushed" / "files")
    assert find_outputs([OUT]) == [DvcPlace.NOWHERE]
    _set_remote(str(tmp_path / "pushed"))
    assert find_outputs([store, unknown]) == [DvcPlace.REMOTE, DvcPlace.NOWHERE]
    _set_remote(str(tmp_path / "empty"))
    assert find_outputs([store]) == [DvcPlace.NOWHERE]
    _set_remote("s3://nobody/asks")  # nor is what would ask installed
    assert find_outputs([store, unknown]) == [DvcPlace.UNASKED, DvcPlace.NOWHERE]


def _set_remote(url: str) -> None:
    with Repo() as repo, repo.config.edit() as config:
        config["remote"] = {"storage": {"url": url}}
        config["core"]["remote"] = "storage"


def test_an_output_that_is_there_is_not_given_twice() -> None:
    for path, data in CONTENT.items():
        (OUT / path).parent.mkdir(parents=True, exist_ok=True)
        (OUT / path).write_bytes(data)
    assert _given() is None
    (OUT / "fbank/valid/header.json").unlink()  # which is stated
    assert _given() == CONTENT


@pytest.mark.parametrize("left", ["", "fbank", "fbank/.valid.partial", "fbank/valid"])
def test_what_a_stopped_run_left_of_the_output_does_not_hide_it(left: str) -> None:
    (OUT / left).mkdir(parents=True)
    if left == "fbank/valid":  # killed between the stores of two splits
        (OUT / left / "header.json").write_bytes(b"{}")
    assert _given() == CONTENT


def test_a_file_system_without_links_gives_nothing_and_ends_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(path: Path, _: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert _given() is None


def test_a_second_run_does_not_take_the_links_of_the_first_away() -> None:
    with previous_output(OUT, Path("work")) as first:
        with previous_output(OUT, Path("work")) as second:
            assert second != first
        assert [files(folder) for folder in first] == [CONTENT]


@pytest.mark.parametrize("kept", [0, 2])
def test_what_the_cache_lacks_is_not_given(kept: int) -> None:
    some = dict(list(CONTENT.items())[:kept])
    shutil.rmtree(".dvc/cache/files")
    listed = [{"relpath": path, "md5": _cache(data)} for path, data in some.items()]
    _lock([*listed, {"relpath": "fbank/test/header.json", "md5": "0" * 32}])
    assert _given() == (some or None)


@pytest.mark.parametrize(
    "listed",
    [
        [],
        {},
        ["fbank/train/header.json"],
        [{"relpath": "fbank/train/header.json"}],
        [{"relpath": 3, "md5": "0" * 32}],
        [{"relpath": "../outside", "md5": md5(b"{train}", usedforsecurity=False).hexdigest()}],
        [{"relpath": "/outside", "md5": md5(b"{train}", usedforsecurity=False).hexdigest()}],
        [{"relpath": "fbank/train/header.json", "md5": "../../../../dvc.lock"}],
    ],
)
def test_a_folder_object_that_is_none_gives_nothing_and_ends_no_run(
    listed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _lock(listed)
    with caplog.at_level(logging.WARNING):
        assert _given() is None
    assert not Path("outside").exists()
    assert (listed != []) == ("is of no use to find the previous output" in caplog.text)


@pytest.mark.parametrize(
    "text", ["{", "[]", "stages: 3", "stages: {extract: {outs: [{}]}}", "\xff"]
)
def test_a_damaged_lock_gives_nothing_and_ends_no_run(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path("dvc.lock").write_bytes(text.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert _given() is None
    assert "dvc.lock is of no use" in caplog.text


def _published() -> Path:
    """Return a work folder whose stores are published and not in DVC's cache."""
    for path in HEADERS:
        (OUT / path).parent.mkdir(parents=True, exist_ok=True)
        (OUT / path).write_bytes(b"new " + HEADERS[path])
    work = Path("work/extract-demo-fbank/0123")
    with WorkFolder(work) as folder:
        (work / "results").mkdir()
        (work / "results" / "0.json").write_text("{}")
        folder.finish([(OUT / path).parent for path in HEADERS], keep=True)
    return work


def _commit(*, but_for: str = "") -> None:
    found = {path: (OUT / path).read_bytes() for path in HEADERS}
    if but_for:
        found[but_for] = HEADERS[but_for]
    _lock([{"relpath": path, "md5": _cache(data)} for path, data in reversed(found.items())])


def test_work_is_dropped_when_dvc_has_the_stores() -> None:
    work = _published()
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert (work / "results" / "0.json").is_file()
    _commit()
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert not work.exists()


@pytest.mark.parametrize("lost", ["dvc.lock", ".dvc/cache", *HEADERS])
def test_work_stays_while_dvc_has_not_all_stores(lost: str) -> None:
    work = _published()
    _commit()
    if lost in HEADERS:  # one store of three is as it was before
        _commit(but_for=lost)
    elif Path(lost).is_dir():
        shutil.rmtree(lost)
    else:
        Path(lost).unlink()
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert (work / "results" / "0.json").is_file()


def test_work_stays_while_dvc_has_the_headers_and_not_the_shards() -> None:
    work = _published()
    shard = {"relpath": "fbank/train/0.h5", "md5": "0" * 32}
    headers = [{"relpath": p, "md5": _cache((OUT / p).read_bytes())} for p in HEADERS]
    _lock([*headers, shard])
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert (work / "results" / "0.json").is_file()


def test_shards_of_a_new_run_are_not_dropped_for_the_stores_of_an_old_one() -> None:
    work = _published()
    _commit()
    with WorkFolder(work):  # the corpus had grown, and the run was stopped
        (work / "results" / "new.json").write_text("{}")
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert (work / "results" / "new.json").is_file()


def test_a_run_by_hand_does_not_drop_what_dvc_has_not_seen_to_its_end() -> None:
    work = _published()
    with WorkFolder(work) as folder:
        folder.finish([(OUT / path).parent for path in HEADERS], keep=False)
    assert (work / "results" / "0.json").is_file()
    _commit()
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert not work.exists()


def test_work_that_a_run_uses_is_not_dropped(caplog: pytest.LogCaptureFixture) -> None:
    work = _published()
    _commit()
    note = (work / "published.json").read_bytes()
    with WorkFolder(work):
        (work / "published.json").write_bytes(note)  # as it was when we looked
        drop_published(Path("work"), dvc_outputs.is_cached)
        assert (work / "results" / "0.json").is_file()
    assert "is left: " in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"headers": []}', '{"headers": {"x": 3}}'])
def test_a_note_that_is_none_drops_nothing(text: str) -> None:
    work = _published()
    _commit()
    (work / "published.json").write_text(text)
    drop_published(Path("work"), dvc_outputs.is_cached)
    assert (work / "results" / "0.json").is_file()


@pytest.fixture
def added() -> dict[str, Path]:
    """Files as `dvc add` leaves them, each with the object that it is a link of."""
    listed, objects = [], {}
    Path("stores").mkdir()
    for name in ("a", "b"):
        digest = _cache(name.encode() * 40)
        objects[name] = Path(".dvc/cache/files/md5", digest[:2], digest[2:]).resolve()
        objects[name].chmod(0o444)
        Path("stores", name).hardlink_to(objects[name])
        listed.append({"relpath": name, "md5": digest})
    out = {"path": "stores", "hash": "md5", "md5": _cache(json.dumps(listed).encode(), ".dir")}
    Path("stores.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    return objects


def _change(path: Path) -> None:
    path.chmod(0o644)
    path.write_text("damaged")
    path.chmod(0o444)


def test_a_damaged_object_of_a_damaged_file_is_removed(added: dict[str, Path]) -> None:
    _change(added["a"])
    assert drop_damaged([Path("stores/a"), Path("stores/b")]) == [added["a"]]
    assert not added["a"].exists()
    assert added["b"].read_text() == "b" * 40
    assert Path("stores/a").exists()
    assert drop_damaged([Path("stores/a")]) == []


def test_a_sound_object_of_a_damaged_file_stays(added: dict[str, Path]) -> None:
    Path("stores/a").unlink()  # else it may be the object itself
    Path("stores/a").write_text("damaged")
    assert drop_damaged([Path("stores/a")]) == []
    assert added["a"].read_text() == "a" * 40


def test_a_link_into_the_cache_is_damaged_with_its_object(added: dict[str, Path]) -> None:
    """As `previous_output` gives them."""
    Path("link").symlink_to(added["b"])
    _change(added["b"])
    assert drop_damaged([Path("link")]) == [added["b"]]


def test_where_dvc_is_not_used_nothing_is_removed(
    added: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _change(added["a"])
    path = Path("stores/a").resolve()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert drop_damaged([path]) == []
    assert drop_damaged([]) == []
    assert added["a"].exists()


def test_a_cache_that_cannot_be_asked_ends_no_run(
    added: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    _change(added["a"])
    for listing in Path(".dvc/cache").rglob("*.dir"):
        listing.chmod(0o644)
        listing.write_text("{")
    with caplog.at_level(logging.WARNING):
        assert drop_damaged([Path("stores/a")]) == []
    assert "DVC's cache cannot be asked for what is damaged" in caplog.text


PLACED: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "over 67108864": lambda path: [path.touch(), os.truncate(path, 1 << 40)],
    "nesting": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        (name, placed)
        for name in ("dvc.lock", "dvc.yaml", ".dvc/config", ".dvc/config.local")
        for placed in PLACED
        if placed != "nesting" or name.startswith("dvc")  # which are YAML
    ],
)
def test_what_dvc_could_not_read_to_its_end_is_not_given_to_it(
    name: str, placed: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(name).unlink(missing_ok=True)
    PLACED[placed](Path(name))
    with pytest.raises(FeatbankError, match=f"{name}: expected .*{placed}"), dvc_project():
        pass
    assert cache_folders() == []
    assert find_outputs([OUT]) in ([DvcPlace.NOWHERE], [DvcPlace.UNASKED])
    assert _given() is None
    assert drop_damaged([OUT]) == []
    assert placed in caplog.text


def test_a_disk_that_takes_nothing_of_what_dvc_keeps_ends_in_one_line(tmp_path: Path) -> None:
    program = """
import resource, signal
from featbank.pipeline.dvc_outputs import cache_folders, dvc_project
from featbank.errors import FeatbankError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    with dvc_project():
        pass
except FeatbankError as error:
    assert "a disk with room that works" in str(error), error
else:
    raise AssertionError
assert cache_folders() == []
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["DVC_SITE_CACHE_DIR"] = str(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
