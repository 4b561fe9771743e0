"""`cache_features`, which a recipe calls, and the readers of what it published."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from featbank.base.progress import progress_bar
from featbank.feature_io.base import FeatureStorageReader, FeatureStorageWriter
from featbank.feature_io.config import storage_configs
from featbank.ranks import Meeting, standing
from featbank.recipes.caching.batches import batches_of
from featbank.recipes.caching.cache import Extraction, FeatureCache
from featbank.recipes.caching.utterance_digest import UtteranceKey, digest_of_item
from featbank.recipes.caching.writing import check_writers
from featbank.recipes.fingerprinting import (
    RecipeFingerprint,
    difference,
    evaluating,
    fingerprint_recipe,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    """Settings of the features that a recipe stores.

    Args:
        feature_configs: one entry a feature, as a list or by name.
        base_path: folder of all stores; a feature of a split is at `<base_path>/<feature>/<split>`.
        modules: of torch, by name, that it computes with.
        hparams: what else it computes with, as an object or a mapping.
        fingerprint_with: values, by name, that stand for what a digest cannot be taken of.
        allow_stale: read features that the recipe would compute otherwise now, with a warning.
        debug_batches: compute no more than these, into stores of their own.
        progress: as `show` of `featbank.base.progress.progress_bar`.
    """

    feature_configs: Iterable[Any] | Mapping[str, Any]
    base_path: Any
    modules: Mapping[str, torch.nn.Module] = field(default_factory=dict)
    hparams: object = None
    fingerprint_with: Mapping[str, Any] | None = None
    allow_stale: bool = False
    debug_batches: int | None = None
    progress: bool | None = None


class CachesFeatures(ABC):
    """Mixin that adds `cache_features` and its readers to a class with `compute_features`."""

    @abstractmethod
    def compute_features(self, batch: Any, stage: Any) -> Any:
        """Compute the features of a batch; see `featbank.base.routing.route` for what to return."""

    def cache_features(
        self,
        dataset_or_loader: Any,
        stage: Any = None,
        loader_kwargs: Mapping[str, Any] | None = None,
        *,
        writers: Mapping[str, FeatureStorageWriter] | None = None,
        overwrite: bool = False,
        progressbar: bool | None = None,
        **more_loader_kwargs: Any,
    ) -> None:
        """Compute what is new of the features of a split, and publish their stores.

        An utterance is known by its id and a digest of all that the batch holds of it, padding left
        out; see `featbank.recipes.caching.utterance_digest`. Where the dataset has a method
        `digests`, that gives a pair of an id and a plain value for each index, it is known by
        these, and then not even loaded. What is known under the fingerprint of the recipe is not
        computed again, after another call or a kill. Of input with random augmentation nothing is
        ever known.

        Every module is in evaluation mode, and torch in inference mode. An exception or a kill
        publishes nothing; a store that was there stays until the new one is whole, and what was
        computed waits in `<base_path>/.featbank-work`. Until the end the disk holds the new rows
        there, then once more in the new store, beside the store that was there.

        The ranks of a launched run call it together: each computes its share, and the first one
        publishes; see `featbank.recipes.caching.sharing`. Nothing waits for a rank that failed or
        is gone, and nothing ends what takes long. Within `featbank.ranks.alone`, and in
        speechbrain's `run_on_main`, one rank acts by itself.

        `cache_features(writers, dataset, loader_kwargs)` writes with writers of the caller's.

        Args:
            dataset_or_loader: gives batches; of a `Dataset`, a loader is made.
            stage: names the split, and is given to `compute_features`. With `writers` it may be
                left out: then it is what their paths end in.
            loader_kwargs: of that loader.
            writers: one a feature, by name; they are committed together, or aborted.
            overwrite: compute everything anew, known or not.
            progressbar: likewise; None does as the recipe says.
            more_loader_kwargs: of the loader, too.

        Raises:
            ConfigError: the recipe lacks a setting, or holds what no fingerprint can be taken of.
            RankError: another rank failed, is gone, or computes something else.
            FeatbankError: what was returned is not one dict an utterance, or cannot be stored, or
                another number of utterances came than the loader should give.
        """
        if isinstance(dataset_or_loader, Mapping):  # as the seed of this project calls it
            if writers is not None:
                raise TypeError("cache_features got writers twice")
            dataset_or_loader, stage, writers = stage, None, dataset_or_loader
        if writers is not None:
            if not writers:
                _log.warning("cache_features was given no writers: nothing is stored")
                return
            if stage is None:
                check_writers(writers)
                stage = _end_of_paths(writers)
        if stage is None:
            raise TypeError("cache_features takes a dataset and a stage, which names the split")
        self._cache_features(
            dataset_or_loader,
            stage,
            {**(loader_kwargs or {}), **more_loader_kwargs},
            writers,
            overwrite=overwrite,
            progressbar=progressbar,
        )

    @property
    def feature_writers(self) -> Mapping[str, Mapping[str, FeatureStorageWriter]]:
        """Open writers: by split, then by feature name."""
        return self._feature_cache.writers

    @property
    def feature_readers(self) -> Mapping[str, Mapping[str, FeatureStorageReader]]:
        """Readers of the published stores, by split, then by feature name.

        A split is in it that is there as the recipe computes it now. One of another fingerprint is
        refused when it is asked for, unless the recipe allows it.
        """
        return self._feature_cache.readers

    def feature_fingerprint(self) -> RecipeFingerprint:
        """Take the fingerprint of what `compute_features` computes, as the recipe is now.

        Raises:
            ConfigError: it uses what no digest can be taken of, which `fingerprint_with` must name.
        """
        settings = self._recipe_settings()
        return fingerprint_recipe(
            self.compute_features,
            owner=self,
            modules=settings.modules,
            hparams=settings.hparams,
            feature_configs=storage_configs(settings.feature_configs),
            fingerprint_with=settings.fingerprint_with,
        )

    @abstractmethod
    def _recipe_settings(self) -> RecipeSettings:
        """Return what the recipe says of its features, as it is now."""

    def _split_name(self, stage: Any) -> str:
        return str(stage)

    def _make_loader(self, dataset: Dataset[Any], **loader_kwargs: Any) -> DataLoader[Any]:
        return DataLoader(dataset, **loader_kwargs)

    def _keys_of(self, dataset: Any) -> Sequence[UtteranceKey] | None:
        """Return the keys of the utterances of a dataset by index, where it tells them unloaded."""
        digests: Callable[[], Iterable[tuple[str, Any]]] | None = getattr(dataset, "digests", None)
        if digests is None:
            return None
        return [UtteranceKey(one, digest_of_item(item)) for one, item in digests()]

    def _on_device(self, batch: Any) -> Any:
        return batch

    @cached_property
    def _feature_cache(self) -> FeatureCache:
        settings = self._recipe_settings()
        return FeatureCache(
            settings.feature_configs,
            settings.base_path,
            self.feature_fingerprint,
            allow_stale=settings.allow_stale,
            debug_batches=settings.debug_batches,
        )

    def _cache_features(
        self,
        dataset_or_loader: Any,
        stage: Any,
        loader_kwargs: Mapping[str, Any],
        writers: Mapping[str, FeatureStorageWriter] | None,
        *,
        overwrite: bool,
        progressbar: bool | None,
    ) -> None:
        split = self._split_name(stage)
        with Meeting(standing(), f"features of split {split!r}") as ranks:
            settings = self._recipe_settings()
            keys = self._keys_of(dataset_or_loader)
            batches = batches_of(dataset_or_loader, loader_kwargs, self._make_loader, keys)
            show = settings.progress if progressbar is None else progressbar
            # before the first forward, which may change what modules keep for themselves
            fingerprint = self.feature_fingerprint()

            def changed() -> list[str]:
                return difference(fingerprint.parts, self.feature_fingerprint().parts)

            with (
                evaluating(settings.modules, settings.hparams, self, changed=changed) as evaluation,
                progress_bar(
                    f"features of {split}",
                    batches.total,
                    unit="utterances",
                    show=show if ranks.is_first else False,
                ) as advance,
            ):

                def compute(batch: Any) -> Any:
                    returned = self.compute_features(self._on_device(batch), stage)
                    evaluation.refuse_changed()
                    return returned

                self._feature_cache.cache(
                    Extraction(
                        split=split,
                        batches=batches,
                        compute=compute,
                        fingerprint=fingerprint,
                        writers=writers,
                        overwrite=overwrite,
                        advance=advance,
                        ranks=ranks,
                    )
                )


def _end_of_paths(writers: Mapping[str, FeatureStorageWriter]) -> str:
    """Return the name that the paths of writers end in: the split, in the pipeline's layout."""
    names = sorted({writer.storage_path.stem for writer in writers.values()})
    return names[0] if len(names) == 1 else "+".join(names)
