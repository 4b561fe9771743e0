"""Write the features of whole splits: what the brain and its speechbrain mixin share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io import (
    FeatureStorageConfig,
    FeatureStorageReader,
    FeatureStorageWriter,
    create_feature_storage_readers,
    create_feature_storage_writers,
)
from featbank.routing import route
from featbank.store import commit_together
from featbank.store.format import SPLITS_NAME
from featbank.trusted import check_name, construct


class FeatureCache:
    """The stores of some features by split, at `<base_path>/<feature>/<split>`.

    That is the layout of the pipeline: `open_store(base_path / feature)` opens all splits as one.
    """

    def __init__(
        self,
        feature_configs: Sequence[FeatureStorageConfig | Mapping[str, Any]],
        base_path: str | Path,
    ) -> None:
        """Declare what is stored.

        Args:
            feature_configs: one entry a feature.
            base_path: folder of all stores.

        Raises:
            ConfigError: no entry, or one that is not right.
        """
        self.configs = [
            config
            if isinstance(config, FeatureStorageConfig)
            else construct(FeatureStorageConfig, config, "feature_configs")
            for config in feature_configs
        ]
        if not self.configs:
            raise ConfigError("feature_configs", expected="one entry a feature", got="none")
        self.base_path = Path(base_path)
        self.writers: dict[str, dict[str, FeatureStorageWriter]] = {}
        self.readers = SplitReaders(self)

    def cache(
        self,
        batches: Iterable[Any],
        compute: Callable[[Any], Any],
        split: str,
        advance: Callable[[int], object] = lambda _: None,
        num_utterances: int | None = None,
    ) -> None:
        """Compute and write all features of a split; an exception or a kill publishes nothing.

        Args:
            batches: of the split.
            compute: gives what `compute_features` returns for a batch.
            split: its name.
            advance: told the utterances of each batch once they are written.
            num_utterances: that the batches should give; None when nobody knows.

        Raises:
            FeatbankError: what was returned is not one dict an utterance, or cannot be stored, or
                there were no utterances, or another number of them.
        """
        check_name(split, "split")
        writers = create_feature_storage_writers(self.configs, self.base_path, suffix=f"/{split}")
        with ExitStack() as stack:
            for writer in writers.values():
                stack.callback(writer.abort)
            self.writers[split] = writers
            stack.callback(self.writers.pop, split)
            time_axes = {name: getattr(one, "time_axis", 0) for name, one in writers.items()}
            total = 0
            for batch in batches:
                num_written = 0
                for utterance_id, features in route(compute(batch), writers, time_axes):
                    for name, writer in writers.items():
                        writer.write(utterance_id, features[name])
                    num_written += 1
                advance(num_written)
                total += num_written
            # a generator that is used up, or drop_last, would lose utterances unseen
            if not total or total != (num_utterances or total):
                raise FeatbankError(
                    f"features of split {split!r}",
                    expected=f"{num_utterances or 'one or more'} utterances",
                    got=total,
                    hint="nothing was published; give all batches of the split, once",
                )
            commit_together(writers.values(), keep_others=True)
        self.readers.forget(split)


class SplitReaders(Mapping[str, Mapping[str, FeatureStorageReader]]):
    """Readers by split, then by feature name, opened when they are asked for."""

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._opened: dict[str, dict[str, FeatureStorageReader]] = {}

    def __getitem__(self, split: str) -> Mapping[str, FeatureStorageReader]:
        """Return the readers of a split.

        Raises:
            KeyError: none of it is there.
        """
        if split not in self._opened:
            try:
                self._opened[split] = create_feature_storage_readers(
                    self._cache.configs, self._cache.base_path, suffix=f"/{split}"
                )
            except StoreError as error:
                raise KeyError(f"split {split!r}: {error}") from error
        return self._opened[split]

    def __iter__(self) -> Iterator[str]:
        """Give the splits that are there."""
        first = self._cache.base_path / self._cache.configs[0].name
        found = {
            path.stem if path.is_file() else path.name
            for path in first.glob("[!.]*")
            if path.name != SPLITS_NAME
        }
        return iter(sorted(found))

    def __len__(self) -> int:
        """Return the number of splits."""
        return sum(1 for _ in self)

    def forget(self, split: str) -> None:
        """Close the readers of a split that was written anew."""
        for reader in self._opened.pop(split, {}).values():
            reader.close()
