"""Features of a recipe, computed once: what its brains share."""

from featbank.caching.cache import FeatureCache
from featbank.caching.journal import Journal, JournalFile, JournalRow, Place

__all__ = ["FeatureCache", "Journal", "JournalFile", "JournalRow", "Place"]
