"""Base of extractors around a model of the transformers library."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch

from featbank.features.base import Weights
from featbank.features.utterance_extractor import UtteranceExtractor
from featbank.features.weights.pretrained import load_pretrained


class PretrainedExtractor(UtteranceExtractor):
    """Computes with a model of transformers, on a device where there is one."""

    libraries: ClassVar[tuple[str, ...]] = ("transformers",)
    names_weights = frozenset(
        {"weights", "weights_sha256", "license", "seed", "model", "revision", "architecture"}
    )

    _model: Any

    def _load(self, kind: type[Any], **options: Any) -> None:
        """Load the model.

        Args:
            kind: its class.
            **options: those of `load_pretrained`.

        Raises:
            ConfigError, WeightsError: as `load_pretrained` does.
        """
        self._loaded = load_pretrained(kind, **options)
        self._model = self._loaded.model
        self._device = torch.device("cpu")

    @cached_property
    def weights(self) -> Weights:
        """Source, digest and licence of the weights; the digest is over all that is published."""
        return self._loaded.weights()

    @property
    def uses_device(self) -> bool:
        """True: a GPU computes many times as fast as a processor."""
        return True

    def to(self, device: str) -> None:
        """Move the model to a device."""
        self._model.to(torch.device(device))
        self._device = torch.device(device)
