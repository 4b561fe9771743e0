"""What extractors around a model of transformers have in common."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch

from featbank.features.base import UtteranceExtractor, Weights
from featbank.features.weights.pretrained import load_pretrained, weights_of


class PretrainedExtractor(UtteranceExtractor):
    """Computes with a model of transformers, on a device where there is one."""

    libraries: ClassVar[tuple[str, ...]] = ("transformers",)

    _model: Any
    _device: torch.device

    def _load(
        self,
        kind: type[Any],
        *,
        model: str,
        weights: str,
        license: str | None,  # noqa: A002 - the word of the config
        **options: Any,
    ) -> None:
        """Load the model.

        Args:
            kind: its class.
            model: name on the hub.
            weights: `download`, `random`, or a folder.
            license: of the weights, as their publisher or, of a folder, the user states it.
            **options: the other ones of `load_pretrained`.

        Raises:
            ConfigError, WeightsError: as `load_pretrained` does.
        """
        self._model = load_pretrained(kind, model=model, weights=weights, **options)
        self._weights_from = (weights, model, license)
        self._device = torch.device("cpu")

    @cached_property
    def weights(self) -> Weights:
        """Where the weights came from; the digest is over the whole model, whatever is used."""
        return weights_of(self._model, *self._weights_from)

    @property
    def uses_device(self) -> bool:
        """True: a GPU computes many times as fast as a processor."""
        return True

    def to(self, device: str) -> None:
        """Move the model to a device."""
        self._model.to(torch.device(device))
        self._device = torch.device(device)
