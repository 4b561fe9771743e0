"""Extraction over real speech, in real worker processes where they matter."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from featbank.audio import load_audio
from featbank.base.failures import read_failures
from featbank.base.manifest import read_manifest, write_manifest
from featbank.errors import (
    ConfigError,
    FailureBudgetError,
    FeatbankError,
    ManifestError,
    StoreError,
    WeightsError,
)
from featbank.numerics import Computing, thread_count
from featbank.runners.inline import InlineRunner
from featbank.store import open_store
from tests.extracting import FBANK, SMALL_SHARDS, extract_corpus, files, prepare_corpus
from tests.waiting import FOR_EVER_S, running_too


@pytest.fixture
def corpus(tmp_path: Path, demo_corpus: Path) -> Path:
    """A copy of the demo corpus, to be damaged."""
    return Path(shutil.copytree(demo_corpus, tmp_path / "corpus"))


def test_every_utterance_is_stored_with_kaldis_values(corpus: Path, tmp_path: Path) -> None:
    manifests = prepare_corpus(corpus)
    headers = extract_corpus(corpus, tmp_path / "out", num_workers=2)
    assert sum(header.num_utterances for header in headers) == 38
    for split in ("train", "dev", "test"):
        store = open_store(tmp_path / "out" / "fbank" / split)
        rows = read_manifest(manifests / f"{split}.jsonl")
        assert list(store.ids) == [row.id for row in rows]
        for row in rows:
            assert store.input_digest(row.id) == row.input_digest
        waveform, rate = soundfile.read(corpus / rows[0].audio, dtype="float32")
        reference = torchaudio.compliance.kaldi.fbank(
            torch.from_numpy(waveform)[None], sample_frequency=rate, num_mel_bins=20, dither=0.0
        )
        np.testing.assert_allclose(store[rows[0].id], reference.numpy(), atol=2e-4)


def test_one_worker_and_two_write_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "one", num_workers=1, storage=SMALL_SHARDS)
    extract_corpus(corpus, tmp_path / "two", num_workers=2, storage=SMALL_SHARDS)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert sum(name.endswith(".h5") for name in one) > 10
    assert one == two


def test_the_header_says_what_the_store_was_made_from_and_nothing_of_the_run(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    [header, *_] = extract_corpus(corpus, tmp_path / "out")
    fields = json.loads((tmp_path / "out" / "fbank" / "train" / "header.json").read_text())
    made_by = fields["provenance"]["extractor"]
    assert (made_by["name"], made_by["version"]) == ("fbank", 1)
    assert made_by["arguments"].items() >= {"num_mel_bins": 20, "high_freq": 8000}.items()
    assert fields["provenance"]["corpus"] == {"name": "demo", "license": "free"}
    assert fields["provenance"]["weights"] == {"source": "none", "digest": "", "license": ""}
    assert fields["provenance"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (fields["frame_rate"], fields["first_frame_center_s"]) == (100.0, 0.0125)
    assert fields["numerics"][0]["threads"] == 1
    text = json.dumps(fields)
    for told in (str(tmp_path), os.uname().nodename, "worker", time.strftime("%Y-%m-%d")):
        assert told not in text
    assert header.fingerprint == fields["fingerprint"]


def test_grown_by_three_utterances_the_old_values_keep_their_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "before", storage=SMALL_SHARDS)
    rng = np.random.default_rng(0)
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        for number in range(3):
            noise = rng.normal(scale=0.1, size=16000 + number)
            soundfile.write(corpus / f"new-{number}.flac", noise, 16000)
            table.write(f"new-{number}.flac\tnobody\ten\ttrain\thm\n")
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "after", storage=SMALL_SHARDS)
    before, after = (files(tmp_path / name / "fbank" / "train") for name in ("before", "after"))
    kept = [name for name in before if name.endswith(".h5") and after.get(name) == before[name]]
    assert len(kept) >= sum(name.endswith(".h5") for name in before) - 6
    old, new = (open_store(tmp_path / name / "fbank" / "train") for name in ("before", "after"))
    assert len(new) == len(old) + 3
    for utterance in old.ids:
        assert old[utterance].tobytes() == new[utterance].tobytes()


def test_a_manifest_that_changes_while_a_run_goes_through_it_ends_the_run(
    corpus: Path, tmp_path: Path
) -> None:
    manifest = prepare_corpus(corpus) / "test.jsonl"

    class Preparing(InlineRunner):
        def run(self, make_worker: Any, tasks: Any, advance: Any) -> Any:
            for result in super().run(make_worker, tasks, advance):
                write_manifest(manifest, read_manifest(manifest)[:-1])
                yield result

    with thread_count(1), pytest.raises(ManifestError, match=r"test\.jsonl: expected .*run again"):
        extract_corpus(corpus, tmp_path / "out", runner=Preparing(), storage=SMALL_SHARDS)
    assert not list((tmp_path / "out").rglob("header.json"))


def test_a_runner_that_loses_a_result_publishes_nothing(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)

    class Losing(InlineRunner):
        def run(self, make_worker: Any, tasks: Any, advance: Any) -> Any:
            results = super().run(make_worker, tasks, advance)
            next(results)
            yield from results

    with (
        thread_count(1),
        pytest.raises(FeatbankError, match=r"train: expected \d+ utterances .*got"),
    ):
        extract_corpus(corpus, tmp_path / "out", runner=Losing(), storage=SMALL_SHARDS)
    assert not list((tmp_path / "out").rglob("header.json"))


def test_a_corpus_that_is_gone_is_no_fault_of_its_utterances(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    corpus.rename(tmp_path / "unmounted")
    with (
        thread_count(1),
        pytest.raises(FeatbankError, match=r"corpus root .*expected a folder, got nothing there"),
    ):
        extract_corpus(corpus, tmp_path / "out", num_workers=None, max_failures=38)
    assert not (tmp_path / "failures.jsonl").exists()


def test_an_empty_split_gives_an_empty_store(corpus: Path, tmp_path: Path) -> None:
    write_manifest(prepare_corpus(corpus) / "dev.jsonl", [])
    extract_corpus(corpus, tmp_path / "out")
    store = open_store(tmp_path / "out" / "fbank" / "dev")
    assert (len(store), list(store.ids), store.shape) == (0, [], (20,))


def test_audio_gone_since_the_manifest_is_listed_and_ends_the_run(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    (corpus / "allison_en" / "vm-next.flac").unlink()
    with pytest.raises(
        FailureBudgetError, match="1 of 38 utterances failed so far, the first 'allison_en"
    ):
        extract_corpus(corpus, tmp_path / "out", num_workers=2)
    [failure] = read_failures(tmp_path / "failures.jsonl")
    assert (failure.id, failure.audio) == ("allison_en/vm-next", "allison_en/vm-next.flac")
    assert failure.error == "audio allison_en/vm-next.flac"  # wherever the corpus lies
    assert (failure.expected, failure.got) == ("a readable file", "No such file or directory")
    assert not (tmp_path / "out").exists()


def test_within_the_budget_the_failure_is_beside_the_store(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    (corpus / "allison_en" / "vm-next.flac").unlink()
    headers = extract_corpus(corpus, tmp_path / "out", max_failures=1)
    assert sum(header.num_utterances for header in headers) == 37
    lists = list((tmp_path / "out").rglob("failures.jsonl"))
    assert [failure.id for path in lists for failure in read_failures(path)] == [
        "allison_en/vm-next"
    ]


def test_an_utterance_shorter_than_a_frame_is_listed(corpus: Path, tmp_path: Path) -> None:
    soundfile.write(corpus / "short.flac", np.full(399, 0.1), 16000)
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        table.write("short.flac\tnobody\ten\ttest\thm\n")
    prepare_corpus(corpus)
    with pytest.raises(FailureBudgetError, match="shorter than one frame: expected 400 samples"):
        extract_corpus(corpus, tmp_path / "out")
    extract_corpus(corpus, tmp_path / "out", max_failures=0.1)
    [failure] = read_failures(tmp_path / "out" / "fbank" / "test" / "failures.jsonl")
    assert (failure.id, failure.got) == ("short", "399")


def test_a_budget_that_cannot_be_met_ends_the_run_before_it_computes(
    corpus: Path, tmp_path: Path
) -> None:
    class NoRunner:
        def run(self, *_: object) -> Any:
            raise AssertionError("nothing should be computed")

    soundfile.write(corpus / "short.flac", np.full(399, 0.1), 16000)
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        table.write("short.flac\tnobody\ten\ttest\thm\n")
    prepare_corpus(corpus)
    with pytest.raises(FailureBudgetError, match="1 of 39 utterances failed"):
        extract_corpus(corpus, tmp_path / "out", runner=NoRunner())
    for budget in (-1, float("nan"), "3", True):
        with pytest.raises(ConfigError, match="max_failures: expected a number from 0 on"):
            extract_corpus(corpus, tmp_path / "out", runner=NoRunner(), max_failures=budget)


@pytest.mark.parametrize(
    ("value", "dtype"), [("nan", "float32"), ("-inf", "float32"), ("1e6", "float16")]
)
def test_an_utterance_whose_values_cannot_be_stored_is_listed(
    value: str, dtype: str, corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    odd = {"_target_": "tests.two_features.OddFbank", "value": value, "folder": "june_fr/"}
    headers = extract_corpus(
        corpus, tmp_path / "out", extractor=odd, max_failures=11, trusted_modules=["tests"],
        storage=[{"name": "fbank", "dtype": dtype}],
    )  # fmt: skip
    assert sum(header.num_failures for header in headers) == 11
    for path in (tmp_path / "out").rglob("failures.jsonl"):
        for failure in read_failures(path):
            assert failure.id.startswith("june_fr/")
            assert failure.expected == f"finite values in {dtype}"
    assert not any(name.startswith("june_fr/") for name in open_store(tmp_path / "out").ids)


def test_a_shard_with_a_failure_is_the_one_of_a_corpus_without_that_utterance(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    (corpus / "allison_en" / "vm-next.flac").unlink()
    extract_corpus(corpus, tmp_path / "failed", max_failures=1)
    table = (corpus / "transcripts.tsv").read_text().splitlines(keepends=True)
    (corpus / "transcripts.tsv").write_text("".join(row for row in table if "vm-next" not in row))
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "without")
    failed, without = (
        {name: data for name, data in files(tmp_path / out).items() if name.endswith(".h5")}
        for out in ("failed", "without")
    )
    assert failed == without


def test_an_error_in_a_worker_s_start_is_the_error_of_the_run(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    broken = {"_target_": "tests.two_features.BrokenFbank"}
    storage = [{"name": "fbank"}, {"name": "energy"}]
    bystander = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(FOR_EVER_S,))
    with running_too([bystander]):
        with pytest.raises(WeightsError, match="weights of a worker: expected a file"):
            extract_corpus(
                corpus,
                tmp_path / "out",
                extractor=broken,
                storage=storage,
                trusted_modules=["tests"],
                num_workers=2,
            )
        assert bystander.is_alive()  # only the workers are ended


def test_a_split_that_failed_whole_leaves_an_empty_store_and_its_list(
    corpus: Path, tmp_path: Path
) -> None:
    manifests = prepare_corpus(corpus)
    gone = read_manifest(manifests / "test.jsonl")
    for row in gone:
        (corpus / row.audio).unlink()
    extract_corpus(corpus, tmp_path / "out", max_failures=len(gone))
    folder = tmp_path / "out" / "fbank" / "test"
    assert len(open_store(folder)) == 0
    assert [failure.id for failure in read_failures(folder / "failures.jsonl")] == [
        row.id for row in gone
    ]


def test_audio_changed_since_the_manifest_fails_its_utterance_within_the_budget(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    name = "allison_en/vm-next"
    soundfile.write(corpus / f"{name}.flac", np.full(20000, 0.1), 16000)
    with pytest.raises(
        FailureBudgetError, match=r"has changed since the manifest was made.*run python"
    ):
        extract_corpus(corpus, tmp_path / "out", num_workers=None)
    headers = extract_corpus(corpus, tmp_path / "out", num_workers=None, max_failures=1)
    assert sum(header.num_failures for header in headers) == 1
    lists = (tmp_path / "out").rglob("failures.jsonl")
    [failure] = [failure for path in lists for failure in read_failures(path)]
    assert (failure.id, failure.kind) == (name, "changed")
    assert name not in open_store(tmp_path / "out" / "fbank")


def test_features_of_the_audio_before_are_no_features_of_the_audio_after(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "out", num_workers=None)
    name = "allison_en/vm-next"
    before = open_store(tmp_path / "out" / "fbank")[name].copy()
    old = soundfile.read(corpus / f"{name}.flac", dtype="float32")[0]
    soundfile.write(corpus / f"{name}.flac", old[::-1], 16000)
    prepare_corpus(corpus)  # the same length and id, another digest
    soundfile.write(corpus / f"{name}.flac", old, 16000)  # and once more, behind its back
    with pytest.raises(FailureBudgetError, match="has changed since the manifest was made"):
        extract_corpus(corpus, tmp_path / "out", num_workers=None)
    extract_corpus(corpus, tmp_path / "out", num_workers=None, max_failures=1)
    assert name not in open_store(tmp_path / "out" / "fbank")
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "out", num_workers=None)
    np.testing.assert_array_equal(open_store(tmp_path / "out" / "fbank")[name], before)


def test_a_store_made_in_another_way_is_replaced_only_when_asked(
    corpus: Path, tmp_path: Path
) -> None:
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "out")
    before = files(tmp_path / "out")
    other = {**FBANK, "num_mel_bins": 23}
    with pytest.raises(StoreError, match=r"was made in another way.*overwrite=true"):
        extract_corpus(corpus, tmp_path / "out", extractor=other)
    assert files(tmp_path / "out") == before
    extract_corpus(corpus, tmp_path / "out", extractor=other, overwrite=True)
    assert open_store(tmp_path / "out").shape == (23,)


def test_storage_must_match_what_the_extractor_gives(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    with pytest.raises(ConfigError, match="one entry for each of fbank, got mel"):
        extract_corpus(corpus, tmp_path / "out", storage=[{"name": "mel"}])


def test_no_thread_is_refused(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    with pytest.raises(ConfigError, match="num_threads: expected 1 or more, got 0"):
        extract_corpus(corpus, tmp_path / "out", computing=Computing(num_threads=0))


def test_an_extractor_of_an_untrusted_package_is_refused(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    with pytest.raises(ConfigError, match="expected a class under featbank"):
        extract_corpus(
            corpus, tmp_path / "out", extractor={"_target_": "subprocess.Popen", "args": "ls"}
        )


def test_several_names_fill_several_stores_in_one_pass(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    extractor = {"_target_": "tests.two_features.FbankAndEnergy"}
    storage = [{"name": "fbank"}, {"name": "energy", "dtype": "float16"}]
    extract_corpus(
        corpus, tmp_path / "out", extractor=extractor, storage=storage, trusted_modules=["tests"]
    )
    fbank, energy = (open_store(tmp_path / "out" / name) for name in ("fbank", "energy"))
    assert list(fbank.ids) == list(energy.ids)
    assert (fbank.shape, energy.shape, str(energy.dtype)) == ((23,), (1,), "float16")
    for utterance in fbank.ids:
        assert fbank.num_frames(utterance) == energy.num_frames(utterance)


def test_a_resampled_corpus_has_the_frames_of_its_new_length(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    extract_corpus(corpus, tmp_path / "out", extractor={**FBANK, "sample_rate": 8000})
    store = open_store(tmp_path / "out" / "fbank" / "dev")
    for row in read_manifest(tmp_path / "manifests" / "dev.jsonl"):
        waveform = load_audio(
            corpus / row.audio, sample_rate=16000, num_samples=row.num_samples, target_rate=8000
        )
        assert store.num_frames(row.id) == 1 + (len(waveform) - 200) // 80
