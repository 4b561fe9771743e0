"""Stores in speechbrain recipes: a mixin for `Brain`, and dynamic items that read by id.

Written against speechbrain 1.1, which the extra `speechbrain` installs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from speechbrain.core import Stage
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.data_pipeline import DynamicItem
from torch.utils.data import Dataset

from featbank.brain import as_loader, evaluating, num_utterances
from featbank.caching import FeatureCache
from featbank.errors import ConfigError
from featbank.feature_io import FeatureStorageReader, FeatureStorageWriter
from featbank.progress import count_bar


class FeatureCachingMixin:
    """Gives `compute_features` and `cache_features` to any `speechbrain.Brain`.

    `class Recipe(FeatureCachingMixin, speechbrain.Brain)` reads two entries of its hparams:
    `feature_configs`, a list of `FeatureStorageConfig`, and `feature_path`, the folder of all
    stores. A feature of a split is at `<feature_path>/<feature>/<split>`.
    """

    modules: torch.nn.ModuleDict
    hparams: Any
    device: Any

    def compute_features(self, batch: Any, stage: Stage | str) -> Any:
        """Compute the features of a batch; to be overridden.

        Args:
            batch: a `PaddedBatch`, moved to the brain's device.
            stage: as given to `cache_features`.

        Returns:
            One dict an utterance, or one for the batch whose features are pairs (padded, lengths),
            such as speechbrain's `PaddedData`: see `featbank.routing.route`.
        """
        raise NotImplementedError

    def cache_features(
        self,
        dataset_or_loader: Iterable[Any] | Dataset[Any],
        stage: Stage | str,
        *,
        progressbar: bool | None = None,
        **loader_kwargs: Any,
    ) -> None:
        """Compute all features of a split and publish their stores.

        Every module is in evaluation mode, and torch in inference mode. An exception or a kill
        publishes nothing; a store that was there stays until the new one is whole.

        Args:
            dataset_or_loader: gives batches; of a dataset, speechbrain's own kind of loader is
                made, in order and with no utterance dropped, whatever the stage.
            stage: names the split: `Stage.TRAIN` gives `train`.
            progressbar: whether to draw a bar; None draws on a terminal.
            loader_kwargs: of that loader.

        Raises:
            ConfigError: the recipe was started by torchrun, or its hparams lack an entry.
            FeatbankError: what was returned is not one dict an utterance, or cannot be stored.
        """
        if getattr(self, "distributed_launch", False):
            raise ConfigError(
                "cache_features", expected="one process", got="a recipe started by torchrun"
            )
        if isinstance(dataset_or_loader, Dataset):
            dataset_or_loader = make_dataloader(dataset_or_loader, **loader_kwargs)
            loader_kwargs = {}
        loader = as_loader(dataset_or_loader, loader_kwargs)
        split = split_name(stage)
        total = num_utterances(loader)
        with (
            evaluating(self.modules),
            count_bar(f"features of {split}", total, show=progressbar) as advance,
        ):
            self._feature_cache.cache(
                loader,
                lambda batch: self.compute_features(self._on_device(batch), stage),
                split,
                advance,
                total,
            )

    @property
    def feature_writers(self) -> Mapping[str, Mapping[str, FeatureStorageWriter]]:
        """Writers at work: by split, then by feature name."""
        return self._feature_cache.writers

    @property
    def feature_readers(self) -> Mapping[str, Mapping[str, FeatureStorageReader]]:
        """Readers of what is published: by split, then by feature name."""
        return self._feature_cache.readers

    @cached_property
    def _feature_cache(self) -> FeatureCache:
        for name in ("feature_configs", "feature_path"):
            if not hasattr(self.hparams, name):
                raise ConfigError(
                    f"hparams of {type(self).__name__}", expected=f"an entry {name}", got="none"
                )
        return FeatureCache(self.hparams.feature_configs, self.hparams.feature_path)

    def _on_device(self, batch: Any) -> Any:
        return batch.to(self.device) if hasattr(batch, "to") else batch


def stored_features(
    reader: FeatureStorageReader,
    provides: str,
    takes: str = "id",
    convert: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> DynamicItem:
    """Return a dynamic item that reads an utterance's features by its id.

    Args:
        reader: such as `brain.feature_readers["train"]["fbank"]`, or an opened store.
        provides: the name of the item.
        takes: the key under which the dataset has the id.
        convert: what to make of the values; `torch.Tensor.long` makes embeddings take tokens.

    Returns:
        For `dataset.add_dynamic_item(...)`; it gives (T, ...) tensors in memory of their own.
    """
    return DynamicItem([takes], _StoredFeatures(reader, convert), [provides])


class _StoredFeatures:
    """Reads by id; unlike a function within a function it can be pickled for a spawned worker."""

    def __init__(
        self,
        reader: FeatureStorageReader,
        convert: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> None:
        self._reader = reader
        self._convert = convert

    def __call__(self, utterance_id: str) -> torch.Tensor:
        values = torch.from_numpy(self._reader.read(utterance_id).copy())
        return values if self._convert is None else self._convert(values)


def split_name(stage: Stage | str) -> str:
    """Return the name of a stage's split: `valid` of `Stage.VALID`."""
    return stage.name.lower() if isinstance(stage, Stage) else stage
