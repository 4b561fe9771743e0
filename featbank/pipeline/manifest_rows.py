"""Read the rows of manifests wherever one lies: here, in DVC's cache, or in a remote."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from featbank.base.manifest import Utterance, iterate_manifest
from featbank.pipeline.dvc_deletion import REMOTE
from featbank.pipeline.dvc_remote import RemoteObjects
from featbank.pipeline.holdings import Holding


def rows_of_manifest(holding: Holding) -> Iterator[Utterance]:
    """Give the rows of a manifest, whoever they are of.

    Raises:
        ManifestError: it is damaged.
        StoreError: its remote does not give it.
    """
    if not holding.place.startswith(REMOTE):
        yield from iterate_manifest(holding.path)
        return
    with tempfile.TemporaryDirectory(prefix="featbank-") as folder:
        path = Path(folder, "manifest.jsonl")
        RemoteObjects(holding.place.removeprefix(REMOTE)).fetch(holding.digest, path)
        yield from iterate_manifest(path)
