"""Tokenizers, which fit codebooks that turn features into units, by their public names."""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

TOKENIZERS = Registry(
    kind="tokenizer",
    group="featbank.tokenizers",
    contract="featbank.tokenizers.kmeans:KMeans",
    table={
        "kmeans": "featbank.tokenizers.kmeans:KMeans",
    },
)


def __getattr__(name: str) -> Any:
    return TOKENIZERS.offer(name)
