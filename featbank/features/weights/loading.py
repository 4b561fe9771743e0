"""Loading of a model's weights: downloaded, random, or from a local file, each with a digest.

`weights` is `download`, `random`, or the path of a local file, whose SHA-256 must be given with it.
Nothing in a file can run: tensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from featbank.errors import ConfigError, WeightsError
from featbank.features.base import Weights
from featbank.features.weights.checkpoint import (
    DAMAGED,
    first_line,
    read_tensors,
    tensors_digest,
)
from featbank.features.weights.licenses import published_license
from featbank.features.weights.model_folder import check_pin
from featbank.files.provenance import digest, file_sha256, package_versions

DOWNLOAD = "download"
RANDOM = "random"
FILE = "file"

Model = TypeVar("Model", bound=torch.nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Model]):
    """A model with its weights, in eval mode.

    Args:
        model: of float32 tensors in torch's own memory.
        source: `download`, `random` or `file`.
        license: of the weights.
        compute_digest: names the weights; it reads all of them, so a worker never asks.
    """

    model: Model
    source: str
    license: str
    compute_digest: Callable[[], str]

    def weights(self) -> Weights:
        """Return source, digest and licence of the weights."""
        return Weights(source=self.source, digest=self.compute_digest(), license=self.license)


def random_digest(seed: int, architecture: Any, libraries: Sequence[str]) -> str:
    """Return the digest of random weights: of their seed, the model and the libraries' versions.

    Their tensors are no library's promise: seed 0 gives others in transformers 5.0 and 5.24, and
    torch reproduces random numbers within a release alone.

    Args:
        seed: of the random numbers.
        architecture: of the model, as JSON has it.
        libraries: distributions that draw the tensors, beside torch.
    """
    return digest(
        {
            "seed": seed,
            "architecture": architecture,
            "versions": {
                name: version
                for name, version in package_versions(["torch", *libraries]).items()
                if name != "featbank"
            },
        }
    )


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
            model = build()
        else:
            tensors = _read_file(Path(weights), weights_sha256)
            model = _fill(build(), tensors, unused, where=f"weights {weights}")

    def compute_digest() -> str:
        if source == RANDOM:
            return random_digest(seed, architecture, libraries)
        return tensors_digest(model.state_dict())  # filled as they are, under the names they had

    return Loaded(model=model.eval(), source=source, license=stated, compute_digest=compute_digest)


def checked_source(weights: str, weights_sha256: str | None, *, what: str) -> str:
    """Return `download`, `random` or `file`, if a digest is given only where it is held.

    Args:
        weights: as the configuration has it.
        weights_sha256: likewise.
        what: a local path is of: `file`.

    Raises:
        ConfigError: a digest stands beside weights that are in no local file.
    """
    source = source_of(weights)
    if source != FILE and weights_sha256 is not None:
        raise ConfigError(
            f"weights: {weights}",
            expected=f"weights_sha256: null, since only a local {what} is checked against it",
            got=weights_sha256,
        )
    return source


def source_of(weights: str) -> str:
    """Return `download`, `random` or, for the path of a local file, `file`.

    Raises:
        ConfigError: it is no text, as a `null` of the configuration is not.
    """
    if not isinstance(weights, str):
        raise ConfigError(
            "weights",
            expected="download, random or the path of a local file",
            got="null" if weights is None else repr(weights),
            hint=_three_ways(),
        )
    return weights if weights in (DOWNLOAD, RANDOM) else FILE


def license_of(source: str, name: str, stated: str | None) -> str:
    """Return the licence of weights: the published one, or of a local file the one that is stated.

    Args:
        source: `download`, `random` or `file`.
        name: of the published weights.
        stated: in the configuration.

    Raises:
        ConfigError: another licence is stated of published weights.
    """
    if source == FILE:
        return stated or ""  # it may hold any weights that fit the model
    published = published_license(name, stated)
    return "" if source == RANDOM else published


def _read_file(path: Path, expected_sha256: str | None) -> dict[str, torch.Tensor]:
    where = f"weights {path}"
    if not path.is_file():
        raise WeightsError(
            where,
            expected="download, random or the path of a local file",
            got="no such file",
            hint=_three_ways(),
        )
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
            hint=f"delete it from {_hub_cache()} and run again",
        ) from error


def _three_ways() -> str:
    return (
        "there are three ways: set weights to a local file and weights_sha256 to its digest; "
        f"run where there is a network (downloads are kept in {_hub_cache()}, to be copied too); "
        "or set weights: random for a dry run, whose features mean nothing"
    )


def _hub_cache() -> Path:
    return Path(torch.hub.get_dir(), "checkpoints")
