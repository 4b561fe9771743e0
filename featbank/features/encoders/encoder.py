"""Base of encoders: a model in a precision on a device, and what is chosen of its states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch

from featbank.features.base import Output
from featbank.features.graphs import Graphs
from featbank.features.layers import Layers
from featbank.features.precision import (
    FLOAT32,
    cast,
    check_device,
    computing_in,
    dtype_of,
    identity_of,
)
from featbank.features.utterance_extractor import UtteranceExtractor


class Encoder(UtteranceExtractor):
    """Computes hidden states with a model that is put on a device, and into its precision, once.

    A subclass makes the model, `_model`, and the choice of its layers, `_layers`, and gives
    `_compute` and `_compute_padded`, which run it inside of `_computing`.

    Attributes:
        uses_graphs: whether batches on a GPU go through CUDA graphs, which change no bit.
    """

    _model: Any
    _layers: Layers
    _is_placed = False
    _is_cast = False

    uses_graphs: bool = True

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the values: the layers asked for, no context without windows."""
        found = {**super().deciding(output), "layers": self._layers.chosen(output)}
        if self.max_samples is None:
            found.pop("context_s", None)
        if "precision" in found:
            found["precision"] = identity_of(self._precision)
        return found

    @property
    def outputs(self) -> Mapping[str, Output]:
        """The encoder's width, or all its layers of that width, by feature name."""
        return self._layers.outputs

    @property
    def uses_device(self) -> bool:
        """True: a GPU computes a batch many times as fast as a processor."""
        return True

    def to(self, device: str) -> None:
        """Move the model to a device, in its precision.

        Raises:
            ConfigError: the device does not compute in it.
        """
        to = torch.device(device)
        check_device(self._precision, to, self._model)
        if not self._is_cast and (self._dtype != torch.float32 or to.type == "cuda"):
            _ = self.weights  # named by what was published, before it is rounded
            cast(self._model, self._precision)
            self._is_cast = True
        self._model.to(to)
        self._device = to
        self._constants: dict[str, torch.Tensor] = {}
        self.__dict__.pop("_graphs", None)
        self._is_placed = True

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch; see `Extractor.compute_batch`."""
        with self._computing():
            if self.uses_graphs and self._device.type == "cuda":
                return self._graphs(waveforms, num_samples)
            return self._compute_padded(waveforms, num_samples)

    @abstractmethod
    def _compute_padded(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch as `compute_batch` does, launch by launch."""

    def _computing(self) -> AbstractContextManager[None]:
        """Return a context in which the model computes in its precision."""
        if not self._is_placed:
            self.to(str(self._device))
        return computing_in(self._precision, self._device)

    def _computing_exactly(self) -> AbstractContextManager[None]:
        """Return a context, inside of the other, in which a front end computes in float32."""
        return computing_in(FLOAT32, self._device)

    @property
    def _dtype(self) -> torch.dtype:
        """Type of the model."""
        return dtype_of(self._precision)

    def _constant(self, name: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return a tensor on the device that is made once."""
        if name not in self._constants:
            self._constants[name] = make().to(self._device)
        return self._constants[name]

    @cached_property
    def _graphs(self) -> Graphs:
        return Graphs(self._compute_padded)
