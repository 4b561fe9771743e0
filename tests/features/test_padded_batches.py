"""Batches of encoders on a device: nothing waits for it, and each row gets what it gets alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from featbank.features.base import AudioBatch
from featbank.features.encoders import padded_attention
from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.kept import Kept
from featbank.features.encoders.relative_bias import RelativeBias
from featbank.features.encoders.whisper import WhisperEncoder
from featbank.features.shapes import BatchShape
from tests.features.checks import Held, compute, compute_pieces, joined
from tests.features.encoders import ENCODERS, of

TOLERANCE = 2e-5  # of values of about 1: what float32 rounding makes of sums in another order


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return of(request.param)


@pytest.fixture(scope="module")
def whole(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(speech.values()))


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() < TOLERANCE * scale


def ragged(encoder: Encoder, whole: torch.Tensor) -> dict[str, torch.Tensor]:
    """The shortest and the longest of a shape, silence, and others, with an offset."""
    least = encoder.framing.min_samples
    lengths = [28_672, least, least + 1, 26_000, 12_345]
    waveforms = {str(n): whole[3000 * row :][:n] + 0.1 for row, n in enumerate(lengths)}
    return {**waveforms, "silence": torch.zeros(20_000)}


def test_a_row_is_what_it_is_alone_whoever_its_mates_are(
    encoder: Encoder, whole: torch.Tensor
) -> None:
    waveforms = ragged(encoder, whole)
    shape = encoder.batch_shape(28_672, 8 * 32_000)
    assert shape is not None
    batch = AudioBatch(ids=list(waveforms), waveforms=list(waveforms.values()), shape=shape)
    rows = {row["id"]: row for row in encoder.compute_features(batch, "train")}
    backwards = AudioBatch(
        ids=list(waveforms)[::-1], waveforms=list(waveforms.values())[::-1], shape=shape
    )
    again = {row["id"]: row for row in encoder.compute_features(backwards, "train")}
    for name, waveform in waveforms.items():
        alone = compute(encoder, waveform)
        [lonely] = encoder.compute_features(
            AudioBatch(ids=[name], waveforms=[waveform], shape=shape), "train"
        )
        for feature in encoder.outputs:
            assert_near(rows[name][feature], alone[feature])
            assert np.array_equal(rows[name][feature], again[name][feature])
            assert np.array_equal(rows[name][feature], lonely[feature])


class NoWaiting(TorchDispatchMode):
    """Refuses what waits for a device, or moves a tensor to another one."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal"), name
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and name not in ("_to_copy", "copy_"):
            assert found.device.type == "meta", name
        for one in (*args, *(kwargs or {}).values()):
            if isinstance(one, torch.Tensor) and isinstance(found, torch.Tensor) and one.dim():
                assert one.device == found.device, f"{name} from {one.device}"
        return found


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "tf32"])
def test_a_batch_waits_for_nothing_on_its_device(name: str, precision: str) -> None:
    """A meta device has no values: what asks for one fails there, whatever way it takes."""
    made = of(name, precision=precision)
    shape = made.batch_shape(28_672, 4 * 32_000)
    assert shape is not None
    made.to("meta")
    waveforms = torch.zeros(shape.rows, shape.samples, device="meta")
    num_samples = torch.full((shape.rows,), shape.samples, device="meta")
    with torch.inference_mode():
        made.compute_batch(waveforms, num_samples)  # constants are made once
        with NoWaiting():
            features = made.compute_batch(waveforms, num_samples)
    for feature, output in made.outputs.items():
        number = made.framing.num_frames(shape.samples)
        assert features[feature].shape == (shape.rows, number, *output.shape)


@pytest.mark.parametrize(
    "name", [name for name in ENCODERS if not name.startswith("w2v-BERT,") and "an ada" not in name]
)
def test_windows_of_a_recording_are_computed_several_at_once_in_one_shape(
    name: str, whole: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {} if name == "whisper" else {"max_window_s": 2.0, "context_s": 0.4}
    made = of(name, **settings)
    recording = whole[:200_077].clone()
    recording[:50_000] *= 0.05
    pieces = compute_pieces(made, recording)
    shapes: list[tuple[int, ...]] = []
    project = made._layers.__class__.__call__
    monkeypatch.setattr(
        made._layers.__class__,
        "__call__",
        lambda layers, states, final=None: (
            shapes.append(tuple(states[0].shape[:2])) or project(layers, states, final)
        ),
    )
    together = list(made.compute_pieces(Held(recording), "test", batch_samples=4 * 32_000))
    assert len(together) == len(pieces) == 10
    assert len(shapes) == 3  # of 4 windows at most
    assert {rows for rows, _ in shapes} == {4}
    assert len(set(shapes)) == 1
    for feature in made.outputs:
        assert_near(joined(together, feature), joined(pieces, feature))
    five = recording[:100_000]  # are spread evenly: three, and two with a row of silence
    together = list(made.compute_pieces(Held(five), "test", batch_samples=4 * 32_000))
    assert len(together) == 5
    assert {rows for rows, _ in shapes[3:]} == {3}
    for feature in made.outputs:
        assert_near(joined(together, feature), joined(compute_pieces(made, five), feature))


def test_whisper_computes_all_utterances_in_one_shape() -> None:
    made = of("whisper")
    assert isinstance(made, WhisperEncoder)
    shapes = {made.batch_shape(number, 8 * 32_000 + 1) for number in (160, 9_000, 32_000)}
    assert shapes == {BatchShape(rows=8, samples=32_000)}
    assert made.batch_shape(9_000, 100) == BatchShape(rows=1, samples=32_000)


@pytest.mark.parametrize("name", [name for name in ENCODERS if "wavlm" in name])
def test_the_bias_of_positions_is_the_librarys_and_made_once_a_length(name: str) -> None:
    parts = of(name)._parts  # type: ignore[attr-defined]
    bias, attention = parts.bias, parts.layers[0].module.attention
    assert isinstance(bias, RelativeBias)
    with torch.inference_mode():
        for size in (1, 7, 200, 1_900):  # 800 frames are told apart
            found = bias(size)
            assert torch.equal(found[0, ..., :size], attention.compute_bias(size, size))
            assert found.shape[-1] % 8 == 0
            assert bias(size) is found


def test_tensors_are_kept_as_long_as_there_is_room() -> None:
    kept, calls = Kept(most_bytes=20), list[int]()

    def make(size: int) -> Callable[[], torch.Tensor]:
        return lambda: calls.append(size) or torch.zeros(size)  # type: ignore[func-returns-value]

    for size in (4, 4, 3, 3, 1, 1):
        assert len(kept(size, make(size))) == size
    assert calls == [4, 3, 3, 1]  # 12 bytes were not left


def test_a_kernel_for_rows_of_their_lengths_is_given_each_row_where_it_lies(
    whole: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA's kernel gets is computed row by row here, in place of it."""
    made = of("hubert of transformers")
    given: list[list[int]] = []

    def by_rows(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        starts: torch.Tensor,
        size: int,
        num_keys: torch.Tensor,
    ) -> torch.Tensor:
        given.append(num_keys.tolist())
        assert starts.dtype == num_keys.dtype == torch.int32
        found = torch.zeros_like(query)
        for start, stop, number in zip(starts[:-1], starts[1:], num_keys, strict=True):
            assert stop - start == size
            one, keys, values = query[start:stop], key[start:][:number], value[start:][:number]
            scores = torch.einsum("qhd,khd->hqk", one, keys) / one.shape[-1] ** 0.5
            found[start:stop] = torch.einsum("hqk,khd->qhd", scores.softmax(dim=-1), values)
        return found

    waveforms = ragged(made, whole)
    shape = made.batch_shape(28_672, 8 * 32_000)
    batch = AudioBatch(ids=list(waveforms), waveforms=list(waveforms.values()), shape=shape)
    masked = made.compute_features(batch, "train")
    assert not padded_attention.has_varlen(torch.device("cpu"), torch.bfloat16, 64)
    monkeypatch.setattr(padded_attention, "has_varlen", lambda *_: True)
    monkeypatch.setattr(padded_attention, "_varlen", by_rows)
    by_lengths = made.compute_features(batch, "train")
    frames = [made.framing.num_frames(len(waveform)) for waveform in waveforms.values()]
    silent = [made.framing.num_frames(28_672)] * (shape.rows - len(frames))  # type: ignore[union-attr]
    assert given == [[*frames, *silent]] * 3
    for row, expected in zip(by_lengths, masked, strict=True):
        for feature in made.outputs:
            assert_near(row[feature], expected[feature])
