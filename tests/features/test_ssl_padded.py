"""Padded batches of encoders: each row gets what it gets alone, whatever stands beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from featbank.errors import FeatbankError
from featbank.features.base import AudioBatch
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.shapes import BatchShape, batch_shape
from tests.features.checks import compute
from tests.tiny_encoder import KINDS, TinyEncoder

TOLERANCE = 1e-5  # of values of about 1: law 7


DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(
    params=[*itertools.product(KINDS, DEVICES), *(("WAVLM_BASE", one) for one in DEVICES)],
    ids=" on ".join,
    scope="module",
)
def encoder(request: pytest.FixtureRequest) -> SslEncoder:
    """One of each family, and one that is as wide as those in use."""
    kind, device = request.param
    if kind in KINDS:
        made: SslEncoder = TinyEncoder(kind)
    else:
        made = SslEncoder(bundle=kind, layers={"low": 1, "high": 2}, weights="random")
    made.to(device)
    return made


@pytest.fixture(scope="module")
def ragged(speech: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Utterances of one shape: the shortest and the longest it takes, one frame's, and others."""
    whole = torch.cat(list(speech.values()))
    lengths = [14_337, 16_384, 400, 401, 9_000, 15_999]
    return {str(number): whole[start:][:number] + 0.1 for start, number in enumerate(lengths)}


def together(
    encoder: SslEncoder, waveforms: dict[str, torch.Tensor], shape: BatchShape
) -> dict[str, dict[str, np.ndarray]]:
    batch = AudioBatch(ids=list(waveforms), waveforms=list(waveforms.values()), shape=shape)
    rows = encoder.compute_features(batch, "train")
    return {row["id"]: row for row in rows}


SHAPE = BatchShape(rows=8, samples=16_384)


def test_a_row_of_a_padded_batch_is_what_it_is_alone(
    encoder: SslEncoder, ragged: dict[str, torch.Tensor]
) -> None:
    found = together(encoder, ragged, SHAPE)
    for name, waveform in ragged.items():
        alone = compute(encoder, waveform)
        for feature in encoder.outputs:
            assert found[name][feature].shape == alone[feature].shape
            difference = np.abs(found[name][feature] - alone[feature]).max()
            assert difference < TOLERANCE * max(1.0, np.abs(alone[feature]).max()), (name, feature)


def test_in_one_shape_mates_their_order_and_number_change_no_bit(
    encoder: SslEncoder, ragged: dict[str, torch.Tensor]
) -> None:
    found = together(encoder, ragged, SHAPE)
    backwards = together(encoder, dict(reversed(ragged.items())), SHAPE)
    loud = {"loud": 100 * torch.randn(16_384, generator=torch.Generator().manual_seed(1))}
    for name, waveform in ragged.items():
        for other in (
            backwards,
            together(encoder, {name: waveform}, SHAPE),
            together(encoder, {**loud, name: waveform}, SHAPE),
        ):
            for feature in encoder.outputs:
                assert np.array_equal(found[name][feature], other[name][feature]), (name, feature)


def test_in_another_shape_a_row_gets_the_same_but_for_rounding(
    encoder: SslEncoder, ragged: dict[str, torch.Tensor]
) -> None:
    found = together(encoder, ragged, SHAPE)
    wider = together(encoder, ragged, BatchShape(rows=8, samples=20_480))
    for name in ragged:
        for feature in encoder.outputs:
            scale = max(1.0, np.abs(found[name][feature]).max())
            difference = np.abs(found[name][feature] - wider[name][feature]).max()
            assert difference < TOLERANCE * scale


@pytest.mark.parametrize(
    ("rows", "samples", "got"), [(1, 16_384, "2 of up to 9000"), (2, 8_192, "2 of up to 9000")]
)
def test_a_batch_beyond_its_shape_is_refused(
    encoder: SslEncoder, ragged: dict[str, torch.Tensor], rows: int, samples: int, got: str
) -> None:
    two = {name: ragged[name] for name in ("9000", "401")}
    with pytest.raises(FeatbankError, match=rf"expected {rows} of {samples} .*got {got}"):
        together(encoder, two, BatchShape(rows=rows, samples=samples))


def test_shapes_hold_their_utterances_with_little_padding() -> None:
    lengths = [1, 2, 400, 16_383, 16_384, 16_385, 20_480, 20_481, 480_000, 960_000, 2**24 + 1]
    for number in lengths:
        shape = batch_shape(number, 960_000)
        assert number <= shape.samples
        assert shape.samples == 16_384 or shape.samples - number < shape.samples / 9
        assert shape.rows == 1 or shape.rows * shape.samples <= 960_000
        assert batch_shape(shape.samples, 960_000) == shape
    assert len({batch_shape(number, 960_000) for number in range(16_000, 480_000, 100)}) == 40
