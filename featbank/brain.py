"""Extract features from a training recipe: override one method, call another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

from featbank.caching import FeatureCache
from featbank.feature_io import FeatureStorageConfig, FeatureStorageReader, FeatureStorageWriter
from featbank.progress import count_bar


class FeatureBrain(ABC):
    """Computes features batch by batch and stores them by utterance id.

    Subclasses give `compute_features`; `cache_features` does the rest: evaluation mode, inference
    mode, progress, writing, publishing.

    Args:
        feature_configs: one entry a feature; that is all a recipe has to declare.
        base_path: folder of all stores; a feature of a split is at `<base_path>/<feature>/<split>`.
        modules: of torch, by name, as `self.modules`; moved to `device`.
        device: that they run on.
        progress: whether to draw a bar; None draws on a terminal.

    Raises:
        ConfigError: an entry is not right.
    """

    def __init__(
        self,
        feature_configs: Sequence[FeatureStorageConfig | Mapping[str, Any]],
        base_path: str | Path,
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        device: str | torch.device = "cpu",
        progress: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.modules = torch.nn.ModuleDict(dict(modules or {})).to(self.device)
        self._progress = progress
        self._cache = FeatureCache(feature_configs, base_path)

    @abstractmethod
    def compute_features(self, batch: Any, stage: str) -> Any:
        """Compute the features of a batch.

        Args:
            batch: as the loader gives it.
            stage: the split that is being computed.

        Returns:
            One dict an utterance: `id`, and under the name of each feature an array (T, ...) of
            valid frames, or a pair of a padded array and its length. Or one dict for the batch, its
            features pairs (padded (B, T, ...), lengths (B,)). See `featbank.routing.route`.
        """

    def cache_features(
        self, dataset_or_loader: Iterable[Any] | Dataset[Any], stage: str, **loader_kwargs: Any
    ) -> None:
        """Compute all features of a split and publish their stores.

        An exception or a kill publishes nothing; a store of the split that was there stays until
        the new one is whole.

        Args:
            dataset_or_loader: gives batches; of a `Dataset` a `DataLoader` is made.
            stage: the name of the split.
            loader_kwargs: of that `DataLoader`.

        Raises:
            FeatbankError: what was returned is not one dict an utterance, or cannot be stored.
        """
        loader = as_loader(dataset_or_loader, loader_kwargs)
        total = num_utterances(loader)
        with (
            evaluating(self.modules),
            count_bar(f"features of {stage}", total, show=self._progress) as step,
        ):
            self._cache.cache(
                loader, lambda batch: self.compute_features(batch, stage), stage, step, total
            )

    @property
    def feature_writers(self) -> Mapping[str, Mapping[str, FeatureStorageWriter]]:
        """Writers at work: by split, then by feature name."""
        return self._cache.writers

    @property
    def feature_readers(self) -> Mapping[str, Mapping[str, FeatureStorageReader]]:
        """Readers of what is published: by split, then by feature name."""
        return self._cache.readers


@contextmanager
def evaluating(modules: torch.nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode and run in inference mode; restore both, come what may."""
    training = {module: module.training for module in modules.modules()}
    modules.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode


def as_loader(
    dataset_or_loader: Iterable[Any] | Dataset[Any], loader_kwargs: Mapping[str, Any]
) -> Iterable[Any]:
    """Return what gives batches; of a dataset, a `DataLoader`."""
    if isinstance(dataset_or_loader, Dataset):
        return DataLoader(dataset_or_loader, **loader_kwargs)
    if loader_kwargs:
        raise TypeError(f"expected a Dataset beside {', '.join(loader_kwargs)}, got a loader")
    return dataset_or_loader


def num_utterances(loader: Iterable[Any]) -> int | None:
    """Return how many utterances a loader should give, where it can tell.

    Those that its sampler draws, though `drop_last` may leave some of them out.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    batch_sampler = loader.batch_sampler
    if batch_sampler is not None and type(batch_sampler) is not BatchSampler:
        return None  # one of the user's own, which may give any part of the dataset
    sampler = loader.sampler
    return len(sampler) if isinstance(sampler, Sized) else None
