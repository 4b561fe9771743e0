"""Evaluation mode for every module that a recipe can reach, and what use may not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


class Evaluation:
    """Modules in evaluation mode, and the state that computing must leave as it is."""

    def refuse_changed(self) -> None:
        """Refuse modules whose state follows from what was computed; call it after each batch.

        Raises:
            FeatbankError: what a batch gives depends on those before it.
        """


@contextmanager
def evaluating(
    modules: Iterable[torch.nn.Module], hparams_values: object = None
) -> Iterator[Evaluation]:
    """Put modules into evaluation mode and run in inference mode; restore both, come what may.

    Args:
        modules: of torch.
        hparams_values: whatever else may hold modules: hparams, the brain itself.
    """
    del hparams_values
    training = {one: one.training for module in modules for one in module.modules()}
    for module in training:
        module.training = False
    try:
        with torch.inference_mode():
            yield Evaluation()
    finally:
        for module, mode in training.items():
            module.training = mode
