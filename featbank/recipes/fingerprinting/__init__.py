"""Fingerprint of a recipe: a digest of what determines its features; and evaluation mode."""

from featbank.recipes.fingerprinting.evaluation import Evaluation, evaluating
from featbank.recipes.fingerprinting.recipe import RecipeFingerprint, difference, fingerprint_recipe

__all__ = ["Evaluation", "RecipeFingerprint", "difference", "evaluating", "fingerprint_recipe"]
