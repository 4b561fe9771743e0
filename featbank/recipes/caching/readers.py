"""Readers of a recipe's published features, if they are what it computes now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from featbank.errors import FeatbankError, StoreError
from featbank.feature_io.base import FeatureStorageReader
from featbank.feature_io.config import FeatureStorageConfig
from featbank.feature_io.making import create_feature_storage_readers, stated_origin
from featbank.recipes.fingerprinting import RecipeFingerprint, difference
from featbank.store.format import SPLITS_NAME

_log = logging.getLogger(__name__)

PROVENANCE = "recipe"
"""The key of a header's provenance under which a recipe's fingerprint tells its parts."""


class StaleFeaturesError(StoreError):
    """Features are not as the recipe computes them now, or it cannot be told."""


class SplitReaders(Mapping[str, Mapping[str, FeatureStorageReader]]):
    """Readers by split, then by feature name, opened on demand.

    A split is in it where its features are there as the recipe computes them now; so
    `if "train" not in brain.feature_readers: brain.cache_features(...)` computes what is stale.
    """

    def __init__(
        self,
        configs: Sequence[FeatureStorageConfig],
        base_paths: Sequence[Path],
        fingerprint: Callable[[], RecipeFingerprint],
        *,
        allow_stale: bool,
    ) -> None:
        """Describe the stores to read; none is opened yet.

        Args:
            configs: one entry a feature.
            base_paths: folders of all stores; the first that has a split as it is computed now
                serves it.
            fingerprint: takes that of the recipe as it is now.
            allow_stale: take what has another fingerprint, with a warning.
        """
        self._configs = list(configs)
        self._base_paths = list(base_paths)
        self._fingerprint = fingerprint
        self._allow_stale = allow_stale
        self._opened: dict[str, dict[str, FeatureStorageReader]] = {}
        self._folders: dict[str, Path] = {}  # that the opened ones are below
        self._written: dict[tuple[Path, str], str] = {}

    def __getitem__(self, split: str) -> Mapping[str, FeatureStorageReader]:
        """Return the readers of a split.

        Raises:
            KeyError: none of it is there.
            StaleFeaturesError: it has another fingerprint than the recipe, or none.
        """
        if split not in self._opened:
            self._opened[split] = self._open(split)
        return self._opened[split]

    def __contains__(self, split: object) -> bool:
        """Tell whether a split is there, and as the recipe computes it now, opened or not."""
        if not isinstance(split, str):
            return False
        try:
            if split in self._opened:  # the recipe may have changed since
                self._check(split, self._opened[split], self._folders[split])
            return bool(self[split])
        except (KeyError, StaleFeaturesError):
            self.forget(split)
            return False

    def __iter__(self) -> Iterator[str]:
        """Give the splits that are there as the recipe computes them now."""
        found = {
            path.stem if path.is_file() else path.name
            for base_path in self._base_paths
            for path in (base_path / self._configs[0].name).glob("[!.]*")
            if path.name != SPLITS_NAME
        }
        return iter([split for split in sorted(found) if split in self])

    def __len__(self) -> int:
        """Return the number of these splits."""
        return sum(1 for _ in self)

    def forget(self, split: str) -> None:
        """Close the readers of a split that is written anew."""
        for reader in self._opened.pop(split, {}).values():
            reader.close()

    def trust(self, base_path: Path, split: str, fingerprint: str) -> None:
        """Remember the fingerprint of what this process wrote, for files that cannot state it."""
        self._written[base_path, split] = fingerprint

    def _open(self, split: str) -> dict[str, FeatureStorageReader]:
        errors: list[Exception] = []
        for base_path in self._base_paths:
            with ExitStack() as stack:
                try:
                    readers = create_feature_storage_readers(
                        self._configs, base_path, suffix=f"/{split}", must_exist=True
                    )
                except StoreError as error:
                    missing = KeyError(f"split {split!r}: {error}")
                    missing.__cause__ = error
                    errors.append(missing)
                    continue
                for reader in readers.values():
                    stack.callback(reader.close)
                try:
                    self._check(split, readers, base_path)
                except StaleFeaturesError as error:
                    errors.append(error)
                    continue
                if base_path != self._base_paths[0]:
                    _log.warning(
                        "debug: split %r has the utterances of a debug run alone; to read all, "
                        "compute them once without debug",
                        split,
                    )
                stack.pop_all()
                self._folders[split] = base_path
                return readers
        raise next((one for one in errors if isinstance(one, StaleFeaturesError)), errors[0])

    def _check(
        self, split: str, readers: Mapping[str, FeatureStorageReader], base_path: Path
    ) -> None:
        """Refuse what the recipe does not compute now, or say that it is taken all the same."""
        try:
            now = self._fingerprint()
        except FeatbankError as error:
            if not self._allow_stale:
                raise
            _log.warning("it is not known whether features of split %r are stale: %s", split, error)
            return
        written = self._written.get((base_path, split), "")
        for reader in readers.values():
            stored, provenance = stated_origin(reader) or (written, {})
            if stored == now.digest:
                continue
            stale = StaleFeaturesError(
                f"features at {reader.storage_path}",
                expected=f"fingerprint {now.digest}, of the recipe as it is now",
                got=f"{stored}: {_difference(provenance, now)}" if stored else "none stated",
                hint="call cache_features to compute what changed, or take them as they are with "
                "allow_stale=True",
            )
            if not self._allow_stale:
                raise stale
            _log.warning("stale features are read, for allow_stale=True: %s", stale)


def _difference(provenance: Mapping[str, Any], now: RecipeFingerprint) -> str:
    recipe = provenance.get(PROVENANCE)
    parts = recipe.get("parts") if isinstance(recipe, Mapping) else None
    if not isinstance(parts, Mapping):
        return "made by something else than a recipe"
    return ", ".join(difference(parts, now.parts)) or "no part of it is known to differ"
