"""A corpus that changes: only what is new is computed, and the bytes are those of a clean run."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile

from featbank.base.failures import read_failures
from featbank.base.manifest import read_manifest, write_manifest
from featbank.engine.extract import feature_job
from featbank.engine.forecast.remaining import Remaining
from featbank.engine.growth import told_rewriting
from featbank.engine.tasks import Tally
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.numerics import Computing, numerics_class
from featbank.store import open_store
from featbank.store.splits import read_splits
from tests.conftest import SPLITS
from tests.extracting import (
    FBANK,
    SMALL_SHARDS,
    demo_run,
    extract_corpus,
    files,
    prepare_corpus,
    run_extraction,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def _grow(root: Path, number: int = 3) -> None:
    rng = np.random.default_rng(0)
    with open(root / "transcripts.tsv", "a", encoding="utf-8") as table:
        for one in range(number):
            noise = rng.normal(scale=0.1, size=16000 + one)
            soundfile.write(root / "june_fr" / f"new-{one}.flac", noise, 16000)
            table.write(f"june_fr/new-{one}.flac\tnobody\ten\ttrain\thm\n")
    prepare_corpus(root)


def _drop(root: Path, *names: str) -> None:
    table = (root / "transcripts.tsv").read_text().splitlines(keepends=True)
    kept = [row for row in table if not row.startswith(names)]
    assert len(kept) == len(table) - len(names)
    (root / "transcripts.tsv").write_text("".join(kept))
    prepare_corpus(root)


def _inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.rglob("*.h5")}


def _rerun(root: Path, out: Path, **changes: Any) -> Tally:
    """Extract over what is there, and hold it against a clean run."""
    tally = run_extraction(root, out, **changes).tally
    clean = out.with_name("clean")
    run_extraction(root, clean, **changes)
    assert files(out) == files(clean)
    shutil.rmtree(clean)
    return tally


ENCODED = [
    pytest.param({"name": "fbank", "dtype": dtype, **kwargs}, id=name)
    for name, dtype, kwargs in (
        ("float32", "float32", {"shard_bytes": 50_000}),
        ("float16", "float16", {"shard_bytes": 25_000}),
        ("bfloat16", "bfloat16", {"shard_bytes": 25_000}),
        ("int8_scaled", "int8_scaled", {"shard_bytes": 15_000}),
        ("zstd", "float32", {"shard_bytes": 50_000, "compression": "zstd"}),
    )
]


@pytest.mark.parametrize("storage", ENCODED)
def test_grown_by_three_utterances_only_those_are_computed(
    storage: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=[storage])
    before = _inodes(out)
    _grow(corpus)
    tally = _rerun(corpus, out, storage=[storage])
    after = _inodes(out)
    kept = [name for name in before if after.get(name) == before[name]]
    assert tally.num_computed == 3
    assert tally.num_computed + tally.num_copied + tally.num_kept == 41
    assert tally.num_shards_kept == len(kept) >= len(before) - 6
    assert tally.num_shards_written == len(after) - len(kept)
    assert tally.computed_s == pytest.approx(3, abs=0.01)


def test_removed_utterances_are_gone_and_nothing_is_computed(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    _drop(corpus, "june_fr/vm-toreply.flac", "allison_en/vm-next.flac")
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert (tally.num_computed, tally.computed_s) == (0, 0)
    assert tally.num_copied + tally.num_kept == 36
    assert tally.num_shards_kept > 5


def test_a_replaced_recording_is_computed_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    soundfile.write(corpus / "june_fr" / "vm-toreply.flac", np.full(20000, 0.1), 16000)
    prepare_corpus(corpus)
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert tally.num_computed == 1
    assert tally.num_copied + tally.num_kept == 37


def test_nothing_changed_nothing_is_computed_and_no_shard_is_written(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    before, bytes_before = _inodes(out), files(out)
    tally = run_extraction(corpus, out, storage=SMALL_SHARDS).tally
    assert tally == Tally(num_kept=38, num_shards_kept=len(before))
    assert (_inodes(out), files(out)) == (before, bytes_before)
    assert not list((tmp_path / "work").iterdir())


def test_an_utterance_that_goes_to_another_split_is_copied(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    table = (corpus / "transcripts.tsv").read_text()
    (corpus / "transcripts.tsv").write_text(table.replace("\tdev\t", "\ttest\t"))
    prepare_corpus(corpus)
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert tally.num_computed == 0


def test_a_renamed_split_is_copied_and_leaves_no_store_behind(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    table = (corpus / "transcripts.tsv").read_text()
    (corpus / "transcripts.tsv").write_text(table.replace("\tdev\t", "\tvalid-other\t"))
    prepare_corpus(corpus)
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert (tally.num_computed, tally.num_shards_written) == (0, 0)
    assert sorted(path.name for path in (out / "fbank").iterdir()) == [
        "splits.json", "test", "train", "valid-other",
    ]  # fmt: skip
    assert sorted(read_splits(out / "fbank") or {}) == ["test", "train", "valid-other"]


def test_a_store_of_a_split_that_is_gone_is_not_removed_where_it_holds_something_else(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out)
    (out / "fbank" / "dev").rename(out / "fbank" / "valid")
    extract_corpus(corpus, tmp_path / "other", extractor={**FBANK, "num_mel_bins": 21})
    (tmp_path / "other" / "fbank" / "dev").rename(out / "fbank" / "mine")
    with pytest.raises(StoreError, match=r"store .*/mine was made in another way"):
        extract_corpus(corpus, out)
    extract_corpus(corpus, out, overwrite=True)
    assert not (out / "fbank" / "mine").exists()


def test_parts_and_their_order_are_kept(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    # the last ids come first in the store
    parted = [replace(row, part="1" if n > len(rows) // 2 else "2") for n, row in enumerate(rows)]
    write_manifest(manifest, parted)
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    stored = open_store(out / "fbank" / "train")
    assert list(stored.ids) == [
        row.id for row in sorted(parted, key=lambda row: (row.part, row.id))
    ]
    write_manifest(manifest, parted[:-1])
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert tally.num_computed == 0
    # of another part, and of none: what is computed is copied
    write_manifest(manifest, rows[:-1])
    assert _rerun(corpus, out, storage=SMALL_SHARDS).num_computed == 0


@pytest.mark.parametrize("change", [{"num_mel_bins": 23}, {"snip_edges": False}])
def test_another_setting_computes_everything(
    change: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    done = run_extraction(
        corpus, out, storage=SMALL_SHARDS, extractor={**FBANK, **change}, overwrite=True
    )
    assert (done.tally.num_computed, done.tally.num_copied, done.tally.num_kept) == (38, 0, 0)


def test_another_version_of_the_extractor_computes_everything(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    monkeypatch.setattr("featbank.features.signal.kaldi.Fbank.version", 99)
    done = run_extraction(corpus, out, storage=SMALL_SHARDS, overwrite=True)
    assert done.tally.num_computed == 38
    assert len({header.fingerprint for header in done.headers}) == 1


def test_another_compression_or_shard_size_copies_nothing_it_must_not(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    packed = {"name": "fbank", "shard_bytes": 50_000, "compression": "zstd"}
    assert _rerun(corpus, out, storage=[packed]).num_computed == 38
    larger = {"name": "fbank", "shard_bytes": 200_000, "compression": "zstd"}
    tally = _rerun(corpus, out, storage=[larger])
    assert tally.num_computed == 0
    assert tally.num_copied > 20


def test_shards_of_another_numerics_class_are_listed_or_refused(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS, computing=Computing(num_threads=2))
    _grow(corpus)
    done = run_extraction(corpus, out, storage=SMALL_SHARDS)
    assert done.tally.num_kept > 20
    assert done.tally.num_copied == 0  # a shard is of one class, so its other rows are computed too
    [train] = [header for header in done.headers if header.num_utterances > 20]
    assert sorted(one["threads"] for one in train.numerics) == [1, 2]
    assert "some shards are of another numerics class than this machine's" in caplog.text
    assert open_store(out / "fbank").verify() == []
    strict = run_extraction(corpus, out, storage=SMALL_SHARDS, numerics="strict")
    assert strict.tally.num_computed == 41 - done.tally.num_computed
    assert {one["threads"] for header in strict.headers for one in header.numerics} == {1}
    with pytest.raises(ConfigError, match="numerics: expected strict or any, got exact"):
        run_extraction(corpus, out, numerics="exact")


def test_strict_numerics_refuses_a_worker_of_another_class(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**numerics_class(), "isa": "another"}  # here, not in the workers
    monkeypatch.setattr(Computing, "numerics", lambda _: other)
    with pytest.raises(
        FeatbankError, match=r"numerics class of a worker.*another.*machines of one kind"
    ):
        run_extraction(corpus, tmp_path / "out", numerics="strict", num_workers=2)


def test_a_shard_that_lacks_a_failed_utterance_is_kept_while_that_fails(
    corpus: Path, tmp_path: Path
) -> None:
    out, gone = tmp_path / "out", corpus / "june_fr" / "vm-toreply.flac"
    gone.rename(corpus / "away")
    extract_corpus(corpus, out, storage=SMALL_SHARDS, max_failures=1)
    before = _inodes(out)
    again = run_extraction(corpus, out, storage=SMALL_SHARDS, max_failures=1)
    assert (again.tally.num_computed, again.tally.num_kept) == (0, 37)
    assert _inodes(out) == before
    lists = out.rglob("failures.jsonl")
    assert [failure.audio for path in lists for failure in read_failures(path)] == [
        "june_fr/vm-toreply.flac"
    ]
    (corpus / "away").rename(gone)
    assert _rerun(corpus, out, storage=SMALL_SHARDS).num_computed == 1


def test_a_damaged_shard_that_lacks_a_failed_utterance_is_made_anew(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (corpus / "june_fr" / "vm-toreply.flac").unlink()
    extract_corpus(corpus, out, storage=SMALL_SHARDS, max_failures=1)
    for path in out.rglob("*.h5"):
        with h5py.File(path, "r") as shard:
            place = shard["checksums"].id.get_offset()
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
    _rerun(corpus, out, storage=SMALL_SHARDS, max_failures=1)


def _damage_chunk(path: Path) -> None:
    with h5py.File(path, "r") as shard:
        place = shard["values"].id.get_chunk_info(0).byte_offset
    _overwrite(path, place, 40)


def _damage_index(path: Path) -> None:
    with h5py.File(path, "r") as shard:
        place, size = shard["id_slots"].id.get_offset(), shard["id_slots"].size
    _overwrite(path, place, 8 * (size - 1))  # the last one stays empty


def _overwrite(path: Path, start: int, num_bytes: int) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + num_bytes] = b"\xff" * num_bytes
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_damage_chunk, _damage_index])
def test_what_cannot_be_read_of_an_earlier_shard_is_computed(
    damage: Callable[[Path], None], corpus: Path, tmp_path: Path
) -> None:
    packed = {"name": "fbank", "shard_bytes": 50_000, "compression": "zstd"}
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=[packed])
    for path in (out / "fbank" / "train").glob("*.h5"):
        damage(path)
    assert _rerun(corpus, out, storage=[packed]).num_computed > 0


def test_a_damaged_store_is_not_taken_over(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    first, second, *_ = sorted((out / "fbank" / "train").glob("*.h5"))
    first.write_bytes(first.read_bytes()[:-1])
    data = bytearray(second.read_bytes())
    data[600:900] = bytes(300)  # of its index
    second.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    assert f"{first} is not taken over" in caplog.text
    assert f"{second} is not taken over" in caplog.text
    assert 0 < tally.num_computed < 38
    (out / "fbank" / "dev" / "header.json").write_text("{}")
    with pytest.raises(FeatbankError, match=r"header\.json"):
        run_extraction(corpus, out, storage=SMALL_SHARDS)


def test_shards_that_are_gone_from_an_earlier_store_are_told_of_once(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    shards = sorted((out / "fbank" / "train").glob("*.h5"))
    for path in shards[1:]:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        tally = run_extraction(corpus, out, storage=SMALL_SHARDS).tally
    assert 0 < tally.num_computed < 38
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning == (
        f"store {out / 'fbank' / 'train'} lacks {len(shards) - 1} of its {len(shards)} shards: "
        "their utterances are computed anew"
    )


def test_a_damaged_row_is_not_copied(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    extract_corpus(corpus, out)
    store = open_store(out / "fbank" / "train")
    path, info = store.open_shard(0).path, store.shards[0]
    store.close()
    data = bytearray(path.read_bytes())
    data[info.values_start] ^= 1
    path.write_bytes(data)
    _grow(corpus)
    with caplog.at_level(logging.WARNING):
        tally = _rerun(corpus, out)
    assert tally.num_computed == 4
    assert all(read_manifest(tmp_path / "manifests" / f"{split}.jsonl") for split in SPLITS)


def test_growth_within_a_part_leaves_the_others_as_they_are(corpus: Path, tmp_path: Path) -> None:
    out, manifest = tmp_path / "out", tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, rows[::2])
    extract_corpus(corpus, out, storage=SMALL_SHARDS)
    before = _inodes(out)
    write_manifest(
        manifest, [replace(row, part="2" if n % 2 else "") for n, row in enumerate(rows)]
    )
    tally = _rerun(corpus, out, storage=SMALL_SHARDS)
    after = _inodes(out)
    assert {name: after.get(name) for name in before} == before
    assert (tally.num_computed, tally.num_copied) == (len(rows[1::2]), 0)
    assert told_rewriting(tally, 1) is None


def test_growth_that_rewrites_much_is_told_before_and_after(corpus: Path, tmp_path: Path) -> None:
    out, manifest = tmp_path / "out", tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    storage = [{"name": "fbank", "shard_bytes": 50_000}]

    def forecast() -> Remaining:
        job = feature_job(demo_run(corpus, storage=storage), out)
        return Remaining(job, job.plan())

    write_manifest(manifest, [row for n, row in enumerate(rows) if n % 3])
    assert forecast().rewriting is None  # all is new
    extract_corpus(corpus, out, storage=storage)
    assert forecast().rewriting is None  # nothing
    write_manifest(manifest, rows)
    before = forecast()
    tally = _rerun(corpus, out, storage=storage)
    assert replace(before.tally, computed_s=0) == replace(tally, computed_s=0)
    assert tally.num_shards_written >= 10
    assert told_rewriting(tally) is not None
    written, kept = tally.num_shards_written, tally.num_shards_kept
    assert before.rewriting is not None
    assert before.rewriting.startswith(f"{written} of {written + kept} shards (")
    assert f" are written anew for {len(rows[::3])} new utterances, and " in before.rewriting
    assert "corpus.part_from (docs/growth.md)" in before.rewriting
