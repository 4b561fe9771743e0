"""Utterances computed together: the store is still a function of the utterances."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from featbank.base.manifest import read_manifest
from featbank.base.processors import usable_processors
from featbank.engine.batching import batches
from featbank.errors import ConfigError, FeatbankError
from featbank.features.shapes import batch_shape
from featbank.numerics import Computing
from featbank.runners.inline import InlineRunner
from featbank.runners.local import LocalRunner
from featbank.store import open_store
from tests.extracting import extract_corpus, files, prepare_corpus, run_extraction

pytestmark = pytest.mark.usefixtures("one_thread")

TOGETHER = Computing(batch_s=15)
STORAGE = [
    {"name": "low", "shard_bytes": 2_000_000},
    {"name": "high", "dtype": "float16", "shard_bytes": 2_000_000},
]
TINY: dict[str, Any] = {
    "extractor": {"_target_": "tests.tiny_encoder.TinyEncoder"},
    "storage": STORAGE,
    "trusted_modules": ["tests"],
    "num_workers": None,
}


def test_values_are_those_of_each_alone_and_the_class_says_how(
    corpus: Path, tmp_path: Path
) -> None:
    [header, *_] = extract_corpus(corpus, tmp_path / "out", computing=TOGETHER, **TINY)
    assert [one["batch_s"] for one in header.numerics] == [15]
    [alone, *_] = extract_corpus(corpus, tmp_path / "alone", **TINY)
    assert "batch_s" not in alone.numerics[0]
    assert alone.numerics[0]["libraries"] == {"torchaudio": metadata.version("torchaudio")}
    assert header.fingerprint == alone.fingerprint
    found, expected = open_store(tmp_path / "out/low"), open_store(tmp_path / "alone/low")
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=3e-5)


def test_the_class_says_what_a_processor_has_for_bfloat16_where_that_matters(
    corpus: Path, tmp_path: Path
) -> None:
    """Machines with and without AMX are of one instruction set, and of one class in float32."""
    wide = {**TINY["extractor"], "width": 32, "positional_groups": 1}
    [header, *_] = extract_corpus(corpus, tmp_path / "float32", **{**TINY, "extractor": wide})
    assert "bfloat16" not in header.numerics[0]
    narrow = {**TINY, "extractor": {**wide, "precision": "bfloat16"}}
    [header, *_] = extract_corpus(corpus, tmp_path / "bfloat16", **narrow)
    [numerics] = header.numerics
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    for name in ("amx_bf16", "avx512_bf16"):
        assert (name in numerics["bfloat16"].split(", ")) == (name in flags)


def test_workers_and_growth_change_no_byte(corpus: Path, tmp_path: Path) -> None:
    """Other mates and another fill: the batches of a shard that has grown are others."""
    out = tmp_path / "out"
    table = corpus / "transcripts.tsv"
    whole = table.read_text(encoding="utf-8")
    table.write_text("".join(whole.splitlines(keepends=True)[:-5]), encoding="utf-8")
    prepare_corpus(corpus)
    run_extraction(corpus, out, computing=TOGETHER, **TINY)
    table.write_text(whole, encoding="utf-8")
    prepare_corpus(corpus)
    grown = run_extraction(corpus, out, computing=TOGETHER, **TINY)
    assert grown.tally.num_computed == 5
    clean = run_extraction(
        corpus, tmp_path / "clean", computing=TOGETHER, **TINY | {"num_workers": 2}
    )
    assert clean.tally.num_computed == 38
    assert files(out) == files(tmp_path / "clean")


def test_a_row_that_fails_changes_none_of_its_mates(corpus: Path, tmp_path: Path) -> None:
    expected = open_stores(corpus, tmp_path / "sound")
    (corpus / "june_fr" / "vm-toreply.flac").unlink()
    found = open_stores(corpus, tmp_path / "out", max_failures=1)
    assert set(expected) - set(found) == {"june_fr/vm-toreply"}
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_a_row_that_the_extractor_refuses_fails_alone(corpus: Path, tmp_path: Path) -> None:
    picky = {"_target_": "tests.tiny_encoder.PickyEncoder", "folder": "june_fr/vm-to"}
    expected = open_stores(corpus, tmp_path / "sound")
    found = open_stores(corpus, tmp_path / "out", extractor=picky, max_failures=0.5)
    failed = {name for name in expected if name.startswith("june_fr/vm-to")}
    assert failed
    assert set(expected) - set(found) == failed
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def open_stores(corpus: Path, out: Path, **changes: Any) -> dict[str, np.ndarray]:
    run_extraction(corpus, out, computing=TOGETHER, **TINY | changes)
    store = open_store(out / "low")
    return {name: np.asarray(store[name]) for name in store}


def test_long_recordings_are_computed_in_windows_beside_batches(
    corpus: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(corpus / "june_fr" / "long.flac", rng.normal(scale=0.1, size=200_000), 16000)
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        table.write("june_fr/long.flac\tjune_fr\tfr\ttrain\tbruit\n")
    prepare_corpus(corpus)
    windowed = {**TINY["extractor"], "max_window_s": 8.0, "context_s": 0.5}
    alone = {**TINY, "extractor": windowed}
    extract_corpus(corpus, tmp_path / "alone", **alone)
    found = open_stores(corpus, tmp_path / "out", extractor=windowed)
    expected = open_store(tmp_path / "alone/low")
    assert np.array_equal(found["june_fr/long"], expected["june_fr/long"])
    assert not all(np.array_equal(found[name], expected[name]) for name in found)


def test_what_uses_no_device_stays_on_the_cpu_each_utterance_alone(
    corpus: Path, tmp_path: Path
) -> None:
    on_gpu = Computing(device="cuda", batch_s=15)  # for all stages, such as by FEATBANK_DEVICE
    extract_corpus(corpus, tmp_path / "out", computing=on_gpu)
    extract_corpus(corpus, tmp_path / "alone")
    assert files(tmp_path / "out") == files(tmp_path / "alone")


def test_batches_hold_one_shape_each_and_every_row_once(corpus: Path) -> None:
    rows = read_manifest(corpus.parent / "manifests" / "train.jsonl")
    made = list(
        batches(
            rows,
            lambda row: (
                None if row.num_samples > 80_000 else batch_shape(row.num_samples, 15 * 16_000)
            ),
        )
    )
    assert sorted(row.id for _, batch in made for row in batch) == [row.id for row in rows]
    full = 0
    for shape, batch in made:
        if shape is None:
            assert [row.num_samples > 80_000 for row in batch] == [True]
        else:
            assert len(batch) <= shape.rows
            full += len(batch) == shape.rows
            assert {batch_shape(row.num_samples, 15 * 16_000) for row in batch} == {shape}
    assert full


def test_a_gpu_is_not_shared_by_a_worker_for_each_processor(corpus: Path, tmp_path: Path) -> None:
    on_gpu = {**TINY, "computing": Computing(device="cuda"), "num_workers": 2}
    with pytest.raises(ConfigError, match=r"a GPU for each worker, got LocalRunner .*num_gpus"):
        run_extraction(corpus, tmp_path / "out", **on_gpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_one_numerics_class_of_a_gpu_is_told_by_a_process_that_sees_one(
    corpus: Path, tmp_path: Path
) -> None:
    on_gpu = {**TINY, "computing": Computing(device="cuda"), "numerics": "strict"}
    with pytest.raises(ConfigError, match=r"process that starts the run: .*in a job with such a"):
        run_extraction(corpus, tmp_path / "out", **on_gpu)


def test_runners_know_whether_they_give_a_gpu() -> None:
    assert InlineRunner().gives_gpu
    assert LocalRunner(num_workers=1).gives_gpu
    assert not LocalRunner(num_workers=2).gives_gpu
    assert LocalRunner(num_workers=2, num_gpus=1).gives_gpu


@pytest.mark.parametrize(
    ("windows", "what"),
    [({}, r"\d+ x \d+ samples"), ({"max_window_s": 1.0, "context_s": 0.2}, "a window of '.*'")],
)
def test_a_full_gpu_is_no_fault_of_an_utterance(
    windows: dict[str, float], what: str, corpus: Path, tmp_path: Path
) -> None:
    greedy = {**TINY, "extractor": {"_target_": "tests.tiny_encoder.GreedyEncoder", **windows}}
    with pytest.raises(FeatbankError, match=f"memory of the GPU for {what}: .*lower batch_s"):
        run_extraction(corpus, tmp_path / "out", computing=TOGETHER, max_failures=0.9, **greedy)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_asked_for_in_vain(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device: expected a GPU .*got none.*device=cpu"):
        extract_corpus(corpus, tmp_path / "out", computing=Computing(device="cuda"), **TINY)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"device": "tpu"}, "device: expected cpu or cuda, got tpu"),
        ({"num_threads": 0}, "num_threads: expected 1 or more, got 0"),
        ({"batch_s": -1}, "batch_s: expected 0 seconds or more, got -1"),
        ({"batch_s": float("nan")}, "batch_s: expected 0 seconds or more, got nan"),
        ({"batch_s": float("inf")}, "batch_s: expected 0 seconds or more, got inf"),
        ({"num_decoders": 0}, "num_decoders: expected 1 or more, got 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Computing(**wrong)
    assert Computing().seconds_together == 0
    assert Computing(device="cuda", batch_s=0).seconds_together == 0


@pytest.mark.parametrize(
    ("gib", "batch_s"),
    [(141, 480), (79.3, 480), (63.4, 480), (47.5, 240), (31.4, 240), (15.8, 120), (11.6, 120),
     (7.9, 30), (None, 120)],
)  # fmt: skip
def test_a_batch_is_by_the_memory_of_the_gpu_and_settled_where_the_run_is_planned(
    gib: float | None, batch_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(total_memory=int((gib or 0) * (1 << 30)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gib is not None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    settled = Computing(device="cuda").settled()
    assert settled.seconds_together == batch_s
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert settled.seconds_together == batch_s
    assert Computing().settled().seconds_together == 0


def test_decoders_are_by_the_processors_beside_a_gpu_and_one_without() -> None:
    assert Computing().decoders == 1
    assert Computing(num_decoders=3).decoders == Computing(num_decoders=3).on_cpu().decoders == 3
    assert Computing(device="cuda").decoders == min(16, usable_processors() + 1)
