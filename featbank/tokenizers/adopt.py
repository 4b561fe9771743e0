"""Import of codebooks that were fitted elsewhere: converted once, then adopted for a feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featbank.errors import CodebookError, ConfigError
from featbank.files.opening import instead_of_file
from featbank.files.provenance import digest, file_sha256
from featbank.numerics import thread_count
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.fit_sample import Sample
from featbank.tokenizers.importing import read_centroids

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCodebook:
    """A codebook's file that `import_codebook` wrote.

    Args:
        path: of the file.
        sha256: of its bytes, in hexadecimal.
    """

    path: Path
    sha256: str

    @classmethod
    def named(cls, imported: object) -> ImportedCodebook:
        """Return the imported codebook that `tokenizer.imported` names.

        Raises:
            ConfigError: it is no mapping of a path and a digest.
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
        return cls(path=Path(imported["path"]), sha256=str(imported["sha256"]))


def adopt_codebook(task: CodebookTask, imported: ImportedCodebook) -> Codebook:
    """Take an imported codebook for the features of a sample, in place of fitting one.

    Nothing in a k-means of another tool says what it was fitted on: that it was on such features
    is the word of whoever names it. The mean squared distance, beside that of a codebook fitted
    here, tells whether it can be true.

    Args:
        task: the sample, and where the codebook goes.
        imported: the file to take.

    Raises:
        CodebookError: the file is another one, or of another dimension; or a codebook is there
            that was made in another way.
    """
    store = task.open_sample()
    codebook = _load(imported)
    _refuse_other_features(codebook, imported, store)
    fitted_on = {
        "feature": store.name,
        "feature_fingerprint": store.fingerprint,
        "corpora": list(task.corpora),
        "sample": digest([shard.digest for shard in store.shards]),
        "imported": codebook.centroids_digest,
    }
    task.refuse_other(fitted_on)
    adopted = Codebook(
        centroids=codebook.centroids,
        provenance={
            "imported": dict(codebook.provenance),
            "fitted_on": fitted_on,
            "feature_provenance": dict(store.provenance),
            "mean_squared_distances": [_mean_squared_distance(task, codebook, store)],
        },
    )
    save_codebook(task.out, adopted)
    return load_codebook(task.out)


def _mean_squared_distance(task: CodebookTask, codebook: Codebook, store: Sample) -> float:
    """Return what a codebook leaves of the frames of a sample, drawn by chance."""
    with thread_count(task.computing.num_threads):
        frames = draw_frames(store, _MEASURED_FRAMES, seed=task.seed)
        left = frames - codebook.decode(codebook.assign(frames))
    return float(np.square(left, dtype=np.float64).sum(axis=1).mean())


def _load(imported: ImportedCodebook) -> Codebook:
    """Read an imported codebook.

    Raises:
        CodebookError: it is not there, or is another one.
    """
    where = f"codebook {imported.path}"
    if (got := instead_of_file(imported.path)) is not None:
        raise CodebookError(
            f"{where}, as tokenizer.imported names it",
            expected="a file",
            got=got,
            hint="python stages/import_codebook.py file=... out=... makes one of another tool's",
        )
    codebook = load_codebook(imported.path)
    if codebook.digest != imported.sha256:
        raise CodebookError(
            where,
            expected=f"sha256 {imported.sha256}, as tokenizer.imported has it",
            got=codebook.digest,
            hint="put its own into the definition if it is the one you mean",
        )
    return codebook


def _refuse_other_features(codebook: Codebook, imported: ImportedCodebook, store: Sample) -> None:
    """Refuse an imported codebook that cannot be of these features.

    Raises:
        CodebookError: it is of another dimension, or says that it was fitted on others.
    """
    if store.shape != codebook.centroids.shape[-1:]:
        raise CodebookError(
            f"codebook {imported.path}",
            expected=f"centroids of shape {store.shape}, as feature {store.name!r} has",
            got=f"{codebook.centroids.shape[-1:]}",
        )
    origin = codebook.provenance.get("fitted_on")
    if origin is not None and origin["feature_fingerprint"] != store.fingerprint:
        raise CodebookError(
            f"codebook {imported.path} was fitted on features made in another way",
            expected=f"fingerprint {store.fingerprint[:12]}",
            got=origin["feature_fingerprint"][:12],
        )
