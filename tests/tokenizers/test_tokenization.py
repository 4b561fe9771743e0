"""From feature stores to a sample, a codebook and tokens."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featbank.base.failures import Failure, read_failures
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.base.units import expand
from featbank.errors import CodebookError, ConfigError, CorpusError, StoreError
from featbank.numerics import Computing
from featbank.store import StoreWriter, open_store
from featbank.store.splits import read_splits
from featbank.tokenizers.adopt import ImportedCodebook, adopt_codebook, import_codebook
from featbank.tokenizers.codebook import Codebook, load_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.tokenizers.sample import (
    draw_sample,
    present_splits,
    read_pins,
    write_pins,
    write_sample,
)
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from tests.conftest import ROOT, SPLITS
from tests.flipping import flip_in

FRAMING = Framing(sample_rate=16000, window_length=400, hop_length=160)
KMEANS = KMeans(num_clusters=4)


def _utterance(name: str, num_frames: int, part: str = "") -> Utterance:
    return Utterance(
        id=name,
        audio=f"{name}.flac",
        audio_digest=f"md5:{name}",
        sample_rate=16000,
        num_samples=400 + 160 * (num_frames - 1),
        part=part,
    )


def _values(row: Utterance) -> np.ndarray:
    """Frames around four centres, in runs of about five."""
    rng = np.random.default_rng(list(row.id.encode()))
    num_frames = FRAMING.num_frames(row.num_samples)
    centres = np.repeat(rng.integers(4, size=num_frames), 5)[:num_frames]
    noise = rng.normal(scale=0.1, size=(num_frames, 3))
    return (np.eye(4, 3)[centres] * 10 + noise).astype(np.float32)


def _write_features(folder: Path, rows: dict[str, list[Utterance]], fingerprint: str = "f") -> None:
    for split in SPLITS:
        write_manifest(folder / "manifests" / f"{split}.jsonl", rows[split])
        with StoreWriter(
            folder / "features" / split,
            name="toy",
            dtype="float32",
            shape=(3,),
            frame_rate=FRAMING.frame_rate,
            first_frame_center_s=FRAMING.first_frame_center_s,
            framing=FRAMING,
            fingerprint=fingerprint,
        ) as writer:
            for row in rows[split]:
                if row.id.startswith("bad"):
                    writer.fail(Failure(id=row.id, audio=row.audio, error="cut short"))
                else:
                    writer.write(row.id, _values(row), input_digest=row.input_digest, part=row.part)


@pytest.fixture
def rows() -> dict[str, list[Utterance]]:
    return {
        "train": [
            _utterance(f"t/{number}", 40 + number, part=f"p{number % 2}") for number in range(6)
        ],
        "dev": [_utterance("d-1", 30), _utterance("bad-1", 30)],
        "test": [],
    }


@pytest.fixture
def folder(tmp_path: Path, rows: dict[str, list[Utterance]]) -> Path:
    _write_features(tmp_path, rows)
    write_pins(tmp_path / "pins.txt", ["t/1", "t/2", "t/5"], how="by hand")
    return tmp_path


def _rows_of(folder: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(folder / "manifests" / f"{split}.jsonl") for split in SPLITS}


def _sample(folder: Path, **changes: object) -> int:
    return write_sample(
        pins=folder / "pins.txt", out=folder / "sample",
        **{"features": [folder / "features" / "train"], **changes},  # type: ignore[arg-type]
    )  # fmt: skip


def _fit(folder: Path, seed: int = 0, kmeans: KMeans = KMEANS, **changes: object) -> Codebook:
    sample, out = folder / "sample", folder / "c.safetensors"
    task = CodebookTask(sample=sample, out=out, seed=seed, **changes)  # type: ignore[arg-type]
    return fit_codebook(task, kmeans, folder / "work")


def _tokenize(
    folder: Path, out: str = "tokens", overwrite: bool = False, merge_repeats: bool = False
) -> Path:
    codebook = load_codebook(folder / "c.safetensors")
    tokenize(
        manifests=folder / "manifests", features=folder / "features", out=folder / out,
        stores=TokenStores(codebook=codebook, merge_repeats=merge_repeats),
        overwrite=overwrite,
    )  # fmt: skip
    return folder / out


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_split_that_is_gone_leaves_no_tokens(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    _tokenize(folder)
    for kind in ("features/dev", "manifests/dev.jsonl"):
        (folder / kind).rename(folder / kind.replace("dev", "valid"))
    _tokenize(folder)
    assert sorted(read_splits(folder / "tokens" / "units") or {}) == ["test", "train", "valid"]
    assert not (folder / "tokens" / "units" / "dev").exists()
    _tokenize(folder, "clean")
    assert _files(folder / "tokens") == _files(folder / "clean")


def test_a_sample_is_of_all_splits_to_train_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pins(folder / "pins.txt", ["d-1", "t/5"], how="by hand")
    splits = present_splits(["train", "dev", "train-other"], _rows_of(folder), "toy")
    assert "toy has no split train-other, which its definition trains on" in caplog.text
    assert _sample(folder, features=[folder / "features" / split for split in splits]) == 2
    store = open_store(folder / "sample")
    for split, name in (("dev", "d-1"), ("train", "t/5")):
        source = open_store(folder / "features" / split)
        np.testing.assert_array_equal(store[name], source[name])


def test_a_corpus_without_a_split_to_train_on_has_no_sample() -> None:
    expected = r"splits of toy to train on: expected train, got valid, test-other; name them"
    with pytest.raises(CorpusError, match=expected):
        present_splits(["train"], ["test-other", "valid"], "toy")


def test_features_of_two_kinds_give_no_sample(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    _write_features(folder / "others", rows, fingerprint="g")
    features = [folder / "features" / "train", folder / "others" / "features" / "dev"]
    with pytest.raises(StoreError, match="made in another way"):
        _sample(folder, features=features)


@pytest.mark.parametrize("dataset", ["values", "row_starts", "input_digests"])
@pytest.mark.parametrize(
    ("stage", "read", "written"),
    [
        (_sample, "features/train", "sample"),
        (_fit, "sample", "c.safetensors"),
        (_tokenize, "features/train", "tokens"),
        (_tokenize, "features/dev", "tokens"),
    ],
)
def test_a_stage_that_meets_damage_ends_by_name_and_writes_nothing(
    stage: Callable[[Path], object], read: str, written: str, dataset: str, folder: Path
) -> None:
    """Nor does it take damage for the fault of an utterance."""
    _sample(folder)
    if written != "sample":
        _fit(folder)
    for shard in (folder / read).glob("*.h5"):
        flip_in(shard, dataset)
    path = folder / written
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    before = _files(folder)
    with pytest.raises(
        StoreError, match=rf"{folder / read}/.*; .* verify --remove {folder / read}"
    ):
        stage(folder)
    assert _files(folder) == before


def test_every_frame_of_every_split_has_the_unit_of_its_nearest_centroid(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    _sample(folder)
    codebook = _fit(folder)
    out = _tokenize(folder)
    for split in SPLITS:
        store = open_store(out / "units" / split)
        assert store.header.framing == FRAMING
        assert (str(store.dtype), store.shape, store.frame_rate) == ("uint8", (), 100.0)
        for row in rows[split]:
            if not row.id.startswith("bad"):
                distances = ((_values(row)[:, None] - codebook.centroids) ** 2).sum(axis=2)
                np.testing.assert_array_equal(store[row.id], distances.argmin(axis=1))
                assert store.input_digest(row.id) == row.input_digest


def test_a_failure_of_the_features_is_carried_to_the_tokens(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    out = _tokenize(folder)
    [failure] = read_failures(out / "units" / "dev" / "failures.jsonl")
    assert (failure.id, failure.error) == ("bad-1", "cut short")
    assert list(open_store(out / "units" / "dev").ids) == ["d-1"]


def test_the_parts_of_the_corpus_are_those_of_the_tokens(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    shards = open_store(_tokenize(folder) / "units" / "train").shards
    assert [shard.part for shard in shards] == ["p0", "p1"]


def test_merged_units_expand_to_the_plain_ones(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    plain = open_store(_tokenize(folder) / "units" / "train")
    merged = _tokenize(folder, "merged", merge_repeats=True)
    units, durations = (open_store(merged / name / "train") for name in ("units", "durations"))
    assert units.frame_rate is None
    for name in plain.ids:
        np.testing.assert_array_equal(expand(units[name], durations[name]), plain[name])
        assert units.num_frames(name) < plain.num_frames(name)


def test_growth_changes_neither_the_sample_nor_the_old_tokens(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    _sample(folder)
    _fit(folder)
    sample, codebook = _files(folder / "sample"), (folder / "c.safetensors").read_bytes()
    old = open_store(_tokenize(folder) / "units" / "train")
    before = {name: old[name].tobytes() for name in old.ids}
    rows["train"] += [_utterance(f"t/{number}", 25) for number in range(7, 10)]
    _write_features(folder, rows)
    _sample(folder)
    assert _files(folder / "sample") == sample
    _fit(folder)
    assert (folder / "c.safetensors").read_bytes() == codebook
    new = open_store(_tokenize(folder) / "units" / "train")
    assert len(new) == len(before) + 3
    assert {name: new[name].tobytes() for name in before} == before


def test_a_pinned_id_that_vanished_is_an_error(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    del rows["train"][2]
    _write_features(folder, rows)
    with pytest.raises(
        CorpusError, match=r"expected all of its 3 ids .* 1 missing, the first 't/2'"
    ):
        _sample(folder)
    assert not (folder / "sample").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "expected an id or more, got none"),
        ("", "expected an id or more, got none"),
        ("a\nb\na\n", "expected each id once, got 'a' twice"),
    ],
)
def test_a_list_of_pins_that_makes_no_sense_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "pins.txt").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_pins(tmp_path / "pins.txt")


def test_pins_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_bytes(b"fLaC\xff")
    with pytest.raises(CorpusError, match="expected UTF-8 text, got 'utf-8' codec can't decode"):
        read_pins(tmp_path / "pins.txt")


def test_no_codebook_is_fitted_on_all_layers_of_an_encoder(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "features", name="toy", shape=(13, 3)) as writer:
        writer.write("a", np.zeros((5, 13, 3), np.float32))
    write_pins(tmp_path / "pins.txt", ["a"], how="")
    with pytest.raises(
        ConfigError, match=r"expected a vector a frame, got shape \(13, 3\); choose"
    ):
        write_sample(
            features=[tmp_path / "features"], pins=tmp_path / "pins.txt", out=tmp_path / "sample"
        )
    assert not (tmp_path / "sample").exists()


def test_pins_are_read_back_whatever_they_begin_with(tmp_path: Path) -> None:
    write_pins(tmp_path / "pins.txt", ["#1/a", "# b", "c"], how="by hand")
    assert read_pins(tmp_path / "pins.txt") == ["#1/a", "# b", "c"]


@pytest.mark.parametrize("hours", [0, -1])
def test_no_hours_are_no_sample(hours: float) -> None:
    with pytest.raises(ConfigError, match="hours: expected over 0"):
        draw_sample([_utterance("a", 10)], hours=hours, seed=0)


def test_pins_are_drawn_by_seed_up_to_the_hours_and_stay_under_growth() -> None:
    utterances = [_utterance(f"t/{number}", 100) for number in range(200)]
    hours = 20 / 3600  # 20 s of utterances of 1.015 s
    drawn = draw_sample(utterances, hours=hours, seed=0)
    assert len(drawn) == 20
    assert drawn == sorted(drawn) == draw_sample(utterances[::-1], hours=hours, seed=0)
    assert drawn != draw_sample(utterances, hours=hours, seed=1)
    assert len(draw_sample(utterances, hours=1, seed=0)) == 200


def test_a_codebook_is_refitted_only_when_asked(folder: Path) -> None:
    _sample(folder)
    first = _fit(folder)
    assert _fit(folder).digest == first.digest
    with pytest.raises(
        CodebookError, match=r"fitted in another way: seed: expected seed 0, got seed 1"
    ):
        _fit(folder, seed=1)
    assert load_codebook(folder / "c.safetensors").digest == first.digest
    assert _fit(folder, seed=1, overwrite=True).provenance["fitted_on"]["seed"] == 1


_KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from featbank.tokenizers import fit as fitting
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.kmeans import KMeans

keep, kept = fitting.save_state, []

def keep_and_die(path, state):
    keep(path, state)
    kept.append(state)
    if len(kept) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

fitting.save_state = keep_and_die
folder = Path(sys.argv[1])
task = CodebookTask(sample=folder / "sample", out=folder / "c.safetensors", seed=0)
fitting.fit_codebook(task, KMEANS, folder / "work")
"""


def test_a_fit_that_was_killed_goes_on_and_ends_in_the_same_bytes(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _sample(folder)
    made = "KMeans(num_clusters=20, num_codebooks=2, tol=0.0, max_passes=4)"
    kmeans = KMeans(num_clusters=20, num_codebooks=2, tol=0.0, max_passes=4)
    code = _KILLED.replace("KMEANS", made)
    killed = subprocess.run([sys.executable, "-c", code, folder], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "c.safetensors").exists()
    [found] = (folder / "work").iterdir()
    with caplog.at_level(logging.INFO):
        went_on = _fit(folder, kmeans=kmeans)
    assert "a fit that was stopped goes on: 0 codebooks are finished, the next has 3" in caplog.text
    assert not found.exists()
    (folder / "c.safetensors").unlink()
    assert _fit(folder, kmeans=kmeans).digest == went_on.digest


def test_a_fit_takes_the_frames_it_is_told_to_and_says_so(folder: Path) -> None:
    _sample(folder)
    codebook = _fit(folder, kmeans=KMeans(num_clusters=4, num_frames=60))
    fitted_on = codebook.provenance["fitted_on"]
    assert (fitted_on["num_frames"], fitted_on["num_frames_drawn"]) == (41 + 42 + 45, 60)
    assert codebook.provenance["numerics"]["threads"] == 1
    [distance] = codebook.provenance["mean_squared_distances"]
    assert 0 < distance < 1


def test_an_imported_codebook_is_taken_in_place_of_a_fitted_one(folder: Path) -> None:
    _sample(folder)
    fitted = _fit(folder)
    np.save(folder / "km.npy", fitted.centroids)
    imported = import_codebook(folder / "km.npy", folder / "imported.safetensors")
    named = ImportedCodebook(path=folder / "imported.safetensors", sha256=imported.digest)
    task = CodebookTask(sample=folder / "sample", out=folder / "c.safetensors", seed=0)
    with pytest.raises(CodebookError, match="fitted in another way: imported"):
        adopt_codebook(task, named)
    expected = _files(_tokenize(folder))
    adopted = adopt_codebook(replace(task, overwrite=True), named)
    assert adopted.provenance["imported"]["imported_from"]["kind"] == "numpy"
    np.testing.assert_allclose(
        adopted.provenance["mean_squared_distances"],
        fitted.provenance["mean_squared_distances"],
        rtol=1e-4,
    )
    # the units are the same, and the headers say where they are from
    shards = [name for name in expected if name.endswith(".h5")]
    found = _files(_tokenize(folder, "again"))
    assert shards
    assert [found[name] for name in shards] == [expected[name] for name in shards]


def test_an_imported_codebook_has_to_go_through_fit(folder: Path) -> None:
    _sample(folder)
    np.save(folder / "km.npy", np.eye(3, dtype=np.float32))
    import_codebook(folder / "km.npy", folder / "c.safetensors")
    with pytest.raises(CodebookError, match=r"which features it is for.*run python stages/fit.py"):
        _tokenize(folder)
    with pytest.raises(CodebookError, match="fitted in another way"):
        _fit(folder)
    fitted = _fit(folder, overwrite=True)
    np.save(folder / "same.npy", fitted.centroids)
    with pytest.raises(CodebookError, match="got one that says what it was fitted on"):
        import_codebook(folder / "same.npy", folder / "c.safetensors")
    named = ImportedCodebook(path=folder / "c.safetensors", sha256=fitted.digest)
    shutil.rmtree(folder / "features")
    _write_features(folder, _rows_of(folder), fingerprint="g")
    _sample(folder, overwrite=True)
    with pytest.raises(CodebookError, match="fitted on features made in another way"):
        adopt_codebook(CodebookTask(sample=folder / "sample", out=folder / "d", seed=0), named)


def test_a_codebook_of_another_kind_of_machine_is_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _sample(folder)
    first = _fit(folder)
    with caplog.at_level(logging.INFO):
        again = _fit(folder, computing=Computing(num_threads=2))
    assert again.digest == first.digest
    assert "was fitted on another kind of machine, and is kept" in caplog.text
    other = _fit(folder, computing=Computing(num_threads=2), overwrite=True)
    assert other.provenance["numerics"]["threads"] == 2


def test_an_imported_codebook_that_is_not_the_one_named_is_refused(folder: Path) -> None:
    _sample(folder)
    np.save(folder / "km.npy", np.zeros((5, 4), np.float32))
    imported = import_codebook(folder / "km.npy", folder / "i")
    named = ImportedCodebook(path=folder / "i", sha256=imported.digest)
    task = CodebookTask(sample=folder / "sample", out=folder / "c", seed=0)
    with pytest.raises(CodebookError, match=r"centroids of shape \(3,\).*got \(4,\)"):
        adopt_codebook(task, named)
    with pytest.raises(CodebookError, match="expected sha256 abc"):
        adopt_codebook(task, replace(named, sha256="abc"))
    for wrong in (folder / "i", True, {"path": folder / "i"}, {"path": 3, "sha256": "abc"}):
        with pytest.raises(ConfigError, match=r"expected {path: ..., sha256: ...}, .*, got .+"):
            ImportedCodebook.named(wrong)
    nowhere = ImportedCodebook.named({"path": str(folder / "nowhere"), "sha256": "abc"})
    with pytest.raises(CodebookError, match=r"nothing there; .*import_codebook.py file=") as info:
        adopt_codebook(task, nowhere)
    assert "stages/fit.py" not in str(info.value)
    np.save(folder / "other.npy", np.ones((5, 4), np.float32))
    with pytest.raises(CodebookError, match="got other ones"):
        import_codebook(folder / "other.npy", folder / "i")
    assert import_codebook(folder / "other.npy", folder / "i", overwrite=True).num_clusters == 5


def test_codes_of_residual_codebooks_have_a_row_each(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    _sample(folder)
    codebook = _fit(folder, kmeans=KMeans(num_clusters=4, num_codebooks=2))
    out = _tokenize(folder)
    store = open_store(out / "units" / "train")
    row = rows["train"][0]
    assert store[row.id].shape == (2, 40)
    np.testing.assert_array_equal(store[row.id].T, codebook.assign(_values(row)))
    assert store.header.codebook_size == 4
    with pytest.raises(ConfigError, match="merge_repeats: expected false with several codebooks"):
        _tokenize(folder, "merged", merge_repeats=True)


def test_a_codebook_of_other_features_is_refused(
    folder: Path, rows: dict[str, list[Utterance]]
) -> None:
    _sample(folder)
    _fit(folder)
    shutil.rmtree(folder / "features")
    _write_features(folder, rows, fingerprint="g")
    with pytest.raises(CodebookError, match="fitted on features made in another way"):
        _tokenize(folder)
    with pytest.raises(StoreError, match="was made in another way"):
        _sample(folder)
    assert _sample(folder, overwrite=True) == 3


def test_features_of_other_audio_than_the_manifest_are_refused(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    path = folder / "manifests" / "train.jsonl"
    [first, *rest] = read_manifest(path)
    changed = _utterance(first.id, 40)
    write_manifest(path, [Utterance(**{**_fields(changed), "audio_digest": "md5:new"}), *rest])
    with pytest.raises(StoreError, match=r"is of other audio.*run python stages/extract.py again"):
        _tokenize(folder)
    assert not (folder / "tokens" / "units" / "train").exists()


def _fields(row: Utterance) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


def test_tokens_of_another_codebook_are_replaced_only_when_asked(folder: Path) -> None:
    _sample(folder)
    _fit(folder)
    before = _files(_tokenize(folder))
    _fit(folder, seed=1, overwrite=True)
    with pytest.raises(StoreError, match="was made in another way"):
        _tokenize(folder)
    assert _files(folder / "tokens") == before
    _tokenize(folder, overwrite=True)
    assert _files(folder / "tokens") != before
