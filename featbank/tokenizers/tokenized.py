"""Choice of the feature of an extractor that tokens are made of."""

from __future__ import annotations

from collections.abc import Sequence


def feature_of_tokens(names: Sequence[str]) -> str:
    """Return the feature that a codebook is fitted on and tokens are made of: the first.

    Args:
        names: of the features, in the order of the definition's `storage`.
    """
    return names[0]
