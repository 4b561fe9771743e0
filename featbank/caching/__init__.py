"""Features of a recipe, computed once: what its brains share."""

from featbank.caching.cache import FeatureCache
from featbank.caching.front import CachesFeatures, RecipeSettings
from featbank.caching.journal import Journal, JournalFile, JournalRow, Place
from featbank.caching.readers import StaleFeaturesError
from featbank.caching.utterance_digest import UtteranceKey, digest_of_item

__all__ = [
    "CachesFeatures",
    "FeatureCache",
    "Journal",
    "JournalFile",
    "JournalRow",
    "Place",
    "RecipeSettings",
    "StaleFeaturesError",
    "UtteranceKey",
    "digest_of_item",
]
