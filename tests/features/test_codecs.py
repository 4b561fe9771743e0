"""Codes are those of transformers, as many as the formula says, and go back to a waveform."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import DacFeatureExtractor, DacModel, EncodecModel, MimiModel, XcodecModel

from featbank.errors import ConfigError, FeatbankError, WeightsError
from featbank.features.base import AudioBatch, Output
from featbank.features.codecs.dac import Dac
from featbank.features.codecs.encodec import Encodec
from featbank.features.codecs.mimi import Mimi
from featbank.features.shapes import BatchShape
from featbank.files.provenance import file_sha256
from tests.features.checks import assert_batch_mates_change_no_bit, compute, compute_pieces, joined
from tests.features.golden_values import AUDIO
from tests.features.tiny_codecs import DAC, ENCODEC, KINDS, MIMI, save_codec


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The arguments of each kind of codec, whose weights lie in a folder."""
    return {kind: save_codec(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def made(saved: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each kind of codec, as it is read from its folder."""
    return {kind: codec(saved, kind) for kind in KINDS}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def codec(saved: dict[str, dict[str, Any]], kind: str, **changes: Any) -> Any:
    return KINDS[kind][1](**{**saved[kind], **changes})


@pytest.fixture(scope="module")
def waveforms(speech: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Real speech of ragged lengths; its rate does not matter here."""
    lengths = [24_000, 16_001, 19_199, 1]
    cut = {
        name: one[4000 : 4000 + length]
        for (name, one), length in zip(speech.items(), lengths, strict=False)
    }
    return {name: one / one.abs().max() for name, one in cut.items()}


CLASSES: dict[str, Any] = {
    "encodec": EncodecModel,
    "dac": DacModel,
    "mimi": MimiModel,
    "xcodec": XcodecModel,
}


def read_reference(kind: str, folder: str) -> Any:
    """The model as transformers reads it, in torch's own memory: alignment changes last bits."""
    model = CLASSES[kind].from_pretrained(folder).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


@torch.inference_mode()
def reference(kind: str, model: Any, waveform: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What the model of transformers itself makes of a waveform: codes (Q, T), and speech again."""
    if kind == "encodec":
        encoded = model.encode(waveform[None, None], bandwidth=1.2)
        back = model.decode(encoded.audio_codes, encoded.audio_scales).audio_values
        return encoded.audio_codes[0, 0].numpy(), back.flatten().numpy()
    if kind in ("dac", "xcodec"):
        prepare = DacFeatureExtractor(sampling_rate=16000, hop_length=320)
        inputs = prepare(waveform.numpy(), sampling_rate=16000, return_tensors="pt")
        codes = model.encode(inputs["input_values"]).audio_codes
        return codes[0].numpy(), model.decode(audio_codes=codes).audio_values.flatten().numpy()
    codes = model.encode(waveform[None, None]).audio_codes
    return codes[0].numpy(), model.decode(codes).audio_values.flatten().numpy()


def test_codes_and_speech_are_those_of_transformers(
    saved: dict[str, dict[str, Any]],
    made: dict[str, Any],
    kind: str,
    waveforms: dict[str, torch.Tensor],
) -> None:
    model = read_reference(kind, saved[kind]["weights"])
    for waveform in waveforms.values():
        expected, speech_again = reference(kind, model, waveform)
        codes = compute(made[kind], waveform)["codes"].T
        assert np.array_equal(codes, expected)
        assert np.array_equal(made[kind].decode(codes), speech_again)
    longest = compute(made[kind], next(iter(waveforms.values())))["codes"]
    assert all(len(np.unique(codes_of_one)) > 3 for codes_of_one in longest.T)


def test_a_code_of_an_utterance_sees_neither_its_mates_nor_padding(
    made: dict[str, Any], kind: str, waveforms: dict[str, torch.Tensor]
) -> None:
    assert_batch_mates_change_no_bit(made[kind], waveforms)
    batch = AudioBatch(
        ids=list(waveforms),
        waveforms=list(waveforms.values()),
        shape=BatchShape(rows=5, samples=24000),
    )
    for features in made[kind].compute_features(batch, "train"):
        alone = compute(made[kind], waveforms[features["id"]])
        assert np.array_equal(features["codes"], alone["codes"])


def test_frames_are_as_many_as_hops_that_are_begun(
    made: dict[str, Any], kind: str, speech: dict[str, torch.Tensor]
) -> None:
    framing = made[kind].framing
    hop = framing.hop_length
    assert hop == {"mimi": 1920}.get(kind, 320)
    waveform = torch.cat(list(speech.values()))
    around = {edge + d for edge in (hop // 2, hop, 2 * hop, 3 * hop, 7 * hop) for d in (-1, 0, 1)}
    for length in sorted(around | {1, 2, 3, 7, 8}):
        # compute_features compares what comes with this number
        assert framing.num_frames(length) == -(-length // hop)
        assert len(compute(made[kind], waveform[:length])["codes"]) == -(-length // hop)


def test_fewer_codebooks_are_the_first_ones(
    saved: dict[str, dict[str, Any]], made: dict[str, Any], waveforms: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(waveforms.values()))
    for kind, fewer, number in (
        ("encodec", {"bandwidth_kbps": 0.6}, 2),
        ("dac", {"num_codebooks": 1}, 1),
        ("mimi", {"num_codebooks": 3}, 3),
        ("xcodec", {"bandwidth_kbps": 0.45}, 2),
    ):
        few = codec(saved, kind, **fewer)
        assert few.outputs == {"codes": Output((number,), codebook_size=16)}
        every = compute(made[kind], waveform)["codes"]
        assert np.array_equal(compute(few, waveform)["codes"], every[:, :number])
        assert len(few.decode(every[:, :number].T)) > 15_000


def test_windows_of_dac_give_the_codes_of_the_whole(
    saved: dict[str, dict[str, Any]], made: dict[str, Any], speech: dict[str, torch.Tensor]
) -> None:
    waveform = torch.cat(list(speech.values()))[:100_001]
    windowed = codec(saved, "dac", max_window_s=2.0, context_s=0.16)
    assert windowed.max_samples == 32_000
    whole = compute(made["dac"], waveform)["codes"]
    pieces = compute_pieces(windowed, waveform)
    assert len(pieces) == 4
    assert np.array_equal(joined(pieces, "codes"), whole)
    with pytest.raises(ConfigError, match=r"context_s: expected 0.16 seconds or more, got 0.13"):
        codec(saved, "dac", max_window_s=2.0, context_s=0.13)


def test_the_reach_of_dac_is_what_its_encoder_sees(made: dict[str, Any]) -> None:
    waveform = torch.zeros(40 * 320, requires_grad=True)
    frame = made["dac"]._model.encoder(waveform[None, None])[0, :, 20]
    frame.sum().backward()
    assert waveform.grad is not None
    seen = waveform.grad.nonzero().flatten()
    beyond = max(20 * 320 - int(seen.min()), int(seen.max()) + 1 - 21 * 320)
    assert made["dac"]._reach_frames == -(-beyond // 320)


@pytest.mark.parametrize("kind", ["encodec", "mimi"])
def test_windows_of_a_causal_codec_are_stitched_without_a_frame_too_many(
    saved: dict[str, dict[str, Any]], kind: str, speech: dict[str, torch.Tensor]
) -> None:
    waveform = torch.cat(list(speech.values()))
    windowed = codec(saved, kind, max_window_s=2.0, context_s=0.5)
    assert windowed.max_samples == 48_000
    for length in (48_001, 28 * 1920 - 1, 28 * 1920, 28 * 1920 + 1):
        whole = compute(windowed, waveform[:length])["codes"]
        pieces = compute_pieces(windowed, waveform[:length])
        assert len(pieces) > 1
        found = joined(pieces, "codes")
        assert found.shape == whole.shape
        kept = len(pieces[0]["codes"])
        assert np.array_equal(found[:kept], whole[:kept])  # causal: the first window lacks nothing
        assert (found == whole).mean() > 0.9


def test_seams_are_measured_by_the_share_of_other_codes(saved: dict[str, dict[str, Any]]) -> None:
    settings = {
        **saved["encodec"],
        "_target_": "featbank.features.codecs.encodec.Encodec",
        "max_window_s": 2.0,
        "context_s": 0.0,
    }
    # not imported: another test runs it as a program
    seam_errors = runpy.run_module("benchmarks.seams")["seam_errors"]
    [rows] = seam_errors(settings, AUDIO).values()
    num_frames = -(-soundfile.info(AUDIO).frames * 24_000 // 16_000 // 320)
    assert sum(row[1] for row in rows) == num_frames
    assert all(0 <= mean <= greatest <= 1 for _, _, mean, greatest in rows)
    assert rows[0][3] > 0  # a window's first frames see nothing before them


def test_a_codec_without_a_window_takes_what_it_can_count(saved: dict[str, dict[str, Any]]) -> None:
    assert codec(saved, "mimi", max_window_s=None).max_samples == 1 << 24


def test_random_weights_use_more_than_one_code_and_follow_the_seed(
    waveforms: dict[str, torch.Tensor],
) -> None:
    waveform = next(iter(waveforms.values()))
    settings: dict[str, Any] = {"name": "codes", "model": "a/b", "weights": "random"}
    makers: list[Any] = [
        lambda seed: Mimi(num_codebooks=2, architecture=MIMI, seed=seed, **settings),
        lambda seed: Encodec(bandwidth_kbps=1.2, architecture=ENCODEC, seed=seed, **settings),
    ]
    for make in makers:
        one, same, other = make(1), make(1), make(2)
        assert one.weights.digest == same.weights.digest != other.weights.digest
        assert one.weights.source == "random"
        assert np.array_equal(compute(one, waveform)["codes"], compute(same, waveform)["codes"])
        assert len(np.unique(compute(one, waveform)["codes"])) > 1


def test_weights_are_stated(made: dict[str, Any], kind: str) -> None:
    found = made[kind].weights
    assert (found.source, found.license, len(found.digest)) == ("file", "mine", 64)


def test_what_is_no_codes_of_the_codec_is_not_decoded(made: dict[str, Any]) -> None:
    for wrong, got in (
        (np.zeros((2, 5), np.uint16), r"shape \(2, 5\)"),
        (np.zeros((3, 0), np.uint16), r"shape \(3, 0\)"),
        (np.full((3, 5), 16, np.uint16), "uint16 from 16 to 16"),
        (np.full((3, 5), -1), "int64 from -1 to -1"),
        (np.zeros((3, 5), np.float32), "float32 from"),
    ):
        with pytest.raises(FeatbankError, match=rf"\(3, T\) integers from 0 to 15, got {got}"):
            made["dac"].decode(wrong)


def test_encodec_files_of_older_names_are_read(
    made: dict[str, Any], saved: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    # as the published file has them, from before weight norm was a parametrization
    names = {"parametrizations.weight.original0": "weight_g"}
    names["parametrizations.weight.original1"] = "weight_v"
    folder = Path(saved["encodec"]["weights"])
    tensors = load_file(folder / "model.safetensors")
    for new, old in names.items():
        tensors = {name.replace(new, old): values for name, values in tensors.items()}
    assert "encoder.layers.0.conv.weight_g" in tensors
    shutil.copy(folder / "config.json", tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(tensors, file, metadata={"format": "pt"})
    older = codec(saved, "encodec", weights=str(tmp_path), weights_sha256=file_sha256(file))
    assert older.weights == made["encodec"].weights


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("encodec", {"bandwidth_kbps": 1.5}, "bandwidth_kbps: expected 0.3 or 0.6 or 1.2, got 1.5"),
        ("dac", {"num_codebooks": 4}, "num_codebooks: expected 1 to 3, got 4"),
        ("mimi", {"num_codebooks": 0}, "num_codebooks: expected 1 to 4, got 0"),
        ("mimi", {"max_window_s": 700.0}, "expected 699 seconds or less, .*got 700"),
        ("mimi", {"max_window_s": 20.0}, "under half a window of 20 s, got 10"),
        ("mimi", {"context_s": -1.0}, "context_s: expected 0 seconds or more, .*got -1"),
    ],
)
def test_settings_that_the_model_does_not_have_are_refused(
    saved: dict[str, dict[str, Any]], kind: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        codec(saved, kind, **changes)


def test_models_of_another_kind_are_refused(saved: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(WeightsError, match="expected a model of type dac, got mimi"):
        Dac(**{**saved["mimi"], "architecture": {}})
    with pytest.raises(WeightsError, match="downsampling_ratios"):
        codec(saved, "dac", architecture={**DAC, "downsampling_ratios": [2, 4, 8, 8]})
    stereo = {**ENCODEC, "audio_channels": 2, "normalize": True, "chunk_length_s": 1.0}
    with pytest.raises(ConfigError, match="an EnCodec model: expected one that encodes a whole"):
        Encodec(
            name="codes", model="a/b", weights="random", architecture=stereo, bandwidth_kbps=1.2
        )


def test_a_causal_convolution_of_transformers_still_miscounts_beyond_the_longest_window() -> None:
    from featbank.features.codecs.base import _MAX_SAMPLES

    model = KINDS["encodec"][0]()
    first = model.encoder.layers[0]

    def added(length: int) -> int:
        states = torch.empty(1, 1, 1).expand(1, 1, length)
        return int(first._get_extra_padding_for_conv1d(states))

    assert added(_MAX_SAMPLES) == added(_MAX_SAMPLES - 1) == 0
    assert added(_MAX_SAMPLES + 1) != 0  # once it is, the limit can go
