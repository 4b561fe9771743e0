"""Array of the lengths of utterances that knows whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from featbank.dataset.features import FeatureDataset


class Lengths(npt.NDArray[np.int64]):
    """Array of lengths that knows its dataset, so that batches and states name its ids.

    Anything computed of them, a part or a copy, is of nobody.
    """

    dataset: FeatureDataset | None = None

    @classmethod
    def of(cls, dataset: FeatureDataset, lengths: npt.NDArray[np.int64]) -> Lengths:
        """Return the lengths of all items of a dataset."""
        found = lengths.view(cls)
        found.dataset = dataset
        return found
