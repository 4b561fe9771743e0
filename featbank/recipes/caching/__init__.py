"""Caching of a recipe's features: each is computed once and published as a store."""

from featbank.recipes.caching.cache import FeatureCache
from featbank.recipes.caching.front import CachesFeatures, RecipeSettings
from featbank.recipes.caching.journal import Journal, JournalFile, JournalRow, RowPlace
from featbank.recipes.caching.readers import StaleFeaturesError
from featbank.recipes.caching.utterance_digest import UtteranceKey, digest_of_item

__all__ = [
    "CachesFeatures",
    "FeatureCache",
    "Journal",
    "JournalFile",
    "JournalRow",
    "RecipeSettings",
    "RowPlace",
    "StaleFeaturesError",
    "UtteranceKey",
    "digest_of_item",
]
