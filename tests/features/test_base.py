from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import torch

from featbank.base.framing import Framing
from featbank.errors import ConfigError, FeatbankError
from featbank.features.base import LongWaveform, Output
from featbank.features.utterance_extractor import UtteranceExtractor
from tests.features.checks import Held, compute, compute_pieces


class Constant(UtteranceExtractor):
    """Gives an array of the shape it is told to, whatever it promises."""

    version = 1

    def __init__(self, *shape: int, name: str = "constant") -> None:
        self._shape = shape
        self._name = name

    @property
    def framing(self) -> Framing:
        return Framing(sample_rate=16000, window_length=400, hop_length=160)

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {self._name: Output((3,))}

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002
        return {self._name: torch.zeros(self._shape)}


def test_feature_of_the_promised_shape_is_handed_on() -> None:
    assert compute(Constant(2, 3), torch.zeros(560))["constant"].shape == (2, 3)


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (2, 2), (3, 2), (2,), (1, 2, 3)])
def test_feature_of_another_shape_than_promised_is_refused(shape: tuple[int, ...]) -> None:
    got = " x ".join(map(str, shape))
    message = rf"'constant' of utterance 'a' \(560 samples\): expected 2 frames x 3, got {got}$"
    with pytest.raises(FeatbankError, match=message):
        compute(Constant(*shape), torch.zeros(560))


def test_feature_called_id_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"feature name: expected any but id, .*got id"):
        compute(Constant(2, 3, name="id"), torch.zeros(560))


class Piecewise(Constant):
    """Gives pieces of the lengths that it is told to."""

    def __init__(self, *lengths: int, dimension: int = 3) -> None:
        super().__init__()
        self._lengths = lengths
        self._dimension = dimension

    @property
    def max_samples(self) -> int:
        return 400

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:  # noqa: ARG002
        for length in self._lengths:
            assert torch.is_inference_mode_enabled()
            yield {self._name: torch.zeros(length, self._dimension)}


def test_pieces_of_the_promised_shape_are_handed_on_outside_of_inference_mode() -> None:
    lengths = []
    for piece in Piecewise(1, 2).compute_pieces(Held(torch.zeros(720)), "test"):
        assert not torch.is_inference_mode_enabled()
        lengths.append(len(piece["constant"]))
    assert lengths == [1, 2]


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (Piecewise(1, 1), "of a recording of 720 samples: expected 3 frames, got 2$"),
        (Piecewise(2, 2), "of a recording of 720 samples: expected 3 frames, got 4$"),
        (Piecewise(1, 0), "from frame 1 on of a recording .*expected 1 frames x 3, got 0 x 3$"),
        (Piecewise(3, dimension=2), "from frame 0 on of .*expected 3 frames x 3, got 3 x 2$"),
    ],
)
def test_pieces_that_are_not_what_was_promised_are_refused(
    extractor: Piecewise, message: str
) -> None:
    with pytest.raises(FeatbankError, match=message):
        compute_pieces(extractor, torch.zeros(720))


def test_an_extractor_that_takes_any_length_gives_no_pieces() -> None:
    assert Constant(2, 3).max_samples is None
    with pytest.raises(FeatbankError, match=r"Constant.compute_pieces: .*compute_features"):
        compute_pieces(Constant(2, 3), torch.zeros(560))
