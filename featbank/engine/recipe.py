"""What computes features, and what follows from that before any audio is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featbank.base.trusted import build
from featbank.engine.description import describe, feature_fingerprints
from featbank.feature_io import PackedStorage, storage_by_name
from featbank.features.base import Extractor
from featbank.numerics import ON_CPU, Computing


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorRecipe:
    """What computes the features: picklable, so that any worker can compute any shard.

    Args:
        config: `_target_` and its arguments.
        audio_root: folder that the manifests' paths are relative to.
        computing: device, threads, and seconds of audio together.
        trusted_modules: packages beside featbank that `_target_` may name.
    """

    config: Mapping[str, Any]
    audio_root: str
    computing: Computing = ON_CPU
    trusted_modules: Sequence[str] = ()

    def build(self) -> Extractor:
        """Build the extractor.

        Raises:
            ConfigError: the class is untrusted, or no extractor.
            WeightsError: its weights cannot be had.
        """
        extractor: Extractor = build(self.config, self.trusted_modules, Extractor)
        return extractor


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An extractor and how its features are stored.

    Args:
        recipe: of the extractor, for workers.
        extractor: built by it.
        entries: how each feature is stored, by feature name.
        described: what determines the values, as provenance records it.
        fingerprints: of the stores, by feature name.
    """

    recipe: ExtractorRecipe
    extractor: Extractor
    entries: Mapping[str, PackedStorage]
    described: Mapping[str, Any]
    fingerprints: Mapping[str, str]


def define(
    *,
    extractor: Mapping[str, Any],
    storage: Sequence[PackedStorage],
    audio_root: str | Path,
    computing: Computing,
    trusted_modules: Sequence[str] = (),
) -> Definition:
    """Build an extractor, and tell what it will make.

    Args:
        extractor: `_target_` and its arguments.
        storage: one entry for each feature name of the extractor.
        audio_root: folder that the manifests' paths are relative to.
        computing: device, threads, and seconds of audio together; an extractor that uses no device
            computes on the CPU all the same, each utterance alone.
        trusted_modules: packages beside featbank that `_target_` may name.

    Raises:
        ConfigError: the extractor or its storage cannot be used.
        WeightsError: the weights cannot be had.
    """
    recipe = ExtractorRecipe(
        config=extractor,
        audio_root=str(audio_root),
        computing=computing,
        trusted_modules=tuple(trusted_modules),
    )
    built = recipe.build()
    if not built.uses_device:
        computing = computing.on_cpu()
    computing = replace(computing, in_bfloat16=built.in_bfloat16)
    recipe = replace(recipe, computing=computing)
    entries = storage_by_name(
        storage, {name: output.codebook_size for name, output in built.outputs.items()}
    )
    described = describe(extractor, built)
    return Definition(
        recipe=recipe,
        extractor=built,
        entries=entries,
        described=described,
        fingerprints=feature_fingerprints(described, entries),
    )
