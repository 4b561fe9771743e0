"""Feature extraction in training recipes, under the same laws as the pipeline's.

`FeatureBrain` is for any loop. What needs speechbrain is in `featbank.recipes.speechbrain` and
`featbank.recipes.cached_item`.
"""

from featbank.recipes.brain import FeatureBrain

__all__ = ["FeatureBrain"]
