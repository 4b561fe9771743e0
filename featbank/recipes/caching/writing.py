"""Writing of the rows of a split: checks of its writers, the recipe's fingerprint, the rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from featbank.errors import ConfigError
from featbank.feature_io.base import FeatureStorageWriter, TracedWriter
from featbank.files.provenance import digest
from featbank.recipes.caching.computing import Computed
from featbank.recipes.caching.readers import PROVENANCE
from featbank.recipes.fingerprinting import RecipeFingerprint

_log = logging.getLogger(__name__)


def check_writers(writers: Mapping[str, FeatureStorageWriter]) -> None:
    """Refuse objects that are no writers of features.

    Raises:
        ConfigError: one of them is none.
    """
    for name, writer in writers.items():
        if not isinstance(writer, FeatureStorageWriter):
            raise ConfigError(
                f"writers of cache_features: {name!r}",
                expected="a writer of features",
                got=type(writer).__name__,
                hint="featbank.feature_io.create_feature_storage_writers makes one a feature",
            )


def describe(writers: Mapping[str, FeatureStorageWriter], fingerprint: RecipeFingerprint) -> None:
    """Have the writers state the fingerprint, and log for which of them nothing can be reused."""
    recipe = {"parts": dict(fingerprint.parts), "named": list(fingerprint.named)}
    for name, writer in writers.items():
        if isinstance(writer, TracedWriter):
            writer.describe(fingerprint=fingerprint.digest, provenance={PROVENANCE: recipe})
        else:
            _log.warning(
                "%s of feature %r keeps no fingerprint: each call computes everything anew, and "
                "another process opens it with allow_stale=True only",
                type(writer).__name__,
                name,
            )


def write_rows(writers: Mapping[str, FeatureStorageWriter], computed: Computed) -> None:
    """Write all rows, in the order of their ids, so that the bytes follow from them alone.

    Raises:
        StoreError: a writer refuses a row, or the bytes of one have changed meanwhile.
    """
    for utterance_id in sorted(computed.rows):
        row = computed.rows[utterance_id].read()
        for name, writer in writers.items():
            encoded = row.features[name]
            if isinstance(writer, TracedWriter):
                writer.write_encoded(row.id, encoded, row.input_digest)
            else:
                writer.write(row.id, encoded.stored)


def digest_of_writers(writers: Mapping[str, FeatureStorageWriter]) -> str:
    """Return a digest of the caller's own writers, for the name of a work folder."""
    return digest(
        [
            [name, type(one).__qualname__, str(one.storage_path), str(getattr(one, "dtype", ""))]
            for name, one in sorted(writers.items())
        ]
    )[:8]
