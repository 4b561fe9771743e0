"""Advice on damage, the same in every error and command about it."""

from __future__ import annotations

from pathlib import Path

from featbank import PROGRAM
from featbank.base.nearest import near_folder

MAKE = "run the stage that makes it, or dvc pull; in a recipe, call cache_features"
"""How a store is had that is not there."""


def heal(path: Path) -> str:
    """Say how a damaged file of a store is had again, wherever it came from.

    DVC links what is in its cache, and takes what is there for sound: neither `dvc pull` nor a
    stage that is run again gets past a damaged object in it.

    Args:
        path: of the store, or of a file in it.
    """
    return f"{PROGRAM} verify --remove {path} takes it away, out of DVC's cache too; then {MAKE}"


def instead_of_absent(folder: Path) -> str:
    """Say how a store is had that is not there: by a near name beside it, or by making it."""
    return MAKE if folder.exists() else near_folder(folder) or MAKE
