"""What determines the features of a recipe, as a digest; and the mode it is computed in."""

from featbank.recipes.fingerprinting.evaluation import Evaluation, evaluating
from featbank.recipes.fingerprinting.recipe import RecipeFingerprint, difference, fingerprint_recipe

__all__ = ["Evaluation", "RecipeFingerprint", "difference", "evaluating", "fingerprint_recipe"]
