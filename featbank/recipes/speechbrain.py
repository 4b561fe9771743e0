"""Stores in speechbrain recipes: a mixin for `Brain`, and dynamic items that read by id.

Written against speechbrain 1.1, which the extra `speechbrain` installs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from speechbrain.core import Stage
from speechbrain.dataio.dataloader import LoopedLoader, make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import DynamicItem
from torch.utils.data import DataLoader, Dataset

from featbank.errors import ConfigError
from featbank.feature_io.base import FeatureStorageReader
from featbank.recipes.caching import CachesFeatures, RecipeSettings, UtteranceKey, digest_of_item


class FeatureCachingMixin(CachesFeatures):
    """Gives `compute_features` and `cache_features` to any `speechbrain.Brain`.

    `class Recipe(FeatureCachingMixin, speechbrain.Brain)` reads two entries of its hparams:
    `feature_configs`, of `FeatureStorageConfig` as a list or by name, and `feature_path`, the
    folder of all stores; and, where they are there, `fingerprint_with` and `allow_stale`, as
    `FeatureBrain` has them. A feature of a split is at `<feature_path>/<feature>/<split>`.

    `cache_features(dataset, stage, ...)` makes, of a dataset, speechbrain's own kind of loader, in
    order and with no utterance dropped, whatever the stage; `Stage.TRAIN` gives the split `train`.
    Where the dataset has an item `digest`, such as the hash of a file in its manifest, an utterance
    is known by that and its id, and then not even decoded: of a dataset's pipeline nothing counts
    but its `digest`, so put into that what else the input follows from, such as a sample rate.
    `--noprogressbar` is honoured; with `--debug` only `debug_batches` batches are computed, into
    stores of their own.
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
            such as speechbrain's `PaddedData`: see `featbank.base.routing.route`.
        """
        raise NotImplementedError

    def _recipe_settings(self) -> RecipeSettings:
        hparams = getattr(self, "hparams", None)
        for name in ("feature_configs", "feature_path"):
            if not hasattr(hparams, name):
                raise ConfigError(
                    f"hparams of {type(self).__name__}", expected=f"an entry {name}", got="none"
                )
        return RecipeSettings(
            feature_configs=self.hparams.feature_configs,
            base_path=self.hparams.feature_path,
            modules=dict(self.modules.items()),
            hparams=self.hparams,
            fingerprint_with=getattr(self.hparams, "fingerprint_with", None),
            allow_stale=getattr(self.hparams, "allow_stale", False),
            debug_batches=getattr(self, "debug_batches", None)
            if getattr(self, "debug", False)
            else None,
            progress=False if getattr(self, "noprogressbar", False) else None,
        )

    def _split_name(self, stage: Stage | str) -> str:
        return split_name(stage)

    def _make_loader(self, dataset: Dataset[Any], **loader_kwargs: Any) -> DataLoader[Any]:
        loader: DataLoader[Any] = make_dataloader(dataset, **loader_kwargs)
        _refuse_looped(loader)
        return loader

    def _keys_of(self, dataset: Any) -> Sequence[UtteranceKey] | None:
        _refuse_looped(dataset)
        if not isinstance(dataset, DynamicItemDataset):
            return super()._keys_of(dataset)
        if "digest" not in dataset.pipeline.key_to_node:
            return None
        before = dataset.pipeline.output_mapping
        try:
            with dataset.output_keys_as(["id", "digest"]):
                return [
                    UtteranceKey(item["id"], digest_of_item(item["digest"])) for item in dataset
                ]
        finally:
            dataset.set_output_keys(before)  # which speechbrain forgets when an item raises

    def _on_device(self, batch: Any) -> Any:
        return batch.to(self.device) if hasattr(batch, "to") else batch


def _refuse_looped(loader: Any) -> None:
    """Refuse a loader whose epoch is some number of batches: it would leave utterances out."""
    if isinstance(loader, LoopedLoader):
        raise ConfigError(
            "loader of cache_features",
            expected="one that gives each utterance once",
            got=f"a LoopedLoader of {loader.epoch_length} batches",
            hint="leave looped_nominal_epoch to the loader that trains",
        )


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
