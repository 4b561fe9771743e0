"""One vector an utterance, from audio to a store that is validated and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from featbank.base.framing import Framing
from featbank.errors import ConfigError
from featbank.features.base import AudioBatch
from featbank.features.pooled import Pooled, _num_frames
from featbank.features.several import Several
from featbank.features.shapes import BatchShape
from featbank.features.signal.kaldi import Fbank, Mfcc
from featbank.store import open_store
from featbank.tokenizers.sample import write_sample
from featbank.validation.stores import validate_stores
from tests.extracting import files, run_extraction
from tests.features.checks import compute
from tests.features.test_several import Waveform, _noise
from tests.tiny_encoder import TinyEncoder

MFCC = {"_target_": "featbank.features.signal.kaldi.Mfcc"}
STATS = {"_target_": "featbank.features.pooled.Pooled", "extractor": MFCC}


def test_a_vector_is_the_mean_and_the_spread_of_the_frames() -> None:
    waveform = torch.from_numpy(_noise(16000))
    frames = compute(Mfcc(), waveform)["mfcc"].astype(np.float64)
    found = compute(Pooled(extractor=Mfcc()), waveform)["mfcc_stats"]
    assert (found.shape, found.dtype) == ((26,), np.float32)
    np.testing.assert_allclose(found, [*frames.mean(0), *frames.std(0)], rtol=1e-6)


def test_a_long_recording_is_pooled_piece_by_piece() -> None:
    pooled = Pooled(extractor=Fbank())
    samples = _noise(pooled.max_samples or 0)
    samples = np.concatenate([samples, samples[: 160 * 999]])
    [piece] = pooled.compute_pieces(Waveform(samples), "train")
    batch = AudioBatch(ids=["a"], waveforms=[torch.from_numpy(samples)])
    [whole] = pooled.compute_features(batch, "train")
    np.testing.assert_allclose(piece["fbank_stats"], whole["fbank_stats"], rtol=1e-5)


def test_rows_of_a_batch_are_pooled_over_their_own_frames() -> None:
    encoder = TinyEncoder(layers={"low": 1, "every": "all"})
    pooled = Pooled(extractor=encoder)
    assert pooled.batches
    assert not Pooled(extractor=Mfcc()).batches
    lengths = [345, 9_000, 16_384, 16_384]
    rows = torch.from_numpy(np.stack([_noise(16_384)] * 4))
    for row, length in zip(rows, lengths, strict=True):
        row[length:] = 0
    shape = BatchShape(rows=4, samples=16_384)
    batch = AudioBatch(
        ids=["a", "b", "c"],
        waveforms=[row[:length] for row, length in zip(rows[:3], lengths[:3], strict=True)],
        shape=shape,
    )
    with torch.inference_mode():
        found = pooled.compute_batch(rows, torch.tensor(lengths))
    for row, expected in enumerate(pooled.compute_features(batch, "train")):
        for name in pooled.outputs:
            assert found[name].shape == (4, *pooled.outputs[name].shape)
            np.testing.assert_allclose(
                found[name][row].numpy(), expected[name], rtol=1e-6, atol=1e-7
            )


def test_frames_of_rows_are_counted_as_a_grid_counts_them() -> None:
    kaldi = {"sample_rate": 16000, "window_length": 400, "hop_length": 160}
    for grid in (
        Framing(**kaldi),
        Framing(**kaldi, snip_edges=False),
        Framing(**kaldi, left=200, right=200),
        Framing(**kaldi, left=400, right=360),
        Framing(sample_rate=24000, window_length=320, hop_length=320, right=319),
    ):
        lengths = torch.arange(grid.min_samples, 2000)
        expected = [grid.num_frames(length) for length in lengths.tolist()]
        assert _num_frames(lengths, grid).tolist() == expected


def test_what_has_no_frames_is_not_pooled() -> None:
    with pytest.raises(ConfigError, match="frame by frame, got one value an utterance"):
        Pooled(extractor=Pooled(extractor=Mfcc()))


def test_the_version_of_the_frames_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = Pooled(extractor=Several(extractors=[Fbank(), Mfcc()]))
    before = {name: pooled.identity(name) for name in pooled.outputs}
    monkeypatch.setattr(Mfcc, "version", Mfcc.version + 1)
    assert pooled.identity("mfcc_stats") != before["mfcc_stats"]
    assert pooled.identity("fbank_stats") == before["fbank_stats"]
    assert before["fbank_stats"] == Pooled(extractor=Fbank()).identity("fbank_stats")


@pytest.mark.usefixtures("one_thread")
def test_vectors_are_extracted_incrementally_like_any_feature(corpus: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"extractor": STATS, "storage": [{"name": "mfcc_stats"}]}
    done = run_extraction(corpus, tmp_path / "stats", num_workers=None, **options)
    assert done.tally.num_computed == 38
    frames = {"extractor": MFCC, "storage": [{"name": "mfcc"}]}
    run_extraction(corpus, tmp_path / "frames", num_workers=None, **frames)
    vectors = open_store(tmp_path / "stats" / "mfcc_stats")
    features = open_store(tmp_path / "frames" / "mfcc")
    assert list(vectors.ids) == list(features.ids)
    for utterance_id in vectors:
        mean = features[utterance_id].mean(0, dtype=np.float64)
        assert vectors[utterance_id].shape == (26,)
        np.testing.assert_allclose(vectors[utterance_id][:13], mean, rtol=1e-5, atol=1e-5)
    header = vectors.header
    assert (header.time_axis, header.frame_rate, header.framing) == (None, None, None)
    found = validate_stores(tmp_path / "stats", corpus.parent / "manifests", name="features/stats")
    assert (found.all_problems, len(found.stores)) == ([], 3)
    stored = files(tmp_path / "stats")
    again = run_extraction(corpus, tmp_path / "stats", num_workers=None, **options)
    assert again.tally.num_computed == 0
    assert files(tmp_path / "stats") == stored


def test_a_grid_of_one_value_has_one_frame_of_any_length() -> None:
    grid = Framing.whole(sample_rate=16000, min_samples=400)
    assert [grid.num_frames(length) for length in (399, 400, 10**12)] == [0, 1, 1]
    assert (grid.min_samples, grid.is_whole) == (400, True)
    assert not Mfcc().framing.is_whole


@pytest.mark.usefixtures("one_thread")
def test_no_codebook_is_fitted_on_vectors(corpus: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"extractor": STATS, "storage": [{"name": "mfcc_stats"}]}
    run_extraction(corpus, tmp_path / "stats", num_workers=None, **options)
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(open_store(tmp_path / "stats" / "mfcc_stats" / "train").ids[:3]))
    with pytest.raises(ConfigError, match="features frame by frame, got one value an utterance"):
        write_sample(
            features=[tmp_path / "stats" / "mfcc_stats" / "train"],
            pins=pins,
            out=tmp_path / "sample",
        )
