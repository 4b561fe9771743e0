from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from featbank.errors import ConfigError, FeatbankError
from featbank.features.base import UtteranceExtractor
from featbank.framing import Framing
from tests.features.checks import compute


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
    def dimensions(self) -> Mapping[str, int]:
        return {self._name: 3}

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
