"""Codebooks that were fitted elsewhere: converted once, then taken over for a feature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featbank.errors import CodebookError, ConfigError
from featbank.files.opening import instead_of_file
from featbank.files.provenance import digest, file_sha256
from featbank.numerics import ON_CPU, Computing, thread_count
from featbank.store import Store, open_verified
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.importing import read_centroids
from featbank.tokenizers.replacing import refuse_other_codebook

_MEASURED_FRAMES = 100_000  # whose distance to an imported codebook is measured


def import_codebook(file: Path, out: Path, *, overwrite: bool = False) -> Codebook:
    """Convert a k-means that was fitted elsewhere into a codebook's file, once and by hand.

    Args:
        file: that `read_centroids` reads.
        out: the codebook's file.
        overwrite: replace another codebook.

    Raises:
        CodebookError: the file is no k-means, or another codebook is there.
        ConfigError: the library that reads it is not installed.
    """
    centroids, kind = read_centroids(file)
    codebook = Codebook(
        centroids=centroids,
        provenance={
            "imported_from": {"file": file.name, "kind": kind, "sha256": file_sha256(file)}
        },
    )
    if out.exists() and not overwrite:
        there = load_codebook(out)
        if "fitted_on" in there.provenance:
            raise CodebookError(
                f"codebook {out}",
                expected="nothing there, or an imported one",
                got="one that says what it was fitted on",
                hint="name another file: stages/fit.py takes it over into data/codebooks",
            )
        if there.centroids_digest != codebook.centroids_digest:
            raise CodebookError(
                f"codebook {out}",
                expected=f"nothing there, or the centroids of {file}",
                got=f"other ones, {there.centroids.shape}",
                hint="name another file, or replace it with overwrite=true",
            )
    save_codebook(out, codebook)
    return load_codebook(out)


def adopt_codebook(
    *,
    sample: Path,
    out: Path,
    imported: Mapping[str, Any],
    seed: int,
    computing: Computing = ON_CPU,
    overwrite: bool = False,
) -> Codebook:
    """Take an imported codebook for the features of a sample, in place of fitting one.

    Nothing in a k-means of another tool says what it was fitted on: that it was on such features
    is the word of whoever names it. The mean squared distance, beside that of a codebook fitted
    here, tells whether it can be true.

    Args:
        sample: the sample store.
        out: the codebook's file.
        imported: `path` of the file that `import_codebook` wrote, and its `sha256`.
        seed: of the frames whose distance is measured.
        computing: device and threads.
        overwrite: replace a codebook that was made in another way.

    Raises:
        CodebookError: the file is another one, or of another dimension; or a codebook is there
            that was made in another way.
        ConfigError: `imported` is not as above.
    """
    if (
        not isinstance(imported, Mapping)
        or set(imported) != {"path", "sha256"}
        or not all(isinstance(value, (str, Path)) for value in imported.values())
    ):
        raise ConfigError(
            "tokenizer.imported",
            expected="{path: ..., sha256: ...}, as stages/import_codebook.py prints it",
            got=imported,
        )
    store = open_verified(sample)
    codebook = _load_for(store, imported)
    fitted_on = {
        "feature": store.name,
        "feature_fingerprint": store.fingerprint,
        "sample": digest([shard.digest for shard in store.shards]),
        "imported": codebook.centroids_digest,
    }
    if out.exists() and not overwrite:
        refuse_other_codebook(out, fitted_on)
    with thread_count(computing.num_threads):
        frames = draw_frames(store, _MEASURED_FRAMES, seed=seed)
        left = frames - codebook.decode(codebook.assign(frames))
    adopted = Codebook(
        centroids=codebook.centroids,
        provenance={
            "imported": dict(codebook.provenance),
            "fitted_on": fitted_on,
            "feature_provenance": dict(store.provenance),
            "mean_squared_distances": [float(np.square(left, dtype=np.float64).sum(axis=1).mean())],
        },
    )
    save_codebook(out, adopted)
    return load_codebook(out)


def _load_for(store: Store, imported: Mapping[str, Any]) -> Codebook:
    """Read an imported codebook, and refuse one that cannot be of these features."""
    if (got := instead_of_file(imported["path"])) is not None:
        raise CodebookError(
            f"codebook {imported['path']}, as tokenizer.imported names it",
            expected="a file",
            got=got,
            hint="python stages/import_codebook.py file=... out=... makes one of another tool's",
        )
    codebook = load_codebook(imported["path"])
    if codebook.digest != imported["sha256"]:
        raise CodebookError(
            f"codebook {imported['path']}",
            expected=f"sha256 {imported['sha256']}, as tokenizer.imported has it",
            got=codebook.digest,
            hint="put its own into the definition if it is the one you mean",
        )
    if store.shape != codebook.centroids.shape[-1:]:
        raise CodebookError(
            f"codebook {imported['path']}",
            expected=f"centroids of shape {store.shape}, as feature {store.name!r} has",
            got=f"{codebook.centroids.shape[-1:]}",
        )
    origin = codebook.provenance.get("fitted_on")
    if origin is not None and origin["feature_fingerprint"] != store.fingerprint:
        raise CodebookError(
            f"codebook {imported['path']} was fitted on features made in another way",
            expected=f"fingerprint {store.fingerprint[:12]}",
            got=origin["feature_fingerprint"][:12],
        )
    return codebook
