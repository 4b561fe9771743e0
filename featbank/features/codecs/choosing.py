"""Base of codecs that are told how many codebooks to use: by a bandwidth, or as a number."""

from __future__ import annotations

from typing import Any

from featbank.errors import ConfigError
from featbank.features.codecs.base import Codec

RANDOM_STD = 0.02
"""Of random codebooks: so small that their directions decide, not their lengths."""


class CodecAtBandwidth(Codec):
    """A codec that uses as many codebooks as a bandwidth has room for.

    Args:
        bandwidth_kbps: one of the model's, in kbit/s.
        settings: see `Codec`.
    """

    def __init__(self, *, bandwidth_kbps: float, **settings: Any) -> None:
        super().__init__(**settings)
        offered = self._model.config.target_bandwidths
        if bandwidth_kbps not in offered:
            raise ConfigError(
                "bandwidth_kbps", expected=" or ".join(map(str, offered)), got=bandwidth_kbps
            )
        self._bandwidth_kbps = bandwidth_kbps

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks that the bandwidth has room for."""
        quantizer = self._model.quantizer
        number: int = quantizer.get_num_quantizers_for_bandwidth(self._bandwidth_kbps)
        return number


class CodecOfFirstCodebooks(Codec):
    """A codec of which the first codebooks may be used alone.

    Args:
        num_codebooks: how many.
        settings: see `Codec`.
    """

    def __init__(self, *, num_codebooks: int, **settings: Any) -> None:
        super().__init__(**settings)
        if not self._fewest <= num_codebooks <= self._most:
            raise ConfigError(
                "num_codebooks", expected=f"{self._fewest} to {self._most}", got=num_codebooks
            )
        self._num_codebooks = num_codebooks

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks asked for."""
        return self._num_codebooks

    @property
    def _fewest(self) -> int:
        return 1

    @property
    def _most(self) -> int:
        raise NotImplementedError
