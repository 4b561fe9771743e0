"""Codes of a batch are those of each utterance alone: what they are chosen by is equal to 1e-9."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from featbank.features.base import AudioBatch
from featbank.features.codecs import padded_causal, padded_symmetric
from featbank.features.codecs.encodec import Encodec
from featbank.features.precision import TF32, computing_in
from featbank.features.shapes import BatchShape
from tests.features.checks import Held, compute, joined
from tests.features.tiny_codecs import ENCODEC, KINDS, make_codec

SAMPLES = 57_611
"""Of each row of a batch: of no whole frame."""

# shorter than a convolution's reach, a stride, a frame; around each edge of some frames; long
LENGTHS = [
    *(1, 2, 7, 8, 9, 30, 319, 320, 321, 639, 640, 641, 967, 1599, 1600, 1601),
    *(1919, 1920, 1921, 2080, 3839, 3840, 3841, 5760, 23_456, 24_000, 38_399, 57_600, SAMPLES),
]


@pytest.fixture(scope="module", params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def codec(kind: str) -> Any:
    return make_codec(kind)


@pytest.fixture(scope="module")
def exact(kind: str) -> Any:
    """The same in float64, so that only what is wrong differs, and not what is rounded."""
    made: Any = make_codec(kind)
    made._model.double()
    return made


def noise(lengths: list[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Rows of one width, each with noise up to its length and zeros behind it."""
    rows = torch.randn(len(lengths), SAMPLES, generator=torch.Generator().manual_seed(1)) / 10
    return (rows * (torch.arange(SAMPLES) < torch.tensor(lengths)[:, None])).to(dtype)


@torch.inference_mode()
def embedded_alone(codec: Any, waveform: torch.Tensor) -> torch.Tensor:
    """What the library's own model, given one waveform, gives its quantizer: (D, T)."""
    quantizer, seen = codec._model.quantizer, []
    name = "forward" if KINDS["dac"][1] is type(codec) else "encode"
    choose = getattr(quantizer, name)

    def watched(embedded: torch.Tensor, *rest: Any, **options: Any) -> Any:
        seen.append(embedded)
        return choose(embedded, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizer, name, watched)
        codec._encode(waveform)
    [embedded] = seen
    return embedded[0]


@torch.inference_mode()
def greatest_difference(codec: Any, lengths: list[int]) -> float:
    """Between rows of one batch and the same waveforms alone, relative to their greatest value."""
    rows = noise(lengths, torch.float64)
    embedded = codec._embed(rows, torch.tensor(lengths))
    greatest = 0.0
    for row, length, found in zip(rows, lengths, embedded, strict=True):
        alone = embedded_alone(codec, row[:length])
        assert alone.shape[1] == codec.framing.num_frames(length)
        difference = (found[:, : alone.shape[1]] - alone).abs().max() / alone.abs().max()
        greatest = max(greatest, float(difference))
    return greatest


def test_what_codes_are_chosen_by_is_the_same_in_ragged_rows_as_alone(exact: Any) -> None:
    assert exact.batches
    assert greatest_difference(exact, LENGTHS) < 1e-9


def test_attention_over_more_frames_than_it_looks_back_is_that_of_each_row_alone() -> None:
    window = 8  # frames, of which the longest row has some sixty
    codec: Any = make_codec("mimi")
    codec._model.double()
    codec._model.config.sliding_window = window
    codec._model.encoder.encoder_transformer.config.sliding_window = window
    assert greatest_difference(codec, [23_456, 38_399, SAMPLES]) < 1e-9


def test_padding_of_any_other_kind_makes_a_difference(
    exact: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(conv: Any, hidden: Any, lengths: Any) -> Any:
        return conv(hidden), padded_symmetric.convolved_length(conv, lengths)

    def as_if(mode: str) -> Any:
        right = padded_causal._values_at
        return lambda *given: right(*given[:3], mode, *given[4:])

    if kind in ("dac", "xcodec"):
        monkeypatch.setattr(padded_symmetric, "convolve_symmetric", nothing)
        wrong_ways = [None]
    else:
        wrong_ways = [as_if("constant"), as_if("replicate")]
    for wrong in wrong_ways:
        if wrong is not None:
            monkeypatch.setattr(padded_causal, "_values_at", wrong)
        assert greatest_difference(exact, [23_456, 38_399, SAMPLES]) > 1e-4


def test_a_batch_gives_the_codes_of_each_utterance_alone(
    codec: Any, speech: dict[str, torch.Tensor]
) -> None:
    waveforms = {name: one / one.abs().max() for name, one in speech.items()}
    samples = max(map(len, waveforms.values()))
    found = together(codec, waveforms, BatchShape(rows=len(waveforms) + 2, samples=samples))
    for name, waveform in waveforms.items():
        alone = compute(codec, waveform)["codes"]
        assert found[name].shape == alone.shape
        # rounding of another shape may turn a tie, and with it the codebooks behind it
        assert (found[name] != alone).any(axis=1).mean() < 0.01, name


def together(
    codec: Any, waveforms: dict[str, torch.Tensor], shape: BatchShape
) -> dict[str, np.ndarray]:
    batch = AudioBatch(ids=list(waveforms), waveforms=list(waveforms.values()), shape=shape)
    return {row["id"]: row["codes"] for row in codec.compute_features(batch, "train")}


def test_in_one_shape_mates_their_order_and_number_change_no_bit(codec: Any) -> None:
    lengths = [9_000, 1, 16_384, 12_345, 3_840]
    rows = noise(lengths)
    num_samples = torch.tensor(lengths)
    loud, full = 100 * torch.ones_like(rows), torch.full_like(num_samples, SAMPLES)
    with torch.inference_mode():
        embedded = codec._embed(rows, num_samples)
        for others in (
            (rows.flip(0), num_samples.flip(0)),
            (torch.cat([rows[:1], loud[1:]]), torch.cat([num_samples[:1], full[1:]])),
        ):
            found = codec._embed(*others)
            [row] = (others[1] == lengths[0]).nonzero()[0].tolist()
            num_frames = codec.framing.num_frames(lengths[0])
            assert torch.equal(found[row, :, :num_frames], embedded[0, :, :num_frames])


def test_a_batch_asks_the_device_for_nothing(kind: str) -> None:
    codec: Any = make_codec(kind)
    codec.to("meta")  # where tensors have no values: whatever looks at one fails
    waveforms = torch.empty(3, 24_000, device="meta")
    num_samples = torch.empty(3, dtype=torch.int64, device="meta")
    with torch.inference_mode():
        codes = codec.compute_batch(waveforms, num_samples)["codes"]
    [output] = codec.outputs.values()
    assert codes.shape == (3, codec.framing.num_frames(24_000), *output.shape)
    assert codes.dtype == torch.int64


def test_a_gpu_computes_no_codes_in_tf32_whatever_the_process_allows(
    codec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, quantize = [], codec._quantize

    def watched(embedded: torch.Tensor) -> torch.Tensor:
        seen.append(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
        return quantize(embedded)

    monkeypatch.setattr(codec, "_quantize", watched)
    monkeypatch.setattr(codec, "_device", torch.device("cuda"))  # it is told, and not used here
    with torch.inference_mode(), computing_in(TF32, torch.device("cuda")):
        codec.compute_batch(noise([9_000]), torch.tensor([9_000]))
        assert torch.backends.cudnn.allow_tf32  # of the process again
    assert seen == [False]


def test_what_it_is_given_is_not_written_to(codec: Any) -> None:
    rows = noise([9_000, 16_384])
    rows[0, 9_000:] = 0
    before = rows.clone()
    with torch.inference_mode():
        codec.compute_batch(rows, torch.tensor([9_000, 16_384]))
    assert torch.equal(rows, before)


def test_windows_of_a_long_recording_are_encoded_together(
    kind: str, speech: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    windowed: Any = make_codec(kind, max_window_s=2.0, context_s=0.5)
    recording = Held(torch.cat(list(speech.values()))[:200_001])
    one_by_one = joined(list(windowed.compute_pieces(recording, "train")), "codes")
    shapes, compute_batch = [], windowed.compute_batch

    def watched(waveforms: torch.Tensor, num_samples: torch.Tensor) -> Any:
        shapes.append(waveforms.shape)
        return compute_batch(waveforms, num_samples)

    monkeypatch.setattr(windowed, "compute_batch", watched)
    three_at_once = 3 * windowed.max_samples
    pieces = list(windowed.compute_pieces(recording, "train", batch_samples=three_at_once))
    found = joined(pieces, "codes")
    assert len(pieces) > len(shapes) > 1
    assert sum(rows for rows, _ in shapes) == len(pieces)  # no row without a window
    assert len({samples for _, samples in shapes}) == 1
    assert found.shape == one_by_one.shape
    assert (found != one_by_one).any(axis=1).mean() < 0.01  # ties


def test_of_a_model_that_looks_ahead_each_utterance_is_one_call_alone() -> None:
    looks_ahead: Any = Encodec(
        name="codes",
        model="a/b",
        weights="random",
        architecture={**ENCODEC, "use_causal_conv": False, "trim_right_ratio": 1.0},
        bandwidth_kbps=1.2,
    )
    assert not looks_ahead.batches
    assert looks_ahead.batch_shape(24_000, 960_000) is None
    calls = []
    encode = looks_ahead._encode
    looks_ahead._encode = lambda waveform: calls.append(len(waveform)) or encode(waveform)
    lengths = [9_000, 1, 16_384, 12_345, 3_840, 320]
    waveforms = {
        str(length): row[:length] for length, row in zip(lengths, noise(lengths), strict=True)
    }
    found = together(looks_ahead, waveforms, BatchShape(rows=80, samples=16_384))
    assert calls == lengths
    for name, codes in found.items():
        assert np.array_equal(codes, compute(looks_ahead, waveforms[name])["codes"])
