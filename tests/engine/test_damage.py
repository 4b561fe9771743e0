"""A damaged shard goes no further: its rows are computed again, wherever the shard was found."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.engine.driver import Published
from featbank.errors import FailureBudgetError, StoreError
from featbank.numerics import thread_count
from featbank.store import open_store
from tests.extracting import SMALL_SHARDS, files, prepare_corpus, run_extraction
from tests.flipping import flip, flip_in, fullest_shard

pytestmark = pytest.mark.usefixtures("one_thread")

SCALED = [{"name": "fbank", "dtype": "int8_scaled", "shard_bytes": 15_000}]
PACKED = [
    {"name": "fbank", "shard_bytes": 50_000, "compression": "zstd"},
]
STORAGES = {"plain": SMALL_SHARDS, "scaled": SCALED, "packed": PACKED}


class Extracted:
    """A corpus and the sound stores of it; tests work on copies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, storage in STORAGES.items():
            run_extraction(root, self.store(name), storage=storage, num_workers=None)

    def store(self, name: str) -> Path:
        return self.root.parent / name

    def again(self, out: Path, work: Path, name: str = "plain", **changes: Any) -> Published:
        settings = {"storage": STORAGES[name], "work": work, "num_workers": None, **changes}
        return run_extraction(self.root, out, **settings)


@pytest.fixture(scope="module")
def extracted(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    root = Path(shutil.copytree(demo_corpus, tmp_path_factory.mktemp("extracted") / "corpus"))
    prepare_corpus(root)
    with thread_count(1):
        return Extracted(root)


@pytest.fixture
def damages() -> list[Path]:
    """What a run says is damaged."""
    return []


DAMAGES = [
    pytest.param("plain", "values", 1, id="values"),
    pytest.param("plain", "checksums", None, id="checksums"),
    pytest.param("plain", "row_starts", None, id="lengths"),
    pytest.param("plain", "id_bytes", None, id="ids"),
    pytest.param("plain", "input_digests", None, id="digests of inputs"),
    pytest.param("scaled", "values", 1, id="scaled values"),
    pytest.param("scaled", "scales", None, id="scales"),
    pytest.param("scaled", "rounding_errors", None, id="rounding errors"),
    pytest.param("packed", "values", None, id="compressed values"),
]


@pytest.mark.parametrize(("name", "dataset", "num_computed"), DAMAGES)
@pytest.mark.parametrize("found", ["in its place", "in DVC's cache"])
def test_a_damaged_shard_is_made_again(
    found: str, name: str, dataset: str, num_computed: int | None, extracted: Extracted,
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damages: list[Path],
) -> None:  # fmt: skip
    """Its other name stays as it is: a shard is replaced, never written into."""
    sound, out = extracted.store(name), tmp_path / "out"
    previous = Path(shutil.copytree(sound, tmp_path / "cache" if found != "in its place" else out))
    shard, info = fullest_shard(previous / "fbank" / "train")
    os.link(shard, tmp_path / "other name")
    flip_in(shard, dataset)
    damaged = shard.read_bytes()
    with caplog.at_level(logging.WARNING):
        done = extracted.again(
            out, tmp_path / "work", name, previous=[previous], on_damage=damages.append
        )
    assert files(out) == files(sound)
    assert (tmp_path / "other name").read_bytes() == damaged
    # the sound rows are copied, but of a shard whose index is not to be trusted
    assert done.tally.num_computed == num_computed or done.tally.num_computed == info.num_utterances
    assert f"{shard} is not taken over" in caplog.text
    assert damages == [shard]


@pytest.mark.parametrize("file", ["header.json", "failures.jsonl"])
def test_what_stands_beside_the_shards_is_made_again(
    file: str, extracted: Extracted, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    damages: list[Path],
) -> None:  # fmt: skip
    (extracted.root / "june_fr" / "vm-toreply.flac").rename(tmp_path / "away")
    try:
        settings = {"max_failures": 1, "on_damage": damages.append}
        extracted.again(tmp_path / "sound", tmp_path / "work", **settings)
        previous = Path(shutil.copytree(tmp_path / "sound", tmp_path / "cache"))
        [listed] = previous.rglob("failures.jsonl")
        flip(listed.with_name(file), 40, bit=0)
        with caplog.at_level(logging.WARNING):
            extracted.again(tmp_path / "out", tmp_path / "work", previous=[previous], **settings)
    finally:
        (tmp_path / "away").rename(extracted.root / "june_fr" / "vm-toreply.flac")
    assert files(tmp_path / "out") == files(tmp_path / "sound")
    assert str(listed.with_name(file)) in caplog.text
    assert damages == [listed.with_name(file)]


def test_a_damaged_statement_of_splits_is_told_and_written_anew(
    extracted: Extracted, tmp_path: Path, damages: list[Path]
) -> None:
    out = Path(shutil.copytree(extracted.store("plain"), tmp_path / "out"))
    statement = out / "fbank" / "splits.json"
    flip(statement, 60)
    done = extracted.again(out, tmp_path / "work", on_damage=damages.append)
    assert damages == [statement]
    assert done.tally.num_shards_written == 0
    assert files(out) == files(extracted.store("plain"))


def test_a_damaged_header_in_place_is_refused_by_name_until_it_may_be_replaced(
    extracted: Extracted, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(extracted.store("plain"), tmp_path / "out"))
    flip(out / "fbank" / "dev" / "header.json", 100)
    with pytest.raises(StoreError, match=r"dev/header\.json.*overwrite=true makes all of store"):
        extracted.again(out, tmp_path / "work")
    extracted.again(out, tmp_path / "work", overwrite=True)
    assert files(out) == files(extracted.store("plain"))


@pytest.mark.parametrize(("version", "advice"), [(3, "by hand with"), (5, "install a newer")])
def test_a_store_of_another_version_is_not_called_damaged(
    extracted: Extracted, tmp_path: Path, version: int, advice: str
) -> None:
    out = Path(shutil.copytree(extracted.store("plain"), tmp_path / "out"))
    header = out / "fbank" / "dev" / "header.json"
    text = header.read_text()
    header.unlink()  # which is a link, or read-only
    header.write_text(text.replace('"format_version": 4', f'"format_version": {version}'))
    with pytest.raises(
        StoreError, match=f"got {version}; overwrite=true makes all.*{advice}"
    ) as said:
        extracted.again(out, tmp_path / "work")
    assert "--remove" not in str(said.value)  # which would refuse it
    extracted.again(out, tmp_path / "work", overwrite=True)
    assert files(out) == files(extracted.store("plain"))


def _grown(extracted: Extracted, manifests: Path) -> None:
    """Leave out the first utterance of each split, so that shards are cut anew."""
    shutil.copytree(extracted.root.parent / "manifests", manifests)
    for path in manifests.glob("*.jsonl"):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


@pytest.mark.parametrize(
    ("name", "dataset"), [("plain", "values"), ("scaled", "scales"), ("scaled", "rounding_errors")]
)
def test_damaged_rows_are_not_copied_into_a_shard_that_is_cut_anew(
    name: str, dataset: str, extracted: Extracted, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _grown(extracted, tmp_path / "manifests")
    settings = {"manifests": tmp_path / "manifests", "work": tmp_path / "work"}
    out = Path(shutil.copytree(extracted.store(name), tmp_path / "out"))
    for shard in (out / "fbank").rglob("*.h5"):
        flip_in(shard, dataset)
    with caplog.at_level(logging.WARNING):
        extracted.again(out, name=name, **settings)
    extracted.again(tmp_path / "clean", name=name, **settings)
    assert files(out) == files(tmp_path / "clean")
    assert "nothing is copied from" in caplog.text or "computed anew" in caplog.text


def _stop(extracted: Extracted, out: Path, work: Path, name: str) -> None:
    """Stop a run over its budget, which leaves finished shards in the work folder."""
    (extracted.root / "june_fr" / "vm-toreply.flac").rename(work.with_name("away"))
    try:
        with pytest.raises(FailureBudgetError):
            extracted.again(out, work, name)
    finally:
        work.with_name("away").rename(extracted.root / "june_fr" / "vm-toreply.flac")


def _flip_in_each(work: Path, pattern: str, damage: Callable[[Path], None]) -> int:
    hit = list(work.glob(pattern))
    for path in hit:
        damage(path)
    return len(hit)


@pytest.mark.parametrize(
    ("name", "dataset"), [("plain", "values"), ("plain", "id_bytes"), ("packed", "values")]
)
def test_a_damaged_shard_of_a_stopped_run_is_made_again(
    name: str, dataset: str, extracted: Extracted, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    out, work = tmp_path / "out", tmp_path / "work"
    _stop(extracted, out, work, name)
    num_hit = _flip_in_each(work, "*/fbank/*/*.h5", lambda path: flip_in(path, dataset))
    with caplog.at_level(logging.WARNING):
        extracted.again(out, work, name)
    assert files(out) == files(extracted.store(name))
    # but for the shard that lacks the utterance: it is of no use as it is anyway
    assert num_hit - 1 <= caplog.text.count("is not taken over, and made again") <= num_hit


@pytest.mark.parametrize("said", [b'"num_frames":', b'"max_abs_error":', b'"digest":"', b'"kind":'])
def test_a_damaged_result_of_a_stopped_run_is_not_believed(
    said: bytes, extracted: Extracted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    _stop(extracted, out, work, "plain")

    def damage(path: Path) -> None:
        start = path.read_bytes().find(said)
        if start >= 0:
            flip(path, start + len(said), bit=0)

    assert _flip_in_each(work, "*/results/*.json", damage)
    with caplog.at_level(logging.WARNING):
        extracted.again(out, work)
    assert files(out) == files(extracted.store("plain"))
    assert "is of no use, and is made again" in caplog.text


def test_a_damaged_shard_that_lacks_a_failed_utterance_is_made_again(
    extracted: Extracted, tmp_path: Path
) -> None:
    (extracted.root / "june_fr" / "vm-toreply.flac").rename(tmp_path / "away")
    try:
        settings = {"work": tmp_path / "work", "max_failures": 1}
        extracted.again(tmp_path / "sound", **settings)
        out = Path(shutil.copytree(tmp_path / "sound", tmp_path / "out"))
        for shard in (out / "fbank").rglob("*.h5"):
            flip_in(shard, "values")
        extracted.again(out, **settings)
    finally:
        (tmp_path / "away").rename(extracted.root / "june_fr" / "vm-toreply.flac")
    assert files(out) == files(tmp_path / "sound")


def test_a_damaged_row_whose_audio_is_gone_fails_like_any_other(
    extracted: Extracted, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(extracted.store("plain"), tmp_path / "out"))
    shard, info = fullest_shard(out / "fbank" / "train")
    before = files(out)
    flip_in(shard, "values")
    gone = extracted.root / f"{info.first_id}.flac"
    gone.rename(tmp_path / "away")
    try:
        with pytest.raises(FailureBudgetError, match=info.first_id):
            extracted.again(out, tmp_path / "work")
    finally:
        (tmp_path / "away").rename(gone)
    assert [path for path in before if files(out)[path] != before[path]] == [
        shard.relative_to(out).as_posix()
    ]


def test_anew_takes_nothing_over_that_is_in_a_store(extracted: Extracted, tmp_path: Path) -> None:
    out, work, sound = tmp_path / "out", tmp_path / "work", extracted.store("plain")
    extracted.again(out, work, keep_work=True)
    again = extracted.again(out, work, previous=[sound], anew=True)
    assert (again.tally.num_computed, again.tally.num_kept, again.tally.num_copied) == (38, 0, 0)
    assert files(out) == files(sound)


def test_anew_goes_on_with_what_a_stopped_run_has_finished(
    extracted: Extracted, tmp_path: Path
) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    _stop(extracted, out, work, "plain")
    done = extracted.again(out, work, anew=True)
    assert done.tally.num_kept > 0
    assert files(out) == files(extracted.store("plain"))
    assert open_store(out / "fbank").verify() == []
