"""Transforms of units and codes for speech language models, and their inverses."""

from featbank.base.units import deduplicate, expand
from featbank.sequences.bpe import UnitBpe
from featbank.sequences.chunks import chunk, unchunk
from featbank.sequences.patterns import delay, flatten, undelay, unflatten
from featbank.sequences.vocabulary import Vocabulary

__all__ = [
    "UnitBpe",
    "Vocabulary",
    "chunk",
    "deduplicate",
    "delay",
    "expand",
    "flatten",
    "unchunk",
    "undelay",
    "unflatten",
]
