"""A second call computes nothing, an added utterance one; the store is that of a clean run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io import create_feature_storage_writers
from featbank.recipes.caching import StaleFeaturesError
from featbank.store import StoreWriter, open_store
from tests.recipes.caching.recipes import CONFIGS, Counting, Speech, clean, inodes, pad, published

IDS = [f"u{number * 7 % 20:02d}" for number in range(20)]
PADDED = {"collate_fn": pad}


def test_a_second_call_computes_nothing_and_leaves_the_files_alone(tmp_path: Path) -> None:
    first = Counting(tmp_path)
    first.cache_features(Speech(IDS), "train", batch_size=4, collate_fn=pad)
    assert sorted(first.computed) == sorted(IDS)
    before = inodes(tmp_path)
    second = Counting(tmp_path)
    for batch_size in (1, 4, 8):
        options = {"batch_size": batch_size, "shuffle": True, **PADDED}
        second.cache_features(Speech(IDS), "train", options)
    assert second.computed == []
    assert inodes(tmp_path) == before
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_what_is_added_or_removed_costs_itself_and_gives_the_store_of_a_clean_run(
    tmp_path: Path, batch_size: int
) -> None:
    options = {"batch_size": batch_size, **PADDED}
    brain = Counting(tmp_path / "grown")
    brain.cache_features(Speech(IDS[:-1]), "train", options)
    brain.computed.clear()
    brain.cache_features(Speech(IDS[3:]), "train", options)
    assert brain.computed == IDS[-1:]
    assert published(tmp_path / "grown") == clean(tmp_path / "clean", Speech(IDS[3:][::-1]))
    assert IDS[0] not in brain.feature_readers["train"]["mean"]
    brain.computed.clear()
    brain.cache_features(Speech(IDS[4:]), "train", options)
    assert brain.computed == []
    assert len(brain.feature_readers["train"]["units"]) == 16


def test_an_utterance_whose_audio_changed_is_computed_again(tmp_path: Path) -> None:
    class Changed(Speech):
        def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
            one, waveform = super().__getitem__(index)
            return one, -waveform if one == "u07" else waveform

    brain = Counting(tmp_path / "a")
    brain.cache_features(Speech(IDS), "train", PADDED)
    brain.computed.clear()
    brain.cache_features(Changed(IDS), "train", PADDED)
    assert brain.computed == ["u07"]
    assert published(tmp_path / "a") == clean(tmp_path / "b", Changed(IDS))


def test_overwrite_computes_everything_anew(tmp_path: Path) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Speech(IDS), "train", PADDED)
    before = published(tmp_path)
    brain.cache_features(Speech(IDS), "train", PADDED, overwrite=True)
    assert len(brain.computed) == 2 * len(IDS)
    assert published(tmp_path) == before


def test_an_error_keeps_what_was_computed_for_the_next_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Speech):
        def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
            if index == 13:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    brain = Counting(tmp_path / "a")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            brain.cache_features(Broken(IDS), "train", PADDED)
        assert published(tmp_path / "a") == {}
    assert brain.computed == IDS[:13]
    assert "call cache_features again to go on" in caplog.text
    [work] = (tmp_path / "a" / ".featbank-work").glob("train-*")
    (work / "rank-1.rows").touch()  # as a run of several ranks leaves it when it is killed
    brain.computed.clear()
    brain.cache_features(Speech(IDS), "train", PADDED, batch_size=8)
    assert brain.computed == IDS[13:]
    assert published(tmp_path / "a") == clean(tmp_path / "b", Speech(IDS))
    assert [path.name for path in (tmp_path / "a").glob(".*")] == []


def test_a_journal_of_another_fingerprint_is_not_used_and_goes(tmp_path: Path) -> None:
    def interrupted() -> Any:
        yield from list(DataLoader(Speech(IDS), collate_fn=pad))[:5]
        raise KeyboardInterrupt

    for gain in (1.0, 2.0):
        with pytest.raises(KeyboardInterrupt):
            Counting(tmp_path, gain).cache_features(interrupted(), "train")
    work = tmp_path / ".featbank-work"
    assert (work / ".gitignore").read_text() == "*\n"
    assert len(list(work.glob("train-*"))) == 2
    brain = Counting(tmp_path, gain=2.0)
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert brain.computed == IDS[5:]
    assert not work.exists()


def test_a_changed_byte_of_a_journal_is_computed_again(tmp_path: Path) -> None:
    def interrupted() -> Any:
        yield from list(DataLoader(Speech(IDS), collate_fn=pad))
        raise KeyboardInterrupt

    brain = Counting(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        brain.cache_features(interrupted(), "train")
    [journal] = (tmp_path / "a").rglob("*.journal")
    data = bytearray(journal.read_bytes())
    data[-3] ^= 1  # of the last row's values
    journal.write_bytes(data)
    brain.computed.clear()
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert brain.computed == IDS[-1:]
    assert published(tmp_path / "a") == clean(tmp_path / "b", Speech(IDS))


def test_a_row_that_changed_in_the_store_is_computed_again(tmp_path: Path) -> None:
    brain = Counting(tmp_path / "a")
    brain.cache_features(Speech(IDS), "train", PADDED)
    good = published(tmp_path / "a")
    shard = tmp_path / "a" / "units" / "train" / open_store(tmp_path / "a" / "units").shards[0].name
    start = open_store(tmp_path / "a" / "units").shards[0].values_start
    data = bytearray(shard.read_bytes())
    data[start] ^= 1
    shard.write_bytes(data)
    brain.computed.clear()
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert brain.computed == ["u00"]
    assert published(tmp_path / "a") == good


def test_what_is_computed_otherwise_is_refused_and_the_usual_guard_computes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Counting(tmp_path).cache_features(Speech(IDS), "train", PADDED)
    louder = Counting(tmp_path, gain=2.0)
    assert "train" not in louder.feature_readers
    assert list(louder.feature_readers) == []
    old, new = (Counting(tmp_path, gain).feature_fingerprint().digest for gain in (1.0, 2.0))
    with pytest.raises(StaleFeaturesError) as refused:
        louder.feature_readers["train"]
    for said in (old, new, "gain differs", "call cache_features", "allow_stale=True"):
        assert said in str(refused.value)
    stale = Counting(tmp_path, gain=2.0, allow_stale=True)
    assert len(stale.feature_readers["train"]["mean"]) == len(IDS)
    assert "stale features are read" in caplog.text
    if "train" not in louder.feature_readers:
        louder.cache_features(Speech(IDS), "train", PADDED)
    assert sorted(louder.computed) == sorted(IDS)
    assert "train" in louder.feature_readers


def test_a_split_that_is_open_is_looked_at_again_when_the_recipe_has_changed(
    tmp_path: Path,
) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert len(brain.feature_readers["train"]["mean"]) == len(IDS)
    brain.gain = 3.0
    assert "train" not in brain.feature_readers
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert len(brain.computed) == 2 * len(IDS)


def test_what_a_batch_does_not_tell_is_computed_each_time_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Numbered(Counting):
        def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
            return [{"id": f"u{batch}", "mean": torch.ones(3, 1), "units": torch.ones(3).long()}]

    for _ in range(2):
        Numbered(tmp_path).cache_features(range(4), "train")
    assert "4 of 4 utterances of split 'train' are computed at each call" in caplog.text


def test_a_store_that_states_no_fingerprint_is_refused(tmp_path: Path) -> None:
    for name in ("mean", "units"):
        with StoreWriter(tmp_path / name / "train", name=name) as writer:
            writer.write("a", np.zeros((1, 1), np.float32))
    with pytest.raises(StaleFeaturesError, match="got none stated"):
        Counting(tmp_path).feature_readers["train"]
    with pytest.raises(KeyError, match="split 'dev'"):
        Counting(tmp_path).feature_readers["dev"]


def test_a_header_tells_the_fingerprint_its_parts_and_what_was_named(tmp_path: Path) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Speech(IDS), "train", PADDED)
    header = open_store(tmp_path / "mean" / "train").header
    fingerprint = brain.feature_fingerprint()
    assert header.fingerprint == fingerprint.digest
    assert header.provenance["recipe"] == {
        "parts": dict(fingerprint.parts),
        "named": ["gain", "self.computed"],
    }


def test_random_input_is_never_known_and_a_second_call_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Speech(IDS, noise=True), "train", PADDED)
    assert "augmented at random" not in caplog.text
    brain.cache_features(Speech(IDS, noise=True), "train", PADDED)
    assert len(brain.computed) == 2 * len(IDS)
    assert "augmented at random, it is never known again" in caplog.text


class Hashed(Speech):
    """Says what each utterance is before it loads any."""

    def digests(self) -> list[tuple[str, str]]:
        return [(one, f"hash of {one}") for one in self.ids]


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 3}, {"shuffle": True}, {"batch_size": 3, "drop_last": True}]
)
def test_a_dataset_that_tells_digests_is_not_even_loaded(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Hashed(IDS[:-2]), "train", PADDED, **options)
    known, grown = Hashed(IDS[:-2]), Hashed(IDS)
    brain.cache_features(known, "train", PADDED, **options)
    assert known.num_loaded == 0
    brain.computed.clear()
    if "drop_last" in options:
        with pytest.raises(FeatbankError, match="expected 20 utterances, got 18"):
            brain.cache_features(grown, "train", PADDED, **options)
        return
    brain.cache_features(grown, "train", PADDED, **options)
    assert sorted(brain.computed) == sorted(IDS[-2:])
    assert grown.num_loaded == 2
    assert len(brain.feature_readers["train"]["mean"]) == len(IDS)


def test_a_sampler_of_ones_own_draws_what_the_split_is(tmp_path: Path) -> None:
    brain = Counting(tmp_path)
    brain.cache_features(Hashed(IDS), "train", PADDED)
    batches = [[0, 1, 2], [5]]
    brain.cache_features(Hashed(IDS), "train", PADDED, batch_sampler=batches)
    assert list(open_store(tmp_path / "mean")) == sorted(IDS[one] for one in (0, 1, 2, 5))
    assert len(brain.computed) == len(IDS)


def test_an_utterance_that_comes_twice_is_refused_known_or_not(tmp_path: Path) -> None:
    brain = Counting(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreError, match="'u00': expected one batch that has it, got a second"):
            brain.cache_features(Speech(["u00", "u01", "u00"]), "train", PADDED)
    assert brain.computed == ["u00", "u01", "u00"]


def test_debug_computes_some_batches_into_a_store_of_its_own(tmp_path: Path) -> None:
    debug = Counting(tmp_path, debug_batches=2)
    for _ in range(2):
        debug.cache_features(Speech(IDS), "train", PADDED, batch_size=4)
    assert debug.computed == IDS[:8]
    assert len(debug.feature_readers["train"]["mean"]) == 8
    assert published(tmp_path) == {}
    brain = Counting(tmp_path)
    assert "train" not in brain.feature_readers
    brain.cache_features(Speech(IDS), "train", PADDED)
    before = inodes(tmp_path)
    Counting(tmp_path, debug_batches=2).cache_features(Speech(IDS[2:]), "train", PADDED)
    assert inodes(tmp_path) == before
    assert len(Counting(tmp_path, debug_batches=2).feature_readers["train"]["mean"]) == len(IDS)


def test_writers_of_the_callers_are_written_and_committed_together(tmp_path: Path) -> None:
    dataset = Speech(IDS)
    for stage in (None, "dev"):
        brain = Counting(tmp_path / "stores")
        writers = create_feature_storage_writers(CONFIGS, tmp_path / "own", suffix="/train")
        if stage is None:
            brain.cache_features(writers, dataset, {"batch_size": 4, **PADDED})
            assert sorted(brain.computed) == sorted(IDS)
        else:
            brain.cache_features(dataset, stage, {"batch_size": 4, **PADDED}, writers=writers)
            assert brain.computed == []
        assert published(tmp_path / "own") == clean(tmp_path / f"clean {stage}", Speech(IDS))
    assert not (tmp_path / "stores").exists() or published(tmp_path / "stores") == {}


def test_a_failure_aborts_the_callers_writers(tmp_path: Path) -> None:
    writers = create_feature_storage_writers(CONFIGS, tmp_path, suffix="/train")
    with pytest.raises(FeatbankError, match="got 0"):
        Counting(tmp_path).cache_features(writers, iter([]))
    assert published(tmp_path) == {}
    with pytest.raises(StoreError, match="one that is ended"):
        writers["mean"].write("a", np.zeros((1, 1), np.float32))


def test_no_writers_store_nothing_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Counting(tmp_path).cache_features({}, Speech(IDS))
    assert "was given no writers: nothing is stored" in caplog.text


def test_what_are_no_writers_is_refused_and_so_is_a_split_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'mean': expected a writer of features, got list"):
        Counting(tmp_path).cache_features({"mean": []}, Speech(IDS))
    with pytest.raises(TypeError, match="a stage, which names the split"):
        Counting(tmp_path).cache_features(Speech(IDS))


def test_pieces_of_an_utterance_are_never_taken_for_the_whole_of_it(tmp_path: Path) -> None:
    class Pieces(Counting):
        def compute_features(self, batch: Any, stage: str) -> Any:
            return [
                {**row, "id": row["id"] + piece}
                for row in super().compute_features(batch, stage)
                for piece in ("", "-b")
            ]

    brain = Pieces(tmp_path)
    loader = DataLoader(Speech(IDS), batch_size=4, collate_fn=pad)
    for batches in (loader, list(loader)[:4]):
        brain.computed.clear()
        brain.cache_features(iter(batches), "train")
        assert len(brain.computed) == 4 * len(list(batches))
        assert len(brain.feature_readers["train"]["mean"]) == 2 * len(brain.computed)


@pytest.mark.parametrize("changed", [{"shard_bytes": 900}, {"compression": "zstd"}])
def test_another_layout_of_files_is_written_without_computing(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    Counting(tmp_path / "a").cache_features(Speech(IDS), "train", PADDED)
    configs = [{**CONFIGS[0], "writer_kwargs": changed}, CONFIGS[1]]
    brain = Counting(tmp_path / "a", configs=configs)
    assert "train" in brain.feature_readers
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert brain.computed == []
    assert published(tmp_path / "a") == clean(tmp_path / "b", Speech(IDS), configs=configs)
    before = inodes(tmp_path / "a")
    brain.cache_features(Speech(IDS), "train", PADDED)
    assert inodes(tmp_path / "a") == before


def test_a_folder_that_cannot_be_written_is_refused_with_the_way_to_read_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="call cache_features only where it is not in feature_rea"):
        Counting(tmp_path / "file").cache_features(Speech(IDS), "train", PADDED)
