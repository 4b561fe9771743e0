"""Loading of torch models with a state dict: downloaded, random, or from a local file.

`weights` is `download`, `random`, or the path of a local file, whose SHA-256 must be given with it.
Nothing in a file can run: tensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from featbank.base.notices import tell
from featbank.errors import WeightsError
from featbank.features.weights.checkpoint import (
    DAMAGED,
    first_line,
    read_tensors,
    tensors_digest,
)
from featbank.features.weights.licenses import license_of
from featbank.features.weights.model_folder import check_pin
from featbank.features.weights.sources import (
    DOWNLOAD,
    FILE,
    RANDOM,
    Loaded,
    Model,
    checked_source,
    hub_cache,
    random_digest,
    tell_loading,
    three_ways,
)
from featbank.files.provenance import file_sha256


def load_model(
    weights: str,
    *,
    name: str,
    license: str | None,  # noqa: A002 - the word of the config
    weights_sha256: str | None,
    seed: int,
    build: Callable[[], Model],
    download: Callable[[], Model],
    architecture: Any,
    libraries: Sequence[str] = (),
    unused: tuple[str, ...] = (),
) -> Loaded[Model]:
    """Return a model in eval mode whose weights come from where `weights` says.

    The global random state stays as it was. Weights are copied into torch's own memory, since the
    alignment of a mapped file changes the last bits of what the model computes.

    Args:
        weights: `download`, `random` or the path of a local file.
        name: of the published weights.
        license: of those of a local file, as the user states it.
        weights_sha256: of the local file, in hexadecimal.
        seed: of random weights.
        build: makes the model with freshly initialised weights.
        download: makes the model with its publisher's weights, under the names of its files.
        architecture: that `build` makes, as JSON has it.
        libraries: distributions that `build` makes it with, beside torch.
        unused: name prefixes of tensors in a local file for which the model has no place.

    Raises:
        ConfigError: nothing that could be weights, a file without its digest, a digest without a
            file, or a licence that is not the published one.
        WeightsError: the weights cannot be had, or are not the ones that were named.
    """
    source = checked_source(weights, weights_sha256, what="file")
    stated = license_of(source, name, license)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if source == DOWNLOAD:
            model = _download(download)
        elif source == RANDOM:
            tell(phase=f"drawing random weights of {name}")
            model = build()
        else:
            tensors = _read_file(name, Path(weights), weights_sha256)
            model = _fill(build(), tensors, unused, where=f"weights {weights}")

    def compute_digest() -> str:
        if source == RANDOM:
            return random_digest(seed, architecture, libraries)
        return tensors_digest(model.state_dict())  # filled as they are, under the names they had

    return Loaded(model=model.eval(), source=source, license=stated, compute_digest=compute_digest)


def _read_file(name: str, path: Path, expected_sha256: str | None) -> dict[str, torch.Tensor]:
    where = f"weights {path}"
    if not path.is_file():
        raise WeightsError(
            where,
            expected="download, random or the path of a local file",
            got="no such file",
            hint=_three_ways(),
        )
    tell_loading(name, [path])
    check_pin(where, file_sha256(path), expected_sha256, what="this file")
    return read_tensors([path])


def _fill(
    model: Model, tensors: Mapping[str, torch.Tensor], unused: tuple[str, ...], where: str
) -> Model:
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(unused)}
    dtypes = {tensor.dtype for tensor in used.values()} - {torch.float32}
    if dtypes:
        raise WeightsError(where, expected="float32 tensors", got=", ".join(map(str, dtypes)))
    try:
        model.load_state_dict(used)
    except RuntimeError as error:  # torch's one error for missing, unexpected and misshapen tensors
        differences = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise WeightsError(
            where,
            expected="the tensors of this model",
            got=differences[:500],
            hint="check that the bundle and the file belong together",
        ) from error
    return model


def _download(download: Callable[[], Model]) -> Model:
    try:
        return download()
    except (OSError, HTTPException) as error:
        got, hint = first_line(error), _three_ways()
        raise WeightsError("weights: download failed", got=got, hint=hint) from error
    except DAMAGED as error:
        raise WeightsError(
            "weights: the downloaded file cannot be used",
            got=first_line(error),
            hint=f"delete it from {hub_cache()} and run again",
        ) from error


def _three_ways() -> str:
    return three_ways(FILE, f"downloads are kept in {hub_cache()}, to be copied too")
