"""`FeatureBrain`: feature extraction in a recipe by overriding one method and calling another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from featbank.feature_io.config import FeatureStorageConfig, storage_configs
from featbank.recipes.caching import CachesFeatures, RecipeSettings


class FeatureBrain(CachesFeatures):
    """Computes features batch by batch and stores them by utterance id.

    Subclasses give `compute_features`; `cache_features` does the rest: evaluation mode, inference
    mode, progress, writing, publishing.

    Args:
        feature_configs: one entry a feature, as a list or by name; that is all a recipe has to
            declare.
        base_path: folder of all stores; a feature of a split is at `<base_path>/<feature>/<split>`.
        modules: of torch, by name, as `self.modules`; moved to `device`.
        device: that they run on.
        progress: as `show` of `featbank.base.progress.progress_bar`.
        fingerprint_with: values, by name, that stand for what `compute_features` uses and no digest
            can be taken of; see `featbank.recipes.fingerprinting`.
        allow_stale: read features that were computed in another way, with a warning.
        debug_batches: compute no more batches than these, into stores of their own: they, too, are
            read where there are no whole ones.

    Raises:
        ConfigError: an entry is not right.
    """

    def __init__(
        self,
        feature_configs: Iterable[FeatureStorageConfig | Mapping[str, Any]] | Mapping[str, Any],
        base_path: str | Path,
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        device: str | torch.device = "cpu",
        progress: bool | None = None,
        fingerprint_with: Mapping[str, Any] | None = None,
        allow_stale: bool = False,
        debug_batches: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.modules = torch.nn.ModuleDict(dict(modules or {})).to(self.device)
        self._settings = RecipeSettings(
            feature_configs=storage_configs(feature_configs),
            base_path=Path(base_path),
            fingerprint_with=fingerprint_with,
            allow_stale=allow_stale,
            debug_batches=debug_batches,
            progress=progress,
        )

    @abstractmethod
    def compute_features(self, batch: Any, stage: str) -> Any:
        """Compute the features of a batch.

        Args:
            batch: as the loader gives it.
            stage: the split that is being computed.

        Returns:
            One dict an utterance: `id`, and under the name of each feature an array (T, ...) of
            valid frames, or a pair of a padded array and its length. Or one dict for the batch, its
            features pairs (padded (B, T, ...), lengths (B,)). See `featbank.base.routing.route`.
        """

    def _recipe_settings(self) -> RecipeSettings:
        return replace(self._settings, modules=dict(self.modules.items()))
